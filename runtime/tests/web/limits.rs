//! What a stranger can make the node hold, and for how long.

use crate::fake::{Frames, Node};
use reqwest::Method;
use std::time::{Duration, Instant};
use tidegate::web::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn short() -> Limits {
    Limits {
        header: Duration::from_millis(300),
        body: Duration::from_millis(300),
        stall: Duration::from_millis(500),
        ..Limits::default()
    }
}

/// Everything that comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await;
    // A reset ends a connection as well as a goodbye does.
    let _ = read.expect("the connection is closed");
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_head_that_never_ends_is_not_waited_for() {
    let node = Node::limited(short()).await;
    for address in [node.http, node.riemann] {
        for beginning in ["", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: "] {
            let start = Instant::now();
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(beginning.as_bytes()).await.unwrap();
            rest(&mut stream).await;
            assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        }
    }
    assert_eq!(node.get("/healthz").await.status(), 200);
    assert!(node.telemetry.inputs()["http"].closed.total() >= 1);
}

#[tokio::test]
async fn a_body_that_stops_is_not_waited_for() {
    let node = Node::limited(short()).await;
    let mut stream = TcpStream::connect(node.http).await.unwrap();
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n[";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_body_that_drips_is_not_waited_for() {
    let node = Node::limited(short()).await;
    let mut stream = TcpStream::connect(node.http).await.unwrap();
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let start = Instant::now();
    // Each drop comes well in time, and still the whole takes too long.
    while stream.write_all(b" ").await.is_ok() && start.elapsed() < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_at_the_limit() {
    let node = Node::start().await;
    let (mut reader, mut writer) = TcpStream::connect(node.http).await.unwrap().into_split();
    let sender = tokio::spawn(async move {
        let head = "PUT /api/v1/rules/a HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/wasm\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        writer.write_all(head.as_bytes()).await?;
        for _ in 0..5 {
            writer.write_all(b"100000\r\n").await?;
            writer.write_all(&vec![0; 1 << 20]).await?;
            writer.write_all(b"\r\n").await?;
        }
        writer.write_all(b"0\r\n\r\n").await?;
        Ok::<_, std::io::Error>(writer)
    });
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(5), reader.read_to_string(&mut answer)).await;
    read.expect("the connection is closed").unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    sender.await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_asks_before_sending_too_much_is_told_at_once() {
    let node = Node::start().await;
    let mut stream = TcpStream::connect(node.http).await.unwrap();
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n";
    let start = Instant::now();
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn the_page_cannot_be_used_to_read_other_files() {
    let node = Node::start().await;
    for path in [
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "//etc/passwd",
        "/assets/../../../Cargo.toml",
        "/..\\Cargo.toml",
    ] {
        let mut stream = TcpStream::connect(node.http).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        let status = answer.split(' ').nth(1).unwrap();
        assert!(matches!(status, "404" | "400"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn there_are_only_so_many_connections_and_the_rest_is_told() {
    let node = Node::limited(Limits { connections: 2, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(node.http).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut some = [0; 12];
        stream.read_exact(&mut some).await.unwrap();
        assert_eq!(&some, b"HTTP/1.1 200");
        held.push(stream);
    }
    let input = node.telemetry.inputs()["http"].clone();
    assert_eq!(input.connections.get(), 2);
    let mut third = TcpStream::connect(node.http).await.unwrap();
    assert!(rest(&mut third).await.starts_with("HTTP/1.1 503 "));
    assert_eq!(input.closed.all()["too_many"], 1);
    drop(held);
    for _ in 0..100 {
        if input.connections.get() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(node.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn there_are_only_so_many_readers() {
    let node =
        Node::limited(Limits { readers: 2, linger: Duration::from_millis(200), ..Limits::default() }).await;
    let page = Frames::of(node.get("/api/v1/stream").await);
    let request = node.ask_riemann(Method::GET, "/index?query=true").header("accept", "text/event-stream");
    let board = Frames::of(request.send().await.unwrap());
    let response = node.get("/api/v1/tap").await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    drop((page, board));
    node.await_subscribers(0).await;
    // The place is given back when the reader's task has ended, a moment after the subscription.
    for _ in 0..100 {
        if node.get("/api/v1/tap").await.status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there is room again");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_dropped() {
    let node = Node::limited(short()).await;
    let mut stream = TcpStream::connect(node.http).await.unwrap();
    stream.write_all(b"GET /api/v1/tap?rate=100000 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    node.await_subscribers(1).await;
    let (_, updates) = node.subscribers().remove(0);
    let big = "x".repeat(10_000);
    let event = tidegate_event::NewEvent { description: Some(&big), ..tidegate_event::NewEvent::default() };
    let update = tidegate::ingest::Update::Events(std::sync::Arc::new(crate::fake::batch(&[event])));
    let start = Instant::now();
    while updates.send(update.clone()).await.is_ok() {
        assert!(start.elapsed() < Duration::from_secs(10), "the reader is still there");
    }
    node.await_subscribers(0).await;
}
