//! Every rule that the program knows, the parts of the SDK and the stages of pipelines among them: on random tables of events it
//! gives the same bytes as wasm and linked in.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tidegate::bench::rules;
use tidegate_engine::guest::Guest;
use tidegate_engine::rule::Width;
use tidegate_event::{Batch, BatchBuilder, FieldSet, Metric, NewEvent, Reply, Span, Timestamp};

/// A row: how long after the last it comes, how late it is, of which stream, its state, its metric.
type Row = (i64, i64, usize, usize, Option<Metric>);

const STATES: [Option<&str>; 5] = [None, Some("ok"), Some("critical"), Some("expired"), Some("odd")];
const SERVICES: [&str; 3] = ["http.get latency", "cpu", ""];

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let metric = prop_oneof![
        Just(None),
        (-500..500_i64).prop_map(|value| Some(Metric::Int(value))),
        (-500.0..500.0_f64).prop_map(|value| Some(Metric::Float(value))),
        Just(Some(Metric::Float(f64::NAN))),
        Just(Some(Metric::Int(i64::MAX))),
    ];
    proptest::collection::vec((0..4_000_i64, 0..20_000_i64, 0..6_usize, 0..STATES.len(), metric), 1..80)
}

/// Eight rows to a batch. Each stream is a key of its own, or all are one.
fn batches(rows: &[Row], per: &Width, fields: FieldSet) -> Vec<Batch> {
    let mut now = Timestamp::from_secs(1_000);
    let mut all: Vec<Batch> = rows
        .chunks(8)
        .map(|rows| {
            let mut events = BatchBuilder::new();
            let mut streams = Vec::new();
            for (wait, late, stream, state, metric) in rows {
                now = now + Span::millis(*wait);
                streams.push(*stream as u32);
                events.push(&NewEvent {
                    host: Some(["web1", "db1"][stream % 2]),
                    service: Some(SERVICES[stream % 3]),
                    state: STATES[*state],
                    metric: *metric,
                    time: Some(now - Span::millis(*late)),
                    ttl: (stream % 2 == 0).then_some(30.0),
                    tags: &["a", "reset"][..stream % 3],
                    attributes: &[("tenant", "acme")],
                    ..NewEvent::default()
                });
            }
            let events = events.finish();
            let mut keyed = BatchBuilder::new();
            for (event, stream) in events.events().zip(streams) {
                let slot = if *per == Width::Stream { stream } else { 0 };
                keyed.copy(&event, fields, |row| (row.key, row.slot) = (u64::from(slot) + 1, slot));
            }
            let mut batch = keyed.finish();
            batch.header.now = now;
            batch
        })
        .collect();
    // What waits for a moment comes as well.
    let mut end = Batch::default();
    end.header.now = now + Span::minutes(10);
    all.push(end);
    all
}

fn agrees(name: &str) {
    let (spec, host) = rules::built_in(name).unwrap();
    let linked = rules::find(name).unwrap().native;
    let mut runner = TestRunner::new(Config { cases: 32, failure_persistence: None, ..Config::default() });
    let told = runner.run(&rows(), |rows| {
        let mut wasm = host.guest(&spec).unwrap();
        let mut native = linked(&spec.settings).unwrap();
        for batch in batches(&rows, &spec.per, FieldSet(spec.fields)) {
            let (mut here, mut there) = (Reply::default(), Reply::default());
            wasm.call(&batch, &mut here).unwrap();
            native.call(&batch, &mut there).unwrap();
            prop_assert_eq!(here.record_bytes(), there.record_bytes());
            prop_assert_eq!(here.string_bytes(), there.string_bytes());
            prop_assert_eq!((here.next_wake, here.keys), (there.next_wake, there.keys));
        }
        Ok(())
    });
    if let Err(wrong) = told {
        panic!("{name}: {wrong}");
    }
}

#[test]
fn rules_and_parts_give_the_same_bytes_as_wasm_and_linked_in() {
    let names: Vec<&str> = rules::names().filter(|name| !name.starts_with("standard")).collect();
    assert!(names.len() >= 13, "{names:?}");
    names.into_iter().for_each(agrees);
}

#[test]
fn pipelines_give_the_same_bytes_as_wasm_and_linked_in() {
    let names: Vec<&str> = rules::names().filter(|name| name.starts_with("standard")).collect();
    assert!(names.len() >= 9, "{names:?}");
    names.into_iter().for_each(agrees);
}
