//! What the node says of itself: versions and clocks, the log and checkpoints, inputs, outputs, rules, and what waits.

use super::{Finding, Level};
use crate::cli::failure::{Exit, Failure};
use crate::cli::screen::{bytes, count};
use crate::cli::server::Server;
use crate::clock;
use reqwest::Method;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tidegate_engine::rule;

/// A rule that takes longer for an event is slow, in nanoseconds.
const SLOW: f64 = 100_000.0;

/// Clocks that differ by more are worth a look; by ten times more, events of one are expired for the other.
const SKEW: f64 = 2.0;

/// The youngest checkpoint may be so old while events come in, in seconds: six times the default.
const CHECKPOINT: f64 = 60.0;

/// An answer takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the node has said.
#[derive(Debug, Default)]
pub struct Seen {
    overview: Value,
    rules: Value,
    letters: Value,
    metrics: String,
    not_ready: Option<String>,
    /// The time here when the overview was asked for and when it was there, in seconds since 1970.
    around: (f64, f64),
    /// Where it was asked.
    address: String,
}

/// A check: its name, and what it makes of what the node has said.
type Check = (&'static str, fn(&Seen) -> Vec<Finding>);

/// The checks, the most important first.
pub const CHECKS: [Check; 11] = [
    ("log", log),
    ("readiness", readiness),
    ("version", version),
    ("clock", time),
    ("checkpoints", checkpoints),
    ("inputs", inputs),
    ("outputs", outputs),
    ("dead letters", letters),
    ("rules", rules),
    ("index", index),
    ("load", load),
];

impl Seen {
    /// Asks everything that the checks look at.
    pub async fn ask(server: &Server) -> Result<Self, Failure> {
        let all = async {
            let list = |path: &[&str], params: &[(&str, &str)]| {
                server.ask(Method::GET, server.url(path, params), None)
            };
            let before = now();
            let overview = list(&["overview"], &[]).await??;
            let around = (before, now());
            let rules = list(&["rules"], &[("limit", "1000"), ("sort", "activity")]).await??;
            let letters = list(&["dead-letters"], &[("limit", "1")]).await??;
            let (_, metrics) = server.page("metrics").await?;
            let (status, ready) = server.page("readyz").await?;
            let not_ready = (!status.is_success()).then_some(ready);
            Ok(Self { overview, rules, letters, metrics, not_ready, around, address: server.address() })
        };
        let late = || Failure::say(Exit::Unreachable, format!("no answer within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| Err(late()))
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.inputs().iter().filter_map(|input| input["address"].as_str()?.parse().ok()).collect()
    }

    /// Its inputs over UDP.
    pub fn udp(&self) -> Vec<(String, SocketAddr)> {
        let udp = self
            .inputs()
            .iter()
            .filter(|input| input["name"].as_str().is_some_and(|name| name.ends_with("/udp")));
        udp.filter_map(|input| Some((text(input, "name"), input["address"].as_str()?.parse().ok()?)))
            .collect()
    }

    /// Whether it runs on this machine.
    pub fn is_here(&self) -> bool {
        ["//127.", "//localhost", "//[::1]"].iter().any(|here| self.address.contains(here))
    }

    /// Bytes of memory that it uses.
    pub fn memory(&self) -> Option<u64> {
        self.is_here().then(|| self.overview["process"]["memory"].as_u64()).flatten()
    }

    /// Files and sockets open, and how many there may be.
    pub fn open_files(&self) -> Option<(u64, u64)> {
        Some((self.metric("process_open_fds")? as u64, self.metric("process_max_fds")? as u64))
    }

    fn inputs(&self) -> &[Value] {
        items(&self.overview, "inputs")
    }

    /// The sum of a metric's series; `None` where there is none.
    fn metric(&self, name: &str) -> Option<f64> {
        let values = self.metrics.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            // Another metric may have a longer name that begins like this one.
            rest.starts_with([' ', '{']).then(|| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).flatten()
        });
        values.fold(None, |sum: Option<f64>, value| Some(sum.unwrap_or(0.0) + value))
    }

    fn counted(&self, name: &str) -> u64 {
        self.metric(name).unwrap_or(0.0) as u64
    }
}

fn now() -> f64 {
    clock::now().0 as f64 / 1e6
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

fn events(n: u64) -> String {
    count(usize::try_from(n).unwrap_or(usize::MAX), "event")
}

/// Whether there is a node at all.
pub fn reachable(seen: &Result<Seen, Failure>, address: &str) -> Vec<Finding> {
    let Err(failure) = seen else { return Vec::new() };
    let said = failure.to_string();
    let said = said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let fix = match address.contains("127.0.0.1:5559") {
        true => "tidegate run".to_owned(),
        false => format!("curl {address}/readyz"),
    };
    vec![Finding::problem(said, fix).ends_with(Exit::Unreachable)]
}

fn log(seen: &Seen) -> Vec<Finding> {
    let log = &seen.overview["log"];
    let mut findings = Vec::new();
    if let Some(trouble) = log["trouble"].as_str() {
        findings.push(Finding::problem(format!("events are refused: {trouble}"), "df -h; dmesg | tail"));
    }
    let missing = seen.counted("tidegate_log_positions_missing_total");
    match number(log, "gaps") {
        0 => {}
        n => {
            let places = count(n as usize, "damaged place");
            let text = format!("the start found {places} in the log; {missing} positions are missing");
            findings.push(Finding::warning(text, "tidegate log verify"));
        }
    }
    let failed = seen.counted("tidegate_log_sync_failures_total");
    if failed > 0 {
        findings.push(Finding::warning(format!("{failed} syncs of the log failed"), "dmesg | tail"));
    }
    findings
}

fn readiness(seen: &Seen) -> Vec<Finding> {
    let Some(missing) = &seen.not_ready else { return Vec::new() };
    let missing = missing.lines().collect::<Vec<_>>().join("; ");
    vec![Finding::problem(
        format!("the node is not ready: {missing}"),
        format!("curl {}/readyz", seen.address),
    )]
}

fn version(seen: &Seen) -> Vec<Finding> {
    let (ours, theirs) = (env!("CARGO_PKG_VERSION"), text(&seen.overview, "version"));
    if theirs == ours {
        return Vec::new();
    }
    let text = format!("the node is version {theirs}, this program is {ours}");
    vec![Finding::warning(text, "install the same version in both places")]
}

fn time(seen: &Seen) -> Vec<Finding> {
    let theirs = seen.overview["now"].as_str().and_then(|now| now.parse::<jiff::Timestamp>().ok());
    let Some(theirs) = theirs.map(|theirs| theirs.as_microsecond() as f64 / 1e6) else { return Vec::new() };
    let (before, after) = seen.around;
    // It was some time between the two; only what lies outside is a difference.
    let skew = (before - theirs).max(theirs - after).max(0.0);
    let level = match skew {
        skew if skew > SKEW * 10.0 => Level::Problem,
        skew if skew > SKEW => Level::Warning,
        _ => return Vec::new(),
    };
    let ahead = if theirs > after { "ahead of" } else { "behind" };
    vec![Finding::new(
        level,
        format!("the node's clock is {skew:.0} s {ahead} this one"),
        "timedatectl status",
    )]
}

fn checkpoints(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    let failed = seen.counted("tidegate_checkpoint_errors_total");
    if failed > 0 {
        let text = format!("{failed} checkpoints were given up: a start takes longer");
        findings.push(Finding::warning(text, "TIDEGATE_LOG=tidegate::checkpoint=debug tidegate run"));
    }
    let behind =
        seen.metric("tidegate_checkpoint_position") < Some(number(&seen.overview, "position") as f64);
    let age = seen
        .metric("tidegate_checkpoint_timestamp_seconds")
        .filter(|at| *at > 0.0)
        .map(|at| seen.around.1 - at);
    if let Some(age) = age.filter(|age| behind && *age > CHECKPOINT) {
        let text = format!("the newest checkpoint is {age:.0} s old: a start reads all that came since");
        findings.push(Finding::warning(text, "tidegate log stat"));
    }
    findings
}

fn inputs(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    for input in seen.inputs() {
        let (name, shed, rejected) = (text(input, "name"), number(input, "shed"), number(input, "rejected"));
        if shed > 0 {
            let text = format!("{name} turned {} away for want of room", events(shed));
            findings.push(Finding::warning(text, "tidegate rules"));
        }
        if rejected > 0 {
            let text = format!("{name} refused {} that could not be read", events(rejected));
            let metric = "grep tidegate_input_events_rejected_total";
            findings.push(Finding::warning(text, format!("curl -s {}/metrics | {metric}", seen.address)));
        }
    }
    findings
}

fn outputs(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    for output in items(&seen.overview, "outputs") {
        let name = text(output, "name");
        let look = format!("tidegate dead-letters list --output {name}");
        if text(output, "status") == "failing" {
            let why = text(output, "last_error");
            let text = format!("{name} fails, {} wait: {why}", events(number(output, "queued")));
            findings.push(Finding::problem(text, "tidegate check --print"));
        }
        let (queued, capacity) = (number(output, "queued"), number(output, "capacity"));
        if capacity > 0 && queued > capacity / 4 * 3 {
            let text = format!("{name} has {queued} of {capacity} events waiting: beyond that it drops");
            findings
                .push(Finding::warning(text, "raise its `queue_events` and `batch`, or mend the other side"));
        }
        if number(output, "dropped") > 0 {
            let text = format!("{name} dropped {}: its queue was full", events(number(output, "dropped")));
            findings.push(Finding::warning(text, "raise its `spool`, `queue` and `queue_events`"));
        }
        if number(output, "failed") > 0 {
            let text = format!("{name} gave up {}", events(number(output, "failed")));
            findings.push(Finding::warning(text, look));
        }
    }
    findings
}

fn letters(seen: &Seen) -> Vec<Finding> {
    match number(&seen.letters, "total") {
        0 => Vec::new(),
        n => {
            let letters = count(usize::try_from(n).unwrap_or(usize::MAX), "dead letter");
            vec![Finding::warning(letters, "tidegate dead-letters")]
        }
    }
}

fn rules(seen: &Seen) -> Vec<Finding> {
    let limits = rule::Limits::default();
    let shards = items(&seen.overview, "shards").len().max(1) as u64;
    let mut findings = Vec::new();
    for rule in items(&seen.rules, "rules") {
        let name = text(rule, "name");
        let show = format!("tidegate rules show {name}");
        let fault = rule["last_fault"]["message"].as_str().unwrap_or_default();
        if text(rule, "status") == "quarantined" {
            let text = format!("{name} is in quarantine: {fault}");
            findings.push(Finding::problem(text, format!("tidegate rollback {name}")));
        } else if number(rule, "faults") > 0 {
            let faults = count(number(rule, "faults") as usize, "fault");
            findings.push(Finding::warning(format!("{name} had {faults}: {fault}"), show.clone()));
        }
        let (memory, keys) = (number(rule, "memory"), number(rule, "keys"));
        if memory > limits.memory * shards / 4 * 3 {
            let room = bytes(limits.memory * shards);
            let text = format!("{name} uses {} of {room} memory", bytes(memory));
            findings.push(Finding::warning(text, show.clone()));
        }
        let most = u64::from(limits.keys) * shards;
        if keys > most / 4 * 3 {
            let text = format!("{name} has {keys} of {most} keys: new ones share one beyond that");
            findings.push(Finding::warning(text, show.clone()));
        }
        let nanos = rule["ns_per_event"].as_f64().unwrap_or(0.0);
        if nanos > SLOW {
            let text = format!("{name} takes {:.0} µs for an event", nanos / 1e3);
            findings.push(Finding::warning(text, show));
        }
    }
    findings
}

fn index(seen: &Seen) -> Vec<Finding> {
    let refused: u64 = items(&seen.overview, "shards").iter().map(|shard| number(shard, "refused")).sum();
    match refused {
        0 => Vec::new(),
        n => {
            let text = format!("{} found no room in the index", events(n));
            vec![Finding::warning(text, "raise engine.max_streams")]
        }
    }
}

fn load(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    let door = &seen.overview["door"];
    let (used, room) = (number(door, "in_flight"), number(door, "in_flight_limit"));
    if room > 0 && used > room / 4 * 3 {
        let text = format!("{} of {} events on their way: senders are held back", bytes(used), bytes(room));
        findings.push(Finding::warning(text, "tidegate rules"));
    }
    for shard in items(&seen.overview, "shards") {
        if shard["busy"].as_f64().unwrap_or(0.0) > 0.9 {
            let text = format!("shard {} is busy all the time", number(shard, "number"));
            findings.push(Finding::warning(text, "tidegate rules; more engine.shards"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A node without a fault.
    fn fine() -> Seen {
        Seen {
            overview: json!({
                "version": env!("CARGO_PKG_VERSION"), "now": "2013-04-15T18:06:58.000Z", "position": 900,
                "log": { "gaps": 0, "trouble": null }, "door": { "in_flight": 1, "in_flight_limit": 100 },
                "process": { "memory": 1 },
                "shards": [{ "number": 0, "busy": 0.2, "refused": 0 }],
                "inputs": [{ "name": "riemann/udp", "address": "127.0.0.1:5555", "shed": 0, "rejected": 0 }],
                "outputs": [{ "name": "hook", "status": "ok", "queued": 1, "capacity": 100, "dropped": 0, "failed": 0 }],
            }),
            rules: json!({ "rules": [{ "name": "slow", "status": "running", "memory": 131_072, "keys": 2, "faults": 0,
                                       "ns_per_event": 50.0, "last_fault": null }] }),
            letters: json!({ "total": 0 }),
            metrics: "tidegate_checkpoint_position 900\ntidegate_checkpoint_timestamp_seconds 1366049200\n\
                      process_open_fds 20\nprocess_max_fds 1024\n"
                .into(),
            not_ready: None,
            around: (1_366_049_217.9, 1_366_049_218.1),
            address: "http://127.0.0.1:5559".into(),
        }
    }

    #[test]
    fn a_node_without_a_fault_has_none() {
        for (name, check) in CHECKS {
            assert_eq!(check(&fine()), [], "{name}");
        }
        assert_eq!(
            (fine().open_files(), fine().memory(), fine().udp().len()),
            (Some((20, 1024)), Some(1), 1)
        );
        assert!(!Seen { address: "http://far:1".into(), ..fine() }.is_here());
    }

    /// What is found when one thing is wrong: by one check, and by no other.
    #[track_caller]
    fn found(check: &str, spoil: impl FnOnce(&mut Seen)) -> Vec<(Level, String)> {
        let mut seen = fine();
        spoil(&mut seen);
        let mut here = Vec::new();
        for (name, look) in CHECKS {
            let findings = look(&seen).into_iter().map(|finding| {
                assert!(!finding.fix.is_empty(), "{} says what to do", finding.text);
                (finding.level, finding.text)
            });
            match name == check {
                true => here.extend(findings),
                false => assert_eq!(findings.collect::<Vec<_>>(), [], "{name}"),
            }
        }
        here
    }

    #[test]
    fn each_check_finds_what_it_is_for() {
        use Level::{Problem, Warning};
        type Spoil = fn(&mut Seen);
        let cases: [(&str, Level, &str, Spoil); 21] = [
            ("log", Problem, "events are refused: disk full", |s| {
                s.overview["log"]["trouble"] = "disk full".into()
            }),
            ("log", Warning, "the start found 2 damaged places in the log; 0 positions are missing", |s| {
                s.overview["log"]["gaps"] = 2.into();
            }),
            ("log", Warning, "3 syncs of the log failed", |s| {
                s.metrics += "tidegate_log_sync_failures_total 3\n"
            }),
            ("readiness", Problem, "the node is not ready: a; b", |s| s.not_ready = Some("a\nb\n".into())),
            ("version", Warning, "the node is version 0.0.9, this program is 0.1.0", |s| {
                s.overview["version"] = "0.0.9".into();
            }),
            ("clock", Warning, "the node's clock is 5 s behind this one", |s| {
                s.around = (1_366_049_223.0, 1_366_049_224.0)
            }),
            ("clock", Problem, "the node's clock is 100 s ahead of this one", |s| {
                s.around = (1_366_049_117.0, 1_366_049_118.0);
            }),
            ("checkpoints", Warning, "2 checkpoints were given up: a start takes longer", |s| {
                s.metrics += "tidegate_checkpoint_errors_total 2\n";
            }),
            (
                "checkpoints",
                Warning,
                "the newest checkpoint is 118 s old: a start reads all that came since",
                |s| {
                    s.metrics =
                        "tidegate_checkpoint_position 5\ntidegate_checkpoint_timestamp_seconds 1366049100\n"
                            .into();
                },
            ),
            ("inputs", Warning, "riemann/udp turned 1 event away for want of room", |s| {
                s.overview["inputs"][0]["shed"] = 1.into();
            }),
            ("inputs", Warning, "riemann/udp refused 7 events that could not be read", |s| {
                s.overview["inputs"][0]["rejected"] = 7.into();
            }),
            ("outputs", Problem, "hook fails, 1 event wait: refused", |s| {
                s.overview["outputs"][0]["status"] = "failing".into();
                s.overview["outputs"][0]["last_error"] = "refused".into();
            }),
            ("outputs", Warning, "hook has 80 of 100 events waiting: beyond that it drops", |s| {
                s.overview["outputs"][0]["queued"] = 80.into();
            }),
            ("outputs", Warning, "hook dropped 2 events: its queue was full", |s| {
                s.overview["outputs"][0]["dropped"] = 2.into();
            }),
            ("outputs", Warning, "hook gave up 3 events", |s| s.overview["outputs"][0]["failed"] = 3.into()),
            ("dead letters", Warning, "2 dead letters", |s| s.letters["total"] = 2.into()),
            ("rules", Problem, "slow is in quarantine: by zero", |s| {
                s.rules["rules"][0]["status"] = "quarantined".into();
                s.rules["rules"][0]["last_fault"] = json!({ "message": "by zero" });
            }),
            ("rules", Warning, "slow had 1 fault: ", |s| s.rules["rules"][0]["faults"] = 1.into()),
            ("rules", Warning, "slow uses 60.0 MiB of 64.0 MiB memory", |s| {
                s.rules["rules"][0]["memory"] = (60 << 20).into()
            }),
            ("index", Warning, "4 events found no room in the index", |s| {
                s.overview["shards"][0]["refused"] = 4.into()
            }),
            ("load", Warning, "shard 0 is busy all the time", |s| {
                s.overview["shards"][0]["busy"] = 0.95.into()
            }),
        ];
        for (check, level, text, spoil) in cases {
            assert_eq!(found(check, spoil), [(level, text.to_owned())], "{check}");
        }
        let keys = found("rules", |s| s.rules["rules"][0]["keys"] = 90_000.into());
        assert!(keys[0].1.starts_with("slow has 90000 of 100000 keys"), "{keys:?}");
        let slow = found("rules", |s| s.rules["rules"][0]["ns_per_event"] = 250_000.0.into());
        assert_eq!(slow[0].1, "slow takes 250 µs for an event");
        let full = found("load", |s| s.overview["door"]["in_flight"] = 90.into());
        assert!(full[0].1.ends_with("senders are held back"), "{full:?}");
    }

    #[test]
    fn metrics_are_summed_and_not_mistaken_for_longer_ones() {
        let seen = Seen {
            metrics: "a_total{x=\"1 2\"} 3\na_total{x=\"2\"} 4\na_total_more 9\n# a_total 7\n".into(),
            ..fine()
        };
        assert_eq!((seen.metric("a_total"), seen.metric("b")), (Some(7.0), None));
    }
}
