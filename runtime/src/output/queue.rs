//! What waits for an output: bounded, with a stated policy at the bound and exact books.
//!
//! ```text
//!            push                      take                        delivered, failed
//! sequencer ──────► memory ──────────────► hand (being sent) ──────────────────────► settled
//!                     │ save (the keeper)     ▲
//!                     ▼                       │ what memory has no room for
//!                   spool ────────────────────┘
//! ```
//!
//! Shards push from plain threads and never wait; one task takes. An event is `queued` from the push until whoever took
//! it says what became of it, so `taken = delivered + dropped + failed + queued` holds at every moment when nobody is
//! between two of the counters, and always when all is quiet.
//!
//! Events are numbered in the order in which they come. With a spool, all are written to it by another thread, but for
//! those that have been settled by then; without one, memory is all there is. What is taken comes from memory if it is
//! still there. A batch is taken when the spool has recorded what became of the one before, so a crash repeats one batch
//! at most.

use super::Delivery;
use super::keeper::Signal;
use super::spool::{Cursor, Kept, Numbered, OVERHEAD, Place, Spool, Stored, read_segment};
use crate::chaos::planted;
use crate::config::{Common, OnFull};
use crate::telemetry::{Counter, OutputStats};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::Notify;

/// Bytes taken at once, unless a single event is larger.
const BATCH_BYTES: usize = 1 << 20;

/// Bytes written to the spool at once, unless a single event is larger.
const SAVE_BYTES: usize = 1 << 20;

/// Segments are an eighth of the spool, within these bounds.
const SEGMENT: (u64, u64) = (64 << 10, 4 << 20);

/// The queue of one output.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
    /// Told when memory may have got room.
    saved: Condvar,
    spool: Option<Arc<Mutex<Spool>>>,
    keeper: OnceLock<Arc<Signal>>,
    limits: Limits,
    stats: Arc<OutputStats>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Bytes that may wait in all.
    bytes: usize,
    /// Events that may wait in all.
    events: usize,
    /// Bytes that may be in memory; the same without a spool.
    memory: usize,
    on_full: OnFull,
}

/// What was taken: a run of numbers, to be settled in order.
#[derive(Clone, Debug)]
pub enum Taken {
    /// Events to be sent.
    Events(Vec<Arc<Delivery>>),
    /// So many events, from this number on, of which nothing is left: the spool is damaged there.
    Lost {
        /// The first number.
        first: u64,
        /// How many.
        events: usize,
    },
}

#[derive(Debug, Default)]
struct Waiting {
    /// Being sent: not settled.
    hand: VecDeque<Numbered>,
    /// Numbers in hand of which nothing is left.
    lost: usize,
    /// The next number to be taken, and the last one that came.
    next: u64,
    last: u64,
    /// What each number from `next` to `last` costs.
    costs: VecDeque<u32>,
    /// Their sum.
    bytes: usize,
    /// The newest of these, without a gap up to `last`.
    memory: VecDeque<Numbered>,
    memory_bytes: usize,
    /// Read back from the spool, in order; what lies before `next` is out of date.
    loaded: VecDeque<Stored>,
    /// All numbers up to here are in the spool, dropped, or settled.
    saved: u64,
    /// The last settled number that the spool has recorded, and whether its books are up to date.
    recorded: u64,
    dirty: bool,
    /// Dropped while something was in hand, so not settled yet.
    gap: u64,
    /// The highest place that has been seen: what a replay brings up to here is not new.
    seen: Place,
    /// The highest place that has been settled.
    tail: Place,
    /// See [`Cursor::reused`].
    reused: (u64, u64),
    /// Events that were in the spool when it was last used, and that a replay has not brought again.
    missing: u64,
    /// The place of whatever comes next at the same position.
    coming: Place,
    /// Until the log has been read for the first time with this output, what it brings is from before its time.
    unborn: bool,
    /// The spool cannot be written: go on from memory.
    failing: bool,
    closed: bool,
}

/// What an event counts for.
fn cost(delivery: &Delivery) -> usize {
    delivery.batch.block_len() + OVERHEAD
}

enum Look {
    Give(Taken),
    Load { from: u64, last: u64 },
    Nothing,
    Ended,
}

impl Queue {
    /// An empty queue in memory that counts here.
    pub fn new(common: &Common, stats: Arc<OutputStats>) -> Self {
        let bytes = common.queue;
        let limits = Limits { bytes, events: common.queue_events, memory: bytes, on_full: common.on_full };
        Self::of(Waiting { next: 1, ..Waiting::default() }, None, limits, stats)
    }

