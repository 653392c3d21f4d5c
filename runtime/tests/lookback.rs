//! Looking back on a whole node: what rules made of an event, how a stream went, and what a rule would have said.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tidegate::config::{self, Config, Environment, Source};
use tidegate::ingest::Update;
use tidegate::node::Node;
use tidegate_engine::query::Matcher;

fn config(data: &Path, more: &str) -> Config {
    let text = format!(
        "data = {:?}\n[engine]\nshards = 2\n[http]\naddress = \"127.0.0.1:0\"\n[websocket]\naddress = \"127.0.0.1:0\"\n\
         [instrumentation]\nenabled = false\n[history]\nstep = \"1s\"\n\
         [inputs.riemann]\ntype = \"riemann\"\ntcp = \"127.0.0.1:0\"\nudp = \"127.0.0.1:0\"\n{more}",
        data.display().to_string()
    );
    config::parse(Source { path: None, text }, &Environment::default()).unwrap()
}

/// A node, and a client of it.
struct Play {
    node: Node,
    http: reqwest::Client,
    at: SocketAddr,
}

impl Play {
    async fn start(data: &Path, more: &str) -> Self {
        let node = Node::start(config(data, more)).await.unwrap();
        let at = node.addresses().iter().find(|(name, _)| name == "http").unwrap().1;
        Self { node, http: reqwest::Client::new(), at }
    }

    fn ask(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("http://{}/api/v1{path}", self.at)).timeout(Duration::from_secs(60))
    }

    async fn get(&self, path: &str) -> Value {
        fine(self.ask(reqwest::Method::GET, path), 200).await
    }

    /// Deploys the moving average, which speaks whenever it crosses its limit.
    async fn average(&self, limit: &str) -> Value {
        let path = format!("/rules/avg?set.weight=1&set.limit={limit}&to.pager=live&watch=0");
        let request = self.ask(reqwest::Method::PUT, &path).header("content-type", "application/wasm");
        fine(request.body(average()), 200).await
    }

    /// Sends a metric of a stream; its position.
    async fn send(&self, host: &str, metric: f64) -> u64 {
        let event = json!({ "host": host, "service": "load", "metric": metric, "state": "ok", "ttl": 600 });
        let request = self.ask(reqwest::Method::POST, "/events").header("content-type", "application/json");
        fine(request.body(event.to_string()), 200).await["position"].as_u64().unwrap()
    }

    async fn begin(&self, wish: &Value) -> String {
        let request = self.ask(reqwest::Method::POST, "/backtests").body(wish.to_string());
        fine(request, 202).await["id"].as_str().unwrap().to_owned()
    }

    /// A backtest that is over.
    async fn over(&self, id: &str) -> Value {
        for _ in 0..600 {
            let job = self.get(&format!("/backtests/{id}")).await;
            if !["waiting", "running"].contains(&job["status"].as_str().unwrap()) {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("backtest {id} does not end");
    }
}

fn average() -> &'static [u8] {
    tidegate::rules::find("moving-average").unwrap().wasm
}

