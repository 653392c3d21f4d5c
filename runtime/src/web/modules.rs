//! Modules: what one says about itself, which are kept, and letting go of those that nothing uses.

use super::rules::{MODULE, is_wasm};
use crate::web::answer::{self, Failure};
use crate::web::params::Params;
use crate::web::{App, body};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;

/// `GET /api/v1/modules`
pub async fn all(State(app): State<App>) -> Response {
    answer::json(&json!({ "modules": app.control.modules() }))
}

/// `POST /api/v1/modules/gc`
pub async fn collect(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let all = params.flag("all")?;
    params.finish("`all`")?;
    Ok(answer::json(&app.control.collect(all).await?))
}

/// `POST /api/v1/modules/inspect`
pub async fn inspect(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let rule = params.take("rule")?;
    params.finish("`rule`")?;
    let wasm = module(&app, &headers, body).await?;
    Ok(answer::json(&app.control.inspect(wasm, rule).await?))
}

/// `POST /api/v1/modules`
pub async fn keep(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Failure> {
    let wasm = module(&app, &headers, body).await?;
    Ok(answer::json(&app.control.keep(wasm).await?))
}

async fn module(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    let wasm = body::read(headers, body, MODULE, app.limits.body).await?;
    if wasm.is_empty() {
        return Err(Failure::bad("a module was expected as the body, found nothing"));
    }
    is_wasm(headers)?;
    Ok(wasm.into())
}
