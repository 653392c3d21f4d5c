//! `--kind sink`: the other side of an output dies, hangs, answers 500, forgets to answer or is slow, and the node is killed
//! in the middle of it. Everything must come at last, under ids that stay the same, and nobody else may wait for it.

use super::Run;
use super::world::{Settings, World};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::time::Duration;

/// What a long run must have come to.
pub const REACHES: &[&str] = &[
    "sink error",
    "sink hang",
    "sink mute",
    "sink slow",
    "sink dead",
    "kills while it misbehaves",
    "doubled",
];

/// How badly it may behave.
const MANNERS: [&str; 5] = ["error", "hang", "mute", "slow", "dead"];

/// An ack may take no longer than this while the other side misbehaves.
const ACK_MS: u64 = 2_000;

/// What was held back comes within this time after the other side has recovered: attempts are at most 30 s apart.
const PATIENCE: Duration = Duration::from_secs(45);

pub fn run(run: &mut Run) -> Result<()> {
    let more = "queue = \"64MiB\"\nqueue_events = 1_000_000\nbatch = 100\n".to_owned();
    let mut world = World::new(&run.folder, &run.program, &Settings { more, ..Settings::default() })?;
    world.environment.extend(run.plant.iter().map(|bug| ("TIDEGATE_PLANT".to_owned(), bug.clone())));
    world.start()?;
    world.deploy("keeper", &run.module("chaos_keeper"), &[("to.sink", "oracle"), ("set.copy", "true")])?;
    for n in 0..run.cycles {
        // Each of them comes at least once in as many cycles.
        let manner = MANNERS[(n % MANNERS.len() as u64) as usize];
        cycle(run, &mut world, manner).with_context(|| format!("cycle {} ({manner})", n + 1))?;
        run.progress(n + 1, &world.tally);
    }
    run.tally.merge(&world.close()?);
    Ok(())
}

fn cycle(run: &mut Run, world: &mut World, manner: &str) -> Result<()> {
    world.load(run.chance.u64(100..600), run.chance.usize(1..20))?;
    pause(run, 50..300);
    world.oracle.ask(json!({ "do": "sink", "manner": manner }))?;
    world.tally.add(&format!("sink {manner}"), 1);
    pause(run, 200..900);
    let killed = run.chance.bool();
    if killed {
        world.kill()?;
        world.tally.add("kills while it misbehaves", 1);
    }
    let told = world.halt()?;
    let slowest = told["slowest_ms"].as_u64().unwrap_or_default();
    world.tally.longest("ack_ms", slowest);
    if slowest > ACK_MS {
        bail!(
            "an ack took {slowest} ms while the other side of an output was {manner}: nobody may wait for it"
        );
    }
    if killed {
        world.start()?;
        pause(run, 0..200);
    }
    world.oracle.ask(json!({ "do": "sink", "manner": "fine" }))?;
    world.check()?;
    world.check_received(PATIENCE)
}

fn pause(run: &mut Run, millis: std::ops::Range<u64>) {
    std::thread::sleep(Duration::from_millis(run.chance.u64(millis)));
}