async fn fine(request: reqwest::RequestBuilder, status: u16) -> Value {
    let answer = request.send().await.unwrap();
    let (found, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert_eq!(found, status, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The row of an event in its batch is the first one: it was sent alone.
async fn explain(play: &Play, position: u64) -> Value {
    play.get(&format!("/explain?position={position}&row=0")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_explained_by_what_its_rule_remembered_and_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let play = Play::start(data.path(), "").await;
    play.average("50").await;
    let before = play.send("web1", 10.0).await;
    play.send("web2", 99.0).await;
    let crossing = play.send("web1", 80.0).await;
    for _ in 0..3 {
        play.send("web1", 81.0).await;
    }
    let first = explain(&play, before).await;
    assert_eq!((&first["index"]["before"], &first["rules"][0]["before"]), (&Value::Null, &Value::Null));
    assert_eq!(first["rules"][0]["effects"], json!([]));

    let explained = explain(&play, crossing).await;
    assert_eq!((&explained["complete"], &explained["note"]), (&json!(true), &Value::Null), "{explained}");
    let metrics = [&explained["event"]["metric"], &explained["index"]["before"]["metric"]].map(Value::as_f64);
    assert_eq!(metrics, [Some(80.0), Some(10.0)]);
    let rule = &explained["rules"][0];
    assert_eq!(
        (&rule["name"], &rule["matched"], &rule["key"]),
        (&json!("avg"), &json!(true), &json!("web1/load"))
    );
    assert_ne!(rule["before"], rule["after"], "{rule}");
    let effect = &rule["effects"][0];
    assert_eq!((&effect["kind"], &effect["output"]), (&json!("forward"), &json!("live")), "{rule}");
    assert_eq!(effect["event"]["state"], "critical");

    // A rule that does not want the event says why; a restart changes nothing of what was.
    let path = "/rules/other?set.limit=1&to.pager=live&query=host+%3D+%22web9%22+and+metric+%3E+1";
    let deploy = play.ask(reqwest::Method::PUT, path).header("content-type", "application/wasm");
    fine(deploy.body(average()), 200).await;
    let later = play.send("web1", 10.0).await;
    play.node.stop().await;
    let play = Play::start(data.path(), "").await;
    assert_eq!(explain(&play, crossing).await, explained);
    let last = explain(&play, later).await;
    assert_eq!(last["rules"][0]["effects"][0]["event"]["state"], "ok", "{last}");
    let other = &last["rules"][1];
    assert_eq!((&other["name"], &other["matched"]), (&json!("other"), &json!(false)));
    assert_eq!(other["why"], "does not hold: (= host \"web9\")");
    let nothing = play.ask(reqwest::Method::GET, "/explain?position=999999&row=0");
    fine(nothing, 404).await;
    play.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_on_the_way_changes_nothing_of_an_explanation() {
    let data = tempfile::tempdir().unwrap();
    let often = "[log]\ncheckpoint = \"100ms\"\n";
    let play = Play::start(data.path(), often).await;
    play.average("50").await;
    for n in 0..6 {
        play.send("web1", f64::from(n)).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(play.node.telemetry().checkpoints.made.get() > 0);
    let crossing = play.send("web1", 80.0).await;
    let explained = explain(&play, crossing).await;
    assert_eq!(explained["complete"], true, "{explained}");
    assert_eq!(explained["index"]["before"]["metric"].as_f64(), Some(5.0));
    assert_eq!(explained["rules"][0]["effects"][0]["event"]["state"], "critical");
    assert_eq!(
        explained["rules"][0]["before"]["average"],
        explain(&play, crossing).await["rules"][0]["before"]["average"]
    );
    play.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_stream_went_is_in_memory_and_in_the_log_before() {
    let data = tempfile::tempdir().unwrap();
    let play = Play::start(data.path(), "[log]\ncheckpoint = \"1d\"\n").await;
    for metric in [1.0, 7.0, 3.0] {
        play.send("web1", metric).await;
    }
    let seen = async |play: &Play, from: &str| {
        let found = play.get(&format!("/history?host=web1&service=load&from={from}&points=1")).await;
        let point = found["points"].as_array().unwrap().first().cloned().unwrap_or_default();
        (
            found["source"].as_str().unwrap().to_owned(),
            [1, 2, 3, 4].map(|n| point[n].as_f64()),
            found["complete"].clone(),
        )
    };
    let all = [1.0, 7.0, 3.0, 3.0].map(Some);
    for _ in 0..100 {
        if seen(&play, "-5s").await.1 == all {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(seen(&play, "-1h").await.1, all);
    play.node.stop().await;

    // A new life of the node knows nothing of it: the log does.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let play = Play::start(data.path(), "[log]\ncheckpoint = \"1d\"\n").await;
    let (_, points, complete) = seen(&play, "-1h").await;
    assert_eq!((points, complete), (all, json!(true)));
    play.send("web1", 9.0).await;
    for _ in 0..100 {
        if seen(&play, "-1h").await.1 == [1.0, 9.0, 9.0, 4.0].map(Some) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(seen(&play, "-1h").await.1, [1.0, 9.0, 9.0, 4.0].map(Some));
    play.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backtest_over_http_says_when_each_version_would_have_fired() {
    let data = tempfile::tempdir().unwrap();
    let play = Play::start(data.path(), "").await;
    play.average("50").await;
    for metric in [10.0, 30.0, 80.0, 10.0] {
        play.send("web1", metric).await;
        // Times are told in milliseconds.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let wish = json!({
        "rule": "avg", "set": { "limit": "20" }, "against": { "rule": "avg" }, "from": "-1h",
        "chart": { "host": "web1", "service": "load" },
    });
    let id = play.begin(&wish).await;
    let job = play.over(&id).await;
    assert_eq!(
        (&job["status"], &job["progress"], &job["error"]),
        (&json!("done"), &json!(1.0), &Value::Null),
        "{job}"
    );
    let report = &job["report"];
    assert_eq!(
        (&report["rule"]["set"]["limit"], &report["against"]["set"]["limit"]),
        (&json!("20"), &json!("50"))
    );
    assert_eq!(
        (&report["rule"]["fired"]["count"], &report["differences"]["fired"]["same"]),
        (&json!(1), &json!(1))
    );
    let chart = &report["chart"];
    assert_eq!(
        chart["points"].as_array().unwrap().iter().map(|point| point[4].as_u64().unwrap()).sum::<u64>(),
        4
    );
    // The lower limit is crossed one event earlier.
    let from = |side: &str| chart[side][0]["from"].as_str().unwrap().to_owned();
    assert!(from("rule") < from("against"), "{chart}");

    // What cannot be tried fails with its reason, and what is over can be forgotten.
    let bad = play.begin(&json!({ "module": "0123" })).await;
    let failed = play.over(&bad).await;
    assert_eq!(failed["status"], "failed");
    assert!(failed["error"].as_str().unwrap().contains("no module with digest 0123"), "{failed}");
    let removed = play.ask(reqwest::Method::DELETE, &format!("/backtests/{bad}"));
    assert_eq!(fine(removed, 200).await["removed"], true);
    assert_eq!(play.get("/backtests").await["backtests"].as_array().unwrap().len(), 1);
    play.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_is_kept_compared_with_what_runs_and_tried() {
    let data = tempfile::tempdir().unwrap();
    let play = Play::start(data.path(), "").await;
    play.average("50").await;
    let send = |path: &str| {
        play.ask(reqwest::Method::POST, path).header("content-type", "application/wasm").body(average())
    };
    let kept = fine(send("/modules"), 200).await;
    assert_eq!((&kept["name"], &kept["running"]), (&json!("moving_average"), &Value::Null), "{kept}");
    let names: Vec<_> = kept["parameters"].as_array().unwrap().iter().map(|param| &param["name"]).collect();
    assert_eq!(names, ["limit", "weight"]);
    assert_eq!(
        (&kept["parameters"][0]["required"], &kept["outputs"][0]["name"]),
        (&json!(true), &json!("pager"))
    );
    let seen = fine(send("/modules/inspect?rule=avg"), 200).await;
    let running = &seen["running"];
    assert_eq!((&running["generation"], &running["changes"]), (&json!(1), &json!([])), "{seen}");
    assert_eq!((&running["set"]["limit"], &running["outputs"]["pager"]), (&json!("50"), &json!("live")));
    play.send("web1", 60.0).await;
    let wish = json!({ "module": kept["module"], "set": { "limit": "10" }, "against": null });
    let job = play.over(&play.begin(&wish).await).await;
    assert_eq!((&job["status"], &job["report"]["rule"]["wanted"]), (&json!("done"), &json!(1)), "{job}");
    play.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_hears_the_latest_of_each_stream_and_the_last_of_those_that_end() {
    let data = tempfile::tempdir().unwrap();
    let play = Play::start(data.path(), "").await;
    let mut all = play.node.ingest().follow(&Matcher::parse("service = \"busy\"").unwrap()).unwrap();
    for round in 0..20 {
        let events: Vec<Value> = (0..500)
            .map(|n| json!({ "host": format!("h{}", n % 5), "service": "busy", "metric": round * 500 + n, "ttl": 1 }))
            .collect();
        let request = play.ask(reqwest::Method::POST, "/events").header("content-type", "application/json");
        fine(request.body(json!(events).to_string()), 200).await;
    }
    let (mut heard, mut latest, mut ended) = (0, std::collections::BTreeMap::new(), 0);
    while ended < 5 {
        let update = tokio::time::timeout(Duration::from_secs(20), all.updates.recv()).await.unwrap();
        let Some(Update::Events(batch)) = update else { panic!("{update:?}") };
        for event in batch.events() {
            heard += 1;
            match event.state() {
                Some("expired") => ended += 1,
                _ => drop(latest.insert(event.host().unwrap().to_owned(), event.metric().unwrap())),
            }
        }
    }
    assert!(heard < 2_000, "{heard} events of 10,000 were told");
    assert_eq!(latest.into_values().collect::<Vec<_>>(), [9_995.0, 9_996.0, 9_997.0, 9_998.0, 9_999.0]);
    play.node.stop().await;
}
