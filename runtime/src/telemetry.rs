//! Every counter by name, with its unit and meaning. Counters are plain atomics that are read when somebody asks; the
//! hot path adds to them and looks at none.
//!
//! The books balance: for each input `received = accepted + rejected + shed`, for each output
//! `taken = delivered + dropped + failed + queued`.

mod exposition;
mod histogram;
mod process;

pub use exposition::{Exposition, Full, Series};
pub use histogram::{Histogram, Times};
pub use process::Process;

use dashmap::DashMap;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// What it stands at.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds to it; negative numbers take away.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Sets it.
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }

    /// What it stands at.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Counters told apart by a short, fixed word. The words are ours, never a sender's: their number is bounded by the code.
#[derive(Debug, Default)]
pub struct ByReason(DashMap<&'static str, u64>);

impl ByReason {
    /// Adds to the counter of that word.
    pub fn add(&self, reason: &'static str, n: u64) {
        *self.0.entry(reason).or_default() += n;
    }

    /// All of them, in the order of their words.
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.iter().map(|entry| (*entry.key(), *entry.value())).collect()
    }

    /// Their sum.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|entry| *entry.value()).sum()
    }
}

/// What came in through one input. Unit: events; a message that could not be decoded counts as one.
#[derive(Debug, Default)]
pub struct InputStats {
    /// Its name in the configuration.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// Where it listens, with the real port.
    pub address: String,
    /// What its answers mean.
    pub level: Level,
    /// Everything that arrived.
    pub received: Counter,
    /// What is in the log.
    pub accepted: Counter,
    /// What was refused because of what it is, by reason.
    pub rejected: ByReason,
    /// What was refused or dropped because there was no room, by reason.
    pub shed: ByReason,
    /// Bytes read.
    pub bytes: Counter,
    /// Connections open.
    pub connections: Gauge,
    /// Connections that we closed, by reason.
    pub closed: ByReason,
    /// From decoding a message to having answered it; over UDP, to having handed it on. Unit: messages.
    pub latency: Histogram,
    /// Events sent to those who subscribed here.
    pub sent: Counter,
}

/// What went out through one output. Unit: events.
#[derive(Debug, Default)]
pub struct OutputStats {
    /// Its name in the configuration.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// Its own query, if it takes events without a rule.
    pub asks: OnceLock<String>,
    /// Everything that rules handed to it.
    pub taken: Counter,
    /// What the other side has.
    pub delivered: Counter,
    /// What was dropped because the queue was full.
    pub dropped: Counter,
    /// What was given up on: it is in the dead letters.
    pub failed: Counter,
    /// Attempts that will be repeated.
    pub retries: Counter,
    /// What was sent without labels of its own, as there were too many sets of them.
    pub unlabelled: Counter,
    /// What waits, and what is being sent.
    pub queued: Gauge,
    /// How much may wait; 0 where nothing ever does.
    pub capacity: Gauge,
    /// Bytes that wait.
    pub queued_bytes: Gauge,
    /// How many may wait.
    pub capacity_bytes: Gauge,
    /// Bytes of its spool's files.
    pub spool_bytes: Gauge,
    /// Times that the spool could not be written or read.
    pub spool_errors: Counter,
    /// What a replay of the log forwarded again and the spool knew already.
    pub skipped: Counter,
    /// Whether it is left alone after failures: 0 no, 1 one attempt is under way, 2 yes.
    pub breaker: Gauge,
    /// Whether the last attempt succeeded: 1 yes, 0 no, -1 none so far.
    pub healthy: Gauge,
    /// Why the last failed attempt failed.
    pub last_error: Mutex<Option<String>>,
}

/// What one rule did, over all shards.
#[derive(Debug, Default)]
pub struct RuleStats {
    /// Its name.
    pub name: Arc<str>,
    /// Events that its query wanted.
    pub events: Counter,
    /// Calls of its guests.
    pub calls: Counter,
    /// Nanoseconds spent in them.
    pub nanos: Counter,
    /// Events it put back into the stream.
    pub emitted: Counter,
    /// Events it handed to outputs.
    pub forwarded: Counter,
    /// Lines it logged.
    pub logged: Counter,
    /// Traps, deadlines and the like.
    pub faults: Counter,
    /// Effects that were cut off: hop limit, unknown output.
    pub cut: ByReason,
    /// Keys that have state.
    pub keys: Gauge,
    /// Bytes of memory.
    pub memory: Gauge,
    /// How often a shard left it alone for a while after faults.
    pub quarantines: Counter,
    /// Until when the last of these lasts, in microseconds since 1970; 0 when there was none.
    pub quarantined_until: Gauge,
}

impl RuleStats {
    /// Adds what another has counted; what it holds is not counted.
    fn take_over(&self, other: &Self) {
        let counters: [fn(&Self) -> &Counter; 8] = [
            |rule| &rule.events,
            |rule| &rule.calls,
            |rule| &rule.nanos,
            |rule| &rule.emitted,
            |rule| &rule.forwarded,
            |rule| &rule.logged,
            |rule| &rule.faults,
            |rule| &rule.quarantines,
        ];
        for counter in counters {
            counter(self).add(counter(other).get());
        }
        for (reason, n) in other.cut.all() {
            self.cut.add(reason, n);
        }
    }

