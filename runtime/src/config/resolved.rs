//! The configuration as the program uses it: every value there, of its type, within its bounds.

use super::outputs::OutputKind;
use super::problem::{Problem, Source};
use super::section::Secret;
use crate::dead_letters::Keep;
use crate::history;
use crate::telemetry::Level;
use axum::http::HeaderMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tidegate_event::Span;

/// The name of the output that always exists: the page and its subscribers.
pub const LIVE: &str = "live";

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// The log.
    pub log: Log,
    /// Shards and index.
    pub engine: Engine,
    /// Page and control interface.
    pub http: Http,
    /// Riemann's WebSocket and HTTP port.
    pub websocket: WebSocket,
    /// Riemann's port for server-sent events.
    pub sse: Sse,
    /// The node's events about itself.
    pub instrumentation: Instrumentation,
    /// The history of streams in memory.
    pub history: history::Settings,
    /// The dead letters.
    pub dead_letters: Keep,
    /// By name.
    pub inputs: Vec<Input>,
    /// By name, without `live`.
    pub outputs: Vec<Output>,
    pub(super) warnings: Vec<Problem>,
    pub(super) source: Source,
}

impl Config {
    /// The file it came from; `None` for the built-in one.
    pub fn path(&self) -> Option<&std::path::Path> {
        self.source.path.as_deref()
    }

    /// What is allowed but worth a look, drawn.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.iter().map(|problem| self.source.draw("warning", problem)).collect()
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Whether there is one.
    pub enabled: bool,
    /// Bytes of one file.
    pub segment: u64,
    /// Bytes kept at most; whole files are removed, the oldest first.
    pub keep_bytes: u64,
    /// How long events are kept at most.
    pub keep_for: Duration,
    /// Time between two checkpoints.
    pub checkpoint: Duration,
}

/// `[engine]`
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// Threads that own the streams.
    pub shards: usize,
    /// Whether each of them keeps to a core of its own, if there are as many.
    pub pin: bool,
    /// Bytes of events on their way at once.
    pub in_flight: usize,
    /// How long an event without a ttl stays in the index.
    pub default_ttl: Span,
    /// Streams in the index at most, over all shards.
    pub max_streams: usize,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// What its answers mean.
    pub ack: Level,
    /// Where the page and the control interface listen.
    pub address: SocketAddr,
    /// Whether others than this machine may reach them.
    pub allow_remote: bool,
    /// What changes need, wherever they come from. Without one only this machine may make any.
    pub token: Option<Secret>,
    /// Where people find the page, if that is not the address.
    pub public_url: Option<String>,
}

/// `[websocket]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// What its answers mean.
    pub ack: Level,
    /// Whether it listens at all.
    pub enabled: bool,
    /// Where.
    pub address: SocketAddr,
}

/// `[sse]`
#[derive(Clone, Debug, PartialEq)]
pub struct Sse {
    /// Whether it listens at all.
    pub enabled: bool,
    /// Where.
    pub address: SocketAddr,
    /// What is added to the head of each answer.
    pub headers: HeaderMap,
}

/// The name under which the node's events about itself are counted.
pub const INSTRUMENTATION: &str = "instrumentation";

/// `[instrumentation]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrumentation {
    /// Whether the node reports on itself.
    pub enabled: bool,
    /// How often.
    pub interval: Duration,
}

/// `[inputs.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: InputKind,
}

/// `type = …` of an input.
#[derive(Clone, Debug, PartialEq)]
pub enum InputKind {
    /// Riemann's protocol.
    Riemann(Riemann),
    /// This machine.
    Host(Host),
    /// A simulated fleet.
    Fleet(Fleet),
}

/// `type = "riemann"`
#[derive(Clone, Debug, PartialEq)]
pub struct Riemann {
    /// What its answers over TCP mean.
    pub ack: Level,
    /// Where it listens for TCP.
    pub tcp: Option<SocketAddr>,
    /// Where it listens for UDP.
    pub udp: Option<SocketAddr>,
    /// Bytes of one message over TCP.
    pub max_frame: usize,
    /// Bytes of one message over UDP.
    pub max_datagram: usize,
    /// How long a message may stand half sent.
    pub stall: Duration,
    /// How long a connection may say nothing.
    pub idle: Duration,
    /// How long a peer may leave answers unread.
    pub unread: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address.
    pub max_per_address: usize,
}

impl Riemann {
    /// The defaults, listening nowhere yet.
    pub fn silent() -> Self {
        Self {
            ack: Level::Logged,
            tcp: None,
            udp: None,
            max_frame: 16 << 20,
            max_datagram: 16384,
            stall: Duration::from_secs(10),
            idle: Duration::from_secs(3600),
            unread: Duration::from_secs(30),
            max_connections: 10_000,
            max_per_address: 1_000,
        }
    }
}

/// `type = "host"`
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// How often it looks.
    pub every: Duration,
    /// The name it reports; the machine's own if there is none.
    pub host: Option<String>,
}

/// `type = "fleet"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// How many hosts it has.
    pub hosts: usize,
    /// How many services each host has.
    pub services: usize,
    /// How often each reports.
    pub every: Duration,
    /// From the beginning of one incident's turn to the next.
    pub incidents: Duration,
    /// Decides what happens.
    pub seed: u64,
}

/// `[outputs.NAME]`
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its queue and its patience.
    pub common: Common,
    /// What it is.
    pub kind: OutputKind,
    /// What is in force, as it would be written, secrets hidden.
    pub shown: toml::Table,
}

impl Output {
    /// An output that was not read from a file.
    pub fn new(name: &str, common: Common, kind: OutputKind) -> Self {
        Self { name: name.to_owned(), common, kind, shown: toml::Table::new() }
    }
}

/// What a full queue drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// What has waited longest.
    DropOldest,
    /// What has just come.
    DropNewest,
}

/// What all outputs have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Common {
    /// Bytes that may be in memory; without a data directory these are all that may wait.
    pub queue: usize,
    /// Bytes that may wait on disk.
    pub spool: u64,
    /// Events that may wait.
    pub queue_events: usize,
    /// What happens at these bounds.
    pub on_full: OnFull,
    /// Events sent at once.
    pub batch: usize,
    /// How long the same batch is tried.
    pub give_up_after: Duration,
    /// Events that are sent straight from the index.
    pub filter: Option<String>,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            queue: 16 << 20,
            spool: 256 << 20,
            queue_events: 1_000_000,
            on_full: OnFull::DropOldest,
            batch: 500,
            give_up_after: Duration::from_secs(3600),
            filter: None,
        }
    }
}
