//! Saving what keys remember, a few at a time, as it stood at one moment, while calls go on.
//!
//! The moment is a mark. Each key knows the mark after which it was last changed, so a key that has not been changed since
//! the last mark is told by one comparison. Before the first change after a mark a marked key is copied, and what
//! is handed out are these copies and the keys that are still as they were.
//!
//! Slots are walked in order: a marked key is saved once the walk has passed its slot, or once it has been touched.

use super::{Key, Streams};
use crate::rule::Remembered;
use crate::state;
use crate::sys;
use tidegate_event::abi::{Moment, WAKES_MAX};
use tidegate_event::{KeyState, KeyStates, Timestamp};

/// One answer ends after so many bytes: a key that goes beyond them is the last.
const BYTES_MAX: usize = 256 << 10;
/// One answer looks at so many slots at most.
const LOOKS_MAX: usize = 16_384;

/// How far the saving has come.
#[derive(Debug)]
pub struct Saving {
    /// Whether every key was marked, or only those touched since the mark before.
    all: bool,
    /// The walk has come to this slot.
    at: u32,
    /// Marked keys that are neither handed out nor copied.
    unsaved: u32,
    /// Copies of marked keys that have changed since, as a list, of which so many bytes have been handed out.
    copies: Vec<u8>,
    taken: usize,
    copied: u32,
}

impl Saving {
    pub const fn new() -> Self {
        Self { all: false, at: 0, unsaved: 0, copies: Vec::new(), taken: 0, copied: 0 }
    }

    fn left(&self) -> u32 {
        self.unsaved + self.copied
    }
}

impl<S: Remembered> Streams<S> {
    /// Marks every key that has state, or those touched since the last mark; all of them if what was marked last has not
    /// been handed out. Says how many there are.
    pub fn mark(&mut self, all: bool) -> u32 {
        let all = all || self.saving.left() > 0;
        let unsaved = if all { self.live } else { self.touched };
        self.saving = Saving { all, unsaved, ..Saving::new() };
        self.mark = self.mark.wrapping_add(1);
        self.touched = 0;
        unsaved
    }

    /// Says that a key is about to be changed. A slot without state is let be.
    #[cold]
    pub fn touch(&mut self, slot: u32) {
        let mark = self.mark;
        let Some(Some(key)) = self.slots.get_mut(slot as usize) else { return };
        if key.touched == mark {
            return;
        }
        let saving = &mut self.saving;
        if saving.unsaved > 0 && slot >= saving.at && is_marked(key, saving.all, mark) {
            write(key, slot, &mut saving.copies);
            saving.unsaved -= 1;
            saving.copied += 1;
        }
        key.touched = mark;
        self.touched += 1;
    }

    /// Appends up to `most` marked keys to a list, copies first, and says how many are left.
    pub fn save(&mut self, most: u32, list: &mut Vec<u8>) -> u32 {
        let mut given = self.saving.hand_out_copies(most, list);
        let saving = &mut self.saving;
        for _ in 0..LOOKS_MAX {
            if given >= most || saving.unsaved == 0 || list.len() >= BYTES_MAX {
                break;
            }
            let Some(place) = self.slots.get(saving.at as usize) else { break };
            if let Some(key) = place.as_ref().filter(|key| is_marked(key, saving.all, self.mark)) {
                write(key, saving.at, list);
                saving.unsaved -= 1;
                given += 1;
            }
            saving.at += 1;
        }
        saving.left()
    }

    /// Appends what the keys with these slots remember now to a list, those that have state.
    pub fn pick(&self, slots: impl Iterator<Item = u32>, list: &mut Vec<u8>) {
        for slot in slots {
            if let Some(Some(key)) = self.slots.get(slot as usize) {
                write(key, slot, list);
            }
        }
    }

    /// Gives a slot, which has a place, the state and the wakes of a saved key.
    pub fn restore(
        &mut self,
        slot: u32,
        binding: u32,
        id: u64,
        wakes: impl Iterator<Item = Timestamp>,
        state: S,
    ) {
        self.start(slot, binding, id, state);
        if let Some(key) = self.find(slot) {
            wakes.for_each(|at| key.pending.ask(at));
        }
        self.settle(slot, Timestamp::NEVER);
    }
}

impl Saving {
    fn hand_out_copies(&mut self, most: u32, list: &mut Vec<u8>) -> u32 {
        let mut given = 0;
        let mut copies = KeyStates::new(&self.copies[self.taken..]);
        let all = copies.rest();
        while given < most && list.len() + (all.len() - copies.rest().len()) < BYTES_MAX {
            let Some(Ok(_)) = copies.next() else { break };
            given += 1;
        }
        let bytes = all.len() - copies.rest().len();
        list.extend_from_slice(&all[..bytes]);
        self.taken += bytes;
        self.copied -= given;
        if self.copied == 0 {
            (self.copies, self.taken) = (Vec::new(), 0);
        }
        given
    }
}

/// Whether a key was marked and has not been changed since.
fn is_marked<S>(key: &Key<S>, all: bool, mark: u32) -> bool {
    key.touched != mark && (all || key.touched == mark.wrapping_sub(1))
}

fn write<S: Remembered>(key: &Key<S>, slot: u32, list: &mut Vec<u8>) {
    sys::mark(slot, Moment::Save);
    let mut wakes = [Timestamp::NEVER; WAKES_MAX];
    let mut count = 0;
    for (place, at) in wakes.iter_mut().zip(key.pending.all()) {
        *place = at;
        count += 1;
    }
    KeyState::write_with(list, (slot, key.binding, key.id), &wakes[..count], |to| {
        state::write(&key.state, to)
    });
}
