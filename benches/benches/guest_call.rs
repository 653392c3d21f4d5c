//! One call of a guest, as wasm and natively, on the same bytes: what the sandbox costs.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidegate::bench::built_in;
use tidegate::bench::rules;
use tidegate_benches::{BATCH, STREAMS, gathered};
use tidegate_engine::guest::Guest;
use tidegate_event::Reply;

fn guest(c: &mut Criterion) {
    let mut group = c.benchmark_group("guest");
    group.throughput(Throughput::Elements(BATCH as u64));
    for rule in ["numeric", "filter", "map", "moving-average", "latency-state"] {
        let (spec, host) = built_in(rule).expect("the built-in rule starts");
        for streams in STREAMS {
            let batches = gathered(streams, &spec);
            let native = rules::find(rule)
                .and_then(|rule| (rule.native)(&spec.settings).map_err(|error| anyhow::anyhow!(error)));
            let guests: [(&str, Box<dyn Guest>); 2] = [
                ("wasm", Box::new(host.guest(&spec).expect("the built-in rule starts"))),
                ("native", native.expect("the built-in rule starts")),
            ];
            for (kind, mut guest) in guests {
                let (mut next, mut reply) = (0, Reply::default());
                group.bench_function(BenchmarkId::new(format!("{rule}/{kind}"), streams), |b| {
                    b.iter(|| {
                        next += 1;
                        guest
                            .call(&batches[next % batches.len()], &mut reply)
                            .expect("the rule does not fault")
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, guest);
criterion_main!(benches);
