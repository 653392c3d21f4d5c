//! What the rules made of one event: the way up to it is played again from the newest checkpoint before it, with those rules
//! that wanted it, and then the event alone.
//!
//! ```text
//! checkpoint ──► every record up to the position ──► the rows before the event ──► the event
//!                                                     what keys remember: before   and after
//! ```
//!
//! Replays repeat what happened, so this tells what happened, not what might. Where that cannot be had, because no
//! checkpoint goes back so far, a rule failed on the way, or the way is too long, it is said ([`Explained::note`]).

use crate::archive::Archive;
use crate::backtest::segments;
use crate::catalogue::Catalogue;
use crate::checkpoint::{self, Loaded};
use crate::clock;
use crate::log::{Reader, Record, Standing};
use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tidegate_engine::codec::json::encode_event;
use tidegate_engine::query::{Matcher, Query};
use tidegate_engine::rule::{Control, Limits, RuleSpec};
use tidegate_engine::shard::{Shard, Step, What, candidate_name, key_of};
use tidegate_event::{Batch, BatchBuilder, Event, FieldSet, Header, Timestamp};

/// The way to the event may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rules in an answer at most; those that wanted the event come first.
const RULES: usize = 200;
/// A log is read from its beginning where no checkpoint helps, if no more than so much comes before the event.
const WHOLE: u64 = 128 << 20;
/// A call is stopped after so long. How long it took then was the machine's business; here it must not decide.
const DEADLINE_MS: u32 = 10_000;

/// What became of an event.
#[derive(Debug, Default, Serialize)]
pub struct Explained {
    /// The event; none where nobody knows it.
    pub event: Option<Value>,
    /// The position of its batch.
    pub position: u64,
    /// Its row there.
    pub row: u32,
    /// When it came, as ISO 8601.
    pub at: Option<String>,
    /// What each rule made of it.
    pub rules: Vec<Saw>,
    /// What the index held of its stream before.
    pub index: Held,
    /// Whether everything was played again as it was.
    pub complete: bool,
    /// What is missing, and why.
    pub note: Option<String>,
}

/// What the index held.
#[derive(Debug, Default, Serialize)]
pub struct Held {
    /// The latest event of the stream before this one.
    pub before: Option<Value>,
}

/// What a rule made of an event.
#[derive(Debug, Default, Serialize)]
pub struct Saw {
    /// The rule; a candidate under its own name.
    pub name: String,
    /// Which deployment.
    pub generation: u64,
    /// Its version.
    pub version: String,
    /// Its query.
    pub query: String,
    /// What has its own copy of its state.
    pub per: String,
    /// Whether the query wanted the event.
    pub matched: bool,
    /// Why it did not want it, or did not hear of it, or failed.
    pub why: Option<String>,
    /// The key that the event belongs to, for people.
    pub key: Option<String>,
    /// What the key remembered before.
    pub before: Option<Value>,
    /// And after.
    pub after: Option<Value>,
    /// What the rule asked for.
    pub effects: Vec<Effect>,
}

/// Something that a rule asked for.
#[derive(Debug, Default, Serialize)]
pub struct Effect {
    /// `emit`, `forward` or `log`.
    pub kind: &'static str,
    /// The configured output.
    pub output: Option<String>,
    /// The name under which the rule declares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
    /// The event; none for a line.
    pub event: Option<Value>,
    /// Of a line: how grave it is.
    pub level: Option<&'static str>,
    /// The line.
    pub message: Option<String>,
    /// It was compared and held back: in a trial, the other one spoke for the key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held_back: bool,
}

/// An event as JSON.
pub fn told(event: &Event<'_>) -> Option<Value> {
    let mut json = Vec::new();
    encode_event(&mut json, event);
    serde_json::from_slice(&json).ok()
}

