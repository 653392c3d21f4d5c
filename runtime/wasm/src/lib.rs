//! Runs rules as wasm. The only code of the project that knows wasmtime.
//!
//! A module's way, each step a file:
//!
//! 1. [`inspect()`] reads the bytes and runs nothing: does the module keep the contract, and if not, why ([`Refusal`])?
//! 2. [`Modules`] compiles what passed, once for each digest, in a process of its own if there is one ([`Apart`]), and may
//!    keep the machine code on disk (`artefact.rs`, where the crate's only unsafe block stands).
//! 3. [`WasmGuest`] is a running module: a batch is copied in, one call is made, the reply is checked and copied out.
//! 4. Whatever goes wrong comes back as a [`Fault`](tidegate_engine::guest::Fault) in words that the rule's author can
//!    use (`trap.rs`). The process goes on, and so does every other guest.
//!
//! [`Host`] holds these together and implements [`Guests`](tidegate_engine::guest::Guests) for the shards.
//!
//! What bounds a guest (`budget.rs`): time by epochs, memory by a limiter and the pool's slots, its stack, the number and
//! size of its effects. What it cannot do at all: it imports nothing, so there is no clock, no randomness, no input or output.
//!
//! Deliberately absent: shards, the index, outputs, deploying, and any decision about what happens after a fault.

mod apart;
mod artefact;
mod budget;
mod compile;
mod engine;
mod host;
mod inspect;
mod instance;
mod memory;
mod trap;

#[cfg(test)]
#[path = "../tests/hostile/skeleton.rs"]
mod skeleton;

pub use apart::{Apart, serve as serve_compile};
pub use compile::{Compiled, MODULES_MAX, Modules, Stats};
pub use engine::{HostError, INSTANCES, MEMORY_MAX};
pub use host::{Host, HostOptions, ModuleStore};
pub use inspect::{
    FUNCTIONS_MAX, Inspected, LOCALS_MAX, MANIFEST_MAX, MODULE_MAX, Refusal, TABLE_MAX, digest, inspect,
};
pub use instance::WasmGuest;
