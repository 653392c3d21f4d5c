//! The reader: every record of the log in order, from any position on. Damage costs the records it hit, is reported with
//! the positions that are missing, and stops nothing.
//!
//! A reader beside a running node changes nothing and follows it: when it has come to the end it can be asked again. Only
//! the one that a start reads with cuts off a torn tail.

use super::disk::{Disk, Folder};
use super::list::{Segment, list};
use super::scan::{Found, Scan};
use super::segment::{HEAD, Head, Kind, Mark, NoHead};
use super::{Change, LogError, Standing};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use tidegate_event::{Batch, BatchRef, Timestamp};

/// Gaps that are kept to be shown; more are only counted.
const GAPS: usize = 1000;

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

/// A place in the log where something cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Gap {
    /// The file in which it begins.
    pub segment: String,
    /// The first byte that is none of a sound record.
    pub from: u64,
    /// The byte at which that file can be read again.
    pub to: u64,
    /// The positions that are missing, first and last; none if whatever was there is not needed.
    pub missing: Option<(u64, u64)>,
}

/// What a reader has come across.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records read.
    pub records: u64,
    /// The highest position read, or known to be missing.
    pub last: u64,
    /// Bytes behind the last sound record of the log: what a dying process was writing.
    pub torn: u64,
    /// Bytes elsewhere that cannot be read.
    pub damaged: u64,
    /// Positions that are missing.
    pub missing: u64,
    /// Places where something cannot be read, or positions are missing.
    pub gaps: u64,
    /// The first of them.
    pub shown: Vec<Gap>,
}

/// Reads a log from a position to its end.
#[derive(Debug)]
pub struct Reader {
    disk: Arc<dyn Disk>,
    /// Whether a torn tail is cut off.
    cuts: bool,
    from: u64,
    /// Where the log begins, as far as it is there.
    oldest: Option<u64>,
    ahead: VecDeque<Segment>,
    /// The number of the newest segment that was seen.
    newest: u32,
    now: Option<(Segment, Scan)>,
    /// Whether the head of that segment is damaged: then nothing can be said of the rest, and it is left as it is.
    headless: bool,
    /// What stood between the last record that counts and here, and whether it is the end of its segment.
    unread: Vec<(Gap, bool)>,
    /// The position that should come next.
    expected: Option<u64>,
    report: Report,
}

impl Reader {
    /// Reads a log from a position on, and changes nothing. The folder may belong to a running node.
    pub fn open(folder: &Path, from: u64) -> Result<Self, LogError> {
        let mut reader = Self::new(Arc::new(Folder(folder.to_owned())), false)?;
        reader.start_at(from);
        Ok(reader)
    }

    pub(super) fn new(disk: Arc<dyn Disk>, cuts: bool) -> Result<Self, LogError> {
        let ahead: VecDeque<Segment> = list(&*disk, 0)?.into();
        Ok(Self {
            disk,
            cuts,
            from: 0,
            oldest: ahead.front().map(|segment| segment.name.first),
            newest: ahead.back().map_or(0, |segment| segment.name.number),
            ahead,
            now: None,
            headless: false,
            unread: Vec::new(),
            expected: None,
            report: Report::default(),
        })
    }

    /// Leaves out what stands before a position, whole segments without opening them. To be said before the first
    /// [`Self::read`]. Of catalogues, those are left out that were written before it.
    pub fn start_at(&mut self, from: u64) {
        self.from = from;
        while self.ahead.front().is_some_and(|segment| segment.end <= from) {
            self.ahead.pop_front();
        }
    }

    /// The position at which the log begins, if there is one: what stood before is past its retention.
    pub fn oldest(&self) -> Option<u64> {
        self.oldest
    }