/// What a query has to say about an event that it does not want: the parts that do not hold.
pub fn why_not(query: &str, event: &Event<'_>) -> Option<String> {
    let query = Query::parse(query).ok()?;
    let fails = |part: &Query| Matcher::of(part).is_ok_and(|matcher| !matcher.matches(event));
    let failed: Vec<String> =
        query.parts().iter().filter(|part| fails(part)).map(|part| part.text().to_owned()).collect();
    (!failed.is_empty()).then(|| format!("does not hold: {}", failed.join(", ")))
}

/// The key that an event belongs to, as people write it.
fn key_name(spec: &RuleSpec, event: &Event<'_>) -> String {
    use tidegate_engine::rule::Width;
    let (host, service) = (event.host().unwrap_or_default(), event.service().unwrap_or_default());
    match &spec.per {
        Width::Stream => format!("{host}/{service}"),
        Width::Host => host.to_owned(),
        Width::Service => service.to_owned(),
        Width::Attribute(name) => event.attribute(name).unwrap_or_default().to_owned(),
        Width::Whole => "whole".to_owned(),
    }
}

/// A way that is played again.
struct Way<'a> {
    archive: &'a Archive,
    shard: Shard,
    catalogue: Catalogue,
    /// The rules that are played: one of their deployments wants the event.
    wanted: BTreeSet<String>,
    /// What cannot be relied on.
    doubts: BTreeSet<String>,
    began: Instant,
    /// The event, as a batch of one.
    event: Batch,
    position: u64,
}

/// Explains the event in a row of a position. `stop` ends it early.
pub fn explain(archive: &Archive, position: u64, row: u32, stop: &AtomicBool) -> anyhow::Result<Explained> {
    let Some(batch) = batch_at(archive, position)? else {
        bail!("position {position} holds no events, or is no longer in the log");
    };
    if row as usize >= batch.len() {
        bail!("position {position} has {} rows, the first of which is 0: there is no row {row}", batch.len());
    }
    let event = rows(&batch, row as usize..row as usize + 1);
    let mut explained = Explained {
        event: told(&event.event(0)),
        position,
        row,
        at: Some(clock::iso8601(batch.header.now)),
        ..Explained::default()
    };
    let way = Way::begin(archive, position, event)?;
    let (way, arrived) = way.go(stop)?;
    way.finish(arrived.then_some((&batch, row as usize)), &mut explained);
    Ok(explained)
}

/// The events of a position.
fn batch_at(archive: &Archive, position: u64) -> anyhow::Result<Option<Batch>> {
    let mut reader = Reader::open(&archive.log(), position).context("the log cannot be read")?;
    while let Some(record) = reader.read()? {
        let (at, batch) = match record {
            Record::Batch(batch) | Record::Emitted { batch, .. } => (batch.header.position, Some(batch)),
            Record::Time(at, _) | Record::Change(at, _) => (at, None),
            Record::Catalogue(_) => continue,
        };
        return Ok(batch.filter(|_| at == position));
    }
    Ok(None)
}

/// Some rows of a batch, at the same place and time.
fn rows(batch: &Batch, rows: std::ops::Range<usize>) -> Batch {
    let mut some = BatchBuilder::new();
    rows.for_each(|row| some.copy(&batch.event(row), FieldSet::ALL, |_| ()));
    let mut some = some.finish();
    some.header = batch.header;
    some
}

fn patient(mut spec: RuleSpec) -> RuleSpec {
    spec.limits = Limits { deadline_ms: DEADLINE_MS, ..spec.limits };
    spec
}

impl<'a> Way<'a> {
    fn begin(archive: &'a Archive, position: u64, event: Batch) -> anyhow::Result<Self> {
        Ok(Self {
            archive,
            shard: Shard::new(archive.settings.clone(), archive.guests.clone()),
            catalogue: Catalogue::new(Default::default()),
            wanted: BTreeSet::new(),
            doubts: BTreeSet::new(),
            began: clock::start(),
            event,
            position,
        })
    }

    fn wants(&self, spec: &RuleSpec) -> bool {
        Matcher::parse(&spec.query).is_ok_and(|matcher| matcher.matches(&self.event.event(0)))
    }

