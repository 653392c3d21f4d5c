//! The shards of a backtest: one on the thread that asks, or several on a thread each. Every shard takes every batch, and
//! the next is handed out when all are done: what a rule emits goes back into the stream at once, before anything else.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::thread::JoinHandle;
use tidegate_engine::guest::Guests;
use tidegate_engine::rule::Control;
use tidegate_engine::shard::{Settings, Shard, Step};
use tidegate_event::{Batch, Timestamp};

/// The stack of a shard's thread, as in a node: guests run on it.
const STACK: usize = 8 << 20;

/// What a shard has to say after each piece of work.
pub struct Did {
    /// What came of it.
    pub step: Step,
    /// When time should move next for its sake.
    pub next_due: Timestamp,
    /// How many streams it has.
    pub streams: usize,
}

enum Work {
    Batch(Arc<Batch>),
    Control(Arc<Control>, Timestamp),
}

/// All shards.
pub enum Shards {
    /// One, on this thread.
    Here(Box<Shard>),
    /// Several.
    Threads(Vec<Lane>),
}

/// The way to a shard on a thread of its own.
pub struct Lane {
    work: Option<Sender<Work>>,
    done: Receiver<Did>,
    thread: Option<JoinHandle<()>>,
}

impl Shards {
    /// So many, with the same settings otherwise.
    pub fn start(shards: usize, settings: &Settings, guests: &Arc<dyn Guests>) -> std::io::Result<Self> {
        let shard = |number| Shard::new(Settings { number, shards, ..settings.clone() }, guests.clone());
        if shards == 1 {
            return Ok(Self::Here(Box::new(shard(0))));
        }
        (0..shards)
            .map(|number| Lane::start(number, shard(number)))
            .collect::<Result<_, _>>()
            .map(Self::Threads)
    }

    /// Hands a batch to all; what they did comes in the order of their numbers.
    pub fn step(&mut self, batch: &Arc<Batch>, did: &mut Vec<Did>) {
        self.all(|| Work::Batch(batch.clone()), did);
    }

    /// Changes the set of rules on all.
    pub fn control(&mut self, control: Control, now: Timestamp, did: &mut Vec<Did>) {
        let control = Arc::new(control);
        self.all(|| Work::Control(control.clone(), now), did);
    }

    fn all(&mut self, work: impl Fn() -> Work, did: &mut Vec<Did>) {
        did.clear();
        match self {
            Self::Here(shard) => did.push(go(shard, work())),
            Self::Threads(lanes) => {
                for lane in lanes.iter() {
                    // A lane whose thread has ended has panicked, and says so below.
                    let _ = lane.work.as_ref().map(|to| to.send(work()));
                }
                for lane in lanes {
                    did.push(lane.done.recv().expect("a shard of the backtest panicked: see above"));
                }
            }
        }
    }
}

/// One shard does one piece of work.
fn go(shard: &mut Shard, work: Work) -> Did {
    let step = match work {
        Work::Batch(batch) => shard.step(&batch),
        Work::Control(control, now) => shard.control(&control, 0, now),
    };
    Did { step, next_due: shard.next_due(), streams: shard.streams().0 }
}

impl Lane {
    fn start(number: usize, mut shard: Shard) -> std::io::Result<Self> {
        let (work, todo) = bounded::<Work>(1);
        let (tell, done) = bounded(1);
        let thread = std::thread::Builder::new().name(format!("backtest-{number}")).stack_size(STACK);
        let thread = thread.spawn(move || {
            while let Ok(work) = todo.recv() {
                if tell.send(go(&mut shard, work)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { work: Some(work), done, thread: Some(thread) })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
