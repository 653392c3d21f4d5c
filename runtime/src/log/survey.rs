//! What a log holds, segment by segment, and what of it cannot be read: for `tidegate log stat` and `tidegate log verify`.
//! Looks through the reader that a start uses, changes nothing, and may be used beside a running node.

use super::segment::Kind;
use super::{LogError, Reader, Record, Report};
use std::collections::BTreeMap;
use std::path::Path;
use tidegate_event::Timestamp;

/// What was found of one kind, or in one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Records.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes they take, heads included.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, events: u64, bytes: u64) {
        self.records += 1;
        self.events += events;
        self.bytes += bytes;
    }
}

/// One segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surveyed {
    /// What its file is called.
    pub file: String,
    /// Bytes of the file when it was begun with.
    pub size: u64,
    /// The first and the last position that was read.
    pub positions: Option<(u64, u64)>,
    /// The first and the last time.
    pub times: Option<(Timestamp, Timestamp)>,
    /// What it holds.
    pub holds: Amount,
}

/// A whole log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Its segments that hold anything, in order.
    pub segments: Vec<Surveyed>,
    /// What it holds, by kind.
    pub kinds: BTreeMap<Kind, Amount>,
    /// Damage.
    pub report: Report,
}

impl Survey {
    /// Reads a whole log. Ends with an error only where a newer version wrote it.
    pub fn of(folder: &Path) -> Result<Self, LogError> {
        let mut reader = Reader::open(folder, 0)?;
        let mut survey = Self::default();
        while let Some(record) = reader.read()? {
            let len = reader.payload().len() as u64 + super::segment::RECORD_HEAD as u64;
            let (kind, position, time, events) = match &record {
                Record::Batch(batch) => {
                    (Kind::Batch, Some(batch.header.position), Some(batch.header.now), batch.len())
                }
                Record::Emitted { batch, .. } => {
                    (Kind::Emitted, Some(batch.header.position), Some(batch.header.now), batch.len())
                }
                Record::Change(position, change) => {
                    (Kind::Control, Some(*position), Some(Timestamp(change.now)), 0)
                }
                Record::Time(position, now) => (Kind::Time, Some(*position), Some(*now), 0),
                Record::Catalogue(_) => (Kind::Catalogue, None, None, 0),
            };
            survey.kinds.entry(kind).or_default().add(events as u64, len);
            let Some(at) = reader.segment() else { continue };
            if survey.segments.last().is_none_or(|last| last.file != at.file) {
                let (file, size) = (at.file.clone(), at.size);
                survey.segments.push(Surveyed { file, size, ..Surveyed::default() });
            }
            let Some(segment) = survey.segments.last_mut() else { continue };
            segment.holds.add(events as u64, len);
            let reach = |range: Option<(u64, u64)>, to: u64| Some((range.map_or(to, |(first, _)| first), to));
            segment.positions =
                position.map_or(segment.positions, |position| reach(segment.positions, position));
            if let Some(time) = time {
                segment.times = Some((segment.times.map_or(time, |(first, _)| first), time));
            }
        }
        survey.report = reader.report().clone();
        Ok(survey)
    }

    /// Everything together.
    pub fn total(&self) -> Amount {
        self.kinds.values().fold(Amount::default(), |all, one| Amount {
            records: all.records + one.records,
            events: all.events + one.events,
            bytes: all.bytes + one.bytes,
        })
    }

    /// The first and the last position.
    pub fn positions(&self) -> Option<(u64, u64)> {
        let mut all = self.segments.iter().filter_map(|segment| segment.positions);
        let first = all.next()?;
        Some((first.0, all.next_back().unwrap_or(first).1))
    }
}
