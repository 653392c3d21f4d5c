//! `--kind torn`: the log of a node that was killed is cut off at every byte of its last three records, and single bits of
//! copies of its data directory are flipped. The node must start each time, without a panic and without anybody's help, with
//! all records but those that were hit.

use super::Run;
use super::log;
use super::world::{Settings, World};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
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
        cut(run, &mut world, &whole, at)
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

/// All events of a log by position, as text.
type Events = BTreeMap<u64, Vec<String>>;

fn events(log: &Path) -> Result<Events> {
    let mut events = Events::new();
    for row in log::read(log)? {
        events.entry(row.position).or_default().push(row.event.to_string());
    }
    Ok(events)
}

/// Starts the node on what is in its data directory, lets it take an event, and ends it.
fn revive(world: &mut World) -> Result<()> {
    world.start()?;
    world.fresh()?;
    world.check_books()?;
    world.kill()?;
    world.check_said()
}

fn cut(run: &Run, world: &mut World, whole: &Path, at: usize) -> Result<()> {
    copy(whole, &world.data)?;
    let segment = last(&world.data)?;
    fs::OpenOptions::new().write(true).open(&segment)?.set_len(at as u64)?;
    let wanted = events(&world.data.join("log"))?;
    revive(world)?;
    world.tally.add("cuts", 1);
    compare(&wanted, &events(&world.data.join("log"))?, None).map_err(|what| {
        anyhow::anyhow!(
            "{what}; the log as it was is in {}, cut in {}",
            whole.display(),
            run.folder.display()
        )
    })
}

/// What is there afterwards is what was there before, but for the positions that may be missing.
fn compare(wanted: &Events, found: &Events, spared: Option<u64>) -> Result<()> {
    for (position, events) in wanted {
        let found = found.get(position);
        if found != Some(events) && spared != Some(*position) {
            bail!("position {position} had {} events and has {:?}", events.len(), found.map(Vec::len));
        }
    }
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
    let spared = hit(&bytes, at as usize, file);
    bytes[at as usize] ^= 1 << bit;
    fs::write(file, bytes)?;
    world.tally.add("flips", 1);
    let name = file.strip_prefix(&world.data)?.display().to_string();
    let flipped = || {
        format!("bit {bit} of byte {at} of {name} flipped; the directory as it was is in {}", whole.display())
    };
    revive(world).with_context(flipped)?;
    let (wanted, found) = (events(&whole.join("log"))?, events(&world.data.join("log"))?);
    let missing = wanted.keys().filter(|position| !found.contains_key(position)).count();
    world.tally.add("flips that cost a record", u64::from(missing > 0));
    compare(&wanted, &found, spared).with_context(flipped)
}

/// The position that a change of this byte may cost: that of the record that it stands in. No other may be missing, whatever
/// the file.
fn hit(bytes: &[u8], at: usize, file: &Path) -> Option<u64> {
    let records =
        if file.extension().is_some_and(|end| end == "log") { log::records(bytes) } else { Vec::new() };
    records.iter().find(|record| (record.begin..record.end).contains(&at)).map(|record| record.position)
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
