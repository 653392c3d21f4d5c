//! The latest value of each stream on `/metrics/streams`, for a Prometheus that comes and reads.

use super::kinds::{Kind, Place};
use super::labels::{self, Labels};
use super::template::{self, Template};
use super::{Delivery, SendError, Sink, Verdict, Which};
use crate::clock;
use crate::config::{Problem, Section};
use crate::telemetry::{Exposition, Full, Series};
use std::sync::Arc;
use std::time::Duration;

/// `type = "prometheus"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How series are named.
    pub naming: Naming,
    /// How long a series stays whose events have no ttl.
    pub expire: Duration,
    /// Series of this output at most.
    pub max_series: usize,
}

/// How events become series.
#[derive(Clone, Debug, PartialEq)]
pub struct Naming {
    /// What stands before each name.
    pub prefix: String,
    /// What a metric is called.
    pub name: Template,
    /// What else names a series.
    pub labels: Labels,
}

/// Reads `prefix`, `name`, `labels` and `fixed`.
pub fn read_naming(at: &mut Section<'_>) -> Option<Naming> {
    let prefix = at.text_or("prefix", "");
    if !prefix.is_empty() && prefix != metric_name(&prefix) {
        let message = format!("`prefix` is {prefix:?}, the beginning of a name (a-z 0-9 _ :) was expected");
        at.error(Problem::new(at.spot_of("prefix"), message));
    }
    let name = template::read_or(at, "name", "{{ service }}");
    let labels = labels::read(at, "labels");
    Some(Naming { prefix, name: name?, labels })
}

impl Naming {
    /// The series of an event.
    pub fn series(&self, delivery: &Delivery) -> Result<Series, String> {
        let name = self.name.render(delivery)?;
        if name.trim().is_empty() {
            return Err("`name` gives nothing".into());
        }
        let name = metric_name(&format!("{}{}", self.prefix, name.trim()));
        let labels = self.labels.of(delivery);
        let mut labels: Vec<(String, String)> =
            labels.iter().map(|(name, value)| (label_name(name), value.clone().into_owned())).collect();
        labels.sort();
        // Two names that differ only in what is not allowed become one.
        labels.dedup_by(|later, earlier| later.0 == earlier.0);
        Ok(Series { name, labels })
    }
}

/// A metric's name: lower case, `_` for what is not allowed, one `_` in a row, no digit in front.
pub fn metric_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | ':' => name.push(c),
            '0'..='9' if name.is_empty() => name.extend(['_', c]),
            '0'..='9' => name.push(c),
            _ if name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    name
}

/// A label's name. Those that begin with `__` are Prometheus's own.
fn label_name(text: &str) -> String {
    let name = metric_name(text).replace(':', "_");
    match name.strip_prefix("__") {
        Some(rest) => format!("_{rest}"),
        None => name,
    }
}

impl Kind for Settings {
    type Sink = Prometheus;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let naming = read_naming(at);
        let expire = at.time("expire", ("1s", "365d"), "5m");
        let max_series = at.count("max_series", 1..=1_000_000, 10_000) as usize;
        Some(Self { naming: naming?, expire, max_series })
    }

    fn sink(&self, place: &Place) -> Result<Prometheus, String> {
        Ok(Prometheus {
            output: place.stats.name.clone(),
            streams: place.streams.clone(),
            settings: self.clone(),
        })
    }
}

/// Puts values where they are read.
#[derive(Debug)]
pub struct Prometheus {
    output: String,
    streams: Arc<Exposition>,
    settings: Settings,
}

impl Prometheus {
    fn put(&self, delivery: &Delivery) -> Result<(), String> {
        let event = delivery.event();
        let series = self.settings.naming.series(delivery)?;
        if event.is_expired() {
            self.streams.remove(&self.output, &series);
            return Ok(());
        }
        let value = event.metric().ok_or("an event without a metric has no value")?;
        // A ttl says when the next event was due; a scrape may come a little later than that.
        let lasts = event
            .ttl()
            .and_then(|ttl| Duration::try_from_secs_f32(ttl).ok())
            .filter(|ttl| !ttl.is_zero())
            .unwrap_or(self.settings.expire);
        let most = self.settings.max_series;
        self.streams
            .set(&self.output, series, value, lasts, most, clock::start())
            .map_err(|Full| format!("there are {most} series already"))
    }
}

impl Sink for Prometheus {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        for (delivered, delivery) in batch.iter().enumerate() {
            self.put(delivery).map_err(|message| SendError {
                verdict: Verdict::Refused(Which::First),
                delivered,
                message,
            })?;
        }
        Ok(())
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let streams = Arc::new(Exposition::default());
        let aside = Self { output: self.output.clone(), streams, settings: self.settings.clone() };
        for (delivered, delivery) in batch.iter().enumerate() {
            aside.put(delivery).map_err(|message| SendError {
                verdict: Verdict::Refused(Which::First),
                delivered,
                message,
            })?;
        }
        Ok(aside.streams.text(clock::start()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_prometheus_and_its_linter_like() {
        for (text, name) in [
            ("api latency 0.95", "api_latency_0_95"),
            ("HTTP reqs/s", "http_reqs_s"),
            ("95th", "_95th"),
            ("a::b", "a::b"),
            ("größe", "gr_e"),
            ("-", "_"),
        ] {
            assert_eq!(metric_name(text), name);
        }
        assert_eq!(label_name("__name__"), "_name_");
        assert_eq!(label_name("a:b"), "a_b");
    }
}
