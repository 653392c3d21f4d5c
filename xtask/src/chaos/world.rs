//! A data directory with its node, the oracle beside it, and everything that must hold after each fault.

use super::Tally;
use super::http::{Answer, ask, escape};
use super::mount::Mount;
use super::oracle::{ORACLE, Oracle, PATIENCE};
use crate::server::Server;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Shards of the node.
pub const SHARDS: u64 = 2;

/// How long a start may take: the data directories here are small.
const READY: Duration = Duration::from_secs(60);

/// How long a mayfly is valid.
const MAYFLY: Duration = Duration::from_secs(1);

/// What of the node's settings differs from one run to the next.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of a segment, and of all.
    pub segment: &'static str,
    /// Bytes that the log keeps.
    pub keep: &'static str,
    /// What an ack means; nothing is said of it if left out.
    pub ack: Option<&'static str>,
    /// Further keys of the output, and further sections.
    pub more: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { segment: "1MiB", keep: "1GiB", ack: None, more: String::new() }
    }
}

/// The world of a run.
pub struct World {
    /// Holds everything; removed when all went well.
    pub folder: PathBuf,
    /// The program under test.
    pub program: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// The oracle.
    pub oracle: Oracle,
    /// The node, while it runs.
    pub server: Option<Server>,
    /// The small disk that the data directory is on, if it is.
    pub mount: Option<Mount>,
    /// What happened, by name.
    pub tally: Tally,
    /// How much of the node's standard error was read.
    told: u64,
    /// Its environment in all of its lives.
    pub environment: Vec<(String, String)>,
}

