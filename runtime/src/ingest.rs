//! The one door into the node: events go in, searches and subscriptions are asked for. Inputs, the HTTP interface and
//! tests hold an [`Ingest`]; behind it stands the sequencer.
//!
//! Room is counted in bytes: whoever brings a batch takes so many permits, and they come back when every shard is done
//! with it. That one mechanism bounds every queue behind this door and carries back-pressure to the sockets.

mod desk;
mod passage;
mod ring;

pub use desk::{Desk, Sequence, Worked};
pub use passage::{Passage, Progress};
pub use ring::{Drain, Feed, Gone, ring};

use crate::clock;
use crate::telemetry::{InputStats, Level};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tidegate_engine::guest::Fault;
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::Control;
use tidegate_engine::shard::{KeyReport, Step};
use tidegate_event::{Batch, BatchBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// One permit stands for this many bytes.
const GRAIN: usize = 1024;

/// A batch is not larger than this, whatever the room: it becomes one record of the log.
const LARGEST: usize = 255 << 20;

/// A batch on its way to the sequencer.
#[derive(Debug)]
pub struct Append {
    /// The events, stamped.
    pub batch: Batch,
    /// The room it takes, given back when all shards are done with it.
    pub room: OwnedSemaphorePermit,
    /// Told when the batch has come as far as its input's level says.
    pub ack: Option<Ack>,
    /// Whose it is.
    pub input: Arc<InputStats>,
}

/// The events are where the level of their input says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Where they stand in the log; nobody knows yet at the levels below `logged`.
    pub position: Option<u64>,
}

/// Nothing was accepted, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More is waiting than may wait.
    #[error("overloaded: no room for {bytes} more bytes; send again later, or raise engine.in_flight")]
    Overloaded {
        /// How much room was asked for.
        bytes: usize,
    },
    /// The batch alone is larger than all room there is.
    #[error(
        "a batch of {bytes} bytes is larger than may be on its way ({limit} bytes): send smaller messages"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What may be: all room there is (`engine.in_flight`), and what a record of the log can hold.
        limit: usize,
    },
    /// The log cannot be written.
    #[error("the log cannot be written: {0}")]
    Log(String),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

impl Refused {
    /// A short word for counters.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Overloaded { .. } => "overloaded",
            Self::TooLarge { .. } => "too_large",
            Self::Log(_) => "log",
            Self::Stopping => "stopping",
        }
    }
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    /// The matching events, a batch for each slice of a shard.
    pub batches: Vec<Batch>,
    /// Whether there are more than the limit.
    pub truncated: bool,
}

impl Found {
    /// All events.
    pub fn events(&self) -> impl Iterator<Item = tidegate_event::Event<'_>> {
        self.batches.iter().flat_map(Batch::events)
    }
}

/// What a subscriber receives, in order.
#[derive(Clone, Debug)]
pub enum Update {
    /// A slice of what the index held; `last` when this shard has no more.
    Snapshot {
        /// The events.
        batch: Arc<Batch>,
        /// Whether it is the last slice of all shards.
        last: bool,
    },
    /// Events that have just entered the index, or left it (state `expired`). The batch has their position, and the slot of
    /// each is its row there; [`NO_ROW`] for those that the index made.
    Events(Arc<Batch>),
    /// So many events were missed here because the subscriber read too slowly.
    Skipped(u64),
}

/// A standing question. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    /// The answers.
    pub updates: mpsc::Receiver<Update>,
}

/// The slot of an event that was no row of its position: the index made it when a stream had run out.
pub const NO_ROW: u32 = u32::MAX;

/// The slot of an event of which a follower hears because its stream no longer matches.
pub const LEFT: u32 = u32::MAX - 1;

/// How many updates may wait for a slow subscriber.
pub const SUBSCRIBER_QUEUE: usize = 1024;

