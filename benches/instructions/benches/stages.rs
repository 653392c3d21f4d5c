//! How many instructions each stage takes for 2,048 events, under callgrind: the same on a busy machine and on a quiet one.
//!
//! Guests are linked in, since callgrind does not follow machine code that is made at run time. Every fixture has been
//! through all its streams twice before it counts, so that tables have their size and nothing is new.
//!
//! `cargo xtask instructions` compares these counts with `benches/instructions.json`.

use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use moving_average::MovingAverage;
use std::hint::black_box;
use std::sync::Arc;
use tidegate_engine::codec::{Limits, riemann};
use tidegate_engine::guest::{Guest, Guests};
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::{Control, RuleSpec};
use tidegate_engine::shard::{Settings, Shard};
use tidegate_event::{Batch, BatchBuilder, Reply, Span};
use tidegate_instructions::workload::{Fleet, START};
use tidegate_instructions::{BATCH, Idle, Linked, SEED, STREAMS, batches, gathered, resting};
use tidegate_sdk::Rule;
use tidegate_sdk::rt::{RuleManifest, Runner};

/// Batches that count.
const COUNTED: usize = 8;

struct Decoding {
    messages: Vec<Vec<u8>>,
    builder: BatchBuilder,
}

impl Decoding {
    fn message(&mut self, number: usize) {
        self.builder = std::mem::take(&mut self.builder).finish().into_builder();
        riemann::decode_copy(&mut self.builder, &self.messages[number], &Limits::default())
            .expect("the workload's messages are messages");
    }
}

fn messages() -> Decoding {
    let messages = Fleet::new(STREAMS).messages(COUNTED, BATCH);
    let mut decoding = Decoding { messages, builder: BatchBuilder::new() };
    (0..COUNTED).for_each(|number| decoding.message(number));
    decoding
}

#[library_benchmark]
#[bench::frames(messages())]
fn decode(mut decoding: Decoding) -> Decoding {
    (0..COUNTED).for_each(|number| decoding.message(black_box(number)));
    decoding
}

#[library_benchmark]
#[bench::events(Fleet::new(STREAMS).events_in(COUNTED, BATCH))]
fn stamp(mut builders: Vec<BatchBuilder>) -> Vec<BatchBuilder> {
    builders.iter_mut().for_each(|builder| builder.stamp(black_box(SEED), START));
    builders
}

fn matcher() -> (Matcher, Vec<Batch>) {
    let query = "(service =~ \"http.%\" or service = \"cpu\") and metric > 200";
    (Matcher::parse(query).expect("this is a query"), batches())
}

#[library_benchmark]
#[bench::one_query(matcher())]
fn matching((matcher, batches): (Matcher, Vec<Batch>)) -> (usize, (Matcher, Vec<Batch>)) {
    let events = batches.iter().take(COUNTED).flat_map(Batch::events);
    (events.filter(|event| matcher.matches(event)).count(), (matcher, batches))
}

struct Calling {
    guest: Box<dyn Guest>,
    batches: Vec<Batch>,
    reply: Reply,
}

impl Calling {
    fn call(&mut self, number: usize) {
        self.guest.call(&self.batches[number], &mut self.reply).expect("the rule does not fault");
    }
}

fn linked<R: Rule + RuleManifest + Send + 'static>() -> Calling
where
    Runner<R>: Send,
{
    let spec = resting::<R>();
    let guest = Linked::<R>::default().start(&spec).expect("the rule starts");
    let mut calling = Calling { guest, batches: gathered(&spec), reply: Reply::default() };
    (0..calling.batches.len()).for_each(|number| calling.call(number));
    calling
}

#[library_benchmark]
#[bench::numeric(linked::<bench_numeric::Numeric>())]
#[bench::moving_average(linked::<moving_average::MovingAverage>())]
#[bench::latency_state(linked::<latency_state::Latency>())]
#[bench::map(linked::<bench_map::Map>())]
fn guest(mut calling: Calling) -> Calling {
    (0..COUNTED).for_each(|number| calling.call(black_box(number)));
    calling
}

struct Stepping {
    shard: Shard,
    position: u64,
    batches: Vec<Batch>,
    decoding: Decoding,
}

impl Stepping {
    fn step(&mut self, number: usize) {
        self.position += 1;
        let header = &mut self.batches[number].header;
        header.position = self.position;
        header.now = START + Span((self.position * BATCH as u64) as i64);
        assert!(self.shard.step(&self.batches[number]).troubled.is_empty());
    }

    /// Decode, stamp, step.
    fn whole(&mut self, number: usize) {
        self.decoding.message(number);
        self.decoding.builder.stamp(SEED, START);
        self.batches[number] = std::mem::take(&mut self.decoding.builder).finish();
        self.step(number);
        self.decoding.builder = std::mem::take(&mut self.batches[number]).into_builder();
    }
}

fn shard(guests: Arc<dyn Guests>, rules: usize) -> Stepping {
    let spec = resting::<MovingAverage>();
    let mut shard = Shard::new(Settings { seed: SEED, ..Settings::default() }, guests);
    for n in 0..rules {
        let query = if n == 0 { "metric != nil".into() } else { format!("service = \"nobody has {n}\"") };
        let spec = RuleSpec { name: format!("rule-{n}"), query, ..spec.clone() };
        let step = shard.control(&Control::Deploy(Box::new(spec)), n as u64 + 1, START);
        assert!(step.troubled.is_empty());
    }
    let (batches, decoding) = (batches(), messages());
    let mut stepping = Stepping { shard, position: rules as u64, batches, decoding };
    (0..stepping.batches.len()).for_each(|number| stepping.step(number));
    stepping
}

fn native(rules: usize) -> Stepping {
    shard(Arc::new(Linked::<MovingAverage>::default()), rules)
}

#[library_benchmark]
#[bench::index_alone(shard(Arc::new(Idle), 0))]
#[bench::and_a_rule_that_does_nothing(shard(Arc::new(Idle), 1))]
#[bench::and_a_moving_average(native(1))]
#[bench::and_999_rules_that_want_nothing(native(1_000))]
fn step(mut stepping: Stepping) -> Stepping {
    (0..COUNTED).for_each(|number| stepping.step(black_box(number)));
    stepping
}

fn warm() -> Stepping {
    let mut stepping = native(1);
    (0..COUNTED).for_each(|number| stepping.whole(number));
    stepping
}

#[library_benchmark]
#[bench::from_frame_to_effects(warm())]
fn whole(mut stepping: Stepping) -> Stepping {
    (0..COUNTED).for_each(|number| stepping.whole(black_box(number)));
    stepping
}

library_benchmark_group!(name = stages, benchmarks = [decode, stamp, matching, guest, step, whole]);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = stages
);
