//! What has its own copy of a rule's state: keys, and the small dense number, the slot, that each has within its guest.
//!
//! A rule that is keyed by stream needs no table of its own: the stream's index entry remembers the slot, and the index
//! says when the key ends. Rules keyed wider keep their keys here.

use crate::index::NOWHERE;
use crate::rule::Width;
use crate::save::SavedKey;
use hashbrown::HashTable;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tidegate_event::{Event, Timestamp, stream_key};

/// The id of the key under which an event falls, for a rule of that width.
pub fn key_of(width: &Width, event: &Event<'_>, seed: u64) -> u64 {
    match width {
        Width::Stream => event.key(),
        Width::Host => stream_key(seed, event.host_bytes(), None),
        Width::Service => stream_key(seed, None, event.service_bytes()),
        Width::Attribute(name) => {
            stream_key(seed, event.attribute_value(name.as_bytes()), Some(name.as_bytes()))
        }
        Width::Whole => stream_key(seed, None, None),
    }
}

/// Which of `shards` shards owns a key: by its high bits, so that the low ones are left for tables.
#[inline]
pub fn owner(key: u64, shards: usize) -> usize {
    ((u128::from(key) * shards as u128) >> 64) as usize
}

/// The id of the key that takes in what has no room for a key of its own.
pub const OVERFLOW: u64 = 0;

/// The slots of one guest.
#[derive(Debug, Default)]
pub struct Slots {
    holders: Vec<Holder>,
    free: Vec<u32>,
}

/// What has a slot.
#[derive(Clone, Copy, Debug)]
pub struct Holder {
    /// The key's id.
    pub key: u64,
    /// The rule it is for; [`NOWHERE`] when the slot is free.
    pub rule: u32,
    /// The number of the stream in the index, or of the key among the rule's; [`NOWHERE`] for the overflow key.
    pub place: u32,
}

impl Slots {
    /// A slot for a key.
    pub fn take(&mut self, holder: Holder) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.holders[slot as usize] = holder;
                slot
            }
            None => {
                self.holders.push(holder);
                (self.holders.len() - 1) as u32
            }
        }
    }

    /// Who has a slot.
    pub fn holder(&self, slot: u32) -> Option<Holder> {
        self.holders.get(slot as usize).copied().filter(|holder| holder.rule != NOWHERE)
    }

    /// Gives a slot back.
    pub fn give(&mut self, slot: u32) {
        if self.holder(slot).is_some() {
            self.holders[slot as usize].rule = NOWHERE;
            self.free.push(slot);
        }
    }

    /// How many slots there are, in use or not.
    pub fn len(&self) -> usize {
        self.holders.len()
    }

    /// The slots of a rule, with their holders.
    pub fn of(&self, rule: u32) -> impl Iterator<Item = (u32, Holder)> + '_ {
        let numbered = self.holders.iter().enumerate();
        numbered.filter(move |(_, holder)| holder.rule == rule).map(|(slot, holder)| (slot as u32, *holder))
    }

    /// Gives back all slots of a rule.
    pub fn give_all(&mut self, rule: u32) {
        for slot in 0..self.holders.len() as u32 {
            if self.holders[slot as usize].rule == rule {
                self.give(slot);
            }
        }
    }
}

/// The keys of one rule in one shard, for rules that are keyed wider than a stream.
#[derive(Debug, Default)]
pub struct Keys {
    table: HashTable<u32>,
    keys: Vec<Key>,
    free: Vec<u32>,
    due: BinaryHeap<Reverse<(Timestamp, u32, u64)>>,
    /// The save that is being made.
    cut: Option<Cut>,
    /// How many were begun.
    cuts: u32,
}

/// A save of the keys: those before the cursor are done, and those that left before it came to them are here.
///
/// How long a key lives may have grown since the save began. That does no harm: what made it grow comes again when the log
/// is read on from there.
#[derive(Debug, Default)]
struct Cut {
    cursor: usize,
    /// How many saves had been begun before this one.
    before: u32,
    left: Vec<SavedKey>,
}

