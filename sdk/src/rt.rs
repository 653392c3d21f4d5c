//! What runs a rule: bytes in, its moments in order, bytes out. The same code natively and in wasm.
//!
//! [`Runner`] holds the whole state of a guest in a value. The exports of a module call one through `sys.rs`; tests and
//! benches have their own. A call goes like this:
//!
//! 1. **Time first.** Wakes due by the batch's time fire in the order of their moments, ties by slot. During a wake time
//!    stands at its moment. A wake may ask for another; what it asks for in the past is due at once. A key is woken at
//!    most [`WAKES_PER_CALL`] times in a call; what is left comes first in the next.
//! 2. **Then the rows, in order.** A leaving row says goodbye and ends its key. Any other reaches its key, which is made
//!    when it has no state. Rows of one key that stand together go in together.
//! 3. **Then the reply is closed**: the next wake, and how many keys there are.
//!
//! Between two calls what keys remember can be saved and restored: `rt/keeping.rs`.

mod keeping;

pub use crate::streams::{SLOTS_MAX, WAKES_MAX, WAKES_PER_CALL};

use crate::out::{Level, Out};
use crate::params::Params;
use crate::rule::{Rule, Run};
use crate::streams::Streams;
use crate::sys;
use core::fmt;
use tidegate_event::abi::{Moment, NO_ROW};
use tidegate_event::{
    Action, Base, BatchError, BatchRef, Event, Field, Record, Reply, Settings, Spot, Timestamp,
};

/// A call keeps so many lines of its rule.
pub const NOTES_MAX: u32 = 64;

/// An instance serves at most so many deployed rules, numbered from 0.
pub const BINDINGS_MAX: usize = 4_096;

/// A rule's manifest, as the footer of `#[rule]` writes it.
pub trait RuleManifest {
    /// JSON, as in the module's `tidegate.manifest` section.
    const MANIFEST: &'static str;

    /// The number of its state's schema, as in the manifest.
    const STATE_SCHEMA: u32;
}

/// Why a call was not carried out: the host did not keep the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Refused {
    /// The bytes are not a batch.
    Batch(BatchError),
    /// A row is for a deployed rule that was never bound.
    Binding { row: u32, binding: u32 },
    /// There is no place for a row's slot.
    Slot { row: u32, slot: u32 },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(error) => error.fmt(f),
            Self::Binding { row, binding } => {
                write!(f, "row {row} is for binding {binding}, which was never bound")
            }
            Self::Slot { row, slot } => {
                write!(f, "row {row} has slot {slot}: {NO_PLACE}")
            }
        }
    }
}

impl core::error::Error for Refused {}

/// Why a slot has no place.
const NO_PLACE: &str = "slots are dense, and the guest has neither room nor use for so many";

/// A guest: the rule, its deployments, and what all their keys remember.
#[derive(Debug)]
pub struct Runner<R: Rule> {
    /// By their numbers.
    bound: Vec<Option<R::Params>>,
    streams: Streams<R>,
    waiting: Vec<u32>,
    notes: u32,
}

impl<R: Rule> Default for Runner<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Rule> Runner<R> {
    /// A guest that serves no deployment yet.
    pub const fn new() -> Self {
        Self { bound: Vec::new(), streams: Streams::new(), waiting: Vec::new(), notes: 0 }
    }

    /// Takes the settings of a deployed rule, new ones if it has some already; its keys stay as they are.
    pub fn bind(&mut self, binding: u32, settings: &[u8]) -> Result<(), String> {
        let mut values = Settings::new(settings);
        let params = R::Params::read(&mut values)?;
        if values.next().is_some() {
            return Err("more settings were handed over than the rule has parameters".to_owned());
        }
        let at = binding as usize;
        if at >= BINDINGS_MAX {
            return Err(format!(
                "one instance serves at most {BINDINGS_MAX} deployed rules, this is number {binding}"
            ));
        }
        if at >= self.bound.len() {
            self.bound.resize_with(at + 1, || None);
        }
        self.bound[at] = Some(params);
        Ok(())
    }

    /// Forgets a deployed rule and all that its keys remember.
    pub fn unbind(&mut self, binding: u32) {
        if self.bound.get_mut(binding as usize).and_then(Option::take).is_some() {
            self.streams.end_all(binding);
        }
    }

    /// What the key with a slot remembers, if it has state.
    pub fn state(&mut self, slot: u32) -> Option<&R> {
        self.streams.find(slot).map(|key| &key.state)
    }

    /// Handles one batch and fills the reply. Panics when the block is not one, since whoever calls this wrote it.
    pub fn call(&mut self, block: &[u8], reply: &mut Reply) {
        if let Err(refused) = self.try_call(block, reply) {
            panic!("the block handed to a rule is not one: {refused}");
        }
    }

    /// Handles one batch and fills the reply. After an error nothing of the reply counts.
    pub fn try_call(&mut self, block: &[u8], reply: &mut Reply) -> Result<(), Refused> {
        reply.clear();
        let batch = BatchRef::parse(block).map_err(Refused::Batch)?;
        self.streams.begin();
        self.notes = 0;
        self.wake(batch.header.now, reply);
        self.rows(&batch, reply)?;
        sys::mark(NO_ROW, Moment::Idle);
        reply.row = NO_ROW;
        reply.next_wake = self.streams.next_wake();
        reply.keys = self.streams.live();
        reply.woken = self.streams.keys_woken();
        Ok(())
    }