impl World {
    /// A new one in this folder, which is emptied.
    pub fn new(folder: &Path, program: &Path, settings: &Settings) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        let data = folder.join("data");
        fs::create_dir_all(&data).with_context(|| format!("{} cannot be made", data.display()))?;
        let oracle = Oracle::start(&program.with_file_name(ORACLE))?;
        let Settings { segment, keep, ack, more } = settings;
        let ack = ack.map(|ack| format!("ack = \"{ack}\"\n")).unwrap_or_default();
        let config = format!(
            "[http]\naddress = \"127.0.0.1:0\"\n{ack}[websocket]\nenabled = false\n[instrumentation]\nenabled = false\n\
             [engine]\nshards = {SHARDS}\n[log]\ncheckpoint = \"200ms\"\nsegment = \"{segment}\"\nkeep_bytes = \"{keep}\"\n\
             [inputs.riemann]\ntype = \"riemann\"\ntcp = \"127.0.0.1:0\"\n{ack}\
             [outputs.oracle]\ntype = \"webhook\"\nurl = \"{}\"\ntimeout = \"2s\"\n{more}",
            oracle.url
        );
        fs::write(folder.join("tidegate.toml"), config)?;
        Ok(Self {
            folder: folder.to_owned(),
            program: program.to_owned(),
            data,
            oracle,
            server: None,
            mount: None,
            tally: Tally::default(),
            told: 0,
            environment: Vec::new(),
        })
    }

    /// The command that runs the node, with this many words before it.
    pub fn command(&self, before: &[String]) -> Result<Command> {
        let node = Server::command(&self.program, &self.folder.join("tidegate.toml"), &self.data);
        let mut command = match before {
            [] => node,
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(node.get_program()).args(node.get_args());
                command
            }
        };
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join("node.log"))?;
        command.stderr(log).env("TIDEGATE_LOG", "warn").env("TIDEGATE_FAIL", "").env_remove("TIDEGATE_PLANT");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Starts the node and waits until it is ready; returns how long that took.
    pub fn start(&mut self) -> Result<Duration> {
        let command = self.command(&[])?;
        self.start_with(command)
    }

    /// Starts it with this command.
    pub fn start_with(&mut self, command: Command) -> Result<Duration> {
        let began = Instant::now();
        let mut server = Server::spawn(command)?;
        let ready = server.is_ready(READY).with_context(|| self.last_words())?;
        self.server = Some(server);
        if !ready {
            bail!("the node was not ready within {READY:?}; {}", self.last_words());
        }
        let took = began.elapsed();
        self.tally.longest("ready_ms", took.as_millis() as u64);
        Ok(took)
    }

    /// The end of what the node has said on standard error.
    fn last_words(&self) -> String {
        let said = fs::read(self.folder.join("node.log")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(1_000)..]);
        format!("the node said last: {}", said.trim())
    }

    /// The node.
    pub fn node(&mut self) -> Result<&mut Server> {
        self.server.as_mut().context("the node does not run")
    }

    /// Ends it at once.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
        }
        Ok(())
    }

    /// Host and port of its HTTP interface.
    pub fn http(&mut self) -> Result<String> {
        Ok(self.node()?.page()?.trim_start_matches("http://").to_owned())
    }

    /// Host and port of its Riemann listener.
    pub fn riemann(&mut self) -> Result<String> {
        Ok(self.node()?.listener("riemann tcp")?.to_owned())
    }

    /// Asks the node.
    pub fn ask(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Answer> {
        let address = self.http()?;
        ask(&address, method, path, kind, body, PATIENCE).with_context(|| format!("{method} {path}"))
    }

    /// Asks the node for JSON.
    pub fn get(&mut self, path: &str) -> Result<Value> {
        self.ask("GET", path, "", &[])?.json().with_context(|| format!("GET {path}"))
    }

    /// Deploys a module under a name.
    pub fn deploy(&mut self, name: &str, module: &Path, parameters: &[(&str, &str)]) -> Result<Value> {
        let body =
            fs::read(module).with_context(|| format!("{}: run `cargo xtask rules`", module.display()))?;
        let parameters: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        let path = format!("/api/v1/rules/{name}?{}", parameters.join("&"));
        self.ask("PUT", &path, "application/wasm", &body)?.json().with_context(|| format!("deploying {name}"))
    }

    /// Lets the oracle send events, so many a second on each of its connections.
    pub fn load(&mut self, rate: u64, batch: usize) -> Result<()> {
        let (riemann, http) = (self.riemann()?, self.http()?);
        self.oracle
            .ask(json!({ "do": "load", "riemann": riemann, "http": http, "rate": rate, "batch": batch }))?;
        Ok(())
    }

    /// Lets it stop, when all that was sent is answered or the node is dead; returns what it counted.
    pub fn halt(&mut self) -> Result<Value> {
        self.oracle.ask(json!({ "do": "halt" }))
    }

    /// One more event, which must be acked.
    pub fn fresh(&mut self) -> Result<()> {
        let riemann = self.riemann()?;
        let answer = self.oracle.ask(json!({ "do": "fresh", "riemann": riemann }))?;
        if answer["acked"] != true {
            bail!("a fresh event was refused: {}", answer["reason"]);
        }
        Ok(())
    }

    /// The log against the ledger. Returns what the oracle found, after an error for what must not be.
    pub fn check_log(&mut self) -> Result<Value> {
        let found = self.oracle.ask(json!({ "do": "check", "log": self.data.join("log") }))?;
        let number = |name: &str| found[name].as_u64().unwrap_or_default();
        self.tally.add("logged", number("new"));
        self.tally.add("logged without an answer", number("unknown"));
        self.tally.add("lost", number("lost"));
        self.tally.add("wrong", number("wrong"));
        if number("lost") + number("wrong") > 0 {
            bail!(
                "{} acked events are lost, {} are wrong: {}",
                number("lost"),
                number("wrong"),
                found["said"]
            );
        }
        if number("refused") > 0 {
            self.tally.add("refused and in the log", number("refused"));
        }
        Ok(found)
    }

    /// What the rule `keeper` remembers is what the log says that it has seen.
    pub fn check_keeper(&mut self) -> Result<()> {
        self.check_digests("chaos digest", 0)
    }

    /// The digests that a rule emits under this service are those of all events (0), or of all but the poison (1).
    pub fn check_digests(&mut self, service: &str, which: usize) -> Result<()> {
        let wanted = self.oracle.ask(json!({ "do": "streams" }))?;
        let wanted: BTreeMap<&str, &Value> = wanted
            .as_object()
            .into_iter()
            .flatten()
            .map(|(host, kept)| (host.as_str(), &kept[which]))
            .collect();
        let path = format!("/api/v1/query?limit=1000&q={}", escape(&format!("service = \"{service}\"")));
        let began = Instant::now();
        loop {
            let answer = self.get(&path)?;
            let events = answer["events"].as_array().into_iter().flatten();
            let found: BTreeMap<&str, i64> = events
                .filter_map(|event| Some((event["host"].as_str()?, event["metric"].as_i64()?)))
                .collect();
            let is_right = |(host, kept): &(&&str, &&Value)| {
                kept[1] == 0 || found.get(**host).copied() == kept[0].as_i64()
            };
            let Some((host, kept)) = wanted.iter().find(|stream| !is_right(stream)) else { break };
            // What a rule emits comes a moment after the ack.
            if began.elapsed() > PATIENCE {
                bail!(
                    "{host}: {service} should be {} after {} events and is {:?}; {} of {} streams are right",
                    kept[0],
                    kept[1],
                    found.get(host),
                    wanted.iter().filter(is_right).count(),
                    wanted.len()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.tally.add("states compared", wanted.len() as u64);
        Ok(())
    }

    /// An event that is valid for a moment; its stream must leave the index by itself.
    pub fn mayfly(&mut self, name: &str) -> Result<()> {
        let event = json!({ "host": name, "service": "mayfly", "ttl": MAYFLY.as_secs_f64() }).to_string();
        self.ask("POST", "/api/v1/events", "application/json", event.as_bytes())?.text()?;
        Ok(())
    }

    /// Its time is over.
    pub fn check_mayfly(&mut self, name: &str) -> Result<()> {
        let path =
            format!("/api/v1/query?q={}", escape(&format!("service = \"mayfly\" and host = \"{name}\"")));
        let began = Instant::now();
        while self.get(&path)?["events"].as_array().is_some_and(|events| !events.is_empty()) {
            if began.elapsed() > MAYFLY + Duration::from_secs(3) {
                bail!(
                    "the stream of {name} was valid for {MAYFLY:?} and is still in the index {:?} later",
                    began.elapsed()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.tally.add("expiries after a restart", 1);
        Ok(())
    }

    /// All series of `/metrics`, by name and labels.
    pub fn metrics(&mut self) -> Result<BTreeMap<String, f64>> {
        let answer = self.ask("GET", "/metrics", "", &[])?;
        let lines = answer.text()?.lines().filter(|line| !line.starts_with('#'));
        let parsed = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(parsed.collect())
    }

    /// The books balance: nothing disappears without being counted.
    pub fn check_books(&mut self) -> Result<()> {
        let metrics = self.metrics()?;
        let sum = |name: &str, label: &str| -> f64 {
            let series = metrics.iter().filter(|(series, _)| {
                series.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.is_empty())
                    && series.contains(label)
            });
            series.map(|(_, value)| value).sum()
        };
        let named = |kind: &str, start: &str| -> Vec<String> {
            let mut labels: Vec<String> = metrics
                .keys()
                .filter(|series| series.starts_with(start))
                .filter_map(|series| {
                    let from = series.find(&format!("{kind}=\""))?;
                    let value = series[from..].split('"').nth(1)?;
                    Some(format!("{kind}=\"{value}\""))
                })
                .collect();
            labels.sort();
            labels.dedup();
            labels
        };
        for output in named("output", "tidegate_output_events_taken_total") {
            let of = |what: &str| sum(&format!("tidegate_output_{what}"), &output);
            let (taken, delivered) = (of("events_taken_total"), of("events_delivered_total"));
            let (dropped, failed, queued) =
                (of("events_dropped_total"), of("events_failed_total"), of("queued"));
            if taken != delivered + dropped + failed + queued {
                bail!(
                    "{output}: {taken} taken, but {delivered} delivered + {dropped} dropped + {failed} failed + {queued} queued"
                );
            }
        }
        for input in named("input", "tidegate_input_events_received_total") {
            let (received, accepted) = (
                sum("tidegate_input_events_received_total", &input),
                sum("tidegate_input_events_accepted_total", &input),
            );
            let rejected = sum("tidegate_input_events_rejected_total", &input);
            let shed = sum("tidegate_input_events_shed_total", &input);
            if received != accepted + rejected + shed {
                bail!(
                    "{input}: {received} received, but {accepted} accepted + {rejected} rejected + {shed} shed"
                );
            }
            self.tally.add("events in balanced books", received as u64);
        }
        Ok(())
    }

    /// The log against what the oracle has received: everything that it has came, as one effect and no more.
    pub fn check_received(&mut self, patience: Duration) -> Result<()> {
        let began = Instant::now();
        loop {
            let found = self.oracle.ask(json!({ "do": "undelivered" }))?;
            if found["twice"] != 0 {
                bail!(
                    "{} events came as two different effects, such as {}",
                    found["twice"],
                    found["first_twice"]
                );
            }
            if found["missing"] == 0 {
                break;
            }
            if began.elapsed() > patience {
                bail!(
                    "{} events of the log were never received, such as {}: {}",
                    found["missing"],
                    found["first_missing"],
                    self.last_words()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let received = self.oracle.ask(json!({ "do": "received" }))?;
        for count in ["effects", "events", "doubled", "requests"] {
            self.tally.set(count, received[count].as_u64().unwrap_or_default());
        }
        if received["wrong"] != 0 || received["disorder"] != 0 {
            bail!(
                "{} received effects are wrong, {} out of order: {}",
                received["wrong"],
                received["disorder"],
                received["said"]
            );
        }
        Ok(())
    }

    /// Reads on what the node said on standard error: nothing may have panicked, and what was reached is counted.
    pub fn check_said(&mut self) -> Result<()> {
        let mut file = File::open(self.folder.join("node.log"))?;
        file.seek(SeekFrom::Start(self.told))?;
        let mut said = Vec::new();
        file.read_to_end(&mut said)?;
        self.told += said.len() as u64;
        let said = String::from_utf8_lossy(&said);
        for line in said.lines() {
            if let Some(point) = line.strip_prefix("chaos: reached ") {
                self.tally.add(&format!("reached {point}"), 1);
            } else if let Some(point) = line.strip_prefix("chaos: ends at ") {
                let point = point.split(',').next().unwrap_or_default();
                self.tally.add(&format!("killed in {point}"), 1);
            } else if line.contains("torn tail") {
                self.tally.add("torn tails cut off", 1);
            } else if line.contains("a rule failed") {
                self.tally.add("faults told", 1);
            } else if line.contains("a checkpoint was given up") {
                // As when a rule panics while it is being made: the line has the rule's own words.
                self.tally.add("checkpoints given up", 1);
            } else if line.contains("panicked at") || line.contains("ended in a panic") {
                bail!("the node panicked: {line}");
            }
        }
        Ok(())
    }

    /// Whether it has said that it ends where it was asked to.
    pub fn ends_as_asked(&mut self) -> Result<bool> {
        let before = self.tally.starting_with("killed in ");
        self.check_said()?;
        Ok(self.tally.starting_with("killed in ") > before)
    }

    /// Everything that must hold when the node has recovered and nothing is under way.
    pub fn check(&mut self) -> Result<()> {
        self.fresh().context("after recovery")?;
        self.check_log()?;
        self.check_keeper()?;
        self.check_books()?;
        self.check_said()
    }

    /// Asks the node to stop, and ends the world; its files go.
    pub fn close(mut self) -> Result<Tally> {
        if let Some(server) = self.server.take() {
            server.stop()?;
        }
        self.check_said()?;
        let tally = std::mem::take(&mut self.tally);
        self.mount = None;
        fs::remove_dir_all(&self.folder)?;
        Ok(tally)
    }
}
