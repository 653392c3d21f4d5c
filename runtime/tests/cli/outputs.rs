//! Outputs of a node that is killed: what was forwarded arrives, what was confirmed does not come again, and what could not
//! be delivered is kept.

use crate::has;
use crate::scratch::Scratch;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Whatever is waited for has happened by then, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// Events in one request at most, so also what one crash may repeat.
const BATCH: usize = 20;

/// A webhook that notes what it has confirmed.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// How often each id was confirmed.
    confirmed: BTreeMap<String, usize>,
    /// The services of all that was confirmed, in order.
    services: Vec<String>,
    /// A service that is refused.
    refused: Option<&'static str>,
}

impl Receiver {
    /// Listens, and tells where.
    fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self::default();
        let seen = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = seen.clone();
                std::thread::spawn(move || seen.serve(stream));
            }
        });
        (receiver, url)
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).ok()? == 0 {
                    return None;
                }
                if let Some(bytes) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = bytes.trim().parse().ok()?;
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).ok()?;
            let body: Value = serde_json::from_slice(&body).ok()?;
            let answer = self.answer(body["events"].as_array()?);
            stream.get_mut().write_all(answer).ok()?;
        }
    }

    fn answer(&self, events: &[Value]) -> &'static [u8] {
        let mut seen = self.0.lock().unwrap();
        let service = |event: &Value| event["event"]["service"].as_str().unwrap().to_owned();
        if seen.refused.is_some_and(|refused| events.iter().any(|event| service(event) == refused)) {
            return b"HTTP/1.1 422 Unprocessable Entity\r\ncontent-length: 8\r\n\r\nnot this";
        }
        for event in events {
            *seen.confirmed.entry(event["id"].as_str().unwrap().to_owned()).or_default() += 1;
            seen.services.push(service(event));
        }
        b"HTTP/1.1 204 No Content\r\n\r\n"
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().services.len()
    }

    fn has(&self, service: &str) -> bool {
        self.0.lock().unwrap().services.iter().any(|seen| seen == service)
    }
}

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A folder whose nodes send to this receiver.
fn sending_to(url: &str) -> Scratch {
    let mut scratch = Scratch::new();
    scratch.set("TIDEGATE__OUTPUTS__HOOK__TYPE", "webhook".into());
    scratch.set("TIDEGATE__OUTPUTS__HOOK__URL", url.into());
    scratch.set("TIDEGATE__OUTPUTS__HOOK__BATCH", BATCH.to_string());
    scratch
}

/// Deploys a rule that forwards the first event of every stream whose metric is above 50.
fn deploy(scratch: &Scratch) {
    let wasm = tidegate::rules::find("moving-average").expect("it is built in").wasm;
    scratch.write("rule.wasm", wasm);
    let arguments = ["deploy", "rule.wasm", "--name", "high", "--set", "limit=50", "--to", "pager=hook"];
    scratch.run(arguments).fine();
}

fn event(service: &str) -> String {
    format!("{{\"host\":\"web1\",\"service\":\"{service}\",\"metric\":100,\"state\":\"ok\",\"ttl\":600}}\n")
}

/// Sends an event and waits for its ack.
#[track_caller]
fn send(scratch: &Scratch, service: &str) {
    has(&scratch.feed(["send"], &event(service)).fine(), "1 event acked");
}

