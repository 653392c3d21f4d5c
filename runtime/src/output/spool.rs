//! What waits for an output, on disk: segment files of events, and how far the other side has got.
//!
//! ```text
//! data/outputs/NAME.spool/00000000000000000001.events    named by the first number that may be in it
//! data/outputs/NAME.spool/cursor                         appended to; the last sound entry counts
//! ```
//!
//! Every event that an output takes has a number, counted from 1; a record is written for those that have not been
//! settled by then. A number without a record and without damage before it was dropped. What is written has its *place*:
//! its log position and its order among all that the output got at that position. The highest place that is on disk or was
//! settled is the **tail**: whatever a replay of the log brings that does not lie behind it is no news.
//!
//! A segment is removed when the cursor has passed it and is safe on disk, never before.

mod cursor;
mod stored;

pub use cursor::Cursor;
pub use stored::{Kept, OVERHEAD, Stored, read_segment};

use super::Delivery;
use crate::chaos::planted;
use crate::framed::{self, Frame, Frames};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a forwarded event stands among all that its output ever gets: the log position, and a count at that position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The log position of the record that caused it.
    pub position: u64,
    /// Counts what this output gets at that position.
    pub order: u32,
}

impl Place {
    /// The last place of a position.
    pub const fn end_of(position: u64) -> Self {
        Self { position, order: u32::MAX }
    }
}

/// An event with its number and, if a replay of the log would bring it again, its place.
#[derive(Clone, Debug)]
pub struct Numbered {
    /// Its number.
    pub number: u64,
    /// Its place; none for what does not come from the log.
    pub place: Option<Place>,
    /// The event.
    pub delivery: Arc<Delivery>,
}

/// A segment file.
#[derive(Clone, Debug)]
struct Segment {
    /// No number in it is lower.
    first: u64,
    path: PathBuf,
    bytes: u64,
}

/// The files of one output. Whoever holds it writes; reading a segment needs its path alone.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    segments: Vec<Segment>,
    /// The segment that is written to, with its salt.
    open: Option<(File, u64)>,
    segment_bytes: u64,
    cursor: cursor::Writer,
    buffer: Vec<u8>,
}

/// What was found on disk.
#[derive(Debug)]
pub struct Found {
    /// The last entry of the cursor; none in a folder that is new.
    pub cursor: Option<Cursor>,
    /// The number of the last event.
    pub last: u64,
    /// How many events were written behind it that are not there any more.
    pub missing: u64,
    /// The tail.
    pub tail: Place,
    /// What each number behind the cursor costs, in order; 0 for those that have no record.
    pub costs: Vec<u32>,
    /// Bytes that could not be read.
    pub damaged: u64,
}

