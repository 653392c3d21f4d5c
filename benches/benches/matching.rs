//! The plain matcher: one query on every event, and many.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidegate_benches::{BATCH, batches};
use tidegate_engine::query::Matcher;

fn matching(c: &mut Criterion) {
    let batches = batches(1_000, 1);
    let mut group = c.benchmark_group("match");
    group.throughput(Throughput::Elements(BATCH as u64));
    let queries = [
        ("everything", "true".to_owned()),
        ("number", "metric > 200".to_owned()),
        ("service", "service = \"cpu\"".to_owned()),
        ("wildcard", "service =~ \"http.%\" and metric != nil".to_owned()),
        ("regex", "host ~= \"web0000[0-4]\"".to_owned()),
    ];
    for (name, query) in queries {
        let matcher = Matcher::parse(&query).expect("the queries of this bench are queries");
        let mut next = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                next += 1;
                batches[next % batches.len()].events().filter(|event| matcher.matches(event)).count()
            });
        });
    }
    for rules in [10, 1_000] {
        let matchers: Vec<Matcher> = (0..rules)
            .map(|n| Matcher::parse(&format!("service = \"nobody has {n}\"")).expect("this is a query"))
            .collect();
        let mut next = 0;
        group.bench_function(BenchmarkId::new("rules that want nothing", rules), |b| {
            b.iter(|| {
                next += 1;
                let batch = &batches[next % batches.len()];
                batch
                    .events()
                    .map(|event| matchers.iter().filter(|m| m.matches(&event)).count())
                    .sum::<usize>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, matching);
criterion_main!(benches);
