//! One position on its way through all shards: shared by them, and done when the last of them lets go of it.

use super::{Desk, Refused, Request};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use tidegate_engine::shard::Step;
use tidegate_event::{Batch, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A position on its way.
#[derive(Debug)]
pub struct Passage {
    /// The events; none for a change.
    pub batch: Batch,
    left: AtomicUsize,
    /// The steps in which something came of it.
    steps: Mutex<Vec<Step>>,
    /// Whether the sequencer wants to hear of it in any case.
    told: bool,
    done: Mutex<Option<oneshot::Sender<Result<u64, Refused>>>>,
    /// Given back when nobody holds the passage any more.
    _room: Option<OwnedSemaphorePermit>,
}

impl Passage {
    /// A passage through so many shards.
    pub fn new(batch: Batch, shards: usize, told: bool, room: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            batch,
            left: AtomicUsize::new(shards),
            steps: Mutex::default(),
            told,
            done: Mutex::default(),
            _room: room,
        }
    }

    /// Whoever waits for every shard to have done it.
    #[must_use]
    pub fn answering(self, done: Option<oneshot::Sender<Result<u64, Refused>>>) -> Self {
        Self { told: self.told || done.is_some(), done: Mutex::new(done), ..self }
    }

    /// A shard is done. The last one tells the sequencer, if there is something to tell. A shard takes positions in order
    /// and tells before it takes the next, so positions are told in order whichever shard is last.
    pub fn pass(&self, step: Step, desk: &Desk) {
        let position = step.position;
        if self.told || !step.asked.is_empty() || !step.troubled.is_empty() {
            self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let steps = std::mem::take(&mut *self.steps.lock().unwrap_or_else(PoisonError::into_inner));
        if self.told || !steps.is_empty() {
            let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
            desk.leave(Request::Passed { position, steps, done });
        }
    }
}

/// How far a shard has got, for the sequencer to look at without asking.
#[derive(Debug)]
pub struct Progress {
    position: AtomicU64,
    next_due: AtomicI64,
}

impl Default for Progress {
    fn default() -> Self {
        Self { position: AtomicU64::new(0), next_due: AtomicI64::new(Timestamp::NEVER.0) }
    }
}

impl Progress {
    /// A shard is done with a position, and wants time to move by then.
    pub fn reach(&self, position: u64, next_due: Timestamp) {
        self.next_due.store(next_due.0, Ordering::Relaxed);
        self.position.store(position, Ordering::Release);
    }

    /// The last position that it is done with.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// When it wants time to move.
    pub fn next_due(&self) -> Timestamp {
        Timestamp(self.next_due.load(Ordering::Relaxed))
    }
}
