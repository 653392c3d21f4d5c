//! What is deployed and how it is doing, for everybody who asks: the API, the page, the head of a log segment.
//!
//! The sequencer alone changes it, in the order of the log; everybody else reads. It is a table off the hot path.

mod journal;

pub use journal::{Journal, LINES, Line};

use crate::dead_letters::{DeadLetters, Letter, Sender};
use crate::log::Standing;
use crate::telemetry::Telemetry;
use dashmap::DashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use tidegate_engine::rule::{Compared, Control, How, Past, RuleSpec, Trial};
use tidegate_engine::shard::{Logged, Step, Troubled, candidate_name};
use tidegate_event::Timestamp;

/// Earlier deployments of a rule that are kept.
pub const KEPT: usize = 10;
/// Differences between a candidate and its incumbent that are kept.
const SAMPLES: usize = 20;
/// Names whose last generation is remembered after they were removed.
const REMOVED: usize = 10_000;

/// Every deployed rule by name.
#[derive(Debug)]
pub struct Catalogue {
    rules: DashMap<String, Entry>,
    generations: DashMap<String, u64>,
    journals: DashMap<String, Journal>,
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
    /// Its earlier deployments, the oldest first: the last [`KEPT`].
    pub past: VecDeque<Past>,
    /// What is being tried beside it.
    pub trial: Option<Tried>,
}

/// A candidate beside a rule.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The candidate, and how it compares.
    pub trial: Trial,
    /// The last time it failed.
    pub last_fault: Option<Troubled>,
    /// Until when it is left alone after repeated faults.
    pub quarantined_until: Option<Timestamp>,
}

impl Tried {
    fn new(trial: Trial) -> Self {
        Self { trial, last_fault: None, quarantined_until: None }
    }

    /// The name under which it is counted.
    pub fn name(&self) -> String {
        candidate_name(&self.trial.spec.name, self.trial.spec.generation)
    }

    fn end(self, ended: u64, now: Timestamp, how: How) -> Past {
        let Trial { deployed, at, spec, .. } = self.trial;
        Past { spec, deployed, at, ended, ended_at: now.0, how }
    }
}

impl Entry {
    fn new(spec: RuleSpec, deployed: u64, at: Timestamp) -> Self {
        let past = VecDeque::new();
        Self { deployed, at, spec, last_fault: None, quarantined_until: None, past, trial: None }
    }

    /// The last generation that was given to its name.
    pub fn last_generation(&self) -> u64 {
        let past = self.past.iter().map(|past| past.spec.generation).max();
        let trial = self.trial.as_ref().map(|tried| tried.trial.spec.generation);
        self.spec.generation.max(past.unwrap_or(0)).max(trial.unwrap_or(0))
    }

    /// An earlier deployment by its number, if it is kept.
    pub fn earlier(&self, generation: u64) -> Option<&Past> {
        self.past.iter().rev().find(|past| past.spec.generation == generation)
    }

    /// What a roll-back goes back to unless told otherwise: the last one that was in force and not found bad.
    pub fn previous(&self) -> Option<&Past> {
        self.past.iter().rev().find(|past| past.how == How::Replaced)
    }

    /// The modules that it uses, may be promoted to use, or may go back to.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        let trial = self.trial.iter().map(|tried| &tried.trial.spec);
        let specs = std::iter::once(&self.spec).chain(trial).chain(self.past.iter().map(|past| &past.spec));
        specs.map(|spec| spec.module.as_str())
    }

    fn remember(&mut self, past: Past) {
        if self.past.len() == KEPT {
            self.past.pop_front();
        }
        self.past.push_back(past);
    }
}

