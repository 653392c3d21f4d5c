//! Which streams of a shard have changed since followers were told last.
//!
//! A flood costs each event one look at the mark of its stream: a stream is noted once, and read from the index when
//! followers are told. What is not there then, since it has gone or never found room, is copied at once.

use crate::ingest::NO_ROW;
use tidegate_engine::shard::{NOWHERE, Step};
use tidegate_event::{Batch, BatchBuilder, FieldSet, Span, Timestamp};

/// The least time between two words to followers.
pub const PAUSE: Span = Span::millis(100);

/// Events that are copied between two words, at most; of a stream that goes the last word is lost beyond.
const LOOSE: usize = 20_000;

/// The notes.
#[derive(Debug, Default)]
pub struct Changed {
    /// The number of the word in which each stream was noted last.
    marks: Vec<u32>,
    word: u32,
    streams: Vec<u32>,
    loose: BatchBuilder,
    told: Timestamp,
}

impl Changed {
    /// Notes what a step has changed.
    pub fn note(&mut self, batch: &Batch, step: &Step) {
        // Marks of 0 are of no word.
        let word = self.word + 1;
        for own in &step.own {
            let event = batch.event(own.row as usize);
            if own.stream == NOWHERE || event.is_expired() {
                self.keep(&event);
                continue;
            }
            let at = own.stream as usize;
            if at >= self.marks.len() {
                self.marks.resize(at + 1, 0);
            }
            if self.marks[at] != word {
                self.marks[at] = word;
                self.streams.push(own.stream);
            }
        }
        step.expired.events().for_each(|event| self.keep(&event));
    }

    fn keep(&mut self, event: &tidegate_event::Event<'_>) {
        if self.loose.len() < LOOSE {
            self.loose.copy(event, FieldSet::ALL, |copy| copy.slot = NO_ROW);
        }
    }

    /// Whether there is something to tell.
    pub fn is_waiting(&self) -> bool {
        !self.streams.is_empty() || !self.loose.is_empty()
    }

    /// Whether enough time has passed since the last word.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now - self.told >= PAUSE
    }

    /// What is to be told: copied events, then the numbers of streams.
    pub fn take(&mut self, now: Timestamp) -> (Batch, Vec<u32>) {
        self.told = now;
        self.word = (self.word + 1) % (u32::MAX - 1);
        (std::mem::take(&mut self.loose).finish(), std::mem::take(&mut self.streams))
    }

    /// Gives the list back, to be used again.
    pub fn recycle(&mut self, mut streams: Vec<u32>) {
        streams.clear();
        self.streams = streams;
    }
}
