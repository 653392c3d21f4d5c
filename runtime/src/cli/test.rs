//! `tidegate test`: a rule's tests natively, and every scene that they played once more in the sandbox.
//!
//! While `cargo test` runs, each scene leaves a recording: what went into the rule, and what came out. The module is built
//! and given the same bytes; it must answer with the same bytes. Where it does not, the rule knows something that it
//! should not (a clock, an address, the width of a pointer), or we have made a mistake.
//!
//! On the way the module's instructions are counted, and `--max-instructions` holds them against a number.

mod instructions;

use super::build::{self, Built, cargo};
use super::failure::{Exit, Failure, OrExit};
use super::screen::{Screen, count};
use crate::clock;
use anyhow::Context;
use instructions::Counted;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tidegate_engine::guest::Guest;
use tidegate_engine::manifest::DEFAULT_OUTPUT;
use tidegate_engine::rule::{Limits, Origin, RuleSpec};
use tidegate_event::{BatchRef, Reply};
use tidegate_testkit::recording::{FOLDER_VARIABLE, Recording};
use tidegate_wasm::{Host, HostOptions, ModuleStore};

/// A call takes no longer, on a machine that is busy compiling.
const DEADLINE_MS: u32 = 2000;

/// What is tested.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rule's folder.
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Install Rust's wasm target with rustup if it is missing.
    #[arg(long)]
    add_target: bool,
    /// Fail if the module takes more instructions than this for an event, on average over any one scene.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_instructions: Option<u64>,
}

/// What `cargo test` said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Native {
    passed: usize,
    failed: usize,
    took: Duration,
}

/// Where a module answered otherwise than the rule it was built from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Deviation {
    test: String,
    call: usize,
    how: String,
}

/// What came of playing the scenes against the module.
#[derive(Debug, Default)]
struct Replayed {
    deviations: Vec<Deviation>,
    /// What each scene took, up to where it deviated.
    counted: Vec<Counted>,
    took: Duration,
}

/// Tests both ways.
pub fn go(args: &Args, screen: &Screen) -> Result<(), Failure> {
    build::check_folder(&args.folder)?;
    let scenes = tempfile::tempdir()?;
    let native = natively(&args.folder, scenes.path())?;
    let recordings = recordings(scenes.path())?;
    let built = build::module(&args.folder, args.add_target)?;
    let Replayed { deviations, counted, took: wasm } = replay(&built, &recordings)?;
    let scenes = recordings.len();
    if screen.json {
        let deviations: Vec<_> = deviations
            .iter()
            .map(|Deviation { test, call, how }| json!({ "test": test, "call": call, "difference": how }))
            .collect();
        screen.value(&json!({
            "passed": native.passed, "scenes": scenes, "deviations": deviations,
            "instructions": counted.iter().map(Counted::as_json).collect::<Vec<Value>>(),
            "native_ms": native.took.as_millis(), "wasm_ms": wasm.as_millis(),
        }))?;
    } else if deviations.is_empty() {
        let (native_ms, wasm_ms) = (native.took.as_millis(), wasm.as_millis());
        let scenes = count(scenes, "scene");
        screen.line(format_args!(
            "{} passed (native {native_ms} ms, wasm {wasm_ms} ms for {scenes})",
            native.passed
        ))?;
        instructions::print(&counted, screen)?;
    }
    for Deviation { test, call, how } in &deviations {
        eprintln!("{test}: call {call} differs in {how}");
    }
    if scenes == 0 {
        eprintln!("no test played a scene, so nothing was compared with the module");
    }
    match deviations.len() {
        0 => instructions::hold(&counted, args.max_instructions),
        n => Err(Failure::say(
            Exit::Failed,
            format!(
                "{} of {} in wasm otherwise than natively",
                n,
                if scenes == 1 { "1 scene ends" } else { "the scenes end" }
            ),
        )),
    }
}

/// Runs `cargo test`; what it prints goes to standard error, and is counted on the way.
fn natively(folder: &Path, scenes: &Path) -> Result<Native, Failure> {
    let mut tests = cargo::command();
    tests
        .arg("test")
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", cargo::target_folder()?)
        .env(FOLDER_VARIABLE, scenes);
    tests.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = tests.spawn().context("cargo cannot be run: install Rust from https://rustup.rs")?;
    let mut native = Native::default();
    for line in BufReader::new(running.stdout.take().context("cargo has no output")?).lines() {
        let line = line?;
        eprintln!("{line}");
        native.add(&line);
    }
    let status = running.wait()?;
    match (status.success(), native.failed) {
        (true, _) => Ok(native),
        (false, 0) => Err(Failure::say(Exit::Failed, "the tests do not run: see above")),
        (false, failed) => {
            Err(Failure::say(Exit::Failed, format!("{} failed natively", count(failed, "test"))))
        }
    }
}

