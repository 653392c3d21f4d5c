//! Where everything gets its place: one desk, at which whoever brings something sits down if nobody is there.
//!
//! Requests are queued. Whoever queues one looks whether the seat is free; if so that thread does the sequencer's work for
//! all that is queued, else whoever sits there does it for us. So an event that comes alone is logged and acked by the
//! thread that read it from its socket, with no hand-over on the way, and a flood is written together (flat combining:
//! Hendler, Incze, Shavit, Tzafrir, 2010). Nobody ever waits for the seat.
//!
//! One thread, the keeper, sits down when nobody else has reason to: when time must move, when shards have done what
//! rules ask for, when one thread has sat there for long enough, and when shards have caught up after they lagged.

use super::{Refused, Request};
use crossbeam_channel::{Receiver, Sender};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI64, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::thread::{JoinHandle, Thread};
use tidegate_event::{Span, Timestamp};

/// So often one thread looks again for others' requests before it leaves them to the keeper.
const ROUNDS: usize = 32;

/// What is done at the desk. Behind it stands the sequencer.
pub trait Sequence: Send {
    /// Takes what waits, as much as goes together, and does it. Time moves by itself only if `tick` says so.
    fn work(&mut self, waiting: &Receiver<Request>, tick: bool) -> Worked;

    /// When there is something to do even if nothing comes.
    fn due(&self) -> Timestamp;

    /// Whether everything is done and nothing more will come.
    fn has_finished(&mut self, waiting: &Receiver<Request>) -> bool;
}

/// What came of a look at what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// What was there, or as much as goes together, is done.
    Done,
    /// A shard lags: the rest waits until it has caught up.
    Held,
}

/// The desk.
#[derive(Debug)]
pub struct Desk {
    requests: Sender<Request>,
    waiting: Receiver<Request>,
    seat: Mutex<Seat>,
    keeper: OnceLock<Thread>,
    /// Until when the keeper sleeps, in microseconds since 1970.
    sleeping_until: AtomicI64,
    /// Whether requests wait because a shard lags.
    held: AtomicBool,
}

enum Seat {
    /// The node is starting: requests wait.
    NotYet,
    Open(Box<dyn Sequence>),
    /// The node has stopped: requests are dropped, and whoever waits for an answer learns that.
    Closed,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotYet => "not yet",
            Self::Open(_) => "open",
            Self::Closed => "closed",
        })
    }
}

impl Default for Desk {
    fn default() -> Self {
        let (requests, waiting) = crossbeam_channel::unbounded();
        Self {
            requests,
            waiting,
            seat: Mutex::new(Seat::NotYet),
            keeper: OnceLock::new(),
            sleeping_until: AtomicI64::new(i64::MIN),
            held: AtomicBool::new(false),
        }
    }
}

impl Desk {
    /// Queues a request and does the work, unless somebody is at it. What may wait here is bounded by the room that inputs
    /// take at the door, and by one question for each connection.
    pub fn submit(&self, request: Request) {
        self.queue(request);
        self.work();
    }

    /// Queues a request and leaves the work to the keeper: for shards, which have better things to do.
    pub fn leave(&self, request: Request) {
        self.queue(request);
        self.wake();
    }

    fn queue(&self, request: Request) {
        // The other end lives as long as this one.
        let _ = self.requests.send(request);
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The queue, for the time before the desk opens.
    pub fn queued(&self) -> &Receiver<Request> {
        &self.waiting
    }

    fn work(&self) {
        for _ in 0..ROUNDS {
            let mut seat = match self.seat.try_lock() {
                Ok(seat) => seat,
                Err(TryLockError::WouldBlock) => return,
                Err(TryLockError::Poisoned(_)) => return tracing::error!("the sequencer has panicked"),
            };
            if self.sit(&mut seat, false) == Worked::Held {
                return;
            }
            drop(seat);
            // Whoever queued something and found the seat taken relies on this look. Their queueing comes before their
            // look at the seat, our leaving it before this one, so one of both sees the other.
            fence(SeqCst);
            if self.waiting.is_empty() {
                return;
            }
        }
        self.wake();
    }

    fn sit(&self, seat: &mut Seat, tick: bool) -> Worked {
        match seat {
            Seat::NotYet => Worked::Held,
            Seat::Closed => {
                while let Ok(request) = self.waiting.try_recv() {
                    if let Request::Append(append) = request {
                        append.input.shed.add(Refused::Stopping.reason(), append.batch.len() as u64);
                    }
                }
                Worked::Done
            }
            Seat::Open(sequencer) => {
                if sequencer.work(&self.waiting, tick) == Worked::Done {
                    return Worked::Done;
                }
                // The shards may have caught up before they could see that somebody waits for it: one more look.
                self.held.store(true, SeqCst);
                fence(SeqCst);
                sequencer.work(&self.waiting, tick)
            }
        }
    }

    /// Wakes the keeper.
    pub fn wake(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
    }

    /// A shard has got on: its ring has room again, or time must move sooner than the keeper thinks.
    pub fn got_on(&self, has_room: bool, next_due: Timestamp) {
        fence(SeqCst);
        if (has_room && self.held.load(Relaxed) && self.held.swap(false, SeqCst))
            || next_due.0 < self.sleeping_until.load(Relaxed)
        {
            self.wake();
        }
    }

    /// Opens the desk and starts the keeper.
    pub fn open(self: &Arc<Self>, sequencer: impl Sequence + 'static) -> std::io::Result<JoinHandle<()>> {
        *self.seat.lock().unwrap_or_else(PoisonError::into_inner) = Seat::Open(Box::new(sequencer));
        let desk = self.clone();
        let keeper = std::thread::Builder::new().name("keeper".into()).spawn(move || desk.keep())?;
        // Whoever came before this found nobody to wake: the keeper looks once by itself.
        let _ = self.keeper.set(keeper.thread().clone());
        keeper.thread().unpark();
        Ok(keeper)
    }

    fn keep(&self) {
        loop {
            let (worked, due) = {
                let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
                let worked = self.sit(&mut seat, true);
                let Seat::Open(sequencer) = &mut *seat else { return };
                if sequencer.has_finished(&self.waiting) {
                    *seat = Seat::Closed;
                    return;
                }
                (worked, sequencer.due())
            };
            self.sleeping_until.store(due.0, SeqCst);
            fence(SeqCst);
            let sooner = match &*self.seat.lock().unwrap_or_else(PoisonError::into_inner) {
                Seat::Open(sequencer) => sequencer.due() < due,
                _ => return,
            };
            let more = worked == Worked::Done && !self.waiting.is_empty();
            let left = due - crate::clock::now();
            if !sooner && !more && left > Span::ZERO {
                std::thread::park_timeout(std::time::Duration::from_micros(left.0 as u64));
            }
            self.sleeping_until.store(i64::MIN, SeqCst);
        }
    }
}
