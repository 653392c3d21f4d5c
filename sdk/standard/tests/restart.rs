//! What a pipeline remembers survives a save and a restore, whatever the pipeline is and wherever it is interrupted.

use proptest::prelude::*;
use standard::Standard;
use std::fmt::Write;
use tidegate_testkit::Scene;

const STAGES: &[&str] = &[
    r#"{"where": "metric > 1"}"#,
    r#"{"default": {"metric": 3}}"#,
    r#"{"scale": 2}"#,
    r#"{"sreduce": "max-metric"}"#,
    r#"{"by": "host", "idle": "20s"}"#,
    r#"{"by": ["service", "state"], "forks": 2}"#,
    r#"{"by": "host"}, {"changed": "state"}"#,
    r#"{"dual": "metric > 2", "then": [{"counter": 0}, {"next": true}], "else": []}"#,
    r#"{"each": [[{"throttle": 1, "every": "5s"}, {"next": true}], [{"rollup": 1, "every": "5s"}, {"sflatten": true}, {"next": true}]]}"#,
    r#"{"moving-event-window": 3}, {"smap": {"fold": "mean"}}"#,
    r#"{"fixed-event-window": 2}, {"sflatten": true}"#,
    r#"{"moving-time-window": "6s"}, {"smap": {"fold": "maximum"}}"#,
    r#"{"fixed-time-window": "6s"}, {"smapcat": {"fold": "modes"}}"#,
    r#"{"batch": 3, "every": "7s"}, {"sflatten": true}"#,
    r#"{"coalesce": "4s"}, {"smap": {"fold": "sum"}}"#,
    r#"{"project": ["metric > 1", "host = 'a'"]}, {"smap": {"fold": "count"}}"#,
    r#"{"fold-interval": "5s", "f": {"fold": "sum"}}"#,
    r#"{"rate": "5s"}"#,
    r#"{"percentiles": [0.5, 1], "every": "6s"}"#,
    r#"{"counter": 5}"#,
    r#"{"ddt": true}"#,
    r#"{"ddt": "5s"}"#,
    r#"{"ewma-timeless": 0.25}"#,
    r#"{"ewma": "3s"}"#,
    r#"{"top": 1, "f": "metric", "bottom": [{"tag": "low"}, {"next": true}]}"#,
    r#"{"apdex": "5s", "satisfied": "metric < 2", "tolerated": "metric < 4"}"#,
    r#"{"predict-linear": 3, "ahead": "10s", "reuse": "5s"}"#,
    r#"{"clock-skew": true}"#,
    r#"{"mean-over-time": true}"#,
    r#"{"fill-in": "4s", "event": {"host": "gap", "metric": 1}}"#,
    r#"{"fill-in-last": "4s", "set": {"state": "gap"}}"#,
    r#"{"interpolate-constant": "4s"}"#,
    r#"{"changed-state": true}"#,
    r#"{"stable": "5s"}"#,
    r#"{"runs": 2}"#,
    r#"{"throttle": 2, "every": "5s"}"#,
    r#"{"rollup": 1, "every": "5s"}, {"sflatten": true}"#,
];

/// A line of a table: how much later, who, what.
type Line = (u8, u8, u8, u8, u8);

fn table(lines: &[Line], mut now: u32) -> (String, u32) {
    let mut table = "at host service state metric ttl\n".to_owned();
    for (pause, host, service, state, metric) in lines {
        now += u32::from(*pause);
        let host = ["a", "b", "-"][usize::from(*host) % 3];
        let service = ["x", "y"][usize::from(*service) % 2];
        let state = ["ok", "bad", "-", "ok", "expired"][usize::from(*state) % 5];
        let metric = match metric % 6 {
            5 => "-".to_owned(),
            metric => metric.to_string(),
        };
        let ttl = ["-", "8s", "30s"][usize::from(*pause) % 3];
        writeln!(table, "{now}s {host} {service} {state} {metric} {ttl}").unwrap();
    }
    (table, now)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_restart_changes_nothing(
        stages in prop::collection::vec(prop::sample::select(STAGES), 1..4),
        riemann in any::<bool>(),
        first in prop::collection::vec(any::<(u8, u8, u8, u8, u8)>().prop_map(|(a, b, c, d, e)| (a % 5, b, c, d, e)), 1..12),
        second in prop::collection::vec(any::<(u8, u8, u8, u8, u8)>().prop_map(|(a, b, c, d, e)| (a % 5, b, c, d, e)), 1..12),
    ) {
        // Text in a setting stands in single quotes.
        let stages = stages.join(", ").replace('\'', "\\\"");
        let semantics = if riemann { "riemann" } else { "tidegate" };
        let pipeline = format!(r#"{{"semantics": "{semantics}", "stage": [{stages}, {{"to": "main"}}]}}"#);
        let scene = || Scene::<Standard>::with(&format!("pipeline = '{pipeline}'"));
        let (before, now) = table(&first, 0);
        let (mut after, now) = table(&second, now);
        writeln!(after, "{}s", now + 30).unwrap();
        let straight = scene().play(&before).play(&after);
        let restarted = scene().play(&before).restart().play(&after);
        prop_assert_eq!(straight.transcript(), restarted.transcript(), "{}", pipeline);
    }
}

#[test]
fn the_deepest_that_is_remembered_is_saved() {
    let window = r#"{"moving-event-window": 1},"#.repeat(16);
    let pipeline = format!(r#"{{"stage": [{{"parse": "json"}}, {window} {{"to": "main"}}]}}"#);
    let json =
        |depth: usize| (1..depth).fold(r#"{"x":1}"#.to_owned(), |json, _| format!(r#"{{"x":{json}}}"#));
    for (depth, fits) in [(16, true), (17, false), (100, false)] {
        let table = |at: u32| format!("at host json\n{at}s web1 '{}'", json(depth));
        let scene = Scene::<Standard>::with(&format!("pipeline = '{pipeline}'"));
        let played = scene.play(&table(0)).restart().play(&table(1));
        let told = played.transcript();
        assert_eq!(told.matches("live").count(), if fits { 2 } else { 0 }, "{depth}: {told}");
        assert_eq!(
            told.matches("JSON at most 16 deep was expected").count(),
            if fits { 0 } else { 2 },
            "{told}"
        );
    }
}
