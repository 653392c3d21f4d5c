//! The contract between the HTTP interface and whoever deploys, pauses and removes rules.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::collections::BTreeMap;
use tidegate_event::Span;

/// A wish to deploy a rule: a module, or the digest of one that is already there, and how it is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment {
    /// The rule's name; without one, the module's own.
    pub name: Option<String>,
    /// The module itself.
    pub wasm: Option<Bytes>,
    /// The digest of a module that the node has.
    pub digest: Option<String>,
    /// The query, instead of the module's own.
    pub query: Option<String>,
    /// The key, instead of the module's own.
    pub per: Option<String>,
    /// Parameters by name.
    pub set: BTreeMap<String, String>,
    /// Configured outputs by the name under which the module declares them.
    pub to: BTreeMap<String, String>,
    /// Whether to check everything and change nothing.
    pub dry_run: bool,
    /// Who wishes it, and when it is not to be granted.
    pub terms: Terms,
    /// Whether it takes over at once or is tried first.
    pub how: How,
    /// For how long it is watched and taken back if it does badly, or tried before it is promoted; zero: not at all.
    pub watch: Option<Span>,
    /// Whether its keys begin anew.
    pub reset_state: bool,
    /// How much of the log it reads before it begins.
    pub backfill: Option<Span>,
    /// The same wish with the same key is granted once.
    pub idempotency_key: Option<String>,
}

/// How a deployment begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum How {
    /// It takes the place of what there is.
    #[default]
    Replace,
    /// It runs beside what there is; what it asks for is compared and held back.
    Shadow,
    /// It runs beside what there is and speaks for so many of a thousand keys.
    Canary(u32),
}

/// Who wishes a change, and which deployment it is a change of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Who wishes it.
    pub by: String,
    /// The generation that must be in force, or the change is refused; 0: no rule of that name may be there.
    pub generation: Option<u64>,
}

/// A wish to go back to an earlier deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollBack {
    /// The rule.
    pub name: String,
    /// To which generation; the last one that was in force and not found bad unless given.
    pub to: Option<u64>,
    /// Why.
    pub reason: String,
    /// Who wishes it, and when it is not to be granted.
    pub terms: Terms,
}

/// What became of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deployed {
    /// The rule.
    pub name: String,
    /// Which deployment of it.
    pub generation: u64,
    /// The log position from which it is in force.
    pub position: u64,
    /// The module's digest.
    pub module: String,
    /// The version the module says it has.
    pub version: String,
    /// The module's size.
    pub bytes: usize,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// How many shards switched.
    pub shards: usize,
}

/// Why a wish was not granted. Everything is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The module, the query or a parameter is wrong.
    #[error("{0}")]
    Invalid(String),
    /// There is no such rule or module.
    #[error("{0}")]
    NotFound(String),
    /// It does not go together with what is there.
    #[error("{0}")]
    Conflict(String),
    /// Somebody else was faster: another generation is in force than the one that this is a change of.
    #[error("{message}")]
    Stale {
        /// What is there and what was expected.
        message: String,
        /// The generation in force; 0 if there is no such rule.
        generation: u64,
        /// Who deployed it.
        by: String,
        /// When, as ISO 8601.
        at: String,
    },
    /// Not now; the same wish may be granted later.
    #[error("{0}")]
    Busy(String),
}

/// Whether a rule runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleState {
    /// It sees every event that its query wants.
    #[default]
    Running,
    /// Somebody paused it.
    Paused,
    /// It is being rebuilt after a fault.
    Restarting,
    /// It faulted too often, and is left out for a while.
    Quarantined,
}

/// The last time a rule misbehaved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LastFault {
    /// The kind of fault, in a word.
    pub kind: String,
    /// What the module said, or what was exceeded.
    pub message: String,
    /// The moment of the rule's life in which it happened.
    pub during: String,
    /// The event it happened on, as JSON.
    pub event: Option<serde_json::Value>,
    /// When, as ISO 8601.
    pub at: String,
}

/// One rule, as a person wants to see it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RuleStatus {
    /// Its name.
    pub name: String,
    /// Which deployment of it.
    pub generation: u64,
    /// The module's digest.
    pub module: String,
    /// The version the module says it has.
    pub version: String,
    /// The query in force.
    pub query: String,
    /// The key in force.
    pub per: String,
    /// Parameters that were set.
    pub set: BTreeMap<String, String>,
    /// Declared outputs and the configured ones behind them.
    pub outputs: BTreeMap<String, String>,
    /// Whether it runs.
    pub status: RuleState,
    /// Events its query wanted.
    pub events: u64,
    /// The same for each of the last seconds, smoothed. The web side fills this in from the rule's counters.
    pub events_per_second: f64,
    /// Nanoseconds it took for each of the latest events. The web side fills this in from the rule's counters.
    pub ns_per_event: f64,
    /// Processor time it took in each of the last seconds, in seconds: 1 is one core. The web side fills this in too.
    pub cpu: f64,
    /// Bytes of memory.
    pub memory: u64,
    /// Keys with state.
    pub keys: u64,
    /// Events it put back into the stream.
    pub emitted: u64,
    /// Events it handed to outputs.
    pub forwarded: u64,
    /// How often it misbehaved.
    pub faults: u64,
    /// The last time it did.
    pub last_fault: Option<LastFault>,
    /// Until when it is left out, as ISO 8601.
    pub quarantined_until: Option<String>,
    /// Who deployed it, if that is known.
    pub by: Option<String>,
    /// Since when it is in force, as ISO 8601.
    pub since: String,
    /// What is being tried beside it.
    pub trial: Option<TrialStatus>,
}

