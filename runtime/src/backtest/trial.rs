//! One rule through the engine, with the time of the events: what it was given, what it asked for, how it failed.
//!
//! Before events of a moment are delivered, time moves there in steps: each wake and each end of a stream that falls due
//! on the way gets its own, at its own time, as if a node had stood there with nothing else to do. What the rule puts back
//! into the stream is delivered right after the batch that caused it, at the same time.

use super::shards::{Did, Shards};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_engine::codec::json;
use tidegate_engine::guest::Guests;
use tidegate_engine::rule::{Control, RuleSpec};
use tidegate_engine::shard::{Place, Settings, What, key_of};
use tidegate_event::{Batch, BatchBuilder, FieldSet, Span, Timestamp};

/// Time moves by itself no more often than this, as in a node.
const TICK: Span = Span::millis(1);
/// Batches that one batch may cause; the hop limit ends every chain long before.
const CHAIN: usize = 1024;
/// Faults that are told in full; all are counted.
const FAULTS: usize = 100;

/// Where an effect goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum To {
    /// Back into the stream.
    Stream,
    /// To the output that the rule declares in this place.
    Output(u16),
    /// Into its log, at this level.
    Log(u8),
}

/// Something that the rule asked for.
#[derive(Clone, Copy, Debug)]
pub struct Effect {
    /// When, by the clock of the engine.
    pub at: Timestamp,
    /// Where it goes.
    pub to: To,
    /// The key that it was about; 0 for none.
    pub key: u64,
    /// The number of its event among [`Said::events`].
    pub event: u32,
}

/// What the rule asked for at one moment, in the order that no number of shards changes.
#[derive(Debug, Default)]
pub struct Said {
    /// Each effect.
    pub effects: Vec<Effect>,
    /// The events that they are about.
    pub events: BatchBuilder,
}

impl Said {
    fn clear(&mut self) {
        if !self.effects.is_empty() {
            self.effects.clear();
            self.events = std::mem::take(&mut self.events).finish().into_builder();
        }
    }
}

/// A failed call, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultSeen {
    /// When.
    pub at: String,
    /// What it ran into.
    pub kind: &'static str,
    /// In the author's words.
    pub message: String,
    /// What it was doing.
    pub during: String,
    /// The event that did it, where that is known.
    pub event: Option<serde_json::Value>,
    /// Until when the rule was left alone, if it was.
    pub quarantined_until: Option<String>,
}

/// What became of the rule so far. The same for every number of shards, but for `calls`.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Events that it was given, goodbyes of streams among them.
    pub wanted: u64,
    /// How often a guest was called.
    pub calls: u64,
    /// Effects that go back into the stream.
    pub emitted: u64,
    /// Effects to each of its outputs.
    pub forwarded: Vec<u64>,
    /// Lines of its log.
    pub logged: u64,
    /// Failed calls.
    pub faults: u64,
    /// The first of them.
    pub shown: Vec<FaultSeen>,
    /// Events that were not handled, because the rule was in quarantine or kept failing.
    pub skipped: u64,
    /// Events whose key found no room.
    pub over: u64,
    /// Effects not carried out, by reason.
    pub cut: BTreeMap<&'static str, u64>,
    /// Keys with state at the end.
    pub keys: u64,
    /// Keys with state at most.
    pub keys_most: u64,
}

/// One rule on its way through recorded events.
pub struct Trial {
    spec: RuleSpec,
    shards: Shards,
    count: usize,
    seed: u64,
    max_streams: usize,
    now: Timestamp,
    next_due: Timestamp,
    position: u64,
    tally: Tally,
    /// Keys and bytes of memory of each shard.
    held: Vec<(u64, u64)>,
    /// Something happened whose outcome would depend on the number of shards.
    uneven: bool,
    said: Said,
    did: Vec<Did>,
    order: Vec<(Place, u32, u32)>,
}

