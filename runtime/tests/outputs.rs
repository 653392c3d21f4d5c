//! The outputs, against small servers that misbehave: what arrives, what is tried again, what is given up on, and that
//! nothing goes uncounted.

mod fake_node;
#[path = "outputs/previews.rs"]
mod previews;
#[path = "outputs/stores.rs"]
mod stores;
#[path = "outputs/tls.rs"]
mod tls;

use fake_node::{Mood, Node, assert_output_balances, eventually};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tidegate::config::{self, Common, InputKind, OnFull, Output, OutputKind, Secret};
use tidegate::dead_letters::{DeadLetters, Keep};
use tidegate::ingest::{Refused, Update};
use tidegate::output::{
    Console, Delivery, Outputs, Queue, Sink, Taken, console, file, graphite, http, riemann, stream, webhook,
};
use tidegate::telemetry::{OutputStats, Telemetry};
use tidegate_event::{Batch, BatchBuilder, Metric, NewEvent, Timestamp};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

fn batch(service: &str, metric: Option<Metric>) -> Batch {
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent {
        time: Some(Timestamp::from_secs(1_700_000_000)),
        host: Some("web1"),
        service: Some(service),
        state: Some("ok"),
        metric,
        ..NewEvent::default()
    });
    builder.finish()
}

fn delivery(n: u32) -> Delivery {
    let batch = batch(&format!("s{n}"), Some(Metric::Int(n.into())));
    Delivery { rule: "slow_api".into(), declared: "pager".into(), position: 7, n, batch }
}

/// One output called `out` with a node's counters.
struct Running {
    telemetry: Telemetry,
    outputs: Outputs,
}

impl Running {
    fn new(kind: OutputKind, common: Common) -> Self {
        let telemetry = Telemetry::default();
        let output = Output::new("out", common, kind);
        let outputs = Outputs::start(&[output], &telemetry).expect("it starts");
        Self { telemetry, outputs }
    }

    fn stats(&self) -> Arc<OutputStats> {
        self.telemetry.outputs()["out"].clone()
    }

    fn send(&self, numbers: std::ops::Range<u32>) {
        for n in numbers {
            assert!(self.outputs.forward("out", delivery(n)));
        }
    }

    async fn settled(&self) {
        let stats = self.stats();
        eventually("all is settled", || stats.queued.get() == 0).await;
        assert_output_balances(&stats);
    }

    fn last_error(&self) -> String {
        self.stats().last_error.lock().unwrap().clone().unwrap_or_default()
    }
}

fn webhook(address: SocketAddr, timeout: Duration) -> OutputKind {
    let headers = vec![("authorization".into(), Secret::from("Bearer t0p"))];
    let http = http::Settings { headers, timeout, ..http::Settings::at(&format!("http://{address}/hook")) };
    OutputKind::Webhook(webhook::Settings::to(http))
}

fn file(path: &Path) -> OutputKind {
    OutputKind::File(file::Settings::at(path))
}

fn wire(address: &str) -> stream::Settings {
    stream::Settings { timeout: PATIENCE, ..stream::Settings::tcp(address) }
}

fn graphite(address: SocketAddr, prefix: &str) -> OutputKind {
    let settings = graphite::Settings::at(wire(&address.to_string()));
    OutputKind::Graphite(graphite::Settings { prefix: prefix.into(), ..settings })
}

fn riemann(address: &str) -> OutputKind {
    OutputKind::Riemann(riemann::Settings { wire: wire(address) })
}

/// A request that came, and the numbers of its events.
#[derive(Clone, Debug)]
struct Posted {
    head: String,
    body: serde_json::Value,
    at: Instant,
}

impl Posted {
    fn services(&self) -> Vec<String> {
        let events = self.body["events"].as_array().unwrap();
        events.iter().map(|event| event["event"]["service"].as_str().unwrap().to_owned()).collect()
    }
}

/// An HTTP server that answers what `judge` says; `None` is no answer at all.
async fn serve_http(
    listener: TcpListener,
    judge: impl Fn(&Posted) -> Option<&'static str> + Send + Sync + 'static,
) -> Arc<Mutex<Vec<Posted>>> {
    let posted: Arc<Mutex<Vec<Posted>>> = Arc::default();
    let (seen, judge) = (posted.clone(), Arc::new(judge));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, seen.clone(), judge.clone()));
        }
    });
    posted
}

