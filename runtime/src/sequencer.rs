//! The one thread that gives everything its place: positions, times, the log, acks, and the way to the shards and back.
//!
//! Whatever has arrived is taken together: each batch gets a position and a time, all are written to the log in one go,
//! then acked, then handed to every shard in that order. When all shards are done with a position their steps are merged:
//! what rules forward goes to the outputs, what they emit goes back to the start of this paragraph as a record of its own.
//!
//! Nothing here waits for a shard, so nothing can wait in a circle. What is on its way is bounded by the room that inputs
//! take at the door; a position causes at most one further position, so emitted events cannot pile up either.

use crate::catalogue::Catalogue;
use crate::clock;
use crate::ingest::{Accepted, Ack, Append, Found, Refused, Request, Update};
use crate::log::{Change, Log, Record};
use crate::output::{Delivery, Outputs};
use crate::shard_thread::Handed;
use crate::telemetry::Telemetry;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::Control;
use tidegate_engine::shard::{Merged, Step, merge};
use tidegate_event::{Batch, BatchBuilder, FieldSet, Header, Span, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Requests taken together at most.
const TOGETHER: usize = 1024;
/// Bytes gathered for one write to the log at most.
const WRITE: usize = 1 << 20;
/// Positions on their way to the shards while the log is read at start.
const REPLAY_WINDOW: usize = 256;
/// Time moves by itself no more often than this, so that a rule that always wants to be woken cannot fill the log.
const TICK: Span = Span::millis(1);
/// How long to wait before emitted events are tried again when the log could not be written.
const RETRY: Duration = Duration::from_millis(100);

/// The sequencer.
pub struct Sequencer {
    requests: Receiver<Request>,
    shards: Vec<Sender<Handed>>,
    log: Option<Log>,
    catalogue: Arc<Catalogue>,
    outputs: Arc<Outputs>,
    telemetry: Arc<Telemetry>,
    seed: u64,
    position: u64,
    now: Timestamp,
    on_the_way: BTreeMap<u64, OnTheWay>,
    next_due: Vec<Timestamp>,
    /// Emitted events that are not in the log yet, with the position that caused them.
    emitted: VecDeque<(u64, BatchBuilder)>,
    /// Up to here the log holds what was emitted: a replay does not append it again.
    emitted_in_log: u64,
    replaying: bool,
    stopping: bool,
}

/// A position that not all shards are done with.
#[derive(Default)]
struct OnTheWay {
    steps: Vec<Step>,
    /// Given back when the last shard is done.
    _room: Option<OwnedSemaphorePermit>,
    done: Option<oneshot::Sender<Result<u64, Refused>>>,
    tick: bool,
}

/// What has been given its place and waits for the log to be written.
enum Placed {
    Batch {
        batch: Batch,
        room: Option<OwnedSemaphorePermit>,
        from: Option<(Option<Ack>, Arc<crate::telemetry::InputStats>)>,
    },
    Emitted {
        origin: u64,
        batch: Batch,
    },
    Tick(Batch),
    Change {
        position: u64,
        change: Change,
        done: oneshot::Sender<Result<u64, Refused>>,
    },
    Search {
        matcher: Matcher,
        limit: usize,
        reply: mpsc::Sender<Found>,
    },
    Subscribe {
        matcher: Matcher,
        snapshot: bool,
        updates: mpsc::Sender<Update>,
    },
}

/// Everything a sequencer needs.
pub struct Parts {
    /// What it is told.
    pub requests: Receiver<Request>,
    /// The way to each shard.
    pub shards: Vec<Sender<Handed>>,
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
}

/// What the start found in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records read.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// The last position.
    pub position: u64,
    /// Bytes of a torn tail that were cut off.
    pub torn: u64,
    /// Bytes that could not be read.
    pub damaged: u64,
}

impl Sequencer {
    /// A sequencer at the beginning of time.
    pub fn new(parts: Parts) -> Self {
        let shards = parts.shards.len();
        Self {
            requests: parts.requests,
            shards: parts.shards,
            log: parts.log,
            catalogue: parts.catalogue,
            outputs: parts.outputs,
            telemetry: parts.telemetry,
            seed: parts.seed,
            position: 0,
            now: Timestamp(0),
            on_the_way: BTreeMap::new(),
            next_due: vec![Timestamp::NEVER; shards],
            emitted: VecDeque::new(),
            emitted_in_log: 0,
            replaying: false,
            stopping: false,
        }
    }

