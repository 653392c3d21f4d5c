//! The thread that writes the spools of all outputs, so that whoever forwards and whoever sends waits for no disk.

use super::Queue;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What comes this soon after a round is written together in the next.
const GATHER: Duration = Duration::from_millis(1);

/// How long to wait before the disk is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// Tells the keeper what to do.
#[derive(Debug, Default)]
pub struct Signal {
    asked: Mutex<Asked>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    work: bool,
    stop: Option<Stop>,
    /// How often somebody has asked for everything to be safe on disk, how often it was, and how the last time went.
    syncs: u64,
    synced: u64,
    failed: Option<String>,
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Write what there is, and make it safe.
    InOrder,
    /// Leave everything as it is.
    AtOnce,
}

impl Signal {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something to write.
    pub fn work(&self) {
        let mut asked = self.lock();
        if !asked.work {
            asked.work = true;
            self.changed.notify_all();
        }
    }

    fn stop(&self, how: Stop) {
        self.lock().stop.get_or_insert(how);
        self.changed.notify_all();
    }
}

/// The thread.
#[derive(Debug)]
pub struct Keeper {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    /// Starts to look after these queues.
    pub fn start(queues: Vec<Arc<Queue>>) -> io::Result<Self> {
        let signal = Arc::<Signal>::default();
        queues.iter().for_each(|queue| queue.kept_by(signal.clone()));
        let told = signal.clone();
        let thread = std::thread::Builder::new().name("spools".into()).spawn(move || keep(&queues, &told))?;
        Ok(Self { signal, thread: Mutex::new(Some(thread)) })
    }

    /// Waits until everything that has come so far is written and survives a power cut.
    pub fn sync(&self) -> io::Result<()> {
        let mut asked = self.signal.lock();
        asked.syncs += 1;
        let mine = asked.syncs;
        self.signal.changed.notify_all();
        while asked.synced < mine {
            if asked.stop.is_some() {
                return Err(io::Error::other("the spools are closed"));
            }
            asked = self.signal.changed.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
        asked.failed.clone().map_or(Ok(()), |error| Err(io::Error::other(error)))
    }

    /// Writes what there is, makes it safe, and ends.
    pub fn stop(&self) {
        self.signal.stop(Stop::InOrder);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the spools ended in a panic");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.signal.stop(Stop::AtOnce);
    }
}

fn keep(queues: &[Arc<Queue>], signal: &Signal) {
    let mut told = false;
    loop {
        let (stop, syncs) = {
            let mut asked = signal.lock();
            while !asked.work && asked.stop.is_none() && asked.synced == asked.syncs {
                asked = signal.changed.wait(asked).unwrap_or_else(PoisonError::into_inner);
            }
            asked.work = false;
            (asked.stop, (asked.syncs > asked.synced).then_some(asked.syncs))
        };
        if stop == Some(Stop::AtOnce) {
            return;
        }
        let wanted = syncs.is_some() || stop.is_some();
        let written = queues.iter().map(|queue| write(queue, wanted)).fold(Ok(false), both);
        match &written {
            Err(error) if !told => {
                tracing::error!(%error, "a spool cannot be written: what outputs hold is in memory alone until it can");
            }
            Ok(_) if told => tracing::info!("the spools can be written again"),
            _ => {}
        }
        told = written.is_err();
        if stop.is_some() {
            return;
        }
        if let Some(syncs) = syncs {
            let mut asked = signal.lock();
            asked.synced = syncs;
            asked.failed = written.as_ref().err().map(ToString::to_string);
            signal.changed.notify_all();
        }
        let again = match written {
            Ok(more) => (more, GATHER),
            Err(_) => (true, RETRY),
        };
        rest(signal, again);
    }
}

/// Gives others time to bring more, unless somebody waits for us.
fn rest(signal: &Signal, (more, wait): (bool, Duration)) {
    let asked = signal.lock();
    let idle = |asked: &mut Asked| asked.stop.is_none() && asked.synced == asked.syncs;
    let (mut asked, _) =
        signal.changed.wait_timeout_while(asked, wait, idle).unwrap_or_else(PoisonError::into_inner);
    asked.work |= more;
}

/// Writes some of what a queue has; all that has come so far, and safely, where that is wanted.
fn write(queue: &Queue, all: bool) -> io::Result<bool> {
    let last = queue.last();
    let mut more = queue.save()?;
    while all && more && !queue.has_saved(last) {
        more = queue.save()?;
    }
    if all {
        queue.sync()?;
    }
    Ok(more)
}

fn both(one: io::Result<bool>, other: io::Result<bool>) -> io::Result<bool> {
    Ok(one? | other?)
}
