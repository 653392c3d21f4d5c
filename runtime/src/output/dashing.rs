//! Dashing, Smashing and dashing-js: a POST per widget.
//!
//! A widget shows one thing, so of the events of a batch that go to the same widget the last is sent and the others count
//! as delivered with it. What is sent again shows the same again.

use super::http::{self, Client};
use super::kinds::{Kind, Place};
use super::outcomes::{Outcome, Outcomes};
use super::template::{self, Template};
use super::words::sentence;
use super::{Delivery, Keys, SendError, Sink, Verdict, Which};
use crate::config::{Problem, Secret, Section};
use reqwest::Method;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_event::State;

/// `type = "dashing"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The server.
    pub http: http::Settings,
    /// What the server demands in each request.
    pub auth_token: Option<Secret>,
    /// The widget for an event; host and service if none is given.
    pub widget: Option<Template>,
}

impl Kind for Settings {
    type Sink = Dashing;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let auth_token = at.secret_if_given("auth_token");
        let widget = template::read(at, "widget", "\"{{ service }}\"");
        let http = http::read(at, "http://127.0.0.1:3030")?;
        if http.token.is_some() {
            let message = "`token` goes into a header, Dashing reads `auth_token`".into();
            at.warn(Problem::new(at.secret_spot("token"), message));
        }
        Some(Self { http, auth_token, widget })
    }

    fn sink(&self, place: &Place) -> Result<Dashing, String> {
        Ok(Dashing {
            client: Client::new(&self.http)?,
            settings: self.clone(),
            keys: place.keys,
            outcomes: Outcomes::default(),
        })
    }
}

/// Fills widgets.
#[derive(Debug)]
pub struct Dashing {
    client: Client,
    settings: Settings,
    keys: Keys,
    outcomes: Outcomes,
}

/// What the widgets that come with Dashing read: `current` of a number, `value` of a meter, `text` of a text.
#[derive(Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    text: String,
    moreinfo: &'a str,
    status: &'a str,
}

impl Sink for Dashing {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let keys = self.keys.of_all(batch);
        self.outcomes.begin(&keys);
        let open = self.outcomes.open(&keys);
        let mut failed = None;
        for (widget, places) in self.widgets(batch, &keys, &open) {
            let last = places[places.len() - 1];
            let url = self.client.url(&format!("widgets/{widget}"), &[]);
            let body = self.body(&batch[last], true);
            let request = self.client.post(url, "application/json", body);
            match self.client.send(request).await {
                Ok(_) => places.iter().for_each(|i| self.outcomes.note(&keys[*i], Outcome::Arrived)),
                Err(error) if error.verdict == Verdict::Refused(Which::Some) => {
                    let refused = Outcome::Refused(error.message);
                    places.iter().for_each(|i| self.outcomes.note(&keys[*i], refused.clone()));
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        self.outcomes.judge(&keys, failed)
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let keys = self.keys.of_all(batch);
        let all: Vec<usize> = (0..batch.len()).collect();
        self.outcomes.begin(&[]);
        let mut text = String::new();
        for (widget, places) in self.widgets(batch, &keys, &all) {
            let url = self.client.url(&format!("widgets/{widget}"), &[]);
            let body = self.body(&batch[places[places.len() - 1]], false);
            text += &self.client.describe(&Method::POST, &url, &String::from_utf8_lossy(&body));
            text.push('\n');
        }
        match self.outcomes.judge(&keys, None) {
            Err(error) if matches!(error.verdict, Verdict::Refused(_)) => Err(error),
            _ => Ok(text),
        }
    }
}

impl Dashing {
    /// The events of each widget, widgets in the order of their last events. Notes what has no widget.
    fn widgets(
        &mut self,
        batch: &[Arc<Delivery>],
        keys: &[String],
        open: &[usize],
    ) -> Vec<(String, Vec<usize>)> {
        let mut widgets: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for i in open {
            match self.widget(&batch[*i]) {
                Ok(widget) => widgets.entry(widget).or_default().push(*i),
                Err(message) => self.outcomes.note(&keys[*i], Outcome::Refused(message)),
            }
        }
        let mut widgets: Vec<_> = widgets.into_iter().collect();
        widgets.sort_by_key(|(_, places)| places.last().copied());
        widgets
    }

    /// A name that is one segment of a path: letters, digits, `_` and `-`.
    fn widget(&self, delivery: &Delivery) -> Result<String, String> {
        let name = match &self.settings.widget {
            Some(template) => template.render(delivery)?,
            None => {
                let event = delivery.event();
                format!("{} {}", event.host().unwrap_or_default(), event.service().unwrap_or_default())
            }
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        let name: String = name.trim().chars().map(plain).take(128).collect();
        if name.is_empty() { Err("no widget is named for this event".to_owned()) } else { Ok(name) }
    }

    fn body(&self, delivery: &Delivery, secrets: bool) -> Vec<u8> {
        let event = delivery.event();
        let state = event.state().unwrap_or_default();
        let number = event.metric().filter(|metric| metric.is_finite());
        let hidden = if secrets { None } else { Some("***") };
        let data = Data {
            auth_token: self.settings.auth_token.as_ref().map(|token| hidden.unwrap_or(token.reveal())),
            current: number,
            value: number,
            text: event.description().map_or_else(|| sentence(delivery), str::to_owned),
            moreinfo: state,
            // The two words for which Dashing has colours.
            status: match event.state_code() {
                State::Critical => "danger",
                State::Warning | State::Expired => "warning",
                _ => state,
            },
        };
        serde_json::to_vec(&data).expect("memory takes every widget")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{self, described, named, sink};

    #[tokio::test]
    async fn a_widget_that_fails_keeps_its_events_and_no_others() {
        let (url, asked) =
            samples::http(&[("204 No Content", ""), ("500 Oops", ""), ("204 No Content", "")]).await;
        let http = http::Settings::at(&url);
        let mut dashing: Dashing = sink(&Settings { http, auth_token: None, widget: None });
        let batch = [("a", "ok"), ("b", "ok"), ("a", "critical"), ("b", "critical")]
            .map(|(host, state)| Arc::new(named(host, "api", state)));
        let error = dashing.send(&batch).await.unwrap_err();
        assert!(matches!(error.verdict, Verdict::Later(_)) && error.delivered == 1, "{error:?}");
        dashing.send(&batch[1..]).await.unwrap();
        let heads: Vec<_> = asked.lock().unwrap().iter().map(|(head, _)| head[..17].to_owned()).collect();
        assert_eq!(heads, ["post /widgets/a-a", "post /widgets/b-a", "post /widgets/b-a"]);
    }

    #[test]
    fn each_widget_gets_its_last_event_and_the_token_is_not_shown() {
        let settings = Settings {
            http: http::Settings::at("http://x:3030"),
            auth_token: Some("h1dden".into()),
            widget: None,
        };
        let mut dashing: Dashing = sink(&settings);
        let batch = [
            described("web1", "api/p99", "ok", "fine"),
            named("web2", "api", "ok"),
            described("web1", "api/p99", "critical", "slow"),
        ];
        let preview = dashing.preview(&batch.map(Arc::new)).unwrap();
        expect_test::expect![[r#"
            POST http://x:3030/widgets/web2-api

            {"auth_token":"***","current":0.0,"value":0.0,"text":"web2 api is ok at 0","moreinfo":"ok","status":"ok"}
            POST http://x:3030/widgets/web1-api-p99

            {"auth_token":"***","current":0.0,"value":0.0,"text":"slow","moreinfo":"critical","status":"danger"}
        "#]].assert_eq(&preview);
    }
}
