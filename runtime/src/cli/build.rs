//! `tidegate build`: a rule's crate becomes a module that a node can deploy.

pub mod cargo;
mod strip;

use super::check;
use super::failure::{Exit, Failure, OrExit};
use super::screen::Screen;
use anyhow::Context;
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
    fs::write(&out, &built.wasm).with_context(|| format!("{} cannot be written", out.display()))?;
    match screen.json {
        true => screen.value(&check::as_json(&out, &built.found)),
        false => check::describe(&out, &built.found, screen),
    }
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
    let wasm = strip::strip(&cargo::build(folder)?);
    let found = tidegate_wasm::inspect(&wasm)
        .context("the module was built, but a node would refuse it")
        .or_exit(Exit::Invalid)?;
    Ok(Built { wasm, found })
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