async fn serve(
    stream: TcpStream,
    seen: Arc<Mutex<Vec<Posted>>>,
    judge: Arc<impl Fn(&Posted) -> Option<&'static str>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let posted = Posted { head, body: serde_json::from_slice(&body).unwrap(), at: Instant::now() };
        let answer = judge(&posted);
        seen.lock().unwrap().push(posted);
        match answer {
            None => std::future::pending().await,
            Some(answer) => stream.write_all(answer.as_bytes()).await.ok()?,
        }
    }
}

const FINE: &str = "HTTP/1.1 204 No Content\r\n\r\n";

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_webhook_is_told_what_happened_in_which_rule() {
    let (listener, address) = listen().await;
    let posted = serve_http(listener, |_| Some(FINE)).await;
    let running = Running::new(webhook(address, PATIENCE), Common::default());
    running.send(0..3);
    running.settled().await;
    let posted = posted.lock().unwrap().clone();
    let all: Vec<_> = posted.iter().flat_map(Posted::services).collect();
    assert_eq!(all, ["s0", "s1", "s2"]);
    let first = &posted[0].body["events"][0];
    assert_eq!((first["id"].as_str(), first["rule"].as_str()), (Some("7:slow_api:0"), Some("slow_api")));
    assert_eq!(first["output"].as_str(), Some("pager"));
    assert!(posted[0].head.starts_with("post /hook http/1.1\r\n"), "{}", posted[0].head);
    for header in
        ["authorization: bearer t0p", "content-type: application/json", "idempotency-key: 7:slow_api:0"]
    {
        assert!(posted[0].head.contains(header), "{header} in {}", posted[0].head);
    }
    let stats = running.stats();
    assert_eq!((stats.delivered.get(), stats.healthy.get()), (3, 1));
}

#[tokio::test]
async fn a_dead_webhook_fills_its_queue_drops_the_oldest_and_gets_the_rest_when_it_is_back() {
    let (listener, address) = listen().await;
    drop(listener);
    let common = Common { queue_events: 10, batch: 2, ..Common::default() };
    let running = Running::new(webhook(address, PATIENCE), common);
    running.send(0..1);
    let stats = running.stats();
    eventually("it is known to be down", || stats.healthy.get() == 0).await;
    running.send(1..101);
    assert_eq!((stats.taken.get(), stats.dropped.get()), (101, 90), "ten wait, one is being tried");
    assert_output_balances(&stats);
    eventually("it is tried again", || stats.retries.get() >= 2).await;
    assert!(
        !running.last_error().is_empty() && !running.last_error().contains("/hook"),
        "{}",
        running.last_error()
    );
    let posted = serve_http(TcpListener::bind(address).await.unwrap(), |_| Some(FINE)).await;
    running.settled().await;
    let all: Vec<_> = posted.lock().unwrap().iter().flat_map(Posted::services).collect();
    let expected: Vec<_> = (0..1).chain(91..101).map(|n| format!("s{n}")).collect();
    assert_eq!(all, expected, "in order");
    assert_eq!(stats.healthy.get(), 1);
}

#[tokio::test]
async fn a_webhook_that_never_answers_holds_up_nobody_else() {
    let (listener, address) = listen().await;
    let posted = serve_http(listener, |_| None).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.ndjson");
    let telemetry = Telemetry::default();
    let output = |name: &str, kind| Output::new(name, Common::default(), kind);
    let configured =
        [output("hook", webhook(address, Duration::from_millis(300))), output("file", file(&path))];
    let outputs = Outputs::start(&configured, &telemetry).unwrap();
    assert_eq!(outputs.names(), ["file", "hook", "live"]);
    let began = Instant::now();
    for n in 0..1000 {
        assert!(outputs.forward("hook", delivery(n)));
        assert!(outputs.forward("file", delivery(n)));
    }
    assert!(began.elapsed() < Duration::from_secs(2), "forwarding never waits");
    let (hook, file) = (telemetry.outputs()["hook"].clone(), telemetry.outputs()["file"].clone());
    eventually("the file has all", || file.delivered.get() == 1000).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1000);
    eventually("the webhook is tried again", || hook.retries.get() >= 1).await;
    assert_eq!((hook.delivered.get(), hook.healthy.get()), (0, 0));
    eventually("the same batch came twice", || posted.lock().unwrap().len() >= 2).await;
    let posted = posted.lock().unwrap();
    let key = |posted: &Posted| {
        posted.head.lines().find(|line| line.starts_with("idempotency-key")).unwrap().to_owned()
    };
    assert_eq!(key(&posted[0]), key(&posted[1]), "under the same key");
    assert_output_balances(&hook);
}

