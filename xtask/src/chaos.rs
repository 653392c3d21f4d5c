//! `cargo xtask chaos`: faults on purpose, drawn from a seed, against a real node; an oracle in a process of its own says
//! whether every promise was kept. `docs/testing.md` tells what each kind proves.

mod disk_full;
mod eio;
pub mod event;
pub mod http;
mod kill;
pub mod log;
mod mount;
pub mod oracle;
mod planted;
mod reload;
mod riemann;
mod rules;
mod sink;
mod tally;
mod torn;
mod world;

use crate::program::{self, Workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
pub use tally::Tally;

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Which kind of fault.
    pub kind: String,
    /// How often.
    pub cycles: Option<u64>,
    /// Where chance begins; drawn anew if left out.
    pub seed: Option<u64>,
    /// The program to test, with our rules' modules beside it; built if left out.
    pub program: Option<PathBuf>,
    /// Whether the summary is JSON.
    pub json: bool,
    /// Whether the planted bugs are wanted, instead of a kind.
    pub planted: bool,
}

/// A kind of fault.
struct Kind {
    name: &'static str,
    /// Cycles unless said otherwise: a short run, for CI.
    short: u64,
    run: fn(&mut Run) -> Result<()>,
    /// What a run of [`LONG`] cycles or more must have reached.
    reaches: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind { name: "kill", short: 20, run: kill::run, reaches: kill::REACHES },
    Kind { name: "disk-full", short: 4, run: disk_full::run, reaches: disk_full::REACHES },
    Kind { name: "eio", short: 6, run: eio::run, reaches: eio::REACHES },
    Kind { name: "sink", short: 5, run: sink::run, reaches: sink::REACHES },
    Kind { name: "rules", short: 1, run: rules::run, reaches: rules::REACHES },
    Kind { name: "reload", short: 40, run: reload::run, reaches: reload::REACHES },
    Kind { name: "torn", short: 60, run: torn::run, reaches: torn::REACHES },
];

/// From so many cycles on, everything that a kind is there for must have happened.
const LONG: u64 = 100;

/// A run of one kind.
pub struct Run {
    /// Chance.
    pub chance: fastrand::Rng,
    /// How many cycles are wanted.
    pub cycles: u64,
    /// The program under test.
    pub program: PathBuf,
    /// Where modules are.
    modules: PathBuf,
    /// Where the world is made.
    pub folder: PathBuf,
    /// The bug that is planted, if one is.
    pub plant: Option<String>,
    /// What happened.
    pub tally: Tally,
    quiet: bool,
    shown: Instant,
}

impl Run {
    /// The module of one of our rules.
    pub fn module(&self, package: &str) -> PathBuf {
        self.modules.join(format!("{package}.wasm"))
    }

    /// Says now and then how far it is.
    pub fn progress(&mut self, done: u64, world: &Tally) {
        if self.quiet || (self.shown.elapsed() < Duration::from_secs(10) && done < self.cycles) {
            return;
        }
        self.shown = Instant::now();
        let mut so_far = self.tally.clone();
        so_far.merge(world);
        eprintln!("{done} of {} cycles: {so_far}", self.cycles);
    }
}

/// `cargo xtask chaos`
pub fn run(wish: &Wish) -> Result<()> {
    if wish.planted {
        return planted(&Workspace::ask()?);
    }
    let kinds = || KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    let kind = KINDS.iter().find(|kind| kind.name == wish.kind);
    let kind = kind.with_context(|| format!("--kind {:?}: one of {} was expected", wish.kind, kinds()))?;
    let workspace = Workspace::ask()?;
    let tools = match &wish.program {
        Some(program) => Tools::beside(&workspace, program)?,
        None => Tools::prepare(&workspace)?,
    };
    one(kind, wish, &tools)
}

