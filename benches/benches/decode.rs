//! Riemann frames to batches: the decoder alone, and with what comes before the shards.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidegate::bench::workload::{Fleet, START};
use tidegate_benches::{BATCH, STREAMS};
use tidegate_engine::codec::{Limits, riemann};
use tidegate_event::BatchBuilder;

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(BATCH as u64));
    for streams in STREAMS {
        let messages = Fleet::new(streams).messages(64, BATCH);
        let limits = Limits::default();
        for (name, stamp) in [("frame", false), ("frame and stamp", true)] {
            let (mut next, mut builder) = (0, BatchBuilder::new());
            group.bench_function(BenchmarkId::new(name, streams), |b| {
                b.iter(|| {
                    builder = std::mem::take(&mut builder).finish().into_builder();
                    next += 1;
                    riemann::decode_copy(&mut builder, &messages[next % messages.len()], &limits)
                        .expect("the workload's messages are messages");
                    if stamp {
                        builder.stamp(42, START);
                    }
                    builder.len()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
