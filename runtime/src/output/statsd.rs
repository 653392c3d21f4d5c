//! StatsD: `name:value|type`. Nothing is answered; over UDP what is on its way when the other side is down is lost.

use super::encode::{Encoded, encode};
use super::graphite::finite;
use super::kinds::{Kind, Place};
use super::labels::{self, Labels, clean};
use super::lines::Lines;
use super::stream::{self, Protocol};
use super::template::{self, Template};
use super::{Delivery, SendError, Sink};
use crate::config::Section;
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::codec;

/// `type = "statsd"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where it listens.
    pub wire: stream::Settings,
    /// What stands before each name.
    pub prefix: String,
    /// The name, if it is not Riemann's path.
    pub name: Option<Template>,
    /// What a value is.
    pub kind: Type,
    /// Tags in Datadog's form behind each line, if it is wanted.
    pub tags: Option<Labels>,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// The latest value holds.
    Gauge,
    /// Values are added.
    Counter,
    /// Milliseconds, summed up by the other side.
    Timer,
    /// Values, summed up by the other side.
    Histogram,
    /// Distinct values are counted.
    Set,
}

impl Type {
    fn letter(self) -> &'static str {
        match self {
            Self::Gauge => "g",
            Self::Counter => "c",
            Self::Timer => "ms",
            Self::Histogram => "h",
            Self::Set => "s",
        }
    }
}

impl Kind for Settings {
    type Sink = Statsd;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let prefix = at.text_or("prefix", "");
        let name = template::read(at, "name", "\"{{ service }}.{{ host }}\"");
        let kinds = [
            ("gauge", Type::Gauge),
            ("counter", Type::Counter),
            ("timer", Type::Timer),
            ("histogram", Type::Histogram),
            ("set", Type::Set),
        ];
        let kind = at.word("kind", &kinds, Type::Gauge);
        let tags = labels::read_tags(at);
        let wire = stream::read(at, "127.0.0.1:8125", &[("udp", Protocol::Udp), ("tcp", Protocol::Tcp)])?;
        Some(Self { wire, prefix, name, kind, tags })
    }

    fn sink(&self, _: &Place) -> Result<Statsd, String> {
        // Written again, a counter would count twice.
        Ok(Statsd { lines: Lines::new(&self.wire, Duration::ZERO)?, settings: self.clone() })
    }
}

/// Writes lines to a StatsD.
#[derive(Debug)]
pub struct Statsd {
    lines: Lines,
    settings: Settings,
}

impl Statsd {
    fn encode(&self, batch: &[Arc<Delivery>]) -> Encoded {
        let Settings { prefix, name, kind, tags, .. } = &self.settings;
        encode(batch, |to, delivery| {
            let event = delivery.event();
            let value = finite(&event).ok_or("an event without a finite metric has no line")?;
            let name = match name {
                Some(template) => template.render(delivery)?,
                None => {
                    let mut path = Vec::new();
                    codec::graphite::encode_path(&mut path, event.host(), event.service());
                    String::from_utf8_lossy(&path).into_owned()
                }
            };
            let name = clean(name.trim(), |c| !c.is_whitespace() && !c.is_control() && !":|@#".contains(c));
            if name.is_empty() {
                return Err("`name` gives nothing".into());
            }
            let value = match value {
                tidegate_event::Metric::Int(whole) => whole.to_string(),
                tidegate_event::Metric::Float(fraction) => fraction.to_string(),
            };
            let mut tail = format!("|{}", kind.letter());
            if let Some(tags) = tags {
                let clean = |text: &str| {
                    clean(text, |c| !c.is_whitespace() && !c.is_control() && !":|@#,".contains(c))
                };
                let tags: Vec<String> = tags
                    .of(delivery)
                    .iter()
                    .map(|(name, value)| format!("{}:{}", clean(name), clean(value)))
                    .collect();
                if !tags.is_empty() {
                    tail += &format!("|#{}", tags.join(","));
                }
            }
            // A gauge with a sign is changed by so much: it is set to nothing first.
            if *kind == Type::Gauge && value.starts_with('-') {
                to.extend_from_slice(format!("{prefix}{name}:0{tail}\n").as_bytes());
            }
            to.extend_from_slice(format!("{prefix}{name}:{value}{tail}\n").as_bytes());
            Ok(())
        })
    }
}

impl Sink for Statsd {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let mut encoded = self.encode(batch);
        self.lines.send(std::mem::take(&mut encoded.body)).await.map_err(SendError::later)?;
        encoded.sent()
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        self.encode(batch).preview()
    }
}
