//! The metric over time, for the chart: smallest, greatest and mean of the wanted events in each of a fixed number of
//! stretches of time, for all of them together and for the keys that fired.

use std::collections::BTreeMap;
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::Width;
use tidegate_engine::shard::key_of;
use tidegate_event::{Batch, Timestamp};

/// Stretches of time in a chart.
pub const STRETCHES: usize = 400;

/// What the events of a stretch had for a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// Events with a metric.
    pub events: u64,
    /// The smallest.
    pub least: f64,
    /// The greatest.
    pub most: f64,
    sum: f64,
}

impl Default for Stretch {
    fn default() -> Self {
        Self { events: 0, least: f64::INFINITY, most: f64::NEG_INFINITY, sum: 0.0 }
    }
}

impl Stretch {
    fn add(&mut self, metric: f64) {
        self.events += 1;
        self.sum += metric;
        self.least = self.least.min(metric);
        self.most = self.most.max(metric);
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.sum / self.events as f64
    }
}

/// One line of a chart.
pub type Line = Vec<Stretch>;

/// All lines.
#[derive(Debug)]
pub struct Series {
    /// When the first stretch begins.
    pub from: Timestamp,
    /// When the last ends.
    pub to: Timestamp,
    /// Of all wanted events.
    pub all: Line,
    /// Of some keys.
    pub keys: BTreeMap<u64, Line>,
    matcher: Matcher,
    per: Width,
    seed: u64,
}

impl Series {
    /// Empty lines for a rule's query and key.
    pub fn new(
        (from, to): (Timestamp, Timestamp),
        keys: impl IntoIterator<Item = u64>,
        matcher: Matcher,
        per: Width,
        seed: u64,
    ) -> Self {
        let line = || vec![Stretch::default(); STRETCHES];
        let keys = keys.into_iter().map(|key| (key, line())).collect();
        Self { from, to, all: line(), keys, matcher, per, seed }
    }

    /// Takes in what the rule wants of a batch.
    pub fn take(&mut self, batch: &Batch) {
        let at = self.stretch(batch.header.now);
        for event in batch.events() {
            let Some(metric) = event.metric().filter(|metric| metric.is_finite()) else { continue };
            if !self.matcher.matches(&event) {
                continue;
            }
            self.all[at].add(metric);
            if self.keys.is_empty() {
                continue;
            }
            if let Some(line) = self.keys.get_mut(&key_of(&self.per, &event, self.seed)) {
                line[at].add(metric);
            }
        }
    }

    fn stretch(&self, at: Timestamp) -> usize {
        let (gone, whole) = ((at - self.from).0.max(0) as u128, (self.to - self.from).0.max(1) as u128);
        ((gone * STRETCHES as u128 / whole) as usize).min(STRETCHES - 1)
    }
}
