//! The program: threads, sockets, clock, disk, deployment, dashboard, command line.
//!
//! Layers, each importing only from those above it in this list:
//!
//! 1. [`clock`], [`telemetry`]: the time of day, and every counter by name. [`framed`]: records in files. [`chaos`]: where a
//!    test lets the process die. [`rules`]: the rules inside the binary.
//! 2. [`dead_letters`]: events that found no way. [`history`]: how streams went, in memory. [`config`]: what can be set.
//!    [`ingest`]: the one door into the node for events, searches and subscriptions.
//! 3. [`input`], [`output`]: bytes to batches, events to the world. [`log`], [`modules`], [`data`]: what is on disk.
//! 4. [`catalogue`]: what is deployed. [`checkpoint`], [`archive`], [`backtest`], [`explain`]: what was, and what it means.
//! 5. [`web`]: everything that speaks HTTP.
//! 6. [`rebuild`], [`shard_thread`], [`sequencer`]: one thread for each shard, the one before them, and what a fault costs.
//!    [`control`]: changing rules.
//! 7. [`node`]: assembles all of that.
//! 8. [`mod@bench`]: how fast all of this is.
//! 9. [`cli`]: the command line.

pub mod archive;
pub mod backtest;
pub mod bench;
pub mod catalogue;
pub mod chaos;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod data;
pub mod dead_letters;
pub mod explain;
pub mod framed;
pub mod history;
pub mod ingest;
pub mod input;
pub mod log;
pub mod modules;
pub mod node;
pub mod output;
pub mod rebuild;
pub mod rules;
pub mod sequencer;
pub mod shard_thread;
pub mod telemetry;
pub mod web;