fn letters(scratch: &Scratch) -> Vec<Value> {
    let text = scratch.run(["dead-letters", "--json"]).fine();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_node_that_is_killed_under_load_delivers_all_that_was_acked_and_repeats_one_batch_at_most() {
    const KILLS: usize = 4;
    let (receiver, url) = Receiver::start();
    let mut scratch = sending_to(&url);
    let mut node = scratch.node(&[]);
    deploy(&scratch);
    let mut acked = Vec::new();
    for kill in 0..KILLS {
        let before = receiver.count();
        let services: Vec<String> = (0..2000).map(|n| format!("s{kill}-{n}")).collect();
        acked.extend(std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                // Many messages, so that some are acked and some are not.
                let (scratch, chunks) = (&scratch, services.chunks(100));
                let acked = chunks.map_while(|chunk| {
                    let text: String = chunk.iter().map(|service| event(service)).collect();
                    (scratch.feed(["send"], &text).code == Some(0)).then(|| chunk.to_vec())
                });
                acked.flatten().collect::<Vec<String>>()
            });
            eventually("some of it has arrived", || receiver.count() > before + 30 * (kill + 1));
            drop(node);
            load.join().unwrap()
        }));
        node = scratch.node(&[]);
    }
    assert!(acked.len() >= 100, "{}", acked.len());
    eventually("all that was acked has arrived", || {
        let seen = receiver.0.lock().unwrap();
        let services: std::collections::BTreeSet<&String> = seen.services.iter().collect();
        acked.iter().all(|service| services.contains(service))
    });
    let seen = receiver.0.lock().unwrap();
    let repeated: usize = seen.confirmed.values().map(|times| times - 1).sum();
    assert!(repeated <= KILLS * BATCH, "{repeated} were confirmed and came again");
    drop(seen);
    drop(node);
}

#[test]
fn what_waits_for_a_dead_output_survives_a_stop_in_time_and_its_books_balance() {
    let (receiver, url) = Receiver::start();
    let mut scratch = sending_to("http://127.0.0.1:1/nobody");
    let node = scratch.node(&[]);
    deploy(&scratch);
    (0..5).for_each(|n| send(&scratch, &format!("s{n}")));
    assert_eq!(node.stop().code, Some(0), "within the time that outputs have");
    scratch.set("TIDEGATE__OUTPUTS__HOOK__URL", url);
    let node = scratch.node(&[]);
    eventually("all has arrived", || (0..5).all(|n| receiver.has(&format!("s{n}"))));
    let counted = |name: &str| {
        let page = format!("{}/metrics", node.address("page ").trim_end_matches('/'));
        let text = fetch(&page);
        let line =
            text.lines().find(|line| line.starts_with(&format!("tidegate_output_{name}{{output=\"hook\"")));
        let value = line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("{name} is not in\n{text}"))
    };
    eventually("that is counted", || counted("events_delivered_total") == 5.0);
    assert_eq!((counted("events_taken_total"), counted("queued")), (5.0, 0.0), "over the restart");
    // A kill in the moment after an answer may repeat one batch; a stop repeats nothing.
    assert_eq!(node.stop().code, Some(0));
    let node = scratch.node(&[]);
    send(&scratch, "last");
    eventually("what is new arrives", || receiver.has("last"));
    assert_eq!(receiver.count(), 6, "nothing that was recorded came again");
    drop(node);
}