    /// The rules that were deployed when the way begins.
    fn stand(&mut self, rules: Vec<Standing>) {
        let mut changes = Vec::new();
        for standing in rules {
            self.catalogue.stand(&standing);
            let trial = standing.trial.iter().map(|trial| &trial.spec);
            if std::iter::once(&standing.spec).chain(trial).any(|spec| self.wants(spec)) {
                self.wanted.insert(standing.spec.name.clone());
                changes.extend(standing.changes());
            }
        }
        changes.sort_by_key(|(position, ..)| *position);
        for (position, at, control) in changes {
            self.control(control, position, at);
        }
    }

    fn control(&mut self, mut control: Control, position: u64, at: Timestamp) {
        if let Control::Deploy(spec) | Control::Try { spec, .. } = &mut control {
            if spec.backfill.take().is_some() {
                self.doubts
                    .insert(format!("rule {} began with what it had heard in the log before", spec.name));
            }
            **spec = patient((**spec).clone());
        }
        let step = self.shard.control(&control, position, at);
        self.note_faults(&step);
    }

    fn change(&mut self, control: &Control, position: u64, at: Timestamp) {
        self.catalogue.change(control, position, at);
        if let Control::Deploy(spec) | Control::Try { spec, .. } = control
            && self.wants(spec)
        {
            self.wanted.insert(spec.name.clone());
        }
        if self.wanted.contains(control.name()) {
            self.control(control.clone(), position, at);
        }
    }

    fn step(&mut self, batch: &Batch) -> Step {
        let step = self.shard.step(batch);
        self.note_faults(&step);
        step
    }

    fn note_faults(&mut self, step: &Step) {
        for trouble in &step.troubled {
            self.doubts.insert(format!(
                "rule {} failed at position {} on the way, and begins anew there: {}",
                trouble.rule, step.position, trouble.fault
            ));
        }
    }

    /// A reader of what comes behind what is known.
    fn start(&mut self) -> anyhow::Result<(Reader, bool)> {
        let loaded = checkpoint::load_before(&self.archive.checkpoints(), self.position)?;
        if let Some(Loaded { head, saved, .. }) = loaded {
            self.stand(head.rules);
            self.shard.restore(&saved, Timestamp(head.now));
            let reader =
                Reader::open(&self.archive.log(), head.position + 1).context("the log cannot be read")?;
            return Ok((reader, true));
        }
        let segments = segments(&self.archive.log())?;
        let mut before = segments.iter().filter(|(first, _)| *first <= self.position);
        let whole = segments.first().is_some_and(|(first, _)| *first <= 1)
            && before.clone().map(|(_, bytes)| bytes).sum::<u64>() <= WHOLE;
        let from = if whole { 0 } else { before.next_back().map_or(0, |(first, _)| *first) };
        if !whole {
            self.doubts.insert(format!(
                "no checkpoint goes back so far: what keys remember and the index hold begins at position {from}"
            ));
        }
        Ok((Reader::open(&self.archive.log(), from).context("the log cannot be read")?, false))
    }

    /// Goes up to the position, which is left out. Says whether it was reached in time.
    fn go(mut self, stop: &AtomicBool) -> anyhow::Result<(Self, bool)> {
        let (mut reader, mut begun) = self.start()?;
        while let Some(record) = reader.read()? {
            if stop.load(Relaxed) {
                bail!("nobody waits for it any more");
            }
            if self.began.elapsed() > PATIENCE {
                self.doubts.insert(format!(
                    "the way to the event took longer than {} s: what is told follows from the queries alone",
                    PATIENCE.as_secs()
                ));
                return Ok((self, false));
            }
            match record {
                Record::Catalogue(rules) => {
                    if !std::mem::replace(&mut begun, true) {
                        self.stand(rules);
                    }
                }
                Record::Batch(batch) | Record::Emitted { batch, .. } => {
                    if batch.header.position >= self.position {
                        break;
                    }
                    self.step(&batch);
                }
                Record::Time(position, now) => {
                    if position >= self.position {
                        break;
                    }
                    let mut tick = Batch::default();
                    tick.header = Header { fields: FieldSet::ALL, position, now, replayed: true };
                    self.step(&tick);
                }
                Record::Change(position, change) => {
                    if position >= self.position {
                        break;
                    }
                    self.change(&change.control, position, Timestamp(change.now));
                }
            }
        }
        Ok((self, true))
    }

