//! `POST /api/v1/events`: events over HTTP, all of them or none.

use crate::clock;
use crate::ingest::Refused;
use crate::telemetry::Level;
use crate::web::answer::{self, Failure};
use crate::web::{App, body};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use std::time::Duration;
use tidegate_engine::codec::{json, msgpack};
use tidegate_event::BatchBuilder;

/// The longest body.
const BODY: usize = 16 << 20;

/// How long a request waits for room before it is told to come back.
const WAIT: Duration = Duration::from_secs(2);

/// What a sender is told.
#[derive(Debug, Serialize)]
struct Receipt {
    accepted: usize,
    level: &'static str,
    position: Option<u64>,
}

/// `POST /api/v1/events`
pub async fn post(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Failure> {
    let form = Form::of(&headers).inspect_err(|_| super::count_refusal(&app.http, "content_type"))?;
    let bytes = body::read(&headers, body, BODY, app.limits.body).await;
    let bytes = bytes.inspect_err(|_| super::count_refusal(&app.http, "body"))?;
    app.http.bytes.add(bytes.len() as u64);
    let began = clock::start();
    let mut events = BatchBuilder::new();
    form.decode(&mut events, &bytes).inspect_err(|_| super::count_refusal(&app.http, "malformed"))?;
    drop(bytes);
    let accepted = events.len();
    if accepted == 0 {
        return Ok(receipt(&app, accepted, None));
    }
    let bytes = events.size();
    let appended = tokio::time::timeout(WAIT, app.ingest.append(&app.http, events)).await;
    let acked = appended.map_err(|_| Refused::Overloaded { bytes })??;
    let done = acked.await.map_err(|_| Refused::Stopping)??;
    app.http.latency.note(began.elapsed(), 1);
    Ok(receipt(&app, accepted, done.position))
}

/// 200 when they are in the log, 202 when that is still to come.
fn receipt(app: &App, accepted: usize, position: Option<u64>) -> Response {
    let level = app.http.level;
    let status = if level >= Level::Logged { StatusCode::OK } else { StatusCode::ACCEPTED };
    answer::json_with(status, &Receipt { accepted, level: level.name(), position })
}

/// How the events are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Lines,
    MessagePack,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        match body::content_type(headers).as_str() {
            "application/json" => Ok(Self::Json),
            "application/x-ndjson" => Ok(Self::Lines),
            "application/msgpack" | "application/x-msgpack" => Ok(Self::MessagePack),
            found => Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "content-type application/json, application/x-ndjson or application/msgpack was expected, found \
                     `{found}`"
                ),
            )),
        }
    }

    fn decode(self, events: &mut BatchBuilder, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.trim_ascii().is_empty() {
            return Ok(());
        }
        match self {
            Self::Json => {
                json::decode_events(events, bytes).map_err(|error| wrong("index", error.at, error.message))
            }
            Self::Lines => {
                json::decode_lines(events, bytes).map_err(|error| wrong("line", error.at, error.message))
            }
            Self::MessagePack => {
                msgpack::decode_events(events, bytes).map_err(|error| wrong("index", error.at, error.message))
            }
        }
        .map(|_| ())
    }
}

/// Which event is wrong, counted from 0 in a list and from 1 in lines, and how.
fn wrong(name: &str, at: usize, message: String) -> Failure {
    Failure::bad(message).with(name, at)
}
