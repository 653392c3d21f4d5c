//! What a backtest promises, with the program's own rules over logs and files written here.

use super::*;
use crate::log::{Log, Retention};
use crate::rules;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use tidegate_event::{BatchBuilder, Metric, NewEvent};

/// When everything here begins.
const BEGIN: Timestamp = Timestamp::from_secs(1_700_000_000);
const SEED: u64 = 7;

/// A folder with a log in it.
struct Recorded {
    folder: TempDir,
    log: Log,
    position: u64,
}

impl Recorded {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = Self::open(&folder);
        Self { folder, log, position: 0 }
    }

    fn open(folder: &TempDir) -> Log {
        let retention = Retention { segment: 64 << 10, ..Retention::default() };
        Log::open(folder.path(), retention, Arc::default()).unwrap().0
    }

    fn stamped(&mut self, at: Timestamp, mut events: BatchBuilder) -> Batch {
        events.stamp(SEED, at);
        self.position += 1;
        let mut batch = events.finish();
        (batch.header.position, batch.header.now) = (self.position, at);
        batch
    }

    /// Events that came in at a time.
    fn batch(&mut self, at: Timestamp, events: BatchBuilder) {
        let batch = self.stamped(at, events);
        self.log.batch(&batch);
        self.log.write(Vec::new).unwrap();
    }

    /// Events that a rule emitted.
    fn emitted(&mut self, at: Timestamp, rule: &str, event: &NewEvent<'_>) {
        let mut events = BatchBuilder::new();
        events.push(event);
        let mut marked = BatchBuilder::new();
        marked.copy(&events.event(0), tidegate_event::FieldSet::ALL, |row| row.binding = mark_of(rule));
        let batch = self.stamped(at, marked);
        self.log.emitted(batch.header.position - 1, &batch);
        self.log.write(Vec::new).unwrap();
    }

    /// A wandering metric on so many streams: a batch of ten events every 10 ms.
    fn fleet(mut self, streams: u64, batches: u64) -> Self {
        let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
        for number in 0..batches {
            let at = BEGIN + Span::millis(10 * number as i64);
            let mut events = BatchBuilder::new();
            for row in 0..10 {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                let stream = (number * 10 + row) % streams;
                let wave = (number / 50 % 7) as f64 * 10.0;
                events.push(&NewEvent {
                    time: Some(at),
                    host: Some(&format!("web{stream}")),
                    service: Some("api"),
                    metric: Some(Metric::Float(wave + (noise >> 40) as f64 / 1e6)),
                    ttl: Some(if stream.is_multiple_of(5) { 0.05 } else { 60.0 }),
                    ..NewEvent::default()
                });
            }
            self.batch(at, events);
        }
        self
    }

    fn source(&self) -> Source {
        Source::Log(Past { folder: self.folder.path().to_owned(), seed: Some(SEED), without: Vec::new() })
    }
}

fn rule(name: &str, set: &[(&str, &str)]) -> Candidate {
    let set: BTreeMap<_, _> = set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let wasm = rules::find(name).unwrap().wasm.to_vec();
    Candidate::of_module(wasm, &Wishes { set, ..Wishes::default() }, true).unwrap()
}

fn average(limit: &str) -> Candidate {
    rule("moving-average", &[("limit", limit), ("weight", "0.3")])
}

fn plan(rule: Candidate, source: Source) -> Plan {
    let mut plan = Plan {
        rule,
        against: None,
        source,
        range: Range::ALL,
        warm_up: Span::ZERO,
        shards: 1,
        instructions: 500,
        default_ttl: Span::secs(60),
        max_streams: 10_000,
    };
    let own = plan.own_marks();
    if let Source::Log(past) = &mut plan.source {
        past.without = own;
    }
    plan
}

fn run(plan: &Plan) -> Report {
    plan.run(&Progress::default()).unwrap()
}

fn told(plan: &Plan) -> String {
    serde_json::to_string_pretty(&run(plan)).unwrap()
}

