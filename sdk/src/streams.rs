//! What every key remembers, by its slot, and the moments that it has asked for.
//!
//! A slot is a small dense number that the host gives to a key, so finding a key's state is one array access.
//!
//! Wakes fire in the order of their moments, ties by slot. Each key has its own short sorted list; only its earliest
//! moment stands in the heap of the whole guest. When the earliest changes, the old entry stays behind and is passed over
//! later: it names a moment that its key no longer waits for first.
//!
//! What keys remember can be saved while calls go on (`streams/saving.rs`): so whoever changes a key says so first, by
//! [`Streams::touch`].

mod saving;

use crate::rule::Remembered;
use saving::Saving;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tidegate_event::Timestamp;
pub use tidegate_event::abi::WAKES_MAX;

/// A key is woken at most so often in one call; the rest follow in the next.
pub const WAKES_PER_CALL: u32 = 1_000;
/// A guest has at most so many slots: the host promises dense numbers.
pub const SLOTS_MAX: usize = 1 << 22;
/// The heap holds so many entries more than four for each key before it is tidied.
const HEAP_SLACK: usize = 1_024;

/// The moments that a key waits for. Small, since most keys wait for one at most.
#[derive(Debug)]
pub struct Pending {
    first: Timestamp,
    more: Option<Box<More>>,
}

/// What only keys need that are woken.
#[derive(Debug)]
struct More {
    /// Later than the first, in order.
    rest: Vec<Timestamp>,
    /// No moment earlier than this can be asked for: in a wake, the moment of the wake.
    floor: Timestamp,
    /// The call in which `fired` was counted.
    call: u64,
    fired: u32,
}

impl Default for More {
    fn default() -> Self {
        Self { rest: Vec::new(), floor: Timestamp(i64::MIN), call: 0, fired: 0 }
    }
}

impl Default for Pending {
    fn default() -> Self {
        Self { first: Timestamp::NEVER, more: None }
    }
}

impl Pending {
    /// Adds a moment.
    #[inline]
    pub fn ask(&mut self, at: Timestamp) {
        // The usual case: every event of a window asks for the window's end.
        if at != self.first && at != Timestamp::NEVER {
            self.insert(at);
        }
    }

    #[cold]
    fn insert(&mut self, at: Timestamp) {
        let at = at.max(self.more.as_ref().map_or(Timestamp(i64::MIN), |more| more.floor));
        if self.first == Timestamp::NEVER {
            self.first = at;
            return;
        }
        let rest = &mut self.more.get_or_insert_default().rest;
        if at < self.first {
            rest.insert(0, self.first);
            self.first = at;
        } else if at > self.first
            && let Err(place) = rest.binary_search(&at)
        {
            rest.insert(place, at);
        }
        if rest.len() >= WAKES_MAX {
            // The two latest become one, the later.
            rest.remove(rest.len() - 2);
        }
    }

    /// The earliest.
    #[inline]
    pub fn first(&self) -> Timestamp {
        self.first
    }

    /// All of them, in order.
    fn all(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let rest = self.more.as_ref().map_or(&[][..], |more| &more.rest);
        Some(self.first).filter(|first| *first != Timestamp::NEVER).into_iter().chain(rest.iter().copied())
    }

    fn take_first(&mut self) {
        self.first = match &mut self.more {
            Some(more) if !more.rest.is_empty() => more.rest.remove(0),
            _ => Timestamp::NEVER,
        };
    }

    /// Takes the first moment for a wake, unless the key has been woken too often in this call. Says whether it is the
    /// call's first of the key.
    fn fire(&mut self, call: u64) -> Option<bool> {
        let at = self.first;
        let more = self.more.get_or_insert_default();
        if more.call != call {
            (more.call, more.fired) = (call, 0);
        }
        if more.fired >= WAKES_PER_CALL {
            return None;
        }
        more.fired += 1;
        more.floor = at;
        let first = more.fired == 1;
        self.take_first();
        Some(first)
    }

    fn woken(&mut self) {
        if let Some(more) = &mut self.more {
            more.floor = Timestamp(i64::MIN);
        }
    }
}

