//! Riemann's WebSocket and HTTP port, with a client that nobody here wrote.

use crate::fake::{AT, Frames, Node, batch, one};
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tidegate::ingest::Update;
use tidegate::output::Delivery;
use tidegate::web::Limits;
use tidegate_event::{NewEvent, Timestamp};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(node: &Node, path: &str) -> Socket {
    connect_async(format!("ws://{}{path}", node.riemann)).await.unwrap().0
}

/// The next message that is not a ping.
async fn hear(socket: &mut Socket) -> Message {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
        match message.expect("a message was expected").expect("the socket is open").unwrap() {
            Message::Ping(_) => {}
            message => return message,
        }
    }
}

async fn event(socket: &mut Socket) -> Value {
    serde_json::from_str(hear(socket).await.to_text().unwrap()).unwrap()
}

async fn closed(socket: &mut Socket) -> (u16, String) {
    match hear(socket).await {
        Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
        other => panic!("a close frame was expected, found {other:?}"),
    }
}

#[tokio::test]
async fn the_index_is_sent_once_and_then_the_socket_closes() {
    let node = Node::start().await;
    for path in ["/index?query=service+%3D+%22http%22", "/index/?query=service%20=%20%22http%22&other=1"] {
        let mut socket = open(&node, path).await;
        assert_eq!(event(&mut socket).await["host"], "web1");
        assert_eq!(event(&mut socket).await["host"], "web2");
        assert_eq!(closed(&mut socket).await.0, 1000);
    }
}

#[tokio::test]
async fn a_frame_is_an_event_as_riemann_writes_it() {
    let node = Node::start().await;
    let mut socket = open(&node, "/index?query=host+%3D+%22web1%22").await;
    let text = hear(&mut socket).await;
    let expected = concat!(
        r#"{"host":"web1","service":"http","state":"ok","description":null,"metric":120,"tags":null,"#,
        r#""time":"2013-04-15T18:06:58.000Z","ttl":60.0}"#
    );
    assert_eq!(text.to_text().unwrap(), expected);
}

#[tokio::test]
async fn a_subscriber_gets_the_index_and_then_every_event_expired_ones_too() {
    let node = Node::start().await;
    let mut socket = open(&node, "/index?subscribe=true&query=host+%3D+%22web1%22").await;
    assert_eq!(event(&mut socket).await["metric"], 120);
    // Whatever a board says here means nothing.
    socket.send(Message::text("hello")).await.unwrap();
    for n in 1..=20 {
        node.publish(&one("web1", "http", n)).await;
        node.publish(&one("web2", "http", n)).await;
    }
    let expired =
        NewEvent { host: Some("web1"), service: Some("http"), state: Some("expired"), ..NewEvent::default() };
    node.publish(&batch(&[expired])).await;
    for n in 1..=20 {
        assert_eq!(event(&mut socket).await["metric"], n);
    }
    assert_eq!(event(&mut socket).await["state"], "expired");
    socket.close(None).await.unwrap();
    node.await_subscribers(0).await;
}

#[tokio::test]
async fn a_channel_carries_what_rules_say_under_that_name() {
    let node = Node::start().await;
    let mut alerts = open(&node, "/pubsub/alerts?query=metric+%3E+2").await;
    let mut nobody = open(&node, "/pubsub/no%20such%20channel/?query=true").await;
    while node.live.receiver_count() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for (declared, metric) in [("board", 9), ("alerts", 1), ("alerts", 3), ("alerts", 4)] {
        let said = Delivery {
            rule: "slow".into(),
            declared: declared.into(),
            position: 7,
            n: 0,
            batch: one("web1", "http", metric),
        };
        node.live.send(Arc::new(said)).unwrap();
    }
    for metric in [3, 4] {
        assert_eq!(event(&mut alerts).await["metric"], metric);
    }
    let silence = tokio::time::timeout(Duration::from_millis(50), nobody.next()).await;
    assert!(silence.is_err(), "nobody speaks there: {silence:?}");
    alerts.close(None).await.unwrap();
    nobody.close(None).await.unwrap();
}

