//! `tidegate compile-module`, which no person calls: the process in which a node has modules compiled.

use super::failure::{Exit, Failure, OrExit};
use std::path::PathBuf;
use tidegate_wasm::{Apart, serve_compile};

/// The hidden verb.
pub const VERB: &str = "compile-module";

/// This program as one that compiles.
pub fn apart() -> Apart {
    // The link stands for the very file that is running, also when another has taken its place.
    let program = match cfg!(target_os = "linux") {
        true => PathBuf::from("/proc/self/exe"),
        false => std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tidegate")),
    };
    Apart { program, args: vec![VERB.into()] }
}

/// Compiles what comes on standard input.
pub fn go() -> Result<(), Failure> {
    serve_compile().map_err(anyhow::Error::msg).or_exit(Exit::Invalid)
}