    fn of(waiting: Waiting, spool: Option<Spool>, limits: Limits, stats: Arc<OutputStats>) -> Self {
        stats.capacity.set(limits.events as i64);
        stats.capacity_bytes.set(limits.bytes as i64);
        Self {
            waiting: Mutex::new(waiting),
            changed: Notify::new(),
            saved: Condvar::new(),
            spool: spool.map(|spool| Arc::new(Mutex::new(spool))),
            keeper: OnceLock::new(),
            limits,
            stats,
        }
    }

    /// A queue with a spool in this folder, and everything that waits there.
    pub fn on_disk(common: &Common, stats: Arc<OutputStats>, folder: PathBuf) -> io::Result<Self> {
        let segment = (common.spool / 8).clamp(SEGMENT.0, SEGMENT.1);
        let (spool, found) = Spool::open(folder, segment)?;
        let cursor = found.cursor.unwrap_or_default();
        let first = found.last + 1 - found.costs.len() as u64;
        let bytes = found.costs.iter().map(|cost| *cost as usize).sum();
        let waiting = Waiting {
            next: first,
            last: found.last,
            costs: found.costs.into(),
            bytes,
            saved: found.last,
            recorded: first - 1,
            seen: found.tail,
            tail: cursor.tail,
            reused: cursor.reused,
            missing: found.missing,
            unborn: found.cursor.is_none() && found.last == 0,
            ..Waiting::default()
        };
        stats.delivered.add(cursor.delivered);
        stats.dropped.add(cursor.dropped);
        stats.failed.add(cursor.failed);
        stats.taken.add(cursor.delivered + cursor.dropped + cursor.failed + waiting.costs.len() as u64);
        stats.queued.set(waiting.costs.len() as i64);
        stats.queued_bytes.set(bytes as i64);
        stats.spool_bytes.set(spool.bytes() as i64);
        let limits = Limits {
            bytes: usize::try_from(common.spool).unwrap_or(usize::MAX),
            events: common.queue_events,
            memory: common.queue,
            on_full: common.on_full,
        };
        Ok(Self::of(waiting, Some(spool), limits, stats))
    }

    /// Whoever writes the spool, to be told when there is something to write.
    pub fn kept_by(&self, keeper: Arc<Signal>) {
        let _ = self.keeper.set(keeper);
    }

