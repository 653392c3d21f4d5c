//! One share of the streams: a batch in, effects out, and nothing else happens.
//!
//! A step goes like this, and a replay of the log repeats it exactly:
//!
//! 1. **Time moves first.** Streams and keys whose time ran out say goodbye; wakes that are due by `now` fire.
//! 2. **Then the events**, in the order of the batch: those of the shard's own streams enter the index, which remembers
//!    the rules that want them, and line up for those. Rules keyed wider than a stream hear of every event and take those
//!    whose key is theirs, so that input never hops between shards.
//! 3. **Then the guests are called**, once each as a rule.
//! 4. **What they asked for** comes back as whole events, each with its place in an order that does not depend on the
//!    number of shards. [`Engine`] and the runtime merge the steps of all shards by it.
//!
//! Not here: threads, the log, outputs, and what a wasm module is.

mod alarms;
mod baggage;
mod carry;
mod crew;
mod deployed;
mod effects;
mod engine;
mod group;
mod health;
mod keys;
mod late;
mod merge;
mod routes;
mod saving;
mod trial;

pub use crate::index::NOWHERE;
pub use carry::Carried;
pub use deployed::{ALONE, CALL_ROWS, TOGETHER};
pub use effects::{Asked, MAX_HOPS, Place, What, mark_of};
pub use engine::Engine;
pub use health::{FAULTS, WINDOW};
pub use keys::{OVERFLOW, key_of, owner};
pub use late::Late;
pub use merge::{Forwarded, Logged, Merged, merge};
pub use saving::{KeyReport, NotSaved};
pub use trial::{ALL_KEYS, Tried, candidate_name, in_share};

use crate::guest::{Fault, Guests};
use crate::index::{self, Index, STATES};
use crate::query::Matcher;
use crate::rule::{Control, RuleSpec};
use deployed::Deployed;
use group::{Scene, Source};
use routes::Routes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_event::{Batch, BatchBuilder, FieldSet, Span, Timestamp};

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
    /// Whether somebody makes up for the state that a rule loses by a fault: see [`Step::lost`].
    pub rebuild: bool,
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
            rebuild: false,
        }
    }
}

/// One shard.
pub struct Shard {
    settings: Settings,
    guests: Arc<dyn Guests>,
    now: Timestamp,
    index: Index<Routes>,
    deployed: Deployed,
    /// Used again for each batch.
    keys: Vec<u64>,
    numbers: Vec<u32>,
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
    /// What rules in trials asked for, held back or not.
    pub tried: Vec<Tried>,
    /// The events that it is about.
    pub events: BatchBuilder,
    /// The rows of the batch that are this shard's own streams, in order.
    pub own: Vec<Own>,
    /// Streams that ran out: their last event with state `expired`.
    pub expired: Batch,
    /// Rules that failed.
    pub troubled: Vec<Troubled>,
    /// Rules that have lost what their keys remember. They hear nothing until they get it [back](Shard::give_back).
    pub lost: Vec<Lost>,
    /// What each rule did.
    pub counts: Vec<(Arc<str>, RuleCount)>,
}

/// A row of a shard's own streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// The row of the batch.
    pub row: u32,
    /// The number of its stream in the index; [`NOWHERE`] when it found no room there.
    pub stream: u32,
}

/// A rule that failed.
#[derive(Clone, Debug)]
pub struct Troubled {
    /// Its name.
    pub rule: Arc<str>,
    /// How.
    pub fault: Fault,
    /// The event that did it, as a batch of one, where that is known.
    pub event: Option<Batch>,
    /// When.
    pub at: Timestamp,
    /// Until when the rule is left alone, if it is.
    pub quarantined_until: Option<Timestamp>,
}

/// A rule that has lost what its keys remember.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Its name.
    pub rule: Arc<str>,
    /// The shard in which it has.
    pub shard: usize,
    /// The row that broke it, where that is known: it is not to hear of it again.
    pub poison: Option<u32>,
    /// What it asked for over rows before this one counts.
    pub first: u32,
    /// It has lost nothing, and is to begin as if it had heard the log from this moment on.
    pub backfill: Option<Timestamp>,
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
    /// Events whose key found no room: they were counted under the overflow key.
    pub over: u64,
    /// Effects not carried out, by reason.
    pub cut: BTreeMap<&'static str, u64>,
    /// Keys that have state now.
    pub keys: u64,
    /// Bytes of memory now.
    pub memory: u64,
}

