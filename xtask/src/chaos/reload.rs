//! `--kind reload`: a rule is replaced again and again while events pour in, first by itself and then by a version that
//! remembers one thing more, and back. What it remembers and the sums of its windows must be as if nothing had happened.

use super::Run;
use super::rules::windows;
use super::world::{Settings, World};
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};

/// What a long run must have come to.
pub const REACHES: &[&str] = &["swaps", "swaps with another schema", "events in windows"];

/// A pause of a shard for a swap may be this long.
const PAUSE_MICROS: f64 = 10_000.0;

pub fn run(run: &mut Run) -> Result<()> {
    let more = "queue = \"64MiB\"\nqueue_events = 1_000_000\n".to_owned();
    let settings = Settings { segment: "64MiB", more, ..Settings::default() };
    let mut world = World::new(&run.folder, &run.program, &settings)?;
    world.environment.extend(run.plant.iter().map(|bug| ("TIDEGATE_PLANT".to_owned(), bug.clone())));
    world.start()?;
    let parameters = [("to.sink", "oracle"), ("set.echo", "false")];
    world.deploy("keeper", &run.module("chaos_keeper"), &parameters)?;
    let began = Instant::now();
    world.load(25_000, 250)?;
    for n in 0..run.cycles {
        std::thread::sleep(Duration::from_millis(run.chance.u64(20..150)));
        // Half of the swaps change nothing, the other half go to the next schema and back.
        let module = if n >= run.cycles / 2 && n % 2 == 0 { "chaos_keeper_next" } else { "chaos_keeper" };
        let answer = world.deploy("keeper", &run.module(module), &parameters);
        let answer = answer.with_context(|| format!("swap {}", n + 1))?;
        world.tally.add("swaps", 1);
        world.tally.add("swaps with another schema", u64::from(n >= run.cycles / 2));
        world.tally.longest("deploy_ms", answer["millis"].as_u64().unwrap_or_default());
        run.progress(n + 1, &world.tally);
    }
    let seconds = began.elapsed().as_secs_f64();
    let told = world.halt()?;
    let acked = told["acked"].as_u64().unwrap_or_default();
    world.tally.set("acked", acked);
    world.tally.set("events a second", (acked as f64 / seconds) as u64);
    world.check_log()?;
    // One more event for each stream, so that the index shows what the rule remembers.
    world.deploy("keeper", &run.module("chaos_keeper"), &[("to.sink", "oracle"), ("set.echo", "true")])?;
    for _ in 0..5 {
        world.load(100, 8)?;
        std::thread::sleep(Duration::from_millis(200));
        world.halt()?;
    }
    world.check()?;
    windows(&mut world)?;
    pauses(&mut world)?;
    run.tally.merge(&world.close()?);
    Ok(())
}

/// How long shards stood still for swaps, as far as the node tells.
fn pauses(world: &mut World) -> Result<()> {
    let metrics = world.metrics()?;
    let all =
        metrics.get("tidegate_swap_seconds_count").context("tidegate_swap_seconds is not on /metrics")?;
    let buckets = metrics.iter().filter_map(|(name, count)| {
        let bound = name.strip_prefix("tidegate_swap_seconds_bucket{le=\"")?.strip_suffix("\"}")?;
        Some((bound.parse::<f64>().ok()?, *count))
    });
    // The bound of the first bucket that holds 99 of 100.
    let p99 =
        buckets.filter(|(_, count)| *count >= 0.99 * all).map(|(bound, _)| bound).fold(f64::MAX, f64::min);
    world.tally.longest("pause_p99_us", (p99 * 1e6) as u64);
    if p99 * 1e6 > PAUSE_MICROS {
        bail!("swaps held a shard for {p99} s (p99)");
    }
    Ok(())
}
