//! Reads a node's log apart from the node's own reader, so that one mistake is not made on both sides.

use super::event::iso;
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tidegate_event::{BatchRef, Event, Metric};

/// An event of the log.
#[derive(Debug)]
pub struct Row {
    /// Where it stands.
    pub position: u64,
    /// The event, as the node's interface shows it.
    pub event: Value,
}

/// What a segment begins with, without the version.
const NAME: &[u8] = b"TGLOG\0\0";
/// What a record begins with.
const MARK: &[u8] = b"TGR1";
/// Size of a segment's head, and of a record's.
const HEAD: usize = 64;
const RECORD: usize = 24;

/// A segment file: where it is, the first position that may stand in it, and the how-manieth file of the log it is.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Where it is.
    pub path: PathBuf,
    first: u64,
    number: u32,
}

/// The segments of a log, in the order in which they were begun.
pub fn segments(folder: &Path) -> Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let parts = stem
            .split_once('-')
            .and_then(|(first, number)| Some((first.parse().ok()?, number.parse().ok()?)));
        if let Some((first, number)) = parts.filter(|_| path.extension().is_some_and(|end| end == "log")) {
            found.push(Segment { path, first, number });
        }
    }
    found.sort_by_key(|segment| segment.number);
    Ok(found)
}

/// A record of a segment.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    kind: u8,
    /// Its position.
    pub position: u64,
    /// The first byte of its head.
    pub begin: usize,
    /// The first byte behind it.
    pub end: usize,
}

/// The records of a segment. Damaged ones are here too if their heads can be read.
pub fn records(bytes: &[u8]) -> Vec<Record> {
    let mut found = Vec::new();
    let mut at = if bytes.starts_with(NAME) { HEAD } else { bytes.len() };
    while let Some(head) = bytes.get(at..at + RECORD) {
        let long =
            |at: usize| head[at..at + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let end = at + RECORD + (long(4) as u32) as usize;
        if !head.starts_with(MARK) || end > bytes.len() {
            break;
        }
        found.push(Record { kind: head[12], position: long(16), begin: at, end });
        at = end;
    }
    found
}

/// Every event of a log. A file that was begun later takes the place of everything from its first position on in all
/// earlier ones.
pub fn read(folder: &Path) -> Result<impl Iterator<Item = Row>> {
    let mut rows = Vec::new();
    let segments = segments(folder)?;
    for (n, segment) in segments.iter().enumerate() {
        let end = segments[n + 1..].iter().map(|later| later.first).min().unwrap_or(u64::MAX);
        let Ok(bytes) = fs::read(&segment.path) else {
            // One that is past its retention may go while we look; those before it have gone by then.
            if segments[..n].iter().all(|earlier| !earlier.path.exists()) {
                rows.clear();
            }
            continue;
        };
        for Record { kind, position, begin, end: to } in records(&bytes) {
            let payload = &bytes[begin + RECORD..to];
            let block = match kind {
                1 => payload,
                4 => payload.get(8..).unwrap_or_default(),
                _ => continue,
            };
            let Ok(batch) = BatchRef::check(block) else { continue };
            if position < end {
                rows.extend(batch.events().map(|event| Row { position, event: value(&event) }));
            }
        }
    }
    Ok(rows.into_iter())
}

fn value(event: &Event<'_>) -> Value {
    let mut fields = Map::new();
    fields.insert("host".to_owned(), json!(event.host()));
    fields.insert("service".to_owned(), json!(event.service()));
    fields.insert("state".to_owned(), json!(event.state()));
    fields.insert("description".to_owned(), json!(event.description()));
    let metric = event.number().map(|metric| match metric {
        Metric::Int(whole) => json!(whole),
        Metric::Float(number) => json!(number),
    });
    fields.insert("metric".to_owned(), metric.unwrap_or_default());
    fields.insert("tags".to_owned(), json!(event.tags().collect::<Vec<_>>()));
    fields.insert("time".to_owned(), json!(iso(event.time().0 / 1000)));
    fields.insert("ttl".to_owned(), json!(event.ttl().map(f64::from)));
    for (name, text) in event.attributes() {
        fields.insert(name.to_owned(), json!(text));
    }
    Value::Object(fields)
}
