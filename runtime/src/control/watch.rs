//! Looks after what was deployed lately: a candidate that does badly is given up, one that does well is promoted, and a
//! rule that does badly right after it took over is taken back. And lets modules go that nothing uses.
//!
//! What is decided here depends on the clock and on how fast this machine is. The decision is a record of the log like
//! any other change, so that a replay repeats it. When a deployment began and for how long it is watched is in the log,
//! too; what the version before it took is not, so after a restart a deployment is judged by its faults alone.

use super::status::watched_until;
use super::{Controller, OURSELVES};
use crate::catalogue::Entry;
use crate::clock;
use crate::telemetry::RuleStats;
use crate::web::control::{ControlError, How, RollBack, Terms};
use dashmap::DashMap;
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::rule::{Control, RuleSpec};
use tidegate_engine::shard::candidate_name;
use tidegate_event::Timestamp;
use tokio_util::sync::CancellationToken;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(500);
/// How often modules are let go that nothing uses.
const COLLECT: Duration = Duration::from_secs(3600);
/// Calls before the share of those that failed says anything, and the share that is too much.
const CALLS: u64 = 200;
const FAULTS_PERCENT: u64 = 1;
/// Events before the time that they took says anything, how often as long is too long, and what is never too long: below
/// this the time is mostly that of a call, which depends on how many events come at once.
const EVENTS: u64 = 1_000;
const SLOWER: u64 = 4;
const NANOS: u64 = 20_000;
/// What an event may take at most, in nanoseconds, unless it took as long before.
const BUDGET: u64 = 1_000_000;
/// Effects before their number says anything, and how often as many for each event are too many.
const EFFECTS: u64 = 100;
const SURGE: u64 = 10;

/// What a rule had done at some moment, or since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    events: u64,
    calls: u64,
    nanos: u64,
    faults: u64,
    effects: u64,
}

impl Done {
    fn of(stats: &RuleStats) -> Self {
        // What is held back during a trial was asked for all the same.
        let held_back = stats.cut.all().into_iter().filter(|(reason, _)| *reason == "trial");
        Self {
            events: stats.events.get(),
            calls: stats.calls.get(),
            nanos: stats.nanos.get(),
            faults: stats.faults.get(),
            effects: stats.emitted.get() + stats.forwarded.get() + held_back.map(|(_, n)| n).sum::<u64>(),
        }
    }

    fn since(self, begin: Self) -> Self {
        Self {
            events: self.events.saturating_sub(begin.events),
            calls: self.calls.saturating_sub(begin.calls),
            nanos: self.nanos.saturating_sub(begin.nanos),
            faults: self.faults.saturating_sub(begin.faults),
            effects: self.effects.saturating_sub(begin.effects),
        }
    }

    fn nanos_each(self) -> u64 {
        self.nanos.checked_div(self.events).unwrap_or(0)
    }
}

/// Where the counters stood when a deployment began.
#[derive(Clone, Copy, Debug)]
struct Mark {
    generation: u64,
    begin: Done,
    /// What the version before had done while it was in force, as far as this process has seen it.
    before: Done,
}

/// Marks of the rules that were deployed since this process started, by name.
#[derive(Debug, Default)]
pub struct Marks(DashMap<String, Mark>);

/// What is wrong with a deployment, if anything is. `before` is what the version before it did, or does beside it.
fn judge(new: Done, before: Done, quarantined: bool) -> Option<String> {
    if quarantined {
        return Some("it was quarantined after repeated faults".to_owned());
    }
    if new.calls >= CALLS && new.faults * 100 > new.calls * FAULTS_PERCENT {
        let (faults, calls) = (new.faults, new.calls);
        return Some(format!("{faults} of {calls} calls failed, more than {FAULTS_PERCENT} %"));
    }
    let (took, took_before) = (new.nanos_each(), before.nanos_each());
    if new.events >= EVENTS && took > BUDGET && took_before <= BUDGET / 2 {
        return Some(format!("an event takes {took} ns, more than {BUDGET}"));
    }
    let comparable = new.events >= EVENTS && before.events >= EVENTS;
    if comparable && took > NANOS && took > SLOWER * took_before {
        return Some(format!(
            "an event takes {took} ns, more than {SLOWER} times the {took_before} ns before"
        ));
    }
    let each = |done: Done, more: u64| u128::from(done.effects + more) * 1_000;
    let (asks, asked) =
        (each(new, 0) / u128::from(new.events.max(1)), each(before, 1) / u128::from(before.events.max(1)));
    if before.events >= EVENTS && new.effects >= EFFECTS && asks > u128::from(SURGE) * asked {
        return Some(format!(
            "it asks for {asks} effects for 1000 events, more than {SURGE} times the {asked} before"
        ));
    }
    None
}