#[tokio::test]
async fn one_event_that_is_refused_does_not_take_the_others_with_it() {
    let (listener, address) = listen().await;
    let posted =
        serve_http(listener, |posted| match posted.services().iter().any(|service| service == "s3") {
            true => Some("HTTP/1.1 400 Bad Request\r\ncontent-length: 9\r\n\r\nnot s3\u{1b}!!"),
            false => Some(FINE),
        })
        .await;
    let running = Running::new(webhook(address, PATIENCE), Common::default());
    running.send(0..6);
    running.settled().await;
    let stats = running.stats();
    assert_eq!((stats.delivered.get(), stats.failed.get(), stats.retries.get()), (5, 1, 0));
    assert!(running.last_error().contains("400 Bad Request not s3\\u{1b}"), "{}", running.last_error());
    let posted = posted.lock().unwrap();
    let mut arrived: Vec<_> =
        posted.iter().map(Posted::services).filter(|s| !s.contains(&"s3".to_owned())).flatten().collect();
    arrived.dedup();
    assert_eq!(arrived, ["s0", "s1", "s2", "s4", "s5"]);
}

#[tokio::test]
async fn a_webhook_that_does_not_want_us_is_not_pestered() {
    for answer in [
        "HTTP/1.1 401 Unauthorized\r\n\r\n",
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\n\r\n",
    ] {
        let (listener, address) = listen().await;
        let posted = serve_http(listener, move |_| Some(answer)).await;
        let running = Running::new(webhook(address, PATIENCE), Common::default());
        running.send(0..1);
        running.settled().await;
        assert_eq!((running.stats().failed.get(), posted.lock().unwrap().len()), (1, 1), "{answer}");
        assert_eq!(running.stats().healthy.get(), 0);
    }
}

#[tokio::test]
async fn a_busy_webhook_is_left_alone_for_as_long_as_it_asks() {
    let (listener, address) = listen().await;
    let calls = Mutex::new(0);
    let posted = serve_http(listener, move |_| {
        *calls.lock().unwrap() += 1;
        let busy = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
        Some(if *calls.lock().unwrap() == 1 { busy } else { FINE })
    })
    .await;
    let running = Running::new(webhook(address, PATIENCE), Common::default());
    running.send(0..1);
    running.settled().await;
    let posted = posted.lock().unwrap();
    assert!(posted[1].at - posted[0].at >= Duration::from_secs(1), "{posted:?}");
    assert_eq!((running.stats().delivered.get(), running.stats().retries.get()), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_sent_for_too_long_is_given_up_on_and_counted() {
    let (listener, address) = listen().await;
    drop(listener);
    let common = Common { give_up_after: Duration::from_millis(300), ..Common::default() };
    let running = Running::new(webhook(address, PATIENCE), common);
    running.send(0..1);
    running.settled().await;
    assert_eq!((running.stats().failed.get(), running.stats().healthy.get()), (1, 0));
    assert!(running.last_error().contains("given up on 1 events"), "{}", running.last_error());
}

#[tokio::test]
async fn a_file_on_a_full_disk_is_tried_again_and_its_lines_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.ndjson");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let running = Running::new(file(&path), Common::default());
    running.send(0..5);
    let stats = running.stats();
    eventually("it is seen to be full", || stats.retries.get() >= 1).await;
    assert_eq!((stats.healthy.get(), stats.delivered.get()), (0, 0));
    assert!(running.last_error().contains("No space left on device"), "{}", running.last_error());
    assert_output_balances(&stats);
    // Now there is a disk with room, and what a process left behind that died in the middle of a line.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "{\"id\":\"to").unwrap();
    running.settled().await;
    running.send(5..6);
    running.settled().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (7, "{\"id\":\"to"), "{text}");
    for (n, line) in lines[1..].iter().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["id"], format!("7:slow_api:{n}"));
        assert_eq!(line["event"]["service"], format!("s{n}"));
    }
    assert_eq!(stats.healthy.get(), 1);
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.ndjson");
    let running = Running::new(file(&path), Common::default());
    running.send(0..1);
    running.settled().await;
    std::fs::rename(&path, folder.path().join("alerts.1")).unwrap();
    running.send(1..2);
    running.settled().await;
    assert!(std::fs::read_to_string(&path).unwrap().contains("7:slow_api:1"));
}

