//! Prometheus Alertmanager, told by a desk of alerts: it keeps alerts in memory, so what a kill takes from it must come with
//! the desk's next `repeat`.

use super::course::Load;
use super::daemon::{Daemon, answers, get, ports, write};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use crate::program::find;
use anyhow::{Context, Result};
use std::path::Path;

/// An alert there is its labels, and has the last words that were said of it.
pub const ALERTS: Kind = Kind {
    name: "alertmanager",
    needs: &["prometheus-alertmanager"],
    loss: Loss::AllButTheLast,
    repeats: Repeats::Never,
    make,
};

struct Alertmanager {
    daemon: Daemon,
    port: u16,
}

fn make(folder: &Path, _: &Path) -> Result<Box<dyn Receiver>> {
    let [port] = ports()?;
    let config =
        write(folder, "alertmanager.yml", "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")?;
    let words = [
        format!("--config.file={config}"),
        format!("--storage.path={}/alertmanager", folder.display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        // It is alone.
        "--cluster.listen-address=".into(),
    ];
    let program = find("prometheus-alertmanager").context("prometheus-alertmanager")?;
    let daemon = Daemon::new(program, words, folder.join("alertmanager.log"))
        .ready_when(move || answers(port, "/-/ready"));
    Ok(Box::new(Alertmanager { daemon, port }))
}

impl Receiver for Alertmanager {
    /// The state of all events is `ok`, so here that is what opens an alert. Each is told of once a second.
    fn output(&self) -> String {
        format!(
            "type = \"alerts\"\nto = [\"alertmanager\"]\nfiring = [\"ok\"]\nresolve = [\"over\"]\nrepeat = \"1s\"\n\
             [outputs.out.limit]\nnotices = 10000\nper = \"1s\"\n\
             [outputs.alertmanager]\ntype = \"alertmanager\"\nurl = \"http://127.0.0.1:{}\"\n",
            self.port
        )
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn is_reminded(&self) -> bool {
        true
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        let alerts = get(self.port, "/api/v2/alerts")?.json()?;
        let mut arrived = vec![Vec::new(); load.streams];
        for alert in alerts.as_array().context("no list of alerts")? {
            let host = alert["labels"]["instance"].as_str().unwrap_or_default();
            let stream: usize =
                host.strip_prefix('h').and_then(|n| n.parse().ok()).context("an unknown host")?;
            // `number 17 of h3`
            let said = alert["annotations"]["description"].as_str().unwrap_or_default();
            let number = said.split(' ').nth(1).and_then(|number| number.parse().ok());
            let number = number.with_context(|| format!("{said:?} has no number"))?;
            arrived.get_mut(stream).context("an unknown host")?.push(number);
        }
        Ok(arrived)
    }
}
