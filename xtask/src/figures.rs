//! `cargo xtask figures`: every figure of the performance page, measured in one go and printed as Markdown.
//!
//! The tables go to standard output, what is being done to standard error, so that
//! `cargo xtask figures > benches/results/DATE.md` keeps a dated table. Figures of one run belong together; nothing here
//! compares with another day.

use crate::demo::fresh;
use crate::program::{Workspace, command, output, root};
use crate::server::Server;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What is wanted.
#[derive(Debug, Default)]
pub struct Wish {
    /// Seconds of each soak; none if zero.
    pub soak: u32,
}

/// The streams that a node of these measurements indexes at most: the fleet that churns has many more.
const CAP: usize = 200_000;
const SETTINGS: &str = "\
[http]
address = \"127.0.0.1:0\"
[websocket]
address = \"127.0.0.1:0\"
[log]
keep_bytes = \"256MiB\"
[engine]
max_streams = 200_000
[inputs.riemann]
type = \"riemann\"
tcp = \"127.0.0.1:0\"
udp = \"127.0.0.1:0\"
";
const STREAMS: [usize; 2] = [1_000, 100_000];
/// Rules for guests, and what each shows.
const GUESTS: [(&str, &str); 5] = [
    ("numeric", "a sum and a maximum"),
    ("filter", "service and metric, one in a hundred passes"),
    ("moving-average", "keyed EWMA and threshold"),
    ("latency-state", "sketch in a window"),
    ("map", "one answer to each event"),
];

pub fn run(wish: &Wish) -> Result<()> {
    let workspace = Workspace::ask()?;
    // What the build says belongs on standard error, since standard output is the table.
    let mut build =
        crate::program::cargo(&["build", "--package", "tidegate", "--bin", "tidegate", "--release"]);
    if !build.status().context("cargo build")?.success() {
        bail!("the program does not build");
    }
    let measure = Measure { tidegate: workspace.program("release"), targets: Vec::new() };
    print!("{}", measure.all(&workspace, wish)?);
    Ok(())
}

struct Measure {
    tidegate: PathBuf,
    /// What section 13 of the design asks for, and what came out.
    targets: Vec<Target>,
}

struct Target {
    what: String,
    wanted: String,
    found: String,
    met: bool,
}

impl Measure {
    fn all(mut self, workspace: &Workspace, wish: &Wish) -> Result<String> {
        let mut page = head()?;
        page += &self.stages()?;
        page += &self.shards()?;
        page += &self.guests()?;
        page += &self.threads()?;
        page += &self.rules()?;
        page += &self.tcp(workspace, wish)?;
        page += "\n## Against the targets\n\n| what | target | found | |\n|---|---|---|---|\n";
        for Target { what, wanted, found, met } in &self.targets {
            let met = if *met { "met" } else { "**missed**" };
            writeln!(page, "| {what} | {wanted} | {found} | {met} |")?;
        }
        Ok(page)
    }

    fn bench(&self, arguments: &str) -> Result<Value> {
        eprintln!("tidegate bench {arguments}");
        let words: Vec<&str> = ["bench"].into_iter().chain(arguments.split_whitespace()).collect();
        let mut bench = command(&self.tidegate, &words);
        bench.arg("--json");
        let said = output(bench)?;
        serde_json::from_str(said.trim()).with_context(|| format!("bench {arguments} said {said}"))
    }

    fn at_most(&mut self, what: &str, wanted: f64, unit: &str, found: f64) {
        let met = found <= wanted;
        let (wanted, shown) = (format!("≤ {wanted} {unit}"), format!("{found} {unit}"));
        self.targets.push(Target { what: what.to_owned(), wanted, found: shown, met });
    }

    fn at_least(&mut self, what: &str, wanted: f64, unit: &str, found: f64) {
        let met = found >= wanted;
        let (wanted, shown) = (format!("≥ {wanted} {unit}"), format!("{found} {unit}"));
        self.targets.push(Target { what: what.to_owned(), wanted, found: shown, met });
    }

    /// Each stage by itself.
    fn stages(&mut self) -> Result<String> {
        let mut columns = Vec::new();
        for streams in STREAMS {
            columns.push(self.bench(&format!("stages --streams {streams} --seconds 9"))?);
        }
        let mut text = String::from(
            "\n## Stages\n\nNanoseconds an event, batches of 256, one rule (`moving-average`) that wants every event. \
             The limit is the stage's memory traffic alone, and for a call the same rule linked in.\n\n\
             | stage | 1,000 streams | limit | 100,000 streams | limit |\n|---|---|---|---|---|\n",
        );
        let rows = columns[0]["stages"].as_array().cloned().unwrap_or_default();
        for (at, row) in rows.iter().enumerate() {
            let nanos = |column: &Value| figure(&column["stages"][at]["ns_per_event"]);
            let stage = row["stage"].as_str().unwrap_or_default();
            write!(text, "| {stage} |")?;
            for column in &columns {
                let limit = column["stages"][at]["limit_ns"].as_f64();
                let limit = limit.map(|limit| format!("{limit:.1}")).unwrap_or_default();
                write!(text, " {:.1} | {limit} |", nanos(column))?;
            }
            text.push('\n');
            if stage.starts_with("log append") {
                self.at_most("log append on top", 25.0, "ns", nanos(&columns[0]));
            }
        }
        Ok(text)
    }

