//! `/api/v1/rules`: what is deployed, and changing it.

use crate::catalogue::LINES;
use crate::web::answer::{self, Failure};
use crate::web::control::{Deployment, How, RollBack, Terms};
use crate::web::params::Params;
use crate::web::ranking::{self, Order, Wanted};
use crate::web::{App, body};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tidegate_event::Span;

/// The largest module.
pub const MODULE: usize = 4 << 20;

/// Characters of a reason, a name of a person, or a key.
const WORDS: usize = 200;

/// Rules in one answer unless asked otherwise, and at most.
const LIST: (usize, usize) = (1_000, 10_000);

/// `GET /api/v1/rules`
pub async fn all(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let wanted = Wanted {
        order: match params.take("sort")?.as_deref() {
            None | Some("name") => Order::Name,
            Some("activity") => Order::Activity,
            Some(other) => {
                let message = format!("parameter `sort`: `name` or `activity` was expected, found `{other}`");
                return Err(Failure::bad(message));
            }
        },
        limit: params.number("limit", LIST.0, LIST.1)?,
        after: params.take("after")?,
        find: params.take("find")?,
    };
    params.finish("`sort`, `limit`, `after` and `find`")?;
    Ok(answer::json(&ranking::rank(&app, &wanted)))
}

/// `GET /api/v1/rules/{name}`
pub async fn one(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Failure> {
    let rule = ranking::one(&app, &name).ok_or_else(|| unknown(&name))?;
    // What `if-match` wants to hear when somebody changes what they have seen.
    let generation = format!("\"{}\"", rule.generation);
    Ok(([(header::ETAG, generation)], answer::json(&rule)).into_response())
}

/// `GET /api/v1/rules/{name}/history`
pub async fn history(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Failure> {
    app.control.history(&name).map(|history| answer::json(&history)).ok_or_else(|| unknown(&name))
}

/// `GET /api/v1/rules/{name}/logs`
pub async fn logs(State(app): State<App>, Path(name): Path<String>, uri: Uri) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let limit = params.number("limit", 100, LINES)?;
    params.finish("`limit`")?;
    app.control.lines(&name, limit).map(|log| answer::json(&log)).ok_or_else(|| unknown(&name))
}

fn unknown(name: &str) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, format!("there is no rule `{name}`: see /api/v1/rules"))
}

/// `PUT /api/v1/rules/{name}`
pub async fn put(
    State(app): State<App>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let mut wish = Deployment {
        name: Some(name),
        wasm: None,
        digest: params.take("module")?,
        query: params.take("query")?,
        per: params.take("per")?,
        set: params.with_prefix("set.")?,
        to: params.with_prefix("to.")?,
        dry_run: params.flag("dry_run")?,
        terms: terms(&headers)?,
        how: how(&mut params)?,
        watch: span(&mut params, "watch")?,
        reset_state: params.flag("reset_state")?,
        backfill: span(&mut params, "backfill")?,
        idempotency_key: text(&headers, "idempotency-key")?,
    };
    params.finish(
        "`module`, `query`, `per`, `set.NAME`, `to.NAME`, `dry_run`, `shadow`, `canary`, `watch`, `reset_state` and `backfill`",
    )?;
    let wasm = body::read(&headers, body, MODULE, app.limits.body).await?;
    match (wasm.is_empty(), &wish.digest) {
        (true, None) => {
            return Err(Failure::bad(
                "a module was expected as the body, or the digest of one that is there as `?module=`",
            ));
        }
        (false, Some(_)) => {
            return Err(Failure::bad("both a module and the digest of one were given: leave one out"));
        }
        (true, Some(_)) => {}
        (false, None) => {
            is_wasm(&headers)?;
            wish.wasm = Some(wasm.into());
        }
    }
    Ok(answer::json(&app.control.deploy(wish).await?))
}

/// `DELETE /api/v1/rules/{name}`
pub async fn delete(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let position = app.control.remove(name.clone(), terms(&headers)?).await?;
    Ok(answer::json(&json!({ "name": name, "position": position })))
}

/// `POST /api/v1/rules/{name}/pause`
pub async fn pause(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    set_paused(&app, name, true, &headers).await
}

/// `POST /api/v1/rules/{name}/resume`
pub async fn resume(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    set_paused(&app, name, false, &headers).await
}

