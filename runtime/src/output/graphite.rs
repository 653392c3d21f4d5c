//! Lines for Carbon: `path value seconds`.
//!
//! Carbon says nothing back, and keeps what it has read in memory for a while. What was written lately is therefore written
//! again when the connection has broken: for Carbon the same path and second are one point.

use super::encode::{Encoded, encode};
use super::kinds::{Kind, Place};
use super::labels::{self, Labels, clean};
use super::lines::{Lines, read_resend};
use super::stream::{self, Protocol};
use super::template::{self, Template};
use super::{Delivery, SendError, Sink};
use crate::config::{Problem, Section};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::codec;
use tidegate_event::Metric;

/// `type = "graphite"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where it listens.
    pub wire: stream::Settings,
    /// What stands before each path.
    pub prefix: String,
    /// What a series is called.
    pub form: Form,
    /// How far back lines are written again after a connection broke.
    pub resend: Duration,
}

/// What a series is called.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Riemann's path: the host's labels in reverse, then the words of the service.
    Path,
    /// A text of the operator's.
    Template(Template),
    /// The service's words, and tags behind semicolons.
    Tags(Labels),
}

impl Settings {
    /// To this address, all else as it is by default.
    pub fn at(wire: stream::Settings) -> Self {
        Self { wire, prefix: String::new(), form: Form::Path, resend: Duration::from_secs(60) }
    }
}

impl Kind for Settings {
    type Sink = Graphite;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let prefix = at.text_or("prefix", "");
        let template = template::read(at, "path", "\"{{ service }}.{{ host }}\"");
        let tags = labels::read_tags(at);
        if tags.is_some() && template.is_some() {
            at.error(Problem::new(
                at.spot_of("tags"),
                "`path` and `tags` are two ways to name a series".into(),
            ));
        }
        let form = match (template, tags) {
            (Some(template), _) => Form::Template(template),
            (None, Some(tags)) => Form::Tags(tags),
            (None, None) => Form::Path,
        };
        let resend = read_resend(at);
        let wire = stream::read(at, "127.0.0.1:2003", &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)])?;
        Some(Self { wire, prefix, form, resend })
    }

    fn sink(&self, _: &Place) -> Result<Graphite, String> {
        let lines = Lines::new(&self.wire, self.resend)?;
        Ok(Graphite { lines, prefix: self.prefix.clone(), form: self.form.clone() })
    }
}

/// Writes lines to a Carbon.
#[derive(Debug)]
pub struct Graphite {
    lines: Lines,
    prefix: String,
    form: Form,
}

impl Graphite {
    fn encode(&self, batch: &[Arc<Delivery>]) -> Encoded {
        encode(batch, |to, delivery| {
            let event = delivery.event();
            let metric = finite(&event).ok_or("an event without a finite metric has no line")?;
            to.extend_from_slice(self.prefix.as_bytes());
            match &self.form {
                Form::Path => codec::graphite::encode_path(to, event.host(), event.service()),
                Form::Template(template) => {
                    let path =
                        clean(template.render(delivery)?.trim(), |c| !c.is_whitespace() && !c.is_control());
                    if path.is_empty() {
                        return Err("`path` gives nothing".into());
                    }
                    to.extend_from_slice(path.as_bytes());
                }
                Form::Tags(tags) => {
                    codec::graphite::encode_path(to, None, event.service());
                    for (name, value) in tags.of(delivery) {
                        // A tag has a name of 1 character or more without `;!^=`, and a value that does not begin with `~`.
                        let name = clean(&name, |c| c.is_ascii_graphic() && !";!^=".contains(c));
                        let value = clean(&value, |c| !c.is_whitespace() && !c.is_control() && c != ';');
                        let value = value.strip_prefix('~').map_or(value.clone(), |rest| format!("_{rest}"));
                        let _ = write!(to, ";{name}={value}");
                    }
                }
            }
            let seconds = event.time().secs();
            let _ = match metric {
                Metric::Int(value) => writeln!(to, " {value} {seconds}"),
                Metric::Float(value) => writeln!(to, " {value:?} {seconds}"),
            };
            Ok(())
        })
    }
}

/// The metric, if it is a number that can be kept.
pub fn finite(event: &tidegate_event::Event<'_>) -> Option<Metric> {
    event.number().filter(|metric| metric.as_f64().is_finite())
}

impl Sink for Graphite {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let mut encoded = self.encode(batch);
        self.lines.send(std::mem::take(&mut encoded.body)).await.map_err(SendError::later)?;
        encoded.sent()
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        self.encode(batch).preview()
    }
}
