//! `GET /api/v1/query`: what the index holds, once.

use crate::web::App;
use crate::web::answer::{self, Failure};
use crate::web::params::Params;
use crate::web::stream::list;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use tidegate_engine::codec::json::encode_event;

/// Events in an answer, unless the asker wants fewer or more.
const LIMIT: usize = 1_000;

/// Events in an answer at most.
const LIMIT_MAX: usize = 10_000;

/// `GET /api/v1/query`
pub async fn query(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let matcher = params.matcher()?;
    let limit = params.number("limit", LIMIT, LIMIT_MAX)?;
    params.finish("`q` and `limit`")?;
    let found = app.ingest.search(&matcher, limit).await?;
    let mut text = b"{\"events\":[".to_vec();
    list(&mut text, found.events(), |text, event| encode_event(text, &event));
    text.extend_from_slice(format!("],\"truncated\":{}}}", found.truncated).as_bytes());
    Ok(answer::json_bytes(StatusCode::OK, text))
}
