//! How often the hot path asks for memory: a few times for each batch, and never for each event.
//!
//! Guests are linked in. One thread is counted, the one that measures.

use allocation_counter::measure;
use std::sync::Arc;
use tidegate::bench::rules::{Linked, find, resting};
use tidegate::bench::workload::{Fleet, START};
use tidegate_engine::codec::{Limits, riemann};
use tidegate_engine::rule::Control;
use tidegate_engine::shard::{Settings, Shard};
use tidegate_event::{Batch, BatchBuilder, Span};

const STREAMS: usize = 1_000;
const SEED: u64 = 42;

/// A step may allocate so often, however many events there are; it was 7 when this was written. What a step returns is the
/// caller's, so that memory cannot be used again.
const FOR_A_STEP: u64 = 8;

/// Decoding into a builder that was used before may allocate so often: an empty builder stands in for it meanwhile.
const FOR_A_MESSAGE: u64 = 1;

/// A shard with a moving average that wants every event, after each stream has spoken often.
struct Steady {
    shard: Shard,
    batches: Vec<Batch>,
    position: u64,
}

impl Steady {
    fn new(events: usize) -> Self {
        let rule = find("moving-average").unwrap();
        let spec = resting("moving-average").unwrap();
        let settings = Settings { seed: SEED, ..Settings::default() };
        let mut shard = Shard::new(settings, Arc::new(Linked(rule)));
        assert!(shard.control(&Control::Deploy(Box::new(spec)), 1, START).troubled.is_empty());
        let mut fleet = Fleet::new(STREAMS);
        let batches = (0..16).map(|_| fleet.batch(events, SEED)).collect();
        let mut steady = Self { shard, batches, position: 1 };
        (0..64).for_each(|_| assert!(steady.step() > 0));
        steady
    }

    /// A step; returns how often it allocated.
    fn step(&mut self) -> u64 {
        self.position += 1;
        let batch = &mut self.batches[self.position as usize % 16];
        batch.header.position = self.position;
        batch.header.now = START + Span(self.position as i64);
        let shard = &mut self.shard;
        measure(|| assert!(shard.step(batch).troubled.is_empty())).count_total
    }
}

#[test]
fn a_step_does_not_allocate_for_each_event() {
    let worst = [256, 1024].map(|events| {
        let mut steady = Steady::new(events);
        (0..64).map(|_| steady.step()).max().unwrap()
    });
    println!("allocations of a step with 256 and 1,024 events: {worst:?}");
    assert!(worst[0] <= FOR_A_STEP, "a step with 256 events allocates {} times", worst[0]);
    assert!(worst[1] <= FOR_A_STEP, "a step with 1,024 events allocates {} times", worst[1]);
}

#[test]
fn decoding_and_stamping_do_not_allocate_once_there_is_room() {
    let messages = Fleet::new(STREAMS).messages(16, 1024);
    let mut builder = BatchBuilder::new();
    let mut worst = 0;
    for round in 0..4 {
        for message in &messages {
            let count = measure(|| {
                builder = std::mem::take(&mut builder).finish().into_builder();
                riemann::decode_copy(&mut builder, message, &Limits::default()).unwrap();
                builder.stamp(SEED, START);
            })
            .count_total;
            if round > 0 {
                worst = worst.max(count);
            }
        }
    }
    println!("allocations of a message with 1,024 events: {worst}");
    assert!(worst <= FOR_A_MESSAGE, "a message with 1,024 events allocates {worst} times");
}

#[test]
fn what_is_counted_is_there() {
    // If the counting allocator were not in place, everything above would pass.
    assert_eq!(measure(|| drop(std::hint::black_box(vec![1u8; 100]))).count_total, 1);
}
