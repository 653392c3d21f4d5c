//! dashing-js, a dashboard: its page listens to `/events`, which begins with the last value of each widget.

use super::course::Load;
use super::daemon::{Daemon, listens, ports, write};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use crate::program::{Workspace, find};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// It forgets its widgets when it ends.
pub const WIDGETS: Kind = Kind {
    name: "dashing",
    needs: &["node", PACKAGE],
    loss: Loss::AllButTheLast,
    repeats: Repeats::Never,
    make,
};

/// What is needed of npm, which must be there itself.
pub const PACKAGE: &str = "npm's dashing-js";

/// It asks for `node-sass`, which no Node.js of today can build; `sass` stands in for it.
const MANIFEST: &str = include_str!("dashing/package.json");
const LOCK: &str = include_str!("dashing/package-lock.json");

/// A project as `dashing-js new` makes it, but that nobody else on the network can reach it.
const SERVER: &str = "process.chdir(__dirname);
var dashing = require('dashing-js').Dashing();
dashing.auth_token = 'sesame';
dashing.app.listen(process.env.PORT, '127.0.0.1');
";

/// How long `/events` is silent when it has said what there is.
const SILENCE: Duration = Duration::from_millis(500);

struct Dashing {
    daemon: Daemon,
    port: u16,
}

/// Where the package is, with all that it needs: fetched once, and again when the lock file changes.
pub fn packages() -> Result<PathBuf> {
    let receivers = Workspace::ask()?.target.join("receivers");
    let there = receivers.join("dashing-js");
    let is_there = || std::fs::read_to_string(there.join("package-lock.json")).is_ok_and(|lock| lock == LOCK);
    if is_there() {
        return Ok(there);
    }
    let npm = find("npm").context("npm is not installed")?;
    // Made beside it, so that it is whole or not there.
    let fetched = receivers.join(format!("dashing-js.{}", std::process::id()));
    write(&fetched, "package.json", MANIFEST)?;
    write(&fetched, "package-lock.json", LOCK)?;
    let mut install = Command::new(npm);
    install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    let said = install.current_dir(&fetched).stdin(Stdio::null()).output().context("npm ci")?;
    if !said.status.success() {
        let _ = std::fs::remove_dir_all(&fetched);
        bail!("npm ci: {}", String::from_utf8_lossy(&said.stderr).trim_end());
    }
    let _ = std::fs::remove_dir_all(&there);
    if let Err(error) = std::fs::rename(&fetched, &there) {
        let _ = std::fs::remove_dir_all(&fetched);
        // Somebody else may have been as far.
        if !is_there() {
            return Err(error).with_context(|| format!("{}", there.display()));
        }
    }
    Ok(there)
}

fn make(folder: &Path, _: &Path) -> Result<Box<dyn Receiver>> {
    let [port] = ports()?;
    let server = write(folder, "server.js", SERVER)?;
    for name in ["dashboards", "jobs", "lib", "public"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    // It takes the folder that its package is in for the project: the one it seems to be in.
    std::os::unix::fs::symlink(packages()?.join("node_modules"), folder.join("node_modules"))?;
    let program = find("node").context("node")?;
    let daemon = Daemon::new(program, ["--preserve-symlinks", &server], folder.join("dashing.log"))
        .with("PORT", port.to_string())
        .ready_when(move || listens(port));
    Ok(Box::new(Dashing { daemon, port }))
}

impl Receiver for Dashing {
    fn output(&self) -> String {
        format!("type = \"dashing\"\nurl = \"http://127.0.0.1:{}\"\nauth_token = \"sesame\"\n", self.port)
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        let mut arrived = vec![Vec::new(); load.streams];
        for line in self.events()?.lines() {
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let widget: Value = serde_json::from_str(data).with_context(|| format!("{data:?}"))?;
            // `h3-load`
            let name = widget["id"].as_str().unwrap_or_default();
            let stream =
                name.strip_prefix('h').and_then(|name| name.strip_suffix("-load")).map(str::parse::<usize>);
            let Some(Ok(stream)) = stream else { bail!("an unknown widget: {data}") };
            let number = widget["current"].as_f64().with_context(|| format!("no number: {data}"))?;
            arrived.get_mut(stream).context("an unknown host")?.push(number as u64);
        }
        Ok(arrived)
    }
}

impl Dashing {
    /// What a page is told when it begins to listen.
    fn events(&self) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).context("/events")?;
        stream.set_read_timeout(Some(SILENCE))?;
        // To the old version of the protocol the answer comes as it is, without chunks.
        stream.write_all(b"GET /events HTTP/1.0\r\n\r\n")?;
        let (mut said, mut piece) = (Vec::new(), [0; 16 << 10]);
        // It never ends; it falls silent.
        while let Ok(read @ 1..) = stream.read(&mut piece) {
            said.extend_from_slice(&piece[..read]);
        }
        let said = String::from_utf8(said)?;
        if !said.starts_with("HTTP/1.1 200") {
            bail!("/events: {:?}", said.lines().next());
        }
        Ok(said)
    }
}