#[tokio::test]
async fn a_file_that_is_large_enough_is_moved_on_and_so_many_old_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.log");
    let section = format!(
        "type = \"file\"\npath = {path:?}\nrotate_size = \"1KiB\"\nkeep = 2\ntemplate = \"{{{{ service }}}} {}\"",
        "x".repeat(300)
    );
    let running = Running::new(stores::kind(&section), Common { batch: 1, ..Common::default() });
    running.send(0..14);
    running.settled().await;
    let services = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    assert_eq!(services("alerts.log"), ["s12", "s13"]);
    assert_eq!(services("alerts.log.1"), ["s9", "s10", "s11"]);
    assert_eq!(services("alerts.log.2"), ["s6", "s7", "s8"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "the oldest has gone");
}

#[tokio::test]
async fn a_file_that_is_old_enough_is_moved_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.log");
    std::fs::write(&path, "old\n").unwrap();
    let kind = |age: &str| {
        stores::kind(&format!("type = \"file\"\npath = {path:?}\nrotate_every = {age:?}\ntemplate = \"new\""))
    };
    let young = Running::new(kind("1d"), Common::default());
    young.send(0..1);
    young.settled().await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old\nnew\n");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let old = Running::new(kind("1s"), Common::default());
    old.send(0..1);
    old.settled().await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
    assert_eq!(std::fs::read_to_string(folder.path().join("alerts.log.1")).unwrap(), "old\nnew\n");
}

/// Reads lines of the next connection until there are so many, then drops it.
async fn carbon(listener: &TcpListener, lines: usize) -> Vec<String> {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(stream).lines();
    let mut found = Vec::new();
    while found.len() < lines {
        found.push(stream.next_line().await.unwrap().expect("a line"));
    }
    found
}

#[tokio::test]
async fn a_carbon_that_vanishes_and_returns_gets_what_was_sent_meanwhile() {
    let (listener, address) = listen().await;
    let kind = graphite(address, "tide.");
    let running = Running::new(kind, Common::default());
    running.send(0..1);
    assert_eq!(carbon(&listener, 1).await, ["tide.web1.s0 0 1700000000"]);
    running.settled().await;
    drop(listener);
    running.send(1..4);
    let stats = running.stats();
    eventually("it is known to be down", || stats.healthy.get() == 0 && stats.retries.get() >= 1).await;
    assert_eq!(stats.delivered.get(), 1);
    let listener = TcpListener::bind(address).await.unwrap();
    let lines = carbon(&listener, 4).await;
    let expected: Vec<_> = (0..4).map(|n| format!("tide.web1.s{n} {n} 1700000000")).collect();
    assert_eq!(lines, expected, "what was written last comes first, once more");
    running.settled().await;
    assert_eq!((stats.delivered.get(), stats.healthy.get()), (4, 1));
}

