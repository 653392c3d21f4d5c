//! The keys that a rule has state for in one shard, and the small dense number, the slot, that each has within its guest.

use hashbrown::HashTable;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tidegate_event::{Event, Timestamp, stream_key};

use crate::rule::Width;

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

/// The keys of one rule in one shard.
#[derive(Debug, Default)]
pub struct Keys {
    table: HashTable<u32>,
    slots: Vec<Key>,
    free: Vec<u32>,
    due: BinaryHeap<Reverse<(Timestamp, u32, u64)>>,
    limit: usize,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its id.
    pub id: u64,
    /// Its host, where all its events have the same.
    pub host: Option<Box<[u8]>>,
    /// Its service, where all its events have the same.
    pub service: Option<Box<[u8]>>,
    live: bool,
    expires: Timestamp,
}

impl Keys {
    /// No keys yet, and at most `limit`.
    pub fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The slot of a key that is known.
    pub fn slot(&self, id: u64) -> Option<u32> {
        self.table.find(id, |&slot| self.slots[slot as usize].id == id).copied()
    }

    /// The key with a slot, if it is in use.
    pub fn key(&self, slot: u32) -> Option<&Key> {
        self.slots.get(slot as usize).filter(|key| key.live)
    }

    /// The slot of a key, new if need be; `None` when there is no room for another. The key then lives at least until
    /// `expires`; [`Timestamp::NEVER`] when something else decides.
    pub fn touch(&mut self, id: u64, width: &Width, event: &Event<'_>, expires: Timestamp) -> Option<u32> {
        if let Some(slot) = self.slot(id) {
            let key = &mut self.slots[slot as usize];
            key.expires = key.expires.max(expires);
            return Some(slot);
        }
        if self.len() >= self.limit {
            return None;
        }
        let own = |text: Option<&[u8]>| text.map(Box::from);
        let (host, service) = match width {
            Width::Stream => (own(event.host_bytes()), own(event.service_bytes())),
            Width::Host => (own(event.host_bytes()), None),
            Width::Service => (None, own(event.service_bytes())),
            Width::Attribute(_) | Width::Whole => (None, None),
        };
        let key = Key { id, host, service, live: true, expires };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = key;
                slot
            }
            None => {
                self.slots.push(key);
                (self.slots.len() - 1) as u32
            }
        };
        self.table.insert_unique(id, slot, |&slot| self.slots[slot as usize].id);
        if expires != Timestamp::NEVER {
            self.due.push(Reverse((expires, slot, id)));
        }
        Some(slot)
    }

    /// Forgets a key; its slot may be given to another.
    pub fn release(&mut self, slot: u32) {
        let Some(key) = self.slots.get_mut(slot as usize).filter(|key| key.live) else { return };
        key.live = false;
        (key.host, key.service) = (None, None);
        if let Ok(found) = self.table.find_entry(key.id, |&other| other == slot) {
            found.remove();
        }
        self.free.push(slot);
    }

    /// No key runs out before this moment.
    pub fn next_due(&self) -> Timestamp {
        self.due.peek().map_or(Timestamp::NEVER, |Reverse((at, ..))| *at)
    }

    /// The next key whose time ran out before `now`, with its moment; it stays known until it is released.
    pub fn next_expired(&mut self, now: Timestamp) -> Option<(Timestamp, u32)> {
        loop {
            let &Reverse((at, slot, id)) = self.due.peek()?;
            if at >= now {
                return None;
            }
            self.due.pop();
            let key = &self.slots[slot as usize];
            if !key.live || key.id != id {
                continue;
            }
            if key.expires > at {
                if key.expires != Timestamp::NEVER {
                    self.due.push(Reverse((key.expires, slot, id)));
                }
                continue;
            }
            return Some((at, slot));
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
    fn slots_are_dense_reused_and_bounded() {
        let batch = batch();
        let mut keys = Keys::new(2);
        let touch = |keys: &mut Keys, row: usize, expires| {
            let event = batch.event(row);
            keys.touch(key_of(&Width::Host, &event, 1), &Width::Host, &event, Timestamp::from_secs(expires))
        };
        assert_eq!(touch(&mut keys, 0, 10), Some(0));
        assert_eq!(touch(&mut keys, 1, 20), Some(1));
        assert_eq!(touch(&mut keys, 2, 30), None, "there is room for two");
        assert_eq!(touch(&mut keys, 0, 15), Some(0));
        assert_eq!(keys.next_expired(Timestamp::from_secs(15)), None);
        assert_eq!(keys.next_expired(Timestamp::from_secs(16)), Some((Timestamp::from_secs(15), 0)));
        assert_eq!(keys.key(0).unwrap().host.as_deref(), Some(&b"a"[..]));
        keys.release(0);
        keys.release(0);
        assert!(keys.key(0).is_none());
        assert_eq!(touch(&mut keys, 2, 30), Some(0));
        assert_eq!(keys.len(), 2);
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
