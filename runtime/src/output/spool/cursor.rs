//! How far the other side has got, and the books up to there. Entries are appended; the last sound one counts. When the
//! file has grown, a new one with the last entry alone takes its place.

use super::{Place, said};
use crate::framed::{self, Frame, Frames};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file grows to about this size.
const GROWN: u64 = 64 << 10;

/// Bytes of an entry's payload.
const SIZE: usize = 68;

/// An entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Every number up to here is delivered, dropped, or in the dead letters.
    pub settled: u64,
    /// Every number up to here has been written or settled.
    pub saved: u64,
    /// The highest place of what has been settled.
    pub tail: Place,
    /// Up to this number, no place counts for more than the end of this position: a power cut took the end of the log, and
    /// positions behind it were used again.
    pub reused: (u64, u64),
    /// How many events have been delivered.
    pub delivered: u64,
    /// How many were dropped.
    pub dropped: u64,
    /// How many were given up on.
    pub failed: u64,
}

impl Cursor {
    fn bytes(&self) -> [u8; SIZE] {
        let mut to = [0; SIZE];
        let numbers = [
            self.settled,
            self.saved,
            self.delivered,
            self.dropped,
            self.failed,
            self.reused.0,
            self.reused.1,
            self.tail.position,
        ];
        for (at, number) in numbers.into_iter().enumerate() {
            to[at * 8..][..8].copy_from_slice(&number.to_le_bytes());
        }
        to[64..].copy_from_slice(&self.tail.order.to_le_bytes());
        to
    }

    fn read(from: &[u8]) -> Option<Self> {
        let from: &[u8; SIZE] = from.try_into().ok()?;
        let number =
            |at: usize| from[at * 8..][..8].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let order = u32::from_le_bytes([from[64], from[65], from[66], from[67]]);
        Some(Self {
            settled: number(0),
            saved: number(1),
            tail: Place { position: number(7), order },
            reused: (number(5), number(6)),
            delivered: number(2),
            dropped: number(3),
            failed: number(4),
        })
    }
}

/// Writes entries.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: Option<(File, u64)>,
    bytes: u64,
    entries: u64,
}

impl Writer {
    /// The last entry of a file, and whoever writes further ones. The first of these begins a new file.
    pub fn open(path: &Path) -> io::Result<(Option<Cursor>, Self)> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(said(path)(error)),
        };
        let frames = Frames::of(&bytes).into_iter().flatten();
        let sound =
            |frame| if let Frame::Record { payload, .. } = frame { Cursor::read(payload) } else { None };
        let last = frames.filter_map(sound).last();
        if last.is_none() && !bytes.is_empty() {
            tracing::error!(file = %path.display(), "the cursor cannot be read: what waits in the spool is sent again");
        }
        Ok((last, Self { path: path.to_owned(), file: None, bytes: 0, entries: 0 }))
    }

    /// Appends an entry, or begins a new file with it.
    pub fn write(&mut self, cursor: &Cursor) -> io::Result<()> {
        self.entries += 1;
        let mut bytes = Vec::with_capacity(framed::FILE_HEAD + framed::RECORD_HEAD + SIZE);
        match &mut self.file {
            Some((file, salt)) if self.bytes < GROWN => {
                framed::push(&mut bytes, *salt, self.entries, &[&cursor.bytes()]);
                if let Err(error) = file.write_all(&bytes) {
                    // Half an entry is none: the next one begins a new file.
                    self.file = None;
                    return Err(said(&self.path)(error));
                }
                self.bytes += bytes.len() as u64;
            }
            _ => {
                let (head, salt) = framed::head();
                bytes.extend_from_slice(&head);
                framed::push(&mut bytes, salt, self.entries, &[&cursor.bytes()]);
                let fresh = self.path.with_extension("new");
                let mut file = File::create(&fresh).map_err(said(&fresh))?;
                file.write_all(&bytes).and_then(|()| file.sync_data()).map_err(said(&fresh))?;
                std::fs::rename(&fresh, &self.path).map_err(said(&self.path))?;
                let file = OpenOptions::new().append(true).open(&self.path).map_err(said(&self.path))?;
                self.file = Some((file, salt));
                self.bytes = bytes.len() as u64;
            }
        }
        Ok(())
    }

    /// Makes what was written survive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |(file, _)| file.sync_data())
    }
}
