//! `--kind disk-full`: the node's disk is filled from outside and freed again. It must refuse events soon, answer questions
//! all the time, and take events again soon after there is room, without anybody's help.

use super::Run;
use super::mount::Mount;
use super::world::{Settings, World};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, Instant};

/// What a long run must have come to.
pub const REACHES: &[&str] = &["disk full", "refused", "room again"];

/// The disk.
const SIZE: &str = "48m";

/// Events are refused so soon, and taken again so soon.
const REFUSES: Duration = Duration::from_secs(1);
const RESUMES: Duration = Duration::from_secs(10);

/// Room that is not the disk's own: what the node wrote before may leave a little in its last page.
const SLACK: Duration = Duration::from_millis(500);

pub fn run(run: &mut Run) -> Result<()> {
    let mut world = World::new(&run.folder, &run.program, &Settings { keep: "8MiB", ..Settings::default() })?;
    let Some(mount) = Mount::memory(&world.data, SIZE)? else { return Ok(()) };
    world.mount = Some(mount);
    world.environment.extend(run.plant.iter().map(|bug| ("TIDEGATE_PLANT".to_owned(), bug.clone())));
    world.start()?;
    world.deploy("keeper", &run.module("chaos_keeper"), &[("to.sink", "live")])?;
    for n in 0..run.cycles {
        cycle(run, &mut world).with_context(|| format!("cycle {}", n + 1))?;
        run.progress(n + 1, &world.tally);
    }
    run.tally.merge(&world.close()?);
    Ok(())
}

fn count(world: &mut World, fate: &str) -> Result<u64> {
    Ok(world.oracle.ask(json!({ "do": "counts" }))?[fate].as_u64().unwrap_or_default())
}

fn cycle(run: &mut Run, world: &mut World) -> Result<()> {
    world.load(run.chance.u64(100..600), run.chance.usize(1..20))?;
    std::thread::sleep(Duration::from_millis(run.chance.u64(50..400)));

    let filler = world.data.join("filler");
    fill(&filler)?;
    world.tally.add("disk full", 1);
    let refused = count(world, "refused")?;
    let took = until(REFUSES + SLACK, "an event to be refused", || Ok(count(world, "refused")? > refused))?;
    world.tally.longest("refuse_ms", took.as_millis() as u64);

    // Questions need no disk.
    let asked = Instant::now();
    world.get("/api/v1/query?limit=10&q=true")?;
    world.get("/api/v1/rules")?;
    world.check_books()?;
    world.tally.longest("answers_ms", asked.elapsed().as_millis() as u64);
    if run.chance.u64(0..4) == 0 {
        world.kill()?;
        world.tally.add("kills while the disk is full", 1);
        world.halt()?;
        fs::remove_file(&filler)?;
        world.start()?;
    } else {
        std::thread::sleep(Duration::from_millis(run.chance.u64(0..500)));
        let acked = count(world, "acked")?;
        fs::remove_file(&filler)?;
        let took = until(RESUMES, "an event to be acked", || Ok(count(world, "acked")? > acked))?;
        world.tally.longest("resume_ms", took.as_millis() as u64);
        world.tally.add("room again", 1);
        world.halt()?;
    }
    for fate in ["acked", "refused"] {
        let count = count(world, fate)?;
        world.tally.set(fate, count);
    }
    world.check()
}

/// Writes until there is no room for another byte.
fn fill(file: &std::path::Path) -> Result<()> {
    let mut file = File::create(file)?;
    let mut size = 1 << 20;
    while size > 0 {
        // A part of it may have found room.
        if file.write_all(&vec![0; size]).is_err() {
            size /= 2;
        }
    }
    Ok(())
}

/// Waits for something; returns how long that took.
fn until(patience: Duration, what: &str, mut there: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let began = Instant::now();
    while !there()? {
        if began.elapsed() > patience {
            bail!("waited {patience:?} for {what}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(began.elapsed())
}