/// One key.
#[derive(Debug)]
pub struct Key<S> {
    /// Its id, as the host knows it.
    pub id: u64,
    /// Which deployed rule it is for.
    pub binding: u32,
    /// The mark after which it was last changed.
    touched: u32,
    /// What it waits for.
    pub pending: Pending,
    /// What it remembers.
    pub state: S,
}

/// All keys of a guest.
#[derive(Debug)]
pub struct Streams<S> {
    slots: Vec<Option<Key<S>>>,
    live: u32,
    due: BinaryHeap<Reverse<(Timestamp, u32)>>,
    call: u64,
    /// How many keys were woken in this call.
    woken: u32,
    /// Counts the marks.
    mark: u32,
    /// How many keys were changed since.
    touched: u32,
    saving: Saving,
}

impl<S> Streams<S> {
    /// No keys.
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            live: 0,
            due: BinaryHeap::new(),
            call: 0,
            woken: 0,
            mark: 0,
            touched: 0,
            saving: Saving::new(),
        }
    }
}

impl<S: Remembered> Streams<S> {
    /// How many keys have state.
    pub fn live(&self) -> u32 {
        self.live
    }

    /// Begins a call: the counts of wakes start anew.
    pub fn begin(&mut self) {
        self.call += 1;
        self.woken = 0;
    }

    /// How many keys were woken in this call.
    pub fn keys_woken(&self) -> u32 {
        self.woken
    }

    /// The key with a slot, if it has state.
    #[inline]
    pub fn find(&mut self, slot: u32) -> Option<&mut Key<S>> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The key with a slot, if it has state for that deployed rule and may be changed without saying so.
    #[inline]
    pub fn find_touched(&mut self, slot: u32, binding: u32) -> Option<&mut Key<S>> {
        let mark = self.mark;
        self.find(slot).filter(|key| key.binding == binding && key.touched == mark)
    }

    /// Whether a slot has state for that deployed rule.
    pub fn has(&self, slot: u32, binding: u32) -> bool {
        matches!(self.slots.get(slot as usize), Some(Some(key)) if key.binding == binding)
    }

    /// Makes a place for a slot; false when there is none.
    #[must_use]
    pub fn make_place(&mut self, slot: u32) -> bool {
        let wanted = slot as usize + 1;
        if wanted <= self.slots.len() {
            return true;
        }
        // A host that counts in leaps gets no, not the end of the guest for want of memory.
        let fine = wanted <= SLOTS_MAX && self.slots.try_reserve(wanted - self.slots.len()).is_ok();
        if fine {
            self.slots.resize_with(wanted, || None);
        }
        fine
    }

