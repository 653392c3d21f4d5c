//! A whole node: events through real sockets, the log over restarts, time that moves by itself.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tidegate::config::{self, Config, Environment, Source};
use tidegate::node::Node;
use tidegate_engine::codec::{Limits, riemann};
use tidegate_engine::query::Matcher;
use tidegate_event::{BatchBuilder, Metric, NewEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A node of two shards that says nothing of itself.
fn config(data: &Path, more: &str) -> Config {
    settings(data, &format!("[instrumentation]\nenabled = false\n{more}"))
}

fn settings(data: &Path, more: &str) -> Config {
    let text = format!(
        "data = {:?}\n[engine]\nshards = 2\n[http]\naddress = \"127.0.0.1:0\"\n[websocket]\naddress = \"127.0.0.1:0\"\n\
         [inputs.riemann]\ntype = \"riemann\"\ntcp = \"127.0.0.1:0\"\nudp = \"127.0.0.1:0\"\n{more}",
        data.display().to_string()
    );
    config::parse(Source { path: None, text }, &Environment::default()).unwrap()
}

fn address(node: &Node, what: &str) -> SocketAddr {
    node.addresses()
        .iter()
        .find(|(name, _)| name == what)
        .unwrap_or_else(|| panic!("{:?}", node.addresses()))
        .1
}

async fn ask(to: &mut TcpStream, message: &[u8]) -> Vec<u8> {
    to.write_u32(message.len() as u32).await.unwrap();
    to.write_all(message).await.unwrap();
    let len = to.read_u32().await.unwrap();
    let mut answer = vec![0; len as usize];
    to.read_exact(&mut answer).await.unwrap();
    answer
}

fn message(events: &[NewEvent<'_>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    events.iter().for_each(|event| builder.push(event));
    let mut bytes = Vec::new();
    riemann::encode_message(&mut bytes, builder.finish().events());
    bytes
}

fn query(text: &str) -> Vec<u8> {
    let mut bytes = vec![5 << 3 | 2, text.len() as u8 + 2, 1 << 3 | 2, text.len() as u8];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn services(answer: &[u8]) -> Vec<String> {
    let mut builder = BatchBuilder::new();
    riemann::decode_copy(&mut builder, answer, &Limits::default()).unwrap();
    let mut services: Vec<_> =
        builder.finish().events().map(|event| event.service().unwrap().to_owned()).collect();
    services.sort();
    services
}

fn event<'a>(service: &'a str, ttl: f32) -> NewEvent<'a> {
    NewEvent {
        host: Some("a"),
        service: Some(service),
        metric: Some(Metric::Int(1)),
        ttl: Some(ttl),
        time: Some(tidegate::clock::now()),
        ..NewEvent::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acked_is_found_and_is_still_there_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(config(data.path(), "")).await.unwrap();
    let mut client = TcpStream::connect(address(&node, "riemann tcp")).await.unwrap();
    let services_sent: Vec<String> = (0..500).map(|n| format!("s{n:03}")).collect();
    let events: Vec<_> = services_sent.iter().map(|service| event(service, 600.0)).collect();
    assert_eq!(ask(&mut client, &message(&events)).await, [0x10, 1]);
    assert_eq!(services(&ask(&mut client, &query("service =~ \"s%\"")).await), services_sent);
    node.stop().await;

    let node = Node::start(config(data.path(), "")).await.unwrap();
    assert_eq!(node.recovered().events, 500);
    let mut client = TcpStream::connect(address(&node, "riemann tcp")).await.unwrap();
    assert_eq!(services(&ask(&mut client, &query("true")).await), services_sent);
    let again = Node::start(config(data.path(), "")).await.err().unwrap().to_string();
    assert!(again.contains("belongs to another running tidegate"), "{again}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_moves_by_itself_and_streams_run_out() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(config(data.path(), "")).await.unwrap();
    let mut all = node.ingest().subscribe(&Matcher::parse("state = \"expired\"").unwrap(), true).unwrap();
    let mut client = TcpStream::connect(address(&node, "riemann tcp")).await.unwrap();
    ask(&mut client, &message(&[event("short", 0.2), event("long", 600.0)])).await;
    let gone = async {
        loop {
            if let Some(tidegate::ingest::Update::Events(batch)) = all.updates.recv().await {
                return batch.event(0).service().unwrap().to_owned();
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap(), "short");
    assert_eq!(services(&ask(&mut client, &query("true")).await), ["long"]);
    node.stop().await;
}

/// A page's stream, and all that was heard on it.
struct Heard(reqwest::Response, String);

impl Heard {
    /// Listens until that is so.
    async fn until(&mut self, so: impl Fn(&Self) -> bool) {
        let began = std::time::Instant::now();
        while !so(self) {
            assert!(began.elapsed() < Duration::from_secs(20), "it does not come: {}", self.1);
            let more = self.0.chunk().await.unwrap().expect("the stream goes on");
            self.1.push_str(std::str::from_utf8(&more).unwrap());
        }
    }

    /// Of each event of a service whether it says that its stream has left.
    fn of(&self, service: &str) -> Vec<bool> {
        let lines = self.1.lines().filter_map(|line| line.strip_prefix("data: "));
        let frames = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let events = frames.flat_map(|frame| frame["events"].as_array().unwrap().clone());
        events.filter(|event| event["service"] == service).map(|event| event["left"] == true).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_hears_when_a_stream_no_longer_matches_and_when_it_does_again() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(config(data.path(), "")).await.unwrap();
    let mut client = TcpStream::connect(address(&node, "riemann tcp")).await.unwrap();
    let now = |service, metric, ttl| NewEvent { metric: Some(Metric::Int(metric)), ..event(service, ttl) };
    ask(&mut client, &message(&[now("up", 9, 600.0), now("down", 1, 600.0), now("short", 9, 3.0)])).await;
    let asked = "metric+%3E+5+and+not+state+%3D+%22expired%22";
    let path = format!("http://{}/api/v1/stream?q={asked}&frames=snapshot,delta", address(&node, "http"));
    let mut page = Heard(reqwest::get(path).await.unwrap(), String::new());
    page.until(|page| page.of("up") == [false] && page.of("short") == [false]).await;
    assert!(page.of("down").is_empty(), "{}", page.1);
    // Its time is over.
    page.until(|page| page.of("short") == [false, true]).await;
    for (n, metric, wanted) in
        [(1, 1, &[false, true][..]), (2, 2, &[false, true]), (3, 8, &[false, true, false])]
    {
        ask(&mut client, &message(&[now("up", metric, 600.0), now("mark", 100, 600.0)])).await;
        page.until(|page| page.of("mark").len() == n && page.of("up") == wanted).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_log_nothing_is_kept() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("never made");
    let node = Node::start(config(&folder, "[log]\nenabled = false\n")).await.unwrap();
    let mut client = TcpStream::connect(address(&node, "riemann tcp")).await.unwrap();
    assert_eq!(ask(&mut client, &message(&[event("x", 60.0)])).await, [0x10, 1]);
    assert_eq!(services(&ask(&mut client, &query("true")).await), ["x"]);
    node.stop().await;
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reports_on_itself_under_riemanns_names() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(settings(data.path(), "[instrumentation]\ninterval = \"100ms\"\n")).await.unwrap();
    let tcp = address(&node, "riemann tcp");
    let mut client = TcpStream::connect(tcp).await.unwrap();
    let found = async |client: &mut TcpStream| {
        // A rate is in the index as soon as one interval is over; a latency once there was a message to take it from.
        services(&ask(client, &query("service =~ \"riemann %\" and tagged \"riemann\"")).await)
    };
    let wanted =
        ["in latency 0.5", "in rate", "conns"].map(|what| format!("riemann server tcp {tcp} {what}"));
    eventually("Riemann's names are there", async || {
        let all = found(&mut client).await;
        wanted.iter().all(|name| all.contains(name)) && all.contains(&"riemann streams rate".to_owned())
    })
    .await;
    let all = found(&mut client).await;
    for name in [
        "riemann index size",
        "riemann netty event-executor queue size",
        "riemann executor live accepted rate",
    ] {
        assert!(all.contains(&name.to_owned()), "{name} is not in {all:?}");
    }
    let ours = services(&ask(&mut client, &query("service =~ \"tidegate shard %\"")).await);
    assert!(ours.contains(&"tidegate shard 1 queue".to_owned()), "{ours:?}");
    let inputs = node.telemetry().inputs();
    assert_eq!(inputs["riemann/tcp"].received.get(), 0, "the node's own events are counted as its own");
    assert!(inputs["instrumentation"].accepted.get() > 0);
    node.stop().await;
}

/// A rule of the binary, deployed over HTTP while events flow.
async fn deploy(node: &Node, name: &str, parameters: &str) -> serde_json::Value {
    let url = format!("http://{}/api/v1/rules/{name}?{parameters}", address(node, "http"));
    let wasm = tidegate::rules::find(name).unwrap().wasm;
    let client = reqwest::Client::new();
    let request = client.put(url).header("content-type", "application/wasm").body(wasm);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap()
}

async fn rule(node: &Node, name: &str) -> serde_json::Value {
    let url = format!("http://{}/api/v1/rules/{name}", address(node, "http"));
    serde_json::from_str(&reqwest::get(url).await.unwrap().text().await.unwrap()).unwrap()
}

/// Asks until the answer is as it should be, for a while.
async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if ask().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_deployed_while_events_flow_and_is_back_with_its_state_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(config(data.path(), "")).await.unwrap();
    let mut client = TcpStream::connect(address(&node, "riemann tcp")).await.unwrap();
    let event = |metric: i64| NewEvent { metric: Some(Metric::Int(metric)), ..event("queue", 600.0) };
    ask(&mut client, &message(&[event(1)])).await;

    let deployed = deploy(&node, "moving-average", "set.limit=100&set.weight=0.5&to.pager=live").await;
    assert_eq!(
        (deployed["generation"].as_u64(), deployed["shards"].as_u64()),
        (Some(1), Some(2)),
        "{deployed}"
    );
    ask(&mut client, &message(&[event(190)])).await;
    eventually("the rule saw one event", async || rule(&node, "moving-average").await["events"] == 1).await;
    let forwarded = rule(&node, "moving-average").await["forwarded"].as_u64();
    assert_eq!(forwarded, Some(1), "190 is above 100 at once");
    node.stop().await;

    let node = Node::start(config(data.path(), "")).await.unwrap();
    let mut client = TcpStream::connect(address(&node, "riemann tcp")).await.unwrap();
    assert_eq!(rule(&node, "moving-average").await["status"], "running");
    // The average is 190 still, and falls to 105: no crossing. A rule that had forgotten would be at 20 and say so.
    ask(&mut client, &message(&[event(20)])).await;
    eventually("the rule saw the event", async || rule(&node, "moving-average").await["events"] == 2).await;
    let now = rule(&node, "moving-average").await;
    assert_eq!(now["forwarded"].as_u64(), Some(1), "counted again while the log was read: {now}");
    ask(&mut client, &message(&[event(20)])).await;
    eventually("it crossed back", async || rule(&node, "moving-average").await["forwarded"] == 2).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_cannot_take_over_what_keys_remember_is_refused_unless_it_may_forget() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(config(data.path(), "")).await.unwrap();
    let mut client = TcpStream::connect(address(&node, "riemann tcp")).await.unwrap();
    deploy(&node, "moving-average", "set.limit=100&to.pager=live").await;
    ask(
        &mut client,
        &message(&[NewEvent { host: Some("w1"), metric: Some(Metric::Int(7)), ..event("queue", 600.0) }]),
    )
    .await;
    let state = format!("http://{}/api/v1/rules/moving-average/state?key=w1/queue", address(&node, "http"));
    eventually("the key is there", async || reqwest::get(&state).await.unwrap().status().is_success()).await;

    let other = async |more: &str| {
        let url = format!(
            "http://{}/api/v1/rules/moving-average?query=true&per=stream{more}",
            address(&node, "http")
        );
        let wasm = tidegate::rules::find("error-ratio").unwrap().wasm;
        let request = reqwest::Client::new().put(url).header("content-type", "application/wasm").body(wasm);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, said) = other("&set.errors=x&to.board=live&to.pager=live").await;
    assert_eq!(status, 422, "{said}");
    assert!(said.contains("--reset-state") && said.contains("field"), "{said}");
    assert_eq!(rule(&node, "moving-average").await["generation"], 1, "nothing was changed");
    let (status, said) = other("&set.errors=x&to.board=live&to.pager=live&reset_state=true").await;
    assert_eq!(status, 200, "{said}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_filled_in_begins_as_if_it_had_heard_the_log() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(config(data.path(), "")).await.unwrap();
    let mut client = TcpStream::connect(address(&node, "riemann tcp")).await.unwrap();
    let event = |metric: i64| NewEvent {
        host: Some("w1"),
        metric: Some(Metric::Int(metric)),
        ..event("queue", 600.0)
    };
    for metric in [10, 20, 30] {
        ask(&mut client, &message(&[event(metric)])).await;
    }
    deploy(&node, "moving-average", "set.limit=100&set.weight=0.5&to.pager=live&backfill=1h").await;
    let states = async |node: &Node| {
        let url = format!("http://{}/api/v1/rules/moving-average/state", address(node, "http"));
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["keys"].to_string()
    };
    eventually("it remembers what came before it", async || states(&node).await.contains("22.5")).await;
    assert_eq!(rule(&node, "moving-average").await["forwarded"], 0, "it says nothing about the past");
    ask(&mut client, &message(&[event(40)])).await;
    eventually("it goes on from there", async || states(&node).await.contains("31.25")).await;
    node.stop().await;
    let node = Node::start(config(data.path(), "")).await.unwrap();
    eventually("a replay does the same", async || states(&node).await.contains("31.25")).await;
    node.stop().await;
}
