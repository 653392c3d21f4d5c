//! The program as its users have it: the real binary, its exit codes, what it prints, and a node at the other end.

#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/logging.rs"]
mod logging;
#[path = "cli/outputs.rs"]
mod outputs;
#[path = "cli/page.rs"]
mod page;
#[path = "cli/past.rs"]
mod past;
#[path = "cli/rules.rs"]
mod rules;
#[path = "cli/scratch.rs"]
mod scratch;

use scratch::Scratch;
use serde_json::Value;

/// Every verb there is.
const VERBS: [&str; 22] = [
    "run",
    "check",
    "new",
    "build",
    "test",
    "backtest",
    "deploy",
    "rollback",
    "rules",
    "modules",
    "alerts",
    "silences",
    "dead-letters",
    "output",
    "query",
    "doctor",
    "tap",
    "record",
    "send",
    "log",
    "bench",
    "completions",
];

/// A built-in module.
fn module() -> &'static [u8] {
    tidegate::rules::find("moving-average").expect("it is built in").wasm
}

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in:\n{text}");
}

#[test]
fn every_verb_has_help_and_the_program_lists_them_all() {
    let scratch = Scratch::new();
    let all = scratch.run(["--help"]).fine();
    for verb in VERBS {
        has(&all, &format!("\n  {verb} "));
        has(&scratch.run([verb, "--help"]).fine(), &format!("Usage: tidegate {verb}"));
    }
    has(&all, "Exit codes: 0 fine, 1 it failed");
    assert_eq!(scratch.run(["--version"]).fine(), format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_use_is_2_and_says_what_is_right() {
    let scratch = Scratch::new();
    has(&scratch.run(["depoly"]).fails(2), "similar subcommand exists: 'deploy'");
    has(&scratch.run(["query", "--limit", "0"]).fails(2), "1..=10000");
    has(&scratch.run(["deploy", "x.wasm", "--set", "limit"]).fails(2), "NAME=VALUE was expected");
    has(&scratch.run(["new", "Slow Api"]).fails(2), "a rule's name is 1 to 64 of a-z");
    has(&scratch.run(["new", "x", "--from", "nothing"]).fails(2), "\n  top-talkers ");
    has(
        &scratch.run(["new", "x", "--sdk", "/"]).fails(2),
        "the folder `sdk` of Tidegate's sources was expected",
    );
    has(&scratch.run(["build", "nowhere"]).fails(2), "there is no nowhere/Cargo.toml");
    has(&scratch.run(["test", "nowhere"]).fails(2), "there is no nowhere/Cargo.toml");
    has(
        &scratch.run(["query", "--server", "https://x"]).fails(2),
        "an address like http://127.0.0.1:5559 was expected",
    );
    has(&scratch.run(["send", "--metric", "much"]).fails(2), "a number was expected");
    has(&scratch.run(["record", "--out", "x.ndjson"]).fails(2), "--for <SPAN>");
    has(
        &scratch.run(["record", "--out", "x.txt", "--events", "1"]).fails(2),
        "ends in .ndjson, .csv or .msgpack",
    );
    has(
        &scratch.run(["backtest", "x.wasm", "--from", "yesterday"]).fails(2),
        "-2h (before the end of the log)",
    );
    has(&scratch.run([]).fails(2), "Usage: tidegate");
}

#[test]
fn a_wrong_configuration_is_3_and_all_of_it_is_drawn() {
    let scratch = Scratch::new();
    scratch.write("bad.toml", "[engine]\nshrads = 2\n[log]\nkeep_for = 5\n");
    for verb in ["check", "run"] {
        let said = scratch.run([verb, "--config", "bad.toml"]).fails(3);
        assert!(said.starts_with("error: unknown key `shrads`"), "{said}");
        has(&said, "bad.toml:2:1");
        has(&said, "bad.toml:4:12");
        has(&said, "2 errors, nothing was changed");
        assert_eq!(said.matches("error: ").count(), 2, "{said}");
    }
    has(&scratch.run(["check", "--config", "nowhere.toml"]).fails(3), "nowhere.toml cannot be read");
    assert!(!scratch.path("tidegate-data").exists(), "nothing is started before the configuration is right");
}

#[test]
fn a_log_filter_that_is_none_is_2() {
    let mut scratch = Scratch::new();
    scratch.set("TIDEGATE_LOG", "=,=".into());
    has(&scratch.run(["run", "--no-log"]).fails(2), "TIDEGATE_LOG==,= is no filter");
}

#[test]
fn modules_are_checked_and_every_one_is_told() {
    let scratch = Scratch::new();
    scratch.write("fine.wasm", module());
    scratch.write("text.wasm", "(module)");
    let outcome = scratch.run(["check", "fine.wasm", "text.wasm", "nowhere.wasm"]);
    has(&outcome.out, "fine.wasm: moving_average 0.1.0  ");
    has(&outcome.out, "  --set  limit: number  An average above this is critical.");
    let said = outcome.fails(3);
    has(&said, "error: text.wasm: this is not a wasm module: wasm as text");
    has(&said, "error: nowhere.wasm cannot be read");
    has(&said, "error: 2 of 3 modules refused");

    let outcome = scratch.run(["check", "--json", "fine.wasm", "text.wasm"]);
    let report: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(report["modules"][0]["manifest"]["name"], "moving_average");
    assert_eq!(report["modules"][0]["bytes"], module().len());
    has(report["modules"][1]["error"].as_str().unwrap(), "wasm as text");
    assert!(report.get("config").is_none(), "with modules alone, no configuration is read");
}

#[test]
fn nobody_there_is_4_with_the_address_and_a_hint() {
    let mut scratch = Scratch::new();
    // A port that was free a moment ago, and that nobody else is given for a while.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    scratch.set("TIDEGATE_SERVER", format!("http://{free}"));
    scratch.set("TIDEGATE_RIEMANN", free.clone());
    scratch.write("fine.wasm", module());
    let outcomes = [
        scratch.run(["query"]),
        scratch.run(["tap"]),
        scratch.run(["record", "--out", "x.ndjson", "--for", "1s"]),
        scratch.run(["rules"]),
        scratch.run(["deploy", "fine.wasm"]),
        scratch.run(["send", "--service", "x"]),
        scratch.run(["bench", "tcp", "--addr", &free]),
    ];
    for outcome in outcomes {
        let said = outcome.fails(4);
        assert!(said.starts_with("error: server unreachable: "), "{said}");
        has(&said, &free);
        has(&said, "is `tidegate run` running there?");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn whoever_answers_but_is_no_node_is_told_apart() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ =
                std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>");
        }
    });
    let scratch = Scratch::new();
    has(&scratch.run(["rules", "--server", &address]).fails(4), "answers, but not as a tidegate node does");
    has(&scratch.run(["send", "--service", "x", "--riemann", &address]).fails(4), &address);
}

