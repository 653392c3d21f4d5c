//! Backtests: a rule over recorded events, by the engine that runs in production, with the time of the events instead of
//! the clock's. What it asks for is written down and goes nowhere.
//!
//! One thread reads; another moves time, hands batches to the shards and compares. The outcome is the same for every
//! number of shards. Where it could not be (a fault costs the keys of one shard their state, caps are those of a shard)
//! the whole is played again in one shard, and that counts.

mod candidate;
mod compare;
mod fired;
mod import;
mod instructions;
mod jobs;
mod late;
pub mod page;
mod past;
mod report;
mod series;
mod shards;
mod source;
#[cfg(test)]
mod tests;
mod trial;

pub use candidate::{Candidate, Wishes};
pub use compare::{Compared, Difference, Only};
pub use fired::{Interval, Moved};
pub use import::Format;
pub use instructions::{Counting, Instructions};
pub use jobs::{Job, Jobs, NoRoom, Status, Which, Wish};
pub use past::{Past, segments};
pub use report::{Differences, Outcome, Report};
pub use series::{Series, Stretch};
pub use source::{Pace, Progress, Range, Read, Source};
pub use trial::{FaultSeen, To};

use anyhow::{Context, anyhow};
use compare::Compared as Comparison;
use crossbeam_channel::bounded;
use fired::Fired;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tidegate_engine::guest::Guests;
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::RuleSpec;
use tidegate_engine::shard::{Settings, mark_of};
use tidegate_event::{Batch, Span, Timestamp};
use tidegate_wasm::{Host, HostOptions};
use trial::{Said, Trial};

/// Batches that are read ahead.
const AHEAD: usize = 8;
/// Keys that have a chart of their own.
const CHARTS: usize = 12;
/// Guests that may run at once: of two rules, on every shard.
const INSTANCES: u32 = 256;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The rule.
    pub rule: Candidate,
    /// The one that it is compared with.
    pub against: Option<Candidate>,
    /// Where the events come from.
    pub source: Source,
    /// From when to when.
    pub range: Range,
    /// So much before `range.from` is read as well, for the rule to learn from; what it says then does not count.
    pub warm_up: Span,
    /// Shards; with several, each on a thread of its own.
    pub shards: usize,
    /// Events over which instructions are counted; 0 for none.
    pub instructions: u64,
    /// The ttl of events that have none.
    pub default_ttl: Span,
    /// Streams in the index at most.
    pub max_streams: usize,
}

/// A moment as it is told everywhere here.
fn moment(at: Timestamp) -> String {
    crate::clock::iso8601(at)
}

impl Plan {
    /// The marks of rules whose events of then are left out of history: the rule, and the one that it is compared with.
    pub fn own_marks(&self) -> Vec<u32> {
        let names = [Some(&self.rule), self.against.as_ref()].into_iter().flatten();
        names.map(|candidate| mark_of(&candidate.spec.name)).collect()
    }

    /// Runs it. `progress` is kept up to date meanwhile.
    pub fn run(&self, progress: &Progress) -> anyhow::Result<Report> {
        let (report, uneven) = self.run_with(self.shards, progress)?;
        if !uneven || self.shards == 1 {
            return Ok(report);
        }
        progress.done.store(0, Relaxed);
        progress.events.store(0, Relaxed);
        Ok(self.run_with(1, progress)?.0)
    }

    fn run_with(&self, shards: usize, progress: &Progress) -> anyhow::Result<(Report, bool)> {
        let settings = Settings {
            seed: self.source.seed(),
            default_ttl: self.default_ttl,
            max_streams: self.max_streams,
            ..Settings::default()
        };
        let mut rule = Side::start(&self.rule, shards, &settings, self.instructions)?;
        let against = self.against.as_ref();
        let mut against = against.map(|against| Side::start(against, shards, &settings, 0)).transpose()?;
        let mut compared = self.against.is_some().then(Comparison::default);
        let mut warm = self.warm_up > Span::ZERO;
        let mut number = 0;
        let read = self.each(progress, |mut batch| {
            number += 1;
            let now = batch.header.now;
            if warm && now >= self.range.from {
                warm = false;
                let before = self.range.from - Span(1);
                rule.begin(before);
                against.iter_mut().for_each(|side| side.begin(before));
            }
            // Ticks and what the rule emits take the positions in between.
            batch.header.position = number << 32;
            let batch = Arc::new(batch);
            rule.take(&batch, warm);
            if let Some(against) = &mut against {
                against.take(&batch, warm);
            }
            note(&mut compared, &rule, against.as_ref(), warm);
        })?;
        if let Some((_, last)) = read.range() {
            rule.end(last);
            against.iter_mut().for_each(|side| side.end(last));
            note(&mut compared, &rule, against.as_ref(), false);
        }
        let uneven = rule.trial.is_uneven() || against.as_ref().is_some_and(|side| side.trial.is_uneven());
        let rule = rule.finish(&self.rule);
        let against = against.zip(self.against.as_ref()).map(|(side, candidate)| side.finish(candidate));
        let differences = compared.zip(against.as_ref()).map(|(effects, against)| {
            let fired = fired::compare(&rule.fired.intervals, &against.fired.intervals);
            Differences { fired, effects }
        });
        Ok((Report { schema: report::SCHEMA, read, rule, against, differences }, uneven))
    }