impl Shard {
    /// An empty shard.
    pub fn new(settings: Settings, guests: Arc<dyn Guests>) -> Self {
        let index = Index::new(settings.default_ttl, settings.max_streams);
        let (keys, numbers) = (Vec::new(), Vec::new());
        Self {
            settings,
            guests,
            now: Timestamp(i64::MIN),
            index,
            deployed: Deployed::default(),
            keys,
            numbers,
        }
    }

    /// Which of the shards it is, from 0.
    pub fn number(&self) -> usize {
        self.settings.number
    }

    /// How many streams there are, and in which states.
    pub fn streams(&self) -> (usize, [u64; STATES]) {
        (self.index.len(), self.index.states())
    }

    /// Events whose stream was not indexed for want of room.
    pub fn refused(&self) -> u64 {
        self.index.refused()
    }

    /// Looks at a slice of what is latest in each stream: see [`Index::search`].
    pub fn search(
        &self,
        matcher: &Matcher,
        cursor: u32,
        budget: usize,
        limit: usize,
        found: &mut BatchBuilder,
    ) -> Option<u32> {
        self.index.search(matcher, self.exact(matcher), cursor, budget, limit, found)
    }

    /// The key of the one stream that a query asks for, if it asks for exactly one.
    fn exact(&self, matcher: &Matcher) -> Option<u64> {
        let (host, service) = matcher.exact()?;
        let bytes = |text: Option<&str>| text.map(str::as_bytes).map(<[u8]>::to_vec);
        Some(tidegate_event::stream_key(
            self.settings.seed,
            bytes(host).as_deref(),
            bytes(service).as_deref(),
        ))
    }