    fn tell(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.work();
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

    /// Adds an event that the log has just caused, or drops what the policy says. Never waits for room.
    pub fn push(&self, delivery: Delivery) {
        let mut waiting = self.lock();
        let place = waiting.place(delivery.position);
        self.add(waiting, delivery, Some(place));
    }

    /// Adds an event that the log causes again while it is read at start, unless it is here already or has been settled.
    /// Waits for room in memory: nothing else happens at that time, and the spool has room.
    pub fn push_replayed(&self, delivery: Delivery) {
        let mut waiting = self.lock();
        let place = waiting.place(delivery.position);
        if waiting.unborn || place <= waiting.seen {
            self.stats.skipped.add(1);
            return;
        }
        waiting.missing = waiting.missing.saturating_sub(1);
        let size = cost(&delivery);
        while self.spool.is_some() && !waiting.failing && !waiting.closed {
            waiting.evict(self.limits.memory, size);
            if waiting.memory_bytes + size <= self.limits.memory || size > self.limits.memory {
                break;
            }
            self.tell();
            waiting = self.saved.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        self.add(waiting, delivery, Some(place));
    }

    /// Adds an event that does not come from the log: a replay will not bring it again. Tells its number, if it was taken.
    pub fn push_loose(&self, delivery: Delivery) -> Option<u64> {
        self.add(self.lock(), delivery, None)
    }

    fn add(
        &self,
        mut waiting: MutexGuard<'_, Waiting>,
        delivery: Delivery,
        place: Option<Place>,
    ) -> Option<u64> {
        let (stats, cost) = (&self.stats, cost(&delivery));
        stats.taken.add(1);
        if waiting.closed {
            stats.dropped.add(1);
            return None;
        }
        waiting.seen = waiting.seen.max(place.unwrap_or_default());
        if !self.make_room(&mut waiting, cost) {
            stats.dropped.add(1);
            waiting.dirty = true;
            return None;
        }
        waiting.last += 1;
        let number = waiting.last;
        waiting.costs.push_back(u32::try_from(cost).unwrap_or(u32::MAX));
        waiting.bytes += cost;
        waiting.memory.push_back(Numbered { number, place, delivery: Arc::new(delivery) });
        waiting.memory_bytes += cost;
        if self.spool.is_none() {
            waiting.saved = number;
        }
        stats.queued.add(1);
        stats.queued_bytes.set(waiting.bytes as i64);
        drop(waiting);
        self.changed.notify_one();
        self.tell();
        Some(number)
    }

    /// Makes room as the policy says; whether there is room then.
    fn make_room(&self, waiting: &mut Waiting, cost: usize) -> bool {
        let Limits { bytes, events, memory, on_full } = self.limits;
        if cost > bytes || cost > memory {
            return false;
        }
        while waiting.bytes + cost > bytes || waiting.costs.len() >= events {
            if on_full == OnFull::DropNewest {
                return false;
            }
            waiting.drop_oldest();
            self.stats.dropped.add(1);
            self.stats.queued.add(-1);
        }
        // Memory is full of what the disk has not taken yet: room for older events would not help.
        waiting.evict(memory, cost);
        self.spool.is_none() || waiting.memory_bytes + cost <= memory
    }

    /// Counts events that should have come here and were lost on the way.
    pub fn missed(&self, events: u64) {
        let mut waiting = self.lock();
        self.stats.taken.add(events);
        self.stats.dropped.add(events);
        waiting.dirty = true;
        drop(waiting);
        self.tell();
    }

    /// Takes up to so many events from the front, as soon as there are any; `None` when the queue is closed and empty.
    /// They still count as queued: say what became of them, in order, with [`Queue::delivered`] and [`Queue::failed`].
    pub async fn take(&self, most: usize) -> Option<Taken> {
        loop {
            let changed = self.changed.notified();
            let look = self.look(&mut self.lock(), most);
            match look {
                Look::Give(taken) => return Some(taken),
                Look::Ended => return None,
                Look::Nothing => changed.await,
                Look::Load { from, last } => self.load(from, last).await,
            }
        }
    }

    fn look(&self, waiting: &mut Waiting, most: usize) -> Look {
        let held = waiting.recorded < waiting.settled() && self.spool.is_some() && !waiting.failing;
        if held {
            self.tell();
        }
        if !waiting.hand.is_empty() || waiting.lost > 0 || held {
            return Look::Nothing;
        }
        loop {
            if waiting.costs.is_empty() {
                return if waiting.closed { Look::Ended } else { Look::Nothing };
            }
            let next = waiting.next;
            if waiting.memory.front().is_some_and(|event| event.number == next) {
                return Look::Give(self.give(waiting, most));
            }
            while waiting.loaded.front().is_some_and(|stored| stored.last < next) {
                waiting.loaded.pop_front();
            }
            match waiting.loaded.front().map(|stored| (stored.last, &stored.kept)) {
                None => {
                    let last = waiting.memory.front().map_or(waiting.last, |event| event.number - 1);
                    return Look::Load { from: next, last };
                }
                Some((_, Kept::Event(..))) => return Look::Give(self.give(waiting, most)),
                Some((last, Kept::Damaged)) => {
                    let events = (last.min(waiting.last) + 1 - next) as usize;
                    waiting.advance(events);
                    waiting.lost = events;
                    return Look::Give(Taken::Lost { first: next, events });
                }
                Some((last, Kept::Dropped)) => {
                    // Dropped before the crash, and not in the books yet.
                    let events = (last.min(waiting.last) + 1 - next) as usize;
                    waiting.advance(events);
                    waiting.dirty = true;
                    self.stats.dropped.add(events as u64);
                    self.stats.queued.add(-(events as i64));
                }
            }
        }
    }

    /// A batch from memory, or from what was read back.
    fn give(&self, waiting: &mut Waiting, most: usize) -> Taken {
        let mut bytes = 0;
        while waiting.hand.len() < most && !waiting.costs.is_empty() {
            let next = waiting.next;
            let cost = waiting.costs.front().map_or(0, |cost| *cost as usize);
            if !waiting.hand.is_empty() && bytes + cost > BATCH_BYTES {
                break;
            }
            let event = if waiting.memory.front().is_some_and(|event| event.number == next) {
                waiting.pop_memory()
            } else {
                match waiting.loaded.front() {
                    Some(Stored { first, kept: Kept::Event(delivery, place), .. }) if *first == next => {
                        let event = Numbered { number: next, place: *place, delivery: delivery.clone() };
                        waiting.loaded.pop_front();
                        Some(event)
                    }
                    _ => None,
                }
            };
            let Some(event) = event else { break };
            bytes += cost;
            waiting.advance(1);
            waiting.hand.push_back(event);
        }
        self.stats.queued_bytes.set(waiting.bytes as i64);
        Taken::Events(waiting.hand.iter().map(|event| event.delivery.clone()).collect())
    }

    /// Reads back a segment, off the async threads.
    async fn load(&self, from: u64, last: u64) {
        let spool = self.spool.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let place = spool.and_then(|spool| spool_of(&spool).place_of(from));
            place.map_or(Ok(Vec::new()), |(path, next)| {
                read_segment(&path, from, next.map_or(last, |next| last.min(next - 1)))
            })
        });
        let read = reading.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let stored = match read {
            Ok(stored) if !stored.is_empty() => stored,
            Ok(_) => vec![Stored { first: from, last, kept: Kept::Damaged }],
            Err(error) => {
                tracing::error!(output = %self.stats.name, %error, "the spool cannot be read");
                self.stats.spool_errors.add(1);
                vec![Stored { first: from, last: from, kept: Kept::Damaged }]
            }
        };
        self.lock().loaded = stored.into();
    }

