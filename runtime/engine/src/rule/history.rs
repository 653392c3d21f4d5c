//! What is remembered of a rule's deployments: how the earlier ones ended, and what is being tried beside it.

use super::RuleSpec;
use serde::{Deserialize, Serialize};

/// An earlier deployment of a name, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// As it was deployed.
    pub spec: RuleSpec,
    /// Where in the log it began.
    pub deployed: u64,
    /// When, in microseconds.
    pub at: i64,
    /// Where in the log it ended.
    pub ended: u64,
    /// When, in microseconds.
    pub ended_at: i64,
    /// How.
    pub how: How,
}

/// How a deployment ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Another took its place.
    Replaced,
    /// An earlier one was put back in its place.
    RolledBack {
        /// Why.
        reason: String,
    },
    /// It was only tried, and given up.
    Abandoned {
        /// Why.
        reason: String,
    },
}

/// A candidate beside a rule, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Where in the log it began.
    pub deployed: u64,
    /// When, in microseconds.
    pub at: i64,
    /// The candidate.
    pub spec: RuleSpec,
    /// Of a thousand keys, those for which it speaks.
    pub share: u32,
    /// What it and the rule asked for, so far.
    #[serde(default)]
    pub compared: Compared,
}

/// What a candidate and its incumbent asked for: how much of it was the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compared {
    /// Both asked for it.
    pub same: u64,
    /// Only the candidate did.
    pub only_new: u64,
    /// Only the incumbent did.
    pub only_old: u64,
    /// Some of the differences, the oldest first.
    pub samples: Vec<Sample>,
}

/// A difference between a candidate and its incumbent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The position of the log at which they differed.
    pub position: u64,
    /// Whether it is the candidate that asked.
    pub candidate: bool,
    /// What was to be done: `emit`, or `forward` and the declared output.
    pub action: String,
    /// The event, as JSON.
    pub event: String,
}

impl Compared {
    /// Adds what came later. Of all samples the latest `keep` stay.
    pub fn add(&mut self, later: &Self, keep: usize) {
        self.same += later.same;
        self.only_new += later.only_new;
        self.only_old += later.only_old;
        self.samples.extend_from_slice(&later.samples);
        self.samples.drain(..self.samples.len().saturating_sub(keep));
    }
}
