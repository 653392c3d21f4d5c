//! The node under test: one output, one rule that forwards everything to it, and events over HTTP.

use crate::chaos::http;
use crate::server::Server;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Events in a batch of the output: also what one crash may repeat.
pub const BATCH: usize = 100;

/// How long what waits may take to get out, once the receiver is there again: attempts are at most 30 s apart.
const DRAIN: Duration = Duration::from_secs(60);

/// How long the node may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// What the rule gets.
const QUERY: &str = "service = \"load\" and state = \"ok\"";

/// The rule.
const PIPELINE: &str = "[[stage]]\nto = \"out\"\n";

/// A running node.
pub struct Node {
    server: Server,
    page: String,
}

/// What the output's counters say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Books {
    /// What was settled one way or the other.
    pub settled: u64,
    /// What was given up on or dropped.
    pub lost: u64,
    /// Failed attempts.
    pub retries: u64,
}

impl Node {
    /// Starts one whose output has this section.
    pub fn start(program: &Path, folder: &Path, output: &str) -> Result<Self> {
        let config = super::daemon::write(
            folder,
            "tidegate.toml",
            &format!(
                "[http]\naddress = \"127.0.0.1:0\"\n[websocket]\nenabled = false\n[instrumentation]\nenabled = false\n\
                 [engine]\nshards = 1\n[inputs.riemann]\ntype = \"riemann\"\ntcp = \"127.0.0.1:0\"\n\
                 [outputs.out]\nbatch = {BATCH}\n{output}"
            ),
        )?;
        let pipeline = super::daemon::write(folder, "pipeline.toml", PIPELINE)?;
        let data: PathBuf = folder.join("node");
        let mut command = Server::command(program, Path::new(&config), &data);
        command.stderr(File::create(folder.join("node.log"))?);
        let mut server = Server::spawn(command)?;
        if !server.is_ready(READY)? {
            bail!("the node was not ready within {READY:?}");
        }
        let page = server.page()?.trim_start_matches("http://").to_owned();
        // On a machine that is busy the module may take longer to compile than a deployment waits.
        for attempt in 1.. {
            let mut deploy = Command::new(program);
            deploy.args(["deploy", "standard", "--name", "forward", "--where", QUERY]);
            deploy.args(["--set-file", &pipeline, "--to", "out=out", "--server", &format!("http://{page}")]);
            let deployed = deploy.output().context("tidegate deploy")?;
            if deployed.status.success() {
                break;
            }
            let said = String::from_utf8_lossy(&deployed.stderr).into_owned();
            if attempt >= 6 || !said.contains("did not compile within") {
                bail!("tidegate deploy: {said}");
            }
        }
        Ok(Self { server, page })
    }

    /// Host and port of its page.
    pub fn page(&self) -> &str {
        &self.page
    }

    /// Sends the next event of each stream and waits until the log has them.
    pub fn send(page: &str, epoch: u64, streams: usize, number: u64) -> Result<()> {
        let mut body = String::from("[");
        for stream in 0..streams {
            let comma = if stream > 0 { "," } else { "" };
            let _ = write!(
                body,
                "{comma}{{\"host\":\"h{stream}\",\"service\":\"load\",\"state\":\"ok\",\"metric\":{number},\
                 \"time\":{},\"ttl\":86400,\"description\":\"number {number} of h{stream}\",\
                 \"attributes\":{{\"number\":\"{number}\"}}}}",
                epoch + number
            );
        }
        body.push(']');
        let patience = Duration::from_secs(30);
        http::ask(page, "POST", "/api/v1/events", "application/json", body.as_bytes(), patience)?.text()?;
        Ok(())
    }

    /// What the output's counters say.
    pub fn books(&self) -> Result<Books> {
        let page = http::ask(&self.page, "GET", "/metrics", "", b"", Duration::from_secs(20))?;
        let text = page.text()?;
        let of = |name: &str| -> u64 {
            let lines = text.lines().filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('{') && rest.contains("output=\"out\""))
            });
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as u64
        };
        let delivered = of("tidegate_output_events_delivered_total");
        let lost = of("tidegate_output_events_dropped_total") + of("tidegate_output_events_failed_total");
        Ok(Books { settled: delivered + lost, lost, retries: of("tidegate_output_retries_total") })
    }

    /// Waits until everything that was sent has been handed over.
    pub fn drain(&self, sent: u64) -> Result<Books> {
        let began = Instant::now();
        loop {
            let books = self.books()?;
            if books.lost > 0 {
                let letters = http::ask(
                    &self.page,
                    "GET",
                    "/api/v1/dead-letters?limit=1",
                    "",
                    b"",
                    Duration::from_secs(20),
                )?;
                bail!(
                    "{} events were given up on: {books:?}, {}",
                    books.lost,
                    String::from_utf8_lossy(&letters.body)
                );
            }
            if books.settled == sent {
                return Ok(books);
            }
            if began.elapsed() > DRAIN {
                bail!("{sent} events were sent, but after {DRAIN:?} the output says {books:?}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Asks it to stop.
    pub fn stop(self) -> Result<()> {
        self.server.stop()
    }
}
