//! One share of the streams: a batch in, effects out, and nothing else happens.
//!
//! A step goes like this, and a replay of the log repeats it exactly:
//!
//! 1. **Time moves first.** Streams and keys whose time ran out say goodbye; wakes that are due by `now` fire.
//! 2. **Then the events**, in the order of the batch: those of the shard's own streams enter the index and line up for
//!    the rules that want them. Rules keyed wider than a stream look at every event and take those whose key is theirs,
//!    so that input never hops between shards.
//! 3. **Then the guests are called**, in the order in which their rules were deployed, once each as a rule.
//! 4. **What they asked for** comes back as whole events, each with its place in an order that does not depend on the
//!    number of shards. [`Engine`] and the runtime merge the steps of all shards by it.
//!
//! Not here: threads, the log, outputs, and what a wasm module is.

mod effects;
mod engine;
mod health;
mod keys;
mod merge;
mod running;

pub use effects::{Asked, MAX_HOPS, Place, What};
pub use engine::Engine;
pub use health::{FAULTS, WINDOW};
pub use keys::{key_of, owner};
pub use merge::{Forwarded, Logged, Merged, merge};

use crate::guest::{Fault, Guests};
use crate::index::{self, Index};
use crate::query::Matcher;
use crate::rule::{Control, Width};
use running::{Running, Scene, Source, Wanted};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_event::{Batch, BatchBuilder, Event, FieldSet, Span, Timestamp};

/// Streams and keys that run out in one step; the rest follow in the next.
const EXPIRE_LIMIT: usize = 5_000;

/// What a shard is told when it is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The number of this shard.
    pub number: usize,
    /// How many there are.
    pub shards: usize,
    /// The seed of key ids in this data directory.
    pub seed: u64,
    /// The ttl of events that have none.
    pub default_ttl: Span,
    /// Streams that this shard indexes at most.
    pub max_streams: usize,
    /// The name of the node: the host of events about itself.
    pub node: Arc<str>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            number: 0,
            shards: 1,
            seed: 0,
            default_ttl: Span::secs(60),
            max_streams: 1_000_000,
            node: "tidegate".into(),
        }
    }
}

/// One shard.
pub struct Shard {
    settings: Settings,
    guests: Arc<dyn Guests>,
    now: Timestamp,
    index: Index,
    rules: Vec<Running>,
    wide: usize,
}

/// What came of a step.
#[derive(Debug, Default)]
pub struct Step {
    /// The position of the record.
    pub position: u64,
    /// Its time.
    pub now: Timestamp,
    /// Whether it was read again after a restart.
    pub replayed: bool,
    /// What rules asked for, in no particular order: [`merge`] sorts.
    pub asked: Vec<Asked>,
    /// The events that it is about.
    pub events: BatchBuilder,
    /// The rows of the batch that are this shard's own streams, in order.
    pub own: Vec<u32>,
    /// Streams that ran out: their last event with state `expired`.
    pub expired: Batch,
    /// Rules that failed.
    pub troubled: Vec<Troubled>,
    /// What each rule did.
    pub counts: BTreeMap<Arc<str>, RuleCount>,
}

/// A rule that failed.
#[derive(Clone, Debug)]
pub struct Troubled {
    /// Its name.
    pub rule: Arc<str>,
    /// How.
    pub fault: Fault,
    /// The event that did it, as text, where that is known.
    pub event: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Until when the rule is left alone, if it is.
    pub quarantined_until: Option<Timestamp>,
}

/// What a rule did in a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RuleCount {
    pub events: u64,
    pub calls: u64,
    pub nanos: u64,
    pub emitted: u64,
    pub forwarded: u64,
    pub logged: u64,
    pub faults: u64,
    /// Events that were not handled: quarantine, or a call that kept failing.
    pub skipped: u64,
    /// Events whose key found no room.
    pub over: u64,
    /// Effects not carried out, by reason.
    pub cut: BTreeMap<&'static str, u64>,
    /// Keys that have state now.
    pub keys: u64,
    /// Bytes of memory now.
    pub memory: u64,
}