/// What the sequencer is told to do.
#[derive(Debug)]
pub enum Request {
    /// Log these events and hand them to the shards.
    Append(Append),
    /// Ask all shards; each answers once, in its turn behind what was appended before.
    Search {
        /// What to look for.
        matcher: Matcher,
        /// How many at most from each shard.
        limit: usize,
        /// The answer of each shard.
        reply: mpsc::Sender<Found>,
    },
    /// Log this change to the set of rules and carry it out on every shard at its position.
    Change {
        /// The change.
        control: Control,
        /// Told the position when every shard has carried it out.
        done: oneshot::Sender<Result<u64, Refused>>,
    },
    /// All shards are done with a position.
    Passed {
        /// Which.
        position: u64,
        /// The steps in which something came of it.
        steps: Vec<Step>,
        /// Who waits for that.
        done: Option<oneshot::Sender<Result<u64, Refused>>>,
    },
    /// Answer when everything that follows from a position and those before it has been written.
    Written {
        /// Which.
        position: u64,
        /// Told then.
        answer: oneshot::Sender<()>,
    },
    /// Ask all shards what the keys of a rule remember; each answers once, behind what was appended before.
    States {
        /// The rule.
        rule: String,
        /// The one key to tell of; of any key otherwise.
        key: Option<u64>,
        /// How many keys each shard tells of at most.
        most: usize,
        /// The answer of each shard.
        reply: mpsc::Sender<Result<Vec<KeyReport>, Fault>>,
    },
    /// What a rule lost has been rebuilt up to the end of the log: it can have it back.
    Rejoin,
    /// Finish what was begun and end.
    Stop,
    /// Answer from now on.
    Subscribe {
        /// What to look for.
        matcher: Matcher,
        /// Whether to begin with what the index holds.
        snapshot: bool,
        /// Where the answers go.
        updates: mpsc::Sender<Update>,
    },
    /// Answer from now on, several times a second, with the latest of each stream that has changed.
    Follow {
        /// What to look for.
        matcher: Matcher,
        /// Where the answers go.
        updates: mpsc::Sender<Update>,
    },
}

/// The door.
#[derive(Clone, Debug)]
pub struct Ingest {
    desk: Arc<Desk>,
    room: Arc<Semaphore>,
    limit: usize,
    seed: u64,
    shards: usize,
    stopping: Arc<AtomicBool>,
}

impl Ingest {
    /// A door before a desk, with room for `limit` bytes.
    pub fn new(desk: Arc<Desk>, limit: usize, seed: u64, shards: usize) -> Self {
        let room = Arc::new(Semaphore::new(limit.div_ceil(GRAIN)));
        Self { desk, room, limit, seed, shards, stopping: Arc::default() }
    }

    /// The seed of stream keys in this data directory.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How much waits to be taken by the sequencer: batches, questions, reports of shards.
    pub fn waiting(&self) -> usize {
        self.desk.waiting()
    }

    /// Bytes on their way, and how many there may be.
    pub fn in_flight(&self) -> (usize, usize) {
        let room = self.limit.div_ceil(GRAIN);
        (room.saturating_sub(self.room.available_permits()) * GRAIN, room * GRAIN)
    }

