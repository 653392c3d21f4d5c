//! A POST per batch: `{"events": [{"id": …, "rule": …, "output": …, "event": {…}}, …]}`; or a request per event, with a body
//! of the operator's own.
//!
//! The header `Idempotency-Key` is the same whenever the same is sent again. With a secret to sign with, the header
//! `X-Tidegate-Signature` is `sha256=` and the HMAC-SHA256 of the body in hexadecimal digits.

use super::http::{self, Client};
use super::kinds::{Kind, Place};
use super::slack::alone;
use super::template::{self, Template};
use super::{Delivery, Keys, SendError, Sink, Which, json};
use crate::config::{Problem, Secret, Section};
use reqwest::Method;
use reqwest::header::HeaderValue;
use ring::hmac;
use std::sync::Arc;

/// `type = "webhook"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to.
    pub http: http::Settings,
    /// `POST` or `PUT`.
    pub put: bool,
    /// What the body is.
    pub content_type: String,
    /// The body for an event, instead of JSON for a batch.
    pub body: Option<Template>,
    /// What bodies are signed with.
    pub sign: Option<Secret>,
}

impl Settings {
    /// A POST per batch to this address.
    pub fn to(http: http::Settings) -> Self {
        Self { http, put: false, content_type: "application/json".into(), body: None, sign: None }
    }
}

impl Kind for Settings {
    type Sink = Webhook;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let put = at.word("method", &[("POST", false), ("PUT", true)], false);
        let body = template::read(at, "body", "\"{{ host }} is {{ state }}\"");
        let content_type = at.text_or("content_type", "application/json");
        if HeaderValue::from_str(&content_type).is_err() {
            let message = "`content_type` cannot be sent as a header".into();
            at.error(Problem::new(at.spot_of("content_type"), message));
        }
        let sign = at.secret_if_given("sign");
        Some(Self { put, content_type, body, sign, http: http::read(at, "https://example.com/alerts")? })
    }

    fn sink(&self, place: &Place) -> Result<Webhook, String> {
        let key = self.sign.as_ref().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes()));
        Ok(Webhook { client: Client::new(&self.http)?, key, keys: place.keys, settings: self.clone() })
    }
}

/// Sends to a URL.
#[derive(Debug)]
pub struct Webhook {
    client: Client,
    key: Option<hmac::Key>,
    keys: Keys,
    settings: Settings,
}

impl Sink for Webhook {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let Some(template) = &self.settings.body else { return self.request(batch, body(batch)).await };
        for (delivered, delivery) in batch.iter().enumerate() {
            let sent = match template.render(delivery) {
                Ok(text) => {
                    self.request(&batch[delivered..=delivered], text.into_bytes()).await.map_err(alone)
                }
                Err(why) => Err(SendError::refused(Which::First, why)),
            };
            sent.map_err(|error| SendError { delivered, ..error })?;
        }
        Ok(())
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let Some(template) = &self.settings.body else { return Ok(self.shown(batch, &body(batch))) };
        let mut text = String::new();
        for (delivered, delivery) in batch.iter().enumerate() {
            let refused = |why| SendError { delivered, ..SendError::refused(Which::First, why) };
            let body = template.render(delivery).map_err(refused)?;
            text += &self.shown(&batch[delivered..=delivered], body.as_bytes());
        }
        Ok(text)
    }
}

impl Webhook {
    fn method(&self) -> Method {
        if self.settings.put { Method::PUT } else { Method::POST }
    }

    async fn request(&self, batch: &[Arc<Delivery>], body: Vec<u8>) -> Result<(), SendError> {
        let mut request = self
            .client
            .request(self.method(), self.client.url("", &[]))
            .header("content-type", &self.settings.content_type)
            .header("idempotency-key", self.keys.of_whole(batch));
        if let Some(key) = &self.key {
            request = request.header("x-tidegate-signature", signature(key, &body));
        }
        self.client.send(request.body(body)).await.map(drop)
    }

    fn shown(&self, batch: &[Arc<Delivery>], body: &[u8]) -> String {
        let mut text = format!(
            "content-type: {}\nidempotency-key: {}\n",
            self.settings.content_type,
            self.keys.of_whole(batch)
        );
        if let Some(key) = &self.key {
            text += &format!("x-tidegate-signature: {}\n", signature(key, body));
        }
        text += &format!("\n{}\n", String::from_utf8_lossy(body));
        self.client.describe(&self.method(), &self.client.url("", &[]), &text)
    }
}

fn signature(key: &hmac::Key, body: &[u8]) -> String {
    let tag = hmac::sign(key, body);
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

fn body(batch: &[Arc<Delivery>]) -> Vec<u8> {
    let mut body = b"{\"events\":[".to_vec();
    for (i, delivery) in batch.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        json::write(&mut body, delivery);
    }
    body.extend_from_slice(b"]}");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_everybody_computes() {
        // The second test case of RFC 4231.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        assert_eq!(
            signature(&key, b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
