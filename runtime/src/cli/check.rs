//! `tidegate check`: is the configuration right, are these modules or pipelines? Nothing is started.

mod pipeline;
mod print;

use super::failure::{Exit, Failure, OrExit};
use super::screen::{Screen, bytes, count, plain};
use crate::{config, rules};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tidegate_engine::manifest::{Manifest, Param};
use tidegate_wasm::Inspected;

/// What is checked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Modules, rules inside the program by name, and pipelines of the `standard` rule (.toml, .json).
    #[arg(value_name = "RULE.wasm|PIPELINE.toml")]
    modules: Vec<PathBuf>,
    /// The configuration; else the one that `tidegate run` would take. With modules alone, none is read.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the configuration as it is in force, secrets hidden.
    #[arg(long)]
    print: bool,
}

/// What was found to be fine.
enum Checked {
    Module(Box<Inspected>),
    Pipeline(pipeline::Pipeline),
}

/// Checks all, tells all, and fails if anything is wrong.
pub fn go(args: &Args, screen: &Screen) -> Result<(), Failure> {
    let mut report = serde_json::Map::new();
    if args.config.is_some() || args.print || args.modules.is_empty() {
        report.insert("config".into(), configuration(args, screen)?);
    }
    let mut modules = Vec::new();
    let mut refused = 0;
    for path in &args.modules {
        let found = match pipeline::is_one(path) {
            true => pipeline::read(path).map(Checked::Pipeline),
            false => module(path).map(|found| Checked::Module(Box::new(found))),
        };
        match found {
            Ok(Checked::Pipeline(found)) if screen.json => modules.push(pipeline::as_json(path, &found)),
            Ok(Checked::Pipeline(found)) => pipeline::describe(path, &found, screen)?,
            Ok(Checked::Module(found)) if screen.json => modules.push(as_json(path, &found)),
            Ok(Checked::Module(found)) => describe(path, &found, screen)?,
            Err(failure) => {
                refused += 1;
                modules.push(json!({ "file": path, "error": failure.to_string().trim_end() }));
                eprint!("{failure}");
            }
        }
    }
    if !modules.is_empty() {
        report.insert("modules".into(), modules.into());
    }
    if screen.json {
        screen.value(&report.into())?;
    }
    match refused {
        0 => Ok(()),
        n => Err(Failure::say(
            Exit::Invalid,
            format!("{} of {} refused", n, count(args.modules.len(), "module")),
        )),
    }
}

fn configuration(args: &Args, screen: &Screen) -> Result<Value, Failure> {
    let config = config::load(args.config.as_deref(), &config::environment()).or_exit(Exit::Invalid)?;
    for warning in config.warnings() {
        eprint!("{warning}");
    }
    let name = config
        .path()
        .map_or_else(|| "the built-in configuration".to_owned(), |path| path.display().to_string());
    if !screen.json {
        match args.print {
            true => screen.line(print::text(&config).trim_end())?,
            false => screen.line(format_args!("{name} is fine"))?,
        }
    }
    let mut report = json!({ "path": config.path(), "warnings": config.warnings() });
    if args.print {
        report["values"] = print::value(&config)?;
    }
    Ok(report)
}

fn module(path: &Path) -> Result<Inspected, Failure> {
    let name = path.display();
    let wasm = read_module(path)?;
    tidegate_wasm::inspect(&wasm).map_err(|refusal| Failure::say(Exit::Invalid, format!("{name}: {refusal}")))
}

/// The module inside the program that has that name, or one from a file.
pub fn read_module(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = path.display().to_string();
    // A file is meant if it is said what it is or where it lies.
    let unknown = match rules::find(&name) {
        Ok(rule) => return Ok(rule.wasm.to_vec()),
        Err(_) if name.contains(['.', '/', std::path::MAIN_SEPARATOR]) => String::new(),
        Err(unknown) => format!("; {unknown}"),
    };
    std::fs::read(path)
        .map_err(|error| Failure::say(Exit::Invalid, format!("{name} cannot be read: {error}{unknown}")))
}

/// A module for machines.
pub fn as_json(path: &Path, found: &Inspected) -> Value {
    json!({
        "file": path,
        "digest": found.digest,
        "bytes": found.size,
        "functions": found.functions,
        "memory": found.memory,
        "names": found.names,
        "manifest": found.manifest,
    })
}

/// A module in a line: what it is, how large, which.
pub fn summary(found: &Inspected) -> String {
    let Manifest { name, version, abi, .. } = &found.manifest;
    let digest = found.digest.get(..12).unwrap_or(&found.digest);
    let (size, memory) = (bytes(found.size as u64), bytes(found.memory));
    format!("{name} {version}  {size}  abi {abi}  starts with {memory}  blake3 {digest}")
}

/// A module for people: itself, and what it wants.
pub fn describe(path: &Path, found: &Inspected, screen: &Screen) -> Result<(), Failure> {
    screen.line(format_args!("{}: {}", path.display(), summary(found)))?;
    let manifest = &found.manifest;
    if let Some(line) = manifest.doc.lines().next().filter(|line| !line.is_empty()) {
        screen.line(format_args!("  {}", plain(line)))?;
    }
    screen.line(format_args!("  query  {}", plain(&manifest.query)))?;
    screen.line(format_args!("  per    {}", plain(&manifest.per.to_string())))?;
    if !manifest.reads.is_empty() {
        screen.line(format_args!("  reads  {}", manifest.reads.join(", ")))?;
    }
    for param in &manifest.params {
        screen.line(format_args!("  {}", parameter(param)))?;
    }
    Ok(())
}

fn parameter(param: &Param) -> String {
    let flag = if param.kind.starts_with("output") { "--to " } else { "--set" };
    let default = match (&param.default, param.optional) {
        (Some(default), _) => format!(" (otherwise {default})"),
        (None, true) => " (may be left out)".to_owned(),
        (None, false) => String::new(),
    };
    plain(&format!(
        "{flag}  {}: {}{default}  {}",
        param.name,
        param.kind,
        param.doc.lines().next().unwrap_or_default()
    ))
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_says_how_it_is_given() {
        let param = |kind: &str, default: Option<&str>, optional: bool| {
            let (name, kind, doc) = ("limit".into(), kind.into(), "Above it, alarm.\nMore.".into());
            parameter(&Param { name, kind, doc, default: default.map(str::to_owned), optional })
        };
        assert_eq!(param("number", None, false), "--set  limit: number  Above it, alarm.");
        assert_eq!(param("span", Some("5s"), false), "--set  limit: span (otherwise 5s)  Above it, alarm.");
        assert_eq!(param("output", None, true), "--to   limit: output (may be left out)  Above it, alarm.");
    }
}
