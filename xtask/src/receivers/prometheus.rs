//! Prometheus: it reads `/metrics/streams`, or is written to.

use super::course::Load;
use super::daemon::{Daemon, answers, get, ports, write};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use crate::chaos::http;
use crate::program::find;
use anyhow::{Context, Result, bail};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// As a receiver of remote write.
pub const REMOTE_WRITE: Kind = Kind {
    name: "prometheus-remote-write",
    needs: &["prometheus"],
    loss: Loss::Nothing,
    repeats: Repeats::Never,
    make: |folder, _| make(folder, Way::Write),
};

/// As one that comes and reads.
pub const SCRAPE: Kind = Kind {
    name: "prometheus-scrape",
    needs: &["prometheus", "promtool"],
    loss: Loss::AllButTheLast,
    repeats: Repeats::Never,
    make: |folder, _| make(folder, Way::Scrape),
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Write,
    Scrape,
}

struct Prometheus {
    daemon: Daemon,
    way: Way,
    port: u16,
    folder: PathBuf,
    node: String,
}

fn make(folder: &Path, way: Way) -> Result<Box<dyn Receiver>> {
    let [port] = ports()?;
    let mut words = vec![
        format!("--config.file={}/prometheus.yml", folder.display()),
        format!("--storage.tsdb.path={}/prometheus", folder.display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    if way == Way::Write {
        words.push("--web.enable-remote-write-receiver".into());
    }
    let program = find("prometheus").context("prometheus")?;
    let daemon = Daemon::new(program, words, folder.join("prometheus.log"))
        .ready_when(move || answers(port, "/-/ready"));
    Ok(Box::new(Prometheus { daemon, way, port, folder: folder.to_owned(), node: String::new() }))
}

impl Receiver for Prometheus {
    fn output(&self) -> String {
        match self.way {
            Way::Scrape => "type = \"prometheus\"\n".into(),
            Way::Write => {
                let url = format!("http://127.0.0.1:{}/api/v1/write", self.port);
                format!("type = \"prometheus-remote-write\"\nurl = \"{url}\"\n")
            }
        }
    }

    fn meet(&mut self, node: &str) -> Result<()> {
        self.node = node.to_owned();
        let jobs = match self.way {
            Way::Write => String::new(),
            Way::Scrape => format!(
                "  - job_name: streams\n    honor_labels: true\n    metrics_path: /metrics/streams\n    static_configs:\n      \
                 - targets: [\"{node}\"]\n"
            ),
        };
        let config = format!("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n{jobs}");
        write(&self.folder, "prometheus.yml", &config).map(drop)
    }

    fn peace(&self) -> std::ops::Range<u64> {
        match self.way {
            Way::Write => 700..3_000,
            // It begins to read five seconds after its start.
            Way::Scrape => 6_500..9_000,
        }
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        if self.way == Way::Scrape {
            self.lint()?;
        }
        // As of the last event, so that what the head has is within reach.
        let at = load.epoch + load.last + 1;
        let at = if self.way == Way::Write { format!("&time={at}") } else { String::new() };
        let answer =
            get(self.port, &format!("/api/v1/query?query={}{at}", http::escape("load[4h]")))?.json()?;
        let mut arrived = vec![Vec::new(); load.streams];
        for series in answer["data"]["result"].as_array().into_iter().flatten() {
            let host = series["metric"]["host"].as_str().unwrap_or_default();
            let Some(stream) = host.strip_prefix('h').and_then(|n| n.parse::<usize>().ok()) else { continue };
            let numbers: &mut Vec<u64> = arrived.get_mut(stream).context("an unknown host")?;
            for sample in series["values"].as_array().into_iter().flatten() {
                let value: f64 = sample[1].as_str().unwrap_or_default().parse()?;
                match self.way {
                    Way::Write
                        if load.number(sample[0].as_f64().unwrap_or_default() as u64) as f64 != value =>
                    {
                        numbers.push(0);
                    }
                    // Who reads the same value twice has not been told twice.
                    Way::Scrape if numbers.last() == Some(&(value as u64)) => {}
                    _ => numbers.push(value as u64),
                }
            }
        }
        Ok(arrived)
    }
}

impl Prometheus {
    /// The page is what Prometheus's own linter likes.
    fn lint(&self) -> Result<()> {
        let page = http::ask(&self.node, "GET", "/metrics/streams", "", b"", Duration::from_secs(20))?;
        let mut linter = Command::new(find("promtool").context("promtool")?);
        linter.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = linter.spawn().context("promtool")?;
        child.stdin.take().context("its input was piped")?.write_all(&page.body)?;
        let said = child.wait_with_output()?;
        if !said.status.success() {
            bail!("promtool check metrics: {}", String::from_utf8_lossy(&said.stderr));
        }
        Ok(())
    }
}
