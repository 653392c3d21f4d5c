//! Nothing that a pipeline is told, and nothing that comes, makes the rule panic: numbers at the ends of their range, times
//! long ago and far ahead, empty lists, and values of the wrong kind in every stage.

use standard::Standard;
use tidegate_event::{Batch, BatchBuilder, Metric, NewEvent, Reply, Span, Timestamp};
use tidegate_sdk::rt::Runner;

/// Every stage with memory or arithmetic, told ordinary things and the ends of what it takes.
const STAGES: &[&str] = &[
    r#"{"over": -1e308}"#,
    r#"{"scale": 1e308}"#,
    r#"{"scale": 9e15}"#,
    r#"{"smap": {"add": 9223372036854775807}}"#,
    r#"{"smap": {"multiply": 9223372036854775807}}"#,
    r#"{"smap": {"fold": "mean"}}"#,
    r#"{"smapcat": {"duplicate": 3}}"#,
    r#"{"sflatten": true}"#,
    r#"{"sreduce": "+"}"#,
    r#"{"sreduce": "max-metric"}"#,
    r#"{"sreduce": {"fold": "sum"}}"#,
    r#"{"with": {"time": 1e300, "ttl": -1e300}}"#,
    r#"{"with": {"time": -1e300, "ttl": 1e300}}"#,
    r#"{"expired": true}"#,
    r#"{"splitp": "<", "clauses": [{"value": 1, "then": []}]}"#,
    r#"{"by": ["host", {"field": "metric"}]}"#,
    r#"{"dual": "metric > 0", "then": [{"next": true}], "else": [{"next": true}]}"#,
    r#"{"moving-event-window": 0}"#,
    r#"{"moving-event-window": 3}"#,
    r#"{"fixed-event-window": 0}"#,
    r#"{"fixed-event-window": 2}"#,
    r#"{"moving-time-window": 0}"#,
    r#"{"moving-time-window": 1e300}"#,
    r#"{"fixed-time-window": 0.000001}"#,
    r#"{"fixed-time-window": 1e300}"#,
    r#"{"fixed-time-window": 5, "align": "start"}"#,
    r#"{"batch": 0, "every": 1e300}"#,
    r#"{"batch": 2, "every": 5, "edges": true}"#,
    r#"{"coalesce": 5}"#,
    r#"{"coalesce": 1e300}"#,
    r#"{"project": []}"#,
    r#"{"project": ["metric > 0", "true"]}"#,
    r#"{"fold-interval": 5, "f": {"fold": "std-dev"}}"#,
    r#"{"fold-interval": 5, "field": "tags", "f": {"fold": "quotient"}}"#,
    r#"{"rate": 5}"#,
    r#"{"rate": 1e300}"#,
    r#"{"percentiles": [], "every": 5}"#,
    r#"{"percentiles": [0, 0.5, 1], "every": 5}"#,
    r#"{"counter": 9223372036854775807}"#,
    r#"{"ddt": true}"#,
    r#"{"ddt": 5}"#,
    r#"{"ewma-timeless": 1}"#,
    r#"{"ewma": 0.000001}"#,
    r#"{"ewma": 1e300}"#,
    r#"{"top": 0, "f": "metric"}"#,
    r#"{"top": 1, "f": "metric", "demote": true}"#,
    r#"{"apdex": 5, "satisfied": "metric > 0", "tolerated": "true"}"#,
    r#"{"predict-linear": 2, "ahead": 1e300, "reuse": 1e300}"#,
    r#"{"clock-skew": true}"#,
    r#"{"sum-over-time": true}"#,
    r#"{"mean-over-time": true}"#,
    r#"{"fill-in": 5, "event": {}}"#,
    r#"{"fill-in": 1e300, "event": {"metric": 1}}"#,
    r#"{"fill-in-last": 5, "f": {"append": "x"}}"#,
    r#"{"interpolate-constant": 5}"#,
    r#"{"changed": "state", "pairs": true}"#,
    r#"{"changed-state": true}"#,
    r#"{"stable": 0}"#,
    r#"{"stable": 1e300}"#,
    r#"{"runs": 0}"#,
    r#"{"runs": 2, "field": "metric"}"#,
    r#"{"throttle": 0, "every": 1e300}"#,
    r#"{"throttle": 2, "every": 5}"#,
    r#"{"rollup": 0, "every": 5}"#,
    r#"{"rollup": 1, "every": 1e300}"#,
    r#"{"parse": "value"}"#,
    r#"{"emit": true}"#,
    r#"{"log": "info"}"#,
];

