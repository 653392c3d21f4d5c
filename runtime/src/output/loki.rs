//! Grafana Loki: lines through `/loki/api/v1/push`.
//!
//! Each set of labels is a stream of Loki's, and every stream costs it memory: so only the labels that are named here are
//! made, and beyond a bound events go to one stream without them, with what they would have been in the line all the same.
//! The entries of a stream are sent in the order of their times. A line holds the event's id, so that Loki, which keeps one
//! of two equal lines of one time, keeps one of what is sent again.

use super::http::{self, Client};
use super::kinds::{Kind, Place};
use super::words::cut;
use super::{Delivery, SendError, Sink, json};
use crate::config::{Problem, Section};
use crate::telemetry::OutputStats;
use reqwest::Method;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes of a label's value.
const VALUE: usize = 256;

/// Fields of an event that can be labels.
const FIELDS: [&str; 5] = ["host", "service", "state", "rule", "output"];

/// `type = "loki"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The server.
    pub http: http::Settings,
    /// Fields that become labels.
    pub labels: Vec<String>,
    /// Labels that every line has.
    pub fixed: Vec<(String, String)>,
    /// Streams at most.
    pub max_streams: usize,
    /// Whose lines these are, where Loki serves several.
    pub tenant: Option<String>,
}

impl Kind for Settings {
    type Sink = Loki;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let labels = at.texts_or("labels", 5, &["host", "service", "state"], "[\"host\", \"state\"]");
        if let Some(strange) = labels.iter().find(|label| !FIELDS.contains(&label.as_str())) {
            let message = format!("`labels` has {strange:?}, which is none of {}", FIELDS.join(", "));
            at.error(Problem::new(at.spot_of("labels"), message));
        }
        let mut fixed = at.pairs("fixed_labels", "{ job = \"tidegate\" }");
        if !at.has("fixed_labels") {
            fixed.push(("job".into(), "tidegate".into()));
        }
        if let Some((strange, _)) = fixed.iter().find(|(name, _)| !is_label(name)) {
            let message = format!("`fixed_labels` has {strange:?}: letters, digits and `_` were expected");
            at.error(Problem::new(at.spot_of("fixed_labels"), message));
        }
        if labels.is_empty() && fixed.is_empty() {
            let problem = Problem::new(at.spot_of("labels"), "a line needs at least one label".into());
            at.error(problem.hint("such as fixed_labels = { job = \"tidegate\" }"));
        }
        let max_streams = at.count("max_streams", 1..=100_000, 1000) as usize;
        let tenant = at.text("tenant", "\"ops\"");
        if tenant.as_deref().is_some_and(|name| reqwest::header::HeaderValue::from_str(name).is_err()) {
            at.error(Problem::new(at.spot_of("tenant"), "`tenant` cannot be sent as a header".into()));
        }
        let http = http::read(at, "http://127.0.0.1:3100")?;
        Some(Self { http, labels, fixed, max_streams, tenant })
    }

    fn sink(&self, place: &Place) -> Result<Loki, String> {
        let (client, stats) = (Client::new(&self.http)?, place.stats.clone());
        Ok(Loki { client, settings: self.clone(), streams: BTreeSet::new(), over: 0, stats })
    }
}

fn is_label(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

type Labels = BTreeMap<String, String>;

/// Sends lines.
#[derive(Debug)]
pub struct Loki {
    client: Client,
    settings: Settings,
    /// The sets of labels that were used; never more than allowed.
    streams: BTreeSet<Labels>,
    /// How many events of the last body found no room there.
    over: u64,
    stats: Arc<OutputStats>,
}

#[derive(Serialize)]
struct Push {
    streams: Vec<Stream>,
}

#[derive(Serialize)]
struct Stream {
    stream: Labels,
    values: Vec<(String, String)>,
}

impl Sink for Loki {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let body = self.body(batch, false);
        let url = self.client.url("loki/api/v1/push", &[]);
        let mut request = self.client.post(url, "application/json", body);
        if let Some(tenant) = &self.settings.tenant {
            request = request.header("x-scope-orgid", tenant);
        }
        self.client.send(request).await?;
        self.stats.unlabelled.add(self.over);
        Ok(())
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let body = self.body(batch, true);
        let url = self.client.url("loki/api/v1/push", &[]);
        Ok(self.client.describe(&Method::POST, &url, &String::from_utf8_lossy(&body)))
    }
}

impl Loki {
    fn body(&mut self, batch: &[Arc<Delivery>], for_a_person: bool) -> Vec<u8> {
        self.over = 0;
        let mut streams: BTreeMap<Labels, Vec<(i128, String)>> = BTreeMap::new();
        for delivery in batch {
            let nanos = i128::from(delivery.event().time().0) * 1000;
            let mut line = Vec::new();
            json::write(&mut line, delivery);
            let line = String::from_utf8_lossy(&line).into_owned();
            streams.entry(self.labels(delivery)).or_default().push((nanos, line));
        }
        let streams = streams.into_iter().map(|(stream, mut values)| {
            // Stable: what has one time stays in its order.
            values.sort_by_key(|(nanos, _)| *nanos);
            let values = values.into_iter().map(|(nanos, line)| (nanos.to_string(), line)).collect();
            Stream { stream, values }
        });
        let push = Push { streams: streams.collect() };
        let written = if for_a_person { serde_json::to_vec_pretty(&push) } else { serde_json::to_vec(&push) };
        written.expect("memory takes every line")
    }

