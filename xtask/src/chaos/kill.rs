//! `--kind kill`: the node is killed at any moment, also while it recovers, rolls or prunes its log, and must come back with
//! everything that it acked and with the state that a clean replay has.

use super::Run;
use super::world::{Settings, World};
use crate::server::Server;
use anyhow::{Context, Result};
use std::time::{Duration, Instant};

/// Moments at which the node can be made to end, and how late at most. Those of recovery come first.
const POINTS: &[(&str, u64)] = &[
    ("recover.begin", 1),
    ("recover.record", 800),
    ("recover.end", 1),
    ("log.write", 400),
    ("log.torn", 400),
    ("log.written", 400),
    ("log.roll", 3),
    ("log.rolled", 3),
    ("log.prune", 2),
    ("log.pruned", 2),
    ("swap.begin", 4),
    ("swap.done", 4),
    ("checkpoint.slice", 4),
    ("checkpoint.whole", 3),
    ("checkpoint.settled", 3),
    ("checkpoint.made", 3),
];

/// What a long run must have come to.
pub const REACHES: &[&str] = &[
    "kills in recovery",
    "expiries after a restart",
    "torn tails cut off",
    "killed in recover.record",
    "killed in log.write",
    "killed in log.written",
    "killed in log.roll",
    "killed in log.rolled",
    "killed in log.prune",
    "reached log.pruned",
    "killed in checkpoint.slice",
    "killed in checkpoint.whole",
    "killed in checkpoint.settled",
    "killed in checkpoint.made",
    "kills at a swap",
    "killed in swap.begin",
    "killed in swap.done",
];

/// Lives of one data directory; then a new one begins.
const LIVES: u64 = 25;

/// Kills during one recovery at most.
const NESTED: u64 = 5;

pub fn run(run: &mut Run) -> Result<()> {
    let mut done = 0;
    while done < run.cycles {
        let lives = LIVES.min(run.cycles - done);
        // Every other log is so small that old segments go.
        let keep = if (done / LIVES).is_multiple_of(2) { "1GiB" } else { "12MiB" };
        let world = World::new(&run.folder, &run.program, &Settings { keep, ..Settings::default() })?;
        let world = lifetimes(run, world, lives, done)?;
        run.tally.merge(&world.close()?);
        done += lives;
    }
    Ok(())
}

fn lifetimes(run: &mut Run, mut world: World, lives: u64, done: u64) -> Result<World> {
    world.environment.extend(run.plant.iter().map(|bug| ("TIDEGATE_PLANT".to_owned(), bug.clone())));
    world.start()?;
    world.deploy("keeper", &run.module("chaos_keeper"), &[("to.sink", "live")])?;
    // Panics now and then, and must remember all but those events.
    let victim = [("to.sink", "live"), ("set.says", "chaos victim"), ("set.poison", "true")];
    world.deploy("victim", &run.module("chaos_keeper"), &victim)?;
    for life in 0..lives {
        let ended = cycle(run, &mut world);
        ended.with_context(|| {
            format!("cycle {}; the node's files are in {}", done + life + 1, world.folder.display())
        })?;
        run.progress(done + life + 1, &world.tally);
    }
    // The last start may have been told to end by itself, which stopping would bring about.
    world.kill()?;
    world.start()?;
    Ok(world)
}

/// Loads the node, kills it, lets it recover, perhaps kills it again while it does, and checks.
fn cycle(run: &mut Run, world: &mut World) -> Result<()> {
    let mayfly = (run.chance.u64(0..4) == 0).then(|| format!("mayfly-{}", world.tally.get("kills")));
    if let Some(name) = &mayfly {
        world.mayfly(name)?;
    }
    let rate = run.chance.u64(200..1_500);
    let batch = run.chance.usize(1..40);
    world.load(rate, batch)?;
    let deadline = Instant::now() + Duration::from_millis(run.chance.u64(50..1_500));
    let swap = run.chance.u64(0..4) == 0;
    // It may have been told to end by itself.
    while Instant::now() < deadline && world.node()?.ended()?.is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    if swap && world.node()?.ended()?.is_none() {
        // The same rule in another version or schema. Killed soon, the node may answer or not; either is right.
        let module = if run.chance.bool() { "chaos_keeper_next" } else { "chaos_keeper" };
        let swapped = world.deploy("keeper", &run.module(module), &[("to.sink", "live")]);
        std::thread::sleep(Duration::from_micros(run.chance.u64(0..3_000)));
        std::thread::sleep(Duration::from_millis(20 * u64::from(swapped.is_err())));
        if swapped.is_err() && world.node()?.ended()?.is_none() {
            swapped.context("a swap before the kill")?;
        }
        world.tally.add("kills at a swap", 1);
    }
    world.kill()?;
    world.tally.add("kills", 1);
    world.halt()?;
    let counts = world.oracle.ask(serde_json::json!({ "do": "counts" }))?;
    world.tally.set("acked", counts["acked"].as_u64().unwrap_or_default());

    if run.chance.u64(0..3) == 0 {
        for _ in 0..run.chance.u64(1..=NESTED) {
            nested(run, world)?;
        }
    }
    start(run, world)?;
    let check = |world: &mut World| {
        world.check()?;
        world.check_digests("chaos victim", 1).context("the rule that panics at poison")?;
        mayfly.iter().try_for_each(|name| world.check_mayfly(name))
    };
    let Err(error) = check(world) else { return Ok(()) };
    // It may have ended at the moment that was asked for, in the middle of the checks.
    if !world.ends_as_asked()? {
        return Err(error);
    }
    world.tally.add("kills", 1);
    world.kill()?;
    world.start()?;
    check(world)
}

/// One start that is killed before it is ready, if it takes long enough.
fn nested(run: &mut Run, world: &mut World) -> Result<()> {
    let patience = Duration::from_micros(run.chance.u64(1_000..250_000));
    let mut command = world.command(&[])?;
    if run.chance.bool() {
        let (point, latest) = POINTS[run.chance.usize(..3)];
        command.env("TIDEGATE_FAIL", format!("{point}:kill@{}", run.chance.u64(1..=latest)));
    }
    let mut server = Server::spawn(command)?;
    match server.is_ready(patience) {
        Ok(true) => world.tally.add("kills just after recovery", 1),
        // That it has ended by itself was asked for.
        Ok(false) | Err(_) => world.tally.add("kills in recovery", 1),
    }
    server.kill()?;
    world.tally.add("kills", 1);
    Ok(())
}

/// Starts the node for its next life, in which it may be told to end by itself at some moment.
fn start(run: &mut Run, world: &mut World) -> Result<()> {
    let mut command = world.command(&[])?;
    if run.chance.bool() {
        let (point, latest) = POINTS[run.chance.usize(3..POINTS.len())];
        command.env("TIDEGATE_FAIL", format!("{point}:kill@{}", run.chance.u64(1..=latest)));
    }
    let Err(error) = world.start_with(command) else { return Ok(()) };
    // What it does before it is ready may be where it was asked to end.
    if !world.ends_as_asked()? {
        return Err(error);
    }
    world.tally.add("kills", 1);
    world.tally.add("kills in recovery", 1);
    world.start().map(drop)
}
