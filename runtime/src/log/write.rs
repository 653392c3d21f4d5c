//! The writer: gathers records, writes them in one go, begins segments. What goes wrong is refused, and the next write
//! begins a new segment: nothing is ever written to one again that failed.

use super::disk::{Disk, DiskFile, Folder};
use super::list::list;
use super::prune::{LowWater, Pruner, Pruning};
use super::segment::{self, HEAD, Head, Kind, Name, UNFINISHED};
use super::sync::{Syncer, Syncing, Wake, Written};
use super::{Change, LogError, Reader, Retention, Standing, time_payload};
use crate::chaos::{failpoint, failpoint_after};
use crate::clock;
use crate::telemetry::Telemetry;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tidegate_event::{Batch, Timestamp};

/// How long after a failed write none is tried.
const PAUSE: Duration = Duration::from_millis(100);

/// How long after a second failed sync a third is tried, then twice as long, up to the longest.
const PROBE: Duration = Duration::from_secs(1);
const LONGEST_PROBE: Duration = Duration::from_secs(8);

/// The writing end of a log.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    pub(super) retention: Retention,
    telemetry: Arc<Telemetry>,
    low_water: LowWater,
    salt: u32,
    /// The number of the newest segment.
    newest: u32,
    /// The number of the newest in which everything is that it was begun for.
    settled: Arc<AtomicU32>,
    now: Option<Open>,
    buffer: Vec<u8>,
    /// The first and the last position in it.
    gathered: Option<(u64, u64)>,
    /// After a failed write: until when none is tried, and why.
    refusing: Option<(Instant, String)>,
    /// After a second failed sync: when to try again.
    probe: Option<Instant>,
    pruner: Option<Pruner>,
    /// Whether nothing happens on other threads: tests want one thing after the other.
    by_hand: bool,
    syncing: Option<Arc<Syncing>>,
    _syncer: Option<Syncer>,
}

/// The segment that is being written.
#[derive(Debug)]
struct Open {
    number: u32,
    name: String,
    file: Arc<dyn DiskFile>,
    /// Bytes in it that count.
    written: u64,
    /// Bytes before the first record that counts.
    head: u64,
}

/// How far syncing has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Everything up to this position survives a power cut.
    pub synced: u64,
    /// How many syncs have failed: whoever waited for one is to be refused.
    pub failures: u64,
}

impl Log {
    /// Opens the log in a folder, which is made if need be, and a reader of what it holds, which cuts off a torn tail.
    /// Writing begins in a segment of its own.
    pub fn open(
        folder: &Path,
        retention: Retention,
        telemetry: Arc<Telemetry>,
    ) -> Result<(Self, Reader), LogError> {
        let failed = |error| LogError::File { path: folder.display().to_string(), error };
        fs::create_dir_all(folder).map_err(failed)?;
        Self::on(Arc::new(Folder(folder.to_owned())), retention, telemetry)
    }

    /// The same on any disk.
    pub(super) fn on(
        disk: Arc<dyn Disk>,
        retention: Retention,
        telemetry: Arc<Telemetry>,
    ) -> Result<(Self, Reader), LogError> {
        for entry in disk.list().map_err(LogError::file(&*disk, ""))? {
            // Whoever began it did not live to finish it; what it was to hold stands elsewhere.
            if entry.name.ends_with(UNFINISHED)
                && let Err(error) = disk.remove(&entry.name)
            {
                tracing::warn!(segment = entry.name, %error, "an unfinished log segment stays, and does not count");
            }
        }
        let segments = list(&*disk, 0)?;
        telemetry.log.segments.set(segments.len() as i64);
        telemetry.log.size.set(segments.iter().map(|segment| segment.size).sum::<u64>() as i64);
        let reader = Reader::new(disk.clone(), true)?;
        let log = Self {
            disk,
            retention,
            telemetry,
            low_water: LowWater::default(),
            // Nobody outside can guess it.
            salt: RandomState::new().hash_one(0u8) as u32,
            settled: Arc::default(),
            newest: segments.last().map_or(0, |segment| segment.name.number),
            now: None,
            buffer: Vec::new(),
            gathered: None,
            refusing: None,
            probe: None,
            pruner: None,
            by_hand: false,
            syncing: None,
            _syncer: None,
        };
        Ok((log, reader))
    }

