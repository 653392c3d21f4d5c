//! Server-sent events: the page's stream, and the tap.

use crate::fake::{Frames, Node, batch, one, services};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate::output::Delivery;
use tidegate::web::Limits;
use tidegate_event::NewEvent;

#[tokio::test]
async fn a_page_begins_with_what_is_there_and_goes_on_with_what_changes() {
    let node = Node::start().await;
    let mut page = Frames::of(node.get("/api/v1/stream?q=service+%3D+%22http%22").await);
    let snapshot = page.named("snapshot").await;
    assert_eq!(snapshot["reset"], true);
    assert_eq!(services(&snapshot["events"]), ["http", "http"]);
    node.publish(&batch(&[
        NewEvent { host: Some("web1"), service: Some("http"), state: Some("expired"), ..NewEvent::default() },
        NewEvent { host: Some("web1"), service: Some("other"), ..NewEvent::default() },
    ]))
    .await;
    let delta = page.named("delta").await;
    assert_eq!(delta["skipped"], 0);
    assert_eq!(delta["events"].as_array().unwrap().len(), 1);
    assert_eq!(delta["events"][0]["state"], "expired");
}

#[tokio::test]
async fn frames_of_events_are_numbered_without_gaps_and_the_others_not_at_all() {
    let node = Node::start().await;
    let mut page = Frames::of(node.get("/api/v1/stream").await);
    let publisher = async {
        for n in 0.. {
            node.publish(&one("a", "b", n)).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let listener = async {
        let mut ids = Vec::new();
        while ids.len() < 5 {
            let frame = page.next().await.unwrap();
            let events = matches!(frame.event.as_deref(), Some("snapshot" | "delta"));
            assert_eq!(frame.id.is_some(), events, "{frame:?}");
            ids.extend(frame.id);
        }
        ids
    };
    tokio::select! {
        () = publisher => {}
        ids = listener => assert!(ids.windows(2).all(|two| two[1] == two[0] + 1), "{ids:?}"),
    }
}

async fn come_back(node: &Node, path: &str, id: &str) -> Frames {
    Frames::of(node.ask(reqwest::Method::GET, path).header("last-event-id", id).send().await.unwrap())
}

/// The next frame of this name, with its id as it was written.
async fn with_id(page: &mut Frames, name: &str) -> (String, Value) {
    loop {
        let frame = page.next().await.unwrap();
        if frame.event.as_deref() == Some(name) {
            return (page.last_id.clone(), frame.data.unwrap());
        }
    }
}

#[tokio::test]
async fn a_page_that_comes_back_is_sent_what_has_changed_since() {
    let node = Node::start().await;
    let path = "/api/v1/stream?q=metric+!%3D+nil";
    let mut page = Frames::of(node.get(path).await);
    let (first, _) = with_id(&mut page, "snapshot").await;
    node.publish(&one("a", "x", 1)).await;
    let (second, _) = with_id(&mut page, "delta").await;
    drop(page);
    for (host, n) in [("a", 2), ("b", 3), ("a", 4)] {
        node.publish(&one(host, "x", n)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let metrics = |snapshot: &Value| -> Vec<i64> {
        let events = snapshot["events"].as_array().unwrap().iter();
        events.map(|event| event["metric"].as_i64().unwrap()).collect()
    };
    let mut page = come_back(&node, path, &second).await;
    let (now, snapshot) = with_id(&mut page, "snapshot").await;
    assert_eq!((&snapshot["reset"], metrics(&snapshot)), (&json!(false), vec![3, 4]));
    // It goes on from there.
    node.publish(&one("c", "x", 5)).await;
    let (_, delta) = with_id(&mut page, "delta").await;
    assert_eq!(metrics(&delta), [5]);
    let mut page = come_back(&node, path, &now).await;
    assert_eq!(metrics(&with_id(&mut page, "snapshot").await.1), [5]);
    let mut page = come_back(&node, path, &first).await;
    assert_eq!(metrics(&with_id(&mut page, "snapshot").await.1), [3, 4, 5]);
    // Another show, or another life of the node: then everything is new.
    for id in ["00000000.1", "nonsense", "", "99"] {
        let mut page = come_back(&node, path, id).await;
        assert_eq!(with_id(&mut page, "snapshot").await.1["reset"], true, "{id}");
    }
}

#[tokio::test]
async fn pages_that_ask_the_same_share_one_question_and_see_the_same() {
    let node = Node::start().await;
    let mut pages = Vec::new();
    for _ in 0..20 {
        let mut page = Frames::of(node.get("/api/v1/stream?q=service+%3D+%22x%22").await);
        page.named("snapshot").await;
        pages.push(page);
    }
    let mut other = Frames::of(node.get("/api/v1/stream?q=service+%3D+%22y%22").await);
    other.named("snapshot").await;
    node.await_subscribers(2).await;
    node.publish(&one("a", "x", 1)).await;
    let mut seen = Vec::new();
    for page in &mut pages {
        seen.push(with_id(page, "delta").await);
    }
    assert!(seen.windows(2).all(|two| two[0] == two[1]));
    assert_eq!(seen[0].1["events"][0]["metric"], 1);
}

#[tokio::test]
async fn a_page_chooses_its_frames() {
    let node = Node::start().await;
    let mut page = Frames::of(node.get("/api/v1/stream?frames=overview,rules").await);
    for _ in 0..4 {
        let frame = page.next().await.unwrap();
        assert!(matches!(frame.event.as_deref(), Some("overview" | "rules") | None), "{frame:?}");
    }
    node.await_subscribers(0).await;
    let mut page = Frames::of(node.get("/api/v1/stream?frames=delta").await);
    node.await_subscribers(1).await;
    node.publish(&one("a", "x", 1)).await;
    let first = page.next().await.unwrap();
    assert_eq!(first.event.as_deref(), Some("delta"));
    assert_eq!(node.get("/api/v1/stream?frames=deltas").await.status(), 400);
}

#[tokio::test]
async fn an_empty_index_is_a_snapshot_too() {
    let node = Node::start().await;
    let mut page = Frames::of(node.get("/api/v1/stream?q=service+%3D+%22none%22").await);
    assert_eq!(page.named("snapshot").await, json!({ "events": [], "reset": true }));
}

#[tokio::test]
async fn of_each_stream_a_page_sees_the_latest_at_most_five_times_a_second() {
    let node = Node::start().await;
    let mut page = Frames::of(node.get("/api/v1/stream?q=metric+!%3D+nil").await);
    page.named("snapshot").await;
    let start = Instant::now();
    let publisher = async {
        for n in 1..=3_000 {
            node.publish(&one(if n % 2 == 0 { "a" } else { "b" }, "busy", n)).await;
            if n % 30 == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let listener = async {
        let (mut frames, mut events, mut latest) = (0, 0, 0);
        while latest < 3_000 {
            let delta = page.named("delta").await;
            assert_eq!(delta["skipped"], 0);
            let list = delta["events"].as_array().unwrap();
            assert!((1..=2).contains(&list.len()), "{delta}");
            frames += 1;
            events += list.len();
            for event in list {
                latest = latest.max(event["metric"].as_i64().unwrap());
            }
        }
        (frames, events)
    };
    let ((), (frames, events)) = tokio::join!(publisher, listener);
    let seconds = start.elapsed().as_secs_f64();
    assert!(f64::from(frames) <= seconds * 5.0 + 2.0, "{frames} frames in {seconds} seconds");
    assert!(frames >= 3 && events < 100, "{events} events in {frames} frames");
}

#[tokio::test]
async fn what_a_page_missed_is_counted() {
    let node = Node::start().await;
    let mut page = Frames::of(node.get("/api/v1/stream").await);
    page.named("snapshot").await;
    node.skip(17).await;
    assert_eq!(page.named("delta").await, json!({ "events": [], "skipped": 17 }));
    // Once it has caught up, and not too soon after the last one, it is sent a fresh snapshot.
    let again = page.named("snapshot").await;
    assert_eq!((again["events"].as_array().unwrap().len(), &again["reset"]), (3, &json!(true)));
}

#[tokio::test]
async fn overview_and_rules_come_once_a_second() {
    let node = Node::start().await;
    let mut page = Frames::of(node.get("/api/v1/stream").await);
    let mut other = Frames::of(node.get("/api/v1/stream").await);
    let first = page.named("overview").await;
    let start = Instant::now();
    let second = page.named("overview").await;
    assert!((700..1_600).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert_ne!(first["now"], second["now"]);
    assert_eq!(page.named("rules").await["rules"][0]["name"], "slow");
    assert_eq!(other.named("overview").await["version"], "0.1.0");
}

#[tokio::test]
async fn rates_appear_within_seconds() {
    let node = Node::start().await;
    let mut page = Frames::of(node.get("/api/v1/stream").await);
    page.named("overview").await;
    node.telemetry.rule("slow").events.add(500);
    node.telemetry.rule("slow").nanos.add(100_000);
    node.post_events("application/json", r#"[{"service":"a"},{"service":"b"}]"#).await;
    let rate = |overview: &Value| overview["inputs"][0]["per_second"].as_f64().unwrap();
    let mut seen = 0.0;
    for _ in 0..3 {
        seen = rate(&page.named("overview").await).max(seen);
    }
    assert!(seen > 0.1 && seen < 3.0, "{seen}");
    let rules = page.named("rules").await;
    assert!(rules["rules"][0]["events_per_second"].as_f64().is_some(), "{rules}");
}

#[tokio::test]
async fn what_rules_forward_is_shown_up_to_a_bound() {
    let node = Node::start().await;
    let mut page = Frames::of(node.get("/api/v1/stream").await);
    page.named("snapshot").await;
    let send = |n: u32| {
        let delivery = Delivery {
            rule: "slow".into(),
            declared: "board \"1\"".into(),
            position: 7,
            n,
            batch: one("web1", "p99", 900),
        };
        node.live.send(Arc::new(delivery)).unwrap();
    };
    send(0);
    let shown = page.named("forwarded").await;
    assert_eq!(
        (&shown["items"][0]["rule"], &shown["items"][0]["output"]),
        (&json!("slow"), &json!("board \"1\""))
    );
    assert_eq!((&shown["items"][0]["event"]["metric"], &shown["skipped"]), (&json!(900), &json!(0)));
    // The channel holds 256: the rest is gone before the page looks.
    (0..1_000).for_each(send);
    let (mut items, mut skipped) = (0, 0);
    while items + skipped < 1_000 {
        let shown = page.named("forwarded").await;
        let count = shown["items"].as_array().unwrap().len() as u64;
        assert!(count <= 100);
        items += count;
        skipped += shown["skipped"].as_u64().unwrap();
    }
    assert_eq!((items, skipped), (256, 744));
}

#[tokio::test]
async fn a_tap_shows_every_event_and_ends_at_its_limit() {
    let node = Node::start().await;
    let mut tap = Frames::of(node.get("/api/v1/tap?q=service+%3D+%22a%22&limit=3").await);
    node.await_subscribers(1).await;
    for n in 1..=5 {
        node.publish(&one("h", "a", n)).await;
        node.publish(&one("h", "b", n)).await;
    }
    let mut seen = Vec::new();
    while let Some(frame) = tap.next().await {
        if let Some(data) = frame.data {
            assert_eq!(frame.event, None);
            seen.push((frame.id.unwrap(), data["metric"].as_i64().unwrap()));
        }
    }
    assert_eq!(seen, [(1, 1), (2, 2), (3, 3)]);
    node.await_subscribers(0).await;
}

#[tokio::test]
async fn a_tap_keeps_to_its_rate_and_says_what_it_left_out() {
    let node = Node::start().await;
    let mut tap = Frames::of(node.get("/api/v1/tap?rate=10").await);
    node.await_subscribers(1).await;
    for n in 0..50 {
        node.publish(&one("h", "a", n)).await;
    }
    node.skip(5).await;
    let mut shown = 0;
    let skipped = loop {
        let frame = tap.next().await.unwrap();
        match (frame.event.as_deref(), frame.data) {
            (Some("skipped"), Some(data)) => break data["skipped"].as_u64().unwrap(),
            (None, Some(_)) => shown += 1,
            _ => {}
        }
    };
    assert_eq!(shown + skipped, 55);
    assert!((10..20).contains(&shown), "{shown}");
}

#[tokio::test]
async fn a_silent_tap_has_a_heartbeat() {
    let node = Node::start().await;
    let mut tap = Frames::of(node.get("/api/v1/tap").await);
    let mut beats = Vec::new();
    let start = Instant::now();
    for _ in 0..2 {
        let frame = tap.next().await.unwrap();
        assert_eq!((frame.id, frame.event, frame.data), (None, None, None));
        beats.push(start.elapsed());
    }
    let pause = beats[1] - beats[0];
    assert!((4_000..6_500).contains(&pause.as_millis()), "{pause:?}");
}

#[tokio::test]
async fn a_reader_that_leaves_is_forgotten() {
    let linger = Duration::from_millis(500);
    let node = Node::limited(Limits { linger, ..Limits::default() }).await;
    let page = Frames::of(node.get("/api/v1/stream").await);
    let tap = Frames::of(node.get("/api/v1/tap").await);
    node.await_subscribers(2).await;
    drop((page, tap));
    node.await_subscribers(0).await;
}
