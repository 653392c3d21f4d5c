//! What a backtest found, as it is told: the same bytes for the same events, rules and options, on every machine and for
//! every number of shards. Nothing in it depends on a clock.

use super::candidate::Candidate;
use super::compare::Compared;
use super::fired::{Interval, Moved};
use super::instructions::Instructions;
use super::source::Read;
use super::trial::{FaultSeen, Tally};
use serde::Serialize;
use std::collections::BTreeMap;

/// The number of this layout. Names are only ever added under it.
pub const SCHEMA: u32 = 1;

/// Everything.
#[derive(Debug, Serialize)]
pub struct Report {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// What was read.
    pub read: Read,
    /// What the rule did.
    pub rule: Outcome,
    /// What the one did that it was compared with.
    pub against: Option<Outcome>,
    /// How they differ.
    pub differences: Option<Differences>,
}

/// What one rule did.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of its module.
    pub module: String,
    /// Which events it got.
    pub query: String,
    /// What had its own copy of its state.
    pub per: String,
    /// Its parameters.
    pub set: BTreeMap<String, String>,
    /// Events that it was given, goodbyes of streams among them.
    pub wanted: u64,
    /// Keys with state.
    pub keys: Keys,
    /// What it asked for.
    pub effects: Effects,
    /// When it said that something was not well.
    pub fired: Fires,
    /// How it failed.
    pub faults: Faults,
    /// What it cost, if that was counted.
    pub instructions: Option<Instructions>,
}

/// Keys with state.
#[derive(Debug, Serialize)]
pub struct Keys {
    /// At the end.
    pub last: u64,
    /// At most.
    pub most: u64,
    /// Events whose key found no room.
    pub over: u64,
}

/// Effects by where they go.
#[derive(Debug, Serialize)]
pub struct Effects {
    /// Back into the stream.
    pub stream: u64,
    /// To each output, by the name under which the rule declares it.
    pub outputs: BTreeMap<String, u64>,
    /// Lines of its log.
    pub log: u64,
    /// Not carried out, by reason.
    pub cut: BTreeMap<&'static str, u64>,
}

/// Intervals in another state than `ok`.
#[derive(Debug, Serialize)]
pub struct Fires {
    /// How many.
    pub count: u64,
    /// How many had not ended.
    pub standing: u64,
    /// Events in such a state that were not followed, for want of room.
    pub untracked: u64,
    /// The first of them, in the order in which they began.
    pub intervals: Vec<Interval>,
}

/// Failed calls.
#[derive(Debug, Serialize)]
pub struct Faults {
    /// How many.
    pub count: u64,
    /// Events that were not handled for it.
    pub skipped: u64,
    /// The first of them.
    pub first: Vec<FaultSeen>,
}

/// How two versions differ.
#[derive(Debug, Serialize)]
pub struct Differences {
    /// When they fired.
    pub fired: Moved,
    /// What they asked for.
    pub effects: Compared,
}

impl Differences {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.effects.only_rule == 0 && self.effects.only_against == 0
    }
}

impl Outcome {
    /// Puts together what a rule did.
    pub fn new(
        candidate: &Candidate,
        tally: Tally,
        (count, standing, untracked): (u64, u64, u64),
        intervals: Vec<Interval>,
        instructions: Option<Instructions>,
    ) -> Self {
        let spec = &candidate.spec;
        let names = spec.outputs.iter().map(|(name, _)| name.clone());
        Self {
            name: spec.name.clone(),
            version: spec.version.clone(),
            module: spec.module.clone(),
            query: spec.query.clone(),
            per: spec.per.to_string(),
            set: spec.set.iter().cloned().collect(),
            wanted: tally.wanted,
            keys: Keys { last: tally.keys, most: tally.keys_most, over: tally.over },
            effects: Effects {
                stream: tally.emitted,
                outputs: names.zip(tally.forwarded).collect(),
                log: tally.logged,
                cut: tally.cut,
            },
            fired: Fires { count, standing, untracked, intervals },
            faults: Faults { count: tally.faults, skipped: tally.skipped, first: tally.shown },
            instructions,
        }
    }
}
