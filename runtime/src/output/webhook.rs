//! A POST per batch: `{"events": [{"id": …, "rule": …, "output": …, "event": {…}}, …]}`.
//!
//! The header `Idempotency-Key` is the same whenever the same batch is sent again.

use super::http::{self, Client, idempotency_key};
use super::kinds::{Kind, Place};
use super::{Delivery, SendError, Sink, json};
use crate::config::Section;
use reqwest::Method;
use std::sync::Arc;

/// `type = "webhook"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to.
    pub http: http::Settings,
}

impl Kind for Settings {
    type Sink = Webhook;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        Some(Self { http: http::read(at, "https://example.com/alerts")? })
    }

    fn sink(&self, _: &Place) -> Result<Webhook, String> {
        Ok(Webhook { client: Client::new(&self.http)? })
    }
}

/// Sends batches to a URL.
#[derive(Debug)]
pub struct Webhook {
    client: Client,
}

impl Sink for Webhook {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let request = self
            .client
            .post(self.client.url("", &[]), "application/json", body(batch))
            .header("idempotency-key", idempotency_key(batch));
        self.client.send(request).await.map(drop)
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let text = format!(
            "content-type: application/json\nidempotency-key: {}\n\n{}\n",
            idempotency_key(batch),
            String::from_utf8_lossy(&body(batch))
        );
        Ok(self.client.describe(&Method::POST, &self.client.url("", &[]), &text))
    }
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