impl Trial {
    /// A rule in an empty engine at the beginning of time. `settings` says what its shards share.
    pub fn start(
        spec: RuleSpec,
        shards: usize,
        settings: &Settings,
        guests: &Arc<dyn Guests>,
    ) -> std::io::Result<Self> {
        let shards_of_it = Shards::start(shards, settings, guests)?;
        let tally = Tally { forwarded: vec![0; spec.outputs.len()], ..Tally::default() };
        let mut trial = Self {
            shards: shards_of_it,
            count: shards,
            seed: settings.seed,
            max_streams: settings.max_streams,
            now: Timestamp(i64::MIN),
            next_due: Timestamp::NEVER,
            position: 0,
            tally,
            held: vec![(0, 0); shards],
            uneven: false,
            said: Said::default(),
            did: Vec::new(),
            order: Vec::new(),
            spec,
        };
        let mut did = std::mem::take(&mut trial.did);
        let control = Control::Deploy(Box::new(trial.spec.clone()));
        trial.shards.control(control, Timestamp(i64::MIN), &mut did);
        trial.hear(&Batch::default(), &mut did);
        trial.did = did;
        Ok(trial)
    }

    /// What became of it so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether the outcome may depend on the number of shards: a fault costs the keys of one shard their state, and caps
    /// of keys, memory and effects are those of a shard or of a call.
    pub fn is_uneven(&self) -> bool {
        self.uneven
    }

    /// Forgets what was counted: from here on it counts. What the rule remembers stays.
    pub fn begin(&mut self) {
        let (keys, outputs) = (self.tally.keys, self.tally.forwarded.len());
        self.tally = Tally { keys, keys_most: keys, forwarded: vec![0; outputs], ..Tally::default() };
        self.said.clear();
    }

    /// What the rule asked for at the last moment.
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// Delivers the events of one moment, and what falls due before.
    pub fn take(&mut self, batch: &Arc<Batch>) {
        self.said.clear();
        self.move_on(batch.header.now);
        self.position = self.position.max(batch.header.position);
        self.step(batch.clone());
    }

    /// Time moves there, and nothing else happens.
    pub fn move_to(&mut self, until: Timestamp) {
        self.said.clear();
        self.move_on(until);
    }

    fn move_on(&mut self, until: Timestamp) {
        let mut earliest = self.now + TICK;
        while self.next_due <= until {
            let at = self.next_due.max(earliest).min(until);
            let mut tick = Batch::default();
            self.position += 1;
            (tick.header.position, tick.header.now) = (self.position, at);
            let expired = self.step(Arc::new(tick));
            // So many streams end in a step and no more: the rest ends at the same time.
            if !expired && at == until {
                break;
            }
            earliest = if expired { at } else { at + TICK };
        }
    }

    /// One batch and all that follows from it. Says whether streams ended.
    fn step(&mut self, batch: Arc<Batch>) -> bool {
        let (mut batch, mut expired) = (batch, false);
        let mut did = std::mem::take(&mut self.did);
        for _ in 0..CHAIN {
            self.now = self.now.max(batch.header.now);
            self.shards.step(&batch, &mut did);
            expired |= did.iter().any(|did| !did.step.expired.is_empty());
            let Some(mut emitted) = self.hear(&batch, &mut did) else { break };
            emitted.stamp(self.seed, self.now);
            self.position += 1;
            let mut next = emitted.finish();
            (next.header.position, next.header.now) = (self.position, self.now);
            batch = Arc::new(next);
        }
        self.did = did;
        expired
    }

