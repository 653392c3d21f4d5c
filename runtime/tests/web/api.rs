//! The HTTP port, route by route.

use crate::fake::{Frames, Node};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::atomic::Ordering::SeqCst;
use tidegate::web::control::How;
use tidegate_event::Span;

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

async fn refused(response: Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], JSON);
    let error = response.json::<Value>().await.unwrap()["error"].clone();
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    error
}

async fn json(response: Response) -> Value {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], JSON);
    response.json().await.unwrap()
}

#[tokio::test]
async fn events_are_acked_with_their_position_in_every_form() {
    let node = Node::start().await;
    let packed = rmp_serde::to_vec_named(&vec![json!({ "service": "packed" })]).unwrap();
    let sent = [
        (JSON, r#"{"service":"a"}"#.as_bytes().to_vec(), 1),
        ("application/json; charset=utf-8", br#" [{"service":"b"},{"service":"c"}] "#.to_vec(), 2),
        (LINES, b"{\"service\":\"d\"}\n{\"service\":\"e\"}\n".to_vec(), 2),
        ("application/msgpack", packed.clone(), 1),
        ("application/x-msgpack", packed, 1),
    ];
    for (position, (kind, body, accepted)) in sent.into_iter().enumerate() {
        let told = json(node.post_events(kind, body).await).await;
        assert_eq!(
            told,
            json!({ "accepted": accepted, "level": "logged", "position": position + 1 }),
            "{kind}"
        );
    }
    let put = node.ask(Method::PUT, "/api/v1/events").header("content-type", JSON).body(r#"{"service":"f"}"#);
    assert_eq!(json(put.send().await.unwrap()).await["accepted"], 1);
    assert_eq!(node.appended(), ["a", "b", "c", "d", "e", "packed", "packed", "f"]);
}

#[tokio::test]
async fn nothing_at_all_is_accepted_and_is_nothing() {
    let node = Node::start().await;
    for (kind, body) in [(JSON, ""), (JSON, "[]"), (LINES, "\n\n"), ("application/msgpack", "")] {
        let told = json(node.post_events(kind, body).await).await;
        assert_eq!(told, json!({ "accepted": 0, "level": "logged", "position": null }), "{kind} {body:?}");
    }
    assert!(node.appended().is_empty());
}

#[tokio::test]
async fn one_bad_event_refuses_all_and_is_pointed_at() {
    let node = Node::start().await;
    let error =
        refused(node.post_events(JSON, r#"[{"service":"a"},{"service":"b"},{"service":3}]"#).await, 400)
            .await;
    assert_eq!(error["index"], 2, "{error}");
    let error = refused(node.post_events(LINES, "{\"service\":\"a\"}\nnonsense\n").await, 400).await;
    assert_eq!(error["line"], 2, "{error}");
    let error = refused(node.post_events(JSON, "nonsense").await, 400).await;
    assert_eq!(error["index"], 0, "{error}");
    refused(node.post_events("application/msgpack", vec![0xc1]).await, 400).await;
    assert!(node.appended().is_empty());
    let input = &node.telemetry.inputs()["http"];
    assert_eq!((input.received.get(), input.rejected.total()), (4, 4));
}

#[tokio::test]
async fn what_is_not_understood_is_refused_by_its_kind() {
    let node = Node::start().await;
    for kind in ["text/plain", "application/xml", ""] {
        refused(node.post_events(kind, "{}").await, 415).await;
    }
    let packed = node.ask(Method::POST, "/api/v1/events").header("content-type", JSON);
    refused(packed.header("content-encoding", "gzip").body("{}").send().await.unwrap(), 415).await;
}

#[tokio::test]
async fn more_than_16_mib_are_refused() {
    let node = Node::start().await;
    let long = vec![b' '; (16 << 20) + 1];
    let error = refused(node.post_events(JSON, long).await, 413).await;
    assert_eq!(error["limit"], 16 << 20);
    assert_eq!(json(node.post_events(JSON, vec![b' '; 16 << 20]).await).await["accepted"], 0);
}

#[tokio::test]
async fn a_node_that_cannot_take_events_says_when_to_come_back() {
    let node = Node::start().await;
    node.broken.store(true, SeqCst);
    let response = node.post_events(JSON, r#"{"service":"a"}"#).await;
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(refused(response, 503).await["reason"], "log");
    node.broken.store(false, SeqCst);
    node.hold.store(true, SeqCst);
    // Each of these takes more than a third of the room for ever.
    let event = format!(r#"{{"service":"a","description":"{}"}}"#, "x".repeat(1_000_000));
    let big = format!("[{}]", [event.as_str(); 12].join(","));
    for _ in 0..2 {
        assert_eq!(json(node.post_events(JSON, big.clone()).await).await["accepted"], 12);
    }
    let response = node.post_events(JSON, big).await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(refused(response, 503).await["reason"], "overloaded");
    let input = &node.telemetry.inputs()["http"];
    assert_eq!(input.received.get(), input.accepted.get() + input.rejected.total() + input.shed.total());
    assert_eq!(input.shed.total(), 13);
}

#[tokio::test]
async fn queries_find_events_and_say_when_there_are_more() {
    let node = Node::start().await;
    let all = json(node.get("/api/v1/query").await).await;
    assert_eq!((all["events"].as_array().unwrap().len(), &all["truncated"]), (3, &json!(false)));
    let critical = json(node.get("/api/v1/query?q=state+%3D+%22critical%22&limit=10").await).await;
    let expected = json!({
        "host": "web2", "service": "http", "state": "critical", "description": "slow", "metric": 930.5,
        "tags": ["edge"], "time": "2013-04-15T18:06:58.000Z", "ttl": null,
    });
    assert_eq!(critical, json!({ "events": [expected], "truncated": false }));
    let some = json(node.get("/api/v1/query?limit=2").await).await;
    assert_eq!((some["events"].as_array().unwrap().len(), &some["truncated"]), (2, &json!(true)));
}

#[tokio::test]
async fn a_bad_query_is_pointed_at_on_every_route() {
    let node = Node::start().await;
    for route in ["query", "stream", "tap"] {
        let path = format!("/api/v1/{route}?q=state+%3D+%22ok%22+and+and+metric+%3E+1");
        let error = refused(node.get(&path).await, 400).await;
        assert_eq!(error["span"], json!([17, 20]), "{error}");
        assert!(error["help"].is_string() || error["help"].is_null(), "{error}");
    }
}

#[tokio::test]
async fn a_misspelt_parameter_is_an_error() {
    let node = Node::start().await;
    for path in [
        "query?query=true",
        "query?limit=0",
        "query?limit=10001",
        "tap?rate=x",
        "stream?limit=1",
        "query?q=true&q=true",
    ] {
        refused(node.get(&format!("/api/v1/{path}")).await, 400).await;
    }
}

#[tokio::test]
async fn the_overview_shows_every_counter_once() {
    let node = Node::start().await;
    let shard = node.telemetry.shard(0);
    shard.streams.set(7);
    shard.position.set(12);
    shard.states[1].set(4);
    shard.states[3].set(2);
    shard.states[0].set(1);
    let output = node.telemetry.add_output("board", "live");
    output.delivered.add(5);
    output.capacity.set(100);
    output.queued_bytes.set(7);
    shard.memory.set(65_536);
    shard.faults.add(1);
    shard.refused.set(3);
    node.telemetry.position.set(14);
    output.healthy.set(0);
    *output.last_error.lock().unwrap() = Some("refused".into());
    node.post_events(JSON, r#"[{"service":"a"},{"service":"b"}]"#).await;
    let mut seen = json(node.get("/api/v1/overview").await).await;
    assert!(seen["now"].as_str().is_some_and(|now| now.ends_with('Z') && now.len() == 24), "{seen}");
    let fields = seen.as_object_mut().unwrap();
    for volatile in ["now", "uptime_s", "events_per_second", "process"] {
        assert!(fields.remove(volatile).is_some(), "{volatile}");
    }
    // Room is given back after the answer, a moment later or earlier.
    let door = fields.remove("door").unwrap();
    assert_eq!((&door["waiting"], &door["in_flight_limit"]), (&json!(0), &json!(crate::fake::ROOM)));
    let mut inputs = fields.remove("inputs").unwrap();
    for input in inputs.as_array_mut().unwrap() {
        for volatile in ["per_second", "messages_per_second", "bytes_per_second", "latency_ms", "connections"]
        {
            assert!(input.as_object_mut().unwrap().remove(volatile).is_some(), "{volatile}");
        }
    }
    let input = |name: &str, address: std::net::SocketAddr, received: u64| {
        json!({ "name": name, "kind": name, "address": address.to_string(), "received": received,
                "accepted": received, "rejected": 0, "shed": 0, "level": "logged" })
    };
    assert_eq!(inputs, json!([input("http", node.http, 2), input("riemann-ws", node.riemann, 0)]));
    let expected = json!({
        "version": "0.1.0", "log": { "segments": 0, "bytes": 0, "gaps": 0, "trouble": null }, "events_total": 2, "index_size": 7, "position": 12,
        "states": { "ok": 4, "warning": 0, "critical": 2, "unknown": 0, "expired": 0, "other": 1 },
        "shards": [{ "number": 0, "events_per_second": 0.0, "ns_per_event": null, "busy": 0.0, "queued": 2,
                     "streams": 7, "refused": 3, "rule_memory": 65_536, "rule_faults": 1 }],
        "outputs": [{ "name": "board", "kind": "live", "status": "failing", "queued": 0, "capacity": 100,
                      "queued_bytes": 7, "per_second": 0.0, "delivered": 5, "dropped": 0, "failed": 0,
                      "breaker": "closed", "spool_bytes": 0,
                      "last_error": "refused" }],
        "alerts": { "firing": 0, "acknowledged": 0, "silenced": 0, "oldest": null },
        "banners": [{ "level": "warning", "text": "1 output failing: board" }],
    });
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn rules_are_listed_and_shown() {
    let node = Node::start().await;
    let all = json(node.get("/api/v1/rules").await).await;
    let one = json(node.get("/api/v1/rules/slow").await).await;
    let counts =
        json!({ "rules": [one], "total": 1, "found": 1, "quarantined": 0, "paused": 0, "next": null });
    assert_eq!(all, counts);
    assert_eq!(one["status"], "running");
    assert_eq!(one["quarantined_until"], Value::Null);
    assert_eq!(one["last_fault"]["kind"], "trap");
    refused(node.get("/api/v1/rules/none").await, 404).await;
}

#[tokio::test]
async fn thousands_of_rules_come_in_pages_or_the_busiest_alone() {
    let node = Node::start().await;
    node.more.store(2_500, SeqCst);
    let names = |answer: &Value| -> Vec<String> {
        let rules = answer["rules"].as_array().unwrap();
        rules.iter().map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
    };
    let (mut all, mut after, mut sizes) = (Vec::new(), String::new(), Vec::new());
    loop {
        let page = json(node.get(&format!("/api/v1/rules?after={after}")).await).await;
        assert_eq!(page["total"], 2_501);
        sizes.push(names(&page).len());
        all.extend(names(&page));
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!((sizes, all.is_sorted()), (vec![1_000, 1_000, 501], true));
    assert_eq!(all.last().unwrap(), "slow");

    let found = json(node.get("/api/v1/rules?find=E-0249&limit=5").await).await;
    assert_eq!(names(&found), ["more-02490", "more-02491", "more-02492", "more-02493", "more-02494"]);
    assert_eq!(
        (&found["total"], &found["found"], &found["next"]),
        (&json!(2_501), &json!(10), &json!("more-02494"))
    );

    let busy = node.telemetry.rule("more-01234");
    let mut frames = Frames::of(node.get("/api/v1/stream").await);
    loop {
        busy.events.add(1_000);
        busy.nanos.add(500_000_000);
        let rules = frames.named("rules").await;
        assert_eq!((names(&rules).len(), &rules["total"]), (100, &json!(2_501)));
        if names(&rules)[0] == "more-01234" && rules["rules"][0]["cpu"].as_f64() > Some(0.1) {
            break;
        }
    }
    let top = json(node.get("/api/v1/rules?sort=activity&limit=1").await).await;
    assert_eq!((names(&top), &top["next"]), (vec!["more-01234".to_owned()], &Value::Null));
    refused(node.get("/api/v1/rules?sort=size").await, 400).await;
    refused(node.get("/api/v1/rules?limit=0").await, 400).await;
}

#[tokio::test]
async fn a_deployment_carries_everything_that_was_said() {
    let node = Node::start().await;
    let path = "/api/v1/rules/slow?query=metric+%3E+1&per=host&set.limit_ms=250&to.board=live&dry_run=true";
    let request = node.ask(Method::PUT, path).header("content-type", "application/wasm").body("\0asm");
    let told = json(request.send().await.unwrap()).await;
    let expected = json!({ "name": "slow", "generation": 2, "position": 41, "module": "b3:6f1c",
        "version": "1.2.0", "bytes": 4, "millis": 12, "shards": 2 });
    assert_eq!(told, expected);
    json(node.ask(Method::PUT, "/api/v1/rules/again?module=b3:6f1c").send().await.unwrap()).await;
    let wishes = node.wishes.lock().unwrap();
    assert_eq!(wishes[0].name.as_deref(), Some("slow"));
    assert_eq!(wishes[0].wasm.as_deref(), Some(b"\0asm".as_slice()));
    assert_eq!(wishes[0].query.as_deref(), Some("metric > 1"));
    assert_eq!(wishes[0].per.as_deref(), Some("host"));
    assert_eq!((&*wishes[0].set["limit_ms"], &*wishes[0].to["board"]), ("250", "live"));
    assert!(wishes[0].dry_run);
    assert_eq!((wishes[1].wasm.as_ref(), wishes[1].digest.as_deref()), (None, Some("b3:6f1c")));
    assert!(!wishes[1].dry_run);
}

#[tokio::test]
async fn a_deployment_that_makes_no_sense_is_refused_before_anybody_is_asked() {
    let node = Node::start().await;
    let put = async |path: &str, kind: &str, body: Vec<u8>| {
        let request = node.ask(Method::PUT, path).header("content-type", kind);
        request.body(body).send().await.unwrap()
    };
    let wasm = "application/wasm";
    refused(put("/api/v1/rules/a", wasm, Vec::new()).await, 400).await;
    refused(put("/api/v1/rules/a?module=x", wasm, b"\0asm".to_vec()).await, 400).await;
    refused(put("/api/v1/rules/a?sets.a=1", wasm, b"\0asm".to_vec()).await, 400).await;
    refused(put("/api/v1/rules/a?set.=1", wasm, b"\0asm".to_vec()).await, 400).await;
    refused(put("/api/v1/rules/a?dry_run=yes", wasm, b"\0asm".to_vec()).await, 400).await;
    refused(put("/api/v1/rules/a", "text/plain", b"\0asm".to_vec()).await, 415).await;
    refused(put("/api/v1/rules/a", wasm, vec![0; (4 << 20) + 1]).await, 413).await;
    assert!(node.wishes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_refused_deployment_says_who_has_to_act() {
    let node = Node::start().await;
    for (name, status) in [("invalid", 422), ("unknown", 404), ("conflict", 409), ("busy", 503)] {
        let request = node.ask(Method::PUT, &format!("/api/v1/rules/{name}?module=x"));
        let response = request.send().await.unwrap();
        assert_eq!(response.headers().contains_key("retry-after"), status == 503);
        refused(response, status).await;
    }
}

#[tokio::test]
async fn rules_are_paused_resumed_and_removed() {
    let node = Node::start().await;
    let ask = async |method, path: &str| node.ask(method, path).send().await.unwrap();
    let paused = json(ask(Method::POST, "/api/v1/rules/slow/pause").await).await;
    assert_eq!(paused, json!({ "name": "slow", "paused": true, "position": 43 }));
    let resumed = json(ask(Method::POST, "/api/v1/rules/slow/resume").await).await;
    assert_eq!(resumed, json!({ "name": "slow", "paused": false, "position": 44 }));
    let removed = json(ask(Method::DELETE, "/api/v1/rules/slow").await).await;
    assert_eq!(removed, json!({ "name": "slow", "position": 42 }));
    refused(ask(Method::DELETE, "/api/v1/rules/none").await, 404).await;
    refused(ask(Method::POST, "/api/v1/rules/none/pause").await, 404).await;
}

#[tokio::test]
async fn how_a_deployment_begins_and_who_wishes_it_is_handed_on() {
    let node = Node::start().await;
    let put = async |query: &str| {
        let path = format!("/api/v1/rules/slow?module=b3:6f1c&{query}");
        let request = node.ask(Method::PUT, &path).header("x-tidegate-by", "eve@box");
        let request = request.header("idempotency-key", "once").header("if-match", "\"2\"");
        json(request.send().await.unwrap()).await
    };
    put("canary=2.5%25&watch=1m&reset_state=true").await;
    put("shadow=true&backfill=1h").await;
    put("watch=0").await;
    let wishes = node.wishes.lock().unwrap().clone();
    assert_eq!((&*wishes[0].terms.by, wishes[0].terms.generation), ("eve@box", Some(2)));
    assert_eq!(wishes[0].idempotency_key.as_deref(), Some("once"));
    assert_eq!((wishes[0].how, wishes[0].watch), (How::Canary(25), Some(Span::minutes(1))));
    assert!(wishes[0].reset_state && !wishes[1].reset_state);
    assert_eq!((wishes[1].how, wishes[1].watch), (How::Shadow, None));
    assert_eq!(wishes[1].backfill, Some(Span::minutes(60)));
    assert_eq!((wishes[2].how, wishes[2].watch), (How::Replace, Some(Span::ZERO)));
    for wrong in ["canary=0", "canary=101", "canary=x", "canary=5&shadow=true", "watch=soon", "watch=-1s"] {
        let path = format!("/api/v1/rules/slow?module=b3:6f1c&{wrong}");
        refused(node.ask(Method::PUT, &path).send().await.unwrap(), 400).await;
    }
    let words = "x".repeat(201);
    let long = node.ask(Method::DELETE, "/api/v1/rules/slow").header("x-tidegate-by", &words);
    refused(long.send().await.unwrap(), 400).await;
}

#[tokio::test]
async fn every_change_can_be_of_one_generation_only() {
    let node = Node::start().await;
    let shown = node.get("/api/v1/rules/slow").await;
    let tag = shown.headers()["etag"].clone();
    assert_eq!(tag, "\"2\"");
    for (method, path) in [
        (Method::PUT, "/api/v1/rules/slow?module=x"),
        (Method::DELETE, "/api/v1/rules/slow"),
        (Method::POST, "/api/v1/rules/slow/pause"),
        (Method::POST, "/api/v1/rules/slow/resume"),
        (Method::POST, "/api/v1/rules/slow/rollback"),
        (Method::POST, "/api/v1/rules/slow/promote"),
        (Method::POST, "/api/v1/rules/slow/abandon"),
    ] {
        let ask =
            async |tag: &str| node.ask(method.clone(), path).header("if-match", tag).send().await.unwrap();
        json(ask(tag.to_str().unwrap()).await).await;
        let late = ask("\"1\"").await;
        assert_eq!(late.status(), 412, "{path}");
        let told: Value = serde_json::from_str(&late.text().await.unwrap()).unwrap();
        let error = &told["error"];
        assert_eq!((&error["generation"], &error["by"]), (&json!(2), &json!("eve@box")), "{path}");
        refused(ask("*").await, 400).await;
    }
}

#[tokio::test]
async fn modules_are_inspected() {
    let node = Node::start().await;
    let inspect = async |body: &'static str| {
        let request = node.ask(Method::POST, "/api/v1/modules/inspect");
        request.header("content-type", "application/wasm").body(body).send().await.unwrap()
    };
    assert_eq!(json(inspect("\0asm").await).await["name"], "slow");
    refused(inspect("ELF").await, 422).await;
    refused(inspect("").await, 400).await;
}

#[tokio::test]
async fn a_bug_in_a_route_is_a_matter_of_one_request() {
    let node = Node::start().await;
    let response = node.ask(Method::PUT, "/api/v1/rules/panic?module=x").send().await.unwrap();
    refused(response, 500).await;
    assert_eq!(node.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn health_is_alive_and_ready_names_what_is_missing() {
    let node = Node::start().await;
    assert_eq!(node.get("/healthz").await.text().await.unwrap(), "ok\n");
    assert_eq!(node.get("/readyz").await.status(), 200);
    node.ready.store(false, SeqCst);
    let response = node.get("/readyz").await;
    assert_eq!(response.status(), 503);
    assert!(response.text().await.unwrap().contains("the log is still being read"));
    assert_eq!(node.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn metrics_have_help_and_type_and_stay_bounded() {
    let node = Node::start().await;
    node.post_events(JSON, r#"{"service":"a"}"#).await;
    node.post_events(JSON, "nonsense").await;
    let odd = node.telemetry.rule("quoted \"name\"\nin two lines \\");
    odd.events.add(3);
    odd.nanos.add(9_000_000_000);
    for n in 0..400 {
        let rule = node.telemetry.rule(&format!("rule-{n:03}"));
        rule.nanos.add(1_000_000_000 + n);
        rule.events.add(1);
        rule.cut.add("key_cap", 1);
    }
    node.telemetry.remove_rule("rule-399");
    node.telemetry.shard(0).streams.set(9);
    node.telemetry.shard(0).position.set(4);
    node.telemetry.position.set(6);
    let response = node.get("/metrics").await;
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let text = response.text().await.unwrap();
    let (mut series, mut families) = (Vec::new(), std::collections::BTreeMap::new());
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            assert!(text.contains(&format!("# HELP {name} ")), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(families.insert(name, kind).is_none(), "twice: {line}");
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a series has a value");
        value.parse::<f64>().unwrap_or_else(|_| panic!("a number was expected: {line}"));
        let bare = name.split('{').next().unwrap();
        assert!(bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
        assert!(name.ends_with('}') || !name.contains('{'), "{line}");
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| bare.strip_suffix(part));
        let known =
            families.contains_key(bare) || part.and_then(|part| families.get(part)) == Some(&"histogram");
        assert!(known, "no type is stated before {line}");
        assert!(!series.contains(&name), "twice: {name}");
        series.push(name);
    }
    assert!(series.len() <= 2_000, "{} series", series.len());
    let mut expected = vec![
        r#"tidegate_input_events_received_total{input="http",kind="http"} 2"#,
        r#"tidegate_input_events_accepted_total{input="http",kind="http"} 1"#,
        r#"tidegate_input_events_rejected_total{input="http",kind="http",reason="malformed"} 1"#,
        r#"tidegate_input_message_seconds_count{input="http",kind="http"} 1"#,
        r#"tidegate_rule_events_total{rule="quoted \"name\"\nin two lines \\"} 3"#,
        r#"tidegate_rule_seconds_total{rule="rule-300"} 1.0000003"#,
        r#"tidegate_rule_effects_cut_total{rule="rule-300",reason="key_cap"} 1"#,
        // The one that was removed stays in the totals.
        "tidegate_rules_events_total 403",
        "tidegate_rules 400",
        r#"tidegate_shard_streams{shard="0"} 9"#,
        r#"tidegate_shard_queued{shard="0"} 2"#,
        r#"tidegate_build_info{version="0.1.0"} 1"#,
        "tidegate_subscribers 0",
        "# TYPE tidegate_in_flight_bytes gauge",
        "tidegate_in_flight_limit_bytes 33554432",
    ];
    if cfg!(target_os = "linux") {
        expected.push("# TYPE process_resident_memory_bytes gauge");
        expected.push("# TYPE process_cpu_seconds_total counter");
    }
    for expected in expected {
        assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
    }
    // Those that took most time: the odd one and the last 99.
    assert!(text.contains(r#"rule="rule-300""#) && !text.contains(r#"rule="rule-299""#));

    let ask =
        node.ask(Method::GET, "/metrics").header("accept", "application/openmetrics-text;version=1.0.0");
    let response = ask.send().await.unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(response.text().await.unwrap().ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_page_may_load_only_what_comes_from_here() {
    let node = Node::start().await;
    let response = node.get("/").await;
    assert_eq!(response.status(), 200);
    let header = |response: &Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8");
    assert_eq!(
        header(&response, "content-security-policy"),
        "default-src 'self'; style-src 'self' 'unsafe-inline'"
    );
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    let tag = header(&response, "etag");
    assert!(response.text().await.unwrap().to_lowercase().contains("<!doctype html"));
    let again = node.ask(Method::GET, "/").header("if-none-match", &tag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(header(&again, "etag"), tag);
    assert!(again.text().await.unwrap().is_empty());
    let other =
        node.ask(Method::GET, "/index.html").header("if-none-match", "\"other\"").send().await.unwrap();
    assert_eq!(other.status(), 200);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_json() {
    let node = Node::start().await;
    for path in ["/nothing", "/api/v1/nothing", "/assets/nothing.js"] {
        refused(node.get(path).await, 404).await;
    }
    let response = node.ask(Method::DELETE, "/api/v1/query").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET,HEAD");
    refused(response, 405).await;
}

#[tokio::test]
async fn a_strangers_page_can_change_nothing_and_borrow_no_name() {
    let node = Node::start().await;
    let own = format!("http://{}", node.http);
    for (origin, status) in [(own.as_str(), 200), ("https://evil.example", 403), ("null", 403)] {
        for (method, path) in
            [(Method::POST, "/api/v1/rules/slow/pause"), (Method::DELETE, "/api/v1/rules/slow")]
        {
            let request = node.ask(method, path).header("origin", origin);
            assert_eq!(request.send().await.unwrap().status(), status, "{origin} {path}");
        }
    }
    let rebound = node.ask(Method::GET, "/api/v1/rules").header("host", "evil.example:5559");
    refused(rebound.send().await.unwrap(), 403).await;
    let remote = Node::with(|web| web.allow_remote = true).await;
    let named = remote.ask(Method::GET, "/api/v1/rules").header("host", "node.example");
    assert_eq!(named.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_changes_something_needs_the_token_and_events_and_reading_do_not() {
    let node = Node::with(|web| web.token = Some(tidegate::web::Token::new("open-sesame-open-sesame"))).await;
    let pause = || node.ask(Method::POST, "/api/v1/rules/slow/pause");
    let locked = pause().send().await.unwrap();
    assert_eq!(locked.headers()["www-authenticate"], "Bearer");
    refused(locked, 401).await;
    refused(pause().bearer_auth("open-sesame").send().await.unwrap(), 401).await;
    assert_eq!(pause().bearer_auth("open-sesame-open-sesame").send().await.unwrap().status(), 200);
    assert_eq!(node.get("/api/v1/rules").await.status(), 200);
    let event = r#"{"host":"a","service":"b"}"#;
    let sent =
        node.ask(Method::POST, "/api/v1/events").header("content-type", "application/json").body(event);
    assert_eq!(sent.send().await.unwrap().status(), 200);
}