    /// So many of the events that were taken have arrived.
    pub fn delivered(&self, events: usize) {
        self.settle(events, &self.stats.delivered);
    }

    /// So many of the events that were taken are given up on.
    pub fn failed(&self, events: usize) {
        self.settle(events, &self.stats.failed);
    }

    fn settle(&self, events: usize, counter: &Counter) {
        if events == 0 {
            return;
        }
        let mut waiting = self.lock();
        counter.add(events as u64);
        let lost = waiting.lost.min(events);
        waiting.lost -= lost;
        let sent = (events - lost).min(waiting.hand.len());
        let places = waiting.hand.drain(..sent).filter_map(|event| event.place);
        let tail = places.max().unwrap_or_default();
        waiting.tail = waiting.tail.max(tail);
        if waiting.hand.is_empty() && waiting.lost == 0 {
            waiting.gap = 0;
        }
        waiting.dirty = true;
        if self.spool.is_none() {
            waiting.recorded = waiting.settled();
        }
        self.stats.queued.add(-(events as i64));
        drop(waiting);
        self.tell();
    }

    /// Writes to the spool what is new, and how far the other side has got. Returns whether there is more to write.
    pub fn save(&self) -> io::Result<bool> {
        let Some(spool) = &self.spool else { return Ok(false) };
        let mut spool = spool_of(spool);
        let unsaved = self.lock().unsaved();
        let written = spool.append(&unsaved);
        let (cursor, more) = {
            let mut waiting = self.lock();
            waiting.failing = written.is_err();
            if let (Ok(()), Some(last)) = (&written, unsaved.last()) {
                waiting.saved = waiting.saved.max(last.number);
            }
            waiting.catch_up();
            waiting.evict(self.limits.memory, 0);
            let more = waiting.saved < waiting.last;
            let due = waiting.dirty || waiting.recorded < waiting.settled();
            waiting.dirty = false;
            ((due && !waiting.unborn).then(|| waiting.cursor(&self.stats)), more)
        };
        let recorded = cursor.map_or(Ok(()), |cursor| spool.record(&cursor));
        {
            let mut waiting = self.lock();
            match (&recorded, cursor) {
                (Ok(()), Some(cursor)) => waiting.recorded = cursor.settled,
                (Err(_), _) => (waiting.dirty, waiting.failing) = (true, true),
                _ => {}
            }
        }
        self.stats.spool_bytes.set(spool.bytes() as i64);
        // Whoever takes waits for the cursor; whoever replays, for memory.
        if cursor.is_some() || written.is_err() {
            self.changed.notify_one();
        }
        self.saved.notify_all();
        written.and(recorded).map(|()| more).inspect_err(|_| self.stats.spool_errors.add(1))
    }