impl Cut {
    /// A key is about to leave.
    fn take(&mut self, number: u32, key: &Key) {
        if number as usize >= self.cursor && key.born <= self.before {
            self.left.push(key.saved(0));
        }
    }
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its id.
    pub id: u64,
    /// Its slot in the guest.
    pub slot: u32,
    /// Its host, where all its events have the same.
    pub host: Option<Box<[u8]>>,
    /// Its service, where all its events have the same.
    pub service: Option<Box<[u8]>>,
    live: bool,
    /// Its time has run out; unless it is heard of again it goes with the next call.
    leaving: bool,
    expires: Timestamp,
    /// How many saves had been begun when it was made.
    born: u32,
}

impl Key {
    /// The same, as it is saved for a rule.
    pub fn saved(&self, rule: u64) -> SavedKey {
        let (host, service) = (self.host.clone(), self.service.clone());
        SavedKey { rule, key: self.id, host, service, expires: self.expires }
    }
}

impl Keys {
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The number of a key that is known. It then lives at least until `expires`; [`Timestamp::NEVER`] when it never ends.
    pub fn touch(&mut self, id: u64, expires: Timestamp) -> Option<u32> {
        let number = *self.table.find(id, |&number| self.keys[number as usize].id == id)?;
        let key = &mut self.keys[number as usize];
        if key.leaving {
            // It begins anew: what it was is saved as it was.
            if let Some(cut) = &mut self.cut {
                cut.take(number, key);
            }
            (key.leaving, key.born) = (false, self.cuts);
            key.expires = key.expires.max(expires);
            if key.expires != Timestamp::NEVER {
                self.due.push(Reverse((key.expires, number, id)));
            }
            return Some(number);
        }
        key.expires = key.expires.max(expires);
        Some(number)
    }