/// The body of an answer.
fn fetch(url: &str) -> String {
    let (place, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(place).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {place}\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn what_an_output_refuses_is_a_dead_letter_until_it_is_sent_again() {
    let (receiver, url) = Receiver::start();
    receiver.0.lock().unwrap().refused = Some("bad");
    let mut scratch = sending_to(&url);
    let node = scratch.node(&[]);
    deploy(&scratch);
    ["good", "bad", "fine"].iter().for_each(|service| send(&scratch, service));
    eventually("the others have arrived", || receiver.has("good") && receiver.has("fine"));
    eventually("there is a letter", || letters(&scratch).len() == 1);
    let letter = letters(&scratch).remove(0);
    assert_eq!((letter["from"].as_str(), letter["output"].as_str()), (Some("output"), Some("hook")));
    assert_eq!((letter["rule"].as_str(), letter["declared"].as_str()), (Some("high"), Some("pager")));
    assert_eq!(letter["event"]["service"], "bad");
    has(letter["message"].as_str().unwrap(), "422 Unprocessable Entity not this");
    drop(node);
    let node = scratch.node(&[]);
    assert_eq!(letters(&scratch), std::slice::from_ref(&letter), "neither lost nor doubled by the replay");
    receiver.0.lock().unwrap().refused = None;
    let id = letter["id"].as_str().unwrap();
    assert_eq!(scratch.run(["dead-letters", "replay", id]).fine(), "1 letter sent again\n");
    eventually("it has arrived", || receiver.has("bad"));
    assert_eq!(receiver.0.lock().unwrap().confirmed.get(id.trim_end_matches("@hook")), Some(&1));
    assert_eq!(scratch.run(["dead-letters"]).fine(), "no dead letters\n");
    has(&scratch.run(["dead-letters", "show", id]).fails(1), "there is no dead letter");
    drop(node);
}

/// A rule that panics on one kind of event.
const PICKY: &str = r#"//! Cannot bear the number 13.

use tidegate_sdk::prelude::*;

/// What one stream has said.
#[derive(Default, Serialize, Deserialize)]
pub struct Picky {
    seen: u64,
}

#[rule(query = "metric != nil", per = Stream)]
impl Rule for Picky {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Self { seen: 0 }
    }

    fn on_event(&mut self, event: &Event, _: &(), _: &mut Out) {
        assert!(event.metric() != Some(13.0), "thirteen");
        self.seen += 1;
    }
}
"#;

#[test]
fn what_a_rule_choked_on_is_a_dead_letter_with_its_place_and_comes_in_again_with_a_mark() {
    let mut scratch = Scratch::that_builds();
    scratch.run(["new", "picky"]).fine();
    scratch.write("picky/src/lib.rs", PICKY);
    scratch.run(["build", "picky", "--out", "picky.wasm"]).fine();
    let node = scratch.node(&[]);
    scratch.run(["deploy", "picky.wasm"]).fine();
    for metric in ["1", "13", "2"] {
        scratch.run(["send", "--host", "web1", "--service", "dice", "--metric", metric]).fine();
    }
    eventually("there is a letter", || letters(&scratch).len() == 1);
    let letter = letters(&scratch).remove(0);
    assert_eq!((letter["from"].as_str(), letter["rule"].as_str()), (Some("rule"), Some("picky")));
    assert_eq!((letter["generation"].as_u64(), letter["event"]["metric"].as_f64()), (Some(1), Some(13.0)));
    let message = letter["message"].as_str().unwrap();
    assert!(message.contains("src/lib.rs:20") && message.contains("thirteen"), "{message}");
    let id = letter["id"].as_str().unwrap().to_owned();
    has(&scratch.run(["dead-letters", "list", "--rule", "picky"]).fine(), &id);
    let doctor = scratch.run(["doctor", "--config", "node.toml"]).fine();
    has(&doctor, "~ rules: picky had 1 fault: ");
    has(&doctor, "\n    tidegate rules show picky\n");
    has(&doctor, "~ dead letters: 1 dead letter\n    tidegate dead-letters\n");
    assert_eq!(scratch.run(["dead-letters", "list", "--rule", "other"]).fine(), "no dead letters\n");
    drop(node);
    let node = scratch.node(&[]);
    assert_eq!(letters(&scratch), [letter], "neither lost nor doubled by the replay");
    // The rule has not changed, so it chokes again: on an event that says what it is.
    scratch.run(["dead-letters", "replay", &id]).fine();
    eventually("it is a letter again", || letters(&scratch).len() == 1);
    let again = letters(&scratch).remove(0);
    assert_ne!(again["id"].as_str(), Some(id.as_str()));
    assert_eq!(again["event"]["tags"][0], "dead-letter");
    assert_eq!(again["event"]["tidegate.letter"].as_str(), Some(id.as_str()), "{again}");
    let id = again["id"].as_str().unwrap();
    assert_eq!(scratch.run(["dead-letters", "remove", id]).fine(), "1 letter removed\n");
    drop(node);
    let node = scratch.node(&[]);
    assert!(letters(&scratch).is_empty(), "what was removed stays removed");
    drop(node);
}
