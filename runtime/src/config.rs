//! What the operator wants, read from one file and the environment: `Written` as typed, `Config` as checked.
//!
//! ```text
//! file ──► tree of values ◄── TIDEGATE__SECTION__KEY
//!               │ every key: type, bounds, default; what nobody asks for is an unknown key
//!               ▼
//!            Config, or all mistakes at once
//! ```
//!
//! Unknown keys are mistakes: a setting that is silently ignored is worse than a node that does not start.

mod outputs;
mod problem;
mod resolve;
mod resolved;
mod section;
mod written;

pub use outputs::OutputKind;
pub use problem::{ConfigError, Problem, Source, Spot};
pub use resolved::{
    Common, Config, Engine, Fleet, Host, Http, INSTRUMENTATION, Input, InputKind, Instrumentation, LIVE, Log,
    OnFull, Output, Riemann, Sse, WebSocket,
};
pub use section::{Secret, Section, size_text, time_text};

use section::Findings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use written::Table;

/// What a node does without a configuration file.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Where a file is looked for when nobody names one.
pub const PLACES: [&str; 2] = ["tidegate.toml", "/etc/tidegate/tidegate.toml"];

/// Names the file; less strong than `--config`.
pub const VARIABLE: &str = "TIDEGATE_CONFIG";

/// Begins the name of every variable that overrides a key.
pub const PREFIX: &str = "TIDEGATE__";

/// The environment, as far as it concerns us.
pub type Environment = BTreeMap<String, String>;

/// The environment of this process. Names and values that are not UTF-8 cannot be meant for us.
pub fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Finds the file and reads it: the one that is named, else `TIDEGATE_CONFIG`, else the first of [`PLACES`] that is
/// there, else what is built in.
pub fn load(named: Option<&Path>, environment: &Environment) -> Result<Config, ConfigError> {
    let named = named.map(PathBuf::from).or_else(|| environment.get(VARIABLE).map(PathBuf::from));
    let found = || PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    let Some(path) = named.or_else(found) else { return parse(Source::default(), environment) };
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(Source { path: Some(path), text }, environment),
        Err(error) => {
            let problem = Problem::new(Spot::BuiltIn, format!("{} cannot be read: {error}", path.display()));
            Err(ConfigError { source: Source::default(), problems: vec![problem] })
        }
    }
}

/// Reads this text and lays the environment over it.
pub fn parse(source: Source, environment: &Environment) -> Result<Config, ConfigError> {
    read(source, environment, &Findings::default())
}

fn read(source: Source, environment: &Environment, findings: &Findings) -> Result<Config, ConfigError> {
    let (mut table, grammar) = Table::parse(&source.text);
    // A file that does not speak of inputs leaves them as they are.
    for (name, entry) in Table::built_in(DEFAULT).0 {
        table.0.entry(name).or_insert(entry);
    }
    for (variable, value) in environment {
        if let Some(path) = variable.strip_prefix(PREFIX) {
            table.overlay(variable, path, value).unwrap_or_else(|problem| findings.error(problem));
        }
    }
    let variable = |name: &str| environment.get(name).cloned();
    let mut root = Section::root(&table, findings, &variable);
    let mut config = resolve::resolve(&mut root);
    root.finish();
    // After a mistake of grammar the rest of the tree is a guess: what it lacks may be there.
    let mut problems = if grammar.is_empty() { findings.errors.take() } else { grammar };
    if problems.is_empty() {
        config.warnings = findings.warnings.take();
        config.source = source;
        return Ok(config);
    }
    problems.sort_by_key(|problem| match &problem.spot {
        Spot::File(range) | Spot::Secret(range) => (0, range.start),
        _ => (1, 0),
    });
    Err(ConfigError { source, problems })
}

/// Every key there is, with `*` for names that the operator chooses. The manual's reference is held to this list.
pub fn keys() -> Vec<String> {
    let mut text = String::from("[inputs.riemann]\ntype = \"riemann\"\n");
    for name in ["host", "fleet"] {
        text += &format!("[inputs.{name}]\ntype = \"{name}\"\n");
    }
    for (word, needed) in OutputKind::WORDS.iter().zip(OutputKind::NEEDED) {
        text += &format!("[outputs.{word}]\ntype = \"{word}\"\n{needed}\n");
    }
    // A list of sections has keys where it has a section.
    text += "[[outputs.alerts.escalate]]\nto = [\"console\"]\n";
    let findings = Findings::default();
    let source = Source { path: None, text };
    read(source, &Environment::new(), &findings)
        .expect("one input and one output of each type is a fine configuration");
    let mut keys = findings.asked.take();
    keys.sort();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests;
