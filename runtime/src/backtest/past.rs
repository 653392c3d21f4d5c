//! The log as history: what came in, and what the other rules put back into the stream at the time.
//!
//! A rule that is tried must see the events that other rules emitted, as it would have then. It must not see its own of
//! then, nor those of the rule it is to replace: it emits its own now, and both would count twice. Each emitted event
//! bears the mark of its rule, so those can be told apart. Ends of streams are left out as well: the engine finds them
//! again by itself. Nothing is written, and a node may go on writing while the log is read.

use super::source::{Progress, Range, Read};
use crate::catalogue::Catalogue;
use crate::log::{Reader, Record, Standing};
use anyhow::Context;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tidegate_event::{Batch, BatchBuilder, FieldSet, Span, Timestamp};

/// Events take a while from their sender to the log: only what is behind by more than this is late.
const TRAVEL: Span = Span::secs(1);

/// A log.
#[derive(Clone, Debug)]
pub struct Past {
    /// Where it is.
    pub folder: PathBuf,
    /// The seed of its key ids; none if nobody knows: then all are given anew.
    pub seed: Option<u64>,
    /// The marks of rules whose emitted events are left out.
    pub without: Vec<u32>,
}

impl Past {
    /// The seed in the data directory that a log's folder lies in, if it is there.
    pub fn seed_beside(folder: &Path) -> Option<u64> {
        crate::data::seed_of(folder.parent()?)
    }

    /// Hands on the batches of a range.
    pub fn read(
        &self,
        range: Range,
        progress: &Progress,
        hand: &mut dyn FnMut(Batch) -> bool,
    ) -> anyhow::Result<Read> {
        let firsts = segments(&self.folder)?;
        let start = self.start(&firsts, range.from)?;
        let bytes = |(first, size): &(u64, u64)| if *first >= start { *size } else { 0 };
        progress.total.store(firsts.iter().map(bytes).sum(), Relaxed);
        let mut reader = Reader::open(&self.folder, start)?;
        let mut read = Read::of("log");
        let mut left_out = 0;
        while let Some(record) = reader.read()? {
            let (batch, emitted) = match record {
                Record::Batch(batch) => (batch, false),
                Record::Emitted { batch, .. } => (batch, true),
                Record::Time(_, now) => {
                    read.reach(now.min(range.to));
                    continue;
                }
                _ => continue,
            };
            progress.done.fetch_add(batch.block_len() as u64 + 24, Relaxed);
            let now = batch.header.now;
            if now < range.from {
                continue;
            }
            if now > range.to {
                break;
            }
            let batch = if emitted { self.others(batch, &mut left_out) } else { batch };
            let batch = self.stamped(batch, now);
            if batch.is_empty() {
                read.reach(now);
                continue;
            }
            read.take(&batch, TRAVEL);
            if !hand(batch) {
                break;
            }
        }
        let report = reader.report();
        (read.missing, read.damaged, read.torn) = (report.missing, report.damaged, report.torn);
        read.own_left_out = left_out;
        Ok(read.finish())
    }

    /// Of what rules emitted, what is history.
    fn others(&self, batch: Batch, left_out: &mut u64) -> Batch {
        let own = |mark: u32| mark != 0 && self.without.contains(&mark);
        if !batch.events().any(|event| event.is_reaped() || own(event.binding())) {
            return batch;
        }
        let mut kept = BatchBuilder::new();
        for event in batch.events() {
            if own(event.binding()) {
                *left_out += 1;
            } else if !event.is_reaped() {
                kept.copy(&event, FieldSet::ALL, |_| ());
            }
        }
        let mut kept = kept.finish();
        kept.header = batch.header;
        kept
    }

    /// The batch with key ids of our seed, which must be one for all events, also for those that the rule emits.
    fn stamped(&self, batch: Batch, now: Timestamp) -> Batch {
        if self.seed.is_some() {
            return batch;
        }
        let mut again = BatchBuilder::new();
        again.append(&batch);
        again.stamp(0, now);
        let mut again = again.finish();
        again.header = batch.header;
        again
    }

    /// The position from which to read so that nothing of `from` on is missed: where the last segment begins whose first
    /// moment lies before it.
    fn start(&self, firsts: &[(u64, u64)], from: Timestamp) -> anyhow::Result<u64> {
        let (mut low, mut high) = (0, firsts.len());
        while high - low > 1 {
            let middle = (low + high) / 2;
            match self.first_moment(firsts[middle].0)? {
                Some(moment) if moment < from => low = middle,
                _ => high = middle,
            }
        }
        Ok(firsts.get(low).map_or(0, |(first, _)| *first))
    }

    fn first_moment(&self, position: u64) -> anyhow::Result<Option<Timestamp>> {
        let mut reader = Reader::open(&self.folder, position)?;
        while let Some(record) = reader.read()? {
            if let Some(moment) = moment_of(&record) {
                return Ok(Some(moment));
            }
        }
        Ok(None)
    }

    /// The last moment of the log.
    pub fn last_moment(&self) -> anyhow::Result<Option<Timestamp>> {
        for (first, _) in segments(&self.folder)?.into_iter().rev() {
            let mut reader = Reader::open(&self.folder, first)?;
            let mut last = None;
            while let Some(record) = reader.read()? {
                last = moment_of(&record).or(last);
            }
            if last.is_some() {
                return Ok(last);
            }
        }
        Ok(None)
    }

    /// The rules that are deployed at the end of the log, by name.
    pub fn deployed(&self) -> anyhow::Result<BTreeMap<String, Standing>> {
        let firsts = segments(&self.folder)?;
        let Some((last, _)) = firsts.last() else { return Ok(BTreeMap::new()) };
        let mut reader = Reader::open(&self.folder, *last)?;
        let mut catalogue = Catalogue::new(Arc::default());
        while let Some(record) = reader.read()? {
            match record {
                Record::Catalogue(standing) => {
                    catalogue = Catalogue::new(Arc::default());
                    standing.iter().for_each(|rule| catalogue.stand(rule));
                }
                Record::Change(position, change) => {
                    catalogue.change(&change.control, position, Timestamp(change.now));
                }
                _ => {}
            }
        }
        Ok(catalogue.standing().into_iter().map(|rule| (rule.spec.name.clone(), rule)).collect())
    }
}

/// When a record was written.
fn moment_of(record: &Record) -> Option<Timestamp> {
    match record {
        Record::Batch(batch) | Record::Emitted { batch, .. } => Some(batch.header.now),
        Record::Time(_, now) => Some(*now),
        Record::Change(_, change) => Some(Timestamp(change.now)),
        _ => None,
    }
}

/// The segments of a log by their first position, with their sizes.
pub fn segments(folder: &Path) -> anyhow::Result<Vec<(u64, u64)>> {
    let at = folder.display();
    let mut firsts = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("there is no log in {at}"))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".log")) else { continue };
        let digits = stem.split('-').next().unwrap_or(stem);
        if let Ok(first) = digits.parse() {
            firsts.push((first, entry.metadata()?.len()));
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}
