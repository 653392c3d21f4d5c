//! Lets old segments go, on a thread of its own: removing a large file can take a file system tens of milliseconds, and
//! whoever writes the log must not wait for that.

use super::Retention;
use super::write::segments;
use crate::telemetry::Telemetry;
use crossbeam_channel::Sender;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

/// The thread. Dropped, it finishes what it is at.
#[derive(Debug)]
pub struct Pruner {
    wish: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pruner {
    /// A thread for the segments of a folder.
    pub fn start(folder: PathBuf, retention: Retention, telemetry: Arc<Telemetry>) -> std::io::Result<Self> {
        // One wish may wait: whoever comes to it looks at all segments that there are by then.
        let (wish, wishes) = crossbeam_channel::bounded(1);
        let thread = std::thread::Builder::new().name("log-pruner".into()).spawn(move || {
            for () in wishes {
                prune(&folder, &retention, &telemetry);
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

/// Removes the oldest segments beyond the size and age that are kept; what cannot be removed now is tried again later.
fn prune(folder: &Path, retention: &Retention, telemetry: &Telemetry) {
    let Ok(segments) = segments(folder) else { return };
    let mut sizes: Vec<(PathBuf, u64, Option<std::time::Duration>)> = segments
        .into_iter()
        .filter_map(|(_, path)| {
            let meta = fs::metadata(&path).ok()?;
            let age = meta.modified().ok().and_then(|at| at.elapsed().ok());
            Some((path, meta.len(), age))
        })
        .collect();
    let mut total: u64 = sizes.iter().map(|(_, size, _)| size).sum();
    // The newest is being written, or was a moment ago: it stays, whatever its size.
    sizes.pop();
    for (path, size, age) in sizes {
        let old = age.is_some_and(|age| age > retention.keep_for);
        if !old && total <= retention.keep_bytes {
            break;
        }
        if fs::remove_file(&path).is_ok() {
            total -= size;
            telemetry.log.segments.add(-1);
            telemetry.log.size.add(-(size as i64));
            tracing::debug!(segment = %path.display(), "a log segment is past its retention and was removed");
        }
    }
}
