//! Lets old segments go, on a thread of its own: removing a large file can take a file system tens of milliseconds, and
//! whoever writes the log must not wait for that.

use super::Retention;
use super::disk::Disk;
use super::list::{limit, list};
use crate::chaos::failpoint;
use crate::telemetry::Telemetry;
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

/// The position from which on everything is kept, whatever its size and age: whoever saves state says how far back it
/// would have to read.
#[derive(Clone, Debug)]
pub struct LowWater(Arc<AtomicU64>);

impl Default for LowWater {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl LowWater {
    /// Keeps everything from this position on, until told otherwise; `u64::MAX` keeps nothing in particular.
    pub fn set(&self, position: u64) {
        self.0.store(position, Relaxed);
    }

    /// Where it stands.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What decides which segments go.
#[derive(Clone, Debug)]
pub struct Pruning {
    /// Where they are.
    pub disk: Arc<dyn Disk>,
    /// Size and age.
    pub retention: Retention,
    /// What is needed whatever its size and age.
    pub low_water: LowWater,
    /// The number of the newest segment in which everything is that it was begun for. Before that it takes no other's
    /// place.
    pub settled: Arc<AtomicU32>,
    /// Where it is counted.
    pub telemetry: Arc<Telemetry>,
}

/// The thread. Dropped, it finishes what it is at.
#[derive(Debug)]
pub struct Pruner {
    wish: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pruner {
    /// A thread for the segments of a folder.
    pub fn start(pruning: Pruning) -> std::io::Result<Self> {
        // One wish may wait: whoever comes to it looks at all segments that there are by then.
        let (wish, wishes) = crossbeam_channel::bounded(1);
        let thread = std::thread::Builder::new().name("log-pruner".into()).spawn(move || {
            for () in wishes {
                pruning.prune();
            }
        })?;
        Ok(Self { wish: Some(wish), thread: Some(thread) })
    }

    /// Asks for a look at the segments, of which the newest is being written. Does not wait.
    pub fn look(&self) {
        if let Some(wish) = &self.wish {
            // A full queue means that a look is still to come, which sees the same.
            let _ = wish.try_send(());
        }
    }
}

impl Drop for Pruner {
    fn drop(&mut self) {
        self.wish = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Pruning {
    /// Removes the oldest segments beyond the size and age that are kept, and those that others have taken the place of;
    /// what cannot be removed now is tried again later. Only names and sizes decide: contents are for whoever reads.
    pub fn prune(&self) {
        // The newest is still there after a power cut once its folder has been synced.
        if !self.sync_folder() {
            return;
        }
        let settled = self.settled.load(Relaxed);
        let Ok(mut segments) = list(&*self.disk, 0) else { return };
        segments.retain(|segment| segment.name.number <= settled);
        limit(&mut segments);
        let mut total: u64 = segments.iter().map(|segment| segment.size).sum();
        // The newest is being written, or was a moment ago: it stays, whatever its size.
        segments.pop();
        let low_water = self.low_water.get();
        for segment in segments {
            let replaced = segment.end <= segment.name.first;
            let old = segment.age.is_some_and(|age| age > self.retention.keep_for);
            if !replaced && ((!old && total <= self.retention.keep_bytes) || segment.end > low_water) {
                break;
            }
            failpoint("log.prune");
            if self.disk.remove(&segment.file).is_err() {
                return;
            }
            failpoint("log.pruned");
            total -= segment.size;
            self.telemetry.log.segments.add(-1);
            self.telemetry.log.size.add(-(segment.size as i64));
            tracing::debug!(segment = %segment.file, "a log segment is past its retention and was removed");
            // A power cut must not bring back an older one than is gone: that would look like a gap.
            if !self.sync_folder() {
                return;
            }
        }
    }

    fn sync_folder(&self) -> bool {
        let tell = |error: &std::io::Error| tracing::warn!(%error, "the folder of the log cannot be synced");
        self.disk.sync_folder().inspect_err(tell).is_ok()
    }
}
