//! collectd's statsd plugin. Each event has a gauge of its own, so that what is missing can be told; collectd's csv plugin
//! writes them down.

use super::course::Load;
use super::daemon::{Daemon, ports, write};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use crate::program::find;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Over UDP, which is acknowledged by nobody: lost is what collectd had not yet written down (its interval is a second), what
/// stood in its socket, and what was sent to nobody before the kernel said so.
pub const STATSD: Kind = Kind {
    name: "collectd-statsd",
    needs: &["collectd"],
    loss: Loss::PerKill(Duration::from_secs(3)),
    repeats: Repeats::Never,
    make,
};

/// Where Debian puts its plugins.
const PLUGINS: &str = "/usr/lib/collectd";

struct Collectd {
    daemon: Daemon,
    port: u16,
    csv: PathBuf,
}

fn make(folder: &Path, _: &Path) -> Result<Box<dyn Receiver>> {
    let [port] = ports()?;
    let (csv, log) = (folder.join("csv"), folder.join("collectd.log"));
    // It writes into no folder whose path as it is given has a part that begins with a dot, so it is given the short one.
    let config = format!(
        "Hostname \"receiver\"\nFQDNLookup false\nBaseDir \"{}\"\nPluginDir \"{PLUGINS}\"\n\
         TypesDB \"/usr/share/collectd/types.db\"\nInterval 1\nLoadPlugin csv\nLoadPlugin statsd\n\
         <Plugin csv>\n  DataDir \"csv\"\n  StoreRates false\n</Plugin>\n\
         <Plugin statsd>\n  Host \"127.0.0.1\"\n  Port \"{port}\"\n  DeleteGauges true\n</Plugin>\n",
        folder.display(),
    );
    let config = write(folder, "collectd.conf", &config)?;
    let program = find("collectd").context("collectd")?;
    // It says so when its socket is there. To try the port would be to take it.
    let mut starts = 0;
    let daemon = Daemon::new(program, ["-f", "-C", &config], log.clone()).ready_when(move || {
        let said = std::fs::read_to_string(&log).unwrap_or_default().matches("Listening on").count();
        std::mem::replace(&mut starts, said) < said
    });
    Ok(Box::new(Collectd { daemon, port, csv }))
}

impl Receiver for Collectd {
    fn output(&self) -> String {
        format!(
            "type = \"statsd\"\naddress = \"127.0.0.1:{}\"\nname = \"{{{{ host }}}}.{{{{ metric }}}}\"\n",
            self.port
        )
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        let mut arrived = vec![Vec::new(); load.streams];
        let Ok(files) = std::fs::read_dir(self.csv.join("receiver/statsd")) else { return Ok(arrived) };
        for file in files {
            // `gauge-h3.17-2026-01-02`
            let name = file?.file_name().to_string_lossy().into_owned();
            let Some((stream, rest)) = name.strip_prefix("gauge-h").and_then(|name| name.split_once('.'))
            else {
                continue;
            };
            let number = rest.split('-').next().unwrap_or_default().parse()?;
            arrived.get_mut(stream.parse::<usize>()?).context("an unknown host")?.push(number);
        }
        arrived.iter_mut().for_each(|numbers| {
            numbers.sort_unstable();
            // A gauge has a file for each day.
            numbers.dedup();
        });
        Ok(arrived)
    }
}