    /// What it has come across so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The next record; `None` at the end as it is now.
    pub fn read(&mut self) -> Result<Option<Record>, LogError> {
        let Some(mark) = self.advance()? else { return Ok(None) };
        let Some((segment, scan)) = &self.now else { return Ok(None) };
        let unknown = |what: &'static str| LogError::Unknown {
            segment: segment.file.clone(),
            position: mark.position,
            kind: mark.kind,
            what,
        };
        let kind =
            Kind::from_code(mark.kind).ok_or_else(|| unknown("this version does not know that kind"))?;
        // Its bytes are as they were written, so whoever wrote it writes such records in another way.
        decode(kind, mark.position, scan.payload())
            .map(Some)
            .ok_or_else(|| unknown("it reads differently here"))
    }

    /// The head of the next record; its payload is what [`Self::payload`] gives until the next call.
    pub fn advance(&mut self) -> Result<Option<Mark>, LogError> {
        loop {
            let Some((segment, scan)) = &mut self.now else {
                if self.enter()? {
                    continue;
                }
                return Ok(None);
            };
            let found = scan.next().map_err(LogError::file(&*self.disk, &segment.file));
            let found = found.unwrap_or_else(|error| {
                // A place that the disk cannot read is damage like any other.
                tracing::error!(%error, "the rest of a log segment cannot be read");
                Found::Tail { from: scan.at() }
            });
            match found {
                Found::Record(mark) => {
                    if self.counts(&mark) {
                        return Ok(Some(mark));
                    }
                }
                Found::Damaged { from, to } => {
                    self.unread.push((Gap { segment: segment.file.clone(), from, to, missing: None }, false));
                }
                Found::Tail { from } => {
                    if !self.leave(from)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The payload of the record that [`Self::advance`] found.
    pub fn payload(&self) -> &[u8] {
        self.now.as_ref().map(|(_, scan)| scan.payload()).unwrap_or_default()
    }

    /// The file that the last record stands in.
    pub fn segment(&self) -> Option<&Segment> {
        self.now.as_ref().map(|(segment, _)| segment)
    }

    /// Whether a record counts; if it does, what is missing before it is known.
    fn counts(&mut self, mark: &Mark) -> bool {
        let Some((segment, _)) = &self.now else { return false };
        if mark.position >= segment.end {
            return false;
        }
        let is_catalogue = mark.kind == Kind::Catalogue as u8;
        let first = segment.name.first;
        let expected = *self.expected.get_or_insert(first);
        if is_catalogue {
            // It stands before the position that it bears.
            self.close(mark.position.max(expected));
            self.report.records += u64::from(mark.position >= self.from);
            return mark.position >= self.from;
        }
        // Positions rise; one that does not was left by something that no longer counts.
        if mark.position < expected {
            return false;
        }
        self.close(mark.position);
        self.expected = Some(mark.position + 1);
        self.report.last = mark.position;
        self.report.records += u64::from(mark.position >= self.from);
        mark.position >= self.from
    }

    /// Everything up to this position has been looked at: what is missing before it is missing for good.
    fn close(&mut self, position: u64) {
        let expected = self.expected.replace(position).unwrap_or(position);
        self.report.last = self.report.last.max(position.saturating_sub(1));
        let missing = (position > expected).then(|| (expected, position - 1));
        let mut unread = std::mem::take(&mut self.unread);
        if let Some((first, last)) = missing {
            self.report.missing += last - first + 1;
            if unread.is_empty() {
                let segment = self.segment().map(|segment| segment.file.clone()).unwrap_or_default();
                unread.push((Gap { segment, from: 0, to: 0, missing }, false));
            }
        }
        for (gap, at_end) in unread {
            let gap = Gap { missing, ..gap };
            // What a dying process or a full disk left at the end of a segment was never acked.
            if missing.is_some() || !at_end {
                self.note(gap);
            }
        }
    }

    fn note(&mut self, gap: Gap) {
        let Gap { segment, from, to, missing } = &gap;
        match missing {
            Some((first, last)) => tracing::error!(
                segment,
                from,
                to,
                first,
                last,
                "the log is damaged: positions are missing; going on behind them"
            ),
            None => tracing::warn!(segment, from, to, "the log is damaged where no position is missing"),
        }
        self.report.gaps += 1;
        self.report.damaged += to - from;
        if self.report.shown.len() < GAPS {
            self.report.shown.push(gap);
        }
    }

    /// Goes on with the next segment; `false` if there is none.
    fn enter(&mut self) -> Result<bool, LogError> {
        if self.ahead.is_empty() {
            self.look_ahead()?;
        }
        let Some(segment) = self.ahead.pop_front() else { return Ok(false) };
        if segment.end <= segment.name.first {
            // All of it was written again elsewhere.
            return Ok(true);
        }
        self.expected.get_or_insert(segment.name.first);
        let opened = self.disk.open(&segment.file).and_then(|file| {
            let mut head = [0; HEAD];
            let mut read = 0;
            while let more @ 1.. = file.read_at(read as u64, &mut head[read..])? {
                read += more;
            }
            Ok((file, Head::read(&head[..read])))
        });
        let (file, head) = match opened {
            Ok(opened) => opened,
            // Whoever prunes has removed it since, or the disk cannot read it: what is missing will be seen.
            Err(error) => {
                tracing::warn!(segment = %segment.file, %error, "a log segment cannot be opened");
                return Ok(true);
            }
        };
        self.headless = head == Err(NoHead::Damaged);
        let (salt, at) = match head {
            Ok(head) => (head.salt, HEAD as u64),
            Err(NoHead::Foreign(version)) => {
                return Err(LogError::Foreign { segment: self.disk.place(&segment.file), version });
            }
            // Without the salt nothing in it can be told from damage.
            Err(NoHead::Short | NoHead::Damaged) => (0, 0),
        };
        let scan = Scan::new(file, salt, at).map_err(LogError::file(&*self.disk, &segment.file))?;
        self.now = Some((segment, scan));
        Ok(true)
    }

    /// Looks for segments that were begun since.
    fn look_ahead(&mut self) -> Result<(), LogError> {
        self.ahead.extend(list(&*self.disk, self.newest)?);
        if let Some(last) = self.ahead.back() {
            self.newest = last.name.number;
        }
        if let (Some((segment, _)), Some(end)) =
            (&mut self.now, self.ahead.iter().map(|ahead| ahead.name.first).min())
        {
            segment.end = segment.end.min(end);
        }
        self.oldest = self.oldest.or(self.ahead.front().map(|segment| segment.name.first));
        Ok(())
    }

    /// There is no sound record up to the end of the segment. Goes on with the next; `false` if this is the last.
    fn leave(&mut self, from: u64) -> Result<bool, LogError> {
        let newest = self.newest;
        if self.ahead.is_empty() {
            self.look_ahead()?;
        }
        let Some((segment, scan)) = &mut self.now else { return Ok(true) };
        // Whoever begins a new segment writes no more to this one: it is looked at once more after that is known.
        if (self.ahead.is_empty() || newest != self.newest)
            && scan.has_grown().map_err(LogError::file(&*self.disk, &segment.file))?
        {
            return Ok(true);
        }
        let (rest, to) = (scan.size().saturating_sub(from), scan.size());
        if !self.ahead.is_empty() {
            // Nothing that counts came after these.
            self.unread.iter_mut().for_each(|(_, at_end)| *at_end = true);
            if rest > 0 {
                self.unread.push((Gap { segment: segment.file.clone(), from, to, missing: None }, true));
            }
            self.report.torn = 0;
            self.now = None;
            return Ok(true);
        }
        self.report.torn = rest;
        if rest > 0 && self.cuts && !self.headless {
            self.disk.truncate(&segment.file, from).map_err(LogError::file(&*self.disk, &segment.file))?;
            tracing::warn!(segment = %segment.file, bytes = rest, "cut off a torn tail: nobody was told that it is kept");
            self.now = None;
        }
        Ok(false)
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