#[tokio::test]
async fn whoever_reads_a_channel_too_slowly_misses_what_is_counted() {
    let node = Node::start().await;
    let mut alerts = open(&node, "/pubsub/alerts?query=true").await;
    while node.live.receiver_count() < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let said = |n| {
        let batch = one("web1", "http", n);
        Arc::new(Delivery { rule: "slow".into(), declared: "alerts".into(), position: 7, n: 0, batch })
    };
    // On one thread nobody listens before we wait, and the ring has 256 places.
    for n in 0..300 {
        node.live.send(said(n)).unwrap();
    }
    assert_eq!(event(&mut alerts).await["metric"], 44);
    assert_eq!(node.telemetry.skipped.get(), 44);
}

#[tokio::test]
async fn the_channel_named_index_has_no_snapshot() {
    let node = Node::start().await;
    let mut socket = open(&node, "/pubsub/index?query=true").await;
    node.await_subscribers(1).await;
    node.publish(&one("web1", "http", 5)).await;
    assert_eq!(event(&mut socket).await["metric"], 5);
}

#[tokio::test]
async fn a_question_that_makes_no_sense_closes_with_a_reason() {
    let node = Node::start().await;
    for path in [
        "/index",
        "/index?subscribe=true",
        "/index?query=metric+%3E",
        "/pubsub/index",
        "/pubsub/alerts?query=metric+%3E",
        // Longer than a close frame may be, and not cut in the middle of a letter.
        &format!("/index?query=metric+%3E+{}", "%C3%A4".repeat(200)),
    ] {
        let (code, reason) = closed(&mut open(&node, path).await).await;
        assert_eq!(code, 1008, "{path}");
        assert!(!reason.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn each_frame_of_events_is_answered_in_order() {
    let node = Node::start().await;
    let mut socket = open(&node, "/events/").await;
    let good = |n: usize| format!(r#"{{"service":"s{n}","time":"2013-04-15T18:06:58.000Z"}}"#);
    for n in 0..200 {
        let frame = if n % 50 == 49 { "nonsense".to_owned() } else { good(n) };
        socket.send(Message::text(frame)).await.unwrap();
    }
    for n in 0..200 {
        let answer = event(&mut socket).await;
        if n % 50 == 49 {
            assert!(answer["error"].is_string(), "{n}: {answer}");
        } else {
            assert_eq!(answer, json!({}), "{n}");
        }
    }
    assert_eq!(node.appended().len(), 196);
    assert_eq!(node.appended()[195], "s198");
    let input = &node.telemetry.inputs()["riemann-ws"];
    assert_eq!((input.received.get(), input.accepted.get(), input.rejected.total()), (200, 196, 4));
}

#[tokio::test]
async fn a_time_may_be_text_or_a_number_and_nothing_else() {
    let node = Node::start().await;
    let mut socket = open(&node, "/events").await;
    for (time, fine) in [(r#""2013-04-15T18:06:58.250Z""#, true), ("1366049218.25", true), ("[]", false)] {
        socket.send(Message::text(format!(r#"{{"service":"a","time":{time}}}"#))).await.unwrap();
        let answer = event(&mut socket).await;
        assert_eq!(answer == json!({}), fine, "{time}: {answer}");
        assert_eq!(answer["error"].as_str().is_some_and(|error| error.contains("time")), !fine, "{time}");
    }
    let moment = Timestamp(AT.0 + 250_000);
    assert_eq!(node.appended_times(), [moment, moment]);
}

#[tokio::test]
async fn a_socket_hears_why_an_event_was_not_taken() {
    let node = Node::start().await;
    node.broken.store(true, SeqCst);
    let mut socket = open(&node, "/events").await;
    socket.send(Message::text(r#"{"service":"a"}"#)).await.unwrap();
    assert!(event(&mut socket).await["error"].as_str().unwrap().contains("no space left"));
}

#[tokio::test]
async fn a_line_of_http_is_an_event_and_has_an_answer_whatever_the_method() {
    let node = Node::start().await;
    for (method, path) in [(Method::PUT, "/events"), (Method::POST, "/events/"), (Method::GET, "/events")] {
        let body = "{\"service\":\"a\"}\nnonsense\n\r\n{\"service\":\"b\"}\r\n";
        let response = node.ask_riemann(method, path).body(body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        let text = response.text().await.unwrap();
        let lines = text.lines().collect::<Vec<_>>();
        assert_eq!((lines.len(), lines[0], lines[2]), (3, "{}", "{}"));
        assert!(lines[1].starts_with("{\"error\":"), "{text}");
    }
    assert_eq!(node.appended(), ["a", "b", "a", "b", "a", "b"]);
    let nothing = node.ask_riemann(Method::PUT, "/events").send().await.unwrap();
    assert_eq!((nothing.status().as_u16(), nothing.text().await.unwrap().as_str()), (200, ""));
}

#[tokio::test]
async fn lines_that_cannot_be_taken_are_answered_and_may_come_again() {
    let node = Node::start().await;
    node.broken.store(true, SeqCst);
    let response =
        node.ask_riemann(Method::PUT, "/events").body("{\"service\":\"a\"}\n").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    assert!(response.text().await.unwrap().contains("no space left"));
    let long = vec![b' '; (8 << 20) + 1];
    let response = node.ask_riemann(Method::PUT, "/events").body(long).send().await.unwrap();
    assert_eq!(response.status(), 413);
}

#[tokio::test]
async fn server_sent_events_are_bare_and_go_on() {
    let node = Node::start().await;
    let request = node.ask_riemann(Method::GET, "/index?query=service+%3D+%22http%22");
    let mut frames = Frames::of(request.header("accept", "text/event-stream").send().await.unwrap());
    node.await_subscribers(1).await;
    node.publish(&one("web3", "http", 5)).await;
    for host in ["web1", "web2", "web3"] {
        let frame = frames.next().await.unwrap();
        assert_eq!((frame.id, frame.event), (None, None));
        assert_eq!(frame.data.unwrap()["host"], host);
    }
}

/// A node with Riemann's port for server-sent events, and this head on its answers.
async fn with_sse(allow: &'static str) -> Node {
    Node::with(move |web| {
        web.sse_headers.insert("access-control-allow-origin", allow.parse().unwrap());
        web.sse_headers.insert("x-board", "yes".parse().unwrap());
    })
    .await
}

#[tokio::test]
async fn the_port_for_server_sent_events_answers_as_riemanns_does() {
    let node = with_sse("https://dash.example").await;
    // No `accept`, and a slash at the end: nobody asked Riemann's clients for the one or forbade the other.
    let answer = node.ask_sse("/index/?query=service+%3D+%22http%22", &[]).await;
    assert_eq!(answer.status(), 200);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache"),
        ("connection", "keepalive"),
        ("access-control-allow-origin", "https://dash.example"),
        ("x-board", "yes"),
    ] {
        assert_eq!(answer.headers()[name], value, "{name}");
    }
    let mut frames = Frames::of(answer);
    node.await_subscribers(1).await;
    let expired =
        NewEvent { host: Some("web1"), service: Some("http"), state: Some("expired"), ..NewEvent::default() };
    node.publish(&batch(&[expired])).await;
    for (host, state) in [("web1", json!("ok")), ("web2", json!("critical")), ("web1", json!("expired"))] {
        let frame = frames.next().await.unwrap();
        assert_eq!((frame.id, frame.event), (None, None));
        let data = frame.data.unwrap();
        assert_eq!((&data["host"], &data["state"]), (&json!(host), &state));
    }
    assert_eq!(node.telemetry.inputs()["riemann-sse"].sent.get(), 3);
    for (path, status) in [("/", 404), ("/pubsub/index?query=true", 404), ("/index", 400)] {
        assert_eq!(node.ask_sse(path, &[]).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn pages_that_the_operator_names_may_read_server_sent_events() {
    let named = with_sse("https://dash.example").await;
    let anybody = with_sse("*").await;
    let ask = async |node: &Node, origin: &str| {
        let answer = node.ask_sse("/index?query=true", &[("origin", origin)]).await;
        let allowed = answer.headers().get("access-control-allow-origin").cloned();
        (answer.status().as_u16(), allowed.map(|allowed| allowed.to_str().unwrap().to_owned()))
    };
    let says = |status, allowed: Option<&str>| (status, allowed.map(str::to_owned));
    assert_eq!(ask(&named, "https://dash.example").await, says(200, Some("https://dash.example")));
    assert_eq!(ask(&named, "https://evil.example").await, says(403, None));
    assert_eq!(ask(&anybody, "https://evil.example").await, says(200, Some("*")));
}

#[tokio::test]
async fn plain_http_is_told_what_is_expected() {
    let node = Node::start().await;
    for (path, status) in
        [("/index?query=true", 426), ("/pubsub/index?query=true", 426), ("/nothing", 404), ("/", 404)]
    {
        let response = node.ask_riemann(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert!(response.json::<Value>().await.unwrap()["error"]["message"].is_string());
    }
    let bad = node.ask_riemann(Method::GET, "/index?query=metric+%3E").header("accept", "text/event-stream");
    assert_eq!(bad.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn boards_on_this_machine_are_served_and_strangers_pages_are_not() {
    let node = Node::start().await;
    let ask = async |origin: &str| {
        let mut request = format!("ws://{}/index?query=true", node.riemann).into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        connect_async(request).await
    };
    ask("http://localhost:4567").await.unwrap();
    match ask("https://evil.example").await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 403),
        other => panic!("a refusal was expected, found {other:?}"),
    }
    let request = node.ask_riemann(Method::GET, "/index?query=true").header("accept", "text/event-stream");
    let response = request.header("origin", "http://localhost:4567").send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "http://localhost:4567");
}

#[tokio::test]
async fn a_quiet_socket_is_pinged() {
    let node = Node::limited(Limits { ping: Duration::from_millis(100), ..Limits::default() }).await;
    for path in ["/index?subscribe=true&query=host+%3D+%22none%22", "/events"] {
        let mut socket = open(&node, path).await;
        for _ in 0..2 {
            let message = tokio::time::timeout(Duration::from_secs(5), socket.next()).await.unwrap();
            assert!(matches!(message, Some(Ok(Message::Ping(_)))), "{message:?}");
        }
    }
}

#[tokio::test]
async fn a_reader_that_stays_behind_is_closed_and_told_so() {
    let node = Node::limited(Limits { stall: Duration::from_millis(300), ..Limits::default() }).await;
    let mut socket = open(&node, "/index?subscribe=true&query=true").await;
    node.await_subscribers(1).await;
    let (_, updates) = node.subscribers().remove(0);
    let update = Update::Events(Arc::new(one("web1", "http", 1)));
    while updates.try_send(update.clone()).is_ok() {}
    // From here on the queue is never empty, and something is missing in it time and again.
    let flood = tokio::spawn(async move {
        while updates.send(Update::Skipped(1)).await.is_ok() && updates.send(update.clone()).await.is_ok() {}
    });
    let goodbye = async {
        loop {
            if let Message::Close(Some(frame)) = hear(&mut socket).await {
                break (u16::from(frame.code), frame.reason.to_string());
            }
        }
    };
    let (code, reason) = tokio::time::timeout(Duration::from_secs(10), goodbye).await.expect("a goodbye");
    assert_eq!(code, 1013);
    assert!(reason.contains("slowly"), "{reason}");
    flood.await.unwrap();
}

#[tokio::test]
async fn one_that_catches_up_in_time_stays() {
    let node = Node::limited(Limits { stall: Duration::from_millis(200), ..Limits::default() }).await;
    let mut socket = open(&node, "/pubsub/index?query=true").await;
    node.await_subscribers(1).await;
    node.skip(3).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    node.publish(&one("web1", "http", 9)).await;
    assert_eq!(event(&mut socket).await["metric"], 9);
}

#[tokio::test]
async fn a_stopping_node_says_goodbye() {
    let mut node = Node::start().await;
    let mut board = open(&node, "/pubsub/index?query=true").await;
    let mut sender = open(&node, "/events").await;
    let mut page = Frames::of(node.get("/api/v1/stream").await);
    page.named("snapshot").await;
    node.stop.cancel();
    assert_eq!(closed(&mut board).await.0, 1001);
    assert_eq!(closed(&mut sender).await.0, 1001);
    drop((board, sender));
    while page.next().await.is_some() {}
    let ended = tokio::time::timeout(Duration::from_secs(8), &mut node.ended).await;
    ended.expect("everything ends").unwrap();
}
