//! What is deployed and how it is doing, for everybody who asks: the API, the page, the head of a log segment.
//!
//! The sequencer alone changes it, in the order of the log; everybody else reads. It is a table off the hot path.

use crate::log::Standing;
use crate::telemetry::Telemetry;
use dashmap::DashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use tidegate_engine::rule::{Control, RuleSpec};
use tidegate_engine::shard::{Logged, Troubled};
use tidegate_event::Timestamp;

/// Lines that are kept of a rule's log.
const LINES: usize = 200;

/// Every deployed rule by name.
#[derive(Debug)]
pub struct Catalogue {
    rules: DashMap<String, Entry>,
    generations: DashMap<String, u64>,
    telemetry: Arc<Telemetry>,
}

/// A deployed rule.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it was deployed.
    pub deployed: u64,
    /// When.
    pub at: Timestamp,
    /// The rule.
    pub spec: RuleSpec,
    /// The last time it failed.
    pub last_fault: Option<Troubled>,
    /// Until when it is left alone after repeated faults.
    pub quarantined_until: Option<Timestamp>,
    /// Its last lines, the oldest first.
    pub lines: VecDeque<(u8, String)>,
}

impl Catalogue {
    /// An empty catalogue.
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        Self { rules: DashMap::new(), generations: DashMap::new(), telemetry }
    }

    /// Looks at every rule, in no order. What looks must not ask the catalogue anything.
    pub fn look<T>(&self, see: impl Fn(&Entry) -> T) -> Vec<T> {
        self.rules.iter().map(|entry| see(entry.value())).collect()
    }

    /// A rule.
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.rules.get(name).map(|entry| entry.value().clone())
    }

    /// Whether a module is in use.
    pub fn uses(&self, digest: &str) -> bool {
        self.rules.iter().any(|entry| entry.spec.module == digest)
    }

    /// The number of the next deployment of a name.
    pub fn next_generation(&self, name: &str) -> u64 {
        self.generations.get(name).map_or(1, |generation| *generation + 1)
    }

    /// All rules as a log segment keeps them, in the order in which they were deployed.
    pub fn standing(&self) -> Vec<Standing> {
        let standing =
            |entry: &Entry| Standing { deployed: entry.deployed, at: entry.at.0, spec: entry.spec.clone() };
        let mut all: Vec<Standing> = self.rules.iter().map(|entry| standing(entry.value())).collect();
        all.sort_by_key(|standing| standing.deployed);
        all
    }

    /// A rule that stood when the log begins.
    pub fn stand(&self, standing: &Standing) {
        self.deploy(standing.spec.clone(), standing.deployed, Timestamp(standing.at));
    }

    fn deploy(&self, spec: RuleSpec, deployed: u64, at: Timestamp) {
        self.generations.insert(spec.name.clone(), spec.generation);
        let entry =
            Entry { deployed, at, last_fault: None, quarantined_until: None, lines: VecDeque::new(), spec };
        self.rules.insert(entry.spec.name.clone(), entry);
    }

    /// A change that is in the log.
    pub fn change(&self, control: &Control, position: u64, now: Timestamp) {
        match control {
            Control::Deploy(spec) => self.deploy((**spec).clone(), position, now),
            Control::Remove { name } => {
                self.rules.remove(name);
                self.telemetry.remove_rule(name);
            }
            Control::Pause { name, paused } => {
                if let Some(mut entry) = self.rules.get_mut(name) {
                    entry.spec.paused = *paused;
                }
            }
        }
    }

    /// Rules that failed in a step.
    pub fn troubled(&self, troubled: &[Troubled]) {
        for trouble in troubled {
            tracing::warn!(
                rule = %trouble.rule,
                fault = %trouble.fault,
                event = ?trouble.event.as_ref().map(|event| event.event(0)),
                quarantined = trouble.quarantined_until.is_some(),
                "a rule failed"
            );
            if let Some(until) = trouble.quarantined_until {
                let stats = self.telemetry.rule(&trouble.rule);
                stats.quarantines.add(1);
                stats.quarantined_until.set(until.0);
            }
            if let Some(mut entry) = self.rules.get_mut(&*trouble.rule) {
                entry.quarantined_until = trouble.quarantined_until.or(entry.quarantined_until);
                entry.last_fault = Some(trouble.clone());
            }
        }
    }

    /// A line that a rule logged.
    pub fn line(&self, line: &Logged) {
        match line.level {
            0 => tracing::error!(rule = %line.rule, "{}", line.text),
            1 => tracing::warn!(rule = %line.rule, "{}", line.text),
            2 => tracing::info!(rule = %line.rule, "{}", line.text),
            _ => tracing::debug!(rule = %line.rule, "{}", line.text),
        }
        if let Some(mut entry) = self.rules.get_mut(&*line.rule) {
            if entry.lines.len() == LINES {
                entry.lines.pop_front();
            }
            entry.lines.push_back((line.level, line.text.clone()));
        }
    }
}
