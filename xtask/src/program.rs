//! Finding and running programs, and what cargo knows about this workspace.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target that rules are built for.
const WASM: &str = "wasm32-unknown-unknown";

/// The folder that this repository is in.
pub fn root() -> PathBuf {
    // Cargo says so when it runs us; a copy of the program remembers where it was built.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let here = Path::new(&here);
    here.parent().unwrap_or(here).to_owned()
}

/// Where a program is, if it is on the path. `sbin` folders count too: daemons live there.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Whether missing programs are failures: on a machine that is set up by `.ci/run` nothing may be missing.
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"))
}

/// A program with its arguments, to be run in the repository's folder.
pub fn command(program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// The cargo that started us.
pub fn cargo(arguments: &[&str]) -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments)
}

/// The command as somebody would type it.
fn typed(command: &Command) -> String {
    let name =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut line = name;
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        line.push(' ');
        if argument.is_empty() || argument.contains([' ', '"', '\'', '$', '*']) {
            line += &format!("'{}'", argument.replace('\'', r"'\''"));
        } else {
            line += &argument;
        }
    }
    line
}

/// Shows the command and runs it; its output is ours.
pub fn run(mut command: Command) -> Result<()> {
    let line = typed(&command);
    println!("$ {line}");
    let status = command.status().with_context(|| format!("`{line}` cannot be started"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// What a command says on standard output.
pub fn output(mut command: Command) -> Result<String> {
    let line = typed(&command);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("`{line}` cannot be started"))?;
    if !output.status.success() {
        bail!("`{line}` failed: {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What cargo knows about this workspace.
#[derive(Default)]
pub struct Workspace {
    /// Where it builds.
    pub target: PathBuf,
    /// The example rules, in the order of their names.
    pub rules: Vec<Rule>,
    /// The rule that is described by its parameters.
    pub standard: Vec<Rule>,
    /// The rules of the benches.
    pub bench_rules: Vec<Rule>,
    /// The rules of the chaos driver.
    pub chaos_rules: Vec<Rule>,
}

/// An example rule.
pub struct Rule {
    /// Its package.
    pub package: String,
    /// Its folder.
    pub folder: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    pub fn ask() -> Result<Self> {
        let json = output(cargo(&["metadata", "--format-version=1", "--no-deps"]))?;
        let known: Value = serde_json::from_str(&json).context("cargo metadata")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let inside = |place: &str| {
            let place = root().join(place);
            let mut rules: Vec<Rule> = known["packages"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|package| {
                    let manifest = PathBuf::from(text(&package["manifest_path"]));
                    let folder = manifest.parent()?.to_owned();
                    folder.starts_with(&place).then(|| Rule { package: text(&package["name"]), folder })
                })
                .collect();
            rules.sort_by(|one, other| one.package.cmp(&other.package));
            rules
        };
        let (rules, bench_rules) = (inside("examples-wasm"), inside("benches/rules"));
        let (standard, chaos_rules) = (inside("sdk/standard"), inside("xtask/rules"));
        let target = PathBuf::from(text(&known["target_directory"]));
        Ok(Self { target, rules, standard, bench_rules, chaos_rules })
    }

    /// Where the program is after a build of this profile.
    pub fn program(&self, profile: &str) -> PathBuf {
        let folder = if profile == "dev" { "debug" } else { profile };
        self.target.join(folder).join("tidegate")
    }

    /// Where a rule's module is.
    pub fn module(&self, package: &str) -> PathBuf {
        let small = self.standard.iter().any(|rule| rule.package == package);
        self.target
            .join(WASM)
            .join(if small { "small" } else { "rule" })
            .join(format!("{}.wasm", package.replace('-', "_")))
    }

    /// Builds the program just as the tests have it, so that after them, or before them, nothing is built twice.
    pub fn build_program(&self) -> Result<PathBuf> {
        run(as_tested("tidegate"))?;
        Ok(self.program("dev"))
    }

    /// Builds every rule for wasm, and the target with it if it is missing.
    pub fn build_rules(&self) -> Result<()> {
        if self.rules.is_empty() {
            bail!("there is no example rule: examples-wasm/*/Cargo.toml was expected");
        }
        build_wasm("rule", self.rules.iter().chain(&self.bench_rules).chain(&self.chaos_rules))?;
        // On its own: it has dependencies that would change what the others are built with.
        build_wasm("small", &self.standard)
    }

    /// The rules inside the program whose module is not what was built from `examples-wasm`.
    pub fn stale(&self) -> Result<Vec<String>> {
        let inside = root().join(INSIDE);
        let mut stale = Vec::new();
        for entry in
            std::fs::read_dir(&inside).with_context(|| format!("{} cannot be read", inside.display()))?
        {
            let file = entry?.path();
            if file.extension().is_none_or(|end| end != "wasm") {
                continue;
            }
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if std::fs::read(&file).ok() != self.stripped(&name).ok() {
                stale.push(name);
            }
        }
        stale.sort();
        Ok(stale)
    }

    /// Puts the rules into the program anew whose modules it carries.
    pub fn put_inside(&self) -> Result<()> {
        self.build_rules()?;
        for rule in self.rules.iter().chain(&self.standard).chain(&self.bench_rules) {
            let to = root().join(INSIDE);
            std::fs::create_dir_all(&to)?;
            let to = to.join(self.module(&rule.package).file_name().unwrap_or_default());
            if !to.exists() {
                continue;
            }
            let wasm = self.stripped(&rule.package)?;
            println!("{:>7} bytes  {}", wasm.len(), rule.package);
            std::fs::write(&to, wasm).with_context(|| format!("{} cannot be written", to.display()))?;
        }
        Ok(())
    }

    /// A rule's module as `tidegate build` would leave it.
    fn stripped(&self, package: &str) -> Result<Vec<u8>> {
        let from = self.module(package);
        let wasm = std::fs::read(&from).with_context(|| format!("{} cannot be read", from.display()))?;
        Ok(crate::strip::strip(&wasm))
    }
}

/// Builds a program with a small test beside it: with tests wanted, and all of the workspace, its dependencies have the
/// features that they have for every test, and are built once for both.
pub fn as_tested(program: &str) -> Command {
    cargo(&["build", "--workspace", "--bin", program, "--test", "wasm_agrees"])
}

/// Where the modules are that the program carries inside.
const INSIDE: &str = "runtime/rules";

/// Builds modules, and the target with them if it is missing.
pub fn build_wasm<'r>(profile: &str, rules: impl IntoIterator<Item = &'r Rule>) -> Result<()> {
    add_wasm_target()?;
    let mut build = cargo(&["build", "--profile", profile, "--target", WASM, "--lib"]);
    for rule in rules {
        build.args(["--package", &rule.package]);
    }
    // Panics name the file they stand in. Without this they would name folders of whoever built the module, and the
    // same source would give other bytes elsewhere.
    let registry = std::env::var("CARGO_HOME")
        .unwrap_or_else(|_| format!("{}/.cargo", std::env::var("HOME").unwrap_or_default()));
    let flags =
        format!("--remap-path-prefix={registry}/registry/src= --remap-path-prefix={}=", root().display());
    build.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags);
    run(build)
}

/// Sees to it that this toolchain can build for wasm.
fn add_wasm_target() -> Result<()> {
    let sysroot = output(command("rustc", &["--print", "sysroot"]))?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(WASM).join("lib").is_dir() {
        return Ok(());
    }
    if find("rustup").is_none() {
        bail!(
            "this Rust cannot build for {WASM} and rustup is not here to add it: install Rust with https://rustup.rs"
        );
    }
    run(command("rustup", &["target", "add", WASM]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let command = command("/usr/bin/tidegate", &["query", "state = \"ok\"", "it's"]);
        assert_eq!(typed(&command), r#"tidegate query 'state = "ok"' 'it'\''s'"#);
    }

    #[test]
    fn the_example_rules_are_found() {
        let workspace = Workspace::ask().unwrap();
        assert!(workspace.rules.iter().any(|rule| rule.package == "top_talkers"));
    }
}
