//! `/events`: one JSON event in each frame of a WebSocket or in each line of a body, and an answer to each.

use super::{MESSAGE, Upgrade, close};
use crate::clock;
use crate::ingest::{Accepted, Refused};
use crate::web::answer::{self, Failure};
use crate::web::{App, body, count_refusal};
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, close_code};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use std::time::Duration;
use tidegate_engine::codec::json::decode_event;
use tidegate_event::BatchBuilder;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// The longest body.
const BODY: usize = 8 << 20;

/// How long a request waits for room before it is told to come back.
const WAIT: Duration = Duration::from_secs(2);

/// Frames of one socket that may wait for their answers.
const WAITING: usize = 1024;

/// The answer to an event that is in the log.
const DONE: &str = "{}";

/// `/events`, either way.
pub async fn route(
    State(app): State<App>,
    headers: HeaderMap,
    upgrade: Upgrade,
    body: Body,
) -> Result<Response, Failure> {
    match upgrade {
        Ok(upgrade) => {
            let upgrade = upgrade.max_message_size(MESSAGE).max_frame_size(MESSAGE);
            Ok(upgrade.on_upgrade(async move |socket| talk(&app, socket).await))
        }
        Err(_) => lines(&app, &headers, body).await,
    }
}

async fn lines(app: &App, headers: &HeaderMap, body: Body) -> Result<Response, Failure> {
    let bytes = body::read(headers, body, BODY, app.limits.body).await;
    let bytes = bytes.inspect_err(|_| count_refusal(&app.riemann, "body"))?;
    app.riemann.bytes.add(bytes.len() as u64);
    let began = clock::start();
    let mut events = BatchBuilder::new();
    let mut verdicts = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if !line.is_empty() {
            verdicts.push(decode(app, &mut events, line));
        }
    }
    drop(bytes);
    let refused = match events.is_empty() {
        true => None,
        false => {
            let size = events.size();
            let appended = timeout(WAIT, app.ingest.append(&app.riemann, events)).await;
            match appended.unwrap_or(Err(Refused::Overloaded { bytes: size })) {
                Ok(acked) => settled(acked).await.err(),
                Err(refused) => Some(refused),
            }
        }
    };
    app.riemann.latency.note(began.elapsed(), verdicts.len() as u64);
    let accepted = refused.as_ref().map_or(DONE.to_owned(), said);
    let mut text = String::new();
    for verdict in &verdicts {
        text.push_str(verdict.as_ref().err().unwrap_or(&accepted));
        text.push('\n');
    }
    let status = if refused.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let mut response = answer::json_bytes(status, text);
    if refused.is_some() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// Reads one event, or says what is wrong with it.
fn decode(app: &App, events: &mut BatchBuilder, json: &[u8]) -> Result<(), String> {
    let read = std::str::from_utf8(json).map_err(|error| error.to_string());
    let read = read.and_then(|json| decode_event(events, json).map_err(|error| error.to_string()));
    read.map_err(|message| {
        count_refusal(&app.riemann, "malformed");
        said(message)
    })
}

async fn settled(acked: oneshot::Receiver<Result<Accepted, Refused>>) -> Result<Accepted, Refused> {
    acked.await.unwrap_or(Err(Refused::Stopping))
}

fn said(message: impl ToString) -> String {
    serde_json::json!({ "error": message.to_string() }).to_string()
}

/// An answer, or what has to come before it.
enum Answer {
    Ready(String),
    Waiting(oneshot::Receiver<Result<Accepted, Refused>>),
}

impl Answer {
    async fn text(self, app: &App, began: std::time::Instant) -> String {
        let text = match self {
            Self::Ready(text) => text,
            Self::Waiting(acked) => settled(acked).await.map_or_else(said, |_| DONE.to_owned()),
        };
        app.riemann.latency.note(began.elapsed(), 1);
        text
    }
}

/// Frames in, answers out in the same order; a sender need not wait for one before the next.
async fn talk(app: &App, mut socket: WebSocket) {
    let mut answers = FuturesOrdered::new();
    let mut ping = interval_at(Instant::now() + app.limits.ping, app.limits.ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let out = tokio::select! {
            () = app.stop.cancelled() => return close(&mut socket, close_code::AWAY, "the node is stopping").await,
            message = socket.recv(), if answers.len() < WAITING => match message {
                Some(Ok(Message::Text(text))) => {
                    let began = clock::start();
                    answers.push_back(take(app, text.as_bytes()).await.text(app, began));
                    continue;
                }
                Some(Ok(Message::Binary(bytes))) => {
                    let began = clock::start();
                    answers.push_back(take(app, &bytes).await.text(app, began));
                    continue;
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            Some(answer) = answers.next() => Message::Text(answer.into()),
            _ = ping.tick() => Message::Ping("".into()),
        };
        if !matches!(timeout(app.limits.stall, socket.send(out)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn take(app: &App, json: &[u8]) -> Answer {
    app.riemann.bytes.add(json.len() as u64);
    let mut events = BatchBuilder::new();
    if let Err(said) = decode(app, &mut events, json) {
        return Answer::Ready(said);
    }
    // No time limit: a sender with an open socket is held back, as on a TCP connection.
    match app.ingest.append(&app.riemann, events).await {
        Ok(acked) => Answer::Waiting(acked),
        Err(refused) => Answer::Ready(said(refused)),
    }
}
