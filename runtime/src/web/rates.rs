//! How fast counters rise, looked at once a second and smoothed over about five.

use crate::telemetry::Telemetry;
use std::collections::BTreeMap;

/// Seconds over which a rate is smoothed.
const SMOOTHING: f64 = 5.0;

/// Rates under this are shown as none: an exponential average never quite gets there.
const NOTHING: f64 = 0.05;

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

/// How fast a rule works.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuleRate {
    /// Events it sees.
    pub events: Rate,
    nanos: Rate,
}

impl RuleRate {
    /// Nanoseconds that an event takes it, if it has seen any lately.
    pub fn ns_per_event(&self) -> Option<f64> {
        let events = self.events.per_second();
        (events > 0.0).then(|| self.nanos.per_second() / events)
    }
}

/// All rates that are shown.
#[derive(Debug, Default)]
pub struct Rates {
    /// Events that enter the log.
    pub events: Rate,
    /// Events that each input receives.
    pub inputs: BTreeMap<String, Rate>,
    /// What each rule does.
    pub rules: BTreeMap<String, RuleRate>,
}

impl Rates {
    /// Looks at all counters, `seconds` after the last time.
    pub fn look(&mut self, telemetry: &Telemetry, seconds: f64) {
        self.events.look(telemetry.events.get(), seconds);
        let inputs = telemetry.inputs();
        self.inputs.retain(|name, _| inputs.contains_key(name));
        for (name, stats) in inputs {
            self.inputs.entry(name).or_default().look(stats.received.get(), seconds);
        }
        let rules = telemetry.rules();
        self.rules.retain(|name, _| rules.contains_key(name));
        for (name, stats) in rules {
            let rate = self.rules.entry(name).or_default();
            rate.events.look(stats.events.get(), seconds);
            rate.nanos.look(stats.nanos.get(), seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_removed_rule_is_forgotten() {
        let telemetry = Telemetry::default();
        let rule = telemetry.rule("a");
        let mut rates = Rates::default();
        rates.look(&telemetry, 1.0);
        rule.events.add(10);
        rule.nanos.add(2_000);
        rates.look(&telemetry, 1.0);
        assert_eq!(rates.rules["a"].ns_per_event(), Some(200.0));
        telemetry.remove_rule("a");
        rates.look(&telemetry, 1.0);
        assert!(rates.rules.is_empty());
    }
}
