//! `/api/v1/silences`: of which alerts nobody wants to hear for a while.

use crate::clock;
use crate::output::alerts::{At, SilenceError};
use crate::web::App;
use crate::web::alerts::{failed, line, read, who};
use crate::web::answer::{self, Failure};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tidegate_event::{Span, Timestamp};

/// The longest silence: what is silenced for ever should not be an alert.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Bytes of a query, and characters of a reason.
const QUERY: usize = 4 << 10;
const REASON: usize = 2_000;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    query: String,
    reason: String,
    by: Option<String>,
    #[serde(rename = "for")]
    span: Option<String>,
    until: Option<String>,
}

/// `GET /api/v1/silences`
pub async fn all(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    crate::web::params::Params::of(&uri)?.finish("no parameters")?;
    Ok(answer::json(&json!({ "silences": app.alerts.silences() })))
}

/// `POST /api/v1/silences`
pub async fn add(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Failure> {
    let wish: Wish = read(&app, &headers, body).await?;
    let by = who(wish.by.clone(), &headers)?;
    if wish.query.trim().is_empty() || wish.query.len() > QUERY {
        return Err(Failure::bad(format!(
            "`query`: which alerts are meant was expected, up to {QUERY} bytes, such as `host = \"web1\"`; \
             `true` means all"
        )));
    }
    let (until, reason) = (until(&wish)?, line(&wish.reason, REASON));
    let (alerts, query) = (app.alerts.clone(), wish.query);
    let made = tokio::task::spawn_blocking(move || alerts.add_silence(&query, &reason, &by, until)).await;
    match made.map_err(|_| failed())? {
        Ok(silence) => {
            let shown = silence.json(At::from(clock::now()));
            Ok(answer::json_with(StatusCode::CREATED, &shown))
        }
        Err(SilenceError::Query(error)) => Err(error.into()),
        Err(error @ SilenceError::Full) => Err(Failure::new(StatusCode::CONFLICT, error.to_string())),
    }
}

/// `DELETE /api/v1/silences/{id}`
pub async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let by = who(None, &headers)?;
    let (alerts, of) = (app.alerts.clone(), id.clone());
    let ended = tokio::task::spawn_blocking(move || alerts.end_silence(&of, &by)).await;
    match ended.map_err(|_| failed())? {
        Some(silence) => Ok(answer::json(&silence.json(At::from(clock::now())))),
        None => {
            let message = format!("there is no silence `{id}` that has not ended: see /api/v1/silences");
            Err(Failure::new(StatusCode::NOT_FOUND, message))
        }
    }
}

fn until(wish: &Wish) -> Result<At, Failure> {
    let now = At::from(clock::now());
    let expected = "`for` (such as \"2h\") or `until` (such as \"2030-01-01T00:00:00Z\") was expected";
    let until = match (&wish.span, &wish.until) {
        (Some(span), None) => {
            let span = Span::parse(span).filter(|span| span.0 > 0);
            let span =
                span.ok_or_else(|| Failure::bad("`for`: a length of time such as \"2h\" was expected"))?;
            now.plus(Duration::from_micros(span.0.unsigned_abs()))
        }
        (None, Some(text)) => {
            let at: jiff::Timestamp = text.parse().map_err(|_| {
                Failure::bad("`until`: a moment such as \"2030-01-01T00:00:00Z\" was expected")
            })?;
            At::from(Timestamp(at.as_microsecond()))
        }
        (None, None) => return Err(Failure::bad(expected)),
        (Some(_), Some(_)) => return Err(Failure::bad(format!("one of {expected}, found both"))),
    };
    if until <= now || until.since(now) > LONGEST {
        return Err(Failure::bad("a silence ends within a year, and not before it begins"));
    }
    Ok(until)
}