    /// Counts what all shards did and notes what was asked for; what goes back into the stream is given back.
    fn hear(&mut self, batch: &Batch, did: &mut [Did]) -> Option<BatchBuilder> {
        self.next_due = did.iter().map(|did| did.next_due).min().unwrap_or(Timestamp::NEVER);
        self.count(did);
        self.order.clear();
        for (shard, did) in did.iter().enumerate() {
            let asked = did.step.asked.iter().enumerate();
            self.order.extend(asked.map(|(at, asked)| (asked.place, shard as u32, at as u32)));
        }
        if self.order.is_empty() {
            return None;
        }
        self.order.sort_unstable();
        let mut emitted = None;
        for &(place, shard, at) in &self.order {
            let step = &did[shard as usize].step;
            let asked = &step.asked[at as usize];
            let event = step.events.event(asked.event as usize);
            if asked.what == What::Emit {
                emitted.get_or_insert_with(BatchBuilder::new).copy(&event, FieldSet::ALL, |_| ());
            }
            // The engine's own: a stream that ended, or a note about the rule's health.
            if asked.rule.is_empty() || place.n == u32::MAX {
                continue;
            }
            let to = match &asked.what {
                What::Emit => {
                    self.tally.emitted += 1;
                    To::Stream
                }
                What::Forward { declared, .. } => {
                    let mut outputs = self.spec.outputs.iter();
                    let number = outputs.position(|(name, _)| **name == **declared).unwrap_or_default();
                    if let Some(count) = self.tally.forwarded.get_mut(number) {
                        *count += 1;
                    }
                    To::Output(number as u16)
                }
                What::Log { level } => {
                    self.tally.logged += 1;
                    To::Log(*level)
                }
            };
            let key = match place.phase {
                1 if (place.at as usize) < batch.len() => {
                    key_of(&self.spec.per, &batch.event(place.at as usize), self.seed)
                }
                _ => place.key,
            };
            let number = self.said.events.len() as u32;
            self.said.events.copy(&event, FieldSet::ALL, |_| ());
            self.said.effects.push(Effect { at: self.now, to, key, event: number });
        }
        emitted
    }

    fn count(&mut self, did: &mut [Did]) {
        let limits = &self.spec.limits;
        let (mut asked, mut bytes, mut streams) = (0, 0, 0);
        for (shard, did) in did.iter_mut().enumerate() {
            let step = &mut did.step;
            (asked, bytes) = (asked + step.asked.len(), bytes + step.events.size());
            streams += did.streams;
            for (_, count) in step.counts.drain(..) {
                let tally = &mut self.tally;
                tally.wanted += count.events;
                tally.calls += count.calls;
                tally.skipped += count.skipped;
                tally.over += count.over;
                for (reason, n) in count.cut {
                    *tally.cut.entry(reason).or_default() += n;
                }
                if count.calls > 0 {
                    self.held[shard] = (count.keys, count.memory);
                }
            }
            for trouble in step.troubled.drain(..) {
                self.uneven = true;
                self.tally.faults += 1;
                if self.tally.shown.len() < FAULTS {
                    self.tally.shown.push(FaultSeen {
                        at: super::moment(trouble.at),
                        kind: trouble.fault.kind.name(),
                        message: trouble.fault.message.clone(),
                        during: trouble.fault.during.clone(),
                        event: trouble.event.as_ref().map(as_json),
                        quarantined_until: trouble.quarantined_until.map(super::moment),
                    });
                }
            }
        }
        let keys: u64 = self.held.iter().map(|(keys, _)| keys).sum();
        let memory: u64 = self.held.iter().map(|(_, memory)| memory).sum();
        self.tally.keys = keys;
        self.tally.keys_most = self.tally.keys_most.max(keys);
        // One guest that does the work of several needs more room for a moment, when its tables grow.
        self.uneven |= self.count > 1
            && (asked as u64 > u64::from(limits.effects_base)
                || bytes as u64 > u64::from(limits.effect_bytes) / 4
                || keys >= u64::from(limits.keys)
                || streams >= self.max_streams
                || memory > limits.memory / 4);
    }
}

/// The event of a batch of one.
fn as_json(event: &Batch) -> serde_json::Value {
    let mut text = Vec::new();
    if !event.is_empty() {
        json::encode_event(&mut text, &event.event(0));
    }
    serde_json::from_slice(&text).unwrap_or_default()
}
