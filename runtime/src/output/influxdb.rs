//! InfluxDB's line protocol over HTTP: `measurement,tag=value field=value time`.
//!
//! A point is named by its series and its time, and the time is the event's own: the same event twice is one point.

use super::encode::{Encoded, encode};
use super::graphite::finite;
use super::http::{self, Client};
use super::kinds::{Kind, Place};
use super::labels::{self, Labels};
use super::template::{self, Template};
use super::{Delivery, SendError, Sink, Verdict};
use crate::config::{Problem, Section};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Method, StatusCode, Url};
use std::io::Write;
use std::sync::Arc;
use tidegate_event::Metric;

/// `type = "influxdb"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The server.
    pub http: http::Settings,
    /// Where in it.
    pub target: Target,
    /// What a measurement is called.
    pub measurement: Template,
    /// What else names a series.
    pub tags: Labels,
    /// What stands beside the value: fields and attributes of the event, as text.
    pub fields: Vec<String>,
    /// Whether whole numbers are InfluxDB's integers.
    pub integers: bool,
    /// How fine times are.
    pub precision: Precision,
    /// Whether bodies are compressed.
    pub gzip: bool,
}

/// Where points go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// InfluxDB 1.x.
    Database {
        /// Its name.
        name: String,
        /// Whose retention it has; the database's default if there is none.
        policy: Option<String>,
    },
    /// InfluxDB 2.x.
    Bucket {
        /// Whose.
        org: String,
        /// Its name.
        bucket: String,
    },
}

/// How fine times are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Microseconds, as in Tidegate.
    Micros,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
}

impl Kind for Settings {
    type Sink = Influxdb;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let database = at.text("database", "\"telemetry\"");
        let policy = at.text("retention_policy", "\"autogen\"");
        let (org, bucket) = (at.text("org", "\"ops\""), at.text("bucket", "\"telemetry\""));
        let target = match (database, org, bucket) {
            (Some(name), None, None) => Some(Target::Database { name, policy }),
            (None, Some(org), Some(bucket)) => Some(Target::Bucket { org, bucket }),
            _ => {
                let message =
                    "either `database` (InfluxDB 1) or `org` and `bucket` (InfluxDB 2) was expected";
                at.error(Problem::new(at.spot(), message.into()).hint("such as database = \"telemetry\""));
                None
            }
        };
        let measurement = template::read_or(at, "measurement", "{{ service }}");
        let tags = labels::read(at, "tags");
        let fields = labels::read_fields(at, "fields");
        let integers = at.switch("integers", false);
        let words = [("us", Precision::Micros), ("ms", Precision::Millis), ("s", Precision::Seconds)];
        let precision = at.word("precision", &words, Precision::Micros);
        let gzip = at.switch("gzip", true);
        let http = http::read(at, "http://127.0.0.1:8086");
        let (http, target, measurement) = (http?, target?, measurement?);
        Some(Self { http, target, measurement, tags, fields, integers, precision, gzip })
    }

    fn sink(&self, _: &Place) -> Result<Influxdb, String> {
        let client = match &self.target {
            Target::Database { .. } => Client::new(&self.http)?,
            Target::Bucket { .. } => Client::with_token_as(&self.http, "Token")?,
        };
        let precise = match (&self.target, self.precision) {
            (Target::Database { .. }, Precision::Micros) => "u",
            (_, Precision::Micros) => "us",
            (_, Precision::Millis) => "ms",
            (_, Precision::Seconds) => "s",
        };
        let url = match &self.target {
            Target::Database { name, policy } => {
                let mut query = vec![("db", name.as_str()), ("precision", precise)];
                query.extend(policy.as_deref().map(|policy| ("rp", policy)));
                client.url("write", &query)
            }
            Target::Bucket { org, bucket } => {
                client.url("api/v2/write", &[("org", org), ("bucket", bucket), ("precision", precise)])
            }
        };
        Ok(Influxdb { client, url, settings: self.clone() })
    }
}

/// Writes points.
#[derive(Debug)]
pub struct Influxdb {
    client: Client,
    url: Url,
    settings: Settings,
}

impl Influxdb {
    fn encode(&self, batch: &[Arc<Delivery>]) -> Encoded {
        encode(batch, |to, delivery| self.point(to, delivery))
    }

    fn point(&self, to: &mut Vec<u8>, delivery: &Delivery) -> Result<(), String> {
        let Settings { measurement, tags, fields, integers, precision, .. } = &self.settings;
        let event = delivery.event();
        let name = measurement.render(delivery)?;
        if name.trim().is_empty() {
            return Err("a point needs a measurement, and `measurement` gives nothing".into());
        }
        escape(to, name.trim(), ", ");
        for (name, value) in tags.of(delivery) {
            to.push(b',');
            escape(to, &name, ",= ");
            to.push(b'=');
            escape(to, &value, ",= ");
        }
        let mut separator = b' ';
        if let Some(metric) = finite(&event) {
            to.push(separator);
            separator = b',';
            let _ = match metric {
                Metric::Int(value) if *integers => write!(to, "value={value}i"),
                Metric::Int(value) => write!(to, "value={value}"),
                Metric::Float(value) => write!(to, "value={value:?}"),
            };
        }
        for name in fields {
            let value = match name.as_str() {
                "host" => event.host(),
                "service" => event.service(),
                "state" => event.state(),
                "description" => event.description(),
                other => event.attribute(other),
            };
            if let Some(value) = value {
                to.push(separator);
                separator = b',';
                escape(to, name, ",= ");
                to.extend_from_slice(b"=\"");
                to.extend_from_slice(value.replace('\\', "\\\\").replace('"', "\\\"").as_bytes());
                to.push(b'"');
            }
        }
        if separator == b' ' {
            return Err("a point needs a finite metric, or one of `fields`".into());
        }
        let micros = event.time().0;
        let _ = match precision {
            Precision::Micros => writeln!(to, " {micros}"),
            Precision::Millis => writeln!(to, " {}", micros.div_euclid(1_000)),
            Precision::Seconds => writeln!(to, " {}", micros.div_euclid(1_000_000)),
        };
        Ok(())
    }
}

/// A name, with what would end it escaped. There is no way to write a backslash before such a character, or at the end: it
/// becomes `_`, and so does what would end the line.
fn escape(to: &mut Vec<u8>, text: &str, special: &str) {
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let c = match c {
            '\\' if rest.peek().is_none_or(|next| special.contains(*next)) => '_',
            c if c.is_control() => '_',
            c => c,
        };
        if special.contains(c) {
            to.push(b'\\');
        }
        to.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

impl Sink for Influxdb {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let mut encoded = self.encode(batch);
        let mut body = std::mem::take(&mut encoded.body);
        if body.is_empty() {
            return encoded.sent();
        }
        if self.settings.gzip {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            let done = packed.write_all(&body).and_then(|()| packed.finish());
            body = done.map_err(|error| SendError::later(format!("gzip: {error}")))?;
        }
        let mut request = self.client.post(self.url.clone(), "text/plain; charset=utf-8", body);
        if self.settings.gzip {
            request = request.header("content-encoding", "gzip");
        }
        let answer = self.client.exchange(request).await?;
        http::judge(&answer).map_err(|mut error| {
            // A database that is not there may be made yet.
            if answer.status == StatusCode::NOT_FOUND {
                error.verdict = Verdict::Later(answer.after.unwrap_or_default());
            }
            error
        })?;
        encoded.sent()
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let text = self.encode(batch).preview()?;
        Ok(self.client.describe(&Method::POST, &self.url, &text))
    }
}
