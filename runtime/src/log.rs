//! The log: batches and changes in order, each at a position, in segment files.
//!
//! ```text
//! data/log/00000000000000000001-000001.log      named by the first position in it, and which file it is
//!
//! segment = head, twice | record …
//! head    = "TGLOG\0\0" | u8 version | u64 first position | u32 number | u32 salt | u32 crc | u32 0
//! record  = "TGR1" | u32 length | u32 crc | u8 kind | u24 check | u64 position | payload
//!
//! crc is CRC-32C, begun with the salt, over length, kind, check, position and payload; check is the low part of the same
//! over length, kind and position alone; numbers are little endian
//!
//! kind 1 batch      a block (see the event crate), from an input
//!      2 control    MessagePack of `Change`: a rule deployed, removed, paused
//!      3 time       i64 microseconds: time moved although nothing came
//!      4 emitted    u64 position that caused it, then a block
//!      5 catalogue  MessagePack of every deployed rule: the first record of each segment, so that old segments can go
//! ```
//!
//! Records are only ever appended. Positions rise by one from record to record, so whatever is missing has a number. What
//! the writer was in the middle of when the process died is a torn tail: cut off at the next start, since nobody was told
//! that it had been written. Damage before it costs the records it hit: the reader goes on with the next sound one.
//!
//! A segment that failed, because the disk was full or could not sync, is never written to again. The next one begins with
//! the first position that is in doubt, and takes the place of everything from there on in all earlier files.

mod disk;
mod list;
mod prune;
mod read;
mod scan;
mod segment;
mod survey;
mod sync;
mod write;

pub use disk::{Disk, DiskFile, Entry, Folder};
pub use prune::LowWater;
pub use read::{Gap, Reader, Record, Report};
pub use segment::{KINDS, Kind, MAX_PAYLOAD, Mark};
pub use survey::{Amount, Survey, Surveyed};
pub use sync::{Wake, sync};
pub use write::{Log, Tended};

use serde::{Deserialize, Serialize};
use tidegate_engine::rule::{Control, Past, RuleSpec, Trial};
use tidegate_event::Timestamp;

/// Why the log cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file or folder cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A segment is of another version.
    #[error(
        "{segment} has version {version} of the log's format, which this tidegate does not read: run the one that wrote it"
    )]
    Foreign {
        /// Which.
        segment: String,
        /// Its version.
        version: u8,
    },
    /// A sound record that this version cannot read.
    #[error(
        "{segment} holds a record of kind {kind} at position {position} that was written by another version: {what}; run the tidegate that wrote it, or a newer one"
    )]
    Unknown {
        /// The segment.
        segment: String,
        /// Where the record stands.
        position: u64,
        /// The code of its kind.
        kind: u8,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It has failed, and is tried again later.
    #[error("{0}; it will be tried again")]
    NotYet(String),
}

impl LogError {
    /// Names the file that it happened to.
    fn file<'a>(disk: &'a dyn Disk, name: &'a str) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |error| Self::File { path: disk.place(name), error }
    }
}

/// A change to the set of rules, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The time of the change, in microseconds.
    pub now: i64,
    /// The change.
    pub control: Control,
}

/// A rule of the catalogue, with the position at which it was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Where it was deployed.
    pub deployed: u64,
    /// When, in microseconds.
    pub at: i64,
    /// The rule.
    pub spec: RuleSpec,
    /// Its earlier deployments, the oldest first.
    #[serde(default)]
    pub past: Vec<Past>,
    /// The candidate that runs beside it.
    #[serde(default)]
    pub trial: Option<Trial>,
}

impl Standing {
    /// The changes that make it stand: their positions and times.
    pub fn changes(mut self) -> impl Iterator<Item = (u64, Timestamp, Control)> {
        // What it was to hear when it began, it has heard.
        self.spec.backfill = None;
        let trial = self.trial.map(|Trial { deployed, at, spec, share, .. }| {
            (deployed, Timestamp(at), Control::Try { spec: Box::new(spec), share })
        });
        [(self.deployed, Timestamp(self.at), Control::Deploy(Box::new(self.spec)))].into_iter().chain(trial)
    }
}

/// When old segments go, and how long they are.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Bytes of a segment.
    pub segment: u64,
    /// Bytes kept in all; at least the newest segment stays.
    pub keep_bytes: u64,
    /// Age at which a segment goes.
    pub keep_for: std::time::Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { segment: 64 << 20, keep_bytes: 1 << 30, keep_for: std::time::Duration::from_secs(7 * 86_400) }
    }
}

/// The time in a `time` record's payload.
fn time_payload(now: Timestamp) -> [u8; 8] {
    now.0.to_le_bytes()
}

#[cfg(test)]
mod tests;