impl Step {
    fn count(&mut self, rule: &Arc<str>) -> &mut RuleCount {
        if !self.counts.contains_key(rule) {
            self.counts.insert(rule.clone(), RuleCount::default());
        }
        self.counts.get_mut(rule).unwrap_or_else(|| unreachable!("it was just put there"))
    }

    fn cut(&mut self, rule: &Arc<str>, reason: &'static str) {
        *self.count(rule).cut.entry(reason).or_default() += 1;
    }
}

impl Shard {
    /// An empty shard.
    pub fn new(settings: Settings, guests: Arc<dyn Guests>) -> Self {
        let index = Index::new(settings.default_ttl, settings.max_streams);
        Self { settings, guests, now: Timestamp(i64::MIN), index, rules: Vec::new(), wide: 0 }
    }

    /// What is latest in each stream.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The key of the one stream that a query asks for, if it asks for exactly one.
    pub fn exact(&self, matcher: &Matcher) -> Option<u64> {
        let (host, service) = matcher.exact()?;
        let bytes = |text: Option<&str>| text.map(str::as_bytes).map(<[u8]>::to_vec);
        Some(tidegate_event::stream_key(
            self.settings.seed,
            bytes(host).as_deref(),
            bytes(service).as_deref(),
        ))
    }

    /// The time of the last step.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When time should move next, even if nothing happens: then something is due.
    pub fn next_due(&self) -> Timestamp {
        let after = |at: Timestamp| at + Span(1);
        let rules = self.rules.iter().map(Running::next_due).min().unwrap_or(Timestamp::NEVER);
        after(self.index.next_due()).min(rules)
    }

    /// Applies a change to the set of rules.
    pub fn control(&mut self, control: &Control, position: u64, now: Timestamp) -> Step {
        self.now = self.now.max(now);
        let mut step = Step { position, now: self.now, ..Step::default() };
        match control {
            Control::Deploy(spec) => {
                self.rules.retain(|rule| rule.spec.name != spec.name);
                match Matcher::parse(&spec.query) {
                    Ok(matcher) => {
                        let mut rule = Running::new((**spec).clone(), matcher, position);
                        step.count(&rule.name);
                        rule.start(&self.scene(&Batch::default(), &Batch::default()), &mut step);
                        self.rules.push(rule);
                    }
                    // Checked before the record was written; a log from elsewhere may still hold it.
                    Err(error) => step.troubled.push(Troubled {
                        rule: spec.name.as_str().into(),
                        fault: Fault::new(crate::guest::FaultKind::Start, error.to_string()),
                        event: None,
                        at: self.now,
                        quarantined_until: None,
                    }),
                }
            }
            Control::Remove { name } => self.rules.retain(|rule| rule.spec.name != *name),
            Control::Pause { name, paused } => {
                for rule in self.rules.iter_mut().filter(|rule| rule.spec.name == *name) {
                    rule.spec.paused = *paused;
                }
            }
        }
        self.wide = self.rules.iter().filter(|rule| !rule.is_narrow()).count();
        step
    }