    /// From now on everything is synced, by a thread that calls `wake` whenever it has got on. What is there already is
    /// synced now.
    pub fn sync_with(&mut self, wake: Wake) -> Result<(), LogError> {
        let syncing = self.sync_by_hand()?;
        self._syncer = Some(Syncer::start(syncing, wake).map_err(LogError::file(&*self.disk, ""))?);
        Ok(())
    }

    /// The same, by whoever steps what this returns.
    pub(super) fn sync_by_hand(&mut self) -> Result<Arc<Syncing>, LogError> {
        for segment in list(&*self.disk, 0)? {
            let synced = self.disk.open(&segment.file).and_then(|file| file.sync_data());
            synced.map_err(LogError::file(&*self.disk, &segment.file))?;
        }
        self.disk.sync_folder().map_err(LogError::file(&*self.disk, ""))?;
        let syncing = Arc::new(Syncing::new(self.disk.clone(), self.telemetry.clone()));
        self.syncing = Some(syncing.clone());
        Ok(syncing)
    }

    /// From now on nothing happens on other threads.
    #[cfg(test)]
    pub(super) fn by_hand(&mut self) {
        self.by_hand = true;
    }

    /// All pauses are over.
    #[cfg(test)]
    pub(super) fn forget_pauses(&mut self) {
        let now = clock::start();
        self.refusing.iter_mut().for_each(|(until, _)| *until = now);
        self.probe.iter_mut().for_each(|until| *until = now);
    }

    /// Keeps everything from this position on, whatever retention says: somebody may have to read it again. Whoever
    /// decides that elsewhere takes [`Self::low_water`].
    pub fn keep_from(&self, position: u64) {
        self.low_water.set(position);
    }

    /// The mark that [`Self::keep_from`] sets, to be set from any thread.
    pub fn low_water(&self) -> LowWater {
        self.low_water.clone()
    }

    fn gather(&mut self, kind: Kind, position: u64, parts: &[&[u8]]) {
        let (first, _) = *self.gathered.get_or_insert((position, position));
        self.gathered = Some((first, position));
        segment::push(&mut self.buffer, self.salt, kind, position, parts);
        self.telemetry.log.records.add(1);
    }

    /// Gathers a batch from an input.
    pub fn batch(&mut self, batch: &Batch) {
        let parts = [&batch.header_bytes()[..], batch.row_bytes(), batch.string_bytes()];
        self.gather(Kind::Batch, batch.header.position, &parts);
    }

    /// Gathers a batch of events that rules put back into the stream because of what stood at `origin`.
    pub fn emitted(&mut self, origin: u64, batch: &Batch) {
        let parts =
            [&origin.to_le_bytes()[..], &batch.header_bytes()[..], batch.row_bytes(), batch.string_bytes()];
        self.gather(Kind::Emitted, batch.header.position, &parts);
    }

    /// Gathers a moment at which time moved.
    pub fn time(&mut self, position: u64, now: Timestamp) {
        self.gather(Kind::Time, position, &[&time_payload(now)]);
    }

    /// Gathers a change to the set of rules.
    pub fn change(&mut self, position: u64, change: &Change) -> Result<(), String> {
        let payload = rmp_serde::to_vec_named(change).map_err(|error| error.to_string())?;
        self.gather(Kind::Control, position, &[&payload]);
        Ok(())
    }

    /// Bytes gathered and not yet written.
    pub fn gathered(&self) -> usize {
        self.buffer.len()
    }

    /// Writes what was gathered. After an error nothing of it is in the log, and the next write begins a new segment.
    /// `catalogue` is asked for every deployed rule when a segment begins.
    pub fn write(&mut self, catalogue: impl Fn() -> Vec<Standing>) -> Result<(), LogError> {
        let Some((first, last)) = self.gathered.take() else { return Ok(()) };
        let started = clock::start();
        let result = self.write_out(first, last, catalogue);
        failpoint("log.written");
        self.buffer.clear();
        self.telemetry.log.nanos.add(started.elapsed().as_nanos() as u64);
        match &result {
            Ok(()) if self.refusing.take().is_some() => {
                self.telemetry.log.set_trouble(None);
                tracing::info!("the log can be written again");
            }
            Ok(()) | Err(LogError::NotYet(_)) => {}
            Err(error) => {
                self.telemetry.log.errors.add(1);
                self.telemetry.log.set_trouble(Some(error.to_string()));
                self.refusing = Some((clock::start() + PAUSE, error.to_string()));
            }
        }
        result
    }