impl Controller {
    /// Notes where the counters stand at which a deployment begins.
    pub(super) fn mark(&self, spec: &RuleSpec, how: How) {
        let now = Done::of(&self.telemetry.rule(&spec.name));
        let mark = match how {
            How::Replace => {
                let before = self.marks.0.get(&spec.name).map_or(now, |mark| now.since(mark.begin));
                Mark { generation: spec.generation, begin: now, before }
            }
            // The rule beside it goes on: from here on both are counted.
            How::Shadow | How::Canary(_) => {
                let name = candidate_name(&spec.name, spec.generation);
                self.marks.0.insert(name, Mark { generation: spec.generation, begin: now, before: now });
                return;
            }
        };
        self.marks.0.insert(spec.name.clone(), mark);
    }

    /// A candidate becomes the rule: what that did beside it is what it is compared with from now on.
    pub(super) fn mark_promoted(&self, entry: &Entry) {
        let Some(tried) = &entry.trial else { return };
        let begin = Done::of(&self.telemetry.rule(&entry.spec.name));
        let before = self.marks.0.remove(&tried.name());
        let before = before.map_or_else(Done::default, |(_, mark)| begin.since(mark.begin));
        let mark = Mark { generation: tried.trial.spec.generation, begin, before };
        self.marks.0.insert(entry.spec.name.clone(), mark);
    }

    /// One look at all rules that are tried or were deployed lately.
    pub(super) async fn look(&self) {
        let now = clock::now();
        let fresh = |entry: &Entry| watched_until(&entry.spec, entry.at).is_some_and(|until| now < until);
        let watched: Vec<Entry> = self
            .catalogue
            .look(|entry| (entry.trial.is_some() || fresh(entry)).then(|| entry.clone()))
            .into_iter()
            .flatten()
            .collect();
        for entry in &watched {
            let outcome = match &entry.trial {
                Some(_) => self.look_at_trial(entry).await,
                None => self.look_at_rule(entry).await,
            };
            if let Err(error) = outcome {
                tracing::warn!(rule = %entry.spec.name, %error, "what was decided for a rule was not done: it is looked at again");
            }
        }
        if self.marks.0.len() > 2 * self.catalogue.len() + 1_000 {
            self.marks.0.retain(|name, _| self.catalogue.get(name).is_some());
        }
    }

    async fn look_at_trial(&self, entry: &Entry) -> Result<(), ControlError> {
        let Some(tried) = &entry.trial else { return Ok(()) };
        let (name, candidate) = (entry.spec.name.clone(), tried.name());
        let rule = Done::of(&self.telemetry.rule(&name));
        let begin = {
            let generation = tried.trial.spec.generation;
            let fresh = || Mark { generation, begin: rule, before: rule };
            self.marks.0.entry(candidate.clone()).or_insert_with(fresh).begin
        };
        let new = Done::of(&self.telemetry.rule(&candidate));
        let terms = Terms { by: OURSELVES.to_owned(), generation: Some(entry.spec.generation) };
        let due = watched_until(&tried.trial.spec, Timestamp(tried.trial.at));
        let control = match judge(new, rule.since(begin), tried.quarantined_until.is_some()) {
            Some(reason) => {
                tracing::warn!(rule = %candidate, %reason, "the candidate is given up");
                Control::Abandon { name, reason }
            }
            // One that has not been called has not shown anything yet.
            None if due.is_some_and(|due| clock::now() >= due) && new.calls > 0 && !entry.spec.paused => {
                tracing::info!(rule = %candidate, "the candidate is promoted");
                Control::Promote { name }
            }
            None => return Ok(()),
        };
        let promoted = matches!(control, Control::Promote { .. });
        self.change_known(&terms, control).await?;
        let counted = &self.telemetry.control;
        if promoted {
            counted.promoted.add(1)
        } else {
            counted.abandoned.add(1)
        }
        Ok(())
    }

