//! One thread, one shard: take what the sequencer hands over, step, report, and between two batches answer searches and
//! subscribers in slices, so that no question holds up events.

mod changed;
mod follower;

use crate::chaos::failpoint;
use crate::checkpoint::{Job, Slices};
use crate::clock;
use crate::history::Tracks;
use crate::ingest::{Desk, Drain, Found, NO_ROW, Passage, Progress, Update};
use crate::rebuild::Rebuilt;
use crate::telemetry::{RuleStats, ShardStats, Telemetry};
use changed::Changed;
use core_affinity::CoreId;
use crossbeam_channel::Receiver;
use follower::Follower;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;
use tidegate_engine::guest::Fault;
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::Control;
use tidegate_engine::save::Saved;
use tidegate_engine::shard::{KeyReport, Shard, Step, candidate_name};
use tidegate_event::{Batch, BatchBuilder, FieldSet, Timestamp};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Entries of the index that are looked at between two batches.
const SLICE: usize = 2048;

/// For so long a shard waits for what a rule gets back; then the rule begins anew.
const PATIENCE: Duration = Duration::from_secs(5);

/// What may wait for a shard. While more than half of it does, nothing further is taken in.
pub const RING: usize = 4096;

/// What a shard is handed, in the order of the log.
#[derive(Debug)]
pub enum Handed {
    /// Events, or an empty batch that moves time.
    Batch(Arc<Passage>),
    /// A change to the set of rules.
    Control {
        /// Its position.
        position: u64,
        /// Its time.
        now: Timestamp,
        /// The change.
        control: Arc<Control>,
        /// To be told.
        passage: Arc<Passage>,
    },
    /// A search, to be answered in this place.
    Search {
        /// What to look for.
        matcher: Matcher,
        /// How many at most.
        limit: usize,
        /// The answer.
        reply: mpsc::Sender<Found>,
    },
    /// A subscriber.
    Subscribe {
        /// What to look for.
        matcher: Matcher,
        /// Shards that have not handed over their snapshot yet; `None` when none is wanted.
        snapshot: Option<Arc<AtomicUsize>>,
        /// Where the answers go.
        updates: mpsc::Sender<Update>,
    },
    /// A follower: see [`Request::Follow`](crate::ingest::Request::Follow).
    Follow {
        /// What to look for.
        matcher: Matcher,
        /// Where the answers go.
        updates: mpsc::Sender<Update>,
    },
    /// A rule gets back what it has lost.
    Rejoin {
        /// The position of the record.
        position: u64,
        /// Its time.
        now: Timestamp,
        /// The rule.
        rule: Arc<str>,
        /// What it gets, in which shards.
        given: Arc<Vec<(usize, Receiver<Rebuilt>)>>,
        /// To be told.
        passage: Arc<Passage>,
    },
    /// A checkpoint of what stands here.
    Mark(Job),
    /// What a checkpoint says, to begin with.
    Restore {
        /// What was known.
        saved: Arc<Saved>,
        /// The time of its position.
        now: Timestamp,
    },
    /// Tell what keys of a rule remember.
    States {
        /// The rule.
        rule: String,
        /// The one key to tell of.
        key: Option<u64>,
        /// How many at most.
        most: usize,
        /// The answer.
        reply: mpsc::Sender<Result<Vec<KeyReport>, Fault>>,
    },
    /// Nothing more comes.
    Stop,
}

struct Search {
    matcher: Matcher,
    limit: usize,
    cursor: u32,
    found: Vec<Batch>,
    count: usize,
    reply: mpsc::Sender<Found>,
}

struct Subscriber {
    matcher: Matcher,
    updates: mpsc::Sender<Update>,
    snapshot: Option<(Arc<AtomicUsize>, u32)>,
    skipped: u64,
}