    /// The labels of an event; those that all have, where there would be too many streams.
    fn labels(&mut self, delivery: &Delivery) -> Labels {
        let event = delivery.event();
        let mut labels: Labels = self.settings.fixed.iter().cloned().collect();
        for field in &self.settings.labels {
            let value = match field.as_str() {
                "host" => event.host(),
                "service" => event.service(),
                "state" => event.state(),
                "rule" => Some(&*delivery.rule),
                _ => Some(&*delivery.declared),
            };
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                labels.insert(field.clone(), cut(value, VALUE).to_owned());
            }
        }
        if self.streams.contains(&labels) {
            return labels;
        }
        if self.streams.len() < self.settings.max_streams {
            self.streams.insert(labels.clone());
            return labels;
        }
        self.over += 1;
        let mut rest: Labels = self.settings.fixed.iter().cloned().collect();
        rest.insert("overflow".into(), "true".into());
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Verdict;
    use crate::output::samples::{self, at, described, named, sink};
    use std::time::Duration;

    fn settings() -> Settings {
        Settings {
            http: http::Settings::at("http://x:3100"),
            labels: vec!["host".into(), "state".into()],
            fixed: vec![("job".into(), "tidegate".into())],
            max_streams: 2,
            tenant: None,
        }
    }

    fn pushed(loki: &mut Loki, batch: &[Arc<Delivery>]) -> serde_json::Value {
        serde_json::from_slice(&loki.body(batch, false)).unwrap()
    }

    #[test]
    fn entries_of_a_stream_stand_in_the_order_of_their_times() {
        let mut loki: Loki = sink(&settings());
        let batch = [(5, "b"), (3, "a"), (5, "c")]
            .map(|(secs, what)| Arc::new(at(secs, described("web1", "api", "ok", what))));
        let json = pushed(&mut loki, &batch);
        let values = json["streams"][0]["values"].as_array().unwrap();
        let seen: Vec<_> = values
            .iter()
            .map(|value| {
                let line: serde_json::Value = serde_json::from_str(value[1].as_str().unwrap()).unwrap();
                (
                    value[0].as_str().unwrap().to_owned(),
                    line["event"]["description"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        let expected = [("3000000000", "a"), ("5000000000", "b"), ("5000000000", "c")];
        assert_eq!(seen, expected.map(|(time, what)| (time.to_owned(), what.to_owned())));
        assert_eq!(
            json["streams"][0]["stream"],
            serde_json::json!({"host": "web1", "job": "tidegate", "state": "ok"})
        );
    }

    #[tokio::test]
    async fn a_tenant_is_named_and_too_much_at_once_waits() {
        let (url, asked) =
            samples::http(&[("429 Too Many Requests\r\nretry-after: 7", ""), ("204 No Content", "")]).await;
        let http = http::Settings::at(&url);
        let mut loki: Loki = sink(&Settings { http, tenant: Some("ops".into()), ..settings() });
        let batch = [Arc::new(named("web1", "api", "ok"))];
        let error = loki.send(&batch).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Later(Duration::from_secs(7)));
        loki.send(&batch).await.unwrap();
        let asked = asked.lock().unwrap();
        assert!(asked[1].0.starts_with("post /loki/api/v1/push http/1.1\r\n"), "{}", asked[1].0);
        assert!(asked[1].0.contains("x-scope-orgid: ops\r\n"), "{}", asked[1].0);
        assert_eq!(asked[0].1, asked[1].1, "what is sent again is the same");
    }

    #[test]
    fn beyond_the_bound_lines_share_one_stream() {
        let mut loki: Loki = sink(&settings());
        let batch = ["a", "b", "c", "d", "a"].map(|host| Arc::new(named(host, "api", "ok")));
        let json = pushed(&mut loki, &batch);
        let streams = json["streams"].as_array().unwrap();
        assert_eq!(streams.len(), 3);
        let overflow = streams.iter().find(|stream| stream["stream"]["overflow"] == "true").unwrap();
        assert_eq!(overflow["stream"], serde_json::json!({"job": "tidegate", "overflow": "true"}));
        assert_eq!(overflow["values"].as_array().unwrap().len(), 2);
        assert_eq!(loki.over, 2, "they are counted when they are delivered");
    }

    #[test]
    fn a_label_is_bounded_and_an_empty_one_is_left_out() {
        let mut loki: Loki = sink(&settings());
        let json = pushed(&mut loki, &[Arc::new(named(&"é".repeat(300), "api", ""))]);
        let labels = &json["streams"][0]["stream"];
        assert_eq!(labels["host"].as_str().unwrap().len(), VALUE);
        assert_eq!(labels.get("state"), None);
    }
}
