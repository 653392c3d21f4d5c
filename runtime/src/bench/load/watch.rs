//! Looks on while load is made: how many events are acked, and what memory the server holds, at intervals.

use crate::telemetry::Process;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// The server's memory is looked at so often; its peak is the highest that was seen.
const LOOK: Duration = Duration::from_millis(250);
/// An interval of the report.
const INTERVAL: Duration = Duration::from_secs(10);

/// Events that were answered, counted as it happens.
#[derive(Debug, Default)]
pub struct Tally {
    acked: AtomicU64,
    refused: AtomicU64,
}

impl Tally {
    pub fn add(&self, acked: u64, refused: u64) {
        self.acked.fetch_add(acked, Ordering::Relaxed);
        self.refused.fetch_add(refused, Ordering::Relaxed);
    }

    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// The server's resident memory in bytes, where it could be seen.
#[derive(Debug, Default)]
pub struct Memory {
    pub start: Option<u64>,
    pub end: Option<u64>,
    pub peak: Option<u64>,
    pub intervals: Vec<Interval>,
}

/// Ten seconds of a long run.
#[derive(Debug)]
pub struct Interval {
    seconds: f64,
    acked_per_second: f64,
    refused: u64,
    resident: Option<u64>,
}

impl Interval {
    pub fn json(&self) -> Value {
        json!({
            "seconds": super::round(self.seconds, 1),
            "acked_events_per_second": self.acked_per_second.round(),
            "refused_events": self.refused,
            "server_rss_bytes": self.resident,
        })
    }

    fn line(&self) -> String {
        let memory = self.resident.map(|bytes| format!(", server {} MiB", bytes >> 20)).unwrap_or_default();
        let refused = if self.refused > 0 { format!(", {} refused", self.refused) } else { String::new() };
        format!("{:>6.0} s  {:>12.0} events/s{refused}{memory}", self.seconds, self.acked_per_second)
    }
}

/// Does the work with somebody looking on.
pub fn watched<T>(tally: &Tally, server: Option<u32>, work: impl FnOnce() -> T) -> (T, Memory) {
    let (over, until) = channel::<()>();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || look_on(tally, server, &until));
        let outcome = work();
        drop(over);
        (outcome, watch.join().unwrap_or_default())
    })
}

fn look_on(tally: &Tally, server: Option<u32>, until: &Receiver<()>) -> Memory {
    let resident = || -> Option<u64> { server.and_then(Process::of)?.resident };
    let first = resident();
    let mut memory = Memory { start: first, end: first, peak: first, intervals: Vec::new() };
    let started = crate::clock::start();
    let (mut last, mut acked, mut refused) = (started, 0, 0);
    // Without a server to look at there is nothing to do between intervals.
    let pause = if server.is_some() { LOOK } else { INTERVAL };
    while until.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        memory.end = resident();
        memory.peak = memory.peak.max(memory.end);
        let now = crate::clock::start();
        if now - last < INTERVAL {
            continue;
        }
        let (acked_now, refused_now) = (tally.acked(), tally.refused());
        let interval = Interval {
            seconds: (now - started).as_secs_f64(),
            acked_per_second: (acked_now - acked) as f64 / (now - last).as_secs_f64(),
            refused: refused_now - refused,
            resident: memory.end,
        };
        eprintln!("{}", interval.line());
        memory.intervals.push(interval);
        (last, acked, refused) = (now, acked_now, refused_now);
    }
    memory.end = resident();
    memory.peak = memory.peak.max(memory.end);
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_and_what_was_seen_come_back() {
        let tally = Tally::default();
        let (outcome, memory) = watched(&tally, Some(std::process::id()), || {
            tally.add(3, 1);
            7
        });
        assert_eq!((outcome, tally.acked(), tally.refused()), (7, 3, 1));
        assert!(memory.intervals.is_empty());
        assert!(memory.peak >= memory.start);
    }

    #[test]
    fn an_interval_says_what_happened_in_it() {
        let mut interval =
            Interval { seconds: 10.04, acked_per_second: 1234567.8, refused: 0, resident: Some(44 << 20) };
        assert_eq!(interval.line(), "    10 s       1234568 events/s, server 44 MiB");
        (interval.refused, interval.resident) = (5, None);
        assert_eq!(interval.line(), "    10 s       1234568 events/s, 5 refused");
    }
}
