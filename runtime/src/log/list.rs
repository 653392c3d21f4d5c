//! The segments of a log, in the order in which they were begun, and which positions count in each.

use super::LogError;
use super::disk::Disk;
use super::segment::{HEAD, Head, Name};
use std::time::Duration;

/// A segment that is there.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Which it is, by its head if that can be read.
    pub name: Name,
    /// What its file is called.
    pub file: String,
    /// Bytes in it.
    pub size: u64,
    /// How long ago it was written to, if the system knows.
    pub age: Option<Duration>,
    /// Positions from this one on stand in a segment that was begun later; what this one holds of them does not count.
    /// It was refused when it was written, or written again because it could not be synced.
    pub end: u64,
}

/// All segments behind the one of this number, in the order in which they were begun. A file that was renamed is known by
/// its head.
pub fn list(disk: &dyn Disk, newest: u32) -> Result<Vec<Segment>, LogError> {
    let entries = disk.list().map_err(LogError::file(disk, ""))?;
    let mut segments: Vec<Segment> = entries
        .into_iter()
        .filter_map(|entry| {
            let named = Name::parse(&entry.name).filter(|name| name.number > newest)?;
            let name = head(disk, &entry.name).map_or(named, |head| head.name);
            Some(Segment { name, file: entry.name, size: entry.size, age: entry.age, end: u64::MAX })
        })
        .collect();
    segments.sort_by(|a, b| (a.name.number, &a.file).cmp(&(b.name.number, &b.file)));
    limit(&mut segments);
    Ok(segments)
}

/// Says of each where it ends.
pub fn limit(segments: &mut [Segment]) {
    let mut end = u64::MAX;
    for segment in segments.iter_mut().rev() {
        segment.end = end;
        end = end.min(segment.name.first);
    }
}

fn head(disk: &dyn Disk, file: &str) -> Option<Head> {
    let file = disk.open(file).ok()?;
    let mut bytes = [0; HEAD];
    let read = file.read_at(0, &mut bytes).ok()?;
    Head::read(&bytes[..read]).ok()
}