    /// From now on nothing is accepted.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
        self.room.close();
    }

    fn permits(&self, bytes: usize) -> Result<u32, Refused> {
        if self.stopping.load(Relaxed) {
            return Err(Refused::Stopping);
        }
        let limit = self.limit.min(LARGEST);
        if bytes > limit {
            return Err(Refused::TooLarge { bytes, limit });
        }
        Ok(bytes.div_ceil(GRAIN).max(1) as u32)
    }

    fn refuse(input: &InputStats, events: usize, refused: Refused) -> Refused {
        match refused {
            Refused::TooLarge { .. } => input.rejected.add(refused.reason(), events as u64),
            _ => input.shed.add(refused.reason(), events as u64),
        }
        refused
    }

    fn send(
        &self,
        mut events: BatchBuilder,
        room: OwnedSemaphorePermit,
        ack: Option<Ack>,
        input: &Arc<InputStats>,
    ) {
        events.stamp(self.seed, clock::now());
        let batch = events.finish();
        self.desk.submit(Request::Append(Append { batch, room, ack, input: input.clone() }));
    }

    /// Brings events and waits for room, not for the log: the receiver that comes back tells when they have come as far as
    /// the level of the input says. At level `none` they do not wait for room either: if there is none, they are refused.
    /// Events are counted as received here, and as accepted, rejected or shed wherever that is decided. Batches brought by
    /// one task one after the other are logged in that order.
    pub async fn append(
        &self,
        input: &Arc<InputStats>,
        events: BatchBuilder,
    ) -> Result<oneshot::Receiver<Result<Accepted, Refused>>, Refused> {
        if input.level == Level::None {
            self.offer(input, events)?;
            let (ack, acked) = oneshot::channel();
            let _ = ack.send(Ok(Accepted { position: None }));
            return Ok(acked);
        }
        let count = events.len();
        input.received.add(count as u64);
        let permits = self.permits(events.size()).map_err(|refused| Self::refuse(input, count, refused))?;
        let mut waiting = Waiting { input, events: count };
        let room = self.room.clone().acquire_many_owned(permits).await;
        waiting.events = 0;
        let room = room.map_err(|_| Self::refuse(input, count, Refused::Stopping))?;
        let (ack, acked) = oneshot::channel();
        self.send(events, room, Some(ack), input);
        Ok(acked)
    }

    /// Brings events and waits for nothing: where nobody waits for an answer, what finds no room is dropped and counted.
    pub fn offer(&self, input: &Arc<InputStats>, events: BatchBuilder) -> Result<(), Refused> {
        let (count, bytes) = (events.len(), events.size());
        input.received.add(count as u64);
        let permits = self.permits(bytes).map_err(|refused| Self::refuse(input, count, refused))?;
        let room = self.room.clone().try_acquire_many_owned(permits);
        let room = room.map_err(|_| Self::refuse(input, count, Refused::Overloaded { bytes }))?;
        self.send(events, room, None, input);
        Ok(())
    }

    /// Searches the index. The search stands in line behind everything that was appended before it was asked, so whoever
    /// has an ack finds what was acked.
    pub async fn search(&self, matcher: &Matcher, limit: usize) -> Result<Found, Refused> {
        let (reply, mut answers) = mpsc::channel(self.shards);
        let request = Request::Search { matcher: matcher.clone(), limit, reply };
        self.desk.submit(request);
        let mut all = Found::default();
        let mut left = limit;
        let mut shards = 0;
        while let Some(found) = answers.recv().await {
            shards += 1;
            all.truncated |= found.truncated;
            for batch in found.batches {
                if batch.len() > left {
                    all.truncated = true;
                    all.batches.push(batch.first(left));
                    left = 0;
                } else {
                    left -= batch.len();
                    all.batches.push(batch);
                }
            }
        }
        if shards == self.shards { Ok(all) } else { Err(Refused::Stopping) }
    }

    /// Changes the set of rules. Answers when every shard has carried the change out, with its position.
    pub async fn change(&self, control: Control) -> Result<u64, Refused> {
        let (done, answer) = oneshot::channel();
        self.desk.submit(Request::Change { control, done });
        answer.await.map_err(|_| Refused::Stopping)?
    }

    /// What the keys of a rule remember, of all shards: of one key, or of up to so many of each shard. A guest that does
    /// not give it is an error.
    pub async fn states(
        &self,
        rule: &str,
        key: Option<u64>,
        most: usize,
    ) -> Result<Result<Vec<KeyReport>, Fault>, Refused> {
        let (reply, mut answers) = mpsc::channel(self.shards);
        self.desk.submit(Request::States { rule: rule.to_owned(), key, most, reply });
        let (mut all, mut shards) = (Vec::new(), 0);
        while let Some(answer) = answers.recv().await {
            shards += 1;
            match answer {
                Ok(keys) => all.extend(keys),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        if shards == self.shards { Ok(Ok(all)) } else { Err(Refused::Stopping) }
    }

    /// Asks a standing question. What the index holds comes first when `snapshot` is set, and nothing is missed in between.
    pub fn subscribe(&self, matcher: &Matcher, snapshot: bool) -> Result<Subscription, Refused> {
        let (updates, receiver) = mpsc::channel(SUBSCRIBER_QUEUE);
        let request = Request::Subscribe { matcher: matcher.clone(), snapshot, updates };
        self.desk.submit(request);
        Ok(Subscription { updates: receiver })
    }
}

impl Ingest {
    /// Asks to be told several times a second of the latest of each stream that has changed since: what that costs follows
    /// the number of streams and not that of events. Events that find no room in the index are told as they come. That a
    /// stream no longer matches is told once, by an event of slot [`LEFT`]; so is that one that never did has changed.
    pub fn follow(&self, matcher: &Matcher) -> Result<Subscription, Refused> {
        let (updates, receiver) = mpsc::channel(SUBSCRIBER_QUEUE);
        self.desk.submit(Request::Follow { matcher: matcher.clone(), updates });
        Ok(Subscription { updates: receiver })
    }
}

/// Events whose sender waits for room. One that gives up, or hangs up, leaves them shed and the books balanced.
struct Waiting<'a> {
    input: &'a InputStats,
    events: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.events > 0 {
            self.input.shed.add("gave_up", self.events as u64);
        }
    }
}

/// Tells whoever brought a batch what became of it.
pub type Ack = oneshot::Sender<Result<Accepted, Refused>>;
