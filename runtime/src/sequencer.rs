//! Gives everything its place: positions, times, the log, acks, and the way to the shards and back.
//!
//! Whatever waits is taken together: small batches are joined, each batch gets a position and a time, all are written to
//! the log in one go, then acked, then handed to every shard in that order. When all shards are done with a position and
//! rules have asked for something, their steps are merged: what rules forward goes to the outputs, what they emit goes back
//! to the start of this paragraph as a record of its own.
//!
//! Nothing here waits for a shard, so nothing can wait in a circle: while a shard lags, requests stay where they are.
//! What is on its way is bounded by the room that inputs take at the door and by the rings to the shards; a position
//! causes at most one further position, so emitted events cannot pile up either.

mod recover;
mod rejoin;

pub use recover::Recovered;

use crate::catalogue::Catalogue;
use crate::chaos::planted;
use crate::checkpoint::{Commit, Head, Jobs};
use crate::clock;
use crate::ingest::{
    Accepted, Ack, Append, Feed, Found, Passage, Progress, Refused, Request, Sequence, Update, Worked,
};
use crate::log::{Change, Log, Tended};
use crate::output::{Delivery, Outputs};
use crate::rebuild::{Absent, Orders};
use crate::shard_thread::{Handed, RING};
use crate::telemetry::{InputStats, Level, Telemetry};
use crossbeam_channel::Receiver;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tidegate_engine::guest::Fault;
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::Control;
use tidegate_engine::shard::{KeyReport, Merged, Step, merge};
use tidegate_event::{Batch, BatchBuilder, FieldSet, Header, Span, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Requests taken together at most: they and what follows from them fit into half a ring.
const TOGETHER: usize = 1024;
/// Bytes gathered for one write to the log at most.
const WRITE: usize = 1 << 20;
/// Batches of fewer events than this are joined with others that wait, as long as there are.
const SMALL: usize = 64;
/// Events of a batch that was joined, at most.
const JOINED: usize = 1024;
/// Time moves by itself no more often than this, so that a rule that always wants to be woken cannot fill the log.
const TICK: Span = Span::millis(1);
/// How long to wait before the log is tried again by itself when it could not be written.
const RETRY: Duration = Duration::from_millis(100);

/// The sequencer.
pub struct Sequencer {
    shards: Vec<Way>,
    log: Option<Log>,
    catalogue: Arc<Catalogue>,
    outputs: Arc<Outputs>,
    telemetry: Arc<Telemetry>,
    seed: u64,
    position: u64,
    now: Timestamp,
    /// The last position that was handed to the shards.
    handed: u64,
    /// Batches that are being joined.
    joining: Option<Joining>,
    /// Used again each time.
    placed: Vec<Placed>,
    /// Emitted events that are not in the log yet, with the position that caused them.
    emitted: VecDeque<(u64, BatchBuilder)>,
    /// The log could not be written: when to try again.
    retry: Option<Instant>,
    /// Acks that wait for their position to be synced.
    unsynced: VecDeque<(u64, Ack)>,
    /// Effects that must not leave before their position is synced.
    withheld: VecDeque<Merged>,
    /// Failed syncs that have been answered for.
    sync_failures: u64,
    /// Why nothing more is taken in, and why nothing more that must be synced.
    late: (Option<String>, Option<String>),
    /// Up to here the log holds what was emitted: a replay does not append it again.
    emitted_in_log: u64,
    /// Positions that a replay has handed over and not heard of yet.
    unheard: u64,
    replaying: bool,
    stopping: bool,
    checkpoints: Option<Checkpoints>,
    /// Whoever rebuilds what faults cost rules.
    rebuilder: Option<Orders>,
    /// Rules that wait for that; the first is at work if `rebuilding` says so.
    absent: VecDeque<Absent>,
    rebuilding: bool,
    /// Events that have broken rules of late, by shard: rule, position and row.
    poisons: VecDeque<(Arc<str>, u64, u32)>,
}

/// When checkpoints are made, and which one waits for what.
struct Checkpoints {
    jobs: Jobs,
    every: Span,
    /// When the next is due.
    at: Timestamp,
    /// The position of the last that was begun.
    last: u64,
    /// One that counts as soon as what follows from its position is in the log.
    waiting: Option<(u64, Commit)>,
}

/// The way to a shard.
pub struct Way {
    /// Its ring, with [`RING`] places.
    pub ring: Feed<Handed>,
    /// How far it has got.
    pub progress: Arc<Progress>,
}

/// Whoever brought events, to be told what became of them.
struct Bringer {
    ack: Option<Ack>,
    input: Arc<InputStats>,
    events: u64,
}

impl Bringer {
    fn of(append: &mut Append) -> Self {
        Self { ack: append.ack.take(), input: append.input.clone(), events: append.batch.len() as u64 }
    }

    fn refuse(self, refused: &Refused) {
        self.input.shed.add(refused.reason(), self.events);
        if let Some(ack) = self.ack {
            let _ = ack.send(Err(refused.clone()));
        }
    }
}

/// Small batches on their way to become one.
struct Joining {
    first: Batch,
    rest: Option<BatchBuilder>,
    room: OwnedSemaphorePermit,
    from: Vec<Bringer>,
}

impl Joining {
    fn new(mut append: Append) -> Self {
        let from = vec![Bringer::of(&mut append)];
        Self { first: append.batch, rest: None, room: append.room, from }
    }

    fn events(&self) -> usize {
        self.rest.as_ref().map_or(self.first.len(), BatchBuilder::len)
    }

    fn add(&mut self, mut append: Append) {
        self.from.push(Bringer::of(&mut append));
        let joined = self.rest.get_or_insert_with(|| {
            let mut joined = BatchBuilder::new();
            joined.append(&self.first);
            joined
        });
        joined.append(&append.batch);
        self.room.merge(append.room);
    }
}

/// What has been given its place and waits for the log to be written.
enum Placed {
    Batch { batch: Batch, room: OwnedSemaphorePermit, from: Vec<Bringer> },
    Emitted { origin: u64, batch: Batch },
    Tick(Batch),
    Change { position: u64, change: Change, done: oneshot::Sender<Result<u64, Refused>> },
    Rejoin { position: u64, change: Change },
    Search { matcher: Matcher, limit: usize, reply: mpsc::Sender<Found> },
    Subscribe { matcher: Matcher, snapshot: bool, updates: mpsc::Sender<Update> },
    Follow { matcher: Matcher, updates: mpsc::Sender<Update> },
    States { rule: String, key: Option<u64>, most: usize, reply: mpsc::Sender<Result<Vec<KeyReport>, Fault>> },
}

/// Everything a sequencer needs.
pub struct Parts {
    /// The way to each shard.
    pub shards: Vec<Way>,
    /// The log; none to run in memory only.
    pub log: Option<Log>,
    /// What is deployed.
    pub catalogue: Arc<Catalogue>,
    /// Where forwarded events go.
    pub outputs: Arc<Outputs>,
    /// Counters.
    pub telemetry: Arc<Telemetry>,
    /// Seed of key ids.
    pub seed: u64,
    /// Where checkpoints are made, and how long to wait in between; none to make none.
    pub checkpoints: Option<(Jobs, Span)>,
    /// Whoever rebuilds what faults cost rules.
    pub rebuilder: Option<Orders>,
}

impl Sequencer {
    /// A sequencer at the beginning of time.
    pub fn new(parts: Parts) -> Self {
        Self {
            shards: parts.shards,
            log: parts.log,
            catalogue: parts.catalogue,
            outputs: parts.outputs,
            telemetry: parts.telemetry,
            seed: parts.seed,
            position: 0,
            now: Timestamp(0),
            handed: 0,
            joining: None,
            placed: Vec::new(),
            emitted: VecDeque::new(),
            retry: None,
            unsynced: VecDeque::new(),
            withheld: VecDeque::new(),
            sync_failures: 0,
            late: (None, None),
            emitted_in_log: 0,
            unheard: 0,
            replaying: false,
            stopping: false,
            checkpoints: parts.checkpoints.map(|(jobs, every)| Checkpoints {
                jobs,
                every,
                at: clock::now() + every,
                last: 0,
                waiting: None,
            }),
            rebuilder: parts.rebuilder,
            absent: VecDeque::new(),
            rebuilding: false,
            poisons: VecDeque::new(),
        }
    }

    /// Has a checkpoint made of what was handed over so far, when it is time.
    fn checkpoint(&mut self) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        if self.stopping
            // What they remember is nowhere but in the log.
            || !self.absent.is_empty()
            || self.handed <= checkpoints.last
            || clock::now() < checkpoints.at
            || !checkpoints.jobs.is_free()
        {
            return;
        }
        checkpoints.at = clock::now() + checkpoints.every;
        let (position, now) = (self.handed + u64::from(planted("checkpoint-too-high")), self.now.0);
        let rules = self.catalogue.standing();
        let head = Head { position, now, base: None, shards: self.shards.len(), rules };
        if let Some(job) = checkpoints.jobs.begin(head) {
            checkpoints.last = position;
            self.hand(|| Handed::Mark(job.clone()));
        }
    }

    /// Says so when everything that follows from the position of a checkpoint is in the log, and with the outputs.
    fn settle(&mut self) {
        let emitted = self.emitted.front().map(|(origin, _)| *origin);
        let withheld = self.withheld.front().map(|merged| merged.position);
        let pending = emitted.into_iter().chain(withheld).min();
        if let Some(checkpoints) = &mut self.checkpoints
            && let Some((_, commit)) =
                checkpoints.waiting.take_if(|(position, _)| pending.is_none_or(|at| at > *position))
        {
            // The checkpointer may have gone.
            let _ = commit.send(());
        }
    }

    /// Whether all shards are done with everything that they were handed.
    fn is_idle(&self) -> bool {
        self.shards.iter().all(|way| way.progress.position() >= self.handed)
    }

    /// Whether a shard has so much before it that it should not get more.
    fn is_held(&self) -> bool {
        self.shards.iter().any(|way| way.ring.waiting() > RING / 2)
    }

    fn place(&mut self) -> (u64, Timestamp) {
        self.position += 1;
        self.now = self.now.max(clock::now());
        (self.position, self.now)
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Append(mut append) => {
                let level = append.input.level;
                let late = if level == Level::Synced { &self.late.1 } else { &self.late.0 };
                if let Some(late) = late {
                    let refused = Refused::Log(late.clone());
                    Bringer::of(&mut append).refuse(&refused);
                    return;
                }
                // Accepted means taken in; while the log cannot be written that would be too much to say.
                if (level <= Level::Accepted || planted("ack-before-write"))
                    && self.retry.is_none()
                    && let Some(ack) = append.ack.take()
                {
                    let _ = ack.send(Ok(Accepted { position: None }));
                }
                self.take_batch(append);
            }
            Request::Change { control, done } => {
                self.place_joined();
                let (position, now) = self.place();
                let change = Change { now: now.0, control };
                let logged = self.log.as_mut().map_or(Ok(()), |log| log.change(position, &change));
                match logged {
                    Ok(()) => self.placed.push(Placed::Change { position, change, done }),
                    Err(error) => {
                        self.position -= 1;
                        drop(done.send(Err(Refused::Log(error))));
                    }
                }
            }
            Request::Search { matcher, limit, reply } => {
                self.place_joined();
                self.placed.push(Placed::Search { matcher, limit, reply });
            }
            Request::Subscribe { matcher, snapshot, updates } => {
                self.place_joined();
                self.placed.push(Placed::Subscribe { matcher, snapshot, updates });
            }
            Request::Follow { matcher, updates } => {
                self.place_joined();
                self.placed.push(Placed::Follow { matcher, updates });
            }
            Request::Passed { position, steps, done } => self.passed(position, &steps, done),
            Request::Written { position, answer } => {
                if let Some(checkpoints) = &mut self.checkpoints {
                    checkpoints.waiting = Some((position, answer));
                }
            }
            Request::States { rule, key, most, reply } => {
                self.place_joined();
                self.placed.push(Placed::States { rule, key, most, reply });
            }
            Request::Rejoin => self.place_rejoin(),
            Request::Stop => {
                self.stopping = true;
                self.rebuilder.iter().for_each(Orders::stop);
            }
        }
    }

    /// A large batch gets a position of its own; small ones that come together share one. A lone event waits for nobody.
    fn take_batch(&mut self, append: Append) {
        match &mut self.joining {
            Some(joining)
                if append.batch.len() < SMALL && joining.events() + append.batch.len() <= JOINED =>
            {
                joining.add(append);
            }
            _ => {
                self.place_joined();
                let small = append.batch.len() < SMALL;
                self.joining = Some(Joining::new(append));
                if !small {
                    self.place_joined();
                }
            }
        }
    }

    fn place_joined(&mut self) {
        let Some(Joining { first, rest, room, from }) = self.joining.take() else { return };
        let mut batch = rest.map_or(first, BatchBuilder::finish);
        (batch.header.position, batch.header.now) = self.place();
        if let Some(log) = &mut self.log {
            log.batch(&batch);
        }
        self.placed.push(Placed::Batch { batch, room, from });
    }

    /// What rules emitted becomes records of its own.
    fn place_emitted(&mut self) {
        if self.retry.is_some_and(|at| clock::start() < at) {
            return;
        }
        while let Some((origin, mut events)) = self.emitted.pop_front() {
            let (position, now) = self.place();
            events.stamp(self.seed, now);
            let mut batch = events.finish();
            (batch.header.position, batch.header.now) = (position, now);
            if let Some(log) = &mut self.log {
                log.emitted(origin, &batch);
            }
            self.placed.push(Placed::Emitted { origin, batch });
        }
    }

    /// Time moves by itself when something is due and nothing else moves it.
    fn place_tick(&mut self) {
        let moving = |placed: &Placed| matches!(placed, Placed::Batch { .. } | Placed::Emitted { .. });
        // A log that could not be written is tried with a tick, so that a full disk is left behind even if nothing comes.
        let tries = self.retry.is_some_and(|at| clock::start() >= at);
        let is_due = tries || (self.is_idle() && clock::now() >= self.next_due());
        if self.stopping || self.placed.iter().any(moving) || !is_due {
            return;
        }
        let (position, now) = self.place();
        if let Some(log) = &mut self.log {
            log.time(position, now);
        }
        self.placed.push(Placed::Tick(self.tick_batch(position)));
    }

    /// When something is due, but not right after time has moved.
    fn next_due(&self) -> Timestamp {
        let due = self.shards.iter().map(|way| way.progress.next_due()).min().unwrap_or(Timestamp::NEVER);
        due.max(self.now + TICK)
    }

    fn tick_batch(&self, position: u64) -> Batch {
        let mut batch = Batch::default();
        batch.header = Header { fields: FieldSet::ALL, position, now: self.now, replayed: false };
        batch
    }

    /// Writes what was placed to the log, then acks, then hands it to the shards. If the log cannot be written nothing
    /// of it has happened.
    fn carry_out(&mut self, start: u64) {
        if self.placed.is_empty() {
            return;
        }
        let mut placed = std::mem::take(&mut self.placed);
        let catalogue = &self.catalogue;
        let written = self.log.as_mut().map_or(Ok(()), |log| log.write(|| catalogue.standing()));
        if let Err(error) = written {
            if self.retry.is_none() {
                tracing::error!(%error, "the log cannot be written: refusing events until it can");
            }
            self.position = start;
            self.retry = Some(clock::start() + RETRY);
            let refused = Refused::Log(error.to_string());
            for placed in placed.drain(..).rev() {
                self.refuse(placed, &refused);
            }
            self.placed = placed;
            return;
        }
        self.retry = None;
        for placed in placed.drain(..) {
            match placed {
                Placed::Batch { batch, room, from } => {
                    let position = batch.header.position;
                    for Bringer { ack, input, events } in from {
                        input.accepted.add(events);
                        match ack {
                            // Each at its own level, whoever shares the batch.
                            Some(ack) if input.level == Level::Synced && !planted("ack-before-sync") => {
                                self.unsynced.push_back((position, ack))
                            }
                            Some(ack) => drop(ack.send(Ok(Accepted { position: Some(position) }))),
                            None => {}
                        }
                    }
                    self.hand_batch(batch, Some(room));
                }
                Placed::Emitted { origin, batch } => {
                    self.emitted_in_log = origin;
                    self.hand_batch(batch, None);
                }
                Placed::Tick(batch) => self.hand_batch(batch, None),
                Placed::Change { position, change, done } => {
                    let now = Timestamp(change.now);
                    self.catalogue.change(&change.control, position, now);
                    self.hand_control(position, now, change.control, Some(done));
                }
                Placed::Rejoin { position, change } => self.rejoin(position, Timestamp(change.now)),
                Placed::Search { matcher, limit, reply } => self.hand_search(&matcher, limit, &reply),
                Placed::Subscribe { matcher, snapshot, updates } => {
                    self.hand_subscriber(&matcher, snapshot, &updates);
                }
                Placed::Follow { matcher, updates } => self.hand_follower(&matcher, &updates),
                Placed::States { rule, key, most, reply } => self.hand_states(&rule, key, most, &reply),
            }
        }
        self.placed = placed;
    }

    fn refuse(&mut self, placed: Placed, refused: &Refused) {
        match placed {
            Placed::Batch { from, .. } => from.into_iter().for_each(|bringer| bringer.refuse(refused)),
            Placed::Change { done, .. } => drop(done.send(Err(refused.clone()))),
            Placed::Emitted { origin, batch } => {
                let mut events = BatchBuilder::new();
                events.append(&batch);
                self.emitted.push_front((origin, events));
            }
            // Questions need no log.
            Placed::Search { matcher, limit, reply } => self.hand_search(&matcher, limit, &reply),
            Placed::Subscribe { matcher, snapshot, updates } => {
                self.hand_subscriber(&matcher, snapshot, &updates);
            }
            Placed::Follow { matcher, updates } => self.hand_follower(&matcher, &updates),
            Placed::States { rule, key, most, reply } => self.hand_states(&rule, key, most, &reply),
            Placed::Rejoin { .. } => self.rebuilder.iter().for_each(Orders::wait),
            Placed::Tick(_) => {}
        }
    }

    fn hand_states(
        &mut self,
        rule: &str,
        key: Option<u64>,
        most: usize,
        reply: &mpsc::Sender<Result<Vec<KeyReport>, Fault>>,
    ) {
        self.hand(|| Handed::States { rule: rule.to_owned(), key, most, reply: reply.clone() });
    }

    fn hand_search(&mut self, matcher: &Matcher, limit: usize, reply: &mpsc::Sender<Found>) {
        self.hand(|| Handed::Search { matcher: matcher.clone(), limit, reply: reply.clone() });
    }

    fn hand_subscriber(&mut self, matcher: &Matcher, snapshot: bool, updates: &mpsc::Sender<Update>) {
        let left = snapshot.then(|| Arc::new(AtomicUsize::new(self.shards.len())));
        self.hand(|| Handed::Subscribe {
            matcher: matcher.clone(),
            snapshot: left.clone(),
            updates: updates.clone(),
        });
    }

    fn hand_follower(&mut self, matcher: &Matcher, updates: &mpsc::Sender<Update>) {
        self.hand(|| Handed::Follow { matcher: matcher.clone(), updates: updates.clone() });
    }

    fn hand(&mut self, make: impl Fn() -> Handed) {
        for (number, way) in self.shards.iter_mut().enumerate() {
            if way.ring.put(make()).is_err() {
                tracing::error!(shard = number, "a shard has ended: the node cannot go on");
            }
        }
    }

    fn hand_batch(&mut self, batch: Batch, room: Option<OwnedSemaphorePermit>) {
        self.telemetry.events.add(batch.len() as u64);
        self.handing(batch.header.position);
        let passage = Arc::new(Passage::new(batch, self.shards.len(), self.replaying, room));
        self.hand(|| Handed::Batch(passage.clone()));
    }

    fn hand_control(
        &mut self,
        position: u64,
        now: Timestamp,
        control: Control,
        done: Option<oneshot::Sender<Result<u64, Refused>>>,
    ) {
        self.handing(position);
        let passage = Passage::new(Batch::default(), self.shards.len(), self.replaying, None).answering(done);
        let (passage, control) = (Arc::new(passage), Arc::new(control));
        let make = || Handed::Control { position, now, control: control.clone(), passage: passage.clone() };
        self.hand(make);
    }

    fn handing(&mut self, position: u64) {
        self.handed = position;
        self.unheard += u64::from(self.replaying);
        self.telemetry.position.set(position as i64);
    }

    /// All shards are done with a position. Shards take positions in order, so we hear of them in order too.
    fn passed(&mut self, position: u64, steps: &[Step], done: Option<oneshot::Sender<Result<u64, Refused>>>) {
        steps.iter().for_each(|step| self.catalogue.troubled(step.position, &step.troubled));
        steps.iter().for_each(|step| self.lose(step));
        self.catalogue.bury(position, steps, self.outputs.letters());
        let mut merged = merge(steps);
        self.catalogue.compared(&merged.compared);
        // A replay emits again what the log may hold already, further on.
        if let Some(emitted) = merged.emitted.take().filter(|_| position > self.emitted_in_log) {
            self.emitted.push_back((position, emitted));
        }
        if self.log.as_ref().is_some_and(Log::syncs) && !self.replaying {
            self.withheld.push_back(merged);
            self.tend();
        } else {
            self.deliver(merged);
        }
        if let Some(done) = done {
            let _ = done.send(Ok(position));
        }
    }

    /// Releases what waited for a position to be synced, and refuses what waited for a sync that failed.
    fn tend(&mut self) {
        let Some(log) = &mut self.log else { return };
        let catalogue = &self.catalogue;
        let Some(Tended { synced, failures }) = log.tend(|| catalogue.standing()) else { return };
        self.late = log.late();
        while let Some((position, ack)) = self.unsynced.pop_front_if(|(position, _)| *position <= synced) {
            let _ = ack.send(Ok(Accepted { position: Some(position) }));
        }
        if failures > self.sync_failures {
            self.sync_failures = failures;
            let reason = "it could not be synced: the events may be kept or not, send them again";
            for (_, ack) in self.unsynced.drain(..) {
                let _ = ack.send(Err(Refused::Log(reason.into())));
            }
        }
        // What leaves must not be taken back by a power cut.
        while let Some(merged) = self.withheld.pop_front_if(|merged| merged.position <= synced) {
            self.deliver(merged);
        }
    }

    /// Hands forwarded events to the outputs, and lines of rules to whoever reads them. What a replay forwards again goes to
    /// the outputs as such: they know what they have seen.
    fn deliver(&self, merged: Merged) {
        for forwarded in merged.forwarded {
            let delivery = Delivery {
                rule: forwarded.rule,
                declared: forwarded.declared,
                position: merged.position,
                n: forwarded.n,
                batch: forwarded.batch,
            };
            if self.replaying {
                self.outputs.replay(&forwarded.output, delivery);
                continue;
            }
            let rule = delivery.rule.clone();
            if !self.outputs.forward(&forwarded.output, delivery) {
                self.telemetry.rule(&rule).cut.add("unknown_output", 1);
            }
        }
        for line in merged.logged.iter().filter(|_| !self.replaying) {
            self.catalogue.line(line, merged.position, merged.now);
        }
    }
}

