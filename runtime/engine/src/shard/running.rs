//! One deployed rule in one shard: its guest, its keys, what waits for its next call, and what happens when that fails.

use super::effects::{self, Asked, Cut, From, Notice, Place, What};
use super::health::Health;
use super::keys::{Keys, key_of};
use super::{Settings, Step, Troubled};
use crate::guest::{Fault, FaultKind, Guest, Guests};
use crate::index;
use crate::query::Matcher;
use crate::rule::{RuleSpec, Width};
use std::sync::Arc;
use tidegate_event::{
    Action, Base, Batch, BatchBuilder, Event, Field, Header, Reply, ReplyRef, Span, State, Timestamp,
};

/// A guest is handed at most so many events at once.
pub const CALL_ROWS: usize = 1024;
/// A key that is wider than a stream outlives its last stream by so much: it is still there to hear, as an event like any
/// other, that the stream has run out. Hearing that keeps it by no more than that.
const LINGER: Span = Span::secs(1);
/// How often a call is repeated in one step without the event that broke it, before the rest is given up.
const ATTEMPTS: usize = 4;

/// One deployed rule in one shard.
pub struct Running {
    /// As deployed.
    pub spec: RuleSpec,
    /// Its name, cheap to copy.
    pub name: Arc<str>,
    /// Where in the log it was deployed.
    pub deployed: u64,
    /// What it wants.
    pub matcher: Matcher,
    outputs: Vec<(Arc<str>, Arc<str>)>,
    guest: Option<Box<dyn Guest>>,
    keys: Keys,
    next_wake: Timestamp,
    wanted: Vec<Wanted>,
    gather: BatchBuilder,
    reply: Reply,
    health: Health,
}

/// An event that waits to be handed to the guest.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Where it is.
    pub source: Source,
    /// Its key for this rule.
    pub key: u64,
    /// Whether the key ends with it.
    pub leaving: bool,
}

/// Where an event is during a step.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// In the batch of the step.
    Row(u32),
    /// Among those that time made: streams and keys that ran out.
    Made(u32),
}

/// What a call needs to see of the step.
pub struct Scene<'a> {
    /// The batch of the step.
    pub batch: &'a Batch,
    /// The events that time made.
    pub made: &'a Batch,
    /// Now.
    pub now: Timestamp,
    /// Where guests come from.
    pub guests: &'a dyn Guests,
    /// The shard's settings.
    pub settings: &'a Settings,
}

impl<'a> Scene<'a> {
    fn event(&self, source: Source) -> Event<'a> {
        match source {
            Source::Row(row) => self.batch.event(row as usize),
            Source::Made(row) => self.made.event(row as usize),
        }
    }
}

impl Running {
    /// A rule as of a position. Its guest starts with the first event, or here if it can.
    pub fn new(spec: RuleSpec, matcher: Matcher, deployed: u64) -> Self {
        let outputs =
            spec.outputs.iter().map(|(declared, to)| (declared.as_str().into(), to.as_str().into()));
        Self {
            name: spec.name.as_str().into(),
            deployed,
            matcher,
            outputs: outputs.collect(),
            guest: None,
            keys: Keys::new(spec.limits.keys as usize),
            next_wake: Timestamp::NEVER,
            wanted: Vec::new(),
            gather: BatchBuilder::new(),
            reply: Reply::default(),
            health: Health::default(),
            spec,
        }
    }

    /// Whether its keys are streams, so that the index says when they end.
    pub fn is_narrow(&self) -> bool {
        self.spec.per == Width::Stream
    }

    /// Whether it has state for a key.
    pub fn holds(&self, key: u64) -> bool {
        self.keys.slot(key).is_some()
    }

    /// Until when it is left alone after repeated faults.
    pub fn quarantined(&self, now: Timestamp) -> Option<Timestamp> {
        self.health.quarantined(now)
    }

    /// When it next wants time to move.
    pub fn next_due(&self) -> Timestamp {
        self.next_wake.min(self.keys.next_due() + Span(1))
    }

    /// Starts its guest if it has none; what goes wrong is reported in the step.
    pub fn start(&mut self, scene: &Scene<'_>, step: &mut Step) -> bool {
        if self.guest.is_some() {
            return true;
        }
        match scene.guests.start(&self.spec) {
            Ok(guest) => {
                self.guest = Some(guest);
                true
            }
            Err(fault) => {
                self.trouble(fault, None, scene, step);
                false
            }
        }
    }

    /// Puts an event in line.
    pub fn wait(&mut self, wanted: Wanted) {
        self.wanted.push(wanted);
    }

