//! What happened in a run, by name: what was done, what was reached, what was found.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// Counters by name.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    sums: BTreeMap<String, u64>,
    longest: BTreeMap<String, u64>,
}

impl Tally {
    /// So many more.
    pub fn add(&mut self, name: &str, more: u64) {
        *self.sums.entry(name.to_owned()).or_default() += more;
    }

    /// So many in all.
    pub fn set(&mut self, name: &str, count: u64) {
        self.sums.insert(name.to_owned(), count);
    }

    /// The largest value counts.
    pub fn longest(&mut self, name: &str, value: u64) {
        let longest = self.longest.entry(name.to_owned()).or_default();
        *longest = value.max(*longest);
    }

    /// How many there were; 0 for what never happened.
    pub fn get(&self, name: &str) -> u64 {
        self.sums.get(name).copied().unwrap_or_default()
    }

    /// How many there were of all names that begin like this.
    pub fn starting_with(&self, start: &str) -> u64 {
        self.sums.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, count)| count).sum()
    }

    /// Adds what happened elsewhere.
    pub fn merge(&mut self, other: &Self) {
        other.sums.iter().for_each(|(name, count)| self.add(name, *count));
        other.longest.iter().for_each(|(name, value)| self.longest(name, *value));
    }

    /// The summary of a run.
    pub fn json(&self, kind: &str, seed: u64, cycles: u64, seconds: u64) -> Value {
        json!({
            "kind": kind, "seed": seed, "cycles": cycles, "seconds": seconds, "counts": self.sums, "longest": self.longest,
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sums = self.sums.iter().map(|(name, count)| format!("{name} {count}"));
        let longest = self.longest.iter().map(|(name, value)| format!("longest {name} {value}"));
        f.write_str(&sums.chain(longest).collect::<Vec<_>>().join(", "))
    }
}
