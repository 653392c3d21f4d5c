//! The log: batches and changes in order, each at a position, in segment files.
//!
//! ```text
//! data/log/00000000000000000001.log      named by the first position in it
//!
//! segment = "TGLOG\0\0\1" | record …
//! record  = u32 mark | u32 length | u32 crc | u8 kind | 3 × 0 | u64 position | payload
//!
//! mark is 0x31524754; crc is CRC-32C over length, kind, position and payload; numbers are little endian
//!
//! kind 1 batch      a block (see the event crate), from an input
//!      2 control    MessagePack of `Change`: a rule deployed, removed, paused
//!      3 time       i64 microseconds: time moved although nothing came
//!      4 emitted    u64 position that caused it, then a block
//!      5 catalogue  MessagePack of every deployed rule: the first record of each segment, so that old segments can go
//! ```
//!
//! Records are only ever appended. What the writer was in the middle of when the process died is a torn tail: cut off at
//! the next start, since nobody was told that it had been written.

mod prune;
mod read;
mod segment;
mod write;

pub use read::{Reader, Record};
pub use segment::{KINDS, Kind, Mark};
pub use write::{Log, LogError, sync};

use serde::{Deserialize, Serialize};
use tidegate_engine::rule::{Control, Past, RuleSpec, Trial};
use tidegate_event::Timestamp;

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
    pub fn changes(self) -> impl Iterator<Item = (u64, Timestamp, Control)> {
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