    /// Puts an event in line; hands over the line when it is long enough.
    pub fn want(&mut self, wanted: Wanted, scene: &Scene<'_>, step: &mut Step) {
        self.wanted.push(wanted);
        if self.wanted.len() >= CALL_ROWS {
            self.call(scene, step);
        }
    }

    /// Puts the goodbyes of keys in line whose time has run out, with an event for each among those that time made.
    pub fn expire_keys(&mut self, now: Timestamp, limit: usize, made: &mut BatchBuilder) {
        if self.keys.next_due() >= now {
            return;
        }
        for _ in 0..limit {
            let Some((_, slot)) = self.keys.next_expired(now) else { break };
            let Some(key) = self.keys.key(slot) else { continue };
            let host = key.host.as_deref().map(|text| made.push_string(text));
            let service = key.service.as_deref().map(|text| made.push_string(text));
            let state = Some(made.push_string(State::Expired.as_str().as_bytes()));
            let row = tidegate_event::Row {
                time: now,
                key: key.id,
                host,
                service,
                state,
                state_code: State::Expired,
                reaped: true,
                ..Default::default()
            };
            self.wanted.push(Wanted { source: Source::Made(made.len() as u32), key: key.id, leaving: true });
            made.push_row(&row);
        }
    }

    /// Whether a call is due: events wait, or a wake.
    pub fn is_due(&self, now: Timestamp) -> bool {
        !self.wanted.is_empty() || self.next_wake <= now
    }

    /// Hands over what waits, or just the time, and takes the effects. A call that fails is repeated by a fresh guest
    /// without the event that broke it: its state is lost with the old one, the other events are not.
    pub fn call(&mut self, scene: &Scene<'_>, step: &mut Step) {
        for _ in 0..ATTEMPTS {
            if self.quarantined(scene.now).is_some() || !self.start(scene, step) {
                break;
            }
            let woke = self.next_wake <= scene.now;
            let Err((fault, broke)) = self.attempt(scene, step) else {
                self.wanted.clear();
                if self.health.good() {
                    let text = format!("rule {} runs again", self.name);
                    self.notice(State::Ok, &text, scene, step);
                }
                return;
            };
            let event = broke.map(|at| scene.event(self.wanted[at].source));
            self.trouble(fault, event, scene, step);
            match broke {
                Some(at) => drop(self.wanted.remove(at)),
                // It may have broken over a wake; those went with the old guest.
                None if woke => {}
                None => break,
            }
            if self.wanted.is_empty() {
                return;
            }
        }
        self.next_wake = Timestamp::NEVER;
        step.count(&self.name).skipped += self.wanted.len() as u64;
        self.wanted.clear();
    }

    /// One call. On a fault, says which of the waiting events broke it, where that is known.
    fn attempt(&mut self, scene: &Scene<'_>, step: &mut Step) -> Result<(), (Fault, Option<usize>)> {
        let Some(guest) = self.guest.as_mut() else { return Ok(()) };
        let fields = self.spec.field_set();
        let mut origins = Vec::with_capacity(self.wanted.len());
        let mut leaving = Vec::new();
        let mut over = 0;
        for (at, wanted) in self.wanted.iter().enumerate() {
            let event = scene.event(wanted.source);
            let expires = match self.spec.per {
                Width::Stream | Width::Whole => Timestamp::NEVER,
                _ if event.is_expired() => scene.now + LINGER,
                _ => index::expires(&event, scene.now, scene.settings.default_ttl) + LINGER,
            };
            if wanted.leaving && self.keys.slot(wanted.key).is_none() && !self.matcher.matches(&event) {
                continue;
            }
            let Some(slot) = self.keys.touch(wanted.key, &self.spec.per, &event, expires) else {
                over += 1;
                continue;
            };
            // A key may go and come back within one call: then it stays.
            leaving.retain(|gone| *gone != slot);
            if wanted.leaving {
                leaving.push(slot);
            }
            origins.push(at);
            self.gather.copy(&event, fields, |row| {
                (row.key, row.slot, row.binding, row.leaving) = (wanted.key, slot, 0, wanted.leaving);
                if !fields.has(Field::Metric) {
                    row.metric = None;
                }
            });
        }
        let mut batch = std::mem::take(&mut self.gather).finish();
        batch.header = Header { fields, position: step.position, now: scene.now, replayed: step.replayed };
        let outcome = guest.call(&batch, &mut self.reply);
        let allowed =
            self.spec.limits.effects_per_row as usize * batch.len() + self.spec.limits.effects_base as usize;
        let outcome = outcome.and_then(|spent| match self.reply.len() {
            asked if asked > allowed => Err(Fault::new(
                FaultKind::Output,
                format!("{asked} effects in one call, {allowed} are allowed for {} events", batch.len()),
            )),
            _ => Ok(spent),
        });
        let count = step.count(&self.name);
        count.calls += 1;
        count.over += over;
        let memory = guest.memory();
        let outcome = match outcome {
            Ok(spent) => {
                count.events += batch.len() as u64;
                count.nanos += spent.nanos;
                count.memory = memory as u64;
                self.next_wake = self.reply.next_wake;
                self.take_effects(&origins, scene, step);
                for slot in leaving {
                    self.keys.release(slot);
                }
                step.count(&self.name).keys = self.keys.len() as u64;
                Ok(())
            }
            Err(fault) => {
                let broke = fault.row.and_then(|row| origins.get(row as usize).copied());
                Err((fault, broke))
            }
        };
        self.gather = batch.into_builder();
        outcome
    }