#[test]
fn a_node_takes_events_answers_queries_and_stops_in_order() {
    let mut scratch = Scratch::new();
    let node = scratch.node(&[]);
    assert_eq!(node.lines.len(), 4, "{:?}", node.lines);
    assert!(!node.address("websocket ").ends_with(":0"), "ports are the real ones: {:?}", node.lines);

    let send =
        ["send", "--host", "web3", "--service", "api latency", "--metric", "412", "--state", "critical"];
    assert_eq!(scratch.run(send).fine(), "1 event acked\n");
    let lines = "{\"host\":\"a\",\"service\":\"b\",\"metric\":1.5,\"tags\":[\"x\"],\"ttl\":90}\n\n\
                 {\"host\":\"c\",\"service\":\"d\",\"zone\":\"eu\"}\n";
    assert_eq!(scratch.feed(["send", "--json"], lines).fine(), "{\"acked\":2}\n");

    let table = scratch.run(["query", "host = \"a\" or state = \"critical\""]).fine();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["host", "service", "state", "metric", "age", "ttl", "tags"]);
    let find = |host: &str| rows.iter().find(|row| row[0] == host).unwrap_or_else(|| panic!("{table}"));
    assert_eq!(find("web3")[1..5], ["api", "latency", "critical", "412"]);
    assert_eq!(find("a")[1..3], ["b", "1.5"]);
    let answer: Value =
        serde_json::from_str(&scratch.run(["query", "--json", "host = \"c\""]).fine()).unwrap();
    assert_eq!(answer["events"][0]["zone"], "eu");
    assert_eq!(scratch.run(["query", "host = \"nobody\""]).fine(), "");

    let said = scratch.run(["query", "service =~ and metric > 5"]).fails(2);
    has(&said, "\n  | service =~ and metric > 5\n  |            ^^^");
    has(&scratch.run(["tap", "service ="]).fails(2), "\n  | service =\n");

    let said = scratch.feed(["send"], "{\"service\":\"e\"}\n{\"service\":3}\n{\"service\":\"f\"}\n").fails(1);
    assert!(said.starts_with("1 event acked\nerror: line 2: "), "{said}");
    let answer: Value =
        serde_json::from_str(&scratch.run(["query", "--json", "service = \"e\""]).fine()).unwrap();
    assert_eq!(answer["events"].as_array().map(Vec::len), Some(1));

    // Whoever reads only the first line has not failed.
    assert_eq!(scratch.shell("tidegate query | head -1").fine().lines().count(), 1);
    node.stop().fine();
}

