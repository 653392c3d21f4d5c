//! PostgreSQL: a table that the output made, read back with psql; over TLS alone.

use super::certificate::{self, Certificate};
use super::course::Load;
use super::daemon::{Daemon, ports};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A transaction for each batch, and a key for each row.
pub const TABLE: Kind = Kind {
    name: "postgresql",
    needs: &["psql", "setpriv", certificate::NEEDS],
    loss: Loss::Nothing,
    repeats: Repeats::Never,
    make,
};

/// How long what a killed server leaves behind may take to go.
const GOES: Duration = Duration::from_secs(30);

struct Postgres {
    daemon: Daemon,
    port: u16,
    bin: PathBuf,
    /// Where another user than root can be.
    folder: PathBuf,
    certificate: Certificate,
}

/// The folder of Debian's newest server: only clients are on the path.
fn bin() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").context("no PostgreSQL server is installed")?;
    let newest =
        versions.flatten().map(|entry| entry.path()).filter(|path| path.join("bin/postgres").exists()).max();
    Ok(newest.context("no PostgreSQL server is installed")?.join("bin"))
}

/// The words before a command that must not be done by root.
fn as_nobody_special() -> Result<Vec<String>> {
    let said = Command::new("id").arg("-u").output()?;
    let root = said.stdout == b"0\n";
    let words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];
    Ok(if root { words.map(String::from).to_vec() } else { vec!["env".into()] })
}

fn make(_: &Path, _: &Path) -> Result<Box<dyn Receiver>> {
    let [port] = ports()?;
    let bin = bin()?;
    // The target folder may be in root's home, where the server's user cannot look.
    let folder = std::env::temp_dir().join(format!("tidegate-postgresql-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let before = as_nobody_special()?;
    let certificate = Certificate::new(&folder)?;
    if before[0] == "setpriv" {
        done(Command::new("chown").arg("-R").arg("postgres").arg(&folder))?;
    }
    let data = folder.join("data").display().to_string();
    let mut initdb = Command::new(&before[0]);
    initdb.args(&before[1..]).arg(bin.join("initdb"));
    initdb.args([
        "--pgdata",
        &data,
        "--username",
        "load",
        "--auth",
        "trust",
        "--encoding",
        "UTF8",
        "--no-locale",
    ]);
    done(initdb.current_dir(&folder))?;
    std::fs::write(folder.join("data/pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n")?;
    let mut words = before[1..].to_vec();
    words.push(bin.join("postgres").display().to_string());
    let socket = folder.display().to_string();
    let port_word = port.to_string();
    words.extend(["-D", &data, "-p", &port_word, "-h", "127.0.0.1", "-k", &socket].map(String::from));
    let (chain, key) = (&certificate.chain, &certificate.key);
    for setting in ["ssl=on", &format!("ssl_cert_file={chain}"), &format!("ssl_key_file={key}")] {
        words.extend(["-c".to_owned(), setting.to_owned()]);
    }
    let daemon = Daemon::new(&before[0], words, folder.join("postgres.log")).ready_when({
        let (port, program) = (port.to_string(), bin.join("pg_isready"));
        move || {
            let mut ask = Command::new(&program);
            ask.args(["-q", "-h", "127.0.0.1", "-p", &port]).status().is_ok_and(|status| status.success())
        }
    });
    Ok(Box::new(Postgres { daemon, port, bin, folder, certificate }))
}

fn done(command: &mut Command) -> Result<String> {
    let said = command.output().with_context(|| format!("{command:?}"))?;
    if !said.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&said.stderr));
    }
    Ok(String::from_utf8(said.stdout)?)
}

impl Postgres {
    fn ask(&self, query: &str) -> Result<String> {
        let port = self.port.to_string();
        let words = ["-h", "127.0.0.1", "-p", &port, "-U", "load", "-d", "postgres", "-XAtc", query];
        done(Command::new(self.bin.join("psql")).args(words))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Receiver for Postgres {
    fn output(&self) -> String {
        format!(
            "type = \"postgres\"\naddress = \"127.0.0.1:{}\"\ndatabase = \"postgres\"\nusername = \"load\"\n\
             create_table = true\n{}",
            self.port,
            self.certificate.settings()
        )
    }

    fn start(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            // Until the children of the one before have noticed that it is gone, there is no other.
            match self.daemon.start() {
                Err(_) if began.elapsed() < GOES => std::thread::sleep(Duration::from_millis(200)),
                started => return started,
            }
        }
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        let mut arrived = vec![Vec::new(); load.streams];
        if self.ask("select to_regclass('tidegate_events')")?.trim().is_empty() {
            return Ok(arrived);
        }
        let rows = self.ask(
            "select host, metric::bigint from tidegate_events where extract(epoch from time) = \
             extract(epoch from time)::bigint and attributes ->> 'number' = (metric::bigint)::text order by position, n",
        )?;
        for row in rows.lines() {
            let (host, number) = row.split_once('|').with_context(|| format!("a row {row:?}"))?;
            let stream = host.strip_prefix('h').and_then(|n| n.parse::<usize>().ok()).unwrap_or(usize::MAX);
            arrived.get_mut(stream).with_context(|| format!("a stream {host}"))?.push(number.parse()?);
        }
        Ok(arrived)
    }
}
