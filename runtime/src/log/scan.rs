//! Goes through one segment, record by record, and past what is damaged: the one place that decides what is a record. The
//! start, readers beside a running node, and `tidegate log verify` all look through it.
//!
//! Memory is bounded by the longest sound record, however long the file is: a length is believed only when the head that
//! carries it is sound and the file is long enough.

use super::disk::DiskFile;
use super::segment::{MARK, Mark, RECORD_HEAD};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// What stands at the place that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A sound record; [`Scan::payload`] has its payload.
    Record(Mark),
    /// Bytes that are none, and a sound record behind them.
    Damaged {
        /// The first of them.
        from: u64,
        /// The first behind them.
        to: u64,
    },
    /// No sound record up to the end; nothing at all if it is the end.
    Tail {
        /// Where the rest begins.
        from: u64,
    },
}

/// A look through one file.
#[derive(Debug)]
pub struct Scan {
    file: Arc<dyn DiskFile>,
    salt: u32,
    /// Where the next record is expected.
    at: u64,
    /// What is known of the file's length.
    size: u64,
    /// Part of the file, beginning at `start`.
    buffer: Vec<u8>,
    start: u64,
    /// The last record's payload in the buffer.
    payload: Range<usize>,
}

impl Scan {
    /// A look through a file from a place on.
    pub fn new(file: Arc<dyn DiskFile>, salt: u32, at: u64) -> io::Result<Self> {
        let size = file.size()?;
        Ok(Self { file, salt, at, size, buffer: Vec::new(), start: at, payload: 0..0 })
    }

    /// Where the next record is expected.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The length of the file as far as it is known.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The payload of the record that was found last.
    pub fn payload(&self) -> &[u8] {
        self.buffer.get(self.payload.clone()).unwrap_or_default()
    }

    /// Whether the file has grown since anybody looked. What was read of its tail is forgotten: it may have been half
    /// written then.
    pub fn has_grown(&mut self) -> io::Result<bool> {
        let size = self.file.size()?;
        let grown = size > self.size;
        if grown {
            self.size = size;
            self.buffer.truncate(self.at.saturating_sub(self.start) as usize);
        }
        Ok(grown)
    }

    /// The bytes at a place, so many of them unless the file ends before.
    fn view(&mut self, at: u64, want: usize) -> io::Result<&[u8]> {
        let want = want.min(self.size.saturating_sub(at) as usize);
        let skip = at.checked_sub(self.start).map(|skip| skip as usize);
        let skip = skip.filter(|skip| *skip <= self.buffer.len());
        match skip {
            Some(skip) if self.buffer.len() - skip >= want => return Ok(&self.buffer[skip..skip + want]),
            Some(skip) => drop(self.buffer.drain(..skip)),
            None => self.buffer.clear(),
        }
        self.start = at;
        self.payload = 0..0;
        // One long record must not hold its memory for ever.
        self.buffer.shrink_to(2 * CHUNK);
        let goal = want.max(CHUNK).min(self.size.saturating_sub(at) as usize);
        while self.buffer.len() < want {
            let had = self.buffer.len();
            self.buffer.resize(goal, 0);
            let read = self.file.read_at(at + had as u64, &mut self.buffer[had..]);
            self.buffer.truncate(had + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                // Somebody has cut the file.
                self.size = at + had as u64;
                break;
            }
        }
        let want = want.min(self.buffer.len());
        Ok(&self.buffer[..want])
    }

    /// The record at a place: its head if that is sound, and whether the rest is.
    fn look(&mut self, at: u64) -> io::Result<Option<(Mark, bool)>> {
        let salt = self.salt;
        let Some(mark) = Mark::read(self.view(at, RECORD_HEAD)?, salt) else { return Ok(None) };
        if at + mark.whole() > self.size {
            return Ok(Some((mark, false)));
        }
        let record = self.view(at, RECORD_HEAD + mark.len)?;
        let sound = record.len() == RECORD_HEAD + mark.len && mark.fits(&record[RECORD_HEAD..], salt);
        if sound {
            let start = (at - self.start) as usize + RECORD_HEAD;
            self.payload = start..start + mark.len;
        }
        Ok(Some((mark, sound)))
    }

    /// What comes next.
    pub fn next(&mut self) -> io::Result<Found> {
        let from = self.at;
        let mut at = from;
        while at < self.size {
            at = match self.look(at)? {
                Some((_, true)) if at > from => {
                    self.at = at;
                    return Ok(Found::Damaged { from, to: at });
                }
                Some((mark, true)) => {
                    self.at = at + mark.whole();
                    return Ok(Found::Record(mark));
                }
                // Its head says how long the damaged record is: nothing within it can be another.
                Some((mark, false)) => at + mark.whole(),
                None => self.next_mark(at + 1)?,
            };
        }
        Ok(Found::Tail { from })
    }

    /// The next place at or behind this one where a mark stands.
    fn next_mark(&mut self, mut at: u64) -> io::Result<u64> {
        loop {
            let view = self.view(at, CHUNK)?;
            let found = view.windows(MARK.len()).position(|bytes| bytes == MARK);
            let len = view.len();
            if let Some(found) = found {
                return Ok(at + found as u64);
            }
            if len < MARK.len() || at + len as u64 >= self.size {
                return Ok(self.size);
            }
            at += (len + 1 - MARK.len()) as u64;
        }
    }
}