#[test]
fn a_tap_shows_events_as_they_come() {
    let mut scratch = Scratch::new();
    let _node = scratch.node(&["--no-log"]);
    for (json, expected) in [(false, "  web1  queue  7"), (true, "\"service\":\"queue\"")] {
        let mut tap = scratch.command(scratch::TIDEGATE);
        tap.args(["tap", "service = \"queue\"", "--limit", "2"]).args(json.then_some("--json"));
        let tap = tap.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let (done, stop) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            // There is no telling when the tap is open, so events come until it has seen enough.
            let scratch = &scratch;
            scope.spawn(move || {
                while stop.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    scratch.run(["send", "--host", "web1", "--service", "queue", "--metric", "7"]).fine();
                    scratch.run(["send", "--host", "web1", "--service", "other"]).fine();
                }
            });
            let output = tap.wait_with_output().unwrap();
            drop(done);
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success());
            assert_eq!(text.lines().count(), 2, "{text}");
            assert!(text.lines().all(|line| line.contains(expected)), "{text}");
        });
    }
}

#[test]
fn rules_are_deployed_listed_paused_removed_and_survive_a_restart() {
    let mut scratch = Scratch::new();
    scratch.write("rule.wasm", module());
    let node = scratch.node(&["--data", "data"]);
    has(&scratch.run(["rules"]).fine(), "no rules");

    let said = scratch.run(["deploy", "rule.wasm"]).fails(3);
    has(&said, "parameter limit (number) is missing");
    let dry = scratch.run(["deploy", "rule.wasm", "--set", "limit=5", "--dry-run"]).fine();
    has(&dry, "moving_average 0.1.0 can be deployed, as generation 1");
    has(&scratch.run(["rules"]).fine(), "no rules");

    let deploy = ["deploy", "rule.wasm", "--name", "avg", "--set", "limit=5", "--where", "service = \"q\""];
    let said = scratch.run(deploy).fine();
    assert!(
        said.starts_with("avg 0.1.0 generation 1 active at position ") && said.contains(" shard"),
        "{said}"
    );
    let said = scratch.run(["deploy", "rule.wasm", "--name", "avg", "--set", "limit=6", "--json"]).fine();
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["generation"], 2);
    let said = scratch
        .run(["deploy", "rule.wasm", "--name", "avg", "--set", "limit=5", "--where", "service ="])
        .fails(3);
    has(&said, "service =");

    has(&scratch.run(["rules", "pause", "avg"]).fine(), "avg paused at position ");
    has(&scratch.run(["rules"]).fine(), "  paused  ");
    has(&scratch.run(["rules", "resume", "avg"]).fine(), "avg resumed at position ");
    has(&scratch.run(["rules", "show", "avg"]).fine(), "limit = 6");
    has(&scratch.run(["rules", "show", "nope"]).fails(1), "there is no rule `nope`");
    node.stop().fine();

    let node = scratch.node(&["--data", "data"]);
    let rules: Value = serde_json::from_str(&scratch.run(["rules", "--json"]).fine()).unwrap();
    assert_eq!((&rules[0]["name"], &rules[0]["generation"]), (&"avg".into(), &2.into()));
    has(&scratch.run(["rules", "remove", "avg"]).fine(), "avg removed at position ");
    has(&scratch.run(["rules", "remove", "avg"]).fails(1), "avg");
    has(&scratch.run(["rules"]).fine(), "no rules");
    node.stop().fine();
}

