//! One receiver's run: load, kills, and the comparison at the end.

use super::node::{BATCH, Node};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use anyhow::{Context, Result, bail};
use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Streams that report.
pub const STREAMS: usize = 16;

/// The time between two events of a stream.
const PACE: Duration = Duration::from_millis(50);

/// How long before now the first event of a stream happened: they are a second apart, which is more than passes.
const BACK: u64 = 3 * 3600;

/// How long the receiver may take to show what it was given.
const SHOWS: Duration = Duration::from_secs(30);

/// How it is run.
pub struct Settings<'a> {
    /// Seconds of load.
    pub seconds: u64,
    /// Where chance begins.
    pub seed: u64,
    /// Tidegate.
    pub program: &'a Path,
    /// Where files go.
    pub folder: &'a Path,
}

/// What was sent: of each stream the events 1 to `last`, number `n` at `epoch + n` seconds with the metric `n`.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many streams there are; they are hosts `h0`, `h1`, … with the service `load`.
    pub streams: usize,
    /// When number 0 would have been, in seconds since 1970.
    pub epoch: u64,
    /// The last number.
    pub last: u64,
}

impl Load {
    /// The number of an event that happened at this second.
    pub fn number(&self, seconds: u64) -> u64 {
        seconds.saturating_sub(self.epoch)
    }

    /// All events.
    pub fn events(&self) -> u64 {
        self.last * self.streams as u64
    }
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// Events that were sent.
    pub events: u64,
    /// How often the receiver was killed.
    pub kills: u64,
    /// Failed attempts of the output.
    pub retries: u64,
    /// Events that are missing.
    pub lost: u64,
    /// Events that are there again.
    pub repeated: u64,
    /// How long all of it took.
    pub took: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, kills, retries, lost, repeated, took } = self;
        write!(
            f,
            "{events} events, {kills} kills, {retries} retries: {lost} lost, {repeated} repeated, in order ({} s)",
            took.as_secs()
        )
    }
}

/// Runs a receiver, and says how it went, or what promise was not kept.
pub fn run(kind: &Kind, settings: &Settings<'_>) -> Result<Outcome> {
    let began = Instant::now();
    let mut chance = fastrand::Rng::with_seed(settings.seed);
    let _ = std::fs::remove_dir_all(settings.folder);
    std::fs::create_dir_all(settings.folder)?;
    let mut receiver = (kind.make)(settings.folder, settings.program)?;
    let node = Node::start(settings.program, settings.folder, &receiver.output())?;
    receiver.meet(node.page())?;
    receiver.start().context("its first start")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut load = Load { streams: STREAMS, epoch: now - BACK, last: 0 };
    let stop = AtomicBool::new(false);
    let (page, epoch) = (node.page().to_owned(), load.epoch);
    let (kills, last) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(&page, epoch, &stop));
        let killed = kill(&mut *receiver, &mut chance, Duration::from_secs(settings.seconds));
        stop.store(true, Relaxed);
        let sent = sending.join().map_err(|_| anyhow::anyhow!("the load panicked"))?;
        Ok::<_, anyhow::Error>((killed?, sent?))
    })?;
    load.last = last;
    let books = node.drain(load.events())?;
    let (arrived, lost) = settled(&mut *receiver, &load, kind.loss)?;
    let repeated = compare(&arrived, &load)?;
    if receiver.is_reminded() {
        receiver.daemon().kill()?;
        receiver.start().context("its start once the load had ended")?;
        settled(&mut *receiver, &load, kind.loss).context("killed once the load had ended")?;
    }
    let per_second = STREAMS as f64 / PACE.as_secs_f64();
    let bound = match kind.loss {
        Loss::Nothing => 0,
        Loss::PerKill(time) => (time.as_secs_f64() * per_second) as u64 * kills,
        Loss::AllButTheLast => load.events(),
    };
    if lost > bound {
        bail!("{lost} of {} events are lost, {bound} may be: {}", load.events(), missing(&arrived, &load));
    }
    let most = match kind.repeats {
        Repeats::Never => 0,
        Repeats::Batches => BATCH as u64 * (kills + 1),
        Repeats::PerKill(time) => (time.as_secs_f64() * per_second) as u64 * (kills + 1),
    };
    if repeated > most {
        bail!("{repeated} events came again, {most} may");
    }
    node.stop()?;
    receiver.daemon().kill()?;
    let _ = std::fs::remove_dir_all(settings.folder);
    let (events, retries) = (load.events(), books.retries);
    Ok(Outcome { events, kills, retries, lost, repeated, took: began.elapsed() })
}