    /// Reads the log from its beginning through the shards: index and rules are then as they were. What rules forwarded
    /// in that time is not sent again; what they emitted is in the log, but for the very last, which is appended now.
    pub fn recover(&mut self, mut reader: crate::log::Reader) -> anyhow::Result<Recovered> {
        self.replaying = true;
        let mut recovered = Recovered::default();
        let mut started = false;
        while let Some(record) = reader.read()? {
            match record {
                Record::Catalogue(rules) if !started => {
                    for standing in rules {
                        self.catalogue.stand(&standing);
                        let control = Control::Deploy(Box::new(standing.spec));
                        self.hand_control(standing.deployed, Timestamp(standing.at), control, None);
                    }
                }
                Record::Catalogue(_) => {}
                Record::Batch(mut batch) => {
                    batch.header.replayed = true;
                    recovered.events += batch.len() as u64;
                    self.resume(batch.header.position, batch.header.now);
                    self.hand_batch(batch, OnTheWay::default());
                }
                Record::Emitted { origin, mut batch } => {
                    batch.header.replayed = true;
                    recovered.events += batch.len() as u64;
                    self.emitted_in_log = self.emitted_in_log.max(origin);
                    while self.emitted.front().is_some_and(|(caused, _)| *caused <= origin) {
                        self.emitted.pop_front();
                    }
                    self.resume(batch.header.position, batch.header.now);
                    self.hand_batch(batch, OnTheWay::default());
                }
                Record::Time(position, now) => {
                    self.resume(position, now);
                    let mut tick = self.tick_batch(position);
                    tick.header.replayed = true;
                    self.hand_batch(tick, OnTheWay::default());
                }
                Record::Change(position, change) => {
                    self.resume(position, Timestamp(change.now));
                    self.catalogue.change(&change.control, position, self.now);
                    self.hand_control(position, self.now, change.control, None);
                }
            }
            started = true;
            while self.on_the_way.len() > REPLAY_WINDOW {
                self.take_stepped();
            }
        }
        while !self.on_the_way.is_empty() {
            self.take_stepped();
        }
        self.replaying = false;
        (recovered.records, recovered.position) = (reader.records, self.position);
        (recovered.torn, recovered.damaged) = (reader.torn, reader.damaged);
        Ok(recovered)
    }

    fn resume(&mut self, position: u64, now: Timestamp) {
        self.position = self.position.max(position);
        self.now = self.now.max(now);
    }

    /// During recovery: waits for one shard to be done with one record. Nobody else asks for anything yet.
    fn take_stepped(&mut self) {
        if let Ok(Request::Stepped { shard, step, next_due }) = self.requests.recv() {
            self.stepped(shard, *step, next_due);
        }
    }

    /// Runs until told to stop, and until then what was begun is finished.
    pub fn run(mut self) {
        let mut placed = Vec::new();
        loop {
            let wait = self.wait();
            let first = match self.requests.recv_timeout(wait) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let start = self.position;
            let mut rest = TOGETHER;
            let mut next = first;
            while let Some(request) = next {
                self.take(request, &mut placed);
                rest -= 1;
                let full = rest == 0 || self.log.as_ref().is_some_and(|log| log.gathered() > WRITE);
                next = if full { None } else { self.requests.try_recv().ok() };
            }
            self.place_emitted(&mut placed);
            self.place_tick(&mut placed);
            self.carry_out(start, &mut placed);
            if self.stopping && self.on_the_way.is_empty() && self.emitted.is_empty() {
                for shard in &self.shards {
                    let _ = shard.send(Handed::Stop);
                }
                return;
            }
        }
    }

    /// How long nothing has to be done: until something is due, or emitted events are to be tried again.
    fn wait(&self) -> Duration {
        if !self.emitted.is_empty() {
            return RETRY;
        }
        let left = (self.due() - clock::now()).0.clamp(0, 3_600_000_000);
        // A tick that is on its way has yet to say when the next is due.
        if self.on_the_way.values().any(|on_the_way| on_the_way.tick) {
            RETRY
        } else {
            Duration::from_micros(left as u64)
        }
    }

    /// When something is due, but not right after time has moved.
    fn due(&self) -> Timestamp {
        let due = self.next_due.iter().min().copied().unwrap_or(Timestamp::NEVER);
        due.max(self.now + TICK)
    }