/// A candidate beside a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrialStatus {
    /// Which deployment of the name.
    pub generation: u64,
    /// The module's digest.
    pub module: String,
    /// The version the module says it has.
    pub version: String,
    /// The percentage of keys for which it speaks; 0 for a shadow.
    pub percent: f64,
    /// Whether it runs.
    pub status: RuleState,
    /// Who deployed it, if that is known.
    pub by: Option<String>,
    /// Since when it is tried, as ISO 8601.
    pub since: String,
    /// When it is promoted if it does well, as ISO 8601; not by itself otherwise.
    pub promoted_at: Option<String>,
    /// Events its query wanted.
    pub events: u64,
    /// How often it misbehaved.
    pub faults: u64,
    /// What both it and the rule asked for.
    pub same: u64,
    /// What only it asked for.
    pub only_new: u64,
    /// What only the rule asked for.
    pub only_old: u64,
}

/// An earlier deployment of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PastStatus {
    /// Which deployment of the name.
    pub generation: u64,
    /// The module's digest.
    pub module: String,
    /// The version the module says it has.
    pub version: String,
    /// The query it had.
    pub query: String,
    /// Who deployed it, if that is known.
    pub by: Option<String>,
    /// Where in the log it began.
    pub position: u64,
    /// When, as ISO 8601.
    pub since: String,
    /// Where in the log it ended.
    pub ended_position: u64,
    /// When, as ISO 8601.
    pub ended: String,
    /// How: `replaced`, `rolled back` or `abandoned`.
    pub how: &'static str,
    /// Why, if there is something to say.
    pub reason: Option<String>,
}

/// A difference between a candidate and its incumbent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The position of the log.
    pub position: u64,
    /// Whether the candidate asked, or else the rule.
    pub candidate: bool,
    /// What was to be done.
    pub action: String,
    /// The event.
    pub event: serde_json::Value,
}

/// What was before, and how what is tried differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct History {
    /// The rule.
    pub name: String,
    /// Its earlier deployments, the oldest first.
    pub history: Vec<PastStatus>,
    /// Differences between what is tried and the rule, the latest of them.
    pub differences: Vec<Difference>,
}

/// What a rule has said lately, and its faults.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RuleLog {
    /// The rule.
    pub rule: String,
    /// The last lines, the oldest first.
    pub lines: Vec<RuleLine>,
    /// Lines that came before these.
    pub missed: u64,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RuleLine {
    /// When, as ISO 8601.
    pub at: String,
    /// `error`, `warning`, `info`, `debug` or `trace`; a fault is an error.
    pub level: &'static str,
    /// Who said it, when it was a candidate and not the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// What was said, or the fault with its place in the source.
    pub message: String,
    /// The position of the log at which it was said.
    pub position: u64,
    /// The event that it is about, where it is about one.
    pub event: Option<serde_json::Value>,
}

/// A module that the node keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModuleStatus {
    /// Its digest.
    pub module: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The rules that run it, try it, or may go back to it.
    pub used_by: Vec<String>,
    /// When it was last seen in use, as ISO 8601.
    pub last_used: String,
}

/// Modules that are no longer kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Their digests.
    pub modules: Vec<String>,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Whoever deploys, pauses and removes rules.
pub trait Control: Send + Sync + 'static {
    /// Deploys a rule, or says what would happen.
    fn deploy(&self, wish: Deployment) -> BoxFuture<'_, Result<Deployed, ControlError>>;

    /// Puts an earlier deployment back, as a new generation.
    fn roll_back(&self, wish: RollBack) -> BoxFuture<'_, Result<Deployed, ControlError>>;

    /// Removes a rule, and tells the position from which it is gone.
    fn remove(&self, name: String, terms: Terms) -> BoxFuture<'_, Result<u64, ControlError>>;

    /// Pauses a rule (`true`) or lets it go on (`false`), and tells the position from which that holds.
    fn pause(&self, name: String, pause: bool, terms: Terms) -> BoxFuture<'_, Result<u64, ControlError>>;

    /// Ends a trial: what was tried becomes the rule (no reason) or is given up (with one). Tells the position.
    fn end_trial(
        &self,
        name: String,
        reason: Option<String>,
        terms: Terms,
    ) -> BoxFuture<'_, Result<u64, ControlError>>;

    /// The names of all rules, in no order, and whether each runs. Called every second while somebody looks, and there may
    /// be thousands: it only reads, and as little as it can.
    fn names(&self) -> Vec<(String, RuleState)>;

    /// One rule.
    fn rule(&self, name: &str) -> Option<RuleStatus>;

    /// What was before a rule, and how what is tried differs from it.
    fn history(&self, name: &str) -> Option<History>;

    /// The modules that are kept, by digest.
    fn modules(&self) -> Vec<ModuleStatus>;

    /// Lets go of modules that nothing uses; all of them, or only those that nothing has used for long.
    fn collect(&self, all: bool) -> BoxFuture<'_, Result<Collected, ControlError>>;

    /// The last lines of a rule.
    fn lines(&self, name: &str, limit: usize) -> Option<RuleLog>;

    /// What a module says about itself, as JSON, and how it differs from the rule that it would replace. Nothing of it runs.
    fn inspect(
        &self,
        wasm: Bytes,
        rule: Option<String>,
    ) -> BoxFuture<'_, Result<serde_json::Value, ControlError>>;

    /// Keeps a module that nothing uses yet, and says what [`inspect`](Self::inspect) says.
    fn keep(&self, wasm: Bytes) -> BoxFuture<'_, Result<serde_json::Value, ControlError>>;
}