#[tokio::test]
async fn an_event_that_is_no_line_is_counted_and_passed_over() {
    let (listener, address) = listen().await;
    let kind = graphite(address, "");
    let running = Running::new(kind, Common::default());
    for (n, metric) in [Some(Metric::Float(0.5)), None, Some(Metric::Float(f64::NAN)), Some(Metric::Int(-3))]
        .into_iter()
        .enumerate()
    {
        let batch = batch(&format!("s{n}"), metric);
        running.outputs.forward("out", Delivery { batch, ..delivery(0) });
    }
    assert_eq!(carbon(&listener, 2).await, ["web1.s0 0.5 1700000000", "web1.s3 -3 1700000000"]);
    running.settled().await;
    let stats = running.stats();
    assert_eq!((stats.delivered.get(), stats.failed.get(), stats.healthy.get()), (2, 2, 1));
}

#[tokio::test]
async fn a_relay_delivers_when_the_other_node_has_logged_and_waits_while_it_cannot() {
    let node = Node::new(1 << 20);
    let settings = config::Riemann { tcp: Some(([127, 0, 0, 1], 0).into()), ..config::Riemann::silent() };
    let configured = [config::Input { name: "r".into(), kind: InputKind::Riemann(settings) }];
    let mut inputs = tidegate::input::bind(&configured, &node.ingest, &node.telemetry).await.unwrap();
    let input = inputs.remove(0);
    let address = input.address().unwrap().to_string();
    tokio::spawn(input.run(CancellationToken::new()));
    node.set(Mood::Refuse(Refused::Log("no space left on device".into())));
    let running = Running::new(riemann(&address), Common::default());
    running.send(0..3);
    let stats = running.stats();
    eventually("it is refused and tried again", || stats.retries.get() >= 1).await;
    assert!(running.last_error().contains("no space left on device"), "{}", running.last_error());
    node.set(Mood::Accept);
    running.settled().await;
    assert_eq!((stats.delivered.get(), stats.failed.get()), (3, 0));
    let services: Vec<_> = node.services();
    assert_eq!(services, ["s0", "s1", "s2"]);
    let seen = node.seen.lock().unwrap();
    let first = seen.batches[0].event(0);
    assert_eq!(
        (first.host(), first.state(), first.number()),
        (Some("web1"), Some("ok"), Some(Metric::Int(0)))
    );
    assert_eq!(first.time(), Timestamp::from_secs(1_700_000_000));
}

#[tokio::test]
async fn a_relay_passes_over_what_the_other_node_refuses_for_good() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Ok(length) = stream.read_u32().await {
            let mut message = vec![0; length as usize];
            stream.read_exact(&mut message).await.unwrap();
            let poison = message.windows(2).any(|two| two == b"s1");
            let answer: &[u8] = if poison { b"\x10\x00\x1a\x05no s1" } else { b"\x10\x01" };
            stream.write_u32(answer.len() as u32).await.unwrap();
            stream.write_all(answer).await.unwrap();
        }
    });
    let kind = riemann(&address.to_string());
    let running = Running::new(kind, Common::default());
    running.send(0..3);
    running.settled().await;
    assert_eq!((running.stats().delivered.get(), running.stats().failed.get()), (2, 1));
    assert!(running.last_error().ends_with("no s1"), "{}", running.last_error());
}

#[tokio::test]
async fn live_reaches_whoever_listens_and_an_unknown_output_is_no_output() {
    let telemetry = Telemetry::default();
    let outputs = Outputs::start(&[], &telemetry).unwrap();
    assert_eq!(outputs.names(), ["live"]);
    assert!(outputs.forward("live", delivery(0)), "also when nobody listens");
    let mut live = outputs.live();
    assert!(outputs.forward("live", delivery(1)));
    assert_eq!(live.recv().await.unwrap().id(), "7:slow_api:1");
    assert!(!outputs.forward("pager", delivery(2)));
    let stats = telemetry.outputs()["live"].clone();
    assert_eq!((stats.taken.get(), stats.delivered.get()), (2, 2));
    assert_output_balances(&stats);
}

