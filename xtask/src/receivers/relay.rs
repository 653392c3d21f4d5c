//! A second node, which gets events by Riemann's protocol and has them in its log.

use super::course::Load;
use super::daemon::{Daemon, listens, ports, write};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Over TCP, acknowledged when it is in the log. A message whose ack was lost comes again.
pub const RIEMANN: Kind =
    Kind { name: "riemann", needs: &[], loss: Loss::Nothing, repeats: Repeats::Batches, make };

struct Relay {
    daemon: Daemon,
    port: u16,
    program: PathBuf,
    data: PathBuf,
}

fn make(folder: &Path, program: &Path) -> Result<Box<dyn Receiver>> {
    let [port] = ports()?;
    let config = format!(
        "[http]\naddress = \"127.0.0.1:0\"\n[websocket]\nenabled = false\n[instrumentation]\nenabled = false\n\
         [inputs.riemann]\ntype = \"riemann\"\ntcp = \"127.0.0.1:{port}\"\n"
    );
    let config = write(folder, "second.toml", &config)?;
    let data = folder.join("second");
    let words = ["run", "--config", &config, "--data", &data.display().to_string()];
    let daemon = Daemon::new(program, words, folder.join("second.log")).ready_when(move || listens(port));
    Ok(Box::new(Relay { daemon, port, program: program.to_owned(), data }))
}

impl Receiver for Relay {
    fn output(&self) -> String {
        format!("type = \"riemann\"\naddress = \"127.0.0.1:{}\"\n", self.port)
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        let mut export = Command::new(&self.program);
        export.args([
            "log",
            "export",
            "--data",
            &self.data.display().to_string(),
            "--where",
            "service = \"load\"",
        ]);
        let said = export.output().context("tidegate log export")?;
        if !said.status.success() {
            bail!("tidegate log export: {}", String::from_utf8_lossy(&said.stderr));
        }
        let mut arrived = vec![Vec::new(); load.streams];
        for line in String::from_utf8_lossy(&said.stdout).lines() {
            let event: Value = serde_json::from_str(line)?;
            let host = event["host"].as_str().unwrap_or_default();
            let stream: usize = host.strip_prefix('h').unwrap_or_default().parse()?;
            let whole = event["attributes"]["number"] == event["metric"].to_string().as_str()
                || event["number"] == event["metric"].to_string().as_str();
            let number = if whole { event["metric"].as_u64().unwrap_or_default() } else { 0 };
            arrived.get_mut(stream).context("an unknown host")?.push(number);
        }
        Ok(arrived)
    }
}