impl Native {
    /// Takes in a line, if it is a summary: `test result: ok. 2 passed; 0 failed; …; finished in 0.01s`.
    fn add(&mut self, line: &str) {
        let Some((_, parts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in parts.split("; ") {
            let number = |word: &str| part.strip_suffix(word).and_then(|n| n.trim().parse::<usize>().ok());
            self.passed += number("passed").unwrap_or_default();
            self.failed += number("failed").unwrap_or_default();
            let seconds =
                part.strip_prefix("finished in ").and_then(|text| text.strip_suffix('s')?.parse().ok());
            self.took +=
                seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
        }
    }
}

fn recordings(folder: &Path) -> Result<Vec<Recording>, Failure> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Recording, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let recording = Recording::read(BufReader::new(File::open(path)?));
    Ok(recording.with_context(|| {
        format!("the recording {name} cannot be read: is the testkit of another version?")
    })?)
}

/// Plays the recordings against the module, each in a fresh guest; at most one deviation for each is told. Compiling is
/// not counted in the time that it takes, counting instructions is.
fn replay(built: &Built, recordings: &[Recording]) -> Result<Replayed, Failure> {
    let none: std::sync::Arc<dyn ModuleStore> = std::sync::Arc::new(|_: &str| None);
    let options = HostOptions { instances: 4, fuel: true, ..HostOptions::default() };
    let host = Host::new(&options, none).context("the wasm engine does not start")?;
    host.compile(&built.wasm).or_exit(Exit::Invalid)?;
    let started = clock::start();
    let (mut deviations, mut counted) = (Vec::new(), Vec::<Counted>::new());
    for recording in recordings {
        let mut spent = Counted::new(recording.test.clone());
        if let nth @ 2.. = 1 + counted.iter().filter(|one| is_of(one, &recording.test)).count() {
            spent.scene = format!("{} ({nth})", recording.test);
        }
        let deviation = |call, how: String| Deviation { test: recording.test.clone(), call, how };
        let mut guest = match host.guest(&spec(built, recording)) {
            Ok(guest) => guest,
            Err(fault) => {
                deviations.push(deviation(0, format!("its start\n  natively it starts\n  in wasm  {fault}")));
                continue;
            }
        };
        let before = guest.fuel_spent();
        let found = recording.exchanges.iter().enumerate().find_map(|(call, exchange)| {
            let mut reply = Reply::default();
            let block = match BatchRef::check(&exchange.block) {
                Ok(block) => block.to_batch(),
                Err(error) => return Some(deviation(call, format!("its block: {error}"))),
            };
            spent.events += block.len() as u64;
            spent.calls += 1;
            match guest.call(&block, &mut reply) {
                Ok(_) => {
                    exchange.compare(&reply).err().map(|difference| deviation(call, difference.to_string()))
                }
                Err(fault) => {
                    Some(deviation(call, format!("its end\n  natively it ends well\n  in wasm  {fault}")))
                }
            }
        });
        deviations.extend(found);
        spent.total = guest.fuel_spent() - before;
        counted.push(spent);
    }
    Ok(Replayed { deviations, counted, took: started.elapsed() })
}

/// Whether this is a scene of that test.
fn is_of(counted: &Counted, test: &str) -> bool {
    counted.scene.strip_prefix(test).is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
}

/// The rule as the scene deployed it.
fn spec(built: &Built, recording: &Recording) -> RuleSpec {
    let manifest = &built.found.manifest;
    RuleSpec {
        name: manifest.name.clone(),
        generation: 1,
        module: built.found.digest.clone(),
        version: manifest.version.clone(),
        query: manifest.query.clone(),
        per: manifest.per.clone(),
        fields: manifest.fields().0,
        settings: recording.settings.clone(),
        set: Vec::new(),
        // Where they lead does not matter, only how many there are.
        outputs: manifest.outputs().map(|name| (name.to_owned(), DEFAULT_OUTPUT.to_owned())).collect(),
        limits: Limits { deadline_ms: DEADLINE_MS, ..manifest.limits() },
        paused: false,
        schema: manifest.state_schema,
        reset_state: false,
        backfill: None,
        origin: Origin::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_several_test_programs_add_up() {
        let mut native = Native::default();
        for line in [
            "running 12 tests",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s",
        ] {
            native.add(line);
        }
        assert_eq!(native, Native { passed: 15, failed: 2, took: Duration::from_millis(1510) });
    }
}
