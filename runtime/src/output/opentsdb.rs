//! OpenTSDB: `put` lines, or JSON over HTTP. A point is named by its metric, tags and time: the same event twice is one point.

use super::encode::{Encoded, encode};
use super::graphite::finite;
use super::http::{self, Client};
use super::kinds::{Kind, Place};
use super::labels::{self, Labels, clean};
use super::lines::{Lines, read_resend};
use super::stream::{self, Protocol};
use super::template::{self, Template};
use super::{Delivery, SendError, Sink};
use crate::config::{Problem, Section};
use reqwest::{Method, Url};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tidegate_event::Metric;

/// `type = "opentsdb"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How it is reached.
    pub way: Way,
    /// What a metric is called.
    pub metric: Template,
    /// What else names a series.
    pub tags: Labels,
    /// Whether times are in milliseconds, else in seconds.
    pub millis: bool,
}

/// How the other side is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// `POST /api/put`, which is answered.
    Http(http::Settings),
    /// `put` lines, which are not; how far back they are written again after a connection broke.
    Lines(stream::Settings, Duration),
}

impl Kind for Settings {
    type Sink = Opentsdb;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let metric = template::read_or(at, "metric", "{{ service }}");
        let tags = labels::read(at, "tags");
        let millis = at.word("precision", &[("ms", true), ("s", false)], true);
        let way = match (at.has("url"), at.has("address")) {
            (false, true) => {
                let resend = read_resend(at);
                stream::read(at, "127.0.0.1:4242", &[("tcp", Protocol::Tcp)])
                    .map(|wire| Way::Lines(wire, resend))
            }
            (_, given) => {
                if given {
                    let message =
                        "`url` is for HTTP and `address` for lines: one of them was expected".into();
                    at.error(Problem::new(at.spot_of("address"), message));
                }
                http::read(at, "http://127.0.0.1:4242").map(Way::Http)
            }
        };
        Some(Self { way: way?, metric: metric?, tags, millis })
    }

    fn sink(&self, _: &Place) -> Result<Opentsdb, String> {
        let other = match &self.way {
            Way::Http(settings) => {
                let client = Client::new(settings)?;
                let url = client.url("api/put", &[("details", "true")]);
                Other::Http(client, url)
            }
            Way::Lines(settings, resend) => Other::Lines(Lines::new(settings, *resend)?),
        };
        Ok(Opentsdb { other, settings: self.clone() })
    }
}

/// Writes points.
#[derive(Debug)]
pub struct Opentsdb {
    other: Other,
    settings: Settings,
}

#[derive(Debug)]
enum Other {
    Http(Client, Url),
    Lines(Lines),
}

/// What OpenTSDB takes in names and values.
fn name(text: &str) -> String {
    clean(text.trim(), |c| c.is_alphanumeric() || "-_./".contains(c))
}

impl Opentsdb {
    fn encode(&self, batch: &[Arc<Delivery>]) -> Encoded {
        let http = matches!(self.other, Other::Http(..));
        let mut encoded = encode(batch, |to, delivery| {
            let event = delivery.event();
            let value = match finite(&event).ok_or("an event without a finite metric has no point")? {
                Metric::Int(value) => value.to_string(),
                Metric::Float(value) => format!("{value:?}"),
            };
            let metric = name(&self.settings.metric.render(delivery)?);
            if metric.is_empty() {
                return Err("`metric` gives nothing".into());
            }
            let tags: Vec<(String, String)> = self
                .settings
                .tags
                .of(delivery)
                .iter()
                .map(|(tag, value)| (name(tag), name(value)))
                .filter(|(tag, value)| !tag.is_empty() && !value.is_empty())
                .collect();
            if tags.is_empty() {
                return Err("a point needs a tag, and the event has none of `tags`".into());
            }
            let micros = event.time().0;
            let time =
                if self.settings.millis { micros.div_euclid(1_000) } else { micros.div_euclid(1_000_000) };
            if http {
                // Names hold nothing that JSON would escape.
                let _ = write!(
                    to,
                    "{{\"metric\":\"{metric}\",\"timestamp\":{time},\"value\":{value},\"tags\":{{"
                );
                for (n, (tag, value)) in tags.iter().enumerate() {
                    let _ = write!(to, "{}\"{tag}\":\"{value}\"", if n > 0 { "," } else { "" });
                }
                to.extend_from_slice(b"}},");
            } else {
                let _ = write!(to, "put {metric} {time} {value}");
                for (tag, value) in &tags {
                    let _ = write!(to, " {tag}={value}");
                }
                to.push(b'\n');
            }
            Ok(())
        });
        if http && encoded.body.pop().is_some() {
            encoded.body.insert(0, b'[');
            encoded.body.push(b']');
        }
        encoded
    }
}

impl Sink for Opentsdb {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let mut encoded = self.encode(batch);
        let body = std::mem::take(&mut encoded.body);
        match &mut self.other {
            Other::Http(client, url) if !body.is_empty() => {
                client.send(client.post(url.clone(), "application/json", body)).await?;
            }
            Other::Http(..) => {}
            Other::Lines(lines) => lines.send(body).await.map_err(SendError::later)?,
        }
        encoded.sent()
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let text = self.encode(batch).preview()?;
        Ok(match &self.other {
            Other::Http(client, url) => client.describe(&Method::POST, url, &text),
            Other::Lines(_) => text,
        })
    }
}
