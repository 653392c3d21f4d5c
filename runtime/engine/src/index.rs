//! The latest event of each stream, until its time-to-live has run out.
//!
//! Riemann's index with three differences: an event from the future counts as one from now, so that a wrong clock cannot
//! keep a stream alive for ever; a time-to-live of infinity is allowed and means just that; and there is a cap on the
//! number of streams, beyond which new ones are not indexed but counted. Nothing established is ever pushed out.

mod table;

use crate::query::Matcher;
use crate::save::Slice;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use table::Table;
use tidegate_event::{BatchBuilder, Event, FieldSet, Kept, Span, State, Timestamp};

/// The number of state codes there are, [`State::Other`] included.
pub const STATES: usize = 6;

/// Not the number of a stream: it is not in the index.
pub const NOWHERE: u32 = u32::MAX;

/// One shard's part of the index. Each stream has a number, and beside its event the notes of whoever uses the index.
#[derive(Debug)]
pub struct Index<N = ()> {
    table: Table,
    entries: Vec<Entry<N>>,
    free: Vec<u32>,
    /// Out of the index, but still to be read until [`Index::release`].
    retired: Vec<u32>,
    due: BinaryHeap<Reverse<(Timestamp, u32, u64)>>,
    states: [u64; STATES],
    default_ttl: Span,
    limit: usize,
    refused: u64,
    /// Counts the saves, from 1.
    epoch: u32,
    /// The save that is being made.
    cut: Option<Box<Cut>>,
}

/// What each event needs lies in the first two cache lines: the notes, if they are small, and the row.
#[derive(Debug)]
#[repr(C, align(64))]
struct Entry<N> {
    key: u64,
    expires: Timestamp,
    /// The earliest moment at which the heap will look at it.
    armed: Timestamp,
    notes: N,
    kept: Kept,
    live: bool,
    /// The epoch in which it was touched last.
    epoch: u32,
}

/// A save of the index as it stood at one moment. An entry that is about to change and has not been saved yet is saved
/// first, so that the moment holds however long the save takes.
#[derive(Debug)]
struct Cut {
    /// Entries before this one are done.
    cursor: usize,
    /// Entries that were touched in this epoch or later are saved whole; others are as they were in the save before.
    since: u32,
    events: BatchBuilder,
    expires: Vec<Timestamp>,
    same: Vec<u64>,
}

impl Cut {
    fn take<N>(&mut self, entry: &Entry<N>) {
        if entry.epoch < self.since {
            self.same.push(entry.key);
            return;
        }
        self.events.copy(&entry.kept.event(), FieldSet::ALL, |_| ());
        self.expires.push(entry.expires);
    }
}

/// What happened to an event that was put into the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is the latest of its stream.
    Kept,
    /// Its state is `expired`: the stream was taken out, if it was there.
    Removed,
    /// The stream is new and there is no room for it.
    Full,
}

/// The moment after which an event is no longer valid: when it happened, but not later than now, plus its ttl in
/// seconds. A ttl that is missing or not a number is the default, a negative one is none.
#[inline]
pub fn expires(event: &Event<'_>, now: Timestamp, default_ttl: Span) -> Timestamp {
    let ttl = match event.ttl() {
        Some(ttl) if ttl == f32::INFINITY => return Timestamp::NEVER,
        Some(ttl) if !ttl.is_nan() => Span::from_secs_f64(ttl.max(0.0).into()),
        _ => default_ttl,
    };
    event.time().min(now) + ttl
}

impl<N: Default> Index<N> {
    /// An empty index for at most `limit` streams.
    pub fn new(default_ttl: Span, limit: usize) -> Self {
        Self {
            table: Table::default(),
            entries: Vec::new(),
            free: Vec::new(),
            retired: Vec::new(),
            due: BinaryHeap::new(),
            states: [0; STATES],
            default_ttl,
            limit,
            refused: 0,
            epoch: 1,
            cut: None,
        }
    }

    /// Number of streams.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many streams are in each state, by [`State`] code.
    pub fn states(&self) -> [u64; STATES] {
        self.states
    }

    /// How many events were not indexed for want of room.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The number of a stream.
    pub fn find(&self, key: u64) -> Option<u32> {
        self.table.find(key, |number| self.entries[number as usize].key == key)
    }

