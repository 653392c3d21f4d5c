//! Recording and backtests, as a user types them.

use crate::scratch::{self, Scratch};
use crate::{has, module};
use serde_json::Value;

const EVENTS: &str = "time,host,service,metric
0,web1,api,10
1,web1,api,900
2,web1,api,900
3,web1,api,10
2,web2,api,10
9,web1,api,10
";

/// A module, events, and the arguments that try one on the other.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("rule.wasm", module());
    scratch.write("events.csv", EVENTS);
    scratch
}

const TRY: [&str; 6] = ["backtest", "rule.wasm", "--file", "events.csv", "--set", "weight=1"];

#[test]
fn a_file_of_events_shows_when_a_rule_would_have_fired() {
    let scratch = scratch();
    let with = |more: &[&str]| scratch.run([&TRY[..], &["--set", "limit=100"], more].concat());
    let text = with(&[]).fine();
    has(&text, "read     6 events, 1970-01-01T00:00:00.000Z to 1970-01-01T00:00:09.000Z");
    has(&text, "late     1 (16.67 %)");
    has(&text, "said 2 to pager; fired 1 time");
    has(&text, "1970-01-01T00:00:01.000Z  1970-01-01T00:00:03.000Z  critical  web1  api      pager");
    let json = with(&["--json"]);
    has(&json.err, "6 events in ");
    let again = with(&["--json", "--shards", "3"]).fine();
    assert_eq!(json.out, again);
    let report: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&report["schema"], &report["rule"]["wanted"]), (&1.into(), &6.into()));
    assert_eq!(report["rule"]["fired"]["intervals"][0]["until"], "1970-01-01T00:00:03.000Z");
    with(&["--html", "report.html"]).fine();
    let page = std::fs::read_to_string(scratch.path("report.html")).unwrap();
    has(&page, "<svg");
    has(&page, "web1");
}

#[test]
fn what_must_not_be_ends_with_1() {
    let scratch = scratch();
    let with = |more: &[&str]| scratch.run([&TRY[..], more].concat());
    let fired = ["--set", "limit=100", "--fail-on"];
    has(&with(&[&fired[..], &["faults,fired"]].concat()).fails(1), "1 fired interval, none was allowed");
    has(&with(&[&fired[..], &["late"]].concat()).fails(1), "1 late event, none was allowed");
    with(&[&fired[..], &["faults"]].concat()).fine();
    let against = ["--set", "limit=100", "--against", "rule.wasm", "--fail-on", "differences"];
    has(&with(&against).fine(), "1 the same");
}

#[test]
fn wrong_use_of_a_backtest_is_2_and_what_cannot_be_read_is_named() {
    let scratch = scratch();
    has(&scratch.run(TRY).fails(2), "parameter limit (number) is missing");
    has(&scratch.run([&TRY[..], &["--set", "lmit=1"]].concat()).fails(2), "no such parameter; it has limit");
    has(&scratch.run([&TRY[..], &["--set", "limit=1", "--where", "a ="]].concat()).fails(2), "the query: ");
    has(
        &scratch.run([&TRY[..], &["--set", "limit=1", "--from", "-2h"]].concat()).fails(2),
        "of a file are times",
    );
    has(&scratch.run(["backtest", "nowhere.wasm"]).fails(3), "nowhere.wasm cannot be read");
    has(&scratch.run(["backtest", "rule.wasm", "--set", "limit=1"]).fails(1), "there is no log in ");
    scratch.write("bad.csv", "time,metric\n1,x\n");
    let bad = ["backtest", "rule.wasm", "--set", "limit=1", "--file", "bad.csv"];
    has(&scratch.run(bad).fails(1), "line 2, column `metric`: a number was expected, found \"x\"");
}