impl Sequence for Sequencer {
    fn work(&mut self, waiting: &Receiver<Request>, tick: bool) -> Worked {
        self.tend();
        if self.is_held() {
            return Worked::Held;
        }
        let start = self.position;
        for _ in 0..TOGETHER {
            if self.log.as_ref().is_some_and(|log| log.gathered() > WRITE) {
                break;
            }
            let Ok(request) = waiting.try_recv() else { break };
            self.take(request);
        }
        self.place_joined();
        self.place_emitted();
        if tick {
            self.place_tick();
        }
        self.carry_out(start);
        self.settle();
        if tick {
            self.checkpoint();
        }
        Worked::Done
    }

    fn due(&self) -> Timestamp {
        let now = clock::now();
        let soon = now + TICK;
        if self.stopping {
            return soon;
        }
        let probe = self.log.as_ref().and_then(Log::probe_at);
        let tries = [self.retry, probe].into_iter().flatten().min();
        let tries = tries.map_or(Timestamp::NEVER, |at| {
            now + Span(at.saturating_duration_since(clock::start()).as_micros() as i64)
        });
        let checkpoint = self.checkpoints.as_ref().filter(|it| self.handed > it.last && it.jobs.is_free());
        let checkpoint = checkpoint.map_or(Timestamp::NEVER, |checkpoints| checkpoints.at.max(soon));
        // What the shards have before them may move what is due, so it is looked at again in a moment.
        let due = if self.is_idle() { self.next_due() } else { self.next_due().max(soon) };
        due.min(tries).min(checkpoint)
    }

    fn has_finished(&mut self, waiting: &Receiver<Request>) -> bool {
        // A disk that fails now must not keep the node from stopping: what waits for it is refused, and done again by the
        // replay of the next start.
        let fails = self.retry.is_some() || self.log.as_ref().is_some_and(|log| log.probe_at().is_some());
        let done = self.emitted.is_empty() && self.unsynced.is_empty() && self.withheld.is_empty();
        let finished = self.stopping && self.is_idle() && waiting.is_empty() && (done || fails);
        if finished {
            self.hand(|| Handed::Stop);
        }
        finished
    }
}
