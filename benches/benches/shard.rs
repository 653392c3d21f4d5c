//! A whole step of one shard: index, match, gather, call; batches already decoded and stamped.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use tidegate::bench::built_in;
use tidegate::bench::workload::START;
use tidegate_benches::{BATCH, STREAMS, batches};
use tidegate_engine::rule::{Control, RuleSpec};
use tidegate_engine::shard::{Settings, Shard};
use tidegate_event::Span;

fn shard(c: &mut Criterion) {
    let mut group = c.benchmark_group("shard");
    group.throughput(Throughput::Elements(BATCH as u64));
    for streams in STREAMS {
        let mut batches = batches(streams, 42);
        for rules in [0, 1, 100] {
            let (spec, host) = built_in("moving-average").expect("the built-in rule starts");
            let mut shard = Shard::new(Settings { seed: 42, ..Settings::default() }, Arc::new(host));
            for n in 0..rules {
                let query =
                    if n == 0 { "metric != nil".into() } else { format!("service = \"nobody has {n}\"") };
                let spec = RuleSpec { name: format!("rule-{n}"), query, ..spec.clone() };
                shard.control(&Control::Deploy(Box::new(spec)), n + 1, START);
            }
            let mut position = rules;
            group.bench_function(BenchmarkId::new(format!("{rules} rules"), streams), |b| {
                b.iter(|| {
                    position += 1;
                    let at = position as usize % batches.len();
                    batches[at].header.position = position;
                    batches[at].header.now = START + Span((position * BATCH as u64) as i64);
                    shard.step(&batches[at]).own.len()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, shard);
criterion_main!(benches);
