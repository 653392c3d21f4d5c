//! All shards of a node in one thread: what the runtime does with threads and a log, as a plain value for tests, scenes
//! and benches. Emitted events come back at once, at the same time, in a position of their own.

use super::{Merged, NotSaved, Settings, Shard, Step, merge};
use crate::guest::Guests;
use crate::query::Matcher;
use crate::rule::Control;
use crate::save::{Saved, Slice};
use std::collections::VecDeque;
use std::sync::Arc;
use tidegate_event::{Batch, BatchBuilder, Timestamp};

/// All shards of a node.
pub struct Engine {
    shards: Vec<Shard>,
    seed: u64,
    position: u64,
}

/// Positions that one batch may cause: the hop limit ends every chain long before.
const CHAIN: usize = 1024;

impl Engine {
    /// So many shards with the same settings otherwise.
    pub fn new(shards: usize, settings: &Settings, guests: &Arc<dyn Guests>) -> Self {
        let shard = |number| Shard::new(Settings { number, shards, ..settings.clone() }, guests.clone());
        Self { shards: (0..shards).map(shard).collect(), seed: settings.seed, position: 0 }
    }

    /// Applies a change to the set of rules.
    pub fn control(&mut self, control: &Control, now: Timestamp) -> Vec<Step> {
        self.position += 1;
        self.shards.iter_mut().map(|shard| shard.control(control, self.position, now)).collect()
    }

    /// Takes events at a time and follows what comes of them to the end. `each` sees the steps of all shards and their
    /// outcome, for every position.
    pub fn feed(
        &mut self,
        events: BatchBuilder,
        now: Timestamp,
        mut each: impl FnMut(&Batch, &[Step], &Merged),
    ) {
        let mut waiting = VecDeque::from([events]);
        for _ in 0..CHAIN {
            let Some(mut events) = waiting.pop_front() else { break };
            events.stamp(self.seed, now);
            self.position += 1;
            let mut batch = events.finish();
            (batch.header.position, batch.header.now) = (self.position, now);
            let steps: Vec<Step> = self.shards.iter_mut().map(|shard| shard.step(&batch)).collect();
            let mut merged = merge(&steps);
            waiting.extend(merged.emitted.take());
            each(&batch, &steps, &merged);
        }
    }

    /// Begins a save of what all shards know now: see [`Shard::mark`].
    pub fn mark(&mut self, all: bool) -> Result<(), NotSaved> {
        self.shards.iter_mut().try_for_each(|shard| shard.mark(all))
    }

    /// The next slice of each shard that has more of the save to give; nothing when all is said.
    pub fn save(&mut self, most: usize) -> Result<Vec<Slice>, NotSaved> {
        let saving = self.shards.iter_mut().filter(|shard| shard.is_saving());
        saving.map(|shard| shard.save(most).map(|(slice, _)| slice)).collect()
    }

    /// Goes on after a position.
    pub fn resume(&mut self, position: u64) {
        self.position = position;
    }

    /// Takes back what was saved, at that time. The rules must have been deployed, and nothing else must have happened.
    pub fn restore(&mut self, saved: &Saved, now: Timestamp) {
        self.shards.iter_mut().for_each(|shard| shard.restore(saved, now));
    }

    /// When time should move next, even if nothing happens.
    pub fn next_due(&mut self) -> Timestamp {
        self.shards.iter_mut().map(Shard::next_due).min().unwrap_or(Timestamp::NEVER)
    }

    /// Every event of the index that matches, in no particular order.
    pub fn search(&self, matcher: &Matcher) -> Batch {
        let mut found = BatchBuilder::new();
        for shard in &self.shards {
            shard.search(matcher, 0, usize::MAX, usize::MAX, &mut found);
        }
        found.finish()
    }

    /// The shards.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }
}
