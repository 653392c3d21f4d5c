//! Syncing, off the threads that write: one look after another syncs all that has been written since the last, so that
//! whoever waits for it is released together with all others. The disk itself sets the pace; while it is at one sync,
//! the next gathers.
//!
//! What is not synced yet is kept in memory. A sync that fails is never tried again on the same file, since the system
//! has forgotten by then what it could not write, and would say yes: the records go to a new segment, from memory.

use super::LogError;
use super::disk::{Disk, DiskFile, Folder};
use super::list::list;
use crate::clock;
use crate::telemetry::Telemetry;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes that may wait to be synced; beyond it nothing more is taken in.
const MOST: usize = 64 << 20;

/// For so long something may wait to be synced before nothing more is taken in that must be.
const LONGEST: Duration = Duration::from_secs(2);

/// Buffers kept to be used again.
const SPARE: usize = 4;

/// Told whenever a sync has come to an end.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What was written in one go and is not known to be on the disk.
#[derive(Debug)]
pub struct Written {
    /// The records.
    pub bytes: Vec<u8>,
    /// The position of the first.
    pub first: u64,
    /// The position of the last.
    pub last: u64,
    /// Where it was written to.
    pub file: Arc<dyn DiskFile>,
}

/// What the writer and the syncer share.
pub struct Syncing {
    disk: Arc<dyn Disk>,
    telemetry: Arc<Telemetry>,
    waiting: Mutex<Waiting>,
    bell: Condvar,
    synced: AtomicU64,
    failures: AtomicU64,
    in_a_row: AtomicU32,
}

#[derive(Debug, Default)]
struct Waiting {
    written: VecDeque<Written>,
    bytes: usize,
    /// When the oldest of it was written.
    since: Option<Instant>,
    /// Whether a file was created that the folder may not know after a power cut.
    created: bool,
    /// Why the last sync failed, until all of this has been written again.
    broken: Option<String>,
    spare: Vec<Vec<u8>>,
    stopping: bool,
}

impl fmt::Debug for Syncing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncing").field("synced", &self.synced()).finish_non_exhaustive()
    }
}