#[tokio::test]
async fn an_output_with_a_query_of_its_own_gets_what_the_index_gets() {
    let node = Node::new(1 << 20);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.ndjson");
    let common = Common { filter: Some("state = \"ok\"".into()), ..Common::default() };
    let output = Output::new("all", common, file(&path));
    let outputs = Outputs::start(&[output], &node.telemetry).unwrap();
    outputs.follow(&node.ingest);
    eventually("it has asked", || node.seen.lock().unwrap().subscribers.len() == 1).await;
    let subscriber = node.seen.lock().unwrap().subscribers[0].clone();
    let mut events = batch("a", None).into_builder();
    for service in ["a", "b"] {
        events.push(&NewEvent { service: Some(service), ..NewEvent::default() });
    }
    let mut events = events.finish();
    events.header.position = 42;
    subscriber.send(Update::Events(Arc::new(events))).await.unwrap();
    subscriber.send(Update::Skipped(5)).await.unwrap();
    let stats = node.output("all");
    eventually("all is counted", || stats.delivered.get() == 2 && stats.taken.get() == 7).await;
    assert_eq!(stats.dropped.get(), 5, "what was missed on the way here is a loss of this output");
    assert_output_balances(&stats);
    let text = std::fs::read_to_string(&path).unwrap();
    let ids: Vec<_> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids, ["42:-:1", "42:-:2"]);
    // An answer that ends is asked for again.
    node.seen.lock().unwrap().subscribers.clear();
    drop(subscriber);
    eventually("it asks again", || node.seen.lock().unwrap().subscribers.len() == 1).await;
}

#[tokio::test]
async fn an_output_whose_query_does_not_parse_is_not_started() {
    let common = Common { filter: Some("state = ".into()), ..Common::default() };
    let output = Output::new("all", common, OutputKind::Console(console::Settings::default()));
    let error = Outputs::start(&[output], &Telemetry::default()).unwrap_err();
    assert!(error.to_string().starts_with("output all: "), "{error}");
}

#[tokio::test]
async fn shutting_down_sends_what_waits_and_waits_for_nobody_longer_than_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.ndjson");
    let running = Running::new(file(&path), Common::default());
    running.send(0..2000);
    assert!(running.outputs.shutdown(Duration::from_secs(20)).await);
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2000);
    running.send(2000..2001);
    assert_eq!(running.stats().dropped.get(), 1, "too late");
    assert_output_balances(&running.stats());

    let (listener, address) = listen().await;
    drop(listener);
    let running = Running::new(webhook(address, PATIENCE), Common::default());
    running.send(0..10);
    let began = Instant::now();
    assert!(!running.outputs.shutdown(Duration::from_millis(300)).await);
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(running.stats().queued.get(), 10, "what was not sent still waits, in the books");
    assert_output_balances(&running.stats());
}

/// A node's outputs with spools in this folder, as after a start: the log brings again what it has forwarded so far.
fn restarted(folder: &Path, kind: OutputKind, common: Common, replayed: std::ops::Range<u32>) -> Running {
    let telemetry = Telemetry::default();
    let output = Output::new("out", common, kind);
    let letters = Arc::new(DeadLetters::memory(Keep::default(), telemetry.letters.clone()));
    let outputs = Outputs::open(&[output], &telemetry, Some(folder), letters).expect("it starts");
    // Everything is forwarded at position 7: what is new must lie behind the end of what was replayed.
    let end = if replayed.is_empty() { 6 } else { 7 };
    replayed.for_each(|n| outputs.replay("out", delivery(n)));
    outputs.begin(end);
    Running { telemetry, outputs }
}

#[tokio::test]
async fn what_a_dead_receiver_leaves_waiting_is_sent_after_a_restart_and_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = listen().await;
    drop(listener);
    let running = restarted(folder.path(), webhook(address, PATIENCE), Common::default(), 0..0);
    running.send(0..10);
    assert!(!running.outputs.shutdown(Duration::from_millis(300)).await);
    assert_eq!(running.outputs.settled(), u64::MAX, "all of it is in the spool");

    let posted = serve_http(TcpListener::bind(address).await.unwrap(), |_| Some(FINE)).await;
    let running = restarted(folder.path(), webhook(address, PATIENCE), Common::default(), 0..12);
    running.settled().await;
    let all: Vec<_> = posted.lock().unwrap().iter().flat_map(Posted::services).collect();
    assert_eq!(
        all,
        (0..12).map(|n| format!("s{n}")).collect::<Vec<_>>(),
        "with what the crash kept from the spool"
    );
    let stats = running.stats();
    assert_eq!((stats.taken.get(), stats.delivered.get(), stats.skipped.get()), (12, 12, 10));
    assert!(running.outputs.shutdown(PATIENCE).await);

    let running = restarted(folder.path(), webhook(address, PATIENCE), Common::default(), 0..12);
    running.send(12..13);
    running.settled().await;
    let stats = running.stats();
    assert_eq!(
        (stats.taken.get(), stats.delivered.get(), stats.skipped.get()),
        (13, 13, 12),
        "the books go on"
    );
    let last = posted.lock().unwrap().iter().flat_map(Posted::services).collect::<Vec<_>>();
    assert_eq!((last.len(), last.last().map(String::as_str)), (13, Some("s12")));
}