/// A short run of a kind, for `cargo xtask test`.
pub fn short(workspace: &Workspace, kind: &str) -> Result<()> {
    let kind = KINDS.iter().find(|known| known.name == kind).with_context(|| format!("{kind} is no kind"))?;
    one(kind, &Wish { seed: Some(1), ..Wish::default() }, &Tools::prepare(workspace)?)
}

/// Every planted bug must be found.
pub fn planted(workspace: &Workspace) -> Result<()> {
    planted::run(&Tools::prepare(workspace)?)
}

/// Programs and modules, where no later build touches them.
struct Tools {
    program: PathBuf,
    modules: PathBuf,
    folder: PathBuf,
}

impl Tools {
    /// Builds what is needed. The feature changes one crate: all others are those of every other build.
    fn prepare(workspace: &Workspace) -> Result<Self> {
        workspace.build_rules()?;
        let mut build = program::as_tested("tidegate");
        build.args(["--features", "tidegate/chaos"]);
        program::run(build)?;
        let modules = workspace.module("chaos_keeper");
        Self::take(workspace, &workspace.program("dev"), modules.parent().unwrap_or(&modules))
    }

    /// What was built before.
    fn beside(workspace: &Workspace, program: &Path) -> Result<Self> {
        let program = fs::canonicalize(program).with_context(|| format!("{}", program.display()))?;
        Self::take(workspace, &program, program.parent().unwrap_or(&program))
    }

    fn take(workspace: &Workspace, program: &Path, modules: &Path) -> Result<Self> {
        let folder = workspace.target.join("chaos").join(format!("{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let tools = Self { program: folder.join("tidegate"), modules: folder.clone(), folder };
        take(program, &tools.program)?;
        take(
            &std::env::current_exe().context("this program's own file")?,
            &tools.folder.join(oracle::ORACLE),
        )?;
        for rule in &workspace.chaos_rules {
            let module = format!("{}.wasm", rule.package);
            take(&modules.join(&module), &tools.folder.join(&module))?;
        }
        Ok(tools)
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        for file in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let _ = fs::remove_file(file.path());
        }
        // The world of a run that failed is in there still.
        let _ = fs::remove_dir(&self.folder);
    }
}

fn take(from: &Path, to: &Path) -> Result<()> {
    fs::hard_link(from, to)
        .or_else(|_| fs::copy(from, to).map(drop))
        .with_context(|| format!("{}", from.display()))
}

fn one(kind: &Kind, wish: &Wish, tools: &Tools) -> Result<()> {
    let seed = wish.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let cycles = wish.cycles.unwrap_or(kind.short);
    let repeat = format!("cargo xtask chaos --kind {} --cycles {cycles} --seed {seed}", kind.name);
    eprintln!("$ {repeat}");
    let began = Instant::now();
    let tally = start(kind, tools, cycles, seed, None).with_context(|| format!("`{repeat}` failed"))?;
    let seconds = began.elapsed().as_secs();
    match wish.json {
        true => println!("{}", tally.json(kind.name, seed, cycles, seconds)),
        false => println!("chaos {}: seed {seed}, {cycles} cycles in {seconds} s: {tally}", kind.name),
    }
    let missed: Vec<_> = kind.reaches.iter().filter(|name| tally.get(name) == 0).copied().collect();
    if cycles >= LONG && !missed.is_empty() {
        bail!("`{repeat}` never reached: {}", missed.join(", "));
    }
    Ok(())
}

/// A run of a kind, perhaps with a planted bug.
fn start(kind: &Kind, tools: &Tools, cycles: u64, seed: u64, plant: Option<&str>) -> Result<Tally> {
    let mut run = Run {
        chance: fastrand::Rng::with_seed(seed),
        cycles,
        program: tools.program.clone(),
        modules: tools.modules.clone(),
        folder: tools.folder.join("world"),
        plant: plant.map(str::to_owned),
        tally: Tally::default(),
        quiet: plant.is_some(),
        shown: Instant::now(),
    };
    (kind.run)(&mut run)?;
    Ok(run.tally)
}