    /// The whole shard with few and with many rules, and under each workload.
    fn shards(&mut self) -> Result<String> {
        let mut text = String::from(
            "\n## One shard\n\nDecode, stamp, index, match, call: nanoseconds an event. One rule wants every event, the others a \
             service that nobody has.\n\n| rules | 1,000 streams | 100,000 streams |\n|---|---|---|\n",
        );
        for rules in [1, 1_000, 10_000] {
            write!(text, "| {} |", thousands(rules))?;
            for (streams, wanted) in STREAMS.into_iter().zip([75.0, 115.0]) {
                let found = self.bench(&format!("shard --streams {streams} --rules {rules} --seconds 3"))?;
                let nanos = figure(&found["ns_per_event"]);
                write!(text, " {nanos:.1} |")?;
                if rules == 1_000 {
                    self.at_most(
                        &format!("one shard, 1,000 rules, {} streams", thousands(streams)),
                        wanted,
                        "ns",
                        nanos,
                    );
                }
            }
            text.push('\n');
        }
        text += "\n| workload, one rule | streams | ns an event |\n|---|---|---|\n";
        for (workload, streams) in
            [("skewed", 100_000), ("bursty", 100_000), ("long", 1_000), ("churn", 500_000)]
        {
            let line = format!("shard --workload {workload} --streams {streams} --seconds 2");
            let nanos = figure(&self.bench(&line)?["ns_per_event"]);
            writeln!(text, "| {workload} | {} | {nanos:.1} |", thousands(streams))?;
        }
        Ok(text)
    }

    /// The same rule as wasm and linked in.
    fn guests(&mut self) -> Result<String> {
        let mut text = String::from(
            "\n## A call, wasm against native\n\nNanoseconds an event, the same bytes, 256 events a call.\n\n\
             | rule | shows | streams | wasm | native | ratio |\n|---|---|---|---|---|---|\n",
        );
        let all = GUESTS.map(|guest| (guest, 1_000)).into_iter().chain([(GUESTS[2], 100_000)]);
        for ((rule, shows), streams) in all {
            let found = self.bench(&format!("guest --rule {rule} --streams {streams} --seconds 3"))?;
            let (wasm, native) = (figure(&found["ns_per_event"]), figure(&found["native_ns_per_event"]));
            let (ratio, streams_shown) = (figure(&found["wasm_over_native"]), thousands(streams));
            writeln!(text, "| {rule} | {shows} | {streams_shown} | {wasm:.1} | {native:.1} | {ratio:.2} |")?;
            if streams == 1_000 && rule != "map" {
                self.at_most(&format!("wasm against native, {rule}"), 1.5, "×", ratio);
            }
        }
        Ok(text)
    }

    /// From one shard thread to two.
    fn threads(&self) -> Result<String> {
        let mut text = String::from(
            "\n## From one shard thread to two\n\nBatches of 1,024 events, already decoded; each thread reads all of them and handles \
             its own streams.\n\n| streams | one thread | two threads | times as fast |\n|---|---|---|---|\n",
        );
        for streams in STREAMS {
            let found =
                self.bench(&format!("shard --shards 2 --batch 1024 --streams {streams} --seconds 6"))?;
            let million = |name: &str| figure(&found[name]) / 1e6;
            let (one, two) = (million("events_per_second_one_thread"), million("events_per_second"));
            let times = figure(&found["times_as_fast"]);
            writeln!(text, "| {} | {one:.1} M/s | {two:.1} M/s | {times:.2} |", thousands(streams))?;
        }
        Ok(text)
    }