    fn place(&mut self) -> (u64, Timestamp) {
        self.position += 1;
        self.now = self.now.max(clock::now());
        (self.position, self.now)
    }

    fn take(&mut self, request: Request, placed: &mut Vec<Placed>) {
        match request {
            Request::Append(Append { mut batch, room, ack, input }) => {
                (batch.header.position, batch.header.now) = self.place();
                if let Some(log) = &mut self.log {
                    log.batch(&batch);
                }
                placed.push(Placed::Batch { batch, room: Some(room), from: Some((ack, input)) });
            }
            Request::Change { control, done } => {
                let (position, now) = self.place();
                let change = Change { now: now.0, control };
                let logged = self.log.as_mut().map_or(Ok(()), |log| log.change(position, &change));
                match logged {
                    Ok(()) => placed.push(Placed::Change { position, change, done }),
                    Err(error) => drop(done.send(Err(Refused::Log(error)))),
                }
            }
            Request::Search { matcher, limit, reply } => {
                placed.push(Placed::Search { matcher, limit, reply })
            }
            Request::Subscribe { matcher, snapshot, updates } => {
                placed.push(Placed::Subscribe { matcher, snapshot, updates });
            }
            Request::Stepped { shard, step, next_due } => self.stepped(shard, *step, next_due),
            Request::Stop => self.stopping = true,
        }
    }

    /// What rules emitted becomes records of its own.
    fn place_emitted(&mut self, placed: &mut Vec<Placed>) {
        while let Some((origin, mut events)) = self.emitted.pop_front() {
            let (position, now) = self.place();
            events.stamp(self.seed, now);
            let mut batch = events.finish();
            (batch.header.position, batch.header.now) = (position, now);
            if let Some(log) = &mut self.log {
                log.emitted(origin, &batch);
            }
            placed.push(Placed::Emitted { origin, batch });
        }
    }

    /// Time moves by itself when something is due and nothing else moves it.
    fn place_tick(&mut self, placed: &mut Vec<Placed>) {
        let due = self.due();
        let moving =
            placed.iter().any(|placed| matches!(placed, Placed::Batch { .. } | Placed::Emitted { .. }));
        if self.stopping || moving || !self.on_the_way.is_empty() || clock::now() < due {
            return;
        }
        let (position, now) = self.place();
        if let Some(log) = &mut self.log {
            log.time(position, now);
        }
        placed.push(Placed::Tick(self.tick_batch(position)));
    }

    fn tick_batch(&self, position: u64) -> Batch {
        let mut batch = Batch::default();
        batch.header = Header { fields: FieldSet::ALL, position, now: self.now, replayed: false };
        batch
    }

    /// Writes what was placed to the log, then acks, then hands it to the shards. If the log cannot be written nothing
    /// of it has happened.
    fn carry_out(&mut self, start: u64, placed: &mut Vec<Placed>) {
        if placed.is_empty() {
            return;
        }
        let catalogue = &self.catalogue;
        let written = self.log.as_mut().map_or(Ok(()), |log| log.write(|| catalogue.standing()));
        if let Err(error) = written {
            tracing::error!(%error, "the log cannot be written: refusing events until it can");
            self.position = start;
            let refused = Refused::Log(error.to_string());
            for placed in placed.drain(..).rev() {
                self.refuse(placed, &refused);
            }
            return;
        }
        for placed in placed.drain(..) {
            match placed {
                Placed::Batch { batch, room, from } => {
                    let position = batch.header.position;
                    if let Some((ack, input)) = from {
                        input.accepted.add(batch.len() as u64);
                        if let Some(ack) = ack {
                            let _ = ack.send(Ok(Accepted { position }));
                        }
                    }
                    self.hand_batch(batch, OnTheWay { _room: room, ..OnTheWay::default() });
                }
                Placed::Emitted { origin, batch } => {
                    self.emitted_in_log = origin;
                    self.hand_batch(batch, OnTheWay::default());
                }
                Placed::Tick(batch) => self.hand_batch(batch, OnTheWay { tick: true, ..OnTheWay::default() }),
                Placed::Change { position, change, done } => {
                    let now = Timestamp(change.now);
                    self.catalogue.change(&change.control, position, now);
                    self.hand_control(position, now, change.control, Some(done));
                }
                Placed::Search { matcher, limit, reply } => {
                    self.hand(|| Handed::Search { matcher: matcher.clone(), limit, reply: reply.clone() })
                }
                Placed::Subscribe { matcher, snapshot, updates } => {
                    let left = snapshot.then(|| Arc::new(AtomicUsize::new(self.shards.len())));
                    self.hand(|| Handed::Subscribe {
                        matcher: matcher.clone(),
                        snapshot: left.clone(),
                        updates: updates.clone(),
                    });
                }
            }
        }
    }

