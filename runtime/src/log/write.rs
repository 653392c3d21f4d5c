//! The writer: gathers records, writes them in one go, rolls segments, lets old ones go.

use super::prune::Pruner;
use super::segment::{self, HEAD, Kind};
use super::{Change, Reader, Retention, Standing, time_payload};
use crate::clock;
use crate::telemetry::Telemetry;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_event::{Batch, Timestamp};

/// The writing end of a log.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    pub(super) retention: Retention,
    telemetry: Arc<Telemetry>,
    file: Option<File>,
    written: u64,
    buffer: Vec<u8>,
    first: Option<u64>,
    pruner: Option<Pruner>,
}

/// Why the log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file or folder cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is not a segment, or of another version.
    #[error("{0} is not a log segment of this version: move it away, or run the version that wrote it")]
    Foreign(PathBuf),
}

impl LogError {
    pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |error| Self::File { path: path.to_owned(), error }
    }
}

/// The segment files of a folder with their first positions, in order.
pub(super) fn segments(folder: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(LogError::file(folder))? {
        let path = entry.map_err(LogError::file(folder))?.path();
        let first = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(first), Some("log")) = (first, path.extension().and_then(|ext| ext.to_str())) {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Puts the newest segments of a folder on the disk: what was written to them so far survives the loss of power.
pub fn sync(folder: &Path) -> Result<(), LogError> {
    // The one before the newest may have been left a moment ago.
    for (_, path) in segments(folder)?.iter().rev().take(2) {
        File::open(path).and_then(|file| file.sync_data()).map_err(LogError::file(path))?;
    }
    Ok(())
}

impl Log {
    /// Opens the log in a folder, which is made if need be, and reads what it holds: cut off a torn tail, and hand the
    /// rest to the reader. Writing begins in a segment of its own.
    pub fn open(
        folder: &Path,
        retention: Retention,
        telemetry: Arc<Telemetry>,
    ) -> Result<(Self, Reader), LogError> {
        fs::create_dir_all(folder).map_err(LogError::file(folder))?;
        let segments = segments(folder)?;
        telemetry.log.segments.set(segments.len() as i64);
        let size = segments
            .iter()
            .filter_map(|(_, path)| fs::metadata(path).ok())
            .map(|meta| meta.len())
            .sum::<u64>();
        telemetry.log.size.set(size as i64);
        let reader = Reader::new(segments.into_iter().map(|(_, path)| path).collect());
        let log = Self {
            folder: folder.to_owned(),
            retention,
            telemetry,
            file: None,
            written: 0,
            buffer: Vec::new(),
            first: None,
            pruner: None,
        };
        Ok((log, reader))
    }

    fn gather(&mut self, kind: Kind, position: u64, parts: &[&[u8]]) {
        self.first.get_or_insert(position);
        segment::push(&mut self.buffer, kind, position, parts);
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

    /// Writes what was gathered. After an error nothing of it is in the log, and the next write tries a new segment.
    /// `catalogue` is asked for every deployed rule when a segment begins.
    pub fn write(&mut self, catalogue: impl FnOnce() -> Vec<Standing>) -> Result<(), LogError> {
        let Some(first) = self.first.take() else { return Ok(()) };
        let started = clock::start();
        let result = self.roll(first, catalogue).and_then(|()| self.write_out());
        self.buffer.clear();
        self.telemetry.log.nanos.add(started.elapsed().as_nanos() as u64);
        if result.is_err() {
            self.telemetry.log.errors.add(1);
        }
        result
    }

    fn write_out(&mut self) -> Result<(), LogError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if let Err(error) = file.write_all(&self.buffer) {
            // Part of it may be there. It was never acked: cut it off, so that the segment ends with a whole record.
            let _ = file.set_len(self.written);
            self.file = None;
            return Err(LogError::file(&self.folder)(error));
        }
        self.written += self.buffer.len() as u64;
        self.telemetry.log.writes.add(1);
        self.telemetry.log.bytes.add(self.buffer.len() as u64);
        self.telemetry.log.size.add(self.buffer.len() as i64);
        Ok(())
    }

    /// Asks for old segments to go; without a thread for that they stay, and the next segment tries again.
    fn look_after(&mut self) {
        if self.pruner.is_none() {
            let started = Pruner::start(self.folder.clone(), self.retention, self.telemetry.clone());
            let tell = |error: &std::io::Error| tracing::warn!(%error, "old log segments are not removed");
            self.pruner = started.inspect_err(tell).ok();
        }
        if let Some(pruner) = &self.pruner {
            pruner.look();
        }
    }

    /// Begins a new segment when there is none or it is full, and lets old ones go.
    fn roll(&mut self, first: u64, catalogue: impl FnOnce() -> Vec<Standing>) -> Result<(), LogError> {
        if self.file.is_some() && self.written + self.buffer.len() as u64 <= self.retention.segment {
            return Ok(());
        }
        let path = self.folder.join(format!("{first:020}.log"));
        let mut head = HEAD.to_vec();
        let standing = rmp_serde::to_vec_named(&catalogue()).unwrap_or_default();
        segment::push(&mut head, Kind::Catalogue, first, &[&standing]);
        let mut open = OpenOptions::new();
        let mut file = open.create(true).append(true).open(&path).map_err(LogError::file(&path))?;
        // A file of that name holds nothing whole: the position would have been used up otherwise.
        file.set_len(0).and_then(|()| file.write_all(&head)).map_err(LogError::file(&path))?;
        self.file = Some(file);
        self.written = head.len() as u64;
        self.telemetry.log.segments.add(1);
        self.telemetry.log.size.add(head.len() as i64);
        self.look_after();
        Ok(())
    }
}