    /// Ten thousand rules, one for each of as many services.
    fn rules(&mut self) -> Result<String> {
        let found = self.bench("rules --count 10000 --seconds 4")?;
        let (idle, run) = (
            figure(&found["resident_kib_per_idle_rule"]),
            figure(&found["resident_kib_per_rule_that_has_run"]),
        );
        let times = |which: &str| figure(&found[which]["times"]);
        self.at_most("memory of an idle rule, of 10,000", 16.0, "KiB", idle);
        self.at_most(
            "cost of an event, 10,000 rules against 10: unwanted",
            1.3,
            "×",
            times("unwanted_ns_per_event"),
        );
        self.at_most(
            "cost of an event, 10,000 rules against 10: wanted",
            1.3,
            "×",
            times("wanted_ns_per_event"),
        );
        let deploy = |which: &str| figure(&found["deploy_us"][which]);
        self.at_most("pause of a shard for a deployment, p99", 1000.0, "µs", deploy("p99"));
        let mut text = String::from("\n## 10,000 rules\n\n| what | found |\n|---|---|\n");
        writeln!(text, "| resident memory of an idle rule | {idle} KiB |")?;
        writeln!(text, "| the same after each has run | {run} KiB |")?;
        writeln!(text, "| all in all | {} MiB |", figure(&found["resident_bytes"]) as u64 >> 20)?;
        let (p50, p99, max) = (deploy("p50"), deploy("p99"), deploy("max"));
        writeln!(
            text,
            "| pause for a deployment of a compiled module, p50 / p99 / max | {p50} / {p99} / {max} µs |"
        )?;
        writeln!(text, "| all deployments | {} s |", figure(&found["deploy_all_seconds"]))?;
        for (which, name) in [
            ("unwanted_ns_per_event", "an event no rule wants"),
            ("wanted_ns_per_event", "an event one rule wants"),
        ] {
            let of = |count: &str| figure(&found[which][count]);
            let (few, all, ratio) = (of("few_rules"), of("all_rules"), of("times"));
            writeln!(text, "| {name}, 10 rules / 10,000 rules | {few:.1} / {all:.1} ns ({ratio:.2} ×) |")?;
        }
        Ok(text)
    }

    /// A node over loopback.
    fn tcp(&mut self, workspace: &Workspace, wish: &Wish) -> Result<String> {
        let folder = fresh(workspace, "figures")?;
        std::fs::create_dir_all(&folder)?;
        let config = folder.join("server.toml");
        std::fs::write(&config, SETTINGS)?;
        let server = Server::start(&self.tidegate, &config, &folder.join("data"))?;
        self.deploy(&server, &root().join("runtime/rules/moving_average.wasm"))?;
        let node = format!("tcp --addr {} --server-pid {}", server.listener("riemann tcp")?, server.pid());

        let mut text = String::from(
            "\n## Over TCP\n\nLoopback, Riemann frames, index and `moving-average` for every event, level `logged`, 1,000 streams; \
             the generator shares the cores.\n\n\
             | events a frame | connections | in flight | acked events/s | server CPU-s a million | generator's | ack p50 / p99 |\n\
             |---|---|---|---|---|---|---|\n",
        );
        // Warm, so that the first line does not pay for everybody.
        self.bench(&format!("{node} --conns 4 --batch 1000 --seconds 2"))?;
        let mut peak: f64 = 0.0;
        for (batch, in_flight) in [(1, 64), (100, 16), (1_000, 16)] {
            for conns in [1, 8] {
                let line =
                    format!("{node} --batch {batch} --conns {conns} --in-flight {in_flight} --seconds 4");
                let found = self.bench(&line)?;
                let (speed, cpu) = (
                    figure(&found["acked_events_per_second"]),
                    figure(&found["server"]["cpu_s_per_million"]),
                );
                let own = figure(&found["generator_cpu_s_per_million"]);
                let latency = percentiles(&found["ack_latency_us"], &["p50", "p99"]);
                writeln!(
                    text,
                    "| {} | {conns} | {in_flight} | {:.2} M | {cpu:.3} | {own:.3} | {latency} |",
                    thousands(batch),
                    speed / 1e6
                )?;
                peak = peak.max(speed);
                if batch == 1_000 && conns == 1 {
                    self.at_least("TCP, frames of 1,000", 8.0, "M events/s", round(speed / 1e6));
                    self.at_most("TCP, frames of 1,000: the server", 0.11, "CPU-s a million", cpu);
                }
            }
        }
        text += "\nPaced; latency counts from the moment a message was due.\n\n\
                 | events/s | events a frame | connections | ack p50 / p99 / p99.9 / max | sent late p50 / p99 | server CPU-s a million |\n\
                 |---|---|---|---|---|---|\n";
        for (rate, batch, conns) in [(10_000, 1, 10), (10_000, 100, 1), (100_000, 100, 10)] {
            let line = format!("{node} --rate {rate} --batch {batch} --conns {conns} --seconds 10");
            let found = self.bench(&line)?;
            let acks = percentiles(&found["ack_latency_us"], &["p50", "p99", "p99_9", "max"]);
            let late = percentiles(&found["send_lateness_us"], &["p50", "p99"]);
            let cpu = figure(&found["server"]["cpu_s_per_million"]);
            writeln!(text, "| {} | {batch} | {conns} | {acks} | {late} | {cpu:.2} |", thousands(rate))?;
            if batch == 1 {
                let at = |quantile: &str| round(figure(&found["ack_latency_us"][quantile]) / 1000.0);
                self.at_most("single events paced at 10,000/s: the server", 12.0, "CPU-s a million", cpu);
                self.at_most("single events paced at 10,000/s: ack p50", 0.12, "ms", at("p50"));
                self.at_most("single events paced at 10,000/s: ack p99", 0.3, "ms", at("p99"));
            }
        }
        if wish.soak > 0 {
            text += &self.soak(&node, peak, wish.soak)?;
        }
        server.stop()?;
        Ok(text)
    }

