//! What a shard knows, as it is saved and as it is taken back: plain data, of no matter how many shards.
//!
//! A save is many [`Slice`]s, made between batches, that together say what stood at one position. Everything in it is
//! named by what does not change from one start to the next: a stream and a key by their ids, a rule by the position at
//! which it was deployed. So it can be taken back by another number of shards.
//!
//! A save may be *partial*: what has not been touched since the save before is named, not repeated. [`Saved`] puts a
//! whole one and the partial ones after it together again.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_event::{Batch, BatchRef, Event, KeyState, Timestamp};

/// A part of what a shard knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The latest events of streams, as the block of a batch; empty for none.
    #[serde(with = "crate::rule::serde_bytes_vec")]
    pub streams: Vec<u8>,
    /// For each of them the moment after which it is no longer valid.
    pub expires: Vec<Timestamp>,
    /// Streams that are as they were.
    pub same_streams: Vec<u64>,
    /// Keys of rules that are keyed wider than a stream.
    pub keys: Vec<SavedKey>,
    /// What keys remember.
    pub states: Vec<SavedState>,
    /// Keys that remember what they did: the rule, and the key.
    pub same_states: Vec<(u64, u64)>,
    /// How rules have been doing.
    pub health: Vec<SavedHealth>,
}

/// A key of a rule that is keyed wider than a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedKey {
    /// The position at which its rule was deployed.
    pub rule: u64,
    /// Its id.
    pub key: u64,
    /// Its host, where all its events have the same.
    pub host: Option<Box<[u8]>>,
    /// Its service, where all its events have the same.
    pub service: Option<Box<[u8]>>,
    /// The moment after which it ends.
    pub expires: Timestamp,
}

/// What a key remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// The position at which its rule was deployed.
    pub rule: u64,
    /// The number of the state's schema.
    pub schema: u32,
    /// Its id.
    pub key: u64,
    /// The moments that it waits for.
    pub wakes: Vec<Timestamp>,
    /// The value, as MessagePack.
    #[serde(with = "crate::rule::serde_bytes_vec")]
    pub state: Vec<u8>,
}

/// How a rule has been doing in a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedHealth {
    /// The position at which it was deployed.
    pub rule: u64,
    /// The shard.
    pub shard: usize,
    /// Its latest faults.
    pub recent: Vec<Timestamp>,
    /// Faults without a good call in between.
    pub in_a_row: usize,
    /// How long it was left alone last, in microseconds.
    pub back_off: i64,
    /// Until when it is left alone.
    pub until: Option<Timestamp>,
}

impl SavedState {
    /// The same as a guest takes it.
    pub fn into_key_state(self, slot: u32, binding: u32) -> KeyState {
        KeyState { slot, binding, key: self.key, wakes: self.wakes, state: self.state }
    }
}

impl Slice {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Its streams.
    pub fn batch(&self) -> Option<Batch> {
        match self.streams.is_empty() {
            true => Some(Batch::default()),
            false => BatchRef::check(&self.streams).ok().map(|block| block.to_batch()),
        }
    }
}

/// The latest event of a stream.
#[derive(Clone, Debug)]
pub struct SavedStream {
    batch: Arc<Batch>,
    row: usize,
    /// The moment after which it is no longer valid.
    pub expires: Timestamp,
}

impl SavedStream {
    /// The event.
    pub fn event(&self) -> Event<'_> {
        self.batch.event(self.row)
    }
}

/// A whole save, put together from its slices.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// The latest event of each stream.
    pub streams: BTreeMap<u64, SavedStream>,
    /// Keys of wider rules, by rule and key.
    pub keys: BTreeMap<(u64, u64), SavedKey>,
    /// What keys remember, by rule and key.
    pub states: BTreeMap<(u64, u64), SavedState>,
    /// How rules have been doing.
    pub health: Vec<SavedHealth>,
}

impl Saved {
    /// Puts a save on top of the one before: what it repeats or names stays, all else is gone. `slices` are those of all
    /// shards. Says what is wrong with a slice, if anything is.
    pub fn apply(&mut self, slices: impl IntoIterator<Item = Slice>) -> Result<(), String> {
        let mut before = std::mem::take(self);
        for slice in slices {
            let streams = slice.batch().ok_or("the streams of a slice are not a batch")?;
            if streams.len() != slice.expires.len() {
                let (events, moments) = (streams.len(), slice.expires.len());
                return Err(format!("a slice has {events} streams and {moments} moments at which they end"));
            }
            let batch = Arc::new(streams);
            for (row, expires) in slice.expires.into_iter().enumerate() {
                let stream = SavedStream { batch: batch.clone(), row, expires };
                self.streams.insert(batch.event(row).key(), stream);
            }
            for key in slice.same_streams {
                if let Some(same) = before.streams.remove(&key) {
                    self.streams.insert(key, same);
                }
            }
            self.keys.extend(slice.keys.into_iter().map(|key| ((key.rule, key.key), key)));
            self.states.extend(slice.states.into_iter().map(|state| ((state.rule, state.key), state)));
            for name in slice.same_states {
                if let Some(same) = before.states.remove(&name) {
                    self.states.insert(name, same);
                }
            }
            self.health.extend(slice.health);
        }
        Ok(())
    }
}
