//! The checkpointer: a thread that takes slices from the shards and writes them, and the few words by which the
//! sequencer, the shards and it agree on what is being saved.

use super::CHAIN;
use super::file::{self, Head, Writing};
use crate::chaos::failpoint;
use crate::clock;
use crate::ingest::{Desk, Request};
use crate::log::LowWater;
use crate::telemetry::CheckpointStats;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tidegate_engine::save::Slice;
use tokio::sync::oneshot;

/// Slices that wait to be written.
const WAITING: usize = 64;
/// Items of a slice: saving so many takes well below a millisecond.
pub const SLICE: usize = 256;

/// What the sequencer answers when everything up to a checkpoint's position has been written.
pub type Commit = oneshot::Sender<()>;

enum Message {
    Begin(Head),
    Slice { position: u64, slice: Box<Slice> },
    Done { position: u64 },
    Failed { position: u64, shard: usize, why: String },
    Stop,
}

/// What the sequencer needs to begin checkpoints.
#[derive(Clone, Debug)]
pub struct Jobs {
    to: Sender<Message>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    busy: AtomicBool,
    /// The newest checkpoint of this process, and how many partial ones there were since the last whole one.
    last: Mutex<Option<(u64, u32)>>,
}

/// One checkpoint, as a shard sees it.
#[derive(Clone, Debug)]
pub struct Job {
    position: u64,
    all: bool,
    to: Sender<Message>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Begin(_) => "begin",
            Self::Slice { .. } => "slice",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Stop => "stop",
        })
    }
}

impl Jobs {
    /// Whether one could be begun.
    pub fn is_free(&self) -> bool {
        !self.shared.busy.load(SeqCst)
    }

    /// Begins a checkpoint of that position. The base is filled in here.
    pub fn begin(&self, mut head: Head) -> Option<Job> {
        if self.shared.busy.swap(true, SeqCst) {
            return None;
        }
        let last = *self.shared.last.lock().unwrap_or_else(PoisonError::into_inner);
        head.base = last.filter(|(_, partial)| *partial < CHAIN).map(|(position, _)| position);
        let job = Job { position: head.position, all: head.base.is_none(), to: self.to.clone() };
        if self.to.try_send(Message::Begin(head)).is_err() {
            self.shared.busy.store(false, SeqCst);
            return None;
        }
        Some(job)
    }
}

impl Job {
    /// Whether everything is to be saved.
    pub fn is_whole(&self) -> bool {
        self.all
    }

    /// The shard cannot save now.
    pub fn fail(&self, shard: usize, why: String) {
        let _ = self.to.send(Message::Failed { position: self.position, shard, why });
    }
}

/// A shard's end of a checkpoint that it is making.
#[derive(Debug)]
pub struct Slices {
    job: Job,
    /// A slice for which there was no room yet; with it, whether it is the last.
    waiting: Option<(Box<Slice>, bool)>,
}

impl Slices {
    /// For a checkpoint.
    pub fn new(job: Job) -> Self {
        Self { job, waiting: None }
    }

    /// Brings the next slice, unless the one before still waits. Returns whether there is more to do.
    pub fn bring(&mut self, shard: usize, next: impl FnOnce(usize) -> Result<(Slice, bool), String>) -> bool {
        let (slice, last) = match self.waiting.take() {
            Some(waiting) => waiting,
            None => match next(SLICE) {
                Ok((slice, last)) => (Box::new(slice), last),
                Err(why) => {
                    self.job.fail(shard, why);
                    return false;
                }
            },
        };
        let position = self.job.position;
        match self.job.to.try_send(Message::Slice { position, slice }) {
            Err(TrySendError::Full(Message::Slice { slice, .. })) => {
                self.waiting = Some((slice, last));
                return true;
            }
            Err(_) => return false,
            Ok(()) => {}
        }
        if last {
            let _ = self.job.to.send(Message::Done { position });
        }
        !last
    }

    /// Whether the checkpointer has to make room first.
    pub fn is_held(&self) -> bool {
        self.waiting.is_some()
    }
}

