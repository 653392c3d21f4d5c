//! Reads a request's body into memory, with a bound on its length and on its patience.
//!
//! A body has to move: each piece must come within [`Limits::body`](super::Limits), and on the whole it must hold
//! 1 KiB a second after that. Without the second rule a sender could hold a connection for days, a byte at a time.

use crate::web::answer::Failure;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Bytes a second that a body must hold on the whole.
const PACE: f64 = 1024.0;

/// How long an over-long body is read and thrown away, so that the sender gets to read the refusal.
const DRAIN: Duration = Duration::from_secs(2);

/// The whole body, if it has at most `limit` bytes.
pub async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    patience: Duration,
) -> Result<Vec<u8>, Failure> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING).filter(|found| *found != "identity") {
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "a body as it is was expected, found content-encoding {encoding:?}: send it uncompressed"
            ),
        ));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        // Whoever asks before sending is told before sending; the others are mid-sentence and must be heard out.
        if !headers.contains_key(header::EXPECT) {
            drain(&mut body).await;
        }
        return Err(Failure::too_large(limit));
    }
    // The buffer grows with what has come, never with what was announced.
    let mut bytes = Vec::new();
    let start = Instant::now();
    loop {
        let due = start + patience + Duration::from_secs_f64(bytes.len() as f64 / PACE);
        let piece = timeout_at(due.min(Instant::now() + patience), next(&mut body)).await;
        let piece = piece.map_err(|_| {
            Failure::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body stopped after {} bytes: send it faster, or in parts", bytes.len()),
            )
        })?;
        let Some(piece) = piece? else { return Ok(bytes) };
        if bytes.len() + piece.len() > limit {
            drop(bytes);
            drain(&mut body).await;
            return Err(Failure::too_large(limit));
        }
        bytes.extend_from_slice(&piece);
    }
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::bad(format!("the body broke off: {error}")))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

async fn drain(body: &mut Body) {
    let until = Instant::now() + DRAIN;
    while let Ok(Ok(Some(_))) = timeout_at(until, next(body)).await {}
}

/// The content type without its parameters, in lower case; empty when there is none.
pub fn content_type(headers: &HeaderMap) -> String {
    let full = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
