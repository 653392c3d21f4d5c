//! What the page asks for beside the events: completion, views, the picture of the node, what rules have said, modules.

use crate::fake::{Frames, Node, one, sample};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use tidegate::ingest::{NO_ROW, Update};
use tidegate_event::{BatchBuilder, FieldSet};

async fn told(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_tap_with_positions_says_where_each_event_stands_in_the_log() {
    let node = Node::start().await;
    let mut tap = Frames::of(node.get("/api/v1/tap?positions=true&limit=3").await);
    node.await_subscribers(1).await;
    let mut placed = BatchBuilder::new();
    for (event, row) in sample().events().zip([4, 7, NO_ROW]) {
        placed.copy(&event, FieldSet::ALL, |copy| copy.slot = row);
    }
    let mut placed = placed.finish();
    placed.header.position = 42;
    for (_, updates) in node.subscribers() {
        updates.send(Update::Events(Arc::new(placed.clone()))).await.unwrap();
    }
    let mut seen = Vec::new();
    while let Some(frame) = tap.next().await {
        seen.extend(frame.data);
    }
    let places: Vec<_> = seen.iter().map(|seen| (&seen["position"], &seen["row"])).collect();
    assert_eq!(places, [(&json!(42), &json!(4)), (&json!(42), &json!(7)), (&json!(42), &json!(null))]);
    assert_eq!(seen[1]["event"]["host"], "web2");
    let mut plain = Frames::of(node.get("/api/v1/tap?limit=1").await);
    node.await_subscribers(1).await;
    node.publish(&one("a", "b", 1)).await;
    let mut seen = Vec::new();
    while let Some(frame) = plain.next().await {
        seen.extend(frame.data);
    }
    assert_eq!(seen[0]["host"], "a");
}

#[tokio::test]
async fn completion_knows_the_words_of_the_index() {
    let node = Node::start().await;
    let items = async |path: &str| {
        let found = told(node.get(path).await).await;
        let items: Vec<String> = found["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["text"].as_str().unwrap().to_owned())
            .collect();
        (found["from"].as_u64().unwrap(), found["to"].as_u64().unwrap(), items)
    };
    let (from, to, found) = items("/api/v1/complete?q=host+%3D+w").await;
    assert_eq!((from, to, found), (7, 8, vec!["\"web1\"".to_owned(), "\"web2\"".to_owned()]));
    let (from, to, found) = items("/api/v1/complete?q=tagged+%22e+and+true&at=9").await;
    assert_eq!((from, to, found), (7, 18, vec!["\"edge\"".to_owned()]));
    assert_eq!(node.get("/api/v1/complete?q=ab&at=3").await.status(), 400);
    assert_eq!(
        node.get("/api/v1/complete?q=%C3%A4&at=1").await.status(),
        400,
        "in the middle of a character"
    );
    assert_eq!(node.get("/api/v1/complete?query=ab").await.status(), 400);
}

#[tokio::test]
async fn a_view_is_kept_changed_and_removed() {
    let node = Node::start().await;
    let put = |name: &str, body: &str| {
        let request = node.ask(Method::PUT, &format!("/api/v1/views/{name}"));
        request.header("x-tidegate-by", "eve@box").body(body.to_owned()).send()
    };
    let kept = told(put("night%20shift", r#"{"q":"state = \"critical\"","columns":2}"#).await.unwrap()).await;
    assert_eq!((&kept["name"], &kept["by"]), (&json!("night shift"), &json!("eve@box")));
    assert_eq!(told(node.get("/api/v1/views/night%20shift").await).await, kept);
    told(put("night%20shift", r#"{"q":"true"}"#).await.unwrap()).await;
    let all = told(node.get("/api/v1/views").await).await;
    assert_eq!(all["views"][0]["view"], json!({ "q": "true" }));
    for (name, body, status) in [
        ("x", "[1]", 400),
        ("x", "", 400),
        ("%20", "{}", 400),
        ("a%0Ab", "{}", 400),
        ("x", &format!("{{\"a\":\"{}\"}}", "x".repeat(64 << 10)), 413),
    ] {
        assert_eq!(put(name, body).await.unwrap().status(), status, "{name} {}", body.len());
    }
    let remove = || node.ask(Method::DELETE, "/api/v1/views/night%20shift").send();
    assert_eq!(told(remove().await.unwrap()).await["removed"], true);
    assert_eq!(remove().await.unwrap().status(), 404);
    assert_eq!(node.get("/api/v1/views/night%20shift").await.status(), 404);
}

#[tokio::test]
async fn the_picture_of_the_node_leads_from_inputs_through_rules_to_outputs() {
    let node = Node::start().await;
    node.telemetry.add_output("live", "live");
    node.telemetry.add_output("pager", "alerts");
    let told = told(node.get("/api/v1/topology").await).await;
    let ids: Vec<_> =
        told["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["input:http", "input:riemann-ws", "log", "rule:slow", "output:live", "output:pager"]);
    let kinds = |n: usize| told["nodes"][n]["kind"].as_str().unwrap();
    assert_eq!(
        (kinds(0), kinds(2), kinds(3), kinds(4), kinds(5)),
        ("input", "log", "rule", "output", "alerts")
    );
    let edges: Vec<_> = told["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| (edge["from"].as_str().unwrap(), edge["to"].as_str().unwrap()))
        .collect();
    assert_eq!(
        edges,
        [
            ("input:http", "log"),
            ("input:riemann-ws", "log"),
            ("log", "rule:slow"),
            ("rule:slow", "log"),
            ("rule:slow", "output:live")
        ]
    );
    // Every edge leads from one thing that is drawn to another.
    assert!(edges.iter().all(|(from, to)| ids.contains(from) && ids.contains(to)));
}

#[tokio::test]
async fn what_a_rule_has_said_is_told_with_what_is_left_out() {
    let node = Node::start().await;
    let log = told(node.get("/api/v1/rules/slow/logs?limit=1").await).await;
    assert_eq!((log["lines"].as_array().unwrap().len(), &log["missed"]), (1, &json!(1)));
    assert_eq!(log["lines"][0]["level"], "error");
    assert_eq!(node.get("/api/v1/rules/none/logs").await.status(), 404);
    assert_eq!(node.get("/api/v1/rules/slow/logs?limit=0").await.status(), 400);
}

#[tokio::test]
async fn a_module_is_kept_or_only_looked_at() {
    let node = Node::start().await;
    let send = |path: &str, kind: &str, body: &str| {
        node.ask(Method::POST, path).header("content-type", kind).body(body.to_owned()).send()
    };
    let wasm = "application/wasm";
    assert_eq!(told(send("/api/v1/modules", wasm, "\0asm").await.unwrap()).await["module"], "b3:7e2d");
    let seen = told(send("/api/v1/modules/inspect?rule=slow", wasm, "\0asm").await.unwrap()).await;
    assert_eq!(seen["running"]["changes"][0]["what"], "version");
    for (path, kind, body, status) in [
        ("/api/v1/modules", wasm, "", 400),
        ("/api/v1/modules", "text/plain", "\0asm", 415),
        ("/api/v1/modules", wasm, "nonsense", 422),
        ("/api/v1/modules/inspect?name=slow", wasm, "\0asm", 400),
    ] {
        assert_eq!(send(path, kind, body).await.unwrap().status(), status, "{path} {body}");
    }
}

#[tokio::test]
async fn how_a_stream_went_is_told_in_points_and_states() {
    let node = Node::start().await;
    let path = "/api/v1/history?host=web1&service=http&to=2013-04-15T18:07:00Z";
    let hour = told(node.get(&format!("{path}&from=2013-04-15T18:06:00Z&points=60")).await).await;
    assert_eq!((&hour["source"], &hour["step_ms"]), (&json!("memory"), &json!(1000)));
    let points = hour["points"].as_array().unwrap();
    // A point stands where its stretch begins, which is five seconds before it was swept.
    assert_eq!(points[1], json!([1_366_049_203_000_i64, 930.5, 930.5, 930.5, 1]));
    let states: Vec<_> = hour["states"].as_array().unwrap().iter().map(|turn| &turn[1]).collect();
    assert_eq!(states, ["ok", "critical", "ok"]);
    // There is no log, and the memory of this node begins now.
    assert_eq!(hour["complete"], false);
    let coarse = told(node.get(&format!("{path}&from=2013-04-15T18:06:00Z&points=1")).await).await;
    assert_eq!(coarse["points"], json!([[1_366_049_160_000_i64, 118.0, 930.5, 118.0, 3]]));
    let later = told(node.get("/api/v1/history?host=web1&service=http&from=-1m").await).await;
    assert_eq!((&later["points"], &later["states"][0][1]), (&json!([]), &json!("ok")));
    for bad in [
        "host=a&from=-1x",
        "from=-1m",
        "host=a&from=2013-04-15T18:06:00Z&to=2013-04-15T18:06:00Z",
        "host=a&point=3",
    ] {
        assert_eq!(node.get(&format!("/api/v1/history?{bad}")).await.status(), 400, "{bad}");
    }
}

#[tokio::test]
async fn without_a_log_an_event_that_a_tap_has_shown_is_explained_by_the_queries() {
    let node = Node::start().await;
    let mut tap = Frames::of(node.get("/api/v1/tap?positions=true&limit=2").await);
    node.await_subscribers(1).await;
    let mut batch = sample();
    batch.header.position = 42;
    for (_, updates) in node.subscribers() {
        updates.send(Update::Events(Arc::new(batch.clone()))).await.unwrap();
    }
    while tap.next().await.is_some() {}
    let explained = told(node.get("/api/v1/explain?position=42&row=0").await).await;
    assert_eq!((&explained["complete"], &explained["event"]["service"]), (&json!(false), &json!("http")));
    assert!(explained["note"].as_str().unwrap().contains("there is no log"), "{explained}");
    let rule = &explained["rules"][0];
    assert_eq!((&rule["name"], &rule["matched"], &rule["why"]), (&json!("slow"), &json!(true), &Value::Null));
    assert_eq!(node.get("/api/v1/explain?position=43&row=0").await.status(), 404);
    for bad in ["position=1", "row=1", "position=x&row=0", "position=1&row=0&depth=3"] {
        assert_eq!(node.get(&format!("/api/v1/explain?{bad}")).await.status(), 400, "{bad}");
    }
}

#[tokio::test]
async fn a_wish_for_a_backtest_says_what_is_wrong_with_it() {
    let node = Node::start().await;
    let post = |body: &str| node.ask(Method::POST, "/api/v1/backtests").body(body.to_owned()).send();
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"rule":"a","module":"b"}"#,
        r#"{"rule":"a","from":"yesterday"}"#,
        r#"{"rule":"a","form":"-1h"}"#,
        r#"{"rule":"a","from":"-1h","to":"-2h"}"#,
        r#"{"rule":"a","against":{}}"#,
    ] {
        assert_eq!(post(bad).await.unwrap().status(), 400, "{bad}");
    }
    assert_eq!(post(r#"{"rule":"slow"}"#).await.unwrap().status(), 409);
    assert_eq!(node.get("/api/v1/backtests/1").await.status(), 404);
    assert_eq!(node.ask(Method::DELETE, "/api/v1/backtests/x").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn what_is_wrong_with_the_node_is_told_in_banners() {
    let node = Node::start().await;
    assert_eq!(told(node.get("/api/v1/overview").await).await["banners"], json!([]));
    for name in ["a", "b", "c", "d"] {
        node.telemetry.add_output(name, "webhook").healthy.set(0);
    }
    node.telemetry.log.set_trouble(Some("no space left on device".into()));
    let overview = told(node.get("/api/v1/overview").await).await;
    let banners = json!([
        { "level": "critical", "text": "nothing is taken in: no space left on device" },
        { "level": "warning", "text": "4 outputs failing: a, b, c and 1 more" },
    ]);
    assert_eq!(overview["banners"], banners);
    assert_eq!(overview["alerts"]["firing"], 0);
}

#[tokio::test]
async fn a_page_is_shown_the_open_alerts() {
    let node = Node::start().await;
    let mut page = Frames::of(node.get("/api/v1/stream?frames=alerts").await);
    assert_eq!(page.named("alerts").await["alerts"], json!([]));
    // Whoever comes later is shown them as well, although nothing has changed.
    let mut other = Frames::of(node.get("/api/v1/stream?frames=alerts").await);
    assert_eq!(other.named("alerts").await["total"], 0);
}