impl Syncing {
    /// Nothing waits yet.
    pub fn new(disk: Arc<dyn Disk>, telemetry: Arc<Telemetry>) -> Self {
        Self {
            disk,
            telemetry,
            waiting: Mutex::default(),
            bell: Condvar::new(),
            synced: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            in_a_row: AtomicU32::new(0),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything up to this position survives a power cut.
    pub fn synced(&self) -> u64 {
        self.synced.load(SeqCst)
    }

    /// Says so of what was found at the start.
    pub fn resume(&self, position: u64) {
        self.synced.fetch_max(position, SeqCst);
    }

    /// How many syncs have failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(SeqCst)
    }

    /// How many of them since one has succeeded.
    pub fn in_a_row(&self) -> u32 {
        self.in_a_row.load(SeqCst)
    }

    /// Something was written; gives back a buffer to use again.
    pub fn wrote(&self, written: Written) -> Vec<u8> {
        let mut waiting = self.waiting();
        waiting.bytes += written.bytes.len();
        waiting.since.get_or_insert_with(clock::start);
        waiting.written.push_back(written);
        self.telemetry.log.unsynced.set(waiting.bytes as i64);
        let spare = waiting.spare.pop().unwrap_or_default();
        drop(waiting);
        self.bell.notify_one();
        spare
    }

    /// A file was created.
    pub fn created(&self) {
        self.waiting().created = true;
    }

    /// Why what was written last must be written again, if it must.
    pub fn broken(&self) -> Option<String> {
        // Most times nothing is, and nobody need wait for a lock to know it.
        if self.in_a_row() == 0 { None } else { self.waiting().broken.clone() }
    }

    /// All that is not synced, to be written again.
    pub fn unsynced(&self) -> VecDeque<Written> {
        std::mem::take(&mut self.waiting().written)
    }

    /// It has been written again, or could not be, for this reason.
    pub fn again(&self, written: VecDeque<Written>, failed: Option<String>) {
        if failed.is_some() {
            self.in_a_row.fetch_add(1, SeqCst);
        }
        let mut waiting = self.waiting();
        waiting.written = written;
        waiting.broken = failed;
        drop(waiting);
        self.bell.notify_one();
    }

    /// Why nothing more can be taken in, if so: too much waits, or, for what must be synced, it has waited for too long.
    pub fn late(&self) -> (Option<String>, Option<String>) {
        let waiting = self.waiting();
        let full = waiting.bytes > MOST;
        let age = waiting.since.map(|since| since.elapsed()).filter(|age| *age > LONGEST);
        drop(waiting);
        let full =
            full.then(|| format!("more than {} MiB wait to be synced: the disk is too slow", MOST >> 20));
        let late = age.map(|age| format!("the disk has been syncing for {:.1} s", age.as_secs_f64()));
        (full.clone(), full.or(late))
    }

    /// Syncs what waits; `false` if there was nothing to do.
    pub fn step(&self) -> bool {
        let waiting = self.waiting();
        let Some(last) = waiting.written.back().map(|written| written.last) else { return false };
        if waiting.broken.is_some() {
            return false;
        }
        let count = waiting.written.len();
        let mut files: Vec<Arc<dyn DiskFile>> = Vec::new();
        for written in &waiting.written {
            if !files.last().is_some_and(|file| Arc::ptr_eq(file, &written.file)) {
                files.push(written.file.clone());
            }
        }
        let created = waiting.created;
        drop(waiting);
        let started = clock::start();
        let result = self.sync(&files, created);
        self.telemetry.log.sync_times.note(started.elapsed(), 1);
        let mut waiting = self.waiting();
        match result {
            Ok(()) => {
                let mut done: Vec<Written> = waiting.written.drain(..count).collect();
                waiting.bytes -= done.iter().map(|written| written.bytes.len()).sum::<usize>();
                waiting.since = waiting.written.front().map(|_| started);
                while let Some(Written { mut bytes, .. }) = done.pop()
                    && waiting.spare.len() < SPARE
                {
                    bytes.clear();
                    bytes.shrink_to(4 << 20);
                    waiting.spare.push(bytes);
                }
                self.telemetry.log.unsynced.set(waiting.bytes as i64);
                self.synced.store(last, SeqCst);
                self.in_a_row.store(0, SeqCst);
            }
            Err(error) => {
                waiting.created |= created;
                waiting.broken = Some(error.to_string());
                self.failures.fetch_add(1, SeqCst);
                self.in_a_row.fetch_add(1, SeqCst);
                self.telemetry.log.sync_failures.add(1);
                tracing::error!(%error, "the log cannot be synced: what waits for it is refused");
            }
        }
        true
    }

    fn sync(&self, files: &[Arc<dyn DiskFile>], created: bool) -> io::Result<()> {
        files.iter().try_for_each(|file| file.sync_data())?;
        if created {
            self.waiting().created = false;
            self.disk.sync_folder()?;
        }
        Ok(())
    }
}

/// Puts what the newest segments of a folder hold on the disk, whoever writes them: it survives the loss of power.
pub fn sync(folder: &Path) -> Result<(), LogError> {
    let disk = Folder(folder.to_owned());
    // The one before the newest may have been left a moment ago.
    for segment in list(&disk, 0)?.iter().rev().take(2) {
        disk.open(&segment.file)
            .and_then(|file| file.sync_data())
            .map_err(LogError::file(&disk, &segment.file))?;
    }
    disk.sync_folder().map_err(LogError::file(&disk, ""))
}

/// The thread that syncs. Dropped, it syncs what waits and ends.
#[derive(Debug)]
pub struct Syncer {
    syncing: Arc<Syncing>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts it.
    pub fn start(syncing: Arc<Syncing>, wake: Wake) -> io::Result<Self> {
        let shared = syncing.clone();
        let thread = std::thread::Builder::new().name("log-syncer".into()).spawn(move || {
            loop {
                let mut waiting = shared.waiting();
                while waiting.written.is_empty() || waiting.broken.is_some() {
                    if waiting.stopping {
                        return;
                    }
                    waiting = shared.bell.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                }
                drop(waiting);
                shared.step();
                wake();
            }
        })?;
        Ok(Self { syncing, thread: Some(thread) })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.syncing.waiting().stopping = true;
        self.syncing.bell.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
