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
const HEAD: &[u8] = b"TGLOG";
/// Where the first record begins.
const BEGIN: usize = 64;
/// What a record begins with.
const MARK: u32 = 0x3152_4754;
/// Size of a record's head.
const RECORD: usize = 24;

/// The segments of a log, in order.
pub fn segments(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    files.sort();
    Ok(files)
}

/// Where the records of a segment begin, with where the last one ends.
pub fn records(bytes: &[u8]) -> Vec<usize> {
    let mut at = if bytes.starts_with(HEAD) { BEGIN.min(bytes.len()) } else { bytes.len() };
    let mut begin = vec![at];
    while let Some((_, _, payload)) = record(&bytes[at.min(bytes.len())..]) {
        at += RECORD + payload.len();
        begin.push(at);
    }
    begin
}

/// The positions in a segment, each with where its record ends.
pub fn positions(bytes: &[u8]) -> Vec<(usize, u64)> {
    let ends = records(bytes).into_iter();
    ends.filter_map(|at| {
        let (_, position, payload) = record(&bytes[at..])?;
        Some((at + RECORD + payload.len(), position))
    })
    .collect()
}

/// Kind, position and payload of the record at the beginning of these bytes.
fn record(from: &[u8]) -> Option<(u8, u64, &[u8])> {
    let head = from.first_chunk::<RECORD>()?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if word(0) != MARK {
        return None;
    }
    let payload = from[RECORD..].get(..word(4) as usize)?;
    Some((head[12], u64::from(word(16)) | u64::from(word(20)) << 32, payload))
}

/// Every event of a log.
pub fn read(folder: &Path) -> Result<impl Iterator<Item = Row>> {
    let mut rows = Vec::new();
    for path in segments(folder)? {
        // One that is past its retention may go while we look.
        let Ok(bytes) = fs::read(&path) else { continue };
        for at in records(&bytes) {
            let Some((kind, position, payload)) = record(&bytes[at..]) else { break };
            let block = match kind {
                1 => payload,
                4 => payload.get(8..).unwrap_or_default(),
                _ => continue,
            };
            let Ok(batch) = BatchRef::check(block) else { continue };
            rows.extend(batch.events().map(|event| Row { position, event: value(&event) }));
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
