//! A tidegate that we started: where it listens, what it says, and its end.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long it may take to be ready. Reading a long log back takes a while.
const READY: Duration = Duration::from_secs(60);

/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(20);

/// A running tidegate. Dropping it ends it.
pub struct Server {
    child: Child,
    /// What it listens on, by what it says: `page`, `riemann tcp`, and so on.
    pub listeners: BTreeMap<String, String>,
    said: Receiver<String>,
}

impl Server {
    /// Starts it and waits until it is ready. It does not see the terminal's Ctrl-C: we tell it when to stop.
    pub fn start(program: &Path, config: &Path, data: &Path) -> Result<Self> {
        let mut command = Self::command(program, config, data);
        // What works is not worth a line between those of the rules.
        if std::env::var_os("TIDEGATE_LOG").is_none() {
            command.env("TIDEGATE_LOG", "warn");
        }
        let mut server = Self::spawn(command)?;
        if !server.is_ready(READY)? {
            bail!("the server was not ready within {READY:?}");
        }
        Ok(server)
    }

    /// The command that runs one.
    pub fn command(program: &Path, config: &Path, data: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(config).arg("--data").arg(data);
        command
    }

    /// Starts what this command says, and does not wait.
    pub fn spawn(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", Path::new(command.get_program()).display()))?;
        let stdout = child.stdout.take().context("its standard output was piped")?;
        let (say, said) = channel();
        // Ends with the other end of the pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, listeners: BTreeMap::new(), said })
    }

    /// Waits until it is ready, for so long at most. That it has ended before is an error.
    pub fn is_ready(&mut self, patience: Duration) -> Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            match self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line == "ready" => return Ok(true),
                Ok(line) => {
                    if let Some((name, address)) = line.rsplit_once(' ') {
                        self.listeners.insert(name.trim().to_owned(), address.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    bail!("the server ended before it was ready ({status}): see what it says above");
                }
            }
        }
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        // It may have ended by itself a moment ago.
        let _ = self.child.kill();
        self.child.wait().context("the server's end")
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("the server's end")
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The page's address, which is the control interface's too.
    pub fn page(&self) -> Result<&str> {
        self.listener("page").map(|page| page.trim_end_matches('/'))
    }

    /// Where it listens for something.
    pub fn listener(&self, name: &str) -> Result<&str> {
        let known = || self.listeners.keys().cloned().collect::<Vec<_>>().join(", ");
        let address = self.listeners.get(name).map(String::as_str);
        address.with_context(|| format!("the server names no {name} listener; it names {}", known()))
    }

    /// The next line that it says, if there is one within this time; an error when it has ended.
    pub fn line(&self, wait: Duration) -> Result<Option<String>> {
        match self.said.recv_timeout(wait) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the server has ended by itself"),
        }
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        // There is no other way to send a signal without a dependency; `kill` is built into every shell.
        let pid = self.child.id().to_string();
        Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid]).status().context("sh")?;
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("the server did not stop cleanly: {status}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the server did not stop within {STOP:?} and was killed")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
