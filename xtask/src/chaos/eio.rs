//! `--kind eio`: the n-th sync of a thread fails, for n = 1, 2, 3 and so on. Whoever waited for it must get a no, nobody a yes
//! that is not true, and the node must go on with a new file.
//!
//! `strace` lets the system call fail, and writes down when each one began and ended. An ack at the level `synced` is true
//! only if a sync that succeeded lies wholly between the event's being sent and its ack.

use super::Run;
use super::world::{Settings, World};
use crate::program::{find, in_ci};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// What a long run must have come to.
pub const REACHES: &[&str] = &["syncs that failed", "refused", "true acks"];

/// Events that are sent after the fault must have come, each after the one before.
const AFTER: u64 = 12;

pub fn run(run: &mut Run) -> Result<()> {
    if find("strace").is_none() {
        if in_ci() {
            bail!("there is no `strace`: install the package of that name");
        }
        eprintln!("skipped: no system call can be made to fail; it needs the program `strace`");
        return Ok(());
    }
    for n in 1..=run.cycles {
        let world =
            World::new(&run.folder, &run.program, &Settings { ack: Some("synced"), ..Settings::default() })?;
        let world = cycle(run, world, n).with_context(|| format!("when sync {n} of a thread fails"))?;
        run.tally.merge(&world.close()?);
        run.progress(n, &super::Tally::default());
    }
    Ok(())
}

fn cycle(run: &mut Run, mut world: World, n: u64) -> Result<World> {
    world.environment.extend(run.plant.iter().map(|bug| ("TIDEGATE_PLANT".to_owned(), bug.clone())));
    let trace = world.folder.join("trace");
    let before = ["strace", "-D", "-f", "-ttt", "-T", "-e", "trace=fdatasync", "-e"].map(str::to_owned);
    let mut before = before.to_vec();
    before.push(format!("inject=fdatasync:error=EIO:when={n}"));
    before.extend(["-o".to_owned(), trace.display().to_string()]);
    let command = world.command(&before)?;
    world.start_with(command)?;
    world.deploy("keeper", &run.module("chaos_keeper"), &[("to.sink", "live")])?;

    let (riemann, mut asked) = (world.riemann()?, Vec::new());
    for _ in 0..n + AFTER {
        let answer = world.oracle.ask(json!({ "do": "fresh", "riemann": riemann }))?;
        asked.push((answer["acked"] == true, answer["from"].as_f64(), answer["to"].as_f64()));
    }
    // A question needs no disk.
    world.get("/api/v1/query?limit=10&q=true")?;
    let counts = world.oracle.ask(json!({ "do": "counts" }))?;
    world.tally.add("acked", counts["acked"].as_u64().unwrap_or_default());
    world.tally.add("refused", counts["refused"].as_u64().unwrap_or_default());
    world.kill()?;

    let syncs = syncs(&trace)?;
    world.tally.add("syncs that failed", syncs.iter().filter(|sync| !sync.fine).count() as u64);
    for (acked, from, to) in asked {
        let (Some(from), Some(to)) = (from, to) else {
            bail!("the oracle did not say when it sent and heard")
        };
        let synced = syncs.iter().any(|sync| sync.fine && sync.from >= from && sync.to <= to);
        if acked && !synced {
            bail!(
                "an event was acked as synced although no sync succeeded between {from} and {to}: {}",
                trace.display()
            );
        }
        world.tally.add("true acks", u64::from(acked));
    }
    world.start()?;
    world.check()?;
    Ok(world)
}

/// One sync, in seconds since 1970.
struct Sync {
    from: f64,
    to: f64,
    fine: bool,
}

/// Reads what `strace` wrote down.
fn syncs(trace: &Path) -> Result<Vec<Sync>> {
    let text = fs::read_to_string(trace).with_context(|| format!("{}", trace.display()))?;
    let (mut syncs, mut begun) = (Vec::new(), HashMap::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(thread), Some(at)) = (words.next(), words.next().and_then(|at| at.parse::<f64>().ok()))
        else {
            continue;
        };
        if line.contains("fdatasync(") && line.contains("<unfinished") {
            begun.insert(thread, at);
            continue;
        }
        let took = line.rsplit_once('<').and_then(|(_, took)| took.trim_end_matches('>').parse::<f64>().ok());
        let Some(took) = took else { continue };
        let from = begun.remove(thread).unwrap_or(at);
        syncs.push(Sync { from, to: from + took, fine: line.contains("= 0 <") });
    }
    Ok(syncs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_read_whole_and_in_two_parts() {
        let folder = std::env::temp_dir().join(format!("tidegate-trace-{}", std::process::id()));
        fs::write(
            &folder,
            "7 100.000000 fdatasync(9)   = 0 <0.002000>\n\
             8 100.500000 fdatasync(9) = -1 EIO (Input/output error) (INJECTED) <0.000010>\n\
             7 101.000000 fdatasync(9 <unfinished ...>\n\
             9 101.000500 +++ exited with 0 +++\n\
             7 101.004000 <... fdatasync resumed>) = 0 <0.004000>\n",
        )
        .unwrap();
        let found: Vec<_> = syncs(&folder)
            .unwrap()
            .iter()
            .map(|sync| (sync.from, sync.fine, sync.to - sync.from > 0.001))
            .collect();
        assert_eq!(found, [(100.0, true, true), (100.5, false, false), (101.0, true, true)]);
        fs::remove_file(folder).unwrap();
    }
}
