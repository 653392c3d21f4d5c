//! A program that is killed and started again: always with the same words, so on the same ports and with the same files.

use crate::chaos::http;
use anyhow::{Context, Result, bail};
use std::fs::OpenOptions;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Debian's own Python, whatever else is on the path: what it needs are packages for it.
pub const PYTHON: &str = "/usr/bin/python3";

/// How long a start may take on a machine that is busy.
const START: Duration = Duration::from_secs(60);

/// A program, running or not.
pub struct Daemon {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    ready: Box<dyn FnMut() -> bool + Send>,
    family: bool,
    child: Option<Child>,
}

impl Daemon {
    /// What it says goes to this file.
    pub fn new<S: Into<String>>(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = S>,
        log: PathBuf,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        let (program, environment) = (program.into(), Vec::new());
        Self { program, arguments, environment, log, ready: Box::new(|| true), family: false, child: None }
    }

    /// Sets a variable.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Says when it is ready, after it was started.
    pub fn ready_when(mut self, ready: impl FnMut() -> bool + Send + 'static) -> Self {
        self.ready = Box::new(ready);
        self
    }

    /// With it ends whatever it has started.
    pub fn with_family(mut self) -> Self {
        self.family = true;
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child =
            command.spawn().with_context(|| format!("{} cannot be started", self.program.display()))?;
        self.child = Some(child);
        let began = Instant::now();
        while !(self.ready)() {
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = ended {
                bail!("{} ended as it began ({status}): {}", self.program.display(), self.last_words());
            }
            if began.elapsed() > START {
                bail!("{} was not ready within {START:?}: {}", self.program.display(), self.last_words());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Ends it at once.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            if self.family {
                // It leads a group of its own.
                let group = format!("-{}", child.id());
                Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status()?;
            }
            let _ = child.kill();
            child.wait().context("its end")?;
        }
        Ok(())
    }

    /// Whether it has been started and not killed.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    fn last_words(&self) -> String {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Ports that nobody has now. Another program may be faster; then the start fails and says so.
pub fn ports<const N: usize>() -> Result<[u16; N]> {
    let listeners: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Whether a page is answered with 2xx.
pub fn answers(port: u16, path: &str) -> bool {
    get(port, path).is_ok_and(|answer| (200..300).contains(&answer.status))
}

/// Whether somebody listens.
pub fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Asks for a page.
pub fn get(port: u16, path: &str) -> Result<http::Answer> {
    http::ask(&format!("127.0.0.1:{port}"), "GET", path, "", b"", Duration::from_secs(20))
}

/// Writes a file and says where it is.
pub fn write(folder: &Path, name: &str, text: &str) -> Result<String> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
    Ok(path.display().to_string())
}