impl Catalogue {
    /// An empty catalogue.
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        Self { rules: DashMap::new(), generations: DashMap::new(), journals: DashMap::new(), telemetry }
    }

    /// Looks at every rule, in no order. What looks must not ask the catalogue anything.
    pub fn look<T>(&self, see: impl Fn(&Entry) -> T) -> Vec<T> {
        self.rules.iter().map(|entry| see(entry.value())).collect()
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// A rule.
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.rules.get(name).map(|entry| entry.value().clone())
    }

    /// The number of the next deployment of a name.
    pub fn next_generation(&self, name: &str) -> u64 {
        self.generations.get(name).map_or(1, |generation| *generation + 1)
    }

    /// All rules as a log segment keeps them, in the order in which they were deployed.
    pub fn standing(&self) -> Vec<Standing> {
        let standing = |entry: &Entry| Standing {
            deployed: entry.deployed,
            at: entry.at.0,
            spec: entry.spec.clone(),
            past: entry.past.iter().cloned().collect(),
            trial: entry.trial.as_ref().map(|tried| tried.trial.clone()),
        };
        let mut all: Vec<Standing> = self.rules.iter().map(|entry| standing(entry.value())).collect();
        all.sort_by_key(|standing| standing.deployed);
        all
    }

    /// A rule that stood when the log begins.
    pub fn stand(&self, standing: &Standing) {
        let Standing { deployed, at, spec, past, trial } = standing.clone();
        let mut entry = Entry::new(spec, deployed, Timestamp(at));
        (entry.past, entry.trial) = (past.into(), trial.map(Tried::new));
        self.put(entry);
    }

    fn put(&self, entry: Entry) {
        self.generations.insert(entry.spec.name.clone(), entry.last_generation());
        self.rules.insert(entry.spec.name.clone(), entry);
    }

    /// A deployment takes the place of the one before it and of what is tried beside that.
    fn deploy(&self, spec: &RuleSpec, position: u64, now: Timestamp) {
        let mut entry = Entry::new(spec.clone(), position, now);
        if let Some((_, mut before)) = self.rules.remove(&spec.name) {
            if let Some(tried) = before.trial.take() {
                self.telemetry.remove_rule(&tried.name());
                let reason = format!("generation {} was deployed", spec.generation);
                before.remember(tried.end(position, now, How::Abandoned { reason }));
            }
            let how = match spec.origin.back_to {
                Some(_) => How::RolledBack { reason: spec.origin.reason.clone() },
                None => How::Replaced,
            };
            let (deployed, at) = (before.deployed, before.at.0);
            let spec = before.spec.clone();
            before.remember(Past { spec, deployed, at, ended: position, ended_at: now.0, how });
            entry.past = before.past;
        }
        self.put(entry);
    }

    /// A change that is in the log.
    pub fn change(&self, control: &Control, position: u64, now: Timestamp) {
        match control {
            Control::Deploy(spec) => self.deploy(spec, position, now),
            Control::Remove { name } => self.remove(name),
            Control::Pause { name, paused } => {
                if let Some(mut entry) = self.rules.get_mut(name) {
                    entry.spec.paused = *paused;
                    if let Some(tried) = &mut entry.trial {
                        tried.trial.spec.paused = *paused;
                    }
                }
            }
            Control::Try { spec, share } => self.begin_trial(spec, *share, position, now),
            Control::Promote { name } => {
                let tried = self.rules.get_mut(name).and_then(|mut entry| entry.trial.take());
                if let Some(tried) = tried {
                    self.telemetry.remove_rule(&tried.name());
                    let Trial { deployed, spec, .. } = tried.trial;
                    self.deploy(&spec, position, now);
                    // In force since now, but what its shards know of it is as of when it began.
                    if let Some(mut entry) = self.rules.get_mut(name) {
                        entry.deployed = deployed;
                    }
                }
            }
            Control::Abandon { name, reason } => {
                if let Some(mut entry) = self.rules.get_mut(name)
                    && let Some(tried) = entry.trial.take()
                {
                    self.telemetry.remove_rule(&tried.name());
                    entry.remember(tried.end(position, now, How::Abandoned { reason: reason.clone() }));
                }
            }
            Control::Rejoin { .. } => {}
        }
    }

    fn begin_trial(&self, spec: &RuleSpec, share: u32, position: u64, now: Timestamp) {
        if let Some(mut entry) = self.rules.get_mut(&spec.name) {
            let (compared, spec) = (Compared::default(), spec.clone());
            let trial = Trial { deployed: position, at: now.0, spec, share, compared };
            self.generations.insert(trial.spec.name.clone(), trial.spec.generation);
            if let Some(before) = entry.trial.replace(Tried::new(trial)) {
                self.telemetry.remove_rule(&before.name());
                let reason =
                    format!("generation {} is tried", self.next_generation(&before.trial.spec.name) - 1);
                entry.remember(before.end(position, now, How::Abandoned { reason }));
            }
        }
    }

    fn remove(&self, name: &str) {
        if let Some((_, entry)) = self.rules.remove(name) {
            entry.trial.into_iter().for_each(|tried| self.telemetry.remove_rule(&tried.name()));
        }
        self.telemetry.remove_rule(name);
        self.journals.remove(name);
        if self.generations.len() > self.rules.len() + REMOVED {
            self.generations.retain(|name, _| self.rules.contains_key(name));
        }
    }

    /// How candidates and their incumbents compared at a position.
    pub fn compared(&self, compared: &[(Arc<str>, Compared)]) {
        for (name, later) in compared {
            if let Some(mut entry) = self.rules.get_mut(&**name)
                && let Some(tried) = &mut entry.trial
            {
                tried.trial.compared.add(later, SAMPLES);
            }
        }
    }

    /// The events on which rules failed at a position become dead letters.
    pub fn bury(&self, position: u64, steps: &[Step], letters: &DeadLetters) {
        let troubled = steps.iter().flat_map(|step| &step.troubled);
        let dead = troubled.filter_map(|trouble| self.letter(position, trouble)).collect();
        letters.note(position, dead, steps.iter().any(|step| step.replayed));
    }

    /// Rules that failed in a step of that position.
    pub fn troubled(&self, position: u64, troubled: &[Troubled]) {
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
            self.note(journal::Line::of_fault(position, trouble));
            // A candidate fails in its own name.
            let name = trouble.rule.split_once('@').map_or(&*trouble.rule, |(name, _)| name);
            let Some(mut entry) = self.rules.get_mut(name) else { continue };
            let Entry { last_fault, quarantined_until, trial, .. } = entry.value_mut();
            let (last_fault, until) = match trial {
                Some(tried) if tried.name() == *trouble.rule => {
                    (&mut tried.last_fault, &mut tried.quarantined_until)
                }
                _ if name == &*trouble.rule => (last_fault, quarantined_until),
                // Of a candidate that has gone.
                _ => continue,
            };
            *until = trouble.quarantined_until.or(*until);
            *last_fault = Some(trouble.clone());
        }
    }

    fn letter(&self, position: u64, trouble: &Troubled) -> Option<Letter> {
        let (name, _) = trouble.rule.split_once('@').unwrap_or((&trouble.rule, ""));
        let (generation, module) = self.rules.get(name).map_or((0, String::new()), |entry| {
            let tried = entry.trial.as_ref().filter(|tried| tried.name() == *trouble.rule);
            let spec = tried.map_or(&entry.spec, |tried| &tried.trial.spec);
            (spec.generation, spec.module.clone())
        });
        let from = Sender::Rule {
            rule: trouble.rule.to_string(),
            generation,
            module,
            kind: trouble.fault.kind.name().to_owned(),
            during: trouble.fault.during.clone(),
        };
        let (message, at) = (trouble.fault.message.clone(), trouble.at);
        trouble.event.as_ref().map(|event| Letter::of_rule(position, from, message, at, event))
    }

    /// What a rule has said lately, and its faults: up to so many lines, the oldest first, and how many came before these.
    pub fn journal(&self, name: &str, limit: usize) -> (Vec<journal::Line>, u64) {
        self.journals.get(name).map(|journal| journal.latest(limit)).unwrap_or_default()
    }

    fn note(&self, line: journal::Line) {
        let name = line.rule.split_once('@').map_or(&*line.rule, |(name, _)| name);
        if !self.rules.contains_key(name) {
            return;
        }
        let name = name.to_owned();
        self.journals.entry(name).or_default().note(line);
    }

    /// A line that a rule logged, at that position and time.
    pub fn line(&self, line: &Logged, position: u64, at: Timestamp) {
        match line.level {
            0 => tracing::error!(rule = %line.rule, "{}", line.text),
            1 => tracing::warn!(rule = %line.rule, "{}", line.text),
            2 => tracing::info!(rule = %line.rule, "{}", line.text),
            _ => tracing::debug!(rule = %line.rule, "{}", line.text),
        }
        self.note(journal::Line::of_rule(position, at, line));
    }
}

#[cfg(test)]
mod tests;
