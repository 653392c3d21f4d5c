//! Where recorded events come from, and the clock that they bring: a log, or a file that was imported.
//!
//! What comes out are batches in order, each with the time at which it happened. In a log that is when it was recorded; in
//! a file it is the events' own time, which never goes back: an event that is older than one before it comes late, at the
//! time that the clock shows by then.

use super::import;
use super::late::Late;
use super::past::Past;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tidegate_event::{Batch, Span, Timestamp};

/// Recorded events.
#[derive(Clone, Debug)]
pub enum Source {
    /// Of a log.
    Log(Past),
    /// Of a file.
    File {
        /// Which.
        path: PathBuf,
        /// How it is written.
        format: import::Format,
        /// The seed of key ids.
        seed: u64,
    },
}

/// From when to when.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The first moment.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
}

impl Range {
    /// All of time.
    pub const ALL: Self = Self { from: Timestamp(i64::MIN), to: Timestamp::NEVER };
}

/// How far the reading is, for whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes there are, about.
    pub total: AtomicU64,
    /// Bytes read.
    pub done: AtomicU64,
    /// Events handed on.
    pub events: AtomicU64,
    /// Set by whoever no longer wants it: then it ends early.
    pub stop: AtomicBool,
    /// Leaves so much time to others as it takes itself, and more while they are busy.
    pub pace: Option<Pace>,
}

/// Waits for others.
#[derive(Clone)]
pub struct Pace(pub Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pace")
    }
}

/// What was read: the same each time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Read {
    /// `log` or `file`.
    pub kind: &'static str,
    /// The time of the first event.
    pub from: Option<String>,
    /// The last moment.
    pub to: Option<String>,
    /// Batches.
    pub batches: u64,
    /// Events handed to the rule's engine, those before `--from` that warmed it up among them.
    pub events: u64,
    /// Events that came late.
    pub late: Late,
    /// Events that the rule itself, or the one it would replace, had put into the stream at the time.
    pub own_left_out: u64,
    /// Events of a file that had no time of their own: they have that of the one before.
    pub untimed: u64,
    /// Positions of the log that are missing between those that were read.
    pub missing: u64,
    /// Bytes of the log that cannot be read.
    pub damaged: u64,
    /// Bytes at its end that a dying process left.
    pub torn: u64,
    #[serde(skip)]
    first: Option<Timestamp>,
    #[serde(skip)]
    last: Option<Timestamp>,
}

impl Read {
    /// Of what kind.
    pub fn of(kind: &'static str) -> Self {
        Self { kind, ..Self::default() }
    }

    /// The first and the last moment.
    pub fn range(&self) -> Option<(Timestamp, Timestamp)> {
        self.first.zip(self.last)
    }

    /// Takes in a batch before it is handed on. An event is late when its own time lies behind the clock by more than
    /// `tolerance`.
    pub fn take(&mut self, batch: &Batch, tolerance: Span) {
        let now = batch.header.now;
        self.batches += 1;
        self.events += batch.len() as u64;
        for event in batch.events() {
            let behind = now - event.time();
            if behind > tolerance {
                self.late.add(behind.0);
            }
        }
        self.first.get_or_insert(now);
        self.reach(now);
    }

    /// Time has come this far.
    pub fn reach(&mut self, now: Timestamp) {
        if self.first.is_some() {
            self.last = self.last.max(Some(now));
        }
    }

    /// Writes the moments down.
    pub fn finish(mut self) -> Self {
        self.from = self.first.map(super::moment);
        self.to = self.last.map(super::moment);
        self
    }
}

impl Source {
    /// Hands on every batch of the range in order, until the end or until `hand` no longer wants any.
    pub fn read(
        &self,
        range: Range,
        progress: &Progress,
        mut hand: impl FnMut(Batch) -> bool,
    ) -> anyhow::Result<Read> {
        let mut hand = |batch: Batch| {
            progress.events.fetch_add(batch.len() as u64, Relaxed);
            if let Some(Pace(wait)) = &progress.pace {
                wait();
            }
            !progress.stop.load(Relaxed) && hand(batch)
        };
        match self {
            Self::Log(past) => past.read(range, progress, &mut hand),
            Self::File { path, format, seed } => {
                import::read(path, *format, *seed, range, progress, &mut hand)
            }
        }
    }

    /// The seed of the key ids in its batches.
    pub fn seed(&self) -> u64 {
        match self {
            Self::Log(past) => past.seed.unwrap_or_default(),
            Self::File { seed, .. } => *seed,
        }
    }
}
