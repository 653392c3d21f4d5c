//! Deployments on a whole node: two deployers at once, history and trials over restarts, what the node decides by itself,
//! quarantines that survive, and a kill switch that works under load.

#[path = "../wasm/tests/hostile/skeleton.rs"]
mod skeleton;

use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tidegate::config::{self, Config, Environment, Source};
use tidegate::node::Node;
use tidegate_engine::codec::riemann;
use tidegate_event::{BatchBuilder, Metric, NewEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn config(data: &Path) -> Config {
    let text = format!(
        "data = {:?}\n[engine]\nshards = 2\n[http]\naddress = \"127.0.0.1:0\"\n[websocket]\naddress = \"127.0.0.1:0\"\n\
         [inputs.riemann]\ntype = \"riemann\"\ntcp = \"127.0.0.1:0\"\nudp = \"127.0.0.1:0\"\n[instrumentation]\nenabled = false\n",
        data.display().to_string()
    );
    config::parse(Source { path: None, text }, &Environment::default()).unwrap()
}

/// A node, and a client of it.
struct Play {
    node: Node,
    http: reqwest::Client,
    events: TcpStream,
}

fn address(node: &Node, what: &str) -> SocketAddr {
    node.addresses().iter().find(|(name, _)| name == what).expect("it listens").1
}

impl Play {
    async fn start(data: &Path) -> Self {
        let node = Node::start(config(data)).await.unwrap();
        let events = TcpStream::connect(address(&node, "riemann tcp")).await.unwrap();
        Self { node, http: reqwest::Client::new(), events }
    }

    fn ask(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("http://{}/api/v1{path}", address(&self.node, "http")))
    }

    /// Deploys a module; the answer's status and value.
    async fn put(&self, path: &str, wasm: &[u8], headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = self.ask(reqwest::Method::PUT, path).header("content-type", "application/wasm");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.body(wasm.to_vec())).await
    }

    /// Deploys the moving average, which speaks whenever it crosses its limit.
    async fn average(&self, more: &str) -> Value {
        let path = format!("/rules/avg?set.weight=1&to.pager=live&{more}");
        let (status, answer) = self.put(&path, average(), &[("x-tidegate-by", "eve@box")]).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn post(&self, path: &str) -> (u16, Value) {
        answer(self.ask(reqwest::Method::POST, path)).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = answer(self.ask(reqwest::Method::GET, path)).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    /// How earlier generations ended, by number.
    async fn past(&self) -> Vec<(u64, String)> {
        let history = self.get("/rules/avg/history").await;
        let past = history["history"].as_array().unwrap().iter();
        past.map(|past| (past["generation"].as_u64().unwrap(), past["how"].as_str().unwrap().to_owned()))
            .collect()
    }

    /// Sends so many events of ten streams whose metric goes up and down between 0 and 1000.
    async fn up_and_down(&mut self, events: usize) {
        for chunk in (0..events).collect::<Vec<_>>().chunks(100) {
            let names: Vec<String> = chunk.iter().map(|n| format!("s{}", n % 10)).collect();
            let events: Vec<NewEvent<'_>> = chunk
                .iter()
                .zip(&names)
                .map(|(n, service)| NewEvent {
                    host: Some("a"),
                    service: Some(service),
                    metric: Some(Metric::Int(if n / 10 % 2 == 0 { 0 } else { 1000 })),
                    ttl: Some(600.0),
                    time: Some(tidegate::clock::now()),
                    ..NewEvent::default()
                })
                .collect();
            send(&mut self.events, &events).await;
        }
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

async fn send(to: &mut TcpStream, events: &[NewEvent<'_>]) {
    let mut builder = BatchBuilder::new();
    events.iter().for_each(|event| builder.push(event));
    let mut bytes = Vec::new();
    riemann::encode_message(&mut bytes, builder.finish().events());
    to.write_u32(bytes.len() as u32).await.unwrap();
    to.write_all(&bytes).await.unwrap();
    let len = to.read_u32().await.unwrap();
    let mut answer = vec![0; len as usize];
    to.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0x10, 1]);
}

fn average() -> &'static [u8] {
    tidegate::rules::find("moving-average").unwrap().wasm
}

/// A module that cannot stand any event.
fn poisoned() -> Vec<u8> {
    let batch = "(if (i32.load offset=8 (global.get $inbox)) (then (call $at (i32.const 3) (i32.const 0)) unreachable))
        (call $at (i32.const 0) (i32.const -1))
        (call $answer (i32.const 1024) (i32.const 0) (i32.const 32768) (i32.const 0))
        (i32.const 0)";
    wat::parse_str(skeleton::Module { batch, ..skeleton::Module::default() }.text()).unwrap()
}

/// Asks until the answer is as it should be, for a while.
async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    for _ in 0..1200 {
        if ask().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_deployers_at_once_one_is_told_who_was_faster() {
    let data = tempfile::tempdir().unwrap();
    let play = Play::start(data.path()).await;
    play.average("set.limit=1").await;
    let tag = play.ask(reqwest::Method::GET, "/rules/avg").send().await.unwrap().headers()["etag"].clone();
    let tag = tag.to_str().unwrap();
    let deploy = async |by: &str, limit: &str| {
        let headers = [("if-match", tag), ("x-tidegate-by", by)];
        play.put(&format!("/rules/avg?set.limit={limit}"), average(), &headers).await
    };
    let (one, other) = tokio::join!(deploy("eve", "2"), deploy("bob", "3"));
    let (done, late) = if one.0 == 200 { (one, other) } else { (other, one) };
    assert_eq!((done.0, late.0), (200, 412), "{done:?} {late:?}");
    let rule = play.get("/rules/avg").await;
    assert_eq!(rule["generation"], 2);
    assert_eq!(late.1["error"]["generation"], 2);
    assert_eq!(late.1["error"]["by"], rule["by"]);
    // What was wished once is done once, however often it is asked for.
    let again = async || play.put("/rules/avg?set.limit=9", average(), &[("idempotency-key", "k")]).await;
    let (first, second) = tokio::join!(again(), again());
    assert_eq!((first.0, &first.1), (200, &second.1));
    assert_eq!(play.get("/rules/avg").await["generation"], 3);
    play.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_trials_survive_a_restart_and_what_is_rolled_back_is_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let play = Play::start(data.path()).await;
    for limit in ["1", "2"] {
        play.average(&format!("set.limit={limit}")).await;
    }
    let tried = play.average("set.limit=3&canary=5&watch=0").await;
    assert_eq!(tried["generation"], 3);
    play.node.stop().await;

    let play = Play::start(data.path()).await;
    assert_eq!(play.past().await, [(1, "replaced".to_owned())]);
    let rule = play.get("/rules/avg").await;
    let trial = &rule["trial"];
    assert_eq!((&trial["generation"], &trial["percent"]), (&3.into(), &5.0.into()), "{rule}");
    assert_eq!(
        (&rule["by"], &trial["by"], &trial["promoted_at"]),
        (&"eve@box".into(), &"eve@box".into(), &Value::Null)
    );
    let (status, _) = play.post("/rules/avg/promote").await;
    assert_eq!(status, 200);
    let (status, back) = play.post("/rules/avg/rollback?to=1&reason=a+test").await;
    assert_eq!((status, &back["generation"]), (200, &4.into()), "{back}");
    play.node.stop().await;

    let play = Play::start(data.path()).await;
    let ends = [(1, "replaced"), (2, "replaced"), (3, "rolled back")].map(|(n, how)| (n, how.to_owned()));
    assert_eq!(play.past().await, ends);
    let rule = play.get("/rules/avg").await;
    assert_eq!((&rule["generation"], &rule["set"]["limit"]), (&4.into(), &"1".into()));
    assert_eq!(rule["trial"], Value::Null);
    play.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_asks_for_far_more_than_the_one_before_is_taken_back_by_itself() {
    let data = tempfile::tempdir().unwrap();
    let mut play = Play::start(data.path()).await;
    play.average("set.limit=1000000").await;
    play.up_and_down(2_000).await;
    eventually("the first version saw all", async || play.get("/rules/avg").await["events"] == 2_000).await;
    play.average("set.limit=500").await;
    play.up_and_down(2_000).await;
    eventually("it is taken back", async || play.get("/rules/avg").await["generation"] == 3).await;
    assert_eq!(play.past().await, [(1, "replaced".to_owned()), (2, "rolled back".to_owned())]);
    let rule = play.get("/rules/avg").await;
    assert_eq!((&rule["set"]["limit"], &rule["by"]), (&"1000000".into(), &"tidegate".into()));
    let history = play.get("/rules/avg/history").await;
    let reason = history["history"][1]["reason"].as_str().unwrap();
    assert!(reason.contains("more than 10 times"), "{reason}");
    assert_eq!(play.node.telemetry().control.rolled_back.get(), 1);
    // It says so in the stream.
    let found = play.get("/query?q=service+%3D+%22tidegate+rule+avg%22").await;
    assert!(
        found["events"][0]["description"].as_str().unwrap().contains("is back at generation 1: it asks for")
    );
    play.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_does_well_is_promoted_over_a_restart_and_one_that_fails_is_given_up() {
    let data = tempfile::tempdir().unwrap();
    let mut play = Play::start(data.path()).await;
    play.average("set.limit=500").await;
    play.average("set.limit=500&shadow=true&watch=3s").await;
    play.up_and_down(500).await;
    eventually("both were compared", async || {
        play.get("/rules/avg").await["trial"]["same"].as_u64() > Some(400)
    })
    .await;
    let trial = play.get("/rules/avg").await["trial"].clone();
    assert_eq!((&trial["only_new"], &trial["only_old"]), (&0.into(), &0.into()));
    play.node.stop().await;

    let mut play = Play::start(data.path()).await;
    // Its time ran on while the node was down, and what it has shown is in the log.
    eventually("it is promoted", async || play.get("/rules/avg").await["generation"] == 2).await;
    assert_eq!(play.past().await, [(1, "replaced".to_owned())]);

    let (status, answer) = play.put("/rules/avg?canary=100", &poisoned(), &[]).await;
    assert_eq!(status, 200, "{answer}");
    for _ in 0..6 {
        play.up_and_down(10).await;
    }
    eventually("it is given up", async || play.get("/rules/avg").await["trial"] == Value::Null).await;
    assert_eq!(play.past().await[1], (3, "abandoned".to_owned()));
    assert_eq!(play.get("/rules/avg").await["generation"], 2);
    let counted = &play.node.telemetry().control;
    assert_eq!((counted.promoted.get(), counted.abandoned.get()), (1, 1));
    play.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_pauses_and_quarantines_survive_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let mut play = Play::start(data.path()).await;
    play.average("set.limit=500").await;
    let (status, answer) = play.post("/rules/avg/pause").await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = play.put("/rules/bad", &poisoned(), &[]).await;
    assert_eq!(status, 200, "{answer}");
    // Each quarantine is twice as long as the one before: after some there is time to restart in one.
    eventually("it is left alone for a while", async || {
        play.up_and_down(10).await;
        let rule = play.get("/rules/bad").await;
        let until =
            rule["quarantined_until"].as_str().and_then(|until| until.parse::<jiff::Timestamp>().ok());
        let long = tidegate::clock::now().0 + 6_000_000;
        rule["status"] == "quarantined" && until.is_some_and(|until| until.as_microsecond() > long)
    })
    .await;
    let before = play.get("/rules/bad").await;
    play.node.stop().await;

    let play = Play::start(data.path()).await;
    assert_eq!(play.get("/rules/avg").await["status"], "paused");
    let after = play.get("/rules/bad").await;
    for what in ["generation", "module", "quarantined_until", "since"] {
        assert_eq!(after[what], before[what], "{what}");
    }
    // Of two shards that fail at one position either may be the last.
    assert_eq!(after["last_fault"]["at"], before["last_fault"]["at"]);
    play.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rule_is_paused_and_removed_while_events_come_as_fast_as_they_can() {
    let data = tempfile::tempdir().unwrap();
    let play = Play::start(data.path()).await;
    for name in ["one", "other"] {
        let path = format!("/rules/{name}?set.limit=500&to.pager=live");
        assert_eq!(play.put(&path, average(), &[]).await.0, 200);
    }
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut floods = Vec::new();
    for client in 0..4 {
        let (stop, sent) = (stop.clone(), sent.clone());
        let mut to = TcpStream::connect(address(&play.node, "riemann tcp")).await.unwrap();
        floods.push(tokio::spawn(async move {
            let names: Vec<String> = (0..1000).map(|n| format!("c{client} s{n}")).collect();
            let began = Instant::now();
            while !stop.load(SeqCst) && began.elapsed() < Duration::from_secs(60) {
                let event = |service| NewEvent {
                    host: Some("a"),
                    service: Some(service),
                    metric: Some(Metric::Int(7)),
                    ttl: Some(60.0),
                    time: Some(tidegate::clock::now()),
                    ..NewEvent::default()
                };
                let events: Vec<NewEvent<'_>> = names.iter().map(|name| event(name.as_str())).collect();
                send(&mut to, &events).await;
                sent.fetch_add(1000, SeqCst);
            }
        }));
    }
    eventually("the flood is on", async || sent.load(SeqCst) > 100_000).await;
    let at_pause = sent.load(SeqCst);
    assert_eq!(play.post("/rules/one/pause").await.0, 200);
    let (status, answer) = answer(play.ask(reqwest::Method::DELETE, "/rules/other")).await;
    assert_eq!(status, 200, "{answer}");
    // An answer means that it is so: no event reaches either any more, though more and more come.
    let seen = play.get("/rules/one").await["events"].clone();
    eventually("the flood goes on", async || sent.load(SeqCst) > at_pause + 50_000).await;
    assert_eq!(play.get("/rules/one").await["events"], seen);
    stop.store(true, SeqCst);
    for flood in floods {
        flood.await.unwrap();
    }
    play.node.stop().await;
}