    fn write_out(
        &mut self,
        first: u64,
        last: u64,
        catalogue: impl Fn() -> Vec<Standing>,
    ) -> Result<(), LogError> {
        if let Some((until, reason)) = &self.refusing
            && clock::start() < *until
        {
            return Err(LogError::NotYet(reason.clone()));
        }
        self.mend(&catalogue)?;
        if self
            .now
            .as_ref()
            .is_some_and(|now| now.written + self.buffer.len() as u64 > self.retention.segment)
        {
            self.now = None;
        }
        let mut now = match self.now.take() {
            Some(now) => now,
            None => {
                let name = Name { first, number: self.newest + 1 };
                self.begin(name, name.to_string(), &catalogue)?
            }
        };
        failpoint("log.write");
        failpoint_after("log.torn", || drop(now.file.append(&self.buffer[..self.buffer.len() / 2])));
        if let Err(error) = now.file.append(&self.buffer) {
            // Part of it may be there. It was never acked: the next segment takes its place.
            self.abandon(&now);
            return Err(LogError::file(&*self.disk, &now.name)(error));
        }
        now.written += self.buffer.len() as u64;
        self.telemetry.log.writes.add(1);
        self.telemetry.log.bytes.add(self.buffer.len() as u64);
        self.telemetry.log.size.add(self.buffer.len() as i64);
        if let Some(syncing) = &self.syncing {
            let bytes = std::mem::take(&mut self.buffer);
            self.buffer = syncing.wrote(Written { bytes, first, last, file: now.file.clone() });
        }
        self.settle(now);
        Ok(())
    }

    /// Goes on with a segment in which everything is that it was begun for; if it is new, old ones may go.
    fn settle(&mut self, now: Open) {
        let new = self.settled.swap(now.number, Relaxed) != now.number;
        self.now = Some(now);
        if new {
            self.look_after();
        }
    }

    /// Whether everything is synced.
    pub fn syncs(&self) -> bool {
        self.syncing.is_some()
    }

    /// Says that everything up to this position was in the log at the start, and so is synced if anything is.
    pub fn resume(&self, position: u64) {
        if let Some(syncing) = &self.syncing {
            syncing.resume(position);
        }
    }

    /// Looks how far syncing has got, and writes again what it failed at. `None` where nothing is synced.
    pub fn tend(&mut self, catalogue: impl Fn() -> Vec<Standing>) -> Option<Tended> {
        let syncing = self.syncing.clone()?;
        let tended = Tended { failures: syncing.failures(), synced: syncing.synced() };
        if self.probe.is_some() && syncing.in_a_row() == 0 {
            self.probe = None;
            self.telemetry.log.set_trouble(None);
            tracing::info!("the log can be synced again");
        }
        if let Err(error) = self.mend(&catalogue)
            && !matches!(error, LogError::NotYet(_))
        {
            tracing::error!(%error, "what could not be synced cannot be written again either");
        }
        Some(tended)
    }

    /// When [`Self::tend`] has something to do by itself.
    pub fn probe_at(&self) -> Option<Instant> {
        self.probe
    }

    /// Why nothing more can be taken in, and why nothing more that must be synced.
    pub fn late(&self) -> (Option<String>, Option<String>) {
        self.syncing.as_ref().map_or((None, None), |syncing| syncing.late())
    }

    /// After a failed sync: writes again what may be lost, to a new segment. Once that has failed too, nothing is taken in
    /// until it has been written and synced, which is tried now and then, each time with a new file.
    fn mend(&mut self, catalogue: &impl Fn() -> Vec<Standing>) -> Result<(), LogError> {
        let Some(syncing) = self.syncing.clone() else { return Ok(()) };
        let failed = syncing.in_a_row();
        if failed == 0 {
            return Ok(());
        }
        let not_yet = |reason: Option<String>| {
            let reason = reason.unwrap_or_else(|| "it is being tried".into());
            Err(LogError::NotYet(format!("the disk has failed to sync more than once: {reason}")))
        };
        let Some(reason) = syncing.broken() else {
            // Written again, and not synced yet: the first time we go on meanwhile.
            return if failed == 1 { Ok(()) } else { not_yet(None) };
        };
        if failed > 1 {
            let at = *self.probe.get_or_insert_with(|| clock::start() + PROBE);
            self.telemetry.log.set_trouble(Some(format!("the log cannot be synced: {reason}")));
            if clock::start() < at {
                return not_yet(Some(reason));
            }
            let wait = PROBE * (1 << (failed - 2).min(3));
            self.probe = Some(clock::start() + wait.min(LONGEST_PROBE));
        }
        self.now = None;
        let mut unsynced = syncing.unsynced();
        let written = self.write_again(&mut unsynced, catalogue);
        syncing.again(unsynced, written.as_ref().err().map(ToString::to_string));
        written?;
        if failed > 1 { not_yet(None) } else { Ok(()) }
    }