/// The thread's own things.
struct ShardThread {
    number: usize,
    shard: Shard,
    handed: Drain<Handed>,
    desk: Arc<Desk>,
    progress: Arc<Progress>,
    telemetry: Arc<Telemetry>,
    stats: Arc<ShardStats>,
    rules: BTreeMap<Arc<str>, Rule>,
    searches: Vec<Search>,
    subscribers: Vec<Subscriber>,
    followers: Vec<Follower>,
    /// What has changed since followers were told last.
    changed: Changed,
    saving: Option<Slices>,
    /// What is noted of its streams for their history.
    tracks: Option<Tracks>,
}

/// A rule's counters, and what this shard last added to the gauges.
struct Rule {
    stats: Arc<RuleStats>,
    keys: i64,
    memory: i64,
}

/// Starts the thread of a shard.
pub fn spawn(
    shard: Shard,
    handed: Drain<Handed>,
    desk: Arc<Desk>,
    progress: Arc<Progress>,
    telemetry: Arc<Telemetry>,
    tracks: Option<Tracks>,
    core: Option<CoreId>,
) -> std::io::Result<JoinHandle<()>> {
    let number = shard.number();
    let stats = telemetry.shard(number);
    let mut thread = ShardThread {
        number,
        shard,
        handed,
        desk,
        progress,
        telemetry,
        stats,
        rules: BTreeMap::new(),
        searches: Vec::new(),
        subscribers: Vec::new(),
        followers: Vec::new(),
        changed: Changed::default(),
        saving: None,
        tracks,
    };
    // Guests run on this stack: 512 KiB of it are theirs.
    let builder = std::thread::Builder::new().name(format!("shard-{number}")).stack_size(8 << 20);
    builder.spawn(move || {
        if core.is_some_and(|core| !core_affinity::set_for_current(core)) {
            tracing::warn!(shard = number, "the system does not let the thread keep to a core of its own");
        }
        thread.run();
    })
}

impl ShardThread {
    fn run(&mut self) {
        loop {
            let saving = self.saving.as_ref().map(Slices::is_held);
            // What was noted last is handed on also if nothing more comes.
            let patience = match (&self.tracks, self.changed.is_waiting()) {
                (_, true) => Some(changed::PAUSE),
                (Some(tracks), _) if tracks.is_waiting() => Some(tracks.step()),
                _ => None,
            };
            let handed = if !self.searches.is_empty() || saving == Some(false) {
                self.handed.try_take()
            } else if saving == Some(true)
                || self.subscribers.iter().any(|it| it.snapshot.is_some() || it.skipped > 0)
            {
                // A slice, a snapshot, or a confession waits for a reader to make room.
                self.handed.take(Some(Duration::from_millis(2)))
            } else {
                self.handed.take(patience.map(|span| Duration::from_micros(span.0.unsigned_abs())))
            };
            let Ok(handed) = handed else { return };
            match handed {
                Some(Handed::Stop) => return,
                Some(handed) => self.take(handed),
                None => {
                    let now = clock::now();
                    self.tracks.iter_mut().for_each(|tracks| tracks.sweep_if_due(now));
                    if self.changed.is_waiting() && self.changed.is_due(now) {
                        self.tell_followers(now);
                    }
                }
            }
            self.search();
            self.snapshots();
            self.save();
        }
    }

    /// One slice of a checkpoint.
    fn save(&mut self) {
        let Some(slices) = &mut self.saving else { return };
        let (shard, longest) = (&mut self.shard, &self.telemetry.checkpoints.longest);
        let more = slices.bring(self.number, |most| {
            let started = clock::start();
            let slice = shard.save(most).map_err(|error| error.to_string());
            longest.set(longest.get().max(started.elapsed().as_nanos() as i64));
            slice
        });
        if !more {
            self.saving = None;
        }
    }

    fn mark(&mut self, job: Job) {
        self.saving = match self.shard.mark(job.is_whole()) {
            Ok(()) => Some(Slices::new(job)),
            Err(error) => {
                job.fail(self.number, error.to_string());
                None
            }
        };
    }