fn said(path: &Path) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl Spool {
    /// Opens a folder, which is made if need be, and looks at what waits there. Writing begins in a segment of its own.
    pub fn open(folder: PathBuf, segment_bytes: u64) -> io::Result<(Self, Found)> {
        fs::create_dir_all(&folder).map_err(said(&folder))?;
        let (cursor, writer) = cursor::Writer::open(&folder.join("cursor"))?;
        let mut segments = segments(&folder)?;
        let settled = cursor.map_or_else(
            || segments.first().map_or(0, |segment| segment.first.saturating_sub(1)),
            |cursor| cursor.settled,
        );
        let mut found = Found {
            cursor,
            last: settled,
            missing: 0,
            tail: cursor.map(|cursor| cursor.tail).unwrap_or_default(),
            costs: Vec::new(),
            damaged: 0,
        };
        let (reused, end) = cursor.map_or((0, 0), |cursor| cursor.reused);
        let mut costs = std::collections::BTreeMap::new();
        for segment in &mut segments {
            let bytes = fs::read(&segment.path).map_err(said(&segment.path))?;
            segment.bytes = bytes.len() as u64;
            let Some(frames) = Frames::of(&bytes) else {
                tracing::error!(segment = %segment.path.display(), "this is no file of a spool: what it held is lost");
                found.damaged += segment.bytes;
                continue;
            };
            for frame in frames {
                match frame {
                    Frame::Record { number, payload, .. } => {
                        found.last = found.last.max(number);
                        if let Some((place, cost)) = stored::glance(payload) {
                            let place = place.unwrap_or_default();
                            found.tail = found.tail.max(if number <= reused {
                                place.min(Place::end_of(end))
                            } else {
                                place
                            });
                            if number > settled {
                                costs.insert(number, cost);
                            }
                        }
                    }
                    Frame::Damaged(range) => found.damaged += range.len() as u64,
                }
            }
        }
        found.missing = cursor.map_or(0, |cursor| cursor.saved).saturating_sub(found.last);
        let cost = |number: u64| costs.get(&number).copied().unwrap_or(0);
        found.costs = (settled + 1..=found.last).map(cost).collect();
        let spool = Self { folder, segments, open: None, segment_bytes, cursor: writer, buffer: Vec::new() };
        Ok((spool, found))
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Appends events. After an error nothing of them counts as written, and the next attempt begins a new segment.
    pub fn append(&mut self, events: &[Numbered]) -> io::Result<()> {
        let Some(first) = events.first() else { return Ok(()) };
        let full = self.segments.last().is_some_and(|segment| segment.bytes >= self.segment_bytes);
        if full || self.open.is_none() {
            self.begin(first.number)?;
        }
        let (Some((file, salt)), Some(segment)) = (&mut self.open, self.segments.last_mut()) else {
            return Ok(());
        };
        self.buffer.clear();
        for event in &events[usize::from(full && planted("spool-drops-at-roll"))..] {
            stored::write(&mut self.buffer, *salt, event);
        }
        if let Err(error) = file.write_all(&self.buffer) {
            // Part of it may be there: cut it off, so that the segment ends with a whole record.
            let _ = file.set_len(segment.bytes);
            self.open = None;
            return Err(said(&segment.path)(error));
        }
        segment.bytes += self.buffer.len() as u64;
        Ok(())
    }

    fn begin(&mut self, first: u64) -> io::Result<()> {
        self.open = None;
        let path = self.folder.join(format!("{first:020}.events"));
        let (head, salt) = framed::head();
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(said(&path))?;
        // What has that name holds nothing that counts: its numbers would have been used up.
        file.set_len(0).and_then(|()| file.write_all(&head)).map_err(said(&path))?;
        self.segments.retain(|segment| segment.path != path);
        self.segments.push(Segment { first, path, bytes: head.len() as u64 });
        self.open = Some((file, salt));
        Ok(())
    }

    /// Notes how far the other side has got, then removes segments that hold nothing behind that.
    pub fn record(&mut self, cursor: &Cursor) -> io::Result<()> {
        self.cursor.write(cursor)?;
        let passed = |pair: &[Segment]| matches!(pair, [_, next, ..] if next.first <= cursor.settled.saturating_add(1));
        if passed(&self.segments) {
            // What is removed must not be asked for again, not even after a power cut.
            self.cursor.sync()?;
            while passed(&self.segments) {
                fs::remove_file(&self.segments[0].path).map_err(said(&self.segments[0].path))?;
                self.segments.remove(0);
            }
        }
        Ok(())
    }

    /// Makes everything that was written survive a power cut.
    pub fn sync(&mut self) -> io::Result<()> {
        if let Some((file, _)) = &self.open {
            file.sync_data()?;
        }
        self.cursor.sync()?;
        File::open(&self.folder)?.sync_all()
    }

    /// The segment that would hold this number, and the first number of the one behind it.
    pub fn place_of(&self, number: u64) -> Option<(PathBuf, Option<u64>)> {
        let behind = self.segments.partition_point(|segment| segment.first <= number);
        let segment = self.segments.get(behind.checked_sub(1)?)?;
        Some((segment.path.clone(), self.segments.get(behind).map(|next| next.first)))
    }
}

/// The segment files of a folder, in order.
fn segments(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(said(folder))? {
        let path = entry.map_err(said(folder))?.path();
        let first = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(first), Some("events")) = (first, path.extension().and_then(|ext| ext.to_str())) {
            found.push(Segment { first, path, bytes: 0 });
        }
    }
    found.sort_by_key(|segment| segment.first);
    Ok(found)
}