    /// The number that the next new key will have.
    pub fn next_number(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.keys.len() as u32)
    }

    /// Adds a key that is not known, of an event, with its slot.
    pub fn add(&mut self, id: u64, slot: u32, width: &Width, event: &Event<'_>, expires: Timestamp) {
        let own = |text: Option<&[u8]>| text.map(Box::from);
        let (host, service) = match width {
            Width::Stream => (own(event.host_bytes()), own(event.service_bytes())),
            Width::Host => (own(event.host_bytes()), None),
            Width::Service => (None, own(event.service_bytes())),
            Width::Attribute(_) | Width::Whole => (None, None),
        };
        self.enter(Key { id, slot, host, service, live: true, leaving: false, expires, born: self.cuts });
    }

    /// Takes in a key as it was saved; returns its number.
    pub fn restore(&mut self, saved: &SavedKey, slot: u32) -> u32 {
        let SavedKey { key: id, host, service, expires, .. } = saved.clone();
        self.enter(Key { id, slot, host, service, live: true, leaving: false, expires, born: self.cuts })
    }

    fn enter(&mut self, key: Key) -> u32 {
        let (id, expires) = (key.id, key.expires);
        let number = match self.free.pop() {
            Some(number) => {
                self.keys[number as usize] = key;
                number
            }
            None => {
                self.keys.push(key);
                (self.keys.len() - 1) as u32
            }
        };
        self.table.insert_unique(id, number, |&number| self.keys[number as usize].id);
        if expires != Timestamp::NEVER {
            self.due.push(Reverse((expires, number, id)));
        }
        number
    }

    /// Begins a save.
    pub fn mark(&mut self) {
        self.cut = Some(Cut { before: self.cuts, ..Cut::default() });
        self.cuts += 1;
    }

    /// Gives a save up.
    pub fn unmark(&mut self) {
        self.cut = None;
    }

    /// Goes on with the save for up to so many keys of a rule. Returns whether that was all.
    pub fn save(&mut self, most: usize, rule: u64, saved: &mut Vec<SavedKey>) -> bool {
        let Some(cut) = &mut self.cut else { return true };
        saved.extend(cut.left.drain(..).map(|key| SavedKey { rule, ..key }));
        let end = self.keys.len().min(cut.cursor + most);
        let there = |key: &&Key| key.live && key.born <= cut.before;
        let live = self.keys[cut.cursor..end].iter().filter(there);
        saved.extend(live.map(|key| key.saved(rule)));
        cut.cursor = end;
        let done = end == self.keys.len();
        if done {
            self.cut = None;
        }
        done
    }

    /// The key with a number, if it is in use.
    pub fn get(&self, number: u32) -> Option<&Key> {
        self.keys.get(number as usize).filter(|key| key.live)
    }

    /// Forgets a key, if it is leaving and was not heard of since; returns whether it did.
    pub fn leave(&mut self, number: u32) -> bool {
        let Some(key) = self.keys.get_mut(number as usize).filter(|key| key.live && key.leaving) else {
            return false;
        };
        key.live = false;
        if let Some(cut) = &mut self.cut {
            cut.take(number, key);
        }
        (key.host, key.service) = (None, None);
        if let Ok(found) = self.table.find_entry(key.id, |&other| other == number) {
            found.remove();
        }
        self.free.push(number);
        true
    }

    /// No key runs out before this moment.
    pub fn next_due(&self) -> Timestamp {
        self.due.peek().map_or(Timestamp::NEVER, |Reverse((at, ..))| *at)
    }

    /// The next key whose time ran out before `now`. It is leaving from here on, and stays known until it leaves.
    pub fn next_expired(&mut self, now: Timestamp) -> Option<u32> {
        loop {
            let &Reverse((at, number, id)) = self.due.peek()?;
            if at >= now {
                return None;
            }
            self.due.pop();
            let key = &mut self.keys[number as usize];
            if !key.live || key.id != id || key.leaving {
                continue;
            }
            if key.expires > at {
                if key.expires != Timestamp::NEVER {
                    self.due.push(Reverse((key.expires, number, id)));
                }
                continue;
            }
            key.leaving = true;
            return Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::{Batch, BatchBuilder, NewEvent};

    fn batch() -> Batch {
        let mut builder = BatchBuilder::new();
        for host in ["a", "b", "c"] {
            builder.push(&NewEvent { host: Some(host), ..NewEvent::default() });
        }
        builder.stamp(1, Timestamp::EPOCH);
        builder.finish()
    }

    #[test]
    fn a_key_ends_when_its_time_has_run_out_unless_it_is_heard_of_again() {
        let batch = batch();
        let mut keys = Keys::default();
        let id = |row: usize| key_of(&Width::Host, &batch.event(row), 1);
        for (row, expires) in [(0, 10), (1, 20)] {
            let number = keys.next_number();
            keys.add(id(row), 7 + number, &Width::Host, &batch.event(row), Timestamp::from_secs(expires));
            assert_eq!(keys.touch(id(row), Timestamp(0)), Some(number));
        }
        assert_eq!(keys.touch(id(2), Timestamp::NEVER), None);
        keys.touch(id(0), Timestamp::from_secs(15));
        assert_eq!(keys.next_expired(Timestamp::from_secs(15)), None);
        assert_eq!(keys.next_expired(Timestamp::from_secs(16)), Some(0));
        assert_eq!(keys.get(0).unwrap().host.as_deref(), Some(&b"a"[..]));
        keys.touch(id(0), Timestamp::from_secs(30));
        assert!(!keys.leave(0), "it was heard of again");
        assert_eq!(keys.next_expired(Timestamp::from_secs(25)), Some(1));
        assert_eq!(keys.next_expired(Timestamp::from_secs(40)), Some(0));
        assert!(keys.leave(0) && !keys.leave(0) && keys.get(0).is_none());
        assert_eq!((keys.len(), keys.next_number()), (1, 0));
    }

    #[test]
    fn slots_are_dense_and_used_again() {
        let mut slots = Slots::default();
        let holder = |key, rule| Holder { key, rule, place: 0 };
        assert_eq!([slots.take(holder(1, 0)), slots.take(holder(2, 1)), slots.take(holder(3, 0))], [0, 1, 2]);
        slots.give(1);
        slots.give(1);
        assert_eq!(slots.take(holder(4, 1)), 1);
        slots.give_all(0);
        assert!(slots.holder(0).is_none() && slots.holder(2).is_none());
        assert_eq!(slots.holder(1).unwrap().key, 4);
        assert_eq!(slots.take(holder(5, 1)), 2);
    }

    #[test]
    fn every_shard_owns_a_fair_share() {
        let mut owned = [0u32; 7];
        for i in 0..70_000u32 {
            owned[owner(stream_key(3, Some(&i.to_le_bytes()), None), 7)] += 1;
        }
        assert!(owned.iter().all(|n| (9_500..10_500).contains(n)), "{owned:?}");
    }
}