    fn take(&mut self, handed: Handed) {
        match handed {
            Handed::Batch(passage) => {
                let started = clock::start();
                let step = self.shard.step(&passage.batch);
                let (nanos, events) = (started.elapsed().as_nanos() as u64, step.own.len() as u64);
                self.stats.nanos.add(nanos);
                if let Some(each) = nanos.checked_div(events) {
                    self.stats.latency.note_nanos(each, events);
                }
                self.publish(&passage.batch, &step);
                if let Some(tracks) = &mut self.tracks {
                    tracks.note(&passage.batch, &step);
                }
                if !self.followers.is_empty() {
                    self.changed.note(&passage.batch, &step);
                    if self.changed.is_due(passage.batch.header.now) {
                        self.tell_followers(passage.batch.header.now);
                    }
                }
                self.report(step, &passage);
            }
            Handed::Control { position, now, control, passage } => {
                let started = clock::start();
                failpoint("swap.begin");
                let step = self.shard.control(&control, position, now);
                failpoint("swap.done");
                if matches!(&*control, Control::Deploy(_) | Control::Promote { .. }) {
                    self.telemetry.control.swaps.note(started.elapsed(), 1);
                }
                match &*control {
                    Control::Remove { name } => {
                        self.forget(name);
                        self.forget_candidates(name);
                    }
                    Control::Promote { name } | Control::Abandon { name, .. } => self.forget_candidates(name),
                    Control::Deploy(spec) | Control::Try { spec, .. } => self.forget_candidates(&spec.name),
                    Control::Pause { .. } | Control::Rejoin { .. } => {}
                }
                self.report(step, &passage);
            }
            Handed::Search { matcher, limit, reply } => {
                self.searches.push(Search { matcher, limit, cursor: 0, found: Vec::new(), count: 0, reply });
            }
            Handed::Subscribe { matcher, snapshot, updates } => {
                let snapshot = snapshot.map(|left| (left, 0));
                self.telemetry.subscribers.add(i64::from(self.number == 0));
                self.subscribers.push(Subscriber { matcher, updates, snapshot, skipped: 0 });
            }
            Handed::Follow { matcher, updates } => {
                self.telemetry.subscribers.add(i64::from(self.number == 0));
                let reader = Subscriber { matcher, updates, snapshot: None, skipped: 0 };
                self.followers.push(Follower::new(reader));
            }
            Handed::Rejoin { position, now, rule, given, passage } => {
                let control =
                    Control::Rejoin { name: rule.to_string(), shard: self.number, shards: given.len() };
                let mut step = self.shard.control(&control, position, now);
                let ours = given.iter().filter(|(shard, _)| *shard == self.number);
                for (_, rebuilt) in ours {
                    // It has read all but the last few records.
                    let Rebuilt { states, late } = rebuilt.recv_timeout(PATIENCE).unwrap_or_default();
                    if self.shard.give_back(&rule, states) {
                        step.make_up_for(&rule, late);
                    }
                }
                self.report(step, &passage);
            }
            Handed::Mark(job) => self.mark(job),
            Handed::Restore { saved, now } => self.shard.restore(&saved, now),
            Handed::States { rule, key, most, reply } => {
                // Whoever asked may have gone.
                let _ = reply.try_send(self.shard.states(&rule, key, most));
            }
            Handed::Stop => {}
        }
    }

