//! Where we differ from Riemann by design: `deviations.toml`, one entry for each difference, with its reason.

use anyhow::{Context, Result};
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

/// The list.
pub struct Deviations(Vec<Entry>);

struct Entry {
    cases: Regex,
    reason: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    deviation: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Held against the case's JSON, after its name and a space.
    cases: String,
    reason: String,
}

impl Deviations {
    pub fn read() -> Result<Self> {
        let file: File = toml::from_str(include_str!("../deviations.toml")).context("deviations.toml")?;
        let entries = file.deviation.into_iter().map(|written| {
            let cases = Regex::new(&written.cases).with_context(|| format!("deviations.toml: {}", written.cases))?;
            Ok(Entry { cases, reason: written.reason })
        });
        entries.collect::<Result<_>>().map(Self)
    }

    /// Why a case is expected to fail.
    pub fn reason(&self, id: &str, case: &Value) -> Option<&str> {
        let text = format!("{id} {case}");
        self.0.iter().find(|entry| entry.cases.is_match(&text)).map(|entry| entry.reason.as_str())
    }
}
