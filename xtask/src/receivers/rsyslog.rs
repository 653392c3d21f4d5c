//! rsyslog: what it wrote to a file.

use super::course::Load;
use super::daemon::{Daemon, listens, ports, write};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use crate::program::find;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Over TCP, which acknowledges nothing: what was written lately is written again when the connection broke.
pub const TCP: Kind = Kind {
    name: "rsyslog",
    needs: &["rsyslogd"],
    loss: Loss::Nothing,
    repeats: Repeats::PerKill(std::time::Duration::from_secs(12)),
    make,
};

struct Rsyslog {
    daemon: Daemon,
    port: u16,
    file: PathBuf,
}

fn make(folder: &Path, _: &Path) -> Result<Box<dyn Receiver>> {
    let [port] = ports()?;
    let file = folder.join("messages");
    let config = format!(
        "global(workDirectory=\"{0}\" maxMessageSize=\"64k\")\nmodule(load=\"imtcp\")\n\
         template(name=\"load\" type=\"string\" string=\"%hostname% %structured-data%\\n\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n\
         action(type=\"omfile\" file=\"{1}\" template=\"load\")\n",
        folder.display(),
        file.display()
    );
    let config = write(folder, "rsyslog.conf", &config)?;
    let pid = folder.join("rsyslog.pid");
    let words = ["-n", "-f", &config, "-i", &pid.display().to_string()];
    let daemon = Daemon::new(find("rsyslogd").context("rsyslogd")?, words, folder.join("rsyslog.log"))
        .ready_when(move || listens(port));
    Ok(Box::new(Rsyslog { daemon, port, file }))
}

impl Receiver for Rsyslog {
    fn output(&self) -> String {
        format!("type = \"syslog\"\naddress = \"127.0.0.1:{}\"\n", self.port)
    }

    fn start(&mut self) -> Result<()> {
        // The file that says who runs would keep the next one from running.
        let _ = std::fs::remove_file(self.file.with_file_name("rsyslog.pid"));
        self.daemon.start()
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        let text = std::fs::read(&self.file).unwrap_or_default();
        let mut arrived = vec![Vec::new(); load.streams];
        for line in String::from_utf8_lossy(&text).lines() {
            let metric = value(line, " metric=\"");
            let Some((host, _)) = line.split_once(' ') else { continue };
            let stream = host.strip_prefix('h').and_then(|n| n.parse::<usize>().ok());
            // The line in which it was killed is not whole.
            let (Some(stream), Some(metric), true) = (stream, metric, line.ends_with(']')) else { continue };
            let number = if value(line, " attr.number=\"") == Some(metric) { metric.parse()? } else { 0 };
            arrived.get_mut(stream).with_context(|| format!("a stream {host}"))?.push(number);
        }
        Ok(arrived)
    }
}

fn value<'l>(line: &'l str, before: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(before)?;
    rest.split_once('"').map(|(value, _)| value)
}