    fn write_again(
        &mut self,
        unsynced: &mut std::collections::VecDeque<Written>,
        catalogue: &impl Fn() -> Vec<Standing>,
    ) -> Result<(), LogError> {
        let Some(first) = unsynced.front().map(|written| written.first) else { return Ok(()) };
        let name = Name { first, number: self.newest + 1 };
        failpoint("log.again");
        let mut now = self.begin(name, name.unfinished(), catalogue)?;
        let mut bytes = 0;
        let all = unsynced.iter().try_for_each(|written| {
            bytes += written.bytes.len() as u64;
            now.file.append(&written.bytes)
        });
        failpoint("log.taken");
        // Only now does it take the place of what was written before, all at once.
        if let Err(error) = all.and_then(|()| self.disk.rename(&now.name, &name.to_string())) {
            self.abandon(&now);
            return Err(LogError::file(&*self.disk, &now.name)(error));
        }
        now.name = name.to_string();
        now.written += bytes;
        self.telemetry.log.size.add(bytes as i64);
        self.telemetry.log.rewritten.add(bytes);
        unsynced.iter_mut().for_each(|written| written.file = now.file.clone());
        self.settle(now);
        Ok(())
    }

    /// Cuts a segment back to what counts in it, or removes it if that is nothing. If even that fails it does no harm:
    /// the next segment takes the place of what is too much.
    fn abandon(&self, open: &Open) {
        let done = if open.written == open.head {
            self.disk.remove(&open.name).inspect(|()| self.forget(open.head))
        } else {
            self.disk.truncate(&open.name, open.written)
        };
        if let Err(error) = done {
            tracing::warn!(segment = open.name, %error, "what was written in part stays, and does not count");
        }
    }

    fn forget(&self, bytes: u64) {
        self.telemetry.log.segments.add(-1);
        self.telemetry.log.size.add(-(bytes as i64));
    }

    /// Asks for old segments to go; without a thread for that they stay, and the next segment tries again.
    fn look_after(&mut self) {
        if self.pruner.is_none() {
            let pruning = Pruning {
                disk: self.disk.clone(),
                retention: self.retention,
                low_water: self.low_water.clone(),
                settled: self.settled.clone(),
                telemetry: self.telemetry.clone(),
            };
            if self.by_hand {
                return pruning.prune();
            }
            let tell = |error: &std::io::Error| tracing::warn!(%error, "old log segments are not removed");
            self.pruner = Pruner::start(pruning).inspect_err(tell).ok();
        }
        if let Some(pruner) = &self.pruner {
            pruner.look();
        }
    }

    /// Begins a new segment, in a file of this name.
    fn begin(
        &mut self,
        name: Name,
        file_name: String,
        catalogue: impl Fn() -> Vec<Standing>,
    ) -> Result<Open, LogError> {
        let mut head = Head { name, salt: self.salt }.write().to_vec();
        let standing = rmp_serde::to_vec_named(&catalogue()).unwrap_or_default();
        segment::push(&mut head, self.salt, Kind::Catalogue, name.first, &[&standing]);
        failpoint("log.roll");
        let file = self.disk.create(&file_name).map_err(LogError::file(&*self.disk, &file_name))?;
        self.newest = name.number;
        let len = head.len() as u64;
        let open = Open { number: name.number, name: file_name, file, written: len, head: len };
        self.telemetry.log.segments.add(1);
        self.telemetry.log.size.add(len as i64);
        if let Err(error) = open.file.append(&head) {
            self.abandon(&open);
            return Err(LogError::file(&*self.disk, &open.name)(error));
        }
        failpoint("log.rolled");
        debug_assert!(head.len() > HEAD, "a segment begins with a catalogue");
        if let Some(syncing) = &self.syncing {
            syncing.created();
        }
        Ok(open)
    }
}
