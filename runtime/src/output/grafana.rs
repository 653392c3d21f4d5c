//! Grafana annotations: a mark on every chart for each event.
//!
//! Grafana takes one annotation a request and knows no key for it: what is sent again is there twice.

use super::http::{self, Client};
use super::kinds::{Kind, Place};
use super::template::{self, Template};
use super::words::{cut, sentence};
use super::{Delivery, SendError, Sink, Verdict, Which};
use crate::config::Section;
use reqwest::Method;
use serde::Serialize;
use std::sync::Arc;

/// Bytes of a tag: Grafana's column has no room for more.
const TAG: usize = 100;

/// Bytes of the text.
const TEXT: usize = 8192;

/// `type = "grafana"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The server.
    pub http: http::Settings,
    /// Tags that every annotation has.
    pub tags: Vec<String>,
    /// The dashboard that shows them; all of the organisation if none is named.
    pub dashboard: Option<String>,
    /// The panel of that dashboard.
    pub panel: Option<u64>,
    /// What it says.
    pub text: Option<Template>,
}

impl Kind for Settings {
    type Sink = Grafana;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let tags = at.texts_or("tags", 32, &["tidegate"], "[\"tidegate\"]");
        let dashboard = at.text("dashboard", "\"cIBgcSjkk\"");
        let panel = at.has("panel").then(|| at.count("panel", 1..=u64::from(u32::MAX), 1));
        let text = template::read(at, "text", "\"{{ host }} is {{ state }}\"");
        let http = http::read(at, "http://127.0.0.1:3000")?;
        Some(Self { http, tags, dashboard, panel, text })
    }

    fn sink(&self, _: &Place) -> Result<Grafana, String> {
        Ok(Grafana { client: Client::new(&self.http)?, settings: self.clone() })
    }
}

/// Makes annotations.
#[derive(Debug)]
pub struct Grafana {
    client: Client,
    settings: Settings,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotation<'a> {
    #[serde(rename = "dashboardUID", skip_serializing_if = "Option::is_none")]
    dashboard: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    panel_id: Option<u64>,
    time: i64,
    tags: Vec<String>,
    text: String,
}

impl Sink for Grafana {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        for (delivered, delivery) in batch.iter().enumerate() {
            let sent = match self.body(delivery) {
                Ok(body) => {
                    let url = self.client.url("api/annotations", &[]);
                    self.client.send(self.client.post(url, "application/json", body)).await.map(drop)
                }
                Err(message) => Err(SendError::refused(Which::First, message)),
            };
            sent.map_err(|error| {
                // A request holds one event: what refuses some of it refuses this one.
                let verdict = match error.verdict {
                    Verdict::Refused(Which::Some) => Verdict::Refused(Which::First),
                    other => other,
                };
                SendError { verdict, delivered, ..error }
            })?;
        }
        Ok(())
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let url = self.client.url("api/annotations", &[]);
        let mut text = String::new();
        for (delivered, delivery) in batch.iter().enumerate() {
            let body = self
                .body(delivery)
                .map_err(|message| SendError { delivered, ..SendError::refused(Which::First, message) })?;
            text += &self.client.describe(&Method::POST, &url, &String::from_utf8_lossy(&body));
            text.push('\n');
        }
        Ok(text)
    }
}

impl Grafana {
    fn body(&self, delivery: &Delivery) -> Result<Vec<u8>, String> {
        let event = delivery.event();
        let text = match &self.settings.text {
            None => sentence(delivery),
            Some(template) => template.render(delivery)?,
        };
        let mut tags = self.settings.tags.clone();
        let fields = [
            ("rule", Some(&*delivery.rule)),
            ("host", event.host()),
            ("service", event.service()),
            ("state", event.state()),
        ];
        for (name, value) in fields {
            // A rule called `-` is none: the output's own query chose the event.
            if let Some(value) = value.filter(|value| !value.is_empty() && (name, *value) != ("rule", "-")) {
                tags.push(cut(&format!("{name}:{value}"), TAG).to_owned());
            }
        }
        tags.extend(event.tags().map(|tag| cut(tag, TAG).to_owned()));
        let annotation = Annotation {
            dashboard: self.settings.dashboard.as_deref(),
            panel_id: self.settings.panel,
            time: event.time().0.div_euclid(1000),
            tags,
            text: cut(&text, TEXT).to_owned(),
        };
        Ok(serde_json::to_vec(&annotation).expect("memory takes every annotation"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{self, delivery, described, sink};

    #[tokio::test]
    async fn one_that_is_refused_is_passed_over_and_those_before_it_have_arrived() {
        let (url, asked) =
            samples::http(&[("200 OK", "{}"), ("400 Bad Request", "no text"), ("200 OK", "{}")]).await;
        let http = http::Settings { token: Some("glsa".into()), ..http::Settings::at(&url) };
        let settings = Settings { http, tags: Vec::new(), dashboard: None, panel: None, text: None };
        let mut grafana: Grafana = sink(&settings);
        let batch: Vec<_> = (0..3).map(|n| Arc::new(delivery(n))).collect();
        let error = grafana.send(&batch).await.unwrap_err();
        assert_eq!((error.verdict, error.delivered), (Verdict::Refused(Which::First), 1), "{error:?}");
        grafana.send(&batch[2..]).await.unwrap();
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 3);
        assert!(asked[0].0.contains("authorization: bearer glsa\r\n"), "{}", asked[0].0);
    }

    #[test]
    fn an_annotation_says_what_happened_where_and_when() {
        let settings = Settings {
            http: http::Settings::at("http://x:3000"),
            tags: vec!["tidegate".into()],
            dashboard: Some("wall".into()),
            panel: Some(4),
            text: None,
        };
        let mut grafana: Grafana = sink(&settings);
        let preview = grafana.preview(&[Arc::new(described("web1", "api", "critical", "slow"))]).unwrap();
        expect_test::expect![[r#"
            POST http://x:3000/api/annotations

            {"dashboardUID":"wall","panelId":4,"time":1700000000000,"tags":["tidegate","rule:slow_api","host:web1","service:api","state:critical"],"text":"web1 api is critical at 0: slow"}
        "#]].assert_eq(&preview);
    }
}
