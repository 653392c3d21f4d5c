//! `--kind torn`: the log of a node that was killed is cut off at every byte of its last three records, and single bits of
//! copies of its data directory are flipped. The node must start each time, without a panic and without anybody's help, with
//! all records but those that were hit.

use super::Run;
use super::event::SERVICE;
use super::log;
use super::world::{Settings, World};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What a long run must have come to.
pub const REACHES: &[&str] = &["cuts", "flips", "torn tails cut off", "flips that cost a record"];

/// Records at the end of the log that are cut at every byte.
const RECORDS: usize = 3;

/// How long the node is loaded before it is killed.
const LOADED: Duration = Duration::from_millis(700);

pub fn run(run: &mut Run) -> Result<()> {
    let mut world = World::new(&run.folder, &run.program, &Settings::default())?;
    world.environment.extend(run.plant.iter().map(|bug| ("TIDEGATE_PLANT".to_owned(), bug.clone())));
    world.start()?;
    world.deploy("keeper", &run.module("chaos_keeper"), &[("to.sink", "live")])?;
    world.load(1_500, 5)?;
    std::thread::sleep(LOADED);
    world.halt()?;
    world.check()?;
    world.kill()?;
    let whole = run.folder.join("whole");
    copy(&world.data, &whole)?;

    // Half of the cycles cut, at every byte if there are enough of them.
    let ends = cuts(&whole)?;
    let wanted = (run.cycles / 2).clamp(1, ends.len() as u64) as usize;
    for n in 0..wanted {
        let at = ends[n * ends.len() / wanted];
        cut(&mut world, &whole, at)
            .with_context(|| format!("the log cut at byte {at} of its last segment"))?;
        run.progress(n as u64 + 1, &world.tally);
    }
    for n in wanted as u64..run.cycles {
        flip(run, &mut world, &whole)?;
        run.progress(n + 1, &world.tally);
    }
    run.tally.merge(&world.close()?);
    Ok(())
}

/// Copies a folder with all that is in it; what is there before goes.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("{}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

fn last(whole: &Path) -> Result<PathBuf> {
    Ok(log::segments(&whole.join("log"))?.pop().context("a segment was expected")?.path)
}

/// Every length to which the last segment is cut.
fn cuts(whole: &Path) -> Result<Vec<usize>> {
    let bytes = fs::read(last(whole)?)?;
    let records = log::records(&bytes);
    let first = records.get(records.len().saturating_sub(RECORDS)).context("a record was expected")?;
    Ok((first.begin..bytes.len()).collect())
}

/// Our events of a log, in order; without those of one position, if one is named.
fn events(log: &Path, without: Option<u64>) -> Result<Vec<i64>> {
    let rows = log::read(log)?.filter(|row| row.event["service"] == SERVICE && Some(row.position) != without);
    Ok(rows.filter_map(|row| row.event["metric"].as_i64()).collect())
}

/// The same as the node's own reader finds them.
fn exported(world: &World) -> Result<Vec<i64>> {
    let mut export = Command::new(&world.program);
    export.args(["log", "export", "--where", &format!("service = \"{SERVICE}\""), "--data"]).arg(&world.data);
    let done = export.output().context("tidegate log export")?;
    if !done.status.success() {
        bail!("`tidegate log export` failed: {}", String::from_utf8_lossy(&done.stderr));
    }
    let lines = done.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice::<Value>(line)?["metric"].as_i64().context("a number")).collect()
}

/// Starts the node on what is in its data directory, lets it take an event, and ends it. The log must then hold what it
/// held, and that event.
fn revive(world: &mut World, wanted: &[i64]) -> Result<()> {
    world.start()?;
    world.fresh()?;
    world.check_books()?;
    world.kill()?;
    world.check_said()?;
    let found = exported(world)?;
    if found.len() != wanted.len() + 1 || !found.starts_with(wanted) {
        let differs = found.iter().zip(wanted).position(|(found, wanted)| found != wanted);
        bail!(
            "{} events were expected and one more, found {}; they differ from {differs:?} on",
            wanted.len(),
            found.len()
        );
    }
    Ok(())
}

fn cut(world: &mut World, whole: &Path, at: usize) -> Result<()> {
    copy(whole, &world.data)?;
    fs::OpenOptions::new().write(true).open(last(&world.data)?)?.set_len(at as u64)?;
    let wanted = events(&world.data.join("log"), None)?;
    revive(world, &wanted)?;
    world.tally.add("cuts", 1);
    Ok(())
}

fn flip(run: &mut Run, world: &mut World, whole: &Path) -> Result<()> {
    copy(whole, &world.data)?;
    let mut files = Vec::new();
    list(&world.data, &mut files)?;
    let sizes: Vec<u64> = files.iter().map(|file| fs::metadata(file).map_or(0, |meta| meta.len())).collect();
    let mut at = run.chance.u64(..sizes.iter().sum::<u64>());
    let mut chosen = 0;
    while at >= sizes[chosen] {
        at -= sizes[chosen];
        chosen += 1;
    }
    let (file, bit) = (&files[chosen], run.chance.u8(..8));
    let mut bytes = fs::read(file)?;
    let wanted = events(&world.data.join("log"), hit(&bytes, at as usize, file))?;
    bytes[at as usize] ^= 1 << bit;
    fs::write(file, bytes)?;
    world.tally.add("flips", 1);
    let name = file.strip_prefix(&world.data)?.display().to_string();
    let kind = name.split(['/', '-']).next().unwrap_or_default();
    world.tally.add(&format!("flips in {kind}"), 1);
    let flipped = || {
        format!("bit {bit} of byte {at} of {name} flipped; the directory as it was is in {}", whole.display())
    };
    revive(world, &wanted).with_context(flipped)?;
    let lost = events(&whole.join("log"), None)?.len() - wanted.len();
    world.tally.add("flips that cost a record", u64::from(lost > 0));
    Ok(())
}

/// The position that a change of this byte may cost: that of the record that it stands in. No other may be missing, whatever
/// the file.
fn hit(bytes: &[u8], at: usize, file: &Path) -> Option<u64> {
    let records =
        if file.extension().is_some_and(|end| end == "log") { log::records(bytes) } else { Vec::new() };
    // A segment begins with the catalogue, whose position is that of the next record.
    records
        .iter()
        .skip(1)
        .find(|record| (record.begin..record.end).contains(&at))
        .map(|record| record.position)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => list(&entry.path(), files)?,
            false => files.push(entry.path()),
        }
    }
    files.sort();
    Ok(())
}