    /// A long run at seven tenths of the peak, and one with many more names than there is room for.
    fn soak(&self, node: &str, peak: f64, seconds: u32) -> Result<String> {
        let mut text = format!(
            "\n## {seconds} seconds\n\nThe node indexes {} streams at most. Resident memory in MiB at the start and then at tenths of \
             the time.\n\n| load | acked events/s | refused | resident memory |\n|---|---|---|---|\n",
            thousands(CAP)
        );
        let rate = (peak * 0.7).round();
        let loads = [
            ("steady, 1,000 streams, 70 % of the peak", "--workload steady --streams 1000"),
            ("churn, 5,000,000 names, 70 % of the peak", "--workload churn --streams 5000000"),
        ];
        for (name, load) in loads {
            let found = self.bench(&format!(
                "{node} {load} --rate {rate} --batch 1000 --conns 4 --in-flight 64 --seconds {seconds}"
            ))?;
            let intervals = found["intervals"].as_array().cloned().unwrap_or_default();
            let step = intervals.len().div_ceil(10).max(1);
            let memory: Vec<String> = [&found["server"]["rss_start_bytes"]]
                .into_iter()
                .chain(
                    intervals
                        .iter()
                        .skip(step - 1)
                        .step_by(step)
                        .map(|interval| &interval["server_rss_bytes"]),
                )
                .map(|bytes| format!("{}", figure(bytes) as u64 >> 20))
                .collect();
            let (speed, refused) = (figure(&found["acked_events_per_second"]), &found["refused_events"]);
            writeln!(text, "| {name} | {:.2} M | {refused} | {} |", speed / 1e6, memory.join(" "))?;
        }
        Ok(text)
    }

    fn deploy(&self, server: &Server, module: &Path) -> Result<()> {
        let mut deploy = command(&self.tidegate, &["deploy"]);
        deploy.arg(module).args(["--set", "limit=1000000"]).env("TIDEGATE_SERVER", server.page()?);
        output(deploy).map(drop)
    }
}

/// What was measured, and on what.
fn head() -> Result<String> {
    let first = |text: String| text.lines().next().unwrap_or_default().trim().to_owned();
    let commit = first(output(command("git", &["describe", "--always", "--dirty"]))?);
    let date = first(output(command("date", &["+%Y-%m-%d"]))?);
    let system = first(output(command("uname", &["-sr"]))?);
    let rust = first(output(command("rustc", &["--version"]))?);
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown processor");
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    Ok(format!(
        "# {date}\n\nCommit `{commit}`, {rust}, release profile. {cores} cores of {model}, {system}; load average when it began: \
         {load}. Medians; all figures of one run of `cargo xtask figures`.\n"
    ))
}

fn figure(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Microseconds as milliseconds, separated by slashes.
fn percentiles(of: &Value, names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().map(|name| format!("{:.2}", figure(&of[name]) / 1000.0)).collect();
    format!("{} ms", shown.join(" / "))
}

/// A number with commas, as people write it.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(thousands(1), "1");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(123_456_789), "123,456,789");
        assert_eq!(percentiles(&json!({ "p50": 120.4, "p99": 1300.0 }), &["p50", "p99"]), "0.12 / 1.30 ms");
    }

    #[test]
    fn a_target_is_met_or_missed() {
        let mut measure = Measure { tidegate: "x".into(), targets: Vec::new() };
        measure.at_most("a", 75.0, "ns", 74.9);
        measure.at_most("b", 0.12, "ms", 0.121);
        measure.at_least("c", 8.0, "M events/s", 8.0);
        measure.at_least("d", 8.0, "M events/s", f64::NAN);
        let met: Vec<bool> = measure.targets.iter().map(|target| target.met).collect();
        assert_eq!(met, [true, false, true, false]);
        assert_eq!(measure.targets[1].wanted, "≤ 0.12 ms");
    }

    #[test]
    fn the_cap_is_the_one_in_the_settings() {
        let settings: toml::Table = SETTINGS.parse().unwrap();
        assert_eq!(settings["engine"]["max_streams"].as_integer(), Some(CAP as i64));
    }
}
