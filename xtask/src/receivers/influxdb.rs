//! InfluxDB 1.6, by five doors: its own line protocol, and those of Graphite, OpenTSDB (lines and HTTP) and Prometheus.

use super::course::Load;
use super::daemon::{Daemon, answers, get, listens, ports, write};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use crate::chaos::http;
use crate::program::find;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const NEEDS: &[&str] = &["influxd"];

/// By its own protocol, which is answered when the points are on disk.
pub const LINE: Kind = kind("influxdb", |folder, _| make(folder, Door::Line));
/// By Carbon's lines.
pub const GRAPHITE: Kind = kind("influxdb-graphite", |folder, _| make(folder, Door::Graphite));
/// By OpenTSDB's HTTP.
pub const OPENTSDB_HTTP: Kind = kind("influxdb-opentsdb-http", |folder, _| make(folder, Door::OpentsdbHttp));
/// By OpenTSDB's lines.
pub const OPENTSDB_LINES: Kind =
    kind("influxdb-opentsdb-lines", |folder, _| make(folder, Door::OpentsdbLines));
/// By Prometheus remote write.
pub const REMOTE_WRITE: Kind = kind("influxdb-remote-write", |folder, _| make(folder, Door::RemoteWrite));

type Make = fn(&Path, &Path) -> Result<Box<dyn Receiver>>;

/// A point is named by series and time, so that none is there twice; lines that nobody acknowledges are written again when the
/// connection broke.
const fn kind(name: &'static str, make: Make) -> Kind {
    Kind { name, needs: NEEDS, loss: Loss::Nothing, repeats: Repeats::Never, make }
}

#[derive(Clone, Copy)]
enum Door {
    Line,
    Graphite,
    OpentsdbHttp,
    OpentsdbLines,
    RemoteWrite,
}

struct Influxdb {
    daemon: Daemon,
    door: Door,
    http: u16,
    graphite: u16,
    opentsdb: u16,
}

fn make(folder: &Path, door: Door) -> Result<Box<dyn Receiver>> {
    let [rpc, http, graphite, opentsdb] = ports()?;
    let home = folder.join("influxdb");
    let config = format!(
        "reporting-disabled = true\nbind-address = \"127.0.0.1:{rpc}\"\n\
         [meta]\ndir = \"{0}/meta\"\n[data]\ndir = \"{0}/data\"\nwal-dir = \"{0}/wal\"\n[monitor]\nstore-enabled = false\n\
         [http]\nbind-address = \"127.0.0.1:{http}\"\nlog-enabled = false\n\
         [[graphite]]\nenabled = {1}\nbind-address = \"127.0.0.1:{graphite}\"\ndatabase = \"load\"\n\
         templates = [\"host.measurement*\"]\n\
         [[opentsdb]]\nenabled = {2}\nbind-address = \"127.0.0.1:{opentsdb}\"\ndatabase = \"load\"\n",
        home.display(),
        matches!(door, Door::Graphite),
        matches!(door, Door::OpentsdbHttp | Door::OpentsdbLines),
    );
    let config = write(folder, "influxdb.conf", &config)?;
    let program = find("influxd").context("influxd")?;
    let other = match door {
        Door::Graphite => Some(graphite),
        Door::OpentsdbHttp | Door::OpentsdbLines => Some(opentsdb),
        Door::Line | Door::RemoteWrite => None,
    };
    let daemon = Daemon::new(program, ["-config", &config], folder.join("influxd.log"))
        .with("HOME", folder.display().to_string())
        .ready_when(move || answers(http, "/ping") && other.is_none_or(listens));
    Ok(Box::new(Influxdb { daemon, door, http, graphite, opentsdb }))
}

impl Receiver for Influxdb {
    fn output(&self) -> String {
        let Self { http, graphite, opentsdb, .. } = self;
        match self.door {
            Door::Line => {
                format!("type = \"influxdb\"\nurl = \"http://127.0.0.1:{http}\"\ndatabase = \"load\"\n")
            }
            Door::Graphite => format!("type = \"graphite\"\naddress = \"127.0.0.1:{graphite}\"\n"),
            Door::OpentsdbHttp => format!("type = \"opentsdb\"\nurl = \"http://127.0.0.1:{opentsdb}\"\n"),
            Door::OpentsdbLines => format!("type = \"opentsdb\"\naddress = \"127.0.0.1:{opentsdb}\"\n"),
            Door::RemoteWrite => format!(
                "type = \"prometheus-remote-write\"\nurl = \"http://127.0.0.1:{http}/api/v1/prom/write?db=load\"\n"
            ),
        }
    }

    fn start(&mut self) -> Result<()> {
        self.daemon.start()?;
        let create = "q=CREATE%20DATABASE%20load";
        let address = format!("127.0.0.1:{}", self.http);
        let form = "application/x-www-form-urlencoded";
        http::ask(&address, "POST", "/query", form, create.as_bytes(), Duration::from_secs(20))?.text()?;
        Ok(())
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        let query = http::escape("SELECT value FROM load GROUP BY host");
        let answer = get(self.http, &format!("/query?db=load&epoch=s&q={query}"))?.json()?;
        let mut arrived = vec![Vec::new(); load.streams];
        for series in answer["results"][0]["series"].as_array().into_iter().flatten() {
            let host = series["tags"]["host"].as_str().unwrap_or_default();
            let Some(stream) = host.strip_prefix('h').and_then(|n| n.parse::<usize>().ok()) else { continue };
            let points = series["values"].as_array().into_iter().flatten();
            let numbers = points.map(|point| number(point, load));
            arrived.get_mut(stream).context("an unknown host")?.extend(numbers);
        }
        Ok(arrived)
    }
}

/// The number of a point `[seconds, value]`; 0, which was never sent, where the two do not agree.
fn number(point: &Value, load: &Load) -> u64 {
    let (at, value) = (point[0].as_u64().unwrap_or_default(), point[1].as_f64().unwrap_or_default());
    let number = load.number(at);
    if number as f64 == value { number } else { 0 }
}