#[tokio::test]
async fn a_receiver_that_hangs_refuses_and_breaks_off_gets_everything_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = listen().await;
    let calls = Mutex::new(0);
    let posted = serve_http(listener, move |_| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        match *calls % 4 {
            1 => None,
            2 => Some("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
            // It has what was sent, and never gets to say so.
            3 => Some("HTTP/1.1 20"),
            _ => Some(FINE),
        }
    })
    .await;
    let common = Common { batch: 10, ..Common::default() };
    let kind = || webhook(address, Duration::from_millis(300));
    let mut repeated = 0;
    // Three lives: what was sent in one is not sent in the next.
    for life in 0..3 {
        let running = restarted(folder.path(), kind(), common.clone(), 0..life * 10);
        running.send(life * 10..(life + 1) * 10);
        running.settled().await;
        let stats = running.stats();
        assert_eq!((stats.failed.get(), stats.dropped.get(), stats.breaker.get()), (0, 0, 0));
        repeated += stats.retries.get();
        assert!(running.outputs.shutdown(PATIENCE).await);
    }
    let posted = posted.lock().unwrap();
    let firsts: Vec<_> = posted.iter().flat_map(Posted::services).collect();
    let mut seen = std::collections::BTreeSet::new();
    let order: Vec<_> = firsts.iter().filter(|service| seen.insert((*service).clone())).collect();
    assert_eq!(order, (0..30).map(|n| format!("s{n}")).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    assert!(repeated >= 3, "{repeated}");
    assert!(posted.len() as u64 >= repeated + 3, "every failure was an attempt of its own");
}

#[tokio::test]
async fn sync_waits_until_what_was_forwarded_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = listen().await;
    let _posted = serve_http(listener, |_| None).await;
    let running = restarted(folder.path(), webhook(address, PATIENCE), Common::default(), 0..0);
    running.send(0..50);
    let outputs = running.outputs.clone();
    tokio::task::spawn_blocking(move || outputs.sync()).await.unwrap().unwrap();
    assert_eq!(running.outputs.settled(), u64::MAX);
    // Nobody is asked to stop in order: the process is gone.
    drop(running);
    let running = restarted(folder.path(), webhook(address, PATIENCE), Common::default(), 0..50);
    assert_eq!((running.stats().queued.get(), running.stats().skipped.get()), (50, 50));
}

