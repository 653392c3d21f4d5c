//! `GET /api/v1/history`: how a stream went, out of memory as far as that reaches and out of the log before that.
//!
//! The log is read on a thread of its own, for a limited time: what was not reached is said (`complete` is false).

use crate::archive::Archive;
use crate::backtest::{Past, Progress, Range};
use crate::clock;
use crate::history::{Chart, Known};
use crate::web::answer::{self, Failure};
use crate::web::params::Params;
use crate::web::{App, when};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use std::time::Duration;
use tidegate_event::{Span, stream_key};

/// Points unless asked otherwise, and at most.
const POINTS: (usize, usize) = (300, 2_000);
/// The log is read for so long at most.
const READ: Duration = Duration::from_secs(2);
/// What is asked for unless said otherwise.
const BEFORE: Span = Span::minutes(60);

/// `GET /api/v1/history`
pub async fn show(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let (host, service) = (params.take("host")?, params.take("service")?);
    let to = when::parameter(&mut params, "to", clock::now())?;
    let from = when::parameter(&mut params, "from", to - BEFORE)?;
    let points = params.number("points", POINTS.0, POINTS.1)?;
    params.finish("`host`, `service`, `from`, `to` and `points`")?;
    if host.is_none() && service.is_none() {
        return Err(Failure::bad(
            "`host` and `service` of a stream were expected, or one of them for a stream without the other",
        ));
    }
    if from >= to {
        return Err(Failure::bad("`from` lies behind `to`: nothing lies between"));
    }
    let bytes = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().to_vec());
    let key = stream_key(app.ingest.seed(), bytes(&host).as_deref(), bytes(&service).as_deref());
    let known = app.history.look(key, from, to);
    let whole_from = known.whole_from.unwrap_or(to).min(to);
    let mut chart = Chart::new(from, to, points);
    let (mut source, mut complete) = ("memory", true);
    if whole_from > from {
        let place = app.archive.as_ref().map(|archive| (archive.clone(), archive.place()));
        match place {
            None => complete = false,
            Some((_, None)) => {
                let message = "the log is being read for others already: ask again in a moment";
                return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(1));
            }
            Some((archive, Some(place))) => {
                let read = tokio::task::spawn_blocking(move || {
                    let _place = place;
                    let done = read(&archive, key, Range { from, to: whole_from - Span(1) }, &mut chart);
                    (chart, done)
                });
                let (read, done) = read.await.map_err(|error| unread(&error.to_string()))?;
                complete = done.map_err(|error| unread(&format!("{error:#}")))?;
                chart = read;
                source = if known.points.is_empty() && known.turns.is_empty() { "log" } else { "both" };
            }
        }
    }
    let Known { points, turns, .. } = known;
    points
        .iter()
        .filter(|point| point.from >= whole_from || source == "memory")
        .for_each(|point| chart.add(point));
    turns
        .iter()
        .filter(|(at, _)| *at >= whole_from || source == "memory")
        .for_each(|turn| chart.turn(*turn, None));
    Ok(answer::json(&told(&chart, host.as_deref(), service.as_deref(), source, complete)))
}

fn unread(error: &str) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, format!("the log cannot be read: {error}")).retry_after(5)
}

/// Reads what the log has of a stream. Says whether that was all.
fn read(archive: &Archive, key: u64, range: Range, chart: &mut Chart) -> anyhow::Result<bool> {
    let past = Past { folder: archive.log(), seed: Some(archive.settings.seed), without: Vec::new() };
    let (started, mut stopped) = (clock::start(), false);
    past.read(range, &Progress::default(), &mut |batch| {
        let now = batch.header.now;
        batch.events().filter(|event| event.key() == key).for_each(|event| chart.event(now, &event));
        stopped = started.elapsed() > READ;
        !stopped
    })?;
    Ok(!stopped)
}

fn told(chart: &Chart, host: Option<&str>, service: Option<&str>, source: &str, complete: bool) -> Value {
    json!({
        "host": host, "service": service, "from": clock::iso8601(chart.from()), "to": clock::iso8601(chart.to()),
        "step_ms": chart.step_ms(), "source": source, "points": chart.points(), "states": chart.states(),
        "complete": complete && !chart.is_cut(),
    })
}
