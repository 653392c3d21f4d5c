//! What a node has on disk, for those who look back: the log, the checkpoints, the modules. Nothing here writes.
//!
//! Looking back takes disk and processor time that events could have, so it has a place of its own: few at a time, each for
//! a limited time, and on threads that are not those of the shards or of the async runtime.

use std::path::PathBuf;
use std::sync::Arc;
use tidegate_engine::guest::Guests;
use tidegate_engine::shard::Settings;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many may read the log for people at once.
const READERS: usize = 2;

/// What is on disk.
#[derive(Clone)]
pub struct Archive {
    /// The data directory.
    pub data: PathBuf,
    /// Starts guests.
    pub guests: Arc<dyn Guests>,
    /// Those of the shards, of which each sees all there.
    pub settings: Settings,
    readers: Arc<Semaphore>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Archive {
    /// Of a data directory. The settings are made those of one shard that is the only one.
    pub fn new(data: PathBuf, guests: Arc<dyn Guests>, settings: Settings) -> Self {
        let max_streams = settings.max_streams.saturating_mul(settings.shards);
        let settings = Settings { number: 0, shards: 1, rebuild: false, max_streams, ..settings };
        Self { data, guests, settings, readers: Arc::new(Semaphore::new(READERS)) }
    }

    /// Where the log is.
    pub fn log(&self) -> PathBuf {
        self.data.join("log")
    }

    /// Where checkpoints are.
    pub fn checkpoints(&self) -> PathBuf {
        self.data.join("checkpoints")
    }

    /// A place for somebody who reads, if there is one.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.readers.clone().try_acquire_owned().ok()
    }
}