    /// Whether it is left alone at this moment, in microseconds since 1970.
    pub fn is_quarantined(&self, now: i64) -> bool {
        self.quarantined_until.get() > now
    }
}

/// What one shard did.
#[derive(Debug, Default)]
pub struct ShardStats {
    /// Events that are its own.
    pub events: Counter,
    /// Batches stepped.
    pub batches: Counter,
    /// Nanoseconds spent stepping.
    pub nanos: Counter,
    /// The same for each event, taken from the batch it came in.
    pub latency: Histogram,
    /// Streams in its index.
    pub streams: Gauge,
    /// Events of streams that found no room in its index.
    pub refused: Gauge,
    /// The same by the code of their state.
    pub states: [Gauge; 6],
    /// The position it has reached.
    pub position: Gauge,
    /// Bytes of memory of the rules that run in it.
    pub memory: Gauge,
    /// How often rules misbehaved in it.
    pub faults: Counter,
}

/// The dead letters. `written = kept + removed + evicted`.
#[derive(Debug, Default)]
pub struct LetterStats {
    /// Letters written, and found at start.
    pub written: Counter,
    /// Letters that there are.
    pub kept: Gauge,
    /// Letters that somebody removed or sent again, or that were written anew.
    pub removed: Counter,
    /// Letters that had to go for want of room, or because of their age.
    pub evicted: Counter,
    /// Bytes of their files.
    pub bytes: Gauge,
    /// Times that they could not be written or read.
    pub errors: Counter,
}

/// The alerts. `events = opened and heard + ignored`; what came twice and what had no room is not among them.
#[derive(Debug, Default)]
pub struct AlertStats {
    /// Events that the desks took.
    pub events: Counter,
    /// Those of them that open, change and resolve nothing.
    pub ignored: Counter,
    /// Events that were taken before and came again.
    pub doubled: Counter,
    /// Events of new alerts for which there was no room: dead letters.
    pub refused: Counter,
    /// Notices handed to outputs; one to several outputs counts once.
    pub notices: Counter,
    /// Notices that the limit held back, to be told of in one.
    pub held: Counter,
    /// Events that told what happened to alerts.
    pub transitions: Counter,
    /// Such events that were dropped because the stream did not take them for too long.
    pub lost: Counter,
    /// Times that the journal could not be written or read.
    pub journal_errors: Counter,
    /// Bytes of the journal.
    pub journal_bytes: Gauge,
    /// Alerts that nobody cares for.
    pub firing: Gauge,
    /// Alerts that somebody cares for.
    pub acknowledged: Gauge,
    /// Alerts that are silenced.
    pub silenced: Gauge,
    /// Alerts that are over and still kept.
    pub resolved: Gauge,
    /// Silences, those that have ended included.
    pub silences: Gauge,
    /// Notices and events that have not reached a queue or the log yet.
    pub outbox: Gauge,
}

/// The log.
#[derive(Debug, Default)]
pub struct LogStats {
    /// Records appended.
    pub records: Counter,
    /// Bytes appended.
    pub bytes: Counter,
    /// Writes to the file system: fewer than records when many wait.
    pub writes: Counter,
    /// Nanoseconds spent writing.
    pub nanos: Counter,
    /// Segment files there are.
    pub segments: Gauge,
    /// Bytes they hold.
    pub size: Gauge,
    /// Writes that failed.
    pub errors: Counter,
    /// Places where something could not be read, or positions were missing.
    pub gaps: Counter,
    /// Positions that were missing there.
    pub missing: Counter,
    /// Bytes that could not be read there.
    pub damaged: Counter,
    /// Bytes of torn tails that were cut off.
    pub torn: Counter,
    /// How long syncs took; one stands for all that was written since the one before.
    pub sync_times: Histogram,
    /// Syncs that failed.
    pub sync_failures: Counter,
    /// Bytes that were written again because they could not be synced.
    pub rewritten: Counter,
    /// Bytes that wait to be synced.
    pub unsynced: Gauge,
    /// Why nothing can be taken in, while that is so.
    trouble: Mutex<Option<String>>,
}

impl LogStats {
    /// Why nothing can be taken in, while that is so.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says so, or that it is over.
    pub fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// What an answer of *yes* means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing: the events were read. What finds no room is dropped, and refused if there is somebody to tell.
    None,
    /// They are in memory, and on their way.
    Accepted,
    /// They survive the death of the process.
    #[default]
    Logged,
    /// They survive a power cut.
    Synced,
}

impl Level {
    /// Its name in the configuration and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Accepted => "accepted",
            Self::Logged => "logged",
            Self::Synced => "synced",
        }
    }
}

/// Checkpoints.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct CheckpointStats {
    pub made: Counter,
    pub failed: Counter,
    pub bytes: Counter,
    pub nanos: Counter,
    /// The position of the newest.
    pub position: Gauge,
    /// When it was made, in microseconds since 1970; 0 when none was made yet.
    pub at: Gauge,
    /// Nanoseconds of the longest slice since the start.
    pub longest: Gauge,
}