    /// Every deployment of then, those that want the event first.
    fn deployed(&self) -> Vec<(String, RuleSpec, bool)> {
        let mut all = Vec::new();
        for standing in self.catalogue.standing() {
            let candidate = standing.trial.map(|trial| {
                let name = candidate_name(&trial.spec.name, trial.spec.generation);
                (name, trial.spec)
            });
            let rule = (standing.spec.name.clone(), standing.spec);
            all.extend(std::iter::once(rule).chain(candidate));
        }
        let mut all: Vec<_> = all.into_iter().map(|(name, spec)| (self.wants(&spec), name, spec)).collect();
        all.sort_by_key(|(wanted, ..)| !wanted);
        all.into_iter().map(|(wanted, name, spec)| (name, spec, wanted)).collect()
    }

    fn states(&mut self, rules: &[(String, RuleSpec, bool)]) -> BTreeMap<String, Value> {
        let mut states = BTreeMap::new();
        for (name, spec, wanted) in rules.iter().take(RULES) {
            let key = key_of(&spec.per, &self.event.event(0), self.archive.settings.seed);
            let found = if *wanted { self.shard.states(name, Some(key), 1) } else { Ok(Vec::new()) };
            match found {
                Ok(found) => {
                    let state = found.first().map(|key| &key.state.state);
                    let value = state.and_then(|state| rmp_serde::from_slice::<Value>(state).ok());
                    value.map(|value| states.insert(name.clone(), value));
                }
                Err(fault) => {
                    self.doubts.insert(format!("rule {name} does not tell what its keys remember: {fault}"));
                }
            }
        }
        states
    }

    /// Delivers the event, if the way to it was gone, and writes down what came of it.
    fn finish(mut self, arrived: Option<(&Batch, usize)>, explained: &mut Explained) {
        let mut rules = self.deployed();
        let left_out = rules.len().saturating_sub(RULES);
        rules.truncate(RULES);
        if left_out > 0 {
            self.doubts.insert(format!("{left_out} further rules did not want the event and are left out"));
        }
        let (mut before, mut after, mut step) = (BTreeMap::new(), BTreeMap::new(), Step::default());
        if let Some((batch, row)) = arrived {
            // Time moves first, and what stands before the event comes before it.
            self.step(&rows(batch, 0..row));
            let event = self.event.clone();
            explained.index.before = self.shard.latest(event.event(0).key()).as_ref().and_then(told);
            before = self.states(&rules);
            step = self.shard.step(&event);
            after = self.states(&rules);
        }
        let event = self.event.event(0);
        for (name, spec, wanted) in rules {
            let why = match wanted {
                true => unheard(&name, &spec, &step),
                false => why_not(&spec.query, &event),
            };
            explained.rules.push(Saw {
                generation: spec.generation,
                version: spec.version.clone(),
                query: spec.query.clone(),
                per: spec.per.to_string(),
                matched: wanted,
                why,
                key: wanted.then(|| key_name(&spec, &event)),
                before: before.remove(&name),
                after: after.remove(&name),
                effects: effects(&name, &spec, &step),
                name,
            });
        }
        explained.complete = arrived.is_some() && self.doubts.is_empty();
        explained.note =
            (!self.doubts.is_empty()).then(|| self.doubts.into_iter().collect::<Vec<_>>().join("; "));
    }
}