    /// The numbers of many streams, [`NOWHERE`] for those that are not here. Far cheaper than one by one: each pass is a
    /// loop of loads that do not wait for each other, so the memory answers many at a time.
    pub fn locate(&self, keys: &[u64], numbers: &mut Vec<u32>) {
        numbers.clear();
        numbers.extend(keys.iter().map(|key| self.table.guess(*key)));
        for (key, number) in keys.iter().zip(numbers) {
            let guessed = self.entries.get(*number as usize);
            // The row is looked at because it will be needed next.
            let right = guessed.is_some_and(|entry| (entry.key == *key) & (entry.kept.event().key() == *key));
            if !right && *number != NOWHERE {
                *number = self.find(*key).unwrap_or(NOWHERE);
            }
        }
    }

    /// Whether that is still the number of a stream.
    #[inline]
    pub fn is(&self, number: u32, key: u64) -> bool {
        self.entries.get(number as usize).is_some_and(|entry| entry.live && entry.key == key)
    }

    /// The latest event of the stream with a number.
    #[inline]
    pub fn event(&self, number: u32) -> Event<'_> {
        self.entries[number as usize].kept.event()
    }

    /// The same, if there is a stream with that number.
    pub fn standing(&self, number: u32) -> Option<Event<'_>> {
        self.entries.get(number as usize).filter(|entry| entry.live).map(|entry| entry.kept.event())
    }

    /// The notes beside it.
    #[inline]
    pub fn notes(&mut self, number: u32) -> &mut N {
        &mut self.entries[number as usize].notes
    }

    /// The latest event of a stream.
    pub fn get(&self, key: u64) -> Option<Event<'_>> {
        self.find(key).map(|number| self.event(number))
    }

    /// Remembers an event as the latest of its stream, whatever its time; one whose state is `expired` takes the stream out.
    pub fn put(&mut self, event: &Event<'_>, now: Timestamp) -> Put {
        let number = self.find(event.key());
        if event.is_expired() {
            if let Some(number) = number {
                self.retire(number);
                self.release();
            }
            return Put::Removed;
        }
        match number {
            Some(number) => self.update(number, event, now),
            None if self.insert(event, now).is_none() => return Put::Full,
            None => {}
        }
        Put::Kept
    }

    /// Remembers an event as the latest of the stream with that number, which it is of.
    #[inline]
    pub fn update(&mut self, number: u32, event: &Event<'_>, now: Timestamp) {
        let expires = expires(event, now, self.default_ttl);
        self.touch(number);
        let entry = &mut self.entries[number as usize];
        self.states[entry.kept.event().state_code() as usize] -= 1;
        self.states[event.state_code() as usize] += 1;
        entry.kept.set(event);
        // Entries stand in the heap at the moment they were put there for. One that now ends before that needs a place
        // of its own; one that ends later is found and moved when the moment comes.
        entry.expires = expires;
        if expires < entry.armed {
            entry.armed = expires;
            self.due.push(Reverse((expires, number, entry.key)));
            self.tidy();
        }
    }

    /// Takes in the first event of a stream that is not here; `None` when there is no room.
    pub fn insert(&mut self, event: &Event<'_>, now: Timestamp) -> Option<u32> {
        if self.len() >= self.limit {
            self.refused += 1;
            return None;
        }
        Some(self.enter(event, expires(event, now, self.default_ttl)))
    }

    /// Takes in the latest event of a stream that is not here, however many there are.
    fn enter(&mut self, event: &Event<'_>, expires: Timestamp) -> u32 {
        let key = event.key();
        let entry = Entry {
            key,
            live: true,
            expires,
            armed: expires,
            notes: N::default(),
            kept: Kept::new(event),
            epoch: self.epoch,
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.table.insert(key, number);
        self.states[event.state_code() as usize] += 1;
        self.due.push(Reverse((expires, number, key)));
        self.tidy();
        number
    }

    /// Takes in what was saved of a stream; says its number, or nothing when the stream is here already.
    pub fn restore(&mut self, event: &Event<'_>, expires: Timestamp) -> Option<u32> {
        self.find(event.key()).is_none().then(|| self.enter(event, expires))
    }

    /// Notes that an entry is about to change.
    #[inline]
    fn touch(&mut self, number: u32) {
        if self.entries[number as usize].epoch != self.epoch {
            self.first_touch(number);
        }
    }

    #[cold]
    fn first_touch(&mut self, number: u32) {
        let entry = &mut self.entries[number as usize];
        if let Some(cut) = self.cut.as_mut().filter(|cut| number as usize >= cut.cursor) {
            cut.take(entry);
        }
        entry.epoch = self.epoch;
    }

    /// Begins a save of what stands now: of everything, or only of what was touched since the last save began.
    pub fn mark(&mut self, all: bool) {
        let since = if all { 0 } else { self.epoch };
        self.epoch += 1;
        self.cut = Some(Box::new(Cut {
            cursor: 0,
            since,
            events: BatchBuilder::new(),
            expires: Vec::new(),
            same: Vec::new(),
        }));
    }

    /// Goes on with the save for up to so many entries. Returns whether that was all.
    pub fn save(&mut self, most: usize, slice: &mut Slice) -> bool {
        let Some(cut) = &mut self.cut else { return true };
        let end = self.entries.len().min(cut.cursor + most);
        let entries = &self.entries[cut.cursor.min(end)..end];
        // What was touched since is saved already, or was not there.
        entries
            .iter()
            .filter(|entry| entry.live && entry.epoch != self.epoch)
            .for_each(|entry| cut.take(entry));
        cut.cursor = end;
        let events = std::mem::take(&mut cut.events).finish();
        if !events.is_empty() {
            slice.streams = events.to_block();
        }
        slice.expires = std::mem::take(&mut cut.expires);
        slice.same_streams = std::mem::take(&mut cut.same);
        let done = end == self.entries.len();
        if done {
            self.cut = None;
        }
        done
    }

    /// Gives a save up.
    pub fn unmark(&mut self) {
        self.cut = None;
    }

    /// Takes a stream out. What it last said and the notes can be read until [`release`](Self::release); its number is
    /// not given to another before.
    pub fn retire(&mut self, number: u32) {
        if !self.entries[number as usize].live {
            return;
        }
        self.touch(number);
        let entry = &mut self.entries[number as usize];
        entry.live = false;
        self.states[entry.kept.event().state_code() as usize] -= 1;
        self.table.remove(entry.key, number);
        self.retired.push(number);
    }

    /// Forgets the streams that were taken out: nobody needs them any more.
    pub fn release(&mut self) {
        for number in self.retired.drain(..) {
            self.entries[number as usize].notes = N::default();
            self.free.push(number);
        }
    }

    /// Streams that come and go leave places behind in the heap until their moments come. Beyond twice the number of
    /// streams they are swept out.
    fn tidy(&mut self) {
        if self.due.len() > 2 * self.len() + 1024 {
            let live = self.entries.iter_mut().enumerate().filter(|(_, entry)| entry.live);
            self.due = live
                .map(|(number, entry)| {
                    entry.armed = entry.expires;
                    Reverse((entry.expires, number as u32, entry.key))
                })
                .collect();
        }
    }

    /// No stream runs out before this moment.
    pub fn next_due(&self) -> Timestamp {
        self.due.peek().map_or(Timestamp::NEVER, |Reverse((at, ..))| *at)
    }

    /// Takes out the streams whose time ran out before `now`, the earliest first, at most `limit` of them, and says which
    /// and when. The rest stay due.
    pub fn expire(&mut self, now: Timestamp, limit: usize, gone: &mut Vec<(Timestamp, u32)>) {
        while gone.len() < limit {
            let Some(&Reverse((at, number, key))) = self.due.peek() else { break };
            if at >= now {
                break;
            }
            self.due.pop();
            let entry = &mut self.entries[number as usize];
            if !entry.live || entry.key != key {
                continue;
            }
            if entry.expires > at {
                entry.armed = entry.expires;
                self.due.push(Reverse((entry.expires, number, key)));
                continue;
            }
            self.retire(number);
            gone.push((at, number));
        }
    }

    /// Looks at up to `budget` entries from `cursor` on and copies those that match, up to `limit`. Returns where to go
    /// on, or `None` at the end. A question for one exact stream is answered by one look-up.
    pub fn search(
        &self,
        matcher: &Matcher,
        exact: Option<u64>,
        cursor: u32,
        budget: usize,
        limit: usize,
        found: &mut BatchBuilder,
    ) -> Option<u32> {
        if let Some(key) = exact {
            if let Some(event) = self.get(key).filter(|event| limit > 0 && matcher.matches(event)) {
                found.copy(&event, FieldSet::ALL, |_| ());
            }
            return None;
        }
        let from = cursor as usize;
        let to = self.entries.len().min(from.saturating_add(budget));
        for entry in &self.entries[from.min(to)..to] {
            if !entry.live {
                continue;
            }
            let event = entry.kept.event();
            if matcher.matches(&event) {
                if found.len() >= limit {
                    return None;
                }
                found.copy(&event, FieldSet::ALL, |_| ());
            }
        }
        (to < self.entries.len()).then_some(to as u32)
    }
}

