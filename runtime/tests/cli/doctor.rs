//! `tidegate doctor`: each thing is made wrong, and found.

use crate::has;
use crate::scratch::{Outcome, Scratch};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};

/// The findings of a check, as `level: text`.
fn found(outcome: &Outcome, check: &str) -> Vec<String> {
    let report: Value =
        serde_json::from_str(&outcome.out).unwrap_or_else(|_| panic!("{}{}", outcome.out, outcome.err));
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check);
    findings
        .map(|finding| {
            format!("{}: {}", finding["level"].as_str().unwrap(), finding["text"].as_str().unwrap())
        })
        .collect()
}

#[test]
fn a_node_that_works_has_no_problem_and_every_check_is_named() {
    let mut scratch = Scratch::new();
    let _node = scratch.node(&["--data", "data"]);
    let outcome = scratch.run(["doctor", "--json", "--config", "node.toml", "--data", "data"]);
    let report: Value = serde_json::from_str(&outcome.out).unwrap();
    let names: Vec<&str> =
        report["checks"].as_array().unwrap().iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "configuration",
            "server",
            "ports",
            "data directory",
            "log",
            "readiness",
            "version",
            "clock",
            "checkpoints",
            "inputs",
            "outputs",
            "dead letters",
            "rules",
            "index",
            "load",
            "udp",
            "memory",
            "open files",
            "toolchain"
        ]
    );
    for check in [
        "configuration",
        "server",
        "ports",
        "log",
        "readiness",
        "version",
        "clock",
        "outputs",
        "rules",
        "udp",
    ] {
        assert_eq!(found(&outcome, check), [""; 0], "{check}");
    }
    outcome.fine();
    let text = scratch.run(["doctor", "--config", "node.toml", "--data", "data"]).fine();
    assert!(text.lines().last().unwrap().starts_with("ok 1"), "{text}");
}

#[test]
fn without_a_node_it_ends_with_4_and_with_a_wrong_configuration_with_3() {
    let mut scratch = Scratch::new();
    scratch.set("TIDEGATE_SERVER", "http://127.0.0.1:1".into());
    let outcome = scratch.run(["doctor"]);
    has(&outcome.out, "! server: server unreachable: http://127.0.0.1:1");
    has(&outcome.fails(4), "found");
    scratch.write("bad.toml", "[engine]\nshrads = 2\n");
    let outcome = scratch.run(["doctor", "--config", "bad.toml"]);
    has(&outcome.out, "! configuration: unknown key `shrads` in [engine]\n    tidegate check\n");
    has(&outcome.fails(3), "problems found");
}

#[test]
fn ports_and_data_that_cannot_be_had_are_found() {
    let scratch = Scratch::new();
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    scratch.write("file", "no folder");
    scratch.write(
        "taken.toml",
        format!(
            "data = \"file/data\"\n[http]\naddress = \"{}\"\n[websocket]\nenabled = false\n[inputs.r]\ntype = \"riemann\"\nudp = \"{}\"\n",
            tcp.local_addr().unwrap(),
            udp.local_addr().unwrap()
        ),
    );
    let outcome =
        scratch.run(["doctor", "--json", "--config", "taken.toml", "--server", "http://127.0.0.1:1"]);
    let ports = found(&outcome, "ports");
    assert_eq!(ports.len(), 2, "{ports:?}");
    has(&ports[0], "problem: http cannot listen on");
    has(&ports[1], "problem: input r udp cannot listen on");
    has(&found(&outcome, "data directory")[0], "cannot be written to");
    has(&outcome.fails(4), "4 problems found");
}

#[test]
fn an_output_that_fails_is_found_with_what_it_says() {
    let mut scratch = Scratch::new();
    scratch.set("TIDEGATE__OUTPUTS__HOOK__TYPE", "webhook".into());
    scratch.set("TIDEGATE__OUTPUTS__HOOK__URL", "http://127.0.0.1:1/nobody".into());
    scratch.set("TIDEGATE__OUTPUTS__HOOK__WHERE", "service = \"x\"".into());
    let _node = scratch.node(&[]);
    scratch.run(["send", "--service", "x"]).fine();
    let began = std::time::Instant::now();
    loop {
        let outcome = scratch.run(["doctor", "--json", "--config", "node.toml"]);
        let outputs = found(&outcome, "outputs");
        if let Some(first) = outputs.first() {
            has(first, "problem: hook fails, 1 event");
            outcome.fails(1);
            return;
        }
        assert!(began.elapsed().as_secs() < 60, "{}", outcome.out);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn datagrams_that_the_kernel_dropped_are_found() {
    let mut scratch = Scratch::new();
    scratch.set("TIDEGATE__INPUTS__RIEMANN__UDP", "127.0.0.1:0".into());
    let node = scratch.node(&["--no-log"]);
    let to = node.address("riemann udp ");
    // While it stands still nobody takes anything in, and the kernel's buffer is small.
    node.signal("-STOP");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..2_000 {
        socket.send_to(&[0; 8_000], &to).unwrap();
    }
    node.signal("-CONT");
    let outcome = scratch.run(["doctor", "--json", "--config", "node.toml"]);
    let udp = found(&outcome, "udp");
    assert_eq!(udp.len(), 1, "{}", outcome.out);
    has(&udp[0], "warning: the kernel dropped ");
    has(&udp[0], "datagrams for riemann/udp");
}

#[test]
fn a_shell_that_may_open_few_files_is_found() {
    let scratch = Scratch::new();
    let text = scratch.shell("ulimit -n 300; tidegate doctor --server http://127.0.0.1:1").out;
    has(&text, "~ open files: a node started here may open 300 files and sockets only\n    ulimit -n ");
}

/// Answers as a node does that is of another version, whose clock is years behind, and which lost a rule.
fn a_strange_node() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let asks = |path: &str| head.starts_with(&format!("GET {path}"));
            let (status, body) = match () {
                () if asks("/api/v1/overview") => (
                    "200 OK",
                    r#"{"version":"0.0.1","now":"2013-04-15T18:06:58.000Z","log":{"gaps":1,"trouble":"no space left"},"shards":[],"inputs":[],"outputs":[]}"#,
                ),
                () if asks("/api/v1/rules") => (
                    "200 OK",
                    r#"{"rules":[{"name":"bad","status":"quarantined","last_fault":{"message":"it \u001b[2Jpanicked"}}]}"#,
                ),
                () if asks("/api/v1/dead-letters") => ("200 OK", r#"{"letters":[],"total":5}"#),
                () if asks("/readyz") => ("503 Service Unavailable", "nothing is taken in: no space left\n"),
                () => ("200 OK", "tidegate_log_positions_missing_total 3\n"),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn what_a_node_says_of_itself_is_judged() {
    let scratch = Scratch::new();
    let outcome = scratch.run(["doctor", "--server", &a_strange_node()]);
    let text = &outcome.out;
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part:?} is not in:\n{text}"));
    let places = [
        at("! log: events are refused: no space left\n    df -h"),
        at("! readiness: the node is not ready: nothing is taken in: no space left\n"),
        at("! clock: the node's clock is "),
        at("! rules: bad is in quarantine: it \u{fffd}[2Jpanicked\n    tidegate rollback bad\n"),
        at(
            "~ log: the start found 1 damaged place in the log; 3 positions are missing\n    tidegate log verify\n",
        ),
        at("~ version: the node is version 0.0.1, this program is "),
        at("~ dead letters: 5 dead letters\n    tidegate dead-letters\n"),
    ];
    assert!(places.is_sorted(), "the most important first:\n{text}");
    has(&outcome.fails(1), "problems found");
}
