//! The contract between the HTTP interface and whoever deploys, pauses and removes rules.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::collections::BTreeMap;

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
}

/// Whoever deploys, pauses and removes rules.
pub trait Control: Send + Sync + 'static {
    /// Deploys a rule, or says what would happen.
    fn deploy(&self, wish: Deployment) -> BoxFuture<'_, Result<Deployed, ControlError>>;

    /// Removes a rule, and tells the position from which it is gone.
    fn remove(&self, name: String) -> BoxFuture<'_, Result<u64, ControlError>>;

    /// Pauses a rule (`true`) or lets it go on (`false`), and tells the position from which that holds.
    fn pause(&self, name: String, pause: bool) -> BoxFuture<'_, Result<u64, ControlError>>;

    /// The names of all rules, in no order, and whether each runs. Called every second while somebody looks, and there may
    /// be thousands: it only reads, and as little as it can.
    fn names(&self) -> Vec<(String, RuleState)>;

    /// One rule.
    fn rule(&self, name: &str) -> Option<RuleStatus>;

    /// What a module says about itself, as JSON. Nothing of it runs.
    fn inspect(&self, wasm: Bytes) -> BoxFuture<'_, Result<serde_json::Value, ControlError>>;
}
