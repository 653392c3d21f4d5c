//! Server-sent events: the page's stream, and the tap.

use crate::fake::{Frames, Node, batch, one, services};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate::output::Delivery;
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
async fn frames_are_numbered_without_gaps() {
    let node = Node::start().await;
    let mut page = Frames::of(node.get("/api/v1/stream").await);
    for number in 1..=5 {
        assert_eq!(page.next().await.unwrap().id, Some(number));
    }
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
    let node = Node::start().await;
    let page = Frames::of(node.get("/api/v1/stream").await);
    let tap = Frames::of(node.get("/api/v1/tap").await);
    node.await_subscribers(2).await;
    drop((page, tap));
    node.await_subscribers(0).await;
}