/// The event that says a stream has run out: all it last said, with state `expired` and the time at which that was seen.
pub fn expired_event(into: &mut BatchBuilder, last: &Event<'_>, now: Timestamp) {
    let mut row = into.copy_strings(last, FieldSet::ALL);
    row.state = Some(into.push_string(State::Expired.as_str().as_bytes()));
    row.state_code = State::Expired;
    row.time = now;
    row.reaped = true;
    row.hops = 0;
    into.push_row(&row);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::{Batch, NewEvent};

    fn batch(events: &[NewEvent<'_>]) -> Batch {
        let mut builder = BatchBuilder::new();
        events.iter().for_each(|event| builder.push(event));
        builder.stamp(1, Timestamp::from_secs(100));
        builder.finish()
    }

    fn event(host: &'static str, seconds: i64, ttl: Option<f32>) -> NewEvent<'static> {
        NewEvent {
            host: Some(host),
            time: Some(Timestamp::from_secs(seconds)),
            ttl,
            state: Some("ok"),
            ..NewEvent::default()
        }
    }

    fn put(index: &mut Index, now: i64, event: NewEvent<'_>) -> Put {
        index.put(&batch(&[event]).event(0), Timestamp::from_secs(now))
    }

    fn expire(index: &mut Index, now: i64) -> Vec<String> {
        let mut gone = Vec::new();
        index.expire(Timestamp::from_secs(now), 100, &mut gone);
        let said =
            gone.iter().map(|(at, number)| format!("{at} {}", index.event(*number).host().unwrap_or("-")));
        let said = said.collect();
        index.release();
        said
    }

    #[test]
    fn streams_run_out_in_order_and_not_before_their_time() {
        let mut index = Index::new(Span::secs(60), 10);
        put(&mut index, 100, event("b", 100, Some(5.0)));
        put(&mut index, 100, event("a", 100, None));
        put(&mut index, 100, event("future", 9_999, Some(10.0)));
        put(&mut index, 100, event("for ever", 100, Some(f32::INFINITY)));
        put(&mut index, 100, event("odd", 100, Some(f32::NAN)));
        assert_eq!(index.len(), 5);
        assert_eq!(expire(&mut index, 105), [""; 0], "an age equal to the ttl is not yet too old");
        assert_eq!(expire(&mut index, 106), ["105s b"]);
        put(&mut index, 108, event("a", 108, None));
        assert_eq!(expire(&mut index, 161), ["110s future", "160s odd"]);
        assert_eq!(expire(&mut index, 169), ["168s a"]);
        assert_eq!(expire(&mut index, 1 << 40), [""; 0]);
        assert_eq!((index.len(), index.states()), (1, [0, 1, 0, 0, 0, 0]));
    }

    #[test]
    fn a_shorter_ttl_counts_at_once() {
        let mut index = Index::new(Span::secs(60), 10);
        put(&mut index, 100, event("a", 100, Some(1000.0)));
        put(&mut index, 101, event("a", 101, Some(1.0)));
        assert_eq!(expire(&mut index, 103), ["102s a"]);
        assert_eq!(index.next_due(), Timestamp::from_secs(1100));
        assert_eq!(expire(&mut index, 2000), [""; 0]);
    }

    #[test]
    fn an_older_event_replaces_a_newer_one_and_expired_removes() {
        let mut index = Index::new(Span::secs(60), 10);
        put(&mut index, 100, event("a", 100, None));
        put(&mut index, 100, event("a", 90, None));
        let key = batch(&[event("a", 0, None)]).event(0).key();
        assert_eq!(index.get(key).unwrap().time(), Timestamp::from_secs(90));
        assert_eq!(
            put(&mut index, 100, NewEvent { state: Some("expired"), ..event("a", 1, None) }),
            Put::Removed
        );
        assert!(index.is_empty() && index.states() == [0; STATES]);
        assert_eq!(expire(&mut index, 5_000), [""; 0]);
    }

    #[test]
    fn beyond_the_cap_new_streams_are_counted_and_old_ones_stay() {
        let mut index = Index::new(Span::secs(60), 2);
        assert_eq!(put(&mut index, 100, event("a", 100, None)), Put::Kept);
        assert_eq!(put(&mut index, 100, event("b", 100, None)), Put::Kept);
        assert_eq!(put(&mut index, 100, event("c", 100, None)), Put::Full);
        assert_eq!(put(&mut index, 100, event("a", 101, None)), Put::Kept);
        assert_eq!((index.len(), index.refused()), (2, 1));
    }

    #[test]
    fn streams_that_come_and_go_leave_no_heap_behind() {
        let mut index = Index::new(Span::secs(3600), 10);
        for i in 0..20_000 {
            put(&mut index, 100, event("a", i, None));
            put(&mut index, 100, NewEvent { state: Some("expired"), ..event("a", i, None) });
        }
        assert!(index.due.len() < 2_000 && index.entries.len() == 1);
    }
}