/// Why a rule that wanted an event did nothing about it.
fn unheard(name: &str, spec: &RuleSpec, step: &Step) -> Option<String> {
    if let Some(trouble) = step.troubled.iter().find(|trouble| &*trouble.rule == name) {
        return Some(format!("it failed: {}", trouble.fault));
    }
    if spec.paused {
        return Some("it was paused".into());
    }
    let count = step.counts.iter().find(|(rule, _)| &**rule == name).map(|(_, count)| count)?;
    if count.skipped > 0 {
        return Some("it was left alone after faults".into());
    }
    (count.over > 0).then(|| "its key found no room: it was counted under the overflow key".into())
}

/// What a rule asked for over the event.
fn effects(name: &str, spec: &RuleSpec, step: &Step) -> Vec<Effect> {
    let event = |number: u32| step.events.event(number as usize);
    let is_candidate = name != spec.name;
    let tried: Vec<_> = step.tried.iter().filter(|tried| *tried.rule == *spec.name).collect();
    let asked = step.asked.iter().filter(|asked| *asked.rule == *name && asked.place.phase == 1);
    if tried.is_empty() {
        return asked.map(|asked| effect(&asked.what, &event(asked.event), false)).collect();
    }
    // In a trial one of both speaks, in the name of the rule; lines each says in its own.
    let lines = asked.filter(|asked| matches!(asked.what, What::Log { .. }));
    let lines = lines.map(|asked| effect(&asked.what, &event(asked.event), false));
    let own = tried.iter().filter(|tried| tried.candidate == is_candidate && tried.place.phase == 1);
    let own = own.filter(|tried| !matches!(tried.what, What::Log { .. })).map(|tried| {
        let spoke = step.asked.iter().any(|asked| asked.event == tried.event && asked.what == tried.what);
        effect(&tried.what, &event(tried.event), !spoke)
    });
    lines.chain(own).collect()
}

fn effect(what: &What, event: &Event<'_>, held_back: bool) -> Effect {
    let whole = Effect { event: told(event), held_back, ..Effect::default() };
    match what {
        What::Emit => Effect { kind: "emit", ..whole },
        What::Forward { declared, output } => Effect {
            kind: "forward",
            output: Some(output.to_string()),
            declared: Some(declared.to_string()),
            ..whole
        },
        What::Log { level } => Effect {
            kind: "log",
            level: Some(["error", "warning", "info", "debug", "trace"][usize::from((*level).min(4))]),
            message: event.description().map(str::to_owned),
            event: None,
            ..whole
        },
    }
}

/// What can be said of an event from the queries alone: which rules of now want it.
pub fn from_queries(event: &Event<'_>, rules: impl IntoIterator<Item = Saw>) -> Vec<Saw> {
    let mut saw: Vec<Saw> = rules
        .into_iter()
        .map(|rule| {
            let matched = Matcher::parse(&rule.query).is_ok_and(|matcher| matcher.matches(event));
            let why = if matched { rule.why } else { why_not(&rule.query, event) };
            Saw { matched, why, ..rule }
        })
        .collect();
    saw.sort_by_key(|rule| !rule.matched);
    saw.truncate(RULES);
    saw
}

/// An answer that follows from the queries alone.
pub fn without_log(event: &Event<'_>, position: u64, row: u32, rules: Vec<Saw>, note: &str) -> Explained {
    Explained {
        event: told(event),
        position,
        row,
        rules: from_queries(event, rules),
        note: Some(note.to_owned()),
        ..Explained::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::NewEvent;

    #[test]
    fn a_query_tells_which_of_its_parts_do_not_hold() {
        let mut one = BatchBuilder::new();
        one.push(&NewEvent { host: Some("a"), state: Some("ok"), ..NewEvent::default() });
        let one = one.finish();
        let why = |query: &str| why_not(query, &one.event(0));
        assert_eq!(
            why("host = \"a\" and state = \"critical\""),
            Some("does not hold: (= state \"critical\")".into())
        );
        assert_eq!(
            why("host = \"b\" and (state = \"critical\" or service = \"x\")"),
            Some("does not hold: (= host \"b\"), (or (= state \"critical\") (= service \"x\"))".into())
        );
        assert_eq!(why("host = \"a\""), None);
        assert_eq!(why("nonsense ="), None);
    }
}
