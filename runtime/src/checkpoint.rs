//! Checkpoints: what all shards know as of one position, so that a start reads the log from there and not from its
//! beginning, and old segments may go.
//!
//! ```text
//! sequencer ── mark ──► shards ── slices, between two batches ──► checkpointer ── file
//!     ▲                                                                │ all of them there, outputs and log settled
//!     └────────── has everything up to the mark been written? ◄────────┘ then it counts
//! ```
//!
//! ```text
//! data/checkpoints/00000000000000000042.save     named by its position; there only when it is whole
//!
//! file   = "TGSAVE\0\1" | record …
//! record = u32 length | u32 crc (CRC-32C of length and payload) | payload: MessagePack of `Head`, then slices, then `Tail`
//! ```
//!
//! Most are *partial*: what has not been touched since the one before is named and not repeated. The head says which that
//! is; a chain ends in a whole one after at most [`CHAIN`].

mod file;
mod keeper;

pub use file::{Head, Loaded, load, load_before};
pub use keeper::{Checkpointer, Commit, Job, Jobs, Settle, Slices};

/// Partial checkpoints after a whole one.
pub const CHAIN: u32 = 8;

#[cfg(test)]
mod tests;