    fn wake(&mut self, now: Timestamp, reply: &mut Reply) {
        while let Some((at, slot)) = self.streams.next_due(now, &mut self.waiting) {
            let Some(key) = self.streams.find(slot) else { continue };
            let Some(params) = params(&self.bound, key.binding) else { continue };
            sys::mark(slot, Moment::Wake);
            let mut out = Out::new(reply, &mut key.pending, &mut self.notes, now, at, Base::Slot(slot));
            key.state.on_wake(params, &mut out);
            self.streams.woken(slot);
        }
        if let Some(slot) = self.waiting.first() {
            tell_of_waiting(reply, *slot, now);
        }
        while let Some(slot) = self.waiting.pop() {
            self.streams.settle(slot, Timestamp::NEVER);
        }
    }

    fn rows(&mut self, batch: &BatchRef<'_>, reply: &mut Reply) -> Result<(), Refused> {
        let now = batch.header.now;
        let mut row = 0;
        sys::mark(NO_ROW, Moment::Event);
        let mut next = batch.event(0);
        while let Some(event) = next {
            let (slot, binding) = (event.slot(), event.binding());
            sys::mark_row(reply, row);
            let params = params(&self.bound, binding).ok_or(Refused::Binding { row, binding })?;
            let key = loop {
                if let Some(key) = self.streams.find_touched(slot, binding) {
                    break key;
                }
                if self.streams.has(slot, binding) {
                    self.streams.touch(slot);
                    sys::mark(row, Moment::Event);
                } else if self.streams.make_place(slot) {
                    self.streams.start(slot, binding, event.key(), R::first_seen(&event, params));
                    sys::mark(row, Moment::Event);
                } else {
                    return Err(Refused::Slot { row, slot });
                }
            };
            let before = key.pending.first();
            let mut out = Out::new(reply, &mut key.pending, &mut self.notes, now, now, Base::Row(row));
            if event.is_leaving() {
                sys::mark(row, Moment::Expire);
                out.about(row, &event);
                key.state.on_expire(&event, params, &mut out);
                sys::mark(row, Moment::Event);
                self.streams.end(slot);
                row += 1;
                next = batch.event(row as usize);
                continue;
            }
            let mut end = row + 1;
            next = batch.event(end as usize);
            if next.is_some_and(|next| continues(&next, slot, binding)) {
                (end, next) = run_end(batch, end, slot, binding);
            }
            key.state.on_batch(Run::new(batch, row, end), params, &mut out);
            row = end;
            if key.pending.first() != before {
                self.streams.settle(slot, before);
            }
        }
        Ok(())
    }
}

/// Whether an event goes in together with the one before it, which is of that key.
#[inline]
fn continues(event: &Event<'_>, slot: u32, binding: u32) -> bool {
    event.slot() == slot && event.binding() == binding && !event.is_leaving()
}

/// The first row after `row` that does not go in together with it, and its event if there is one.
#[inline(never)]
fn run_end<'a>(batch: &BatchRef<'a>, row: u32, slot: u32, binding: u32) -> (u32, Option<Event<'a>>) {
    let mut end = row;
    loop {
        end += 1;
        let next = batch.event(end as usize);
        if !next.is_some_and(|next| continues(&next, slot, binding)) {
            return (end, next);
        }
    }
}

#[inline]
fn params<P>(bound: &[Option<P>], binding: u32) -> Option<&P> {
    bound.get(binding as usize)?.as_ref()
}

/// A line in the rule's log: a key has been woken as often as one call allows.
fn tell_of_waiting(reply: &mut Reply, slot: u32, now: Timestamp) {
    reply.push(&Record {
        base: Base::Slot(slot),
        action: Action::Log,
        metric: Spot::Keep,
        time: now,
        target: Level::Warning as u32,
        overrides: 0,
    });
    reply.push_text(Field::Description, |to| {
        let text = format!(
            "woken {WAKES_PER_CALL} times in one call, the rest wait for the next: does on_wake ask for ever more moments?"
        );
        to.extend_from_slice(text.as_bytes());
    });
}

/// Length of the parts together. For the footer of `#[rule]`.
pub const fn len(parts: &[&str]) -> usize {
    let (mut total, mut part) = (0, 0);
    while part < parts.len() {
        total += parts[part].len();
        part += 1;
    }
    total
}

/// The parts as one, which has `N` bytes. For the footer of `#[rule]`.
pub const fn join<const N: usize>(parts: &[&str]) -> [u8; N] {
    let mut bytes = [0; N];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let from = parts[part].as_bytes();
        let mut i = 0;
        while i < from.len() {
            bytes[at] = from[i];
            at += 1;
            i += 1;
        }
        part += 1;
    }
    bytes
}

/// The bytes as text. For the footer of `#[rule]`.
pub const fn text(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("a manifest is text"),
    }
}
