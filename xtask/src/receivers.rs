//! `cargo xtask receivers`: outputs against the software that they are for. It is killed and started again while events come,
//! and is asked at the end what it has. `docs/outputs.md` says what may be missing or doubled; nothing else may be.
//!
//! ```text
//! load ──HTTP──► node: rule ─► output ──► receiver, killed at random
//!   │                                        │ asked in its own language
//!   └──────────── what was sent ──► compare ◄┘
//! ```

mod alertmanager;
mod carbon;
mod certificate;
mod collectd;
mod course;
mod daemon;
mod dashing;
mod elasticsearch;
mod influxdb;
mod mail;
mod nats;
mod node;
mod postfix;
mod postgres;
mod prometheus;
mod rabbitmq;
mod relay;
mod rsyslog;

use crate::program::{self, Workspace, find};
use anyhow::{Context, Result, bail};
use course::{Outcome, Settings};
use daemon::Daemon;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Only receivers whose name contains this.
    pub only: Option<String>,
    /// Seconds of load for each.
    pub seconds: Option<u64>,
    /// The program to test; built if left out.
    pub program: Option<PathBuf>,
    /// Where chance begins; drawn anew if left out.
    pub seed: Option<u64>,
}

/// Seconds of load for each receiver in CI.
const SHORT: u64 = 8;

/// Receivers at once: they mostly wait.
const AT_ONCE: usize = 4;

/// Among what a receiver needs: to be started by root.
const ROOT: &str = "root";

/// What an output wrote to a receiver, as that tells it: for each stream the numbers of its events, in the order in which the
/// receiver has them.
pub type Arrived = Vec<Vec<u64>>;

/// Software that an output writes to.
pub trait Receiver: Send {
    /// The section of the output, without what all have in common.
    fn output(&self) -> String;

    /// Tells where the node's page is, before anything starts.
    fn meet(&mut self, _node: &str) -> Result<()> {
        Ok(())
    }

    /// How long it is left alone between two kills, in milliseconds.
    fn peace(&self) -> std::ops::Range<u64> {
        700..3_000
    }

    /// The program that is killed and started.
    fn daemon(&mut self) -> &mut Daemon;

    /// Starts it, or starts it again on the same ports with the same files. Returns when it answers.
    fn start(&mut self) -> Result<()> {
        self.daemon().start()
    }

    /// Whether what a kill takes from it comes back although nothing happens any more.
    fn is_reminded(&self) -> bool {
        false
    }

    /// What it has of each stream. Asked again and again until it has everything, or patience ends.
    fn read(&mut self, load: &course::Load) -> Result<Arrived>;
}

/// How much of what was sent may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    Nothing,
    /// As many events as come in this time, for each kill: what the receiver had in memory, or was on its way to nobody.
    PerKill(Duration),
    /// All but the last value of each stream: that is what it is for.
    AllButTheLast,
}

/// How often something may be there twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// Never.
    Never,
    /// A batch for each kill.
    Batches,
    /// As many events as come in this time, for each kill: what was written lately is written again.
    PerKill(Duration),
}

/// A receiver, and what `docs/outputs.md` promises of it.
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Programs without which there is none, and what else [`is_there`] knows.
    pub needs: &'static [&'static str],
    /// What may be missing.
    pub loss: Loss,
    /// What may be doubled.
    pub repeats: Repeats,
    /// Makes one with its files in this folder.
    pub make: fn(&Path, &Path) -> Result<Box<dyn Receiver>>,
}

/// Those that take long to start come first: else all others would wait for them at the end.
const KINDS: &[Kind] = &[
    rabbitmq::QUEUE,
    prometheus::SCRAPE,
    influxdb::LINE,
    influxdb::GRAPHITE,
    influxdb::OPENTSDB_HTTP,
    influxdb::OPENTSDB_LINES,
    influxdb::REMOTE_WRITE,
    carbon::CARBON,
    prometheus::REMOTE_WRITE,
    collectd::STATSD,
    relay::RIEMANN,
    mail::MAIL,
    postfix::MAIL,
    alertmanager::ALERTS,
    dashing::WIDGETS,
    elasticsearch::BULK,
    nats::JETSTREAM,
    postgres::TABLE,
    rsyslog::TCP,
];

/// `cargo xtask receivers`
pub fn run(wish: &Wish) -> Result<()> {
    let names = || KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    let wanted: Vec<&Kind> = KINDS
        .iter()
        .filter(|kind| wish.only.as_ref().is_none_or(|only| kind.name.contains(only.as_str())))
        .collect();
    if wanted.is_empty() {
        bail!("no receiver has that name; there are {}", names());
    }
    let workspace = Workspace::ask()?;
    let program = match &wish.program {
        Some(program) => std::fs::canonicalize(program).with_context(|| format!("{}", program.display()))?,
        None => workspace.build_program()?,
    };
    let folder = workspace.target.join("receivers").join(std::process::id().to_string());
    let seed = wish.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let seconds = wish.seconds.unwrap_or(SHORT);
    eprintln!("$ cargo xtask receivers --seconds {seconds} --seed {seed}");
    let (mut here, mut missing) = (Vec::new(), Vec::new());
    for kind in wanted {
        let lacks: Vec<&str> = kind.needs.iter().filter(|need| !is_there(need)).copied().collect();
        match lacks.as_slice() {
            [] => here.push(kind),
            lacks => missing.push(format!("{} (needs {})", kind.name, lacks.join(", "))),
        }
    }
    let waiting = Mutex::new(here.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
                    let Some((n, kind)) = next else { return };
                    let folder = folder.join(kind.name);
                    let settings = Settings {
                        seconds,
                        seed: seed.wrapping_add(n as u64),
                        program: &program,
                        folder: &folder,
                    };
                    let outcome = course::run(kind, &settings);
                    match &outcome {
                        Ok(outcome) => println!("{:22} {outcome}", kind.name),
                        Err(error) => {
                            println!(
                                "{:22} FAILED: {error:#}\n{:22} files: {}",
                                kind.name,
                                "",
                                folder.display()
                            );
                        }
                    }
                    done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(outcome);
                }
            });
        }
    });
    let done: Vec<Result<Outcome>> = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let failed = done.iter().filter(|outcome| outcome.is_err()).count();
    if failed > 0 {
        bail!("{failed} of {} receivers failed", done.len());
    }
    let _ = std::fs::remove_dir_all(&folder);
    match missing.as_slice() {
        [] => Ok(()),
        missing if program::in_ci() => bail!("{}", missing.join(", ")),
        missing => {
            println!("skipped: {}", missing.join(", "));
            Ok(())
        }
    }
}

/// Whether there is what a receiver needs. What npm has is fetched if it is not.
fn is_there(need: &str) -> bool {
    match need {
        ROOT => std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0),
        dashing::PACKAGE => match dashing::packages() {
            Ok(_) => true,
            Err(error) => {
                eprintln!("{need}: {error:#}");
                false
            }
        },
        program => find(program).is_some(),
    }
}

/// A short run of all, for `cargo xtask test`.
pub fn short(workspace: &Workspace) -> Result<()> {
    let program = workspace.build_program()?;
    run(&Wish { program: Some(program), seed: Some(1), ..Wish::default() })
}