#[test]
fn rules_are_tried_promoted_and_rolled_back_and_one_of_two_deployers_is_told() {
    let mut scratch = Scratch::new();
    scratch.write("rule.wasm", module());
    let node = scratch.node(&["--data", "data"]);
    let deploy = |limit: &str, more: &[&str]| {
        let limit = format!("limit={limit}");
        let mut command = scratch.command(scratch::TIDEGATE);
        command.env("USER", "eve").args(["deploy", "rule.wasm", "--name", "avg", "--set", &limit]).args(more);
        scratch::outcome(command.output())
    };
    has(&deploy("1", &["--shadow"]).fails(1), "there is no rule avg beside which it could be tried");
    deploy("1", &["--if-generation", "0"]).fine();
    has(
        &deploy("2", &["--if-generation", "0"]).fails(1),
        "generation 0 of rule avg was expected, and 1 is in force",
    );
    has(&deploy("2", &["--if-generation", "0"]).fails(1), "deployed by eve@");
    has(&deploy("2", &["--promote-after", "1m"]).fails(2), "goes with --shadow or --canary");
    has(&deploy("2", &["--backfill", "1h", "--shadow"]).fails(3), "tidegate backtest");

    has(&deploy("2", &["--shadow"]).fine(), "tried beside the rule");
    has(&deploy("3", &[]).fails(1), "generation 2 of rule avg is being tried");
    has(&scratch.run(["rules", "show", "avg"]).fine(), "percent = 0.0");
    has(
        &scratch.run(["rules", "abandon", "avg", "--reason", "no use"]).fine(),
        "avg is no longer tried at position",
    );
    has(&scratch.run(["rules", "abandon", "avg"]).fails(1), "nothing is tried beside rule avg");
    deploy("4", &["--canary", "5%", "--promote-after", "0"]).fine();
    has(&scratch.run(["rules", "promote", "avg", "--if-generation", "1"]).fine(), "avg promoted at position");

    let shown: Value = serde_json::from_str(&scratch.run(["rules", "show", "avg", "--json"]).fine()).unwrap();
    assert_eq!((&shown["generation"], &shown["set"]["limit"]), (&3.into(), &"4".into()), "{shown}");
    let how: Vec<&Value> = shown["history"].as_array().unwrap().iter().map(|past| &past["how"]).collect();
    assert_eq!(how, ["abandoned", "replaced"]);
    has(
        &scratch.run(["rollback", "avg", "--to", "7"]).fails(1),
        "has no earlier generation 7; kept are 2, 1",
    );
    has(&scratch.run(["rollback", "avg", "--if-generation", "1"]).fails(1), "3 is in force");
    has(&scratch.run(["rollback", "avg", "--reason", "louder"]).fine(), "avg 0.1.0 generation 4 active");
    let shown = scratch.run(["rules", "show", "avg"]).fine();
    has(&shown, "limit = 1");
    has(&shown, "rolled back");
    has(&shown, ": louder");

    let modules = scratch.run(["modules"]).fine();
    assert_eq!(modules.lines().count(), 2, "{modules}");
    has(&modules, "  avg\n");
    scratch.run(["rules", "remove", "avg"]).fine();
    has(&scratch.run(["modules", "gc"]).fine(), "nothing to let go");
    has(&scratch.run(["modules", "gc", "--all"]).fine(), "1 module let go");
    has(&scratch.run(["modules"]).fine(), "no modules");
    node.stop().fine();
}

