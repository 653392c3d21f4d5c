//! All counters as they stood at one moment, as far as two such moments make a report.

use crate::clock;
use crate::ingest::Ingest;
use crate::telemetry::{InputStats, OutputStats, Process, RuleStats, ShardStats, Telemetry, Times};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// One moment.
#[derive(Debug)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// Events that entered the log.
    pub events: u64,
    /// What waits at the door.
    pub waiting: usize,
    /// Bytes on their way, and how many there may be.
    pub in_flight: (usize, usize),
    /// Threads that serve sockets.
    pub threads: usize,
    /// Memory and processor time.
    pub process: Process,
    /// By name.
    pub inputs: BTreeMap<String, InputReading>,
    /// By name.
    pub outputs: BTreeMap<String, OutputReading>,
    /// By number.
    pub shards: BTreeMap<usize, ShardReading>,
    /// By name.
    pub rules: HashMap<Arc<str>, RuleReading>,
    /// The rules that were reported then.
    pub reported: HashSet<Arc<str>>,
}

/// An input.
#[derive(Debug, Default)]
pub struct InputReading {
    /// Riemann's word for it, if it has one.
    pub protocol: Option<&'static str>,
    pub address: String,
    pub accepted: u64,
    /// Rejected and shed.
    pub lost: u64,
    pub sent: u64,
    pub connections: i64,
    pub times: Times,
}

/// An output.
#[derive(Debug, Default)]
pub struct OutputReading {
    pub taken: u64,
    pub delivered: u64,
    /// Dropped and failed.
    pub lost: u64,
    pub queued: i64,
    pub capacity: i64,
    pub queued_bytes: i64,
    pub capacity_bytes: i64,
}

/// A shard.
#[derive(Debug, Default)]
pub struct ShardReading {
    pub events: u64,
    pub nanos: u64,
    pub streams: i64,
    pub waiting: u64,
    pub times: Times,
}

/// A rule.
#[derive(Debug, Default)]
pub struct RuleReading {
    pub events: u64,
    pub calls: u64,
    pub nanos: u64,
    pub faults: u64,
    pub memory: i64,
    pub keys: i64,
    pub quarantined: bool,
}

impl Reading {
    /// Reads everything now. Called on a thread of the runtime, or a blocking one of it.
    pub fn take(telemetry: &Telemetry, ingest: &Ingest) -> Self {
        let (at, now) = (clock::start(), clock::now().0);
        let shards = telemetry.shards().into_iter();
        let rules = telemetry.rules().into_iter();
        Self {
            at,
            events: telemetry.events.get(),
            waiting: ingest.waiting(),
            in_flight: ingest.in_flight(),
            threads: tokio::runtime::Handle::try_current()
                .map_or(0, |runtime| runtime.metrics().num_workers()),
            process: Process::glance(),
            inputs: telemetry.inputs().into_iter().map(|(name, input)| (name, (&*input).into())).collect(),
            outputs: telemetry
                .outputs()
                .into_iter()
                .map(|(name, output)| (name, (&*output).into()))
                .collect(),
            shards: shards
                .map(|(number, shard)| (number, ShardReading::of(&shard, telemetry.waiting(&shard))))
                .collect(),
            rules: rules.map(|rule| (rule.name.clone(), RuleReading::of(&rule, now))).collect(),
            reported: HashSet::new(),
        }
    }
}

impl From<&InputStats> for InputReading {
    fn from(input: &InputStats) -> Self {
        Self {
            protocol: match input.kind {
                "riemann_tcp" => Some("tcp"),
                "riemann_udp" => Some("udp"),
                "riemann-ws" => Some("ws"),
                "riemann-sse" => Some("sse"),
                _ => None,
            },
            address: input.address.clone(),
            accepted: input.accepted.get(),
            lost: input.rejected.total() + input.shed.total(),
            sent: input.sent.get(),
            connections: input.connections.get(),
            times: input.latency.read(),
        }
    }
}

impl From<&OutputStats> for OutputReading {
    fn from(output: &OutputStats) -> Self {
        Self {
            taken: output.taken.get(),
            delivered: output.delivered.get(),
            lost: output.dropped.get() + output.failed.get(),
            queued: output.queued.get(),
            capacity: output.capacity.get(),
            queued_bytes: output.queued_bytes.get(),
            capacity_bytes: output.capacity_bytes.get(),
        }
    }
}

impl ShardReading {
    fn of(shard: &ShardStats, waiting: u64) -> Self {
        Self {
            events: shard.events.get(),
            nanos: shard.nanos.get(),
            streams: shard.streams.get(),
            waiting,
            times: shard.latency.read(),
        }
    }
}

impl RuleReading {
    fn of(rule: &RuleStats, now: i64) -> Self {
        Self {
            events: rule.events.get(),
            calls: rule.calls.get(),
            nanos: rule.nanos.get(),
            faults: rule.faults.get(),
            memory: rule.memory.get(),
            keys: rule.keys.get(),
            quarantined: rule.is_quarantined(now),
        }
    }
}
