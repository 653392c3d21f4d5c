//! Prometheus Alertmanager: alerts as its API v2 takes them, which groups, silences and sends them on as it likes.
//!
//! To Alertmanager an alert is its labels. The state is one of them (`severity`), because people route by it; so when a
//! state changes, what was told of the state before is ended. Sending something again changes nothing.

use super::http::{self, Client};
use super::kinds::{Kind, Place};
use super::notice::{Item, Notice};
use super::{Delivery, SendError, Sink, notice};
use crate::clock;
use crate::config::{Problem, Section};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tidegate_event::{Span, Timestamp};

/// States that an event which no desk has seen may end.
const USUAL: [&str; 4] = ["critical", "warning", "unknown", "expired"];

/// `type = "alertmanager"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to: the address without `/api/v2/alerts`.
    pub http: http::Settings,
    /// For how long an alert fires there when nothing more is said of it.
    pub expires: Duration,
    /// Labels of the operator's own.
    pub labels: Vec<(String, String)>,
    /// Attributes that become labels.
    pub label_attributes: Vec<String>,
}

impl Kind for Settings {
    type Sink = Alertmanager;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let labels = at.pairs("labels", "{ team = \"sre\" }");
        if let Some((name, _)) = labels.iter().find(|(name, _)| label(name) != *name) {
            let message = format!("`{name}` is no name of a label: letters, digits and _ were expected");
            at.error(Problem::new(at.spot_of("labels"), message));
        }
        Some(Self {
            expires: at.time("expires", ("1m", "365d"), "1d"),
            labels,
            label_attributes: at.texts_or("label_attributes", 16, &[], "[\"datacenter\"]"),
            http: http::read(at, "http://127.0.0.1:9093")?,
        })
    }

    fn sink(&self, _: &Place) -> Result<Alertmanager, String> {
        Ok(Alertmanager { client: Client::new(&self.http)?, settings: self.clone() })
    }
}

/// Posts alerts.
#[derive(Debug)]
pub struct Alertmanager {
    client: Client,
    settings: Settings,
}

impl Sink for Alertmanager {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let body = self.alerts(batch, clock::now()).to_string().into_bytes();
        let request = self.client.post(self.client.url("api/v2/alerts", &[]), "application/json", body);
        self.client.send(request).await.map(drop)
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let body = serde_json::to_string_pretty(&self.alerts(batch, clock::now())).unwrap_or_default();
        Ok(self.client.describe(&Method::POST, &self.client.url("api/v2/alerts", &[]), &(body + "\n")))
    }
}

impl Alertmanager {
    /// The body for a batch. Of each alert there the last word counts.
    pub fn alerts(&self, batch: &[Arc<Delivery>], now: Timestamp) -> Value {
        let mut alerts: Vec<Value> = Vec::new();
        for notice in notice::read_all(batch) {
            for item in &notice.items {
                for alert in self.of(item, &notice, now) {
                    alerts.retain(|known| known["labels"] != alert["labels"]);
                    alerts.push(alert);
                }
            }
        }
        Value::Array(alerts)
    }

    /// The alert as it is now, and as it was while its state was another.
    fn of(&self, item: &Item, notice: &Notice, now: Timestamp) -> Vec<Value> {
        let expires = Span(i64::try_from(self.settings.expires.as_micros()).unwrap_or(i64::MAX));
        let (over, ends) = (clock::iso8601(now), clock::iso8601(now + expires));
        let over = item.until.clone().unwrap_or(over);
        let state = item.state.as_deref().unwrap_or("none");
        let firing = (!item.is_over()).then_some(state);
        let others: Vec<&str> =
            if notice.is_of_desk { item.states.iter().map(String::as_str).collect() } else { USUAL.to_vec() };
        let others = others.into_iter().filter(|other| Some(*other) != firing);
        let ended = others.map(|other| self.alert(item, other, &over));
        ended.chain(firing.map(|state| self.alert(item, state, &ends))).collect()
    }

    fn alert(&self, item: &Item, severity: &str, ends: &str) -> Value {
        let mut labels = Map::new();
        let mut put = |name: &str, value: &str| {
            if !value.is_empty() {
                labels.insert(name.to_owned(), value.into());
            }
        };
        put("alertname", item.service.as_deref().unwrap_or(&item.rule));
        put("instance", item.host.as_deref().unwrap_or_default());
        put("rule", &item.rule);
        put("alert_id", &item.id);
        put("severity", severity);
        for name in &self.settings.label_attributes {
            put(&label(name), item.attributes.get(name).map(String::as_str).unwrap_or_default());
        }
        self.settings.labels.iter().for_each(|(name, value)| put(name, value));
        let mut annotations = Map::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                annotations.insert(name.to_owned(), value.into());
            }
        };
        put("summary", Some(format!("{}: {}", super::wording::stream(item), super::wording::state(item))));
        put("description", item.description.clone());
        put("why", Some(super::wording::why(item)));
        put("key", Some(item.key.clone()));
        put("before", item.before.clone());
        put("flapping", item.flapping.then(|| "true".into()));
        put("acknowledged_by", item.acknowledged.clone());
        let mut alert = json!({
            "labels": labels, "annotations": annotations, "startsAt": item.since, "endsAt": ends,
        });
        if let Some(url) = &item.url {
            alert["generatorURL"] = url.as_str().into();
        }
        alert
    }
}

/// A name as a label has it.
fn label(name: &str) -> String {
    let fits =
        |(n, c): (usize, char)| match c.is_ascii_alphabetic() || c == '_' || (n > 0 && c.is_ascii_digit()) {
            true => c,
            false => '_',
        };
    name.char_indices().map(fits).collect()
}