/// Sends the next event of all streams, at an even pace, until told to stop. Returns the last number.
fn send(page: &str, epoch: u64, stop: &AtomicBool) -> Result<u64> {
    let began = Instant::now();
    let mut number = 0;
    while !stop.load(Relaxed) {
        number += 1;
        Node::send(page, epoch, STREAMS, number)?;
        let due = began + PACE * u32::try_from(number).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(number)
}

/// Kills the receiver and starts it again, for so long. At the end it runs, and has for a while.
fn kill(receiver: &mut dyn Receiver, chance: &mut fastrand::Rng, time: Duration) -> Result<u64> {
    let until = Instant::now() + time;
    let calm = Duration::from_secs(2);
    let mut kills = 0;
    loop {
        let up = Duration::from_millis(chance.u64(receiver.peace()));
        if kills > 0 && Instant::now() + up + calm > until {
            break;
        }
        std::thread::sleep(up);
        receiver.daemon().kill()?;
        kills += 1;
        std::thread::sleep(Duration::from_millis(chance.u64(50..1_200)));
        receiver.start().with_context(|| format!("its start after kill {kills}"))?;
    }
    std::thread::sleep(until.saturating_duration_since(Instant::now()).max(calm));
    Ok(kills)
}

/// What the receiver has, once it has all or as much as it will have.
fn settled(receiver: &mut dyn Receiver, load: &Load, loss: Loss) -> Result<(Arrived, u64)> {
    let began = Instant::now();
    let (mut before, mut since) = (u64::MAX, Instant::now());
    loop {
        let arrived = receiver.read(load)?;
        let lost: u64 = arrived.iter().map(|numbers| lost(numbers, load.last)).sum::<u64>()
            + load.last * (load.streams - arrived.len().min(load.streams)) as u64;
        let last =
            arrived.len() == load.streams && arrived.iter().all(|numbers| numbers.last() == Some(&load.last));
        if lost != before {
            (before, since) = (lost, Instant::now());
        }
        let quiet = since.elapsed() > Duration::from_secs(3);
        match loss {
            _ if lost == 0 => return Ok((arrived, lost)),
            Loss::AllButTheLast if last => return Ok((arrived, lost)),
            Loss::AllButTheLast if began.elapsed() > SHOWS => {
                bail!("not every stream shows its last value: {}", missing(&arrived, load))
            }
            Loss::PerKill(_) if quiet => return Ok((arrived, lost)),
            Loss::Nothing if began.elapsed() > SHOWS => return Ok((arrived, lost)),
            _ => std::thread::sleep(Duration::from_millis(300)),
        }
    }
}

fn lost(numbers: &[u64], last: u64) -> u64 {
    let seen: HashSet<u64> = numbers.iter().copied().filter(|number| (1..=last).contains(number)).collect();
    last - seen.len() as u64
}

/// Counts what is there again. What was never sent, or stands behind a later one where it is first there, is an error.
fn compare(arrived: &Arrived, load: &Load) -> Result<u64> {
    let mut repeated = 0;
    for (stream, numbers) in arrived.iter().enumerate() {
        let (mut seen, mut newest) = (HashSet::new(), 0);
        for &number in numbers {
            if number == 0 || number > load.last {
                bail!("h{stream} has number {number}, which was never sent");
            }
            if !seen.insert(number) {
                repeated += 1;
            } else if number < newest {
                bail!("h{stream}: number {number} came for the first time behind number {newest}");
            } else {
                newest = number;
            }
        }
    }
    Ok(repeated)
}

/// What is missing, for a person.
fn missing(arrived: &Arrived, load: &Load) -> String {
    for (stream, numbers) in arrived.iter().enumerate() {
        let seen: HashSet<u64> = numbers.iter().copied().collect();
        let lacks: Vec<u64> = (1..=load.last).filter(|number| !seen.contains(number)).collect();
        if let (Some(first), Some(last)) = (lacks.first(), lacks.last()) {
            return format!(
                "h{stream} has {} of {}, and lacks {} from {first} to {last}",
                seen.len(),
                load.last,
                lacks.len()
            );
        }
    }
    format!("{} of {} streams are there", arrived.len(), load.streams)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { streams: 2, epoch: 1_000, last: 4 };

    #[test]
    fn what_is_missing_doubled_or_out_of_order_is_seen() {
        assert_eq!(lost(&[1, 2, 4, 4, 9], 4), 1);
        assert_eq!(compare(&vec![vec![1, 2, 3, 4], vec![1, 2, 1, 2, 3, 4]], &LOAD).unwrap(), 2);
        assert!(compare(&vec![vec![1, 3, 2]], &LOAD).is_err());
        assert!(compare(&vec![vec![5]], &LOAD).is_err());
        assert_eq!(missing(&vec![vec![1, 4], vec![]], &LOAD), "h0 has 2 of 4, and lacks 2 from 2 to 3");
        assert_eq!(missing(&vec![vec![1, 2, 3, 4]], &LOAD), "1 of 2 streams are there");
    }
}
