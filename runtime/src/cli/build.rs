//! `tidegate build`: a rule's crate becomes a module that a node can deploy, and beside it one with the names of all functions.

pub mod cargo;
mod strip;

use super::check;
use super::failure::{Exit, Failure, OrExit};
use super::screen::{Screen, bytes};
use anyhow::Context;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use tidegate_wasm::Inspected;

/// What is built, and where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rule's folder.
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// The module to write, instead of target/tidegate/NAME.wasm in the rule's folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Install Rust's wasm target with rustup if it is missing.
    #[arg(long)]
    add_target: bool,
}

/// A module, built and found right.
#[derive(Debug)]
pub struct Built {
    /// Its bytes.
    pub wasm: Vec<u8>,
    /// The same code with the names of all functions, as the linker left it: for tools that look into modules.
    pub whole: Vec<u8>,
    /// What it says and needs.
    pub found: Inspected,
}

/// Builds, checks and writes.
pub fn go(args: &Args, screen: &Screen) -> Result<(), Failure> {
    let built = module(&args.folder, args.add_target)?;
    let out = match &args.out {
        Some(out) => out.clone(),
        // Components alone, so that `.` does not show.
        None => args
            .folder
            .components()
            .skip_while(|part| part.as_os_str() == ".")
            .collect::<PathBuf>()
            .join("target/tidegate")
            .join(format!("{}.wasm", built.found.manifest.name)),
    };
    if let Some(parent) = out.parent() {
        fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
    }
    let debug = out.with_extension("debug.wasm");
    for (path, wasm) in [(&out, &built.wasm), (&debug, &built.whole)] {
        fs::write(path, wasm).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if screen.json {
        let mut json = check::as_json(&out, &built.found);
        json["debug"] = json!({ "file": debug, "bytes": built.whole.len() });
        return screen.value(&json);
    }
    check::describe(&out, &built.found, screen)?;
    let size = bytes(built.whole.len() as u64);
    screen.line(format_args!("  names  {} has those of all functions ({size})", debug.display()))
}

/// The module of the rule in this folder.
pub fn module(folder: &Path, add_target: bool) -> Result<Built, Failure> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        let message = format!(
            "there is no {}: name a rule's folder, or start one with `tidegate new`",
            manifest.display()
        );
        return Err(Failure::say(Exit::Usage, message));
    }
    cargo::require_target(folder, add_target)?;
    let whole = cargo::build(folder)?;
    let wasm = strip::strip(&whole);
    let found = tidegate_wasm::inspect(&wasm)
        .context("the module was built, but a node would refuse it")
        .or_exit(Exit::Invalid)?;
    Ok(Built { wasm, whole, found })
}

/// Makes sure that there is a crate.
pub fn check_folder(folder: &Path) -> Result<(), Failure> {
    let manifest = folder.join("Cargo.toml");
    if manifest.is_file() {
        return Ok(());
    }
    let message =
        format!("there is no {}: name a rule's folder, or start one with `tidegate new`", manifest.display());
    Err(Failure::say(Exit::Usage, message))
}