    fn scene<'a>(&'a self, batch: &'a Batch, made: &'a Batch) -> Scene<'a> {
        Scene { batch, made, now: self.now, guests: &*self.guests, settings: &self.settings }
    }

    /// Takes a batch; an empty one just moves time.
    pub fn step(&mut self, batch: &Batch) -> Step {
        self.now = self.now.max(batch.header.now);
        let mut step = Step {
            position: batch.header.position,
            now: self.now,
            replayed: batch.header.replayed,
            ..Step::default()
        };
        let mut rules = std::mem::take(&mut self.rules);
        let made = self.expire(&mut rules, &mut step);
        self.index_rows(batch, &mut step);
        let scene = self.scene(batch, &made);
        for (row, event) in batch.events().enumerate() {
            self.line_up(&mut rules, row as u32, &event, &scene, &mut step);
        }
        for rule in &mut rules {
            if rule.is_due(self.now) {
                rule.call(&scene, &mut step);
            }
        }
        self.rules = rules;
        step
    }

    /// Streams and keys whose time ran out: out of the index, goodbyes lined up, and an event for wider rules elsewhere.
    fn expire(&mut self, rules: &mut [Running], step: &mut Step) -> Batch {
        let now = self.now;
        if self.index.next_due() < now {
            let mut gone = BatchBuilder::new();
            let mut moments = Vec::new();
            self.index.expire(now, EXPIRE_LIMIT, |at, event| {
                moments.push(at);
                index::expired_event(&mut gone, event, now);
            });
            step.expired = gone.finish();
            for (number, event) in step.expired.events().enumerate() {
                let mut wanted_elsewhere = false;
                for rule in rules.iter_mut() {
                    if rule.is_narrow() {
                        if rule.holds(event.key()) || (!rule.spec.paused && rule.matcher.matches(&event)) {
                            rule.wait(Wanted {
                                source: Source::Made(number as u32),
                                key: event.key(),
                                leaving: true,
                            });
                        }
                    } else {
                        wanted_elsewhere |= !rule.spec.paused && rule.matcher.matches(&event);
                    }
                }
                if wanted_elsewhere {
                    let place = Place {
                        phase: 0,
                        at: effects::moment(moments[number]),
                        rule: 0,
                        key: event.key(),
                        n: 0,
                    };
                    step.asked.push(Asked {
                        place,
                        rule: "".into(),
                        what: What::Emit,
                        event: step.events.len() as u32,
                    });
                    step.events.copy(&event, FieldSet::ALL, |_| ());
                }
            }
        }
        let mut made = BatchBuilder::new();
        for event in step.expired.events() {
            made.copy(&event, FieldSet::ALL, |_| ());
        }
        for rule in rules {
            rule.expire_keys(now, EXPIRE_LIMIT, &mut made);
        }
        made.finish()
    }

    /// The shard's own events enter the index. Those that the index itself made, here or elsewhere, have been dealt with.
    fn index_rows(&mut self, batch: &Batch, step: &mut Step) {
        for (row, event) in batch.events().enumerate() {
            if event.is_reaped() || owner(event.key(), self.settings.shards) != self.settings.number {
                continue;
            }
            self.index.put(&event, self.now);
            step.own.push(row as u32);
        }
    }

    /// An event lines up for the rules that want it, if its stream or its wider key is ours.
    fn line_up(
        &self,
        rules: &mut [Running],
        row: u32,
        event: &Event<'_>,
        scene: &Scene<'_>,
        step: &mut Step,
    ) {
        let ours = owner(event.key(), self.settings.shards) == self.settings.number;
        if !ours && self.wide == 0 {
            return;
        }
        let source = Source::Row(row);
        for rule in rules {
            if rule.spec.paused && !event.is_expired() {
                continue;
            }
            let (key, leaving) = if rule.is_narrow() {
                if !ours || event.is_reaped() {
                    continue;
                }
                (event.key(), event.is_expired())
            } else {
                (0, false)
            };
            // Whether a goodbye is heard depends on whether the key is held when its turn comes.
            if !leaving && !rule.matcher.matches(event) {
                continue;
            }
            let key = match rule.spec.per {
                Width::Stream => key,
                _ => rule.key(event, self.settings.seed),
            };
            if !rule.is_narrow() && owner(key, self.settings.shards) != self.settings.number {
                continue;
            }
            rule.want(Wanted { source, key, leaving }, scene, step);
        }
    }

    /// The rules that run here, in the order in which they were deployed.
    pub fn rules(&self) -> impl Iterator<Item = &crate::rule::RuleSpec> {
        self.rules.iter().map(|rule| &rule.spec)
    }
}
