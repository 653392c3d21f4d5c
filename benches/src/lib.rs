//! What the benches share: built-in rules as guests, and batches as a shard gathers them.
//!
//! The workload itself is [`tidegate::bench::workload`]: the same that `tidegate bench` uses.

use tidegate::bench::workload::Fleet;
use tidegate_engine::rule::RuleSpec;
use tidegate_event::Batch;

/// The sizes of fleet that every bench is run with.
pub const STREAMS: [usize; 2] = [1_000, 100_000];

/// Events of a batch.
pub const BATCH: usize = 256;

/// Batches in which each stream speaks at least twice.
pub fn batches(streams: usize, seed: u64) -> Vec<Batch> {
    let mut fleet = Fleet::new(streams);
    (0..(2 * streams).div_ceil(BATCH).max(16)).map(|_| fleet.batch(BATCH, seed)).collect()
}

/// The same as a guest of that rule gets them: its fields only, with slots.
pub fn gathered(streams: usize, spec: &RuleSpec) -> Vec<Batch> {
    tidegate::bench::gathered(&batches(streams, 1), spec)
}
