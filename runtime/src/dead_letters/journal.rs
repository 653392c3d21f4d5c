//! The files of the dead letters: appended to, rolled at an eighth of their bound, removed whole from the oldest on.

use super::Letter;
use crate::framed::{self, Frame, Frames};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a payload begins with.
pub const LETTER: u8 = 1;
const REMOVED: u8 = 2;
const WATERMARK: u8 = 3;

/// A file is at least this long before the next one begins.
const SHORTEST: u64 = 16 << 10;

/// What a file holds.
#[derive(Debug)]
pub enum Entry {
    Letter(Box<Letter>),
    Removed(u64),
    Watermark(u64),
}

/// Says that a letter was removed.
pub fn removed(number: u64) -> Vec<u8> {
    let mut payload = vec![REMOVED];
    payload.extend_from_slice(&number.to_le_bytes());
    payload
}

fn read(payload: &[u8]) -> Option<Entry> {
    let (kind, rest) = payload.split_first()?;
    let number = || Some(u64::from_le_bytes(rest.try_into().ok()?));
    Some(match *kind {
        LETTER => Entry::Letter(Box::new(Letter::decode(rest)?)),
        REMOVED => Entry::Removed(number()?),
        WATERMARK => Entry::Watermark(number()?),
        _ => return None,
    })
}

/// The files; in memory only their sizes are kept.
#[derive(Debug)]
pub struct Journal {
    folder: Option<PathBuf>,
    files: Vec<Piece>,
    open: Option<(File, u64)>,
    next: u64,
    roll: u64,
}

/// A file.
#[derive(Debug)]
struct Piece {
    first: u64,
    bytes: u64,
}

impl Journal {
    /// One that is not written anywhere.
    pub fn memory(keep: u64) -> Self {
        Self { folder: None, files: Vec::new(), open: None, next: 1, roll: (keep / 8).max(SHORTEST) }
    }

    /// Opens a folder and hands over everything in it. Writing begins in a file of its own. Tells how many bytes could not
    /// be read.
    pub fn open(folder: &Path, keep: u64, mut each: impl FnMut(u64, Entry)) -> io::Result<(Self, u64)> {
        fs::create_dir_all(folder).map_err(said(folder))?;
        let mut journal = Self { folder: Some(folder.to_owned()), ..Self::memory(keep) };
        let mut damaged = 0;
        for entry in fs::read_dir(folder).map_err(said(folder))? {
            let path = entry.map_err(said(folder))?.path();
            let first = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if let (Some(first), Some("letters")) = (first, path.extension().and_then(|ext| ext.to_str())) {
                journal.files.push(Piece { first, bytes: 0 });
            }
        }
        journal.files.sort_by_key(|piece| piece.first);
        for at in 0..journal.files.len() {
            let first = journal.files[at].first;
            let path = path(folder, first);
            let bytes = fs::read(&path).map_err(said(&path))?;
            journal.files[at].bytes = bytes.len() as u64;
            journal.next = journal.next.max(first);
            let Some(frames) = Frames::of(&bytes) else {
                damaged += bytes.len() as u64;
                continue;
            };
            for frame in frames {
                match frame {
                    Frame::Record { number, payload, .. } => {
                        journal.next = journal.next.max(number + 1);
                        match read(payload) {
                            Some(entry) => each(number, entry),
                            None => damaged += payload.len() as u64,
                        }
                    }
                    Frame::Damaged(range) => damaged += range.len() as u64,
                }
            }
        }
        Ok((journal, damaged))
    }

    /// The number of the next record.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|piece| piece.bytes).sum()
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// The first number that is not in the oldest file.
    pub fn end_of_oldest(&self) -> Option<u64> {
        self.files.first()?;
        Some(self.files.get(1).map_or(self.next, |piece| piece.first))
    }

    /// Appends records in one go. Their numbers are used up even when they cannot be written.
    pub fn append(&mut self, watermark: u64, payloads: impl IntoIterator<Item = Vec<u8>>) -> io::Result<()> {
        let payloads: Vec<_> = payloads.into_iter().collect();
        if payloads.is_empty() {
            return Ok(());
        }
        let first = self.next;
        self.next += payloads.len() as u64;
        let begun = self.begin(first, watermark);
        let Some(piece) = self.files.last_mut() else { return begun };
        let salt = self.open.as_ref().map_or(0, |(_, salt)| *salt);
        let mut bytes = Vec::new();
        for (number, payload) in (first..).zip(&payloads) {
            framed::push(&mut bytes, salt, number, &[payload]);
        }
        let written = match &mut self.open {
            Some((file, _)) => file.write_all(&bytes),
            None => Ok(()),
        };
        if written.is_err() {
            // Part of it may be there: cut it off, and go on in another file.
            if let Some((file, _)) = self.open.take() {
                let _ = file.set_len(piece.bytes);
            }
        }
        // What memory holds counts, written or not.
        piece.bytes += bytes.len() as u64;
        begun.and(written)
    }

    /// Begins a new file when there is none or it is full.
    fn begin(&mut self, first: u64, watermark: u64) -> io::Result<()> {
        let writes = self.open.is_some() || self.folder.is_none();
        if writes && self.files.last().is_some_and(|piece| piece.bytes < self.roll) {
            return Ok(());
        }
        self.open = None;
        self.files.retain(|piece| piece.first != first);
        self.files.push(Piece { first, bytes: 0 });
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = path(folder, first);
        let (head, salt) = framed::head();
        let mut bytes = head.to_vec();
        let payload: Vec<u8> = [WATERMARK].into_iter().chain(watermark.to_le_bytes()).collect();
        // Its number is that of no letter.
        framed::push(&mut bytes, salt, first - 1, &[&payload]);
        let mut open = OpenOptions::new();
        let mut file = open.create(true).append(true).open(&path).map_err(said(&path))?;
        file.set_len(0).and_then(|()| file.write_all(&bytes)).map_err(said(&path))?;
        self.open = Some((file, salt));
        if let Some(piece) = self.files.last_mut() {
            piece.bytes = bytes.len() as u64;
        }
        Ok(())
    }

    /// Removes the oldest file, and tells the first number that is left; `None` when there is no file to remove.
    pub fn drop_oldest(&mut self, watermark: u64) -> io::Result<Option<u64>> {
        let Some(end) = self.end_of_oldest() else { return Ok(None) };
        if self.files.len() == 1 {
            // The last file keeps the watermark: a new one takes its place first.
            self.open = None;
            self.begin_anew(end, watermark)?;
        }
        let oldest = self.files.remove(0);
        if let Some(folder) = &self.folder {
            let path = path(folder, oldest.first);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(said(&path)(error)),
                _ => {}
            }
        }
        Ok(Some(end))
    }

    fn begin_anew(&mut self, first: u64, watermark: u64) -> io::Result<()> {
        // A number of its own, so that the name is free.
        self.next = first + 1;
        let roll = std::mem::replace(&mut self.roll, 0);
        let begun = self.begin(first, watermark);
        self.roll = roll;
        begun
    }
}

fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.letters"))
}

fn said(path: &Path) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