    /// Gives a slot its state. It has a place; whoever had it before is gone.
    #[cold]
    pub fn start(&mut self, slot: u32, binding: u32, id: u64, state: S) {
        self.end(slot);
        let touched = self.mark;
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(Key { id, binding, touched, pending: Pending::default(), state });
            self.live += 1;
            self.touched += 1;
        }
    }

    /// Forgets a key and its wakes.
    pub fn end(&mut self, slot: u32) {
        self.touch(slot);
        if let Some(key) = self.slots.get_mut(slot as usize)
            && key.take().is_some()
        {
            self.live -= 1;
            self.touched -= 1;
        }
    }

    /// Forgets all keys of a deployed rule.
    pub fn end_all(&mut self, binding: u32) {
        for slot in 0..self.slots.len() as u32 {
            if self.has(slot, binding) {
                self.end(slot);
            }
        }
    }

    /// The earliest moment that a key waits for, as [`settle`](Self::settle) wants it back.
    #[inline]
    pub fn earliest(&self, slot: u32) -> Timestamp {
        match self.slots.get(slot as usize) {
            Some(Some(key)) => key.pending.first,
            _ => Timestamp::NEVER,
        }
    }

    /// Notes that a key's earliest moment may have changed since it was `before`.
    #[cold]
    pub fn settle(&mut self, slot: u32, before: Timestamp) {
        let first = self.earliest(slot);
        if first != before && first != Timestamp::NEVER {
            self.due.push(Reverse((first, slot)));
            if self.due.len() > 4 * self.live as usize + HEAP_SLACK {
                self.tidy();
            }
        }
    }

    /// Drops entries that no key waits for any more: a rule may keep asking for ever earlier moments.
    fn tidy(&mut self) {
        self.due.clear();
        for (slot, key) in self.slots.iter().enumerate() {
            if let Some(key) = key.as_ref().filter(|key| key.pending.first != Timestamp::NEVER) {
                self.due.push(Reverse((key.pending.first, slot as u32)));
            }
        }
    }

    /// Takes the next wake that is due, if any: its moment and its key. A key that has been woken too often in this
    /// call waits for the next one and is put into `waiting`.
    pub fn next_due(&mut self, now: Timestamp, waiting: &mut Vec<u32>) -> Option<(Timestamp, u32)> {
        loop {
            let &Reverse((at, slot)) = self.due.peek()?;
            if at > now {
                return None;
            }
            self.due.pop();
            let call = self.call;
            if self.earliest(slot) != at {
                continue;
            }
            self.touch(slot);
            let Some(key) = self.find(slot) else { continue };
            match key.pending.fire(call) {
                None => {
                    waiting.push(slot);
                    continue;
                }
                Some(first) => self.woken += u32::from(first),
            }
            return Some((at, slot));
        }
    }

    /// Ends a wake of a key: its next moment is noted.
    pub fn woken(&mut self, slot: u32) {
        if let Some(key) = self.find(slot) {
            key.pending.woken();
        }
        self.settle(slot, Timestamp::NEVER);
    }

    /// The earliest moment that any key waits for.
    pub fn next_wake(&mut self) -> Timestamp {
        while let Some(&Reverse((at, slot))) = self.due.peek() {
            if self.earliest(slot) == at {
                return at;
            }
            self.due.pop();
        }
        Timestamp::NEVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(asked: &[i64]) -> Vec<i64> {
        let mut pending = Pending::default();
        asked.iter().for_each(|at| pending.ask(Timestamp(*at)));
        std::iter::from_fn(|| {
            let first = pending.first;
            pending.take_first();
            (first != Timestamp::NEVER).then_some(first.0)
        })
        .collect()
    }

    #[test]
    fn a_key_waits_for_each_moment_once_and_in_order() {
        assert_eq!(moments(&[5, 5, 3, 9, 5, 3, i64::MAX]), [3, 5, 9]);
    }

    #[test]
    fn a_seventeenth_moment_joins_the_latest() {
        let asked: Vec<i64> = (1..=20).collect();
        let mut kept: Vec<i64> = (1..=15).collect();
        kept.push(20);
        assert_eq!(moments(&asked), kept);
        let mut early: Vec<i64> = (10..26).collect();
        early.push(1);
        assert_eq!(moments(&early)[..3], [1, 10, 11]);
        assert_eq!(moments(&early).last(), Some(&25));
    }

    #[test]
    fn wakes_fire_by_moment_then_slot_and_not_after_the_end_of_their_key() {
        let mut streams = Streams::new();
        for (slot, asked) in [(0, 7), (1, 3), (2, 3), (3, 1)] {
            assert!(streams.make_place(slot));
            streams.start(slot, 0, 0, ());
            streams.find(slot).unwrap().pending.ask(Timestamp(asked));
            streams.settle(slot, Timestamp::NEVER);
        }
        streams.end(3);
        streams.begin();
        let mut fired = Vec::new();
        while let Some((at, slot)) = streams.next_due(Timestamp(6), &mut Vec::new()) {
            fired.push((at.0, slot));
            streams.woken(slot);
        }
        assert_eq!(fired, [(3, 1), (3, 2)]);
        assert_eq!(streams.next_wake(), Timestamp(7));
        assert_eq!(streams.live(), 3);
    }

    #[test]
    fn asking_for_ever_earlier_moments_does_not_grow_the_heap() {
        let mut streams = Streams::new();
        assert!(streams.make_place(0));
        streams.start(0, 0, 0, ());
        for at in (0..100_000).rev() {
            let before = streams.earliest(0);
            streams.find(0).unwrap().pending.ask(Timestamp(at));
            streams.settle(0, before);
        }
        assert!(streams.due.len() <= HEAP_SLACK + 5, "{}", streams.due.len());
        assert_eq!(streams.next_wake(), Timestamp(0));
    }
}