/// Every number of shards, and one of them often, gives these bytes.
fn always_the_same(plan: &Plan) -> Report {
    let first = told(plan);
    for shards in [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 5] {
        let again = told(&Plan { shards, ..plan.clone() });
        assert!(again == first, "with {shards} shards:\n{again}\nat first:\n{first}");
    }
    run(plan)
}

#[test]
fn the_same_bytes_ten_times_and_on_one_two_and_five_shards() {
    let log = Recorded::new().fleet(40, 1_000);
    let mut plan = plan(average("38"), log.source());
    plan.against = Some(average("42"));
    let report = always_the_same(&plan);
    assert_eq!((report.read.events, report.read.batches), (10_000, 1_000));
    assert!(report.rule.wanted >= 10_000, "goodbyes are given to the rule as well: {}", report.rule.wanted);
    assert!(report.rule.fired.count > 50, "it fired {} times", report.rule.fired.count);
    assert_eq!(report.rule.keys.most, 40);
    assert_eq!(report.rule.effects.outputs.keys().collect::<Vec<_>>(), ["pager"]);
    let counted = report.rule.instructions.unwrap();
    assert!(counted.events >= 500 && counted.events < 700 && counted.per_event > 20, "{counted:?}");
}

#[test]
fn wakes_and_ends_of_streams_come_at_their_own_time_on_every_shard() {
    let mut log = Recorded::new();
    for number in 0..50 {
        let mut events = BatchBuilder::new();
        for host in ["a", "b", "c"].iter().take(if number < 5 { 3 } else { 2 }) {
            events.push(&NewEvent {
                host: Some(host),
                service: Some("s"),
                ttl: Some(7.5),
                ..NewEvent::default()
            });
        }
        log.batch(BEGIN + Span::secs(number), events);
    }
    let report = always_the_same(&plan(rule("service-silent", &[]), log.source()));
    let fired: Vec<_> = report.rule.fired.intervals.iter().map(|it| (it.host.as_deref(), it.from)).collect();
    // It spoke last at 4 s and its ttl is 7.5 s; the time that comes after that is 1 µs later.
    assert_eq!(fired, [(Some("c"), BEGIN + Span::millis(11_500) + Span(1))]);
    assert_eq!(report.rule.effects.outputs["tell"], 4);
    assert_eq!((report.rule.fired.standing, report.rule.keys.last), (1, 2));
}

#[test]
fn versions_that_differ_are_told_apart_and_the_same_ones_are_not() {
    let log = Recorded::new().fleet(10, 600);
    let mut plan = plan(average("30"), log.source());
    plan.against = Some(average("30"));
    let report = run(&plan);
    let differences = report.differences.unwrap();
    assert!(differences.is_empty() && differences.effects.same > 20, "{:?}", differences.effects.same);
    assert!(differences.fired.new.is_empty() && differences.fired.gone.is_empty());
    assert_eq!(differences.fired.same, report.rule.fired.count);

    plan.against = Some(average("45"));
    let report = run(&plan);
    let (rule, against) = (&report.rule, report.against.as_ref().unwrap());
    let differences = report.differences.as_ref().unwrap();
    let effects = &differences.effects;
    assert_eq!(effects.same + effects.only_rule, rule.effects.outputs["pager"]);
    assert_eq!(effects.same + effects.only_against, against.effects.outputs["pager"]);
    assert!(effects.only_rule > 0 && effects.only_against > 0);
    assert_eq!(effects.first.len() as u64, effects.only_rule + effects.only_against);
    assert_eq!(differences.fired.same + differences.fired.new.len() as u64, rule.fired.count);
    assert!(rule.fired.count > 0 && against.fired.count > 0);
}

