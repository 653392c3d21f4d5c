//! What a node writes on standard error: objects in lines, with spans, and no secret of the configuration among them.

use crate::has;
use crate::scratch::{Scratch, TIDEGATE};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// What must be nowhere.
const SECRET: &str = "s3cr3t-token";

/// Starts a node whose words go to `said`, and leads further commands to it.
fn start(scratch: &mut Scratch) -> Child {
    scratch.write(
        "node.toml",
        "http.address = \"127.0.0.1:0\"\nwebsocket.address = \"127.0.0.1:0\"\n[inputs.riemann]\ntype = \"riemann\"\n\
         tcp = \"127.0.0.1:0\"\nudp = \"127.0.0.1:0\"\n[outputs.hook]\ntype = \"webhook\"\nwhere = \"service = \\\"x\\\"\"\n\
         url = { env = \"HOOK\" }\nheaders = { authorization = { env = \"TOKEN\" } }\n",
    );
    let said = File::create(scratch.path("said")).unwrap();
    let mut node = scratch.command(TIDEGATE);
    node.args(["run", "--config", "node.toml"]).stdout(Stdio::piped()).stderr(said);
    let mut node = node.spawn().unwrap();
    for line in BufReader::new(node.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some(address) = line.strip_prefix("page ") {
            scratch.set("TIDEGATE_SERVER", address.into());
        } else if let Some(address) = line.strip_prefix("riemann tcp ") {
            scratch.set("TIDEGATE_RIEMANN", address.into());
        } else if line == "ready" {
            break;
        }
    }
    node
}

#[test]
fn every_line_is_an_object_and_work_has_its_span_and_no_secret_is_told() {
    let mut scratch = Scratch::new();
    scratch.set("TIDEGATE_LOG", "trace".into());
    scratch.set("TIDEGATE_LOG_SPANS", "true".into());
    // Nobody listens there, and the errors of outputs are told.
    scratch.set("HOOK", format!("http://127.0.0.1:1/{SECRET}"));
    scratch.set("TOKEN", format!("Bearer {SECRET}"));
    let mut node = start(&mut scratch);
    scratch.write("rule.wasm", crate::module());
    scratch.run(["deploy", "rule.wasm", "--name", "avg", "--set", "limit=5"]).fine();
    scratch.run(["send", "--service", "x"]).fine();
    let said = |scratch: &Scratch| std::fs::read_to_string(scratch.path("said")).unwrap();
    let began = std::time::Instant::now();
    while !(said(&scratch).contains("output is down") && said(&scratch).contains("\"checkpoint\"")) {
        assert!(began.elapsed().as_secs() < 60, "{}", said(&scratch));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let sent = Command::new("kill").args(["-TERM", &node.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()) && node.wait().unwrap().success());
    let said = said(&scratch);
    assert!(
        !said.contains(SECRET),
        "a secret was told: {:?}",
        said.lines().find(|line| line.contains(SECRET))
    );
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for name in ["timestamp", "level", "target"] {
        assert!(lines.iter().all(|line| line[name].is_string()), "every line has {name}");
    }
    for span in ["start", "recover", "deploy", "checkpoint", "stop"] {
        let closed = lines.iter().find(|line| line["message"] == "close" && line["span"]["name"] == span);
        assert!(closed.is_some_and(|line| line["time.busy"].is_string()), "the end of {span} is told");
    }
    let within = |text: &str, span: &str| {
        let line = lines.iter().find(|line| line["message"] == text).unwrap_or_else(|| panic!("{text}"));
        line["spans"].as_array().is_some_and(|spans| spans.iter().any(|within| within["name"] == span))
    };
    assert!(within("deployed", "deploy") && within("the log was read", "start"));
    let deployed = lines.iter().find(|line| line["message"] == "deployed").unwrap();
    assert_eq!((deployed["rule"].as_str(), deployed["span"]["rule"].as_str()), (Some("avg"), Some("avg")));
}

#[test]
fn the_filter_decides_what_is_told_and_a_wrong_one_is_refused() {
    let mut scratch = Scratch::new();
    scratch.set("TIDEGATE_LOG", "error".into());
    scratch.set("HOOK", "http://127.0.0.1:1/".into());
    scratch.set("TOKEN", "x".into());
    let mut node = start(&mut scratch);
    let _ = Command::new("kill").args(["-TERM", &node.id().to_string()]).status();
    assert!(node.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(scratch.path("said")).unwrap(), "");
    scratch.set("TIDEGATE_LOG_SPANS", "maybe".into());
    has(
        &scratch.run(["run", "--no-log"]).fails(2),
        "TIDEGATE_LOG_SPANS: true or false was expected, found maybe",
    );
}
