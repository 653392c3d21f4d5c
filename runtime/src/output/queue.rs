//! What waits for an output: bounded in bytes and in number, with a stated policy at the bound and exact books.
//!
//! Shards push from plain threads and never wait; one task takes. An event is `queued` from the push until whoever took
//! it says what became of it, so `taken = delivered + dropped + failed + queued` holds at every moment when nobody is
//! between two of the counters, and always when all is quiet.

use super::Delivery;
use crate::config::{Common, OnFull};
use crate::telemetry::OutputStats;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What an event costs beside its block.
const OVERHEAD: usize = 64;

/// Bytes taken at once, unless a single event is larger.
const BATCH_BYTES: usize = 1 << 20;

/// The queue of one output.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
    limit_bytes: usize,
    limit_events: usize,
    on_full: OnFull,
    stats: Arc<OutputStats>,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Delivery>,
    bytes: usize,
    closed: bool,
}

/// What an event counts for.
pub fn cost(delivery: &Delivery) -> usize {
    delivery.batch.block_len() + OVERHEAD
}

impl Queue {
    /// An empty queue that counts here.
    pub fn new(common: &Common, stats: Arc<OutputStats>) -> Self {
        Self {
            waiting: Mutex::default(),
            changed: Notify::new(),
            limit_bytes: common.queue,
            limit_events: common.queue_events,
            on_full: common.on_full,
            stats,
        }
    }

    /// The counters.
    pub fn stats(&self) -> &Arc<OutputStats> {
        &self.stats
    }

    // Every change under the lock leaves the queue whole, so a thread that died holding it broke nothing.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event, or drops what the policy says. Never waits for room.
    pub fn push(&self, delivery: Delivery) {
        let stats = &self.stats;
        let cost = cost(&delivery);
        let mut waiting = self.lock();
        stats.taken.add(1);
        if waiting.closed || cost > self.limit_bytes {
            stats.dropped.add(1);
            return;
        }
        while waiting.bytes + cost > self.limit_bytes || waiting.events.len() >= self.limit_events {
            stats.dropped.add(1);
            if self.on_full == OnFull::DropNewest {
                return;
            }
            waiting.drop_oldest();
            stats.queued.add(-1);
        }
        waiting.bytes += cost;
        waiting.events.push_back(delivery);
        stats.queued.add(1);
        stats.queued_bytes.set(waiting.bytes as i64);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Counts events that should have come here and were lost on the way.
    pub fn missed(&self, events: u64) {
        self.stats.taken.add(events);
        self.stats.dropped.add(events);
    }

    /// Takes up to so many events from the front, as soon as there are any; `None` when the queue is closed and empty.
    /// They still count as queued: say what became of them with [`Queue::delivered`] and [`Queue::failed`].
    pub async fn take(&self, most: usize) -> Option<Vec<Delivery>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut waiting = self.lock();
                if !waiting.events.is_empty() {
                    let taken = waiting.take(most);
                    self.stats.queued_bytes.set(waiting.bytes as i64);
                    return Some(taken);
                }
                if waiting.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// So many of the events that were taken have arrived.
    pub fn delivered(&self, events: usize) {
        self.stats.delivered.add(events as u64);
        self.stats.queued.add(-(events as i64));
    }

    /// So many of the events that were taken are given up on.
    pub fn failed(&self, events: usize) {
        self.stats.failed.add(events as u64);
        self.stats.queued.add(-(events as i64));
    }

    /// From now on nothing comes in; what waits can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Whether nothing comes in any more.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

impl Waiting {
    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.events.pop_front() {
            self.bytes -= cost(&oldest);
        }
    }

    fn take(&mut self, most: usize) -> Vec<Delivery> {
        let mut bytes = 0;
        let mut taken = Vec::with_capacity(most.min(self.events.len()));
        while let Some(next) = self.events.front() {
            if taken.len() == most || (!taken.is_empty() && bytes + cost(next) > BATCH_BYTES) {
                break;
            }
            bytes += cost(next);
            taken.extend(self.events.pop_front());
        }
        self.bytes -= bytes;
        taken
    }
}