#[test]
fn a_rule_that_fails_fails_the_same_on_every_shard() {
    let log = Recorded::new().fleet(40, 400);
    let mut failing = average("38");
    // Not one effect is allowed, so every call that asks for one fails.
    (failing.spec.limits.effects_base, failing.spec.limits.effects_per_row) = (0, 0);
    let report = always_the_same(&plan(failing, log.source()));
    let faults = &report.rule.faults;
    assert!(faults.count > 0 && faults.skipped > 0, "{faults:?}");
    assert_eq!((faults.first[0].kind, report.rule.effects.outputs["pager"]), ("output", 0));
    assert!(faults.first.iter().any(|fault| fault.quarantined_until.is_some()));
}

#[test]
fn caps_are_those_of_one_shard_however_many_there_are() {
    let log = Recorded::new().fleet(40, 200);
    let mut capped = average("38");
    capped.spec.limits.keys = 25;
    let report = always_the_same(&plan(capped, log.source()));
    assert!(report.rule.keys.over > 0 && report.rule.keys.most <= 26, "{:?}", report.rule.keys);
    let mut plan = plan(average("38"), log.source());
    plan.max_streams = 30;
    assert!(always_the_same(&plan).rule.keys.over > 0);
}

#[test]
fn what_the_rule_or_its_rival_emitted_then_is_left_out_and_what_others_did_is_history() {
    let mut log = Recorded::new();
    let event = NewEvent { host: Some("a"), metric: Some(Metric::Int(9)), ..NewEvent::default() };
    for (number, name) in ["moving-average", "error-ratio", "top-talkers"].iter().enumerate() {
        let at = BEGIN + Span::secs(number as i64);
        let mut events = BatchBuilder::new();
        events.push(&event);
        log.batch(at, events);
        log.emitted(at, name, &event);
    }
    let mut plan = plan(average("1"), log.source());
    let report = run(&plan);
    assert_eq!((report.read.events, report.read.own_left_out, report.rule.wanted), (5, 1, 5));
    plan.against = Some(rule("top-talkers", &[]));
    let own = plan.own_marks();
    plan.source = Source::Log(Past {
        without: own,
        ..match log.source() {
            Source::Log(past) => past,
            Source::File { .. } => unreachable!(),
        }
    });
    assert_eq!((run(&plan).read.events, run(&plan).read.own_left_out), (4, 2));
}

#[test]
fn a_range_is_read_alone_and_what_lies_before_it_only_warms_up() {
    let log = Recorded::new().fleet(10, 1_000);
    let whole = plan(average("38"), log.source());
    let (from, to) = (BEGIN + Span::secs(4), BEGIN + Span::secs(6));
    let part = Plan { range: Range { from, to }, ..whole.clone() };
    let report = run(&part);
    assert_eq!(
        (report.read.from.as_deref(), report.read.to.as_deref()),
        (Some(&*moment(from)), Some(&*moment(to)))
    );
    assert_eq!(report.read.events, 2_010);
    let warm = run(&Plan { warm_up: Span::secs(100), ..part });
    assert_eq!(warm.read.events, 6_010);
    assert_eq!(warm.rule.wanted, report.rule.wanted);
    // What has been learnt from the beginning on gives what the whole gave in that time.
    let until = Plan { range: Range { to, ..Range::ALL }, ..whole };
    let in_time: Vec<_> =
        run(&until).rule.fired.intervals.into_iter().filter(|interval| interval.from >= from).collect();
    let begun: Vec<_> = warm.rule.fired.intervals.clone();
    assert!(!in_time.is_empty());
    assert_eq!(begun, in_time);
}