/// The checkpointer. Dropped, it finishes what it can and ends.
#[derive(Debug)]
pub struct Checkpointer {
    to: Sender<Message>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// What must hold besides the file being whole, before a checkpoint counts.
pub type Settle = Box<dyn Fn(u64) -> Result<(), String> + Send>;

struct Keeper {
    folder: PathBuf,
    shards: usize,
    desk: Arc<Desk>,
    stats: Arc<CheckpointStats>,
    shared: Arc<Shared>,
    settle: Settle,
    low_water: LowWater,
    making: Option<Making>,
}

struct Making {
    head: Head,
    file: Writing,
    done: usize,
    started: std::time::Instant,
}

impl Checkpointer {
    /// Starts the thread. `settle` makes sure that what else a checkpoint relies on is on the disk; `low_water` is told
    /// which part of the log a start would read.
    pub fn start(
        folder: &Path,
        shards: usize,
        desk: Arc<Desk>,
        stats: Arc<CheckpointStats>,
        settle: Settle,
        low_water: LowWater,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (to, messages) = crossbeam_channel::bounded(WAITING);
        let shared = Arc::new(Shared::default());
        let folder = folder.to_owned();
        let shared_with = shared.clone();
        let mut keeper =
            Keeper { folder, shards, desk, stats, shared: shared_with, settle, low_water, making: None };
        keeper.prune();
        let builder = std::thread::Builder::new().name("checkpointer".into());
        let thread = builder.spawn(move || keeper.run(&messages))?;
        Ok(Self { to, thread: Some(thread), shared })
    }

    /// What the sequencer needs.
    pub fn jobs(&self) -> Jobs {
        Jobs { to: self.to.clone(), shared: self.shared.clone() }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        let _ = self.to.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Keeper {
    fn run(&mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Begin(head) => self.begin(head),
                Message::Slice { position, slice } => self.slice(position, &slice),
                Message::Done { position } => self.done(position),
                Message::Failed { position, shard, why } => {
                    if self.making.as_ref().is_some_and(|making| making.head.position == position) {
                        self.give_up(&format!("shard {shard}: {why}"));
                    }
                }
                Message::Stop => {
                    if let Some(making) = self.making.take() {
                        making.file.discard();
                    }
                    return;
                }
            }
        }
    }

    fn begin(&mut self, head: Head) {
        match Writing::begin(&self.folder, &head) {
            Ok(file) => self.making = Some(Making { head, file, done: 0, started: clock::start() }),
            Err(error) => self.give_up(&format!("{error:#}")),
        }
    }

    fn slice(&mut self, position: u64, slice: &Slice) {
        let Some(making) = self.making.as_mut().filter(|making| making.head.position == position) else {
            return;
        };
        failpoint("checkpoint.slice");
        if !slice.is_empty()
            && let Err(error) = making.file.slice(slice)
        {
            self.give_up(&format!("{error:#}"));
        }
    }

    fn done(&mut self, position: u64) {
        let Some(making) = self.making.as_mut().filter(|making| making.head.position == position) else {
            return;
        };
        making.done += 1;
        if making.done < self.shards {
            return;
        }
        let Some(making) = self.making.take() else { return };
        if let Err(why) = self.commit(making) {
            self.give_up(&why);
        }
    }

    fn commit(&mut self, making: Making) -> Result<(), String> {
        let Making { head, file, started, .. } = making;
        let span =
            tracing::debug_span!("checkpoint", position = head.position, partial = head.base.is_some());
        let _within = span.entered();
        failpoint("checkpoint.whole");
        let (written, answer) = oneshot::channel();
        self.desk.submit(Request::Written { position: head.position, answer: written });
        let settled = answer.blocking_recv().map_err(|_| "the node is stopping".to_owned());
        if let Err(why) = settled.and_then(|()| (self.settle)(head.position)) {
            file.discard();
            return Err(why);
        }
        let bytes = file.bytes;
        failpoint("checkpoint.settled");
        file.finish().map_err(|error| format!("{error:#}"))?;
        failpoint("checkpoint.made");
        self.stats.made.add(1);
        self.stats.bytes.add(bytes);
        self.stats.nanos.add(started.elapsed().as_nanos() as u64);
        self.stats.position.set(head.position as i64);
        self.stats.at.set(clock::now().0);
        let mut last = self.shared.last.lock().unwrap_or_else(PoisonError::into_inner);
        let partial = match (head.base, *last) {
            (Some(_), Some((_, before))) => before + 1,
            _ => 0,
        };
        *last = Some((head.position, partial));
        drop(last);
        self.prune();
        tracing::debug!(position = head.position, bytes, partial, "a checkpoint was made");
        self.shared.busy.store(false, SeqCst);
        Ok(())
    }

    /// Removes checkpoints that nobody needs, and lets the log know what it must keep.
    fn prune(&self) {
        match file::prune(&self.folder) {
            Ok(from) => self.low_water.set(from.unwrap_or(u64::MAX)),
            Err(error) => tracing::warn!(%error, "old checkpoints are not removed"),
        }
    }

    /// The next one has to be whole: nobody knows what has been touched since the last that counts.
    fn give_up(&mut self, why: &str) {
        if let Some(making) = self.making.take() {
            making.file.discard();
        }
        *self.shared.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.stats.failed.add(1);
        tracing::warn!(why, "a checkpoint was given up; the next one is tried in a while");
        self.shared.busy.store(false, SeqCst);
    }
}
