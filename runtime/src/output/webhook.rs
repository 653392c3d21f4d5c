//! A POST per batch: `{"events": [{"id": …, "rule": …, "output": …, "event": {…}}, …]}`.
//!
//! The header `Idempotency-Key` is the same whenever the same batch is sent again. Redirects are not followed: they would
//! carry the headers, secrets included, to somewhere nobody named.

use super::{Delivery, SendError, Sink, Verdict, Which, json};
use crate::clock;
use crate::config::Secret;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use std::sync::Arc;
use std::time::Duration;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How much of a refusal is kept to be shown.
const SHOWN: usize = 200;

/// The longest wait that the other side may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Sends batches to a URL.
#[derive(Debug)]
pub struct Webhook {
    client: Client,
    url: Url,
}

impl Webhook {
    /// To this URL, with these headers.
    pub fn new(url: &Secret, headers: &[(String, Secret)], timeout: Duration) -> Result<Self, String> {
        let url = Url::parse(url.reveal()).map_err(|error| format!("the url is none: {error}"))?;
        let mut map = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for (name, value) in headers {
            let wrong = |_| format!("`{name}` cannot be sent as a header");
            let header: HeaderName = name.parse().map_err(|_| wrong(()))?;
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| wrong(()))?;
            value.set_sensitive(true);
            map.insert(header, value);
        }
        let client = Client::builder()
            .default_headers(map)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(timeout)
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.without_url().to_string())?;
        Ok(Self { client, url })
    }
}

impl Sink for Webhook {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let [first, .., last] = batch else {
            let Some(only) = batch.first() else { return Ok(()) };
            return self.post(only.id(), batch).await;
        };
        self.post(format!("{}/{}", first.id(), last.id()), batch).await
    }
}

impl Webhook {
    async fn post(&self, key: String, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let mut body = b"{\"events\":[".to_vec();
        for (i, delivery) in batch.iter().enumerate() {
            if i > 0 {
                body.push(b',');
            }
            json::write(&mut body, delivery);
        }
        body.extend_from_slice(b"]}");
        let request = self.client.post(self.url.clone()).header("Idempotency-Key", key).body(body);
        match request.send().await {
            Ok(response) => judge(response).await,
            // The URL may be a secret.
            Err(error) => Err(SendError::later(causes(&error.without_url()))),
        }
    }
}

/// An error with all its causes: the outermost alone says only that sending failed.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

async fn judge(mut response: Response) -> Result<(), SendError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(retry_after);
    let body = response.chunk().await.ok().flatten().unwrap_or_default();
    let body = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    let message = format!("answered {status} {}", body.trim().escape_debug()).trim_end().to_owned();
    let verdict = match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Verdict::Later(after.unwrap_or_default())
        }
        _ if status.is_server_error() => Verdict::Later(after.unwrap_or_default()),
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Verdict::Refused(Which::Some)
        }
        _ => Verdict::Refused(Which::All),
    };
    Err(SendError { verdict, delivered: 0, message })
}

/// `Retry-After` is a number of seconds or a date.
fn retry_after(value: &str) -> Option<Duration> {
    let wait = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?.timestamp().as_microsecond();
            Duration::from_micros(u64::try_from(date - clock::now().0).unwrap_or(0))
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_longer_than_an_hour() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("86400"), Some(LONGEST_WAIT));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("Fri, 01 Jan 2100 00:00:00 GMT"), Some(LONGEST_WAIT));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("-1"), None);
    }
}
