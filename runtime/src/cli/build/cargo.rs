//! Cargo, asked to build a rule: with the profile that rules have, into a target folder that all rules share.

use crate::cli::failure::{Exit, Failure};
use crate::cli::{home, new::sdk};
use anyhow::Context;
use serde_json::Value;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What rules are built for.
const TARGET: &str = "wasm32-unknown-unknown";

/// Makes sure that Rust can build for wasm here.
pub fn require_target(folder: &Path, add: bool) -> Result<(), Failure> {
    if has_target(folder)? {
        return Ok(());
    }
    if !add {
        let message = format!(
            "Rust's wasm target is missing: `rustup target add {TARGET}` installs it, and so does `tidegate build --add-target`"
        );
        return Err(Failure::say(Exit::Failed, message));
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).current_dir(folder).status();
    match added.context("rustup cannot be run: install Rust from https://rustup.rs")? {
        status if status.success() => Ok(()),
        status => Err(Failure::say(Exit::Failed, format!("`rustup target add {TARGET}` failed ({status})"))),
    }
}

/// Whether Rust can build for wasm here.
pub fn has_target(folder: &Path) -> Result<bool, Failure> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .output();
    let asked = asked.context("rustc cannot be run: install Rust from https://rustup.rs")?;
    if !asked.status.success() {
        let said = String::from_utf8_lossy(&asked.stderr);
        return Err(Failure::say(Exit::Failed, format!("rustc does not answer: {}", said.trim())));
    }
    let libraries = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let Ok(entries) = fs::read_dir(libraries) else { return Ok(false) };
    Ok(entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-")))
}

/// The folder for what is compiled: all rules share one, so that the SDK is compiled once.
pub fn target_folder() -> Result<PathBuf, Failure> {
    match std::env::var_os("CARGO_TARGET_DIR").filter(|path| !path.is_empty()) {
        Some(folder) => Ok(std::path::absolute(folder)?),
        None => Ok(home::folder()?.join("target")),
    }
}

/// Cargo itself.
pub fn command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Builds the crate in this folder, and gives the module's bytes.
pub fn build(folder: &Path) -> Result<Vec<u8>, Failure> {
    let target = target_folder()?;
    fs::create_dir_all(&target).with_context(|| format!("{} cannot be made", target.display()))?;
    // Two crates of one name write the same file: nobody else builds until it is read.
    let lock = File::create(target.join(".tidegate-build"))?;
    lock.lock()?;
    let mut cargo = command();
    cargo.args([
        "build",
        "--lib",
        "--release",
        "--target",
        TARGET,
        "--message-format",
        "json-render-diagnostics",
    ]);
    for setting in profile()?.into_iter().chain(paths()?) {
        cargo.args(["--config", &setting]);
    }
    cargo.current_dir(folder).env("CARGO_TARGET_DIR", &target).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = cargo.spawn().context("cargo cannot be run: install Rust from https://rustup.rs")?;
    let manifest = fs::canonicalize(folder.join("Cargo.toml"))?;
    let mut module = None;
    for line in BufReader::new(running.stdout.take().context("cargo has no output")?).lines() {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        module = artefact(&message, &manifest).or(module);
    }
    let status = running.wait()?;
    if !status.success() {
        return Err(Failure::say(Exit::Failed, "the rule does not build: see above"));
    }
    let module = module.ok_or_else(|| {
        let message =
            "the crate builds, but not into a module: its Cargo.toml needs `[lib] crate-type = [\"cdylib\"]`";
        Failure::say(Exit::Invalid, message)
    })?;
    Ok(fs::read(&module).with_context(|| format!("{} cannot be read", module.display()))?)
}

/// The module that this message of cargo's is about, if it is about the package with this manifest.
fn artefact(message: &Value, manifest: &Path) -> Option<PathBuf> {
    let ours = message["reason"] == "compiler-artifact"
        && message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest);
    let files = message["filenames"].as_array().filter(|_| ours)?;
    files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// The profile of rules, as our workspace has it, laid over the crate's release profile.
fn profile() -> Result<Vec<String>, Failure> {
    let ours = sdk::ours()?;
    let rule = ours.get("profile").and_then(|profiles| profiles.get("rule")).and_then(toml::Value::as_table);
    let rule =
        rule.ok_or_else(|| Failure::say(Exit::Bug, "the workspace's manifest has no [profile.rule]"))?;
    let settings = rule.iter().filter(|(key, _)| *key != "inherits");
    Ok(settings.map(|(key, value)| format!("profile.release.{key}={value}")).collect())
}

/// Panics name the file they happened in; where this machine keeps the SDK is nobody's concern.
fn paths() -> Result<Option<String>, Failure> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let known = [
        (cargo.map(|cargo| cargo.join("registry/src")), "registry"),
        (Some(home::folder()?.join("sdk")), "tidegate"),
    ];
    let flags: Vec<toml::Value> = known
        .into_iter()
        .filter_map(|(path, name)| Some(format!("--remap-path-prefix={}={name}", path?.to_str()?).into()))
        .collect();
    Ok((!flags.is_empty()).then(|| format!("target.{TARGET}.rustflags={}", toml::Value::Array(flags))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_are_built_with_the_profile_of_our_own() {
        let settings = profile().unwrap();
        for expected in [
            "profile.release.lto=\"fat\"",
            "profile.release.panic=\"abort\"",
            "profile.release.strip=\"debuginfo\"",
        ] {
            assert!(
                settings.iter().any(|setting| setting == expected),
                "{expected} is not among {settings:?}"
            );
        }
        assert!(!settings.iter().any(|setting| setting.contains("inherits")));
    }

    #[test]
    fn the_module_is_the_one_of_the_package_that_was_asked_for() {
        let message = |manifest: &str, file: &str| json!({ "reason": "compiler-artifact", "manifest_path": manifest, "filenames": ["/t/x.rlib", file] });
        let manifest = Path::new("/p/Cargo.toml");
        assert_eq!(artefact(&message("/p/Cargo.toml", "/t/p.wasm"), manifest), Some("/t/p.wasm".into()));
        assert_eq!(artefact(&message("/q/Cargo.toml", "/t/q.wasm"), manifest), None);
        assert_eq!(artefact(&message("/p/Cargo.toml", "/t/p.so"), manifest), None);
        assert_eq!(artefact(&json!({ "reason": "build-finished" }), manifest), None);
    }
}