async fn set_paused(app: &App, name: String, paused: bool, headers: &HeaderMap) -> Result<Response, Failure> {
    let position = app.control.pause(name.clone(), paused, terms(headers)?).await?;
    Ok(answer::json(&json!({ "name": name, "paused": paused, "position": position })))
}

/// `POST /api/v1/rules/{name}/rollback`
pub async fn roll_back(
    State(app): State<App>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let to = params.take("to")?.map(|text| {
        text.parse::<u64>().map_err(|_| {
            Failure::bad(format!("parameter `to`: the number of a generation was expected, found `{text}`"))
        })
    });
    let reason = params.take("reason")?.unwrap_or_default();
    params.finish("`to` and `reason`")?;
    let wish = RollBack { name, to: to.transpose()?, reason: bounded(reason), terms: terms(&headers)? };
    Ok(answer::json(&app.control.roll_back(wish).await?))
}

/// `POST /api/v1/rules/{name}/promote`
pub async fn promote(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let position = app.control.end_trial(name.clone(), None, terms(&headers)?).await?;
    Ok(answer::json(&json!({ "name": name, "promoted": true, "position": position })))
}

/// `POST /api/v1/rules/{name}/abandon`
pub async fn abandon(
    State(app): State<App>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let reason = params.take("reason")?.unwrap_or_default();
    params.finish("`reason`")?;
    let position = app.control.end_trial(name.clone(), Some(bounded(reason)), terms(&headers)?).await?;
    Ok(answer::json(&json!({ "name": name, "promoted": false, "position": position })))
}

/// How a deployment begins.
fn how(params: &mut Params) -> Result<How, Failure> {
    let shadow = params.flag("shadow")?;
    match params.take("canary")? {
        None if shadow => Ok(How::Shadow),
        None => Ok(How::Replace),
        Some(_) if shadow => Err(Failure::bad("a rule is tried as a shadow or as a canary: leave one out")),
        Some(text) => {
            let share =
                text.trim_end_matches('%').parse::<f64>().ok().map(|percent| (percent * 10.0).round());
            match share {
                Some(share) if (1.0..=1000.0).contains(&share) => Ok(How::Canary(share as u32)),
                _ => Err(Failure::bad(format!(
                    "parameter `canary`: a percentage of keys from 0.1 to 100 was expected, found `{text}`"
                ))),
            }
        }
    }
}

fn span(params: &mut Params, name: &str) -> Result<Option<Span>, Failure> {
    let Some(text) = params.take(name)? else { return Ok(None) };
    match Span::parse(&text).filter(|span| *span >= Span::ZERO) {
        Some(span) => Ok(Some(span)),
        None if text == "0" => Ok(Some(Span::ZERO)),
        None => {
            Err(Failure::bad(format!("parameter `{name}`: a time like 10m was expected, found `{text}`")))
        }
    }
}

/// Who changes something, as they say.
pub fn who(headers: &HeaderMap) -> Result<String, Failure> {
    Ok(bounded(text(headers, "x-tidegate-by")?.unwrap_or_default()))
}

/// Who changes something, and which generation they have seen.
fn terms(headers: &HeaderMap) -> Result<Terms, Failure> {
    let generation = match text(headers, "if-match")? {
        None => None,
        Some(text) => Some(text.trim_matches('"').parse().map_err(|_| {
            Failure::bad(format!(
                "header if-match: the generation of the rule was expected, like \"3\", found {text}"
            ))
        })?),
    };
    Ok(Terms { by: who(headers)?, generation })
}

fn text(headers: &HeaderMap, name: &str) -> Result<Option<String>, Failure> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if text.len() <= WORDS => Ok(Some(text.to_owned())),
        _ => Err(Failure::bad(format!("header {name}: up to {WORDS} plain characters were expected"))),
    }
}

/// What people say about a change is kept in the log: a line, and not a long one.
fn bounded(text: String) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS).collect()
}

/// Whether the body says that it is a module.
pub fn is_wasm(headers: &HeaderMap) -> Result<(), Failure> {
    match body::content_type(headers).as_str() {
        "application/wasm" | "application/octet-stream" => Ok(()),
        found => Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("content-type application/wasm was expected, found `{found}`"),
        )),
    }
}