    /// Makes what was saved survive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        self.spool.as_ref().map_or(Ok(()), |spool| spool_of(spool).sync())
    }

    /// The number of the last event that came.
    pub fn last(&self) -> u64 {
        self.lock().last
    }

    /// Whether this number is in the spool, or settled.
    pub fn has_saved(&self, number: u64) -> bool {
        self.lock().saved >= number
    }

    /// The position up to which everything that was forwarded is in the spool or settled; `u64::MAX` when all is.
    pub fn settled(&self) -> u64 {
        self.lock().first_unsaved().map_or(u64::MAX, |place| place.position.saturating_sub(1))
    }

    /// The log has been read, up to this position: what comes now is new. Behind it there is nothing: places there were
    /// used before a power cut took the end of the log, and are used again. Tells how many events are gone: the end of the
    /// spool cannot be read, and the log did not bring them again.
    pub fn begin(&self, position: u64) -> u64 {
        let mut waiting = self.lock();
        let end = Place::end_of(position);
        if waiting.unborn || waiting.seen > end {
            waiting.reused = (waiting.last, position);
            waiting.tail = end;
            waiting.seen = end;
            waiting.dirty = true;
        }
        waiting.unborn = false;
        let missing = std::mem::take(&mut waiting.missing);
        self.stats.taken.add(missing);
        self.stats.failed.add(missing);
        waiting.dirty |= missing > 0;
        drop(waiting);
        self.tell();
        missing
    }

    /// From now on nothing comes in; what waits can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
        self.saved.notify_all();
    }

    /// Whether nothing comes in any more.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

fn spool_of(spool: &Mutex<Spool>) -> MutexGuard<'_, Spool> {
    spool.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Waiting {
    /// The place of what comes now. The log causes things in order, so counting is enough.
    fn place(&mut self, position: u64) -> Place {
        let order = if self.coming.position == position { self.coming.order } else { 0 };
        self.coming = Place { position, order: order + 1 };
        Place { position, order }
    }

    /// Every number up to here is settled.
    fn settled(&self) -> u64 {
        match self.hand.front() {
            Some(event) if !planted("cursor-before-answer") => event.number - 1,
            _ => self.next - 1 - self.lost as u64,
        }
    }

    /// The next numbers are no longer waiting.
    fn advance(&mut self, events: usize) {
        for cost in self.costs.drain(..events.min(self.costs.len())) {
            self.bytes -= cost as usize;
        }
        self.next += events as u64;
    }

    fn pop_memory(&mut self) -> Option<Numbered> {
        let event = self.memory.pop_front()?;
        self.memory_bytes -= cost(&event.delivery);
        Some(event)
    }

    fn drop_oldest(&mut self) {
        if self.memory.front().is_some_and(|event| event.number == self.next) {
            self.pop_memory();
        }
        self.advance(1);
        self.dirty = true;
        self.gap += u64::from(!self.hand.is_empty() || self.lost > 0);
    }

    /// Lets go from memory what the spool has, the oldest first, until so much more fits in.
    fn evict(&mut self, bytes: usize, cost: usize) {
        while self.memory_bytes + cost > bytes {
            if self.memory.front().is_none_or(|event| event.number > self.saved) {
                return;
            }
            self.pop_memory();
        }
    }

    /// What has been settled or dropped need not be written.
    fn catch_up(&mut self) {
        let first = self.all_unsaved().next().map(|event| event.number - 1);
        self.saved = self.saved.max(first.unwrap_or(self.last));
    }

    /// What is not in the spool and not settled, in order, as much as is written at once.
    fn unsaved(&self) -> Vec<Numbered> {
        let mut bytes = 0;
        self.all_unsaved()
            .take_while(|event| {
                let fits = bytes == 0 || bytes < SAVE_BYTES;
                bytes += cost(&event.delivery);
                fits
            })
            .cloned()
            .collect()
    }

    fn all_unsaved(&self) -> impl Iterator<Item = &Numbered> {
        let from = self.memory.partition_point(|event| event.number <= self.saved);
        self.hand.iter().filter(|event| event.number > self.saved).chain(self.memory.range(from..))
    }

    fn first_unsaved(&self) -> Option<Place> {
        self.all_unsaved().find_map(|event| event.place)
    }

    fn cursor(&self, stats: &OutputStats) -> Cursor {
        Cursor {
            settled: self.settled(),
            saved: self.saved,
            tail: self.tail,
            reused: self.reused,
            delivered: stats.delivered.get(),
            dropped: stats.dropped.get() - self.gap,
            failed: stats.failed.get(),
        }
    }
}