/// The history of streams in memory.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct HistoryStats {
    /// Samples taken in: one for each stream that was heard of in a step.
    pub samples: Counter,
    /// Streams it knows.
    pub streams: Gauge,
    pub bytes: Gauge,
    /// Streams that were forgotten for want of room.
    pub forgotten: Counter,
    /// Events of streams that were not noted for want of room.
    pub untracked: Counter,
    /// Samples that found no room.
    pub lost: Counter,
}

/// What was deployed, and what the node decided about it by itself.
#[derive(Debug, Default)]
pub struct ControlStats {
    /// How long shards stood still for a deployment that took a rule's place.
    pub swaps: Histogram,
    /// Rules that got back what a fault had cost them.
    pub rebuilt: Counter,
    /// Rules that began anew because that could not be rebuilt.
    pub not_rebuilt: Counter,
    /// Modules that are kept.
    pub modules: Gauge,
    /// Bytes that they have.
    pub module_bytes: Gauge,
    /// Modules that were let go because nothing used them.
    pub modules_removed: Counter,
    /// Candidates that were promoted after their time.
    pub promoted: Counter,
    /// Candidates that were given up because they did badly.
    pub abandoned: Counter,
    /// Rules that were taken back because they did badly.
    pub rolled_back: Counter,
}

/// Everything that can be counted.
#[derive(Debug, Default)]
pub struct Telemetry {
    inputs: DashMap<String, Arc<InputStats>>,
    outputs: DashMap<String, Arc<OutputStats>>,
    rules: DashMap<Arc<str>, Arc<RuleStats>>,
    /// What rules did that are no longer there.
    removed: RuleStats,
    shards: DashMap<usize, Arc<ShardStats>>,
    /// The log.
    pub log: LogStats,
    /// Checkpoints.
    pub checkpoints: Arc<CheckpointStats>,
    /// The dead letters.
    pub letters: Arc<LetterStats>,
    /// The alerts.
    pub alerts: Arc<AlertStats>,
    /// The history of streams in memory.
    pub history: Arc<HistoryStats>,
    /// Deployments.
    pub control: ControlStats,
    /// Events that entered the log, emitted ones included.
    pub events: Counter,
    /// The last position that was handed to the shards.
    pub position: Gauge,
    /// What outputs of type `prometheus` show.
    pub streams: Arc<Exposition>,
    /// Subscribers there are.
    pub subscribers: Gauge,
    /// Events that subscribers missed because they read too slowly.
    pub skipped: Counter,
}

impl Telemetry {
    /// Registers an input. Its name is unique in a node: the configuration sees to that.
    pub fn add_input(
        &self,
        name: &str,
        kind: &'static str,
        address: impl ToString,
        level: Level,
    ) -> Arc<InputStats> {
        let address = address.to_string();
        let stats = Arc::new(InputStats { name: name.into(), kind, address, level, ..InputStats::default() });
        self.inputs.insert(name.into(), stats.clone());
        stats
    }

    /// Registers an output.
    pub fn add_output(&self, name: &str, kind: &'static str) -> Arc<OutputStats> {
        let stats = Arc::new(OutputStats { name: name.into(), kind, ..OutputStats::default() });
        stats.healthy.set(-1);
        self.outputs.insert(name.into(), stats.clone());
        stats
    }

    /// The counters of a rule, kept over its deployments.
    pub fn rule(&self, name: &str) -> Arc<RuleStats> {
        if let Some(found) = self.rules.get(name) {
            return found.value().clone();
        }
        let fresh = || Arc::new(RuleStats { name: name.into(), ..RuleStats::default() });
        self.rules.entry(name.into()).or_insert_with(fresh).clone()
    }

    /// Forgets a rule that was removed; what it did stays in the totals.
    pub fn remove_rule(&self, name: &str) {
        if let Some((_, rule)) = self.rules.remove(name) {
            self.removed.take_over(&rule);
        }
    }

    /// All rules, in no order.
    pub fn rules(&self) -> Vec<Arc<RuleStats>> {
        self.rules.iter().map(|entry| entry.value().clone()).collect()
    }

    /// What rules did that are no longer there, all together.
    pub fn removed_rules(&self) -> &RuleStats {
        &self.removed
    }

    /// The counters of a shard.
    pub fn shard(&self, number: usize) -> Arc<ShardStats> {
        self.shards.entry(number).or_default().clone()
    }

    /// All inputs by name.
    pub fn inputs(&self) -> BTreeMap<String, Arc<InputStats>> {
        self.inputs.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect()
    }

    /// All outputs by name.
    pub fn outputs(&self) -> BTreeMap<String, Arc<OutputStats>> {
        self.outputs.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect()
    }

    /// Batches that a shard has yet to step.
    pub fn waiting(&self, shard: &ShardStats) -> u64 {
        u64::try_from(self.position.get() - shard.position.get()).unwrap_or(0)
    }

    /// All shards by number.
    pub fn shards(&self) -> BTreeMap<usize, Arc<ShardStats>> {
        self.shards.iter().map(|entry| (*entry.key(), entry.value().clone())).collect()
    }
}