#[test]
fn a_refused_module_needs_no_server() {
    let scratch = Scratch::new();
    scratch.write("text.wasm", "(module)");
    let said = scratch.run(["deploy", "text.wasm"]).fails(3);
    assert!(said.starts_with("error: text.wasm is refused\n  because: this is not a wasm module"), "{said}");
}

#[test]
fn two_nodes_cannot_have_one_address_or_one_folder() {
    let mut scratch = Scratch::new();
    let node = scratch.node(&["--data", "data"]);
    let page = node.address("page http://");
    let page = page.trim_end_matches('/');
    scratch.write("same.toml", format!("http.address = \"{page}\"\nwebsocket.enabled = false\n[inputs]\n"));
    let said = scratch.run(["run", "--config", "same.toml", "--no-log"]).fails(1);
    has(&said, &format!("http cannot listen on {page}"));
    let said = scratch.run(["run", "--config", "node.toml", "--data", "data"]).fails(1);
    has(&said, "data");
    node.stop().fine();
}

#[test]
fn a_hangup_does_not_end_a_node_and_an_interrupt_does() {
    let mut scratch = Scratch::new();
    let node = scratch.node(&["--no-log", "--log-format", "json"]);
    node.signal("-HUP");
    scratch.run(["send", "--service", "still here"]).fine();
    node.signal("-INT");
    let outcome = node.ended();
    has(&outcome.err, "SIGHUP: the configuration is read at the start only");
    assert!(outcome.err.lines().filter(|line| line.starts_with('{')).all(|line| line.ends_with('}')));
}

#[test]
fn a_demo_has_a_fleet_and_rules_that_run() {
    let mut scratch = Scratch::new();
    let node = scratch.node(&["--no-log", "--demo"]);
    let rules: Value = serde_json::from_str(&scratch.run(["rules", "--json"]).fine()).unwrap();
    let rules = rules.as_array().unwrap();
    assert_eq!(rules.len(), tidegate::rules::ALL.len());
    assert!(rules.iter().all(|rule| rule["status"] == "running"), "{rules:#?}");
    for _ in 0..100 {
        let events = scratch.run(["query", "tagged \"fleet\"", "--json"]).fine();
        let events: Value = serde_json::from_str(&events).unwrap();
        if events["events"].as_array().is_some_and(|events| events.len() > 100) {
            node.stop().fine();
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("no fleet has spoken");
}

#[test]
fn stages_are_measured() {
    let scratch = Scratch::new();
    let figures = scratch.run(["bench", "decode", "--seconds", "0.05", "--json"]).fine();
    let figures: Value = serde_json::from_str(&figures).unwrap();
    assert!(figures["ns_per_event"].as_f64().is_some_and(|nanos| nanos > 0.0), "{figures}");
    has(&scratch.run(["bench", "decode", "--seconds", "0.05"]).fine(), "ns per event");
}

#[test]
fn shells_learn_every_verb() {
    let scratch = Scratch::new();
    let script = scratch.run(["completions", "bash"]).fine();
    for verb in VERBS {
        has(&script, verb);
    }
    scratch.write("completions.bash", &script);
    scratch.shell("sh -n completions.bash || bash -n completions.bash").fine();
    has(&scratch.run(["completions", "nothing"]).fails(2), "bash");
}
