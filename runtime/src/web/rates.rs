//! How fast counters rise, looked at once a second and smoothed over about five.

use crate::telemetry::{InputStats, Process, Telemetry, Times};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Seconds over which a rate is smoothed.
const SMOOTHING: f64 = 5.0;

/// Rates under this are shown as none: an exponential average never quite gets there.
const NOTHING: f64 = 0.05;

/// Beats whose latencies count as lately.
const BEATS: usize = 10;

/// How fast one counter rises.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    total: Option<u64>,
    smooth: Option<f64>,
}

impl Rate {
    fn look(&mut self, total: u64, seconds: f64) {
        if let Some(before) = self.total {
            let fresh = total.saturating_sub(before) as f64 / seconds;
            let share = 1.0 - (-seconds / SMOOTHING).exp();
            self.smooth = Some(self.smooth.map_or(fresh, |old| old + share * (fresh - old)));
        }
        self.total = Some(total);
    }

    /// A second's worth.
    pub fn per_second(&self) -> f64 {
        self.smooth.filter(|rate| *rate >= NOTHING).unwrap_or(0.0)
    }
}

/// How fast a rule or a shard works.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkRate {
    /// Events it sees.
    pub events: Rate,
    /// Nanoseconds it takes.
    pub nanos: Rate,
    /// Of a rule: events it puts back into the stream.
    pub emitted: Rate,
    /// Of a rule: events it hands to outputs.
    pub forwarded: Rate,
}

impl WorkRate {
    fn look(&mut self, events: u64, nanos: u64, seconds: f64) {
        self.events.look(events, seconds);
        self.nanos.look(nanos, seconds);
    }

    /// Nanoseconds that an event takes it, if it has seen any lately.
    pub fn ns_per_event(&self) -> Option<f64> {
        let events = self.events.per_second();
        (events > 0.0).then(|| self.nanos.per_second() / events)
    }
}

/// How fast an input works.
#[derive(Clone, Debug, Default)]
pub struct InputRate {
    /// Events it receives.
    pub events: Rate,
    /// Bytes it reads.
    pub bytes: Rate,
    /// Messages it answers.
    pub messages: Rate,
    /// Events it has no room for.
    pub shed: Rate,
    before: Option<Times>,
    /// How long each of the messages took that were answered last, beat by beat.
    lately: VecDeque<Times>,
}

impl InputRate {
    fn look(&mut self, stats: &InputStats, seconds: f64) {
        self.events.look(stats.received.get(), seconds);
        self.bytes.look(stats.bytes.get(), seconds);
        self.shed.look(stats.shed.total(), seconds);
        let times = stats.latency.read();
        self.messages.look(times.count(), seconds);
        if let Some(before) = self.before.replace(times.clone()) {
            let fresh = times.since(&before);
            if fresh.count() > 0 {
                self.lately.push_back(fresh);
            }
        }
        while self.lately.len() > BEATS {
            self.lately.pop_front();
        }
    }

    /// How long messages took lately: the times of half of them, and of 99 in 100, stay below; in milliseconds.
    pub fn latency(&self) -> Option<(f64, f64)> {
        let mut lately = Times::default();
        self.lately.iter().for_each(|times| lately.add(times));
        let ms = |share| lately.quantile(share).map(|nanos| (nanos / 1e3).round() / 1e3);
        ms(0.5).zip(ms(0.99))
    }
}

/// All rates that are shown.
#[derive(Debug, Default)]
pub struct Rates {
    /// Events that enter the log.
    pub events: Rate,
    /// Processor time of the process, in nanoseconds.
    pub cpu: Rate,
    /// What each input does.
    pub inputs: BTreeMap<String, InputRate>,
    /// Events that each output delivers.
    pub outputs: BTreeMap<String, Rate>,
    /// What each shard does.
    pub shards: BTreeMap<usize, WorkRate>,
    /// What each rule does.
    pub rules: HashMap<Arc<str>, WorkRate>,
}

impl Rates {
    /// Looks at all counters, `seconds` after the last time.
    pub fn look(&mut self, telemetry: &Telemetry, process: &Process, seconds: f64) {
        self.events.look(telemetry.events.get(), seconds);
        self.cpu.look(process.cpu.unwrap_or_default().as_nanos() as u64, seconds);
        // Inputs, outputs and shards are there as long as the node.
        for (name, stats) in telemetry.inputs() {
            self.inputs.entry(name).or_default().look(&stats, seconds);
        }
        for (name, stats) in telemetry.outputs() {
            self.outputs.entry(name).or_default().look(stats.delivered.get(), seconds);
        }
        for (number, stats) in telemetry.shards() {
            self.shards.entry(number).or_default().look(stats.events.get(), stats.nanos.get(), seconds);
        }
        let rules = telemetry.rules();
        for stats in &rules {
            let rate = match self.rules.get_mut(&stats.name) {
                Some(rate) => rate,
                None => self.rules.entry(stats.name.clone()).or_default(),
            };
            rate.look(stats.events.get(), stats.nanos.get(), seconds);
            rate.emitted.look(stats.emitted.get(), seconds);
            rate.forwarded.look(stats.forwarded.get(), seconds);
        }
        // All that are there have been entered: what is more is gone.
        if self.rules.len() > rules.len() {
            let there: HashSet<&str> = rules.iter().map(|rule| &*rule.name).collect();
            self.rules.retain(|name, _| there.contains(&**name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_steady_counter_shows_its_rate_at_once_and_a_quiet_one_falls_to_nothing() {
        let mut rate = Rate::default();
        rate.look(1_000, 1.0);
        assert_eq!(rate.per_second(), 0.0);
        rate.look(1_500, 1.0);
        assert_eq!(rate.per_second(), 500.0);
        for _ in 0..5 {
            rate.look(1_500, 1.0);
        }
        assert!((150.0..220.0).contains(&rate.per_second()), "{rate:?}");
        for _ in 0..60 {
            rate.look(1_500, 1.0);
        }
        assert_eq!(rate.per_second(), 0.0);
    }

    #[test]
    fn latency_is_that_of_the_last_beats_in_which_messages_came() {
        let telemetry = Telemetry::default();
        let input = telemetry.add_input("a", "http", "", crate::telemetry::Level::Logged);
        let mut rates = Rates::default();
        let mut beat = || {
            rates.look(&telemetry, &Process::default(), 1.0);
            rates.inputs["a"].latency().map(|(half, _)| half)
        };
        input.latency.note(Duration::from_secs(60), 1_000);
        assert_eq!(beat(), None, "what was before the first look is not lately");
        input.latency.note(Duration::from_millis(100), 1);
        assert!(beat().unwrap() > 90.0);
        assert!(beat().unwrap() > 90.0, "silence changes nothing");
        for _ in 0..BEATS {
            input.latency.note(Duration::from_millis(1), 1);
            beat();
        }
        assert!(beat().unwrap() < 1.2);
    }

    #[test]
    fn a_removed_rule_is_forgotten() {
        let telemetry = Telemetry::default();
        let rule = telemetry.rule("a");
        let mut rates = Rates::default();
        rates.look(&telemetry, &Process::default(), 1.0);
        rule.events.add(10);
        rule.nanos.add(2_000);
        rates.look(&telemetry, &Process::default(), 1.0);
        assert_eq!(rates.rules["a"].ns_per_event(), Some(200.0));
        telemetry.remove_rule("a");
        rates.look(&telemetry, &Process::default(), 1.0);
        assert!(rates.rules.is_empty());
    }
}
