//! Forwarded events for the tests of the types.

use super::{Delivery, Keys, Kind, Place};
use std::sync::{Arc, Mutex};
use tidegate_event::{BatchBuilder, Metric, NewEvent, Timestamp};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A sink with these settings, of a node with a seed that is always the same.
pub fn sink<K: Kind>(settings: &K) -> K::Sink {
    settings.sink(&Place { keys: Keys::new(7), ..Place::alone("out", 100) }).expect("the settings are good")
}

fn of(event: &NewEvent<'_>) -> Delivery {
    let mut builder = BatchBuilder::new();
    let (time, metric) = (Some(Timestamp::from_secs(1_700_000_000)), Some(Metric::Int(0)));
    builder.push(&NewEvent { time, metric, ..*event });
    let batch = builder.finish();
    Delivery { rule: "slow_api".into(), declared: "pager".into(), position: 7, n: 0, batch }
}

/// The n-th of a rule at its position.
pub fn delivery(n: u32) -> Delivery {
    Delivery { n, ..named("web1", "api", "ok") }
}

/// An event of this stream in this state; empty texts are not there.
pub fn named(host: &str, service: &str, state: &str) -> Delivery {
    described(host, service, state, "")
}

/// The same with a description.
pub fn described(host: &str, service: &str, state: &str, description: &str) -> Delivery {
    fn there(text: &str) -> Option<&str> {
        Some(text).filter(|text| !text.is_empty())
    }
    of(&NewEvent {
        host: there(host),
        service: there(service),
        state: there(state),
        description: there(description),
        ..NewEvent::default()
    })
}

/// An event with tags and attributes.
pub fn with(tags: &[&str], attributes: &[(&str, &str)], host: &str, service: &str) -> Delivery {
    let (host, service, state) = (Some(host), Some(service), Some("ok"));
    of(&NewEvent { host, service, state, ttl: Some(2.5), tags, attributes, ..NewEvent::default() })
}

/// The same event at another time.
pub fn at(secs: i64, delivery: Delivery) -> Delivery {
    let event = delivery.event();
    let tags: Vec<&str> = event.tags().collect();
    let attributes: Vec<(&str, &str)> = event.attributes().collect();
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent {
        time: Some(Timestamp::from_secs(secs)),
        host: event.host(),
        service: event.service(),
        state: event.state(),
        description: event.description(),
        metric: event.number(),
        ttl: event.ttl(),
        tags: &tags,
        attributes: &attributes,
        hops: 0,
    });
    Delivery { batch: builder.finish(), ..delivery }
}

/// What was asked of a server, in order: the head of each request, in lower case, and its body.
pub type Asked = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// An HTTP server that answers the n-th request with the n-th of these, a status line and a body, and the last for ever.
pub async fn http(answers: &'static [(&'static str, &'static str)]) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Asked::default();
    let seen = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(BufReader::new(stream), seen.clone(), answers));
        }
    });
    (address, asked)
}

async fn serve(
    mut stream: BufReader<TcpStream>,
    seen: Asked,
    answers: &'static [(&'static str, &'static str)],
) -> Option<()> {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await.ok()?;
        let (status, text) = {
            let mut seen = seen.lock().expect("no test panics here");
            seen.push((head, body));
            answers[(seen.len() - 1).min(answers.len() - 1)]
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}
