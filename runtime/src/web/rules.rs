//! `/api/v1/rules`: what is deployed, and changing it.

use crate::web::answer::{self, Failure};
use crate::web::control::Deployment;
use crate::web::params::Params;
use crate::web::ranking::{self, Order, Wanted};
use crate::web::{App, body};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

/// The largest module.
const MODULE: usize = 4 << 20;

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
    ranking::one(&app, &name).map(|rule| answer::json(&rule)).ok_or_else(|| {
        Failure::new(StatusCode::NOT_FOUND, format!("there is no rule `{name}`: see /api/v1/rules"))
    })
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
    };
    params.finish("`module`, `query`, `per`, `set.NAME`, `to.NAME` and `dry_run`")?;
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
pub async fn delete(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Failure> {
    let position = app.control.remove(name.clone()).await?;
    Ok(answer::json(&json!({ "name": name, "position": position })))
}

/// `POST /api/v1/rules/{name}/pause`
pub async fn pause(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Failure> {
    set_paused(&app, name, true).await
}

/// `POST /api/v1/rules/{name}/resume`
pub async fn resume(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Failure> {
    set_paused(&app, name, false).await
}

async fn set_paused(app: &App, name: String, paused: bool) -> Result<Response, Failure> {
    let position = app.control.pause(name.clone(), paused).await?;
    Ok(answer::json(&json!({ "name": name, "paused": paused, "position": position })))
}

/// `POST /api/v1/modules/inspect`
pub async fn inspect(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Failure> {
    let wasm = body::read(&headers, body, MODULE, app.limits.body).await?;
    if wasm.is_empty() {
        return Err(Failure::bad("a module was expected as the body, found nothing"));
    }
    is_wasm(&headers)?;
    Ok(answer::json(&app.control.inspect(wasm.into()).await?))
}

fn is_wasm(headers: &HeaderMap) -> Result<(), Failure> {
    match body::content_type(headers).as_str() {
        "application/wasm" | "application/octet-stream" => Ok(()),
        found => Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("content-type application/wasm was expected, found `{found}`"),
        )),
    }
}