    fn refuse(&mut self, placed: Placed, refused: &Refused) {
        match placed {
            Placed::Batch { batch, from: Some((ack, input)), .. } => {
                input.shed.add(refused.reason(), batch.len() as u64);
                if let Some(ack) = ack {
                    let _ = ack.send(Err(refused.clone()));
                }
            }
            Placed::Change { done, .. } => drop(done.send(Err(refused.clone()))),
            Placed::Emitted { origin, batch } => {
                let mut events = BatchBuilder::new();
                batch.events().for_each(|event| events.copy(&event, FieldSet::ALL, |_| ()));
                self.emitted.push_front((origin, events));
            }
            // Questions need no log.
            Placed::Search { matcher, limit, reply } => {
                self.hand(|| Handed::Search { matcher: matcher.clone(), limit, reply: reply.clone() });
            }
            Placed::Subscribe { matcher, snapshot, updates } => {
                let left = snapshot.then(|| Arc::new(AtomicUsize::new(self.shards.len())));
                self.hand(|| Handed::Subscribe {
                    matcher: matcher.clone(),
                    snapshot: left.clone(),
                    updates: updates.clone(),
                });
            }
            Placed::Tick(_) | Placed::Batch { .. } => {}
        }
    }

    fn hand(&self, make: impl Fn() -> Handed) {
        for (number, shard) in self.shards.iter().enumerate() {
            if shard.send(make()).is_err() {
                tracing::error!(shard = number, "a shard has ended: the node cannot go on");
            }
        }
    }

    fn hand_batch(&mut self, batch: Batch, on_the_way: OnTheWay) {
        self.telemetry.events.add(batch.len() as u64);
        self.telemetry.position.set(batch.header.position as i64);
        self.on_the_way.insert(batch.header.position, on_the_way);
        let batch = Arc::new(batch);
        self.hand(|| Handed::Batch(batch.clone()));
    }

    fn hand_control(
        &mut self,
        position: u64,
        now: Timestamp,
        control: Control,
        done: Option<oneshot::Sender<Result<u64, Refused>>>,
    ) {
        self.telemetry.position.set(position as i64);
        self.on_the_way.insert(position, OnTheWay { done, ..OnTheWay::default() });
        let control = Arc::new(control);
        self.hand(|| Handed::Control { position, now, control: control.clone() });
    }

    /// A shard is done with a position; the last one completes it. Shards take positions in order, so positions are
    /// completed in order too.
    fn stepped(&mut self, shard: usize, step: Step, next_due: Timestamp) {
        self.next_due[shard] = next_due;
        let position = step.position;
        self.catalogue.troubled(&step.troubled);
        let Some(on_the_way) = self.on_the_way.get_mut(&position) else { return };
        on_the_way.steps.push(step);
        if on_the_way.steps.len() < self.shards.len() {
            return;
        }
        let Some(finished) = self.on_the_way.remove(&position) else { return };
        let mut merged = merge(&finished.steps);
        // A replay emits again what the log may hold already, further on.
        if let Some(emitted) = merged.emitted.take().filter(|_| position > self.emitted_in_log) {
            self.emitted.push_back((position, emitted));
        }
        if !self.replaying {
            self.deliver(merged);
        }
        if let Some(done) = finished.done {
            let _ = done.send(Ok(position));
        }
    }

    /// Hands forwarded events to the outputs, and lines of rules to whoever reads them.
    fn deliver(&self, merged: Merged) {
        for forwarded in merged.forwarded {
            let delivery = Delivery {
                rule: forwarded.rule,
                declared: forwarded.declared,
                position: merged.position,
                n: forwarded.n,
                batch: forwarded.batch,
            };
            let rule = delivery.rule.clone();
            if !self.outputs.forward(&forwarded.output, delivery) {
                self.telemetry.rule(&rule).cut.add("unknown_output", 1);
            }
        }
        for line in merged.logged {
            self.catalogue.line(&line);
        }
    }
}