/// Standard output's stand-in.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_console_shows_a_line_per_event_that_cannot_steer_the_terminal() {
    let screen = Screen::default();
    let mut console = Console::new(screen.clone());
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent {
        time: Some(Timestamp(1_700_000_000_123_000)),
        host: Some("web1"),
        service: Some("api\u{1b}[2J"),
        state: Some("critical"),
        metric: Some(Metric::Float(412.5)),
        description: Some("slow\nas\u{202e}ever"),
        ..NewEvent::default()
    });
    let first = Delivery { batch: builder.finish(), ..delivery(0) };
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent { time: Some(Timestamp(0)), ..NewEvent::default() });
    let second = Delivery { batch: builder.finish(), ..delivery(0) };
    console.send(&[Arc::new(first), Arc::new(second)]).await.unwrap();
    expect_test::expect![[r#"
        2023-11-14T22:13:20.123Z  slow_api  web1  api\u{1b}[2J  critical  412.5  slow\nas\u{202e}ever
        1970-01-01T00:00:00.000Z  slow_api  -  -  -
    "#]]
    .assert_eq(&String::from_utf8(screen.0.lock().unwrap().clone()).unwrap());
}

/// The events of a batch of which none is lost.
fn events(taken: Taken) -> Vec<Arc<Delivery>> {
    match taken {
        Taken::Events(events) => events,
        lost @ Taken::Lost { .. } => panic!("{lost:?}"),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push,
    Take(usize),
    Settle { delivered: usize, failed: usize },
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => Just(Step::Push),
        4 => (1usize..8).prop_map(Step::Take),
        4 => (0usize..8, 0usize..8).prop_map(|(delivered, failed)| Step::Settle { delivered, failed }),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]
    #[test]
    fn a_queue_keeps_its_bounds_its_order_and_its_books(
        steps in prop::collection::vec(step(), 1..200),
        queue_events in 1usize..12,
        queue in 100usize..4000,
        drop_oldest in any::<bool>(),
    ) {
        let on_full = if drop_oldest { OnFull::DropOldest } else { OnFull::DropNewest };
        let stats = Arc::new(OutputStats::default());
        let common = Common { queue, queue_events, on_full, ..Common::default() };
        let under_test = Queue::new(&common, stats.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // A plain model of the same: numbers that wait, and how many are in somebody's hands.
        let (mut model, mut in_hand, mut pushed) = (VecDeque::new(), 0, 0);
        let cost = |n: u32| delivery(n).batch.block_len() + 64;
        let mut closed = false;
        for step in steps {
            match step {
                Step::Push => {
                    under_test.push(delivery(pushed));
                    let bytes = |model: &VecDeque<u32>| model.iter().map(|n| cost(*n)).sum::<usize>();
                    let fits = |model: &VecDeque<u32>| {
                        model.len() < queue_events && bytes(model) + cost(pushed) <= queue
                    };
                    if !closed && cost(pushed) <= queue {
                        while drop_oldest && !fits(&model) {
                            model.pop_front();
                        }
                        if fits(&model) {
                            model.push_back(pushed);
                        }
                    }
                    pushed += 1;
                }
                Step::Take(most) => {
                    // A batch is taken when the one before is settled.
                    if in_hand > 0 || (model.is_empty() && !closed) {
                        continue;
                    }
                    let taken = runtime.block_on(under_test.take(most));
                    let expected: Vec<_> = model.drain(..most.min(model.len())).collect();
                    let found = taken.map(|taken| events(taken).iter().map(|d| d.n).collect::<Vec<_>>());
                    prop_assert_eq!(found, Some(expected.clone()).filter(|e| !e.is_empty()));
                    in_hand += expected.len();
                }
                Step::Settle { delivered, failed } => {
                    let delivered = delivered.min(in_hand);
                    let failed = failed.min(in_hand - delivered);
                    under_test.delivered(delivered);
                    under_test.failed(failed);
                    in_hand -= delivered + failed;
                }
                Step::Close => {
                    under_test.close();
                    closed = true;
                }
            }
            prop_assert_eq!(stats.taken.get(), u64::from(pushed));
            prop_assert_eq!(stats.queued.get(), (model.len() + in_hand) as i64);
            assert_output_balances(&stats);
        }
    }
}

#[test]
fn many_threads_may_push_while_one_takes_and_the_books_still_balance() {
    let stats = Arc::new(OutputStats::default());
    let queue = Arc::new(Queue::new(&Common { queue_events: 50, ..Common::default() }, stats.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let pushers: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            std::thread::spawn(move || (0..2000).for_each(|n| queue.push(delivery(n))))
        })
        .collect();
    let closer = {
        let queue = queue.clone();
        std::thread::spawn(move || {
            pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
            queue.close();
        })
    };
    runtime.block_on(async {
        while let Some(taken) = queue.take(7).await {
            queue.delivered(events(taken).len());
        }
    });
    closer.join().unwrap();
    assert_eq!((stats.taken.get(), stats.queued.get()), (8000, 0));
    assert!(stats.delivered.get() > 0);
    assert_output_balances(&stats);
}
