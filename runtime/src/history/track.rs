//! What a shard notes of its own streams between two sweeps: a few numbers beside each, handed on every few seconds.
//!
//! An event costs one look at the place of its stream, which a flood keeps in the cache. Streams are told apart by the
//! numbers that the index gives them; a number that went to another stream meanwhile is noticed by the key.

use crate::telemetry::HistoryStats;
use crossbeam_channel::{Sender, TrySendError};
use std::sync::Arc;
use tidegate_engine::shard::{NOWHERE, Step};
use tidegate_event::{Batch, Event, Span, State, Timestamp};

/// The code of a state that is not there.
pub const STATELESS: u8 = 7;

/// Streams whose last words wait for the next sweep, at most.
const SPILLED: usize = 100_000;

/// What happened to a stream in one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The stream.
    pub key: u64,
    /// Its smallest metric.
    pub least: f64,
    /// Its greatest.
    pub most: f64,
    /// Its last.
    pub last: f64,
    /// Events with a metric.
    pub n: u32,
    /// The code of its last state; [`STATELESS`] where it had none.
    pub state: u8,
}

impl Sample {
    /// Nothing yet of a stream.
    pub const fn new(key: u64) -> Self {
        Self { key, least: f64::INFINITY, most: f64::NEG_INFINITY, last: 0.0, n: 0, state: STATELESS }
    }

    /// Takes in an event.
    #[inline]
    pub fn add(&mut self, event: &Event<'_>) {
        self.state = match event.state_code() {
            State::Other if event.state_bytes().is_none() => STATELESS,
            state => state as u8,
        };
        if let Some(metric) = event.metric().filter(|metric| metric.is_finite()) {
            self.n += 1;
            self.least = self.least.min(metric);
            self.most = self.most.max(metric);
            self.last = metric;
        }
    }
}

/// What came of a stretch of time in one shard.
#[derive(Debug)]
pub struct Swept {
    /// When it ended.
    pub at: Timestamp,
    /// Each stream of which something was heard, in the order in which it was.
    pub samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Track {
    sample: Sample,
    touched: bool,
}

/// The notes of one shard.
#[derive(Debug)]
pub struct Tracks {
    tracks: Vec<Track>,
    touched: Vec<u32>,
    /// Of streams that have given their number away.
    spilled: Vec<Sample>,
    /// Of streams that have run out.
    ended: Vec<Sample>,
    /// Streams that are noted at most.
    most: usize,
    step: Span,
    next: Timestamp,
    to: Sender<Swept>,
    stats: Arc<HistoryStats>,
}

impl Tracks {
    /// Notes of up to so many streams, swept so often.
    pub fn new(most: usize, step: Span, to: Sender<Swept>, stats: Arc<HistoryStats>) -> Self {
        let (tracks, touched, spilled, ended) = Default::default();
        Self { tracks, touched, spilled, ended, most, step, next: Timestamp(0), to, stats }
    }

    /// Notes what a step has put into the index and what it has taken out, and sweeps when it is time.
    pub fn note(&mut self, batch: &Batch, step: &Step) {
        if batch.header.now >= self.next {
            self.sweep(batch.header.now);
        }
        for own in &step.own {
            let event = batch.event(own.row as usize);
            let Some(track) = self.tracks.get_mut(own.stream as usize) else {
                self.grow(own.stream, &event);
                continue;
            };
            if track.sample.key != event.key() {
                if track.touched && self.spilled.len() < SPILLED {
                    self.spilled.push(track.sample);
                }
                track.sample = Sample::new(event.key());
            }
            if !track.touched {
                track.touched = true;
                self.touched.push(own.stream);
            }
            track.sample.add(&event);
        }
        for event in step.expired.events() {
            if self.ended.len() < SPILLED {
                self.ended.push(Sample { state: State::Expired as u8, ..Sample::new(event.key()) });
            }
        }
    }

    #[cold]
    fn grow(&mut self, stream: u32, event: &Event<'_>) {
        if stream == NOWHERE || stream as usize >= self.most {
            self.stats.untracked.add(1);
            return;
        }
        let none = Track { sample: Sample::new(0), touched: false };
        self.tracks.resize(stream as usize + 1, none);
        let track = &mut self.tracks[stream as usize];
        *track = Track { sample: Sample::new(event.key()), touched: true };
        track.sample.add(event);
        self.touched.push(stream);
    }

    /// Whether something waits to be handed on.
    pub fn is_waiting(&self) -> bool {
        !self.touched.is_empty() || !self.spilled.is_empty() || !self.ended.is_empty()
    }

    /// How long after the last sweep the next is due.
    pub fn step(&self) -> Span {
        self.step
    }

    /// Sweeps if it is time, while nothing comes in.
    pub fn sweep_if_due(&mut self, now: Timestamp) {
        if now >= self.next {
            self.sweep(now);
        }
    }

    /// Hands on what was noted. Whoever takes it may be behind: then it waits, and the next sweep covers both.
    pub fn sweep(&mut self, now: Timestamp) {
        self.next = now + self.step;
        if !self.is_waiting() || self.to.is_full() {
            return;
        }
        let mut samples = std::mem::take(&mut self.spilled);
        samples.reserve(self.touched.len() + self.ended.len());
        for stream in self.touched.drain(..) {
            let track = &mut self.tracks[stream as usize];
            samples.push(track.sample);
            *track = Track { sample: Sample::new(track.sample.key), touched: false };
        }
        samples.append(&mut self.ended);
        if let Err(TrySendError::Full(swept) | TrySendError::Disconnected(swept)) =
            self.to.try_send(Swept { at: now, samples })
        {
            self.stats.lost.add(swept.samples.len() as u64);
        }
    }
}