    /// Every batch, read on a thread of its own.
    fn each(&self, progress: &Progress, mut take: impl FnMut(Batch)) -> anyhow::Result<Read> {
        let range = Range { from: self.range.from - self.warm_up, ..self.range };
        let (hand, batches) = bounded(AHEAD);
        std::thread::scope(|scope| {
            let reader =
                scope.spawn(move || self.source.read(range, progress, |batch| hand.send(batch).is_ok()));
            for batch in batches {
                take(batch);
            }
            reader.join().map_err(|_| anyhow!("the reader of recorded events panicked: see above"))?
        })
    }

    /// The metric over time, for all events that the rule wants and for the keys that fired first in the report.
    pub fn series(&self, report: &Report, progress: &Progress) -> anyhow::Result<Option<Series>> {
        let Some(range) = report.read.range() else { return Ok(None) };
        let mut keys: Vec<u64> = Vec::new();
        let sides = [Some(&report.rule), report.against.as_ref()];
        for interval in sides.into_iter().flatten().flat_map(|side| &side.fired.intervals) {
            if keys.len() < CHARTS && interval.key != 0 && !keys.contains(&interval.key) {
                keys.push(interval.key);
            }
        }
        let RuleSpec { query, per, .. } = &self.rule.spec;
        let matcher = Matcher::parse(query).map_err(|error| anyhow!("the query: {error}"))?;
        let mut series = Series::new(range, keys, matcher, per.clone(), self.source.seed());
        self.each(progress, |batch| series.take(&batch))?;
        Ok(Some(series))
    }
}

/// One of the rules, with all that is written down of it.
struct Side {
    trial: Trial,
    fired: Fired,
    names: Vec<String>,
    counter: Option<Counter>,
}

/// The second engine, which counts instructions over the first events.
struct Counter {
    trial: Trial,
    spent: Arc<AtomicU64>,
    /// Events of the rule that are still to be counted.
    wanted: u64,
    read: u64,
}

impl Counter {
    fn start(candidate: &Candidate, settings: &Settings, wanted: u64) -> anyhow::Result<Self> {
        let (guests, spent) = Counting::new(host(candidate, true)?);
        let guests: Arc<dyn Guests> = guests;
        let trial = Trial::start(candidate.spec.clone(), 1, settings, &guests)?;
        Ok(Self { trial, spent, wanted, read: 0 })
    }

    fn take(&mut self, batch: &Arc<Batch>) {
        if self.trial.tally().wanted < self.wanted && self.read < instructions::READ {
            self.read += batch.len() as u64;
            self.trial.take(batch);
        }
    }

    fn instructions(&self) -> Instructions {
        let tally = self.trial.tally();
        Instructions::new(self.spent.load(Relaxed), tally.wanted, tally.calls)
    }
}

/// A host for one module.
fn host(candidate: &Candidate, fuel: bool) -> anyhow::Result<Host> {
    let none: Arc<dyn tidegate_wasm::ModuleStore> = Arc::new(|_: &str| None);
    let options = HostOptions { instances: INSTANCES, fuel, ..HostOptions::default() };
    let host = Host::new(&options, none).context("the wasm engine does not start")?;
    host.compile(&candidate.wasm).map_err(|refusal| anyhow!("{refusal}"))?;
    Ok(host)
}

impl Side {
    fn start(candidate: &Candidate, shards: usize, settings: &Settings, count: u64) -> anyhow::Result<Self> {
        let host = host(candidate, false)?;
        // What does not start at all is refused here, not counted as a fault.
        host.guest(&candidate.spec).map_err(|fault| anyhow!("the rule does not start: {fault}"))?;
        let guests: Arc<dyn Guests> = Arc::new(host);
        Ok(Self {
            trial: Trial::start(candidate.spec.clone(), shards, settings, &guests)?,
            fired: Fired::default(),
            names: candidate.spec.outputs.iter().map(|(name, _)| name.clone()).collect(),
            counter: (count > 0).then(|| Counter::start(candidate, settings, count)).transpose()?,
        })
    }

    fn begin(&mut self, before: Timestamp) {
        self.trial.move_to(before);
        self.trial.begin();
    }

    fn take(&mut self, batch: &Arc<Batch>, warm: bool) {
        self.trial.take(batch);
        if let Some(counter) = &mut self.counter {
            counter.take(batch);
        }
        if !warm {
            self.follow();
        }
    }

    fn end(&mut self, last: Timestamp) {
        self.trial.move_to(last);
        self.follow();
    }

    fn follow(&mut self) {
        let Said { effects, events } = self.trial.said();
        for effect in effects {
            let to = match effect.to {
                To::Log(_) => continue,
                to => name(&self.names, to),
            };
            self.fired.take(to, effect.at, effect.key, &events.event(effect.event as usize));
        }
    }

    fn finish(self, candidate: &Candidate) -> Outcome {
        let instructions = self.counter.as_ref().map(Counter::instructions);
        let counts = (self.fired.count, self.fired.standing() as u64, self.fired.untracked);
        Outcome::new(candidate, self.trial.tally().clone(), counts, self.fired.finish(), instructions)
    }
}

/// The name of where an effect goes.
fn name(outputs: &[String], to: To) -> &str {
    match to {
        To::Stream => "stream",
        To::Log(_) => "log",
        To::Output(number) => outputs.get(number as usize).map_or("?", String::as_str),
    }
}

/// Compares what both said last.
fn note(compared: &mut Option<Comparison>, rule: &Side, against: Option<&Side>, warm: bool) {
    if let (Some(compared), Some(against)) = (compared.as_mut().filter(|_| !warm), against) {
        let names = |side: &Side| {
            let names = side.names.clone();
            move |to| name(&names, to).to_owned()
        };
        compared.take(rule.trial.said(), names(rule), against.trial.said(), names(against));
    }
}