    /// Adds up what the step did and lets its position go on.
    fn report(&mut self, mut step: Step, passage: &Passage) {
        self.stats.batches.add(1);
        self.stats.events.add(step.own.len() as u64);
        self.stats.position.set(step.position as i64);
        let (streams, states) = self.shard.streams();
        self.stats.streams.set(streams as i64);
        self.stats.refused.set(self.shard.refused() as i64);
        for (gauge, n) in self.stats.states.iter().zip(states) {
            gauge.set(n as i64);
        }
        for (name, count) in std::mem::take(&mut step.counts) {
            if !self.rules.contains_key(&name) {
                let rule = Rule { stats: self.telemetry.rule(&name), keys: 0, memory: 0 };
                self.rules.insert(name.clone(), rule);
            }
            let Some(rule) = self.rules.get_mut(&name) else { continue };
            let stats = &rule.stats;
            stats.events.add(count.events);
            stats.calls.add(count.calls);
            stats.nanos.add(count.nanos);
            stats.emitted.add(count.emitted);
            stats.forwarded.add(count.forwarded);
            stats.logged.add(count.logged);
            if count.faults > 0 {
                stats.faults.add(count.faults);
                self.stats.faults.add(count.faults);
            }
            for (reason, n) in count.cut {
                stats.cut.add(reason, n);
            }
            for (reason, n) in [("skipped", count.skipped), ("key_cap", count.over)] {
                if n > 0 {
                    stats.cut.add(reason, n);
                }
            }
            if count.calls > 0 {
                let (keys, memory) = (count.keys as i64, count.memory as i64);
                stats.keys.add(keys - rule.keys);
                stats.memory.add(memory - rule.memory);
                self.stats.memory.add(memory - rule.memory);
                (rule.keys, rule.memory) = (keys, memory);
            }
        }
        let position = step.position;
        passage.pass(step, &self.desk);
        let next_due = self.shard.next_due();
        self.progress.reach(position, next_due);
        self.desk.got_on(self.handed.waiting() <= RING / 2, next_due);
    }

    fn forget(&mut self, name: &str) {
        if let Some(rule) = self.rules.remove(name) {
            rule.stats.keys.add(-rule.keys);
            rule.stats.memory.add(-rule.memory);
            self.stats.memory.add(-rule.memory);
        }
    }

    /// A rule's candidates are counted in names of their own, which begin with its name.
    fn forget_candidates(&mut self, name: &str) {
        let begins = candidate_name(name, 0);
        let begins = begins.trim_end_matches('0');
        let gone: Vec<Arc<str>> =
            self.rules.keys().filter(|name| name.starts_with(begins)).cloned().collect();
        gone.iter().for_each(|name| self.forget(name));
    }

    /// Tells subscribers what entered the index and what left it.
    fn publish(&mut self, batch: &Batch, step: &Step) {
        if self.subscribers.is_empty() || (step.own.is_empty() && step.expired.is_empty()) {
            return;
        }
        // Those who want everything share one batch.
        let mut everything: Option<Arc<Batch>> = None;
        let telemetry = &self.telemetry;
        for subscriber in &mut self.subscribers {
            let wants_all = subscriber.matcher.wants_all();
            let events = if let (true, Some(events)) = (wants_all, &everything) {
                events.clone()
            } else {
                let mut events = BatchBuilder::new();
                // The slot tells a subscriber which row of its position the event was; one that the index made was none.
                let own = step.own.iter().map(|own| (own.row, batch.event(own.row as usize)));
                let expired = step.expired.events().map(|event| (NO_ROW, event));
                for (row, event) in own.chain(expired) {
                    if wants_all || subscriber.matcher.matches(&event) {
                        events.copy(&event, FieldSet::ALL, |copy| copy.slot = row);
                    }
                }
                let mut events = events.finish();
                events.header = batch.header;
                Arc::new(events)
            };
            if wants_all {
                everything = Some(events.clone());
            }
            if !events.is_empty() {
                subscriber.send(Update::Events(events), telemetry);
            }
        }
        self.drop_closed();
    }

    /// Tells followers of the latest of each stream that has changed.
    fn tell_followers(&mut self, now: Timestamp) {
        let (loose, streams) = self.changed.take(now);
        let (shard, telemetry) = (&self.shard, &self.telemetry);
        let mut everything: Option<Arc<Batch>> = None;
        for follower in &mut self.followers {
            let wants_all = follower.reader.matcher.wants_all();
            let taken = |other: &Subscriber| other.snapshot.is_some() && follower.asks_like(other);
            let sure = !self.subscribers.iter().any(taken);
            let events = everything.clone().filter(|_| wants_all).unwrap_or_else(|| {
                let mut events = BatchBuilder::new();
                let standing = streams.iter().filter_map(|stream| shard.standing(*stream));
                loose.events().chain(standing).for_each(|event| follower.hear(&event, sure, &mut events));
                let mut events = events.finish();
                events.header.now = now;
                Arc::new(events)
            });
            if wants_all {
                everything = Some(events.clone());
            }
            follower.reader.own_up();
            if !events.is_empty() {
                follower.reader.send(Update::Events(events), telemetry);
            }
        }
        self.changed.recycle(streams);
        self.drop_closed();
    }