    async fn look_at_rule(&self, entry: &Entry) -> Result<(), ControlError> {
        let Some(previous) = entry.previous() else { return Ok(()) };
        let name = entry.spec.name.clone();
        let generation = entry.spec.generation;
        let now = Done::of(&self.telemetry.rule(&name));
        let fresh = || Mark { generation, begin: now, before: Done::default() };
        let mark = {
            let mut mark = self.marks.0.entry(name.clone()).or_insert_with(fresh);
            if mark.generation != generation {
                *mark = fresh();
            }
            *mark
        };
        let quarantined = entry.quarantined_until.is_some();
        let Some(reason) = judge(now.since(mark.begin), mark.before, quarantined) else { return Ok(()) };
        let to = Some(previous.spec.generation);
        tracing::warn!(rule = %name, generation, ?to, %reason, "the rule is taken back");
        let terms = Terms { by: OURSELVES.to_owned(), generation: Some(generation) };
        self.roll_back(RollBack { name, to, reason, terms }).await?;
        self.telemetry.control.rolled_back.add(1);
        Ok(())
    }
}

/// Looks after the rules and modules of a node until it stops.
pub async fn look_after(controller: Arc<Controller>, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut collects = tokio::time::interval(COLLECT);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => controller.look().await,
            _ = collects.tick() => {
                if let Err(error) = controller.collect(controller.grace).await {
                    tracing::warn!(%error, "modules were not looked through");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Done = Done { events: 10_000, calls: 1_000, nanos: 300_000_000, faults: 0, effects: 50 };

    fn because(new: Done, before: Done) -> String {
        judge(new, before, false).unwrap_or_default()
    }

    #[test]
    fn a_version_like_the_one_before_is_fine_and_a_quarantined_one_is_not() {
        assert_eq!(judge(FINE, FINE, false), None);
        assert_eq!(judge(Done::default(), FINE, false), None);
        assert_eq!(judge(FINE, Done::default(), false), None, "without one before only faults count");
        assert!(judge(FINE, FINE, true).is_some());
    }

    #[test]
    fn more_than_one_call_in_a_hundred_may_not_fail() {
        assert_eq!(judge(Done { faults: 10, ..FINE }, FINE, false), None);
        assert_eq!(because(Done { faults: 11, ..FINE }, FINE), "11 of 1000 calls failed, more than 1 %");
        let few = Done { calls: 199, faults: 199, ..Done::default() };
        assert_eq!(judge(few, FINE, false), None, "too few to tell");
    }

    #[test]
    fn an_event_may_not_take_many_times_as_long() {
        let slow = |times: u64| Done { nanos: FINE.nanos * times, ..FINE };
        assert_eq!(judge(slow(4), FINE, false), None);
        assert_eq!(because(slow(5), FINE), "an event takes 150000 ns, more than 4 times the 30000 ns before");
        let quick = |nanos: u64| Done { nanos: 10_000 * nanos, ..FINE };
        assert_eq!(judge(quick(2_000), quick(100), false), None, "that is what a call takes");
        assert_eq!(because(slow(40), Done::default()), "an event takes 1200000 ns, more than 1000000");
        assert_eq!(judge(slow(40), slow(30), false), None, "it was so before");
    }

    #[test]
    fn there_may_not_be_many_times_as_many_effects() {
        let loud = |effects| Done { effects, ..FINE };
        assert_eq!(judge(loud(500), FINE, false), None);
        assert_eq!(
            because(loud(1_000), FINE),
            "it asks for 100 effects for 1000 events, more than 10 times the 5 before"
        );
        assert_eq!(judge(loud(99), loud(0), false), None, "too few to tell");
        assert!(!because(loud(1_000), loud(0)).is_empty());
    }
}
