//! Where we differ from Riemann by design: `deviations.toml`, one entry for each difference, with its reason.

use anyhow::{Context, Result};
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;
use std::cell::Cell;

/// The list.
pub struct Deviations(Vec<Entry>);

struct Entry {
    case: Regex,
    outcome: Regex,
    reason: String,
    used: Cell<bool>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    deviation: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// What the case's JSON has in it.
    #[serde(default)]
    case: String,
    /// What is told of its failure.
    #[serde(default)]
    outcome: String,
    reason: String,
}

impl Deviations {
    pub fn read() -> Result<Self> {
        let file: File = toml::from_str(include_str!("../deviations.toml")).context("deviations.toml")?;
        let regex = |text: &str| Regex::new(text).with_context(|| format!("deviations.toml: {text}"));
        let entries = file.deviation.into_iter().map(|written| {
            Ok(Entry {
                case: regex(&written.case)?,
                outcome: regex(&written.outcome)?,
                reason: written.reason,
                used: Cell::new(false),
            })
        });
        entries.collect::<Result<_>>().map(Self)
    }

    /// Why a case is expected to fail as it does.
    pub fn reason(&self, case: &Value, outcome: &str) -> Option<&str> {
        let text = case.to_string();
        let fits = |entry: &&Entry| entry.case.is_match(&text) && entry.outcome.is_match(outcome);
        let entry = self.0.iter().find(fits)?;
        entry.used.set(true);
        Some(&entry.reason)
    }

    /// The entries that no case has needed.
    pub fn unused(&self) -> impl Iterator<Item = String> {
        let unused = self.0.iter().filter(|entry| !entry.used.get());
        unused.map(|entry| format!("case {:?}, outcome {:?}", entry.case.as_str(), entry.outcome.as_str()))
    }
}