    fn drop_closed(&mut self) {
        let before = self.subscribers.len() + self.followers.len();
        self.subscribers.retain(|subscriber| !subscriber.updates.is_closed());
        self.followers.retain(|follower| !follower.reader.updates.is_closed());
        let gone = before - self.subscribers.len() - self.followers.len();
        if self.number == 0 {
            self.telemetry.subscribers.add(-(gone as i64));
        }
    }

    /// One slice of each search.
    fn search(&mut self) {
        let shard = &self.shard;
        self.searches.retain_mut(|search| {
            let mut found = BatchBuilder::new();
            let left = search.limit - search.count;
            // One more than wanted tells whether there are more.
            let next = shard.search(&search.matcher, search.cursor, SLICE, left + 1, &mut found);
            let found = found.finish();
            let truncated = found.len() > left;
            search.count += found.len().min(left);
            if !found.is_empty() {
                search.found.push(found.first(left));
            }
            match next {
                Some(cursor) if !truncated && !search.reply.is_closed() => {
                    search.cursor = cursor;
                    true
                }
                _ => {
                    let batches = std::mem::take(&mut search.found);
                    let _ = search.reply.try_send(Found { batches, truncated });
                    false
                }
            }
        });
    }

    /// One slice of each snapshot, as far as its reader has room.
    fn snapshots(&mut self) {
        let (shard, telemetry) = (&self.shard, &self.telemetry);
        for subscriber in &mut self.subscribers {
            subscriber.own_up();
            let Some((shards_left, cursor)) = subscriber.snapshot.take() else { continue };
            if subscriber.updates.capacity() < subscriber.updates.max_capacity() / 2 {
                subscriber.snapshot = Some((shards_left, cursor));
                continue;
            }
            let mut found = BatchBuilder::new();
            let next = shard.search(&subscriber.matcher, cursor, SLICE, usize::MAX, &mut found);
            if !found.is_empty() {
                let batch = Arc::new(found.finish());
                subscriber.send(Update::Snapshot { batch, last: false }, telemetry);
            }
            // What this shard had is in the queue before it says so: whoever is last has all others' slices before it.
            if next.is_none() && shards_left.fetch_sub(1, SeqCst) == 1 {
                subscriber.send(Update::Snapshot { batch: Arc::default(), last: true }, telemetry);
            }
            if next.is_none() {
                let same = self.followers.iter_mut().filter(|follower| follower.asks_like(subscriber));
                same.for_each(Follower::forget);
            }
            subscriber.snapshot = next.map(|cursor| (shards_left, cursor));
        }
        if self.subscribers.iter().any(|subscriber| subscriber.updates.is_closed()) {
            self.drop_closed();
        }
    }
}

impl Subscriber {
    /// Sends an update; what finds no room is counted, and the subscriber is told as soon as there is room again.
    fn send(&mut self, update: Update, telemetry: &Telemetry) {
        self.own_up();
        if self.skipped > 0 {
            return self.skip(&update, telemetry);
        }
        if let Err(TrySendError::Full(update)) = self.updates.try_send(update) {
            self.skip(&update, telemetry);
        }
    }

    /// Says how many events were missed, if any were and there is room to say it.
    fn own_up(&mut self) {
        if self.skipped > 0 && self.updates.try_send(Update::Skipped(self.skipped)).is_ok() {
            self.skipped = 0;
        }
    }

    fn skip(&mut self, update: &Update, telemetry: &Telemetry) {
        let n = match update {
            Update::Events(batch) | Update::Snapshot { batch, .. } => batch.len() as u64,
            Update::Skipped(n) => *n,
        };
        self.skipped += n;
        telemetry.skipped.add(n);
    }
}
