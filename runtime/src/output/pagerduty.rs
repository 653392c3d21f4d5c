//! PagerDuty, Events API v2: an alert triggers an incident, is acknowledged there, and is resolved.
//!
//! The id of the alert is its `dedup_key`: however often something is sent, there is one incident.

use super::alerts::Kind as Told;
use super::http::{self, Client};
use super::kinds::{Kind, Place};
use super::notice::{Item, Notice, cut};
use super::slack::alone;
use super::template::{self, Template};
use super::wording as words;
use super::{Delivery, SendError, Sink, Which};
use crate::config::{Problem, Secret, Section};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;

/// Where PagerDuty is.
const URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// What PagerDuty knows.
const SEVERITIES: [&str; 4] = ["critical", "error", "warning", "info"];

/// What PagerDuty takes of a summary, in bytes.
const SUMMARY: usize = 1_024;

/// `type = "pagerduty"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to.
    pub http: http::Settings,
    /// The key of the service's integration.
    pub routing_key: Secret,
    /// What a state is there.
    pub severities: Vec<(String, String)>,
    /// Instead of the usual summary.
    pub summary: Option<Template>,
}

impl Kind for Settings {
    type Sink = PagerDuty;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let severities = at.pairs("severities", "{ down = \"critical\" }");
        if let Some((state, wrong)) =
            severities.iter().find(|(_, known)| !SEVERITIES.contains(&known.as_str()))
        {
            let message = format!("`{state}` is {wrong:?}, one of {} was expected", SEVERITIES.join(", "));
            at.error(Problem::new(at.spot_of("severities"), message));
        }
        let summary = template::read(at, "summary", "\"{{ host }} {{ service }} is {{ state }}\"");
        let http = http::read_or(at, URL);
        let routing_key = at.secret("routing_key", "{ env = \"PAGERDUTY_KEY\" }")?;
        Some(Self { http: http?, routing_key, severities, summary })
    }

    fn sink(&self, _: &Place) -> Result<PagerDuty, String> {
        Ok(PagerDuty { client: Client::new(&self.http)?, settings: self.clone() })
    }
}

/// Sends events to PagerDuty.
#[derive(Debug)]
pub struct PagerDuty {
    client: Client,
    settings: Settings,
}

impl Sink for PagerDuty {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        for (delivered, delivery) in batch.iter().enumerate() {
            self.deliver(delivery).await.map_err(|error| SendError { delivered, ..error })?;
        }
        Ok(())
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let mut text = String::new();
        for (delivered, delivery) in batch.iter().enumerate() {
            let refused = |why| SendError { delivered, ..SendError::refused(Which::First, why) };
            for mut message in self.messages(delivery).map_err(refused)? {
                message["routing_key"] = "***".into();
                let body = serde_json::to_string_pretty(&message).unwrap_or_default();
                text += &self.client.describe(&Method::POST, &self.client.url("", &[]), &(body + "\n\n"));
            }
        }
        Ok(text)
    }
}

impl PagerDuty {
    async fn deliver(&self, delivery: &Delivery) -> Result<(), SendError> {
        let messages = self.messages(delivery).map_err(|why| SendError::refused(Which::First, why))?;
        for message in messages {
            let body = message.to_string().into_bytes();
            let request = self.client.post(self.client.url("", &[]), "application/json", body);
            self.client.send(request).await.map_err(alone)?;
        }
        Ok(())
    }

    /// A message for each alert of a notice.
    pub fn messages(&self, delivery: &Delivery) -> Result<Vec<Value>, String> {
        let notice = Notice::read(delivery);
        notice.items.iter().map(|item| self.message(delivery, &notice, item)).collect()
    }

    fn message(&self, delivery: &Delivery, notice: &Notice, item: &Item) -> Result<Value, String> {
        let one = Notice { items: vec![item.clone()], kind: item.kind(), ..notice.clone() };
        let template = self.settings.summary.as_ref().filter(|_| notice.items.len() == 1);
        let summary = words::title(delivery, &one, template)?;
        let action = match item.kind() {
            Told::Resolved => "resolve",
            Told::Acknowledged => "acknowledge",
            _ => "trigger",
        };
        let mut details = json!({
            "state": words::state(item), "since": words::since(item), "why": words::why(item),
            "rule": item.rule, "key": item.key, "notice": delivery.id(),
        });
        let more = [
            ("version", item.version.clone()),
            ("description", item.description.clone()),
            ("before", item.before.clone()),
            ("flapping", item.flapping.then(|| "true".to_owned())),
            ("acknowledged_by", item.acknowledged.clone()),
            ("tags", Some(item.tags.join(", ")).filter(|tags| !tags.is_empty())),
        ];
        let known = more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        if let Value::Object(details) = &mut details {
            details
                .extend(known.chain(item.attributes.clone()).map(|(name, value)| (name, Value::from(value))));
        }
        let mut message = json!({
            "routing_key": self.settings.routing_key.reveal(), "event_action": action, "dedup_key": item.id,
            "client": "Tidegate",
            "payload": {
                "summary": cut(&summary, SUMMARY),
                "source": item.host.as_deref().unwrap_or("tidegate"),
                "severity": self.severity(item),
                "timestamp": item.since,
                "component": item.service,
                "group": Some(&notice.group).filter(|group| !group.is_empty()),
                "class": item.rule,
                "custom_details": details,
            },
        });
        if let Some(url) = &item.url {
            message["client_url"] = url.as_str().into();
            message["links"] = json!([{ "href": url, "text": "the alert" }]);
        }
        Ok(message)
    }

    fn severity(&self, item: &Item) -> &str {
        // What is over is as grave as it was.
        let state = if item.is_over() { item.before.as_deref() } else { item.state.as_deref() };
        let own = self.settings.severities.iter().find(|(known, _)| Some(known.as_str()) == state);
        match (own, state) {
            (Some((_, severity)), _) => severity,
            (None, Some("critical")) => "critical",
            (None, Some("warning")) => "warning",
            (None, Some("ok" | "info")) => "info",
            _ => "error",
        }
    }
}