#[test]
fn a_torn_end_is_told_and_left_as_it_is() {
    let log = Recorded::new().fleet(10, 300);
    let files = || {
        let mut files: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(log.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    assert!(files().len() > 1, "the log has several segments");
    let whole = run(&plan(average("38"), log.source()));
    assert_eq!((whole.read.events, whole.read.torn), (3_000, 0));
    let (last, bytes) = files().pop().unwrap();
    fs::write(&last, &bytes[..bytes.len() - 100]).unwrap();
    let before = files();
    let torn = run(&plan(average("38"), log.source()));
    assert_eq!(torn.read.events, 2_990);
    assert!(torn.read.torn > 0);
    assert_eq!(files(), before, "nothing was cut off");
}

#[test]
fn a_log_whose_seed_nobody_knows_gives_the_same_as_one_whose_seed_is_known() {
    let log = Recorded::new().fleet(10, 200);
    let known = plan(rule("error-ratio", &[("errors", "api")]), log.source());
    let Source::Log(past) = known.source.clone() else { unreachable!() };
    let unknown = Plan { source: Source::Log(Past { seed: None, ..past }), ..known.clone() };
    assert_eq!(run(&known).rule.wanted, run(&unknown).rule.wanted);
    let unknown = Plan { rule: average("38"), ..unknown };
    let known = Plan { rule: average("38"), ..known };
    assert_eq!(told(&unknown), told(&known));
}

const LINES: &str = r#"{"time":1700000000,"host":"a","service":"x","metric":1,"tags":["p","q"],"zone":"eu"}
{"time":1700000002.5,"host":"a","service":"x","metric":90}

{"time":"2023-11-14T22:13:21Z","host":"a","service":"x","metric":80,"ttl":30}
{"host":"a","service":"x","metric":70,"state":"ok","description":"fine, \"really\""}
{"time":1700000010,"host":"b","service":"x","metric":1.5}
"#;

const TABLE: &str = "time,host,service,metric,tags,zone,ttl,state,description
1700000000,a,x,1,p q,eu,,,
1700000002.5,a,x,90,,,,,
2023-11-14T22:13:21Z,a,x,80,,,30,,
,a,x,70,,,,ok,\"fine, \"\"really\"\"\"
1700000010,b,x,1.5,,,,,
";

fn file(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> Source {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let format = Format::of(&path).unwrap();
    Source::File { path, format, seed: 0 }
}

#[test]
fn lines_tables_and_messagepack_are_the_same_events() {
    let folder = tempfile::tempdir().unwrap();
    let lines = always_the_same(&plan(average("60"), file(&folder, "a.ndjson", LINES)));
    assert_eq!((lines.read.events, lines.read.untimed, lines.read.late.events), (5, 1, 1));
    assert_eq!(lines.read.late.most, 1_500_000);
    assert_eq!(lines.rule.fired.count, 0);
    let mut packed = Vec::new();
    for line in LINES.lines().filter(|line| !line.is_empty()) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        packed.extend(rmp_serde::to_vec(&value).unwrap());
    }
    let lines = told(&plan(average("20"), file(&folder, "a.ndjson", LINES)));
    assert_eq!(told(&plan(average("20"), file(&folder, "a.msgpack", packed))), lines);
    assert_eq!(told(&plan(average("20"), file(&folder, "a.csv", TABLE))), lines);
    assert!(lines.contains("\"state\": \"critical\""), "{lines}");
}

#[test]
fn events_of_a_file_out_of_order_are_late_and_time_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let line = |at: i64| format!("{{\"time\":{at},\"host\":\"h\",\"service\":\"s\",\"ttl\":5}}\n");
    let lines: String = [0, 4, 1, 2, 8, 30, 3].into_iter().map(line).collect();
    let report = always_the_same(&plan(rule("service-silent", &[]), file(&folder, "a.ndjson", lines)));
    assert_eq!((report.read.late.events, report.read.late.most), (3, 27_000_000));
    assert_eq!(report.read.to.as_deref(), Some("1970-01-01T00:00:30.000Z"));
    let fired = &report.rule.fired.intervals;
    // What is late is in the index with its own time, and so runs out sooner than what it came behind.
    let intervals: Vec<_> = fired.iter().map(|it| (it.from, it.until)).collect();
    assert_eq!(
        intervals,
        [
            (Timestamp(7_000_001), Some(Timestamp::from_secs(8))),
            (Timestamp(13_000_001), Some(Timestamp::from_secs(30))),
            (Timestamp::from_secs(30), None),
        ]
    );
}

#[test]
fn mistakes_in_a_file_are_named_by_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let error = |name: &str, bytes: &[u8]| {
        let plan = plan(average("1"), file(&folder, name, bytes));
        let error = plan.run(&Progress::default()).unwrap_err();
        format!("{error:#}").replace(&format!("{}/", folder.path().display()), "")
    };
    for (name, bytes, expected) in [
        ("a.ndjson", "{\"time\":1}\n{\"time\":2,\"metric\":\"x\"}\n", "a.ndjson: line 2: "),
        ("a.ndjson", "{\"host\":\"a\"}\n", "a.ndjson: line 1: the first event has no `time`"),
        (
            "a.csv",
            "time,metric\n1,2\n2,much\n",
            "a.csv: line 3, column `metric`: a number was expected, found \"much\"",
        ),
        ("a.csv", "time,metric\n1,2\n2\n", "a.csv: line 3: 2 columns were expected, found 1"),
        ("a.csv", "time\nsoon\n", "a.csv: line 2, column `time`: seconds since 1970"),
        ("a.csv", "host\na\n", "a.csv: line 1: a column `time` was expected, found host"),
        ("a.csv", "time,time\n1,1\n", "a.csv: line 1: two columns are named `time`"),
        ("a.msgpack", "\u{1}", "a.msgpack: event 1: "),
    ] {
        let found = error(name, bytes.as_bytes());
        assert!(found.starts_with(expected), "{found:?} was found, {expected:?} expected");
    }
    let wrong = Format::of("a.txt".as_ref()).unwrap_err().to_string();
    assert!(wrong.contains("ends in .ndjson, .csv or .msgpack"), "{wrong}");
}

