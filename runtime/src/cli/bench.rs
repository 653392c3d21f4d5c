//! `tidegate bench`: how fast the stages are on this machine, and a load generator for a node.

use super::failure::{Exit, Failure};
use super::screen::Screen;
use crate::bench::workload::Kind;
use crate::bench::{
    BacktestArgs, LoadArgs, StageArgs, backtest, decode, guest, load, many, matching, shard, stages,
};
use clap::Subcommand;
use serde_json::Value;
use std::net::SocketAddr;

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All of one shard: decode, index, match, run a rule.
    Shard(Stage),
    /// The decoder of Riemann's messages alone.
    Decode(Stage),
    /// Matching events against many rules' queries alone.
    Match(Stage),
    /// A rule's guest alone, as wasm and linked in.
    Guest(Stage),
    /// Each stage by itself, and all together: where the time goes.
    Stages(Stage),
    /// Many rules, each for a service of its own: memory, deployments, and what they do to other events.
    Rules(Stage),
    /// A backtest over a log that is written for it.
    Backtest(Past),
    /// A node over TCP: acked events a second, and how long an ack takes.
    Tcp(Load),
}

#[derive(Debug, clap::Args)]
struct Stage {
    /// Streams that speak.
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    streams: usize,
    /// Rules that are deployed; the first wants every event, the others none.
    #[arg(long, visible_alias = "count", default_value_t = 1, value_parser = at_least_one)]
    rules: usize,
    /// How many of them want every event.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    matching: usize,
    /// Shards, each on a thread of its own, compared with one.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    shards: usize,
    /// Which kind of fleet: steady, skewed, bursty, churn or long.
    #[arg(long, default_value_t)]
    workload: Kind,
    /// Events of a batch.
    #[arg(long, default_value_t = 256, value_parser = at_least_one)]
    batch: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 3.0, value_parser = positive)]
    seconds: f64,
    /// The rule that wants every event: one that is built in.
    #[arg(long, default_value_t = StageArgs::default().rule)]
    rule: String,
}

#[derive(Debug, clap::Args)]
struct Past {
    /// Events in the log, about 140 bytes each on the disk for temporary files.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Events a second of the log's own time.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    /// Events of a batch.
    #[arg(long, default_value_t = 256, value_parser = at_least_one)]
    batch: usize,
    /// Streams that speak.
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    streams: usize,
    /// Which kind of fleet: steady, skewed, bursty, churn or long.
    #[arg(long, default_value_t)]
    workload: Kind,
    /// Shards, each on a thread of its own.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    shards: usize,
    /// How often; the median is told, and every report must be the same.
    #[arg(long, default_value_t = 3, value_parser = at_least_one)]
    runs: usize,
    /// The rule: one that is built in.
    #[arg(long, default_value_t = StageArgs::default().rule)]
    rule: String,
    /// Count instructions over so many of the first events.
    #[arg(long, default_value_t = 100_000)]
    instructions: u64,
}

#[derive(Debug, clap::Args)]
struct Load {
    /// The node's Riemann port.
    #[arg(long, default_value = "127.0.0.1:5555")]
    addr: SocketAddr,
    /// Connections.
    #[arg(long, default_value_t = 4, value_parser = at_least_one)]
    conns: usize,
    /// Events of a message.
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    batch: usize,
    /// Messages that may wait for their ack on each connection.
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    in_flight: usize,
    /// Events a second over all connections; as many as are acked if left out.
    #[arg(long, default_value_t = 0.0, hide_default_value = true)]
    rate: f64,
    /// How long to measure.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    seconds: f64,
    /// Streams that speak.
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    streams: usize,
    /// Which kind of fleet: steady, skewed, bursty, churn or long.
    #[arg(long, default_value_t)]
    workload: Kind,
    /// The server's process, if it is on this machine: its CPU time and memory are told as well.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=100_000_000).contains(n))
        .ok_or_else(|| "1 to 100000000 was expected".into())
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|n| (0.05..=86_400.0).contains(n))
        .ok_or_else(|| "0.05 to 86400 was expected".into())
}

/// Measures, and prints the figures.
pub fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let figures = match args.what {
        What::Shard(stage) => shard(&stage.into())?,
        What::Decode(stage) => decode(&stage.into())?,
        What::Match(stage) => matching(&stage.into())?,
        What::Guest(stage) => guest(&stage.into())?,
        What::Stages(stage) => stages(&stage.into())?,
        What::Rules(stage) => many(&stage.into())?,
        What::Backtest(past) => backtest(&past.into())?,
        What::Tcp(tcp) => {
            let address = tcp.addr;
            // Whether anybody is there is asked first, so that the answer is the usual one.
            std::net::TcpStream::connect(address)
                .map_err(|error| super::send::unreachable(&address, &error))?;
            load(&tcp.into()).map_err(|error| Failure::new(Exit::Failed, error))?
        }
    };
    if screen.json { screen.value(&figures) } else { print(&figures, screen) }
}

impl From<Stage> for StageArgs {
    fn from(stage: Stage) -> Self {
        let Stage { streams, rules, matching, shards, workload, batch, seconds, rule } = stage;
        Self { streams, rules, matching, shards, workload, batch, seconds, rule }
    }
}

impl From<Past> for BacktestArgs {
    fn from(past: Past) -> Self {
        let Past { events, rate, batch, streams, workload, shards, runs, rule, instructions } = past;
        Self { events, rate, batch, streams, workload, shards, runs, rule, instructions }
    }
}

impl From<Load> for LoadArgs {
    fn from(load: Load) -> Self {
        let Load { addr, conns, batch, in_flight, rate, seconds, streams, workload, server_pid: server } =
            load;
        Self { addr, conns, batch, in_flight, rate, seconds, streams, workload, server }
    }
}

/// One figure a line; those of a group bear its name before their own.
fn print(figures: &Value, screen: &Screen) -> Result<(), Failure> {
    let mut lines = Vec::new();
    flatten("", figures, &mut lines);
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    lines.iter().try_for_each(|(name, text)| screen.line(format_args!("{name:width$}  {text}")))?;
    let Some(stages) = figures["stages"].as_array() else { return Ok(()) };
    let cell = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let row =
        |row: &Value| ["stage", "ns_per_event", "share", "limit_ns"].map(|name| cell(&row[name])).to_vec();
    screen.table(&["stage", "ns/event", "share", "limit ns"], &stages.iter().map(row).collect::<Vec<_>>())
}

fn flatten(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let name = format!("{name} {member}").trim_start().replace('_', " ");
                flatten(&name, value, lines);
            }
        }
        // Rows are shown as a table.
        Value::Array(rows) if rows.iter().any(Value::is_object) => {}
        Value::String(text) => lines.push((name.to_owned(), text.clone())),
        other => lines.push((name.to_owned(), other.to_string())),
    }
}
