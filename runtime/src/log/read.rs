//! The reader: every record of the log in order. Damage costs the rest of its segment, is reported, and stops nothing.

use super::segment::{self, HEAD, Kind, RECORD_HEAD};
use super::{Change, LogError, Standing};
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use tidegate_event::{Batch, BatchRef, Timestamp};

/// One record, taken apart.
#[derive(Debug)]
pub enum Record {
    /// Events from an input.
    Batch(Batch),
    /// Events that rules put back into the stream.
    Emitted {
        /// The position that caused them.
        origin: u64,
        /// The events.
        batch: Batch,
    },
    /// A change to the set of rules.
    Change(u64, Change),
    /// Time moved.
    Time(u64, Timestamp),
    /// Every rule that was deployed when a segment began.
    Catalogue(Vec<Standing>),
}

impl Record {
    /// Where it stands; a catalogue stands at no position of its own.
    pub fn position(&self) -> Option<u64> {
        match self {
            Self::Batch(batch) | Self::Emitted { batch, .. } => Some(batch.header.position),
            Self::Change(position, _) | Self::Time(position, _) => Some(*position),
            Self::Catalogue(_) => None,
        }
    }
}

/// Reads a log from its first segment to its last.
#[derive(Debug)]
pub struct Reader {
    segments: std::vec::IntoIter<PathBuf>,
    path: PathBuf,
    bytes: Vec<u8>,
    at: usize,
    last: u64,
    /// Records read.
    pub records: u64,
    /// Bytes at the end of the last segment that were cut off.
    pub torn: u64,
    /// Bytes in the middle of the log that cannot be read.
    pub damaged: u64,
}

impl Reader {
    pub(super) fn new(segments: Vec<PathBuf>) -> Self {
        Self {
            segments: segments.into_iter(),
            path: PathBuf::new(),
            bytes: Vec::new(),
            at: 0,
            last: 0,
            records: 0,
            torn: 0,
            damaged: 0,
        }
    }

    /// The highest position read.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The next record; `None` at the end.
    pub fn read(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            while let Some((mark, payload)) = segment::read(&self.bytes[self.at..]) {
                self.at += RECORD_HEAD + mark.len;
                let record = decode(mark.kind, mark.position, payload);
                // Positions rise; one that does not was left by something that no longer counts.
                if mark.kind != Kind::Catalogue {
                    if mark.position <= self.last {
                        continue;
                    }
                    self.last = mark.position;
                }
                self.records += 1;
                match record {
                    Some(record) => return Ok(Some(record)),
                    None => self.damaged += mark.len as u64,
                }
            }
            self.end_segment()?;
            let Some(path) = self.segments.next() else { return Ok(None) };
            self.bytes = fs::read(&path).map_err(LogError::file(&path))?;
            self.path = path;
            self.at = HEAD.len();
            if self.bytes.len() < HEAD.len() && HEAD.starts_with(&self.bytes) {
                self.at = self.bytes.len();
            } else if !self.bytes.starts_with(HEAD) {
                return Err(LogError::Foreign(self.path.clone()));
            }
        }
    }

    /// What cannot be read at the end of a segment: in the last one it is what a dying process was writing, and is cut
    /// off; before, it is damage.
    fn end_segment(&mut self) -> Result<(), LogError> {
        let rest = (self.bytes.len() - self.at) as u64;
        if rest == 0 {
            return Ok(());
        }
        let path = self.path.display();
        if self.segments.len() == 0 {
            self.torn = rest;
            let file = OpenOptions::new().write(true).open(&self.path).map_err(LogError::file(&self.path))?;
            file.set_len(self.at as u64).map_err(LogError::file(&self.path))?;
            tracing::warn!(segment = %path, bytes = rest, "cut off a torn tail: it was never acked");
        } else {
            self.damaged += rest;
            tracing::error!(segment = %path, bytes = rest, at = self.at, "cannot read the rest of a segment; going on with the next");
        }
        self.bytes.clear();
        self.at = 0;
        Ok(())
    }
}

fn decode(kind: Kind, position: u64, payload: &[u8]) -> Option<Record> {
    Some(match kind {
        Kind::Batch => Record::Batch(BatchRef::check(payload).ok()?.to_batch()),
        Kind::Emitted => {
            let (origin, block) = payload.split_first_chunk::<8>()?;
            Record::Emitted {
                origin: u64::from_le_bytes(*origin),
                batch: BatchRef::check(block).ok()?.to_batch(),
            }
        }
        Kind::Control => Record::Change(position, rmp_serde::from_slice(payload).ok()?),
        Kind::Time => Record::Time(position, Timestamp(i64::from_le_bytes(payload.try_into().ok()?))),
        Kind::Catalogue => Record::Catalogue(rmp_serde::from_slice(payload).ok()?),
    })
}
