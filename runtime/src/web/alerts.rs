//! `/api/v1/alerts`: what people are told of, and what they do about it.

use crate::output::alerts::{Objection, Show, Wanted};
use crate::web::App;
use crate::web::answer::{self, Failure};
use crate::web::body;
use crate::web::params::Params;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use tidegate_engine::query::Matcher;

/// Alerts in one answer unless asked otherwise, and at most.
const LIST: (usize, usize) = (200, 1_000);

/// Bytes of a body that says who and why.
const BODY: usize = 16 << 10;

/// Characters of a name, and of a note.
const NAME: usize = 200;
const NOTE: usize = 2_000;

/// Who changes something, and what they say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Saying {
    by: Option<String>,
    note: String,
}

/// `GET /api/v1/alerts`
pub async fn all(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let show = match params.take("status")? {
        None => Show::default(),
        Some(word) => {
            let known = Show::WORDS.iter().find(|(known, _)| *known == word);
            known.map(|(_, show)| *show).ok_or_else(|| {
                let words = Show::WORDS.map(|(word, _)| word).join("`, `");
                Failure::bad(format!("parameter `status`: one of `{words}` was expected, found `{word}`"))
            })?
        }
    };
    let query = params.take("q")?.filter(|text| !text.trim().is_empty());
    let wanted = Wanted {
        show,
        query: query.map(|text| Matcher::parse(&text)).transpose()?,
        after: params.take("after")?,
        limit: params.number("limit", LIST.0, LIST.1)?,
    };
    params.finish("`status`, `q`, `limit` and `after`")?;
    Ok(answer::json(&app.alerts.list(&wanted).json()))
}

/// `GET /api/v1/alerts/{id}`
pub async fn one(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Failure> {
    app.alerts.get(&id).map(|alert| answer::json(&alert)).ok_or_else(|| objection(Objection::Unknown, &id))
}

/// `POST /api/v1/alerts/{id}/acknowledge`
pub async fn acknowledge(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let Saying { by, note } = read(&app, &headers, body).await?;
    let by = who(by, &headers)?;
    change(app, id, move |alerts, id| alerts.acknowledge(id, &by, &line(&note, NOTE))).await
}

/// `DELETE /api/v1/alerts/{id}/acknowledge`
pub async fn unacknowledge(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let by = who(None, &headers)?;
    change(app, id, move |alerts, id| alerts.unacknowledge(id, &by)).await
}

/// `POST /api/v1/alerts/{id}/resolve`
pub async fn resolve(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let Saying { by, note } = read(&app, &headers, body).await?;
    let by = who(by, &headers)?;
    change(app, id, move |alerts, id| alerts.resolve(id, &by, &line(&note, NOTE))).await
}

/// Does it off the async threads, and answers with the alert as it is then.
async fn change(
    app: App,
    id: String,
    how: impl FnOnce(&crate::output::alerts::Alerts, &str) -> Result<(), Objection> + Send + 'static,
) -> Result<Response, Failure> {
    let (alerts, of) = (app.alerts.clone(), id.clone());
    let done = tokio::task::spawn_blocking(move || how(&alerts, &of)).await;
    done.map_err(|_| failed())?.map_err(|error| objection(error, &id))?;
    app.alerts.get(&id).map(|alert| answer::json(&alert)).ok_or_else(|| objection(Objection::Unknown, &id))
}

/// What to say when a change broke off.
pub fn failed() -> Failure {
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the desk of the alerts failed: see the node's messages")
}

fn objection(objection: Objection, id: &str) -> Failure {
    match objection {
        Objection::Unknown => Failure::new(
            StatusCode::NOT_FOUND,
            format!("there is no alert `{id}`: see /api/v1/alerts?status=all"),
        ),
        Objection::Conflict(reason) => Failure::new(StatusCode::CONFLICT, format!("alert `{id}`: {reason}")),
    }
}

/// A body that need not be there: an object as JSON.
pub async fn read<T: Default + for<'de> Deserialize<'de>>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Failure> {
    let bytes = body::read(headers, body, BODY, app.limits.body).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| Failure::bad(format!("the body: {error}")))
}

/// Who changes something: as the body says, or the header `x-tidegate-by`, or nobody we know.
pub fn who(by: Option<String>, headers: &HeaderMap) -> Result<String, Failure> {
    let header = match headers.get("x-tidegate-by").map(|value| value.to_str()) {
        Some(Err(_)) => return Err(Failure::bad("header x-tidegate-by: plain characters were expected")),
        Some(Ok(text)) => Some(text.to_owned()),
        None => None,
    };
    let by = line(&by.or(header).unwrap_or_default(), NAME);
    Ok(if by.is_empty() { "somebody".to_owned() } else { by })
}

/// What a person typed, on one line and not too long.
pub fn line(text: &str, most: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect();
    text.trim().to_owned()
}