#[test]
fn the_log_of_a_node_is_backtested_while_it_runs_and_after_it_has_stopped() {
    let mut scratch = scratch();
    let node = scratch.node(&["--data", "data"]);
    scratch.run(["deploy", "rule.wasm", "--name", "slow", "--set", "limit=100", "--set", "weight=1"]).fine();
    for metric in ["10", "900", "20"] {
        scratch.run(["send", "--host", "web1", "--service", "api", "--metric", metric]).fine();
    }
    let mut outputs = Vec::new();
    let with = |scratch: &Scratch, rule: &str, more: &[&str]| {
        let fixed =
            ["backtest", rule, "--data", "data", "--where", "service = \"api\"", "--json", "--from", "-1h"];
        scratch.run([&fixed[..], more].concat()).fine()
    };
    outputs.push(with(&scratch, "slow", &[]));
    node.stop().fine();
    for shards in ["1", "2"] {
        outputs.push(with(&scratch, "slow", &["--shards", shards]));
    }
    for output in &outputs {
        let report: Value = serde_json::from_str(output).unwrap();
        assert_eq!(
            (&report["rule"]["wanted"], &report["rule"]["fired"]["count"]),
            (&3.into(), &1.into()),
            "{output}"
        );
    }
    assert_eq!(outputs[1], outputs[2]);
    // The new version takes the settings of the one that it would replace, but for what is said.
    let report = with(&scratch, "rule.wasm", &["--against", "slow", "--set", "limit=1000"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["rule"]["set"]["weight"], &report["rule"]["set"]["limit"]),
        (&"1".into(), &"1000".into())
    );
    assert_eq!(report["differences"]["fired"]["gone"].as_array().map(Vec::len), Some(1));
    has(
        &scratch.run(["backtest", "rule.wasm", "--data", "data", "--against", "fast"]).fails(3),
        "there are slow",
    );
}

#[test]
fn a_rule_inside_the_program_is_tried_by_its_name_unless_one_is_deployed_under_it() {
    let mut scratch = scratch();
    // A file of that name is somebody else's.
    scratch.write("moving-average", "no module");
    let tried = ["backtest", "moving-average", "--data", "data", "--file", "events.csv", "--json"];
    let limit =
        |output: String| serde_json::from_str::<Value>(&output).unwrap()["rule"]["set"]["limit"].clone();
    assert_eq!(limit(scratch.run([&tried[..], &["--set", "limit=7"]].concat()).fine()), "7");
    has(&scratch.run(tried).fails(2), "parameter limit (number) is missing");
    let node = scratch.node(&["--data", "data"]);
    scratch.run(["deploy", "moving-average", "--name", "moving-average", "--set", "limit=100"]).fine();
    node.stop().fine();
    assert_eq!(limit(scratch.run(tried).fine()), "100");
}

#[test]
fn what_is_recorded_can_be_sent_again_and_backtested() {
    let mut scratch = scratch();
    let _node = scratch.node(&["--no-log"]);
    for (file, json) in [("a.ndjson", false), ("a.msgpack", true)] {
        let mut record = scratch.command(scratch::TIDEGATE);
        record.args(["record", "--out", file, "--where", "service = \"api\"", "--events", "3"]);
        record.args(json.then_some("--json"));
        let record = record.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let (done, stop) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            // There is no telling when the recording has begun, so events come until it has enough.
            let scratch = &scratch;
            scope.spawn(move || {
                while stop.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    scratch.run(["send", "--host", "web1", "--service", "api", "--metric", "7"]).fine();
                    scratch.run(["send", "--host", "web1", "--service", "other"]).fine();
                }
            });
            let output = record.wait_with_output().unwrap();
            drop(done);
            assert!(output.status.success());
            let said = String::from_utf8(output.stdout).unwrap();
            has(&said, if json { "{\"events\":3,\"missed\":0}" } else { "3 events recorded, 0 missed" });
        });
        let tried = ["backtest", "rule.wasm", "--set", "limit=1", "--json", "--file", file];
        let report: Value = serde_json::from_str(&scratch.run(tried).fine()).unwrap();
        assert_eq!((&report["read"]["events"], &report["rule"]["wanted"]), (&3.into(), &3.into()));
    }
    let lines = std::fs::read_to_string(scratch.path("a.ndjson")).unwrap();
    assert_eq!(scratch.feed(["send"], &lines).fine(), "3 events acked\n");
    let again = ["record", "--out", "a.ndjson", "--events", "1"];
    has(&scratch.run(again).fails(1), "a.ndjson cannot be made");
}