    /// The latest event of a stream, by its key.
    pub fn latest(&self, stream: u64) -> Option<tidegate_event::Event<'_>> {
        self.index.get(stream)
    }

    /// The latest event of the stream with a number, as [`Own`] tells it, if it is still there.
    pub fn standing(&self, number: u32) -> Option<tidegate_event::Event<'_>> {
        self.index.standing(number)
    }

    /// The time of the last step.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When time should move next, even if nothing happens: then something is due.
    pub fn next_due(&mut self) -> Timestamp {
        (self.index.next_due() + Span(1)).min(self.deployed.next_due(self.now))
    }

    /// Applies a change to the set of rules.
    pub fn control(&mut self, control: &Control, position: u64, now: Timestamp) -> Step {
        self.now = self.now.max(now);
        let mut step = Step { position, now: self.now, ..Step::default() };
        match control {
            Control::Deploy(spec) => match Matcher::parse(&spec.query) {
                Ok(matcher) => {
                    let none = Batch::default();
                    let scene = Scene {
                        batch: &none,
                        gone: &none,
                        ended: &none,
                        now: self.now,
                        guests: &*self.guests,
                        settings: &self.settings,
                    };
                    let spec = (**spec).clone();
                    let (name, backfill) = (spec.name.as_str().into(), spec.backfill);
                    let number = match self.deployed.deploy(
                        spec.clone(),
                        matcher.clone(),
                        position,
                        &mut self.index,
                    ) {
                        Ok(number) => number,
                        // The version before does not give its states any more: the new one begins anew.
                        Err(fault) => {
                            let number = self.deployed.deploy_fresh(spec, matcher, position);
                            self.deployed.trouble(number, fault, None, &scene, &mut step);
                            number
                        }
                    };
                    self.deployed.crew.count(number);
                    self.deployed.try_start(number, &scene, &mut step);
                    if let Some(from) = backfill.filter(|_| self.settings.rebuild) {
                        self.deployed.crew.get_mut(number).away = true;
                        let shard = self.settings.number;
                        step.lost.push(Lost {
                            rule: name,
                            shard,
                            poison: None,
                            first: u32::MAX,
                            backfill: Some(from),
                        });
                    }
                    step.counts = self.deployed.crew.take_counts();
                }
                // Checked before the record was written; a log from elsewhere may still hold it.
                Err(error) => {
                    self.deployed.remove(&spec.name);
                    step.troubled.push(Troubled {
                        rule: spec.name.as_str().into(),
                        fault: Fault::new(crate::guest::FaultKind::Start, error.to_string()),
                        event: None,
                        at: self.now,
                        quarantined_until: None,
                    });
                }
            },
            Control::Remove { name } => self.deployed.remove(name),
            Control::Pause { name, paused } => self.deployed.pause(name, *paused),
            Control::Try { spec, share } => self.begin_trial(spec, *share, position, &mut step),
            Control::Promote { name } => self.deployed.promote(name),
            Control::Abandon { name, .. } => self.deployed.abandon(name),
            // Whoever hands it over gives the state back at the same place.
            Control::Rejoin { .. } => return step,
        }
        self.tell(control, position, &mut step);
        step
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
        // Streams and keys whose time ran out.
        let mut streams = Vec::new();
        let gone = self.gone(&mut streams);
        let mut ended = BatchBuilder::new();
        let leaving = self.deployed.end_keys(self.now, EXPIRE_LIMIT, &mut ended);
        let ended = ended.finish();
        let Self { index, deployed, settings, .. } = self;
        let scene =
            Scene { batch, gone: &gone, ended: &ended, now: self.now, guests: &*self.guests, settings };
        for (row, (at, stream)) in streams.into_iter().enumerate() {
            let event = gone.event(row);
            deployed.line_up(Source::Gone(row as u32), &event, stream, index, &scene, &mut step);
            // Keys that are wider than the stream may be another shard's: it hears of the end as of an event.
            if deployed.wanted_wide(&event) {
                let at = effects::moment(at);
                let place = Place { phase: 0, at, rule: 0, key: event.key(), n: 0 };
                let number = step.events.len() as u32;
                step.asked.push(Asked { place, rule: "".into(), what: What::Emit, event: number });
                step.events.copy(&event, FieldSet::ALL, |_| ());
            }
        }
        deployed.line_up_ended(leaving, index, &scene, &mut step);

        // Events. All streams are looked up together: that is much faster than one by one.
        self.keys.clear();
        self.keys.extend(batch.events().map(|event| event.key()));
        index.locate(&self.keys, &mut self.numbers);
        step.own.reserve(batch.len() / settings.shards + 1);
        for row in 0..batch.len() {
            let event = batch.event(row);
            let (source, key) = (Source::Row(row as u32), self.keys[row]);
            let ours = owner(key, settings.shards) == settings.number;
            let mut stream = None;
            // Events that the index itself made, here or elsewhere, have been dealt with.
            if ours && !event.is_reaped() {
                stream = enter(index, self.numbers[row], &event, self.now);
                step.own.push(Own { row: row as u32, stream: stream.unwrap_or(NOWHERE) });
                match stream {
                    Some(stream) => deployed.line_up(source, &event, stream, index, &scene, &mut step),
                    None => deployed.line_up_overflow(source, &event, index, &scene, &mut step),
                }
            }
            if deployed.wide > 0 {
                deployed.line_up_wide(source, &event, stream, index, &scene, &mut step);
            }
            if let Some(stream) = stream
                && event.is_expired()
            {
                index.retire(stream);
            }
        }
        deployed.call_all(index, &scene, &mut step);
        index.release();
        step.expired = gone;
        step
    }

    /// Takes the streams out of the index whose time ran out: their last events, with state `expired`, and their numbers.
    fn gone(&mut self, streams: &mut Vec<(Timestamp, u32)>) -> Batch {
        let mut gone = BatchBuilder::new();
        if self.index.next_due() < self.now {
            self.index.expire(self.now, EXPIRE_LIMIT, streams);
            for (_, stream) in streams {
                index::expired_event(&mut gone, &self.index.event(*stream), self.now);
            }
        }
        gone.finish()
    }

    /// The rules that run here, candidates among them, in the order in which they were deployed.
    pub fn rules(&self) -> impl Iterator<Item = &RuleSpec> {
        self.deployed.crew.in_order().into_iter().map(|rule| &rule.spec)
    }
}

/// Takes an event into the index and says which number its stream has there; `None` when there is no room. One that says
/// its stream has expired does not count as the latest, and its stream is there for as long as rules say goodbye.
#[inline]
fn enter(
    index: &mut Index<Routes>,
    located: u32,
    event: &tidegate_event::Event<'_>,
    now: Timestamp,
) -> Option<u32> {
    // What was looked up before the first row may have changed since: a stream may come, go, and come again.
    let stream = if index.is(located, event.key()) { Some(located) } else { index.find(event.key()) };
    match stream {
        None => index.insert(event, now),
        Some(stream) => {
            if !event.is_expired() {
                index.update(stream, event, now);
            }
            Some(stream)
        }
    }
}
