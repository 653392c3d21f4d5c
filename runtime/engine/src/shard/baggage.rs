//! What keys remember that their guest has not been given yet: after a restart, and when a new version takes over.
//!
//! A guest gets the state of a key when the key is first needed, and some more with each step, so that no step has to wait
//! for all of them. Until then they are here: as bytes, or in the memory of the version before, which nobody else calls.

use crate::guest::{Fault, Guest};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_event::{KeyState, Timestamp};

/// The states that are still to be handed over, by slot.
pub struct Baggage {
    /// The number of the schema that they were saved by.
    pub schema: u32,
    kept: BTreeMap<u32, KeyState>,
    due: BTreeSet<(Timestamp, u32)>,
    old: Option<Old>,
}

/// The guest of the version before.
struct Old {
    guest: Box<dyn Guest>,
    /// By slot: whether it has been asked, or need not be.
    asked: Vec<bool>,
    /// All slots before this one have been asked.
    cursor: usize,
    next_wake: Timestamp,
}

impl Baggage {
    /// States that were saved.
    pub fn kept(schema: u32) -> Self {
        Self { schema, kept: BTreeMap::new(), due: BTreeSet::new(), old: None }
    }

    /// The states of a guest that has so many slots and wants to be woken then.
    pub fn old(schema: u32, guest: Box<dyn Guest>, slots: usize, next_wake: Timestamp) -> Self {
        let old = Old { guest, asked: vec![false; slots], cursor: 0, next_wake };
        Self { old: Some(old), ..Self::kept(schema) }
    }

    /// Adds a state, with its slot.
    pub fn add(&mut self, state: KeyState) {
        if let Some(first) = state.wakes.first() {
            self.due.insert((*first, state.slot));
        }
        self.kept.insert(state.slot, state);
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.old.is_none()
    }

    /// Whether some are still in the memory of the version before.
    pub fn is_a_guests(&self) -> bool {
        self.old.is_some()
    }

    /// Those that are here as bytes.
    pub fn states(&self) -> impl Iterator<Item = &KeyState> {
        self.kept.values()
    }

    /// Whether the state of the key with a slot may be here.
    pub fn has(&self, slot: u32) -> bool {
        self.kept.contains_key(&slot)
            || self.old.as_ref().is_some_and(|old| old.asked.get(slot as usize) == Some(&false))
    }

    /// When a key wants to be woken whose state is here.
    pub fn next_wake(&self) -> Timestamp {
        let kept = self.due.first().map_or(Timestamp::NEVER, |(at, _)| *at);
        self.old.as_ref().map_or(kept, |old| old.next_wake.min(kept))
    }

    /// A key has gone: its slot may be given to another.
    pub fn forget(&mut self, slot: u32) {
        if let Some(state) = self.kept.remove(&slot) {
            self.forget_wake(&state);
        }
        if let Some(asked) = self.old.as_mut().and_then(|old| old.asked.get_mut(slot as usize)) {
            *asked = true;
        }
    }

    fn forget_wake(&mut self, state: &KeyState) {
        if let Some(first) = state.wakes.first() {
            self.due.remove(&(*first, state.slot));
        }
    }

    /// Adds slots whose states should go next: those of keys that want to be woken by `now`, and `more`.
    pub fn next(&mut self, now: Timestamp, more: usize, slots: &mut Vec<u32>) {
        slots.extend(self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, slot)| *slot));
        slots.extend(self.kept.keys().take(more));
        if let Some(old) = &mut self.old {
            // It does not say whose wake it is.
            let until = if old.next_wake <= now { old.asked.len() } else { old.cursor.saturating_add(more) };
            let until = until.min(old.asked.len());
            let open = (old.cursor..until).filter(|slot| !old.asked[*slot]).map(|slot| slot as u32);
            slots.extend(open);
            old.cursor = until;
        }
    }

    /// Takes out the states of the keys with these slots. After an error of the guest before nothing more is left of it.
    pub fn take(&mut self, slots: &[u32], states: &mut Vec<KeyState>) -> Result<(), Fault> {
        let mut ask = Vec::new();
        for slot in slots {
            if let Some(state) = self.kept.remove(slot) {
                self.forget_wake(&state);
                states.push(state);
            } else if let Some(asked) = self.old.as_mut().and_then(|old| old.asked.get_mut(*slot as usize))
                && !std::mem::replace(asked, true)
            {
                ask.push(*slot);
            }
        }
        let Some(old) = &mut self.old else { return Ok(()) };
        let picked = if ask.is_empty() { Ok(()) } else { old.guest.pick(&ask, states) };
        if picked.is_err() || old.cursor >= old.asked.len() {
            self.old = None;
        }
        picked
    }

    /// Looks at states without taking them.
    pub fn look(&mut self, slots: &[u32], states: &mut Vec<KeyState>) -> Result<(), Fault> {
        states.extend(slots.iter().filter_map(|slot| self.kept.get(slot).cloned()));
        let Some(old) = &mut self.old else { return Ok(()) };
        let ask: Vec<u32> =
            slots.iter().copied().filter(|slot| old.asked.get(*slot as usize) == Some(&false)).collect();
        if ask.is_empty() { Ok(()) } else { old.guest.pick(&ask, states) }
    }
}