    /// Turns the reply's effects into whole events of the step.
    fn take_effects(&mut self, origins: &[usize], scene: &Scene<'_>, step: &mut Step) {
        if self.spec.paused {
            return;
        }
        let reply = ReplyRef::new(self.reply.record_bytes(), self.reply.string_bytes());
        for (n, effect) in reply.effects().flatten().enumerate() {
            let (from, row, key) = match effect.record.base {
                Base::Nothing => (Some(From::Nothing), None, 0),
                Base::Row(row) => match origins.get(row as usize).map(|at| self.wanted[*at]) {
                    Some(wanted) => {
                        let row = if let Source::Row(row) = wanted.source { Some(row) } else { None };
                        (Some(From::Event(scene.event(wanted.source))), row, wanted.key)
                    }
                    None => (None, None, 0),
                },
                Base::Slot(slot) => match self.keys.key(slot) {
                    Some(key) => (Some(From::Key(key)), None, key.id),
                    None => (None, None, 0),
                },
            };
            let what = match effect.record.action {
                Action::Emit => What::Emit,
                Action::Log => What::Log { level: effect.record.target.min(4) as u8 },
                Action::Forward => match self.outputs.get(effect.record.target as usize) {
                    Some((declared, output)) => {
                        What::Forward { declared: declared.clone(), output: output.clone() }
                    }
                    None => {
                        step.cut(&self.name, "output");
                        continue;
                    }
                },
            };
            let number = step.events.len() as u32;
            let built =
                from.ok_or(Cut::Base).and_then(|from| effects::build(&effect, &from, &mut step.events));
            if let Err(cut) = built {
                step.cut(&self.name, cut.reason());
                continue;
            }
            let place = effects::place(&effect, row, key, self.deployed, n as u32);
            let count = step.count(&self.name);
            match what {
                What::Emit => count.emitted += 1,
                What::Forward { .. } => count.forwarded += 1,
                What::Log { .. } => count.logged += 1,
            }
            step.asked.push(Asked { place, rule: self.name.clone(), what, event: number });
        }
    }

    /// Notes a fault, drops the guest and all that its keys remembered, and leaves the rule alone for a while when that
    /// has happened too often.
    fn trouble(&mut self, fault: Fault, event: Option<Event<'_>>, scene: &Scene<'_>, step: &mut Step) {
        self.guest = None;
        self.keys = Keys::new(self.spec.limits.keys as usize);
        self.next_wake = Timestamp::NEVER;
        let back_off = self.health.fault(scene.now);
        if let Some(back_off) = back_off {
            let text =
                format!("rule {} is left alone for {back_off} after repeated faults: {fault}", self.name);
            self.notice(State::Critical, &text, scene, step);
        }
        step.count(&self.name).faults += 1;
        step.troubled.push(Troubled {
            rule: self.name.clone(),
            fault,
            event: event.map(|event| format!("{event:?}")),
            at: scene.now,
            quarantined_until: back_off.map(|back_off| scene.now + back_off),
        });
    }

    /// Puts an event about the rule itself into the stream.
    fn notice(&self, state: State, text: &str, scene: &Scene<'_>, step: &mut Step) {
        let service = format!("tidegate rule {}", self.name);
        let notice = Notice {
            host: &scene.settings.node,
            service: &service,
            state,
            description: text,
            metric: None,
            time: scene.now,
        };
        let place =
            Place { phase: 0, at: effects::moment(scene.now), rule: self.deployed, key: 0, n: u32::MAX };
        step.asked.push(Asked {
            place,
            rule: self.name.clone(),
            what: What::Emit,
            event: step.events.len() as u32,
        });
        notice.build(&mut step.events);
    }

    /// The key of an event for this rule.
    pub fn key(&self, event: &Event<'_>, seed: u64) -> u64 {
        key_of(&self.spec.per, event, seed)
    }
}
