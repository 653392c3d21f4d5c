//! The program: threads, sockets, clock, disk, deployment, dashboard, command line.
//!
//! Layers, each importing only from those above it in this list:
//!
//! 1. [`clock`], [`telemetry`]: the time of day, and every counter by name.
//! 2. [`ingest`]: the one door into the node for events, searches and subscriptions.

pub mod clock;
pub mod config;
pub mod ingest;
pub mod telemetry;