/// What comes before a stage: events as they are, lists of them, lists of lists, text, nothing.
const BEFORE: &[&str] = &[
    "",
    r#"{"moving-event-window": 2},"#,
    r#"{"moving-event-window": 2}, {"moving-event-window": 2},"#,
    r#"{"moving-event-window": 0},"#,
    r#"{"smap": "host"},"#,
    r#"{"smap*": "no such field"},"#,
    r#"{"with": {"time": 0}, "without": ["time", "metric", "host"]},"#,
];

fn settings(pipeline: &str) -> Vec<u8> {
    let manifest = tidegate_engine::manifest::Manifest::from_json(
        <Standard as tidegate_sdk::rt::RuleManifest>::MANIFEST.as_bytes(),
    );
    let set = std::collections::BTreeMap::from([("pipeline".to_owned(), pipeline.to_owned())]);
    let to = std::collections::BTreeMap::from([("main".to_owned(), "main".to_owned())]);
    manifest.unwrap().resolve(&set, &to).unwrap().settings
}

/// Time, metric, time-to-live and state.
type Row = (Timestamp, Option<Metric>, Option<f32>, Option<&'static str>);

fn play(pipeline: &str, events: &[Row], end: Timestamp) {
    let mut runner = Runner::<Standard>::new();
    if let Err(error) = runner.bind(0, &settings(pipeline)) {
        panic!("{pipeline}: {error}");
    }
    let mut now = Timestamp::EPOCH;
    for (number, (time, metric, ttl, state)) in events.iter().enumerate() {
        let mut rows = BatchBuilder::new();
        rows.push(&NewEvent {
            host: Some(["a", "b", ""][number % 3]),
            service: Some("s"),
            state: *state,
            metric: *metric,
            ttl: *ttl,
            time: Some(*time),
            tags: &["reset", "x"][..number % 3],
            attributes: &[("value", "{\"metric\": [1e999, null, {}], \"tags\": 5, \"time\": \"x\"}")],
            ..NewEvent::default()
        });
        now = now.max(Timestamp(time.0.min(i64::MAX / 4)));
        let mut batch = rows.finish();
        batch.header.now = now;
        call(&mut runner, &batch);
        now = now + Span::secs(7);
        let mut batch = Batch::default();
        batch.header.now = now;
        call(&mut runner, &batch);
    }
    let mut batch = Batch::default();
    batch.header.now = end;
    call(&mut runner, &batch);
}

fn call(runner: &mut Runner<Standard>, batch: &Batch) {
    let mut block = batch.header_bytes().to_vec();
    block.extend_from_slice(batch.row_bytes());
    block.extend_from_slice(batch.string_bytes());
    runner.call(&block, &mut Reply::default());
}

#[test]
fn no_stage_panics_whatever_comes() {
    let at = Timestamp::from_secs;
    let int = |value: i64| Some(Metric::Int(value));
    let float = |value: f64| Some(Metric::Float(value));
    let events = [
        (at(10), int(i64::MAX), None, Some("ok")),
        (at(10), int(i64::MIN), Some(0.0), Some("ok")),
        (at(11), None, Some(-5.0), None),
        (Timestamp(i64::MIN), float(f64::NAN), Some(f32::MAX), Some("ok")),
        (at(12), float(f64::INFINITY), Some(f32::NAN), Some("expired")),
        (Timestamp(i64::MAX - 1), float(f64::NEG_INFINITY), Some(f32::NEG_INFINITY), Some("ok")),
        (at(20), int(-1), None, Some("bad")),
        (at(19), int(0), Some(f32::INFINITY), Some("bad")),
        (Timestamp(i64::MAX / 2), float(-0.0), None, Some("bad")),
        (at(-5), int(1), None, Some("bad")),
    ];
    for semantics in ["tidegate", "riemann"] {
        for before in BEFORE {
            for stage in STAGES {
                let pipeline = format!(
                    r#"{{"semantics": "{semantics}", "stage": [{before} {stage}, {{"to": "main", "as": "json"}}, {{"to": "main"}}]}}"#
                );
                play(&pipeline, &events, Timestamp::NEVER);
            }
        }
    }
}

#[test]
fn a_stage_behind_every_other_takes_what_it_gives() {
    let at = Timestamp::from_secs;
    let events: Vec<_> = (0..6i64)
        .map(|number| {
            (
                at(number * 3),
                Some(Metric::Int(number % 4)),
                Some(9.0),
                [Some("ok"), None][number as usize % 2],
            )
        })
        .collect();
    for semantics in ["tidegate", "riemann"] {
        // What passes on ten thousand lists at once takes its time.
        for first in STAGES.iter().filter(|stage| !stage.contains("window\": 0.000001")) {
            for second in STAGES {
                let pipeline = format!(
                    r#"{{"semantics": "{semantics}", "stage": [{first}, {second}, {{"to": "main"}}]}}"#
                );
                play(&pipeline, &events, at(60));
            }
        }
    }
}
