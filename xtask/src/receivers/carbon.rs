//! Carbon's cache, read back through graphite-web's render API.

use super::course::Load;
use super::daemon::{Daemon, PYTHON, get, listens, ports, write};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use crate::program::find;
use anyhow::{Context, Result};
use std::path::Path;

/// Over TCP. Carbon acknowledges nothing and keeps points in memory; what was written lately is written again.
pub const CARBON: Kind = Kind {
    name: "graphite-carbon",
    needs: &["carbon-cache", "graphite-manage"],
    loss: Loss::Nothing,
    repeats: Repeats::Never,
    make,
};

struct Carbon {
    carbon: Daemon,
    web: Daemon,
    line: u16,
    page: u16,
}

/// Graphite's web application without a web server around it.
const SERVE: &str = "
import os, sys
os.environ['DJANGO_SETTINGS_MODULE'] = 'graphite.settings'
from wsgiref.simple_server import make_server, WSGIRequestHandler
import django
django.setup()
from django.core.management import call_command
call_command('migrate', run_syncdb=True, verbosity=0)
from django.core.wsgi import get_wsgi_application
make_server('127.0.0.1', int(sys.argv[1]), get_wsgi_application()).serve_forever()
";

fn make(folder: &Path, _: &Path) -> Result<Box<dyn Receiver>> {
    let [line, pickle, query, page] = ports()?;
    let home = folder.join("graphite");
    let place = home.display().to_string();
    for part in ["whisper", "log", "run", "conf"] {
        std::fs::create_dir_all(home.join(part))?;
    }
    let conf = home.join("conf");
    let config = write(
        &conf,
        "carbon.conf",
        &format!(
            "[cache]\nSTORAGE_DIR = {place}\nLOCAL_DATA_DIR = {place}/whisper\nCONF_DIR = {place}/conf\n\
             LOG_DIR = {place}/log\nPID_DIR = {place}/run\nUSER =\nENABLE_LOGROTATION = False\n\
             LINE_RECEIVER_INTERFACE = 127.0.0.1\nLINE_RECEIVER_PORT = {line}\n\
             PICKLE_RECEIVER_INTERFACE = 127.0.0.1\nPICKLE_RECEIVER_PORT = {pickle}\n\
             CACHE_QUERY_INTERFACE = 127.0.0.1\nCACHE_QUERY_PORT = {query}\nENABLE_UDP_LISTENER = False\n\
             MAX_CREATES_PER_MINUTE = inf\nMAX_UPDATES_PER_SECOND = inf\nMAX_CACHE_SIZE = inf\nCARBON_METRIC_INTERVAL = 0\n\
             LOG_UPDATES = False\nENABLE_TAGS = False\n"
        ),
    )?;
    write(&conf, "storage-schemas.conf", "[load]\npattern = .*\nretentions = 1s:1d\n")?;
    write(
        &conf,
        "local_settings.py",
        &format!(
            "SECRET_KEY = 'load'\nWHISPER_DIR = '{place}/whisper'\nSTANDARD_DIRS = [WHISPER_DIR]\nSTORAGE_DIR = '{place}'\n\
             CONF_DIR = '{place}/conf'\nLOG_DIR = '{place}/log'\nINDEX_FILE = '{place}/index'\nLOGGING_CONFIG = None\n\
             CARBONLINK_HOSTS = ['127.0.0.1:{query}:a']\nALLOWED_HOSTS = ['*']\nUSE_WORKER_POOL = False\nMEMCACHE_HOSTS = []\n\
             DATABASES = {{'default': {{'NAME': '{place}/graphite.db', 'ENGINE': 'django.db.backends.sqlite3'}}}}\n\
             FETCH_TIMEOUT = 20.0\nFIND_TOLERANCE = 0\n"
        ),
    )?;
    let serve = write(&conf, "serve.py", SERVE)?;
    let words = ["--config", &config, "--pidfile", &format!("{place}/run/carbon.pid"), "--nodaemon", "start"];
    let carbon = Daemon::new(find("carbon-cache").context("carbon-cache")?, words, folder.join("carbon.log"))
        .with("GRAPHITE_STORAGE_DIR", &place)
        .with("GRAPHITE_CONF_DIR", format!("{place}/conf"))
        .ready_when(move || listens(line));
    let web = Daemon::new(PYTHON, [serve, page.to_string()], folder.join("graphite-web.log"))
        .with("PYTHONPATH", format!("{place}/conf"))
        .ready_when(move || listens(page));
    Ok(Box::new(Carbon { carbon, web, line, page }))
}

impl Receiver for Carbon {
    fn output(&self) -> String {
        format!("type = \"graphite\"\naddress = \"127.0.0.1:{}\"\n", self.line)
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.carbon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        if !self.web.runs() {
            self.web.start()?;
        }
        // The first second of an answer is the one after `from`.
        let path = format!(
            "/render?target=*.load&from={}&until={}&format=json&noCache=1",
            load.epoch,
            load.epoch + load.last
        );
        let answer = get(self.page, &path)?.json()?;
        let mut arrived = vec![Vec::new(); load.streams];
        for series in answer.as_array().into_iter().flatten() {
            let name = series["target"].as_str().unwrap_or_default();
            let stream =
                name.strip_prefix('h').and_then(|rest| rest.strip_suffix(".load")?.parse::<usize>().ok());
            let numbers: &mut Vec<u64> =
                arrived.get_mut(stream.unwrap_or(usize::MAX)).with_context(|| format!("series {name}"))?;
            for point in series["datapoints"].as_array().into_iter().flatten() {
                let (Some(value), Some(at)) = (point[0].as_f64(), point[1].as_u64()) else { continue };
                let number = load.number(at);
                numbers.push(if number as f64 == value { number } else { 0 });
            }
        }
        Ok(arrived)
    }
}