#[test]
fn nothing_at_all_is_a_report_as_well() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("a.ndjson", ""), ("a.csv", "time,metric\n"), ("a.msgpack", "")] {
        let report = always_the_same(&plan(average("1"), file(&folder, name, bytes)));
        assert_eq!((report.read.events, report.read.from, report.rule.wanted), (0, None, 0), "{name}");
    }
    let log = Recorded::new();
    let report = always_the_same(&plan(average("1"), log.source()));
    assert_eq!(report.read.events, 0);
    let nowhere = Past { folder: "/nowhere/log".into(), seed: None, without: Vec::new() };
    let error = plan(average("1"), Source::Log(nowhere)).run(&Progress::default()).unwrap_err();
    assert!(error.to_string().contains("there is no log in /nowhere/log"), "{error}");
}

#[test]
fn the_page_needs_nothing_else_and_obeys_nobody() {
    let mut log = Recorded::new();
    let evil = "<script src=https://evil.example/x.js></script>\"'&";
    for number in 0..40 {
        let mut events = BatchBuilder::new();
        let metric = Metric::Float(if (10..25).contains(&number) { 90.0 } else { 1.0 });
        events.push(&NewEvent {
            host: Some(evil),
            service: Some("s"),
            metric: Some(metric),
            ..NewEvent::default()
        });
        log.batch(BEGIN + Span::secs(number), events);
    }
    let mut plan = plan(average("40"), log.source());
    plan.against = Some(average("60"));
    let report = run(&plan);
    let series = plan.series(&report, &Progress::default()).unwrap().unwrap();
    assert_eq!(series.all.iter().map(|stretch| stretch.events).sum::<u64>(), 40);
    assert_eq!(series.keys.len(), 1);
    let page = page::page(&report, Some(&series));
    assert!(!page.contains("<script") && page.contains("&lt;script"), "{page}");
    for outside in ["src=\"", "href=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside} is in the page");
    }
    assert_eq!(page.matches("<svg").count(), 2);
    assert!(page.contains("class=\"shade critical\"") && page.contains("polyline"));
}
