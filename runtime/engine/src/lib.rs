//! The deterministic core: the same batches and times in give the same bytes out.
//!
//! Layers, each importing only from those above it in this list:
//!
//! 1. [`codec`]: bytes of the wire to batches and back. [`query`]: text to plan to matcher, a crate of its own.
//! 2. [`index`]: the latest event of each stream, until its time-to-live has run out.
//! 3. [`save`]: what a shard knows, as it is saved. [`guest`]: the whole contract with a rule. [`rule`]: what is deployed. [`manifest`]: what a module says of itself.
//! 4. [`shard`]: one share of the streams: a batch in, effects out.
//!
//! Deliberately absent: clocks, threads, randomness, sockets, files, unordered iteration. Time arrives with the batch.
//! `clippy.toml` beside this crate bans the ways around that.

pub mod codec;
pub mod guest;
pub mod index;
pub mod manifest;
pub mod rule;
pub mod save;
pub mod shard;

pub use tidegate_query as query;
