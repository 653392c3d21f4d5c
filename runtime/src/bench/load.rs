//! A load generator that speaks Riemann's protocol: acked events a second, and how long an ack takes.
//!
//! With a rate, latency counts from the moment a message was due, not from when it could be sent: a server that stalls
//! is charged for everything that had to wait (no coordinated omission). How late the generator was by itself is told
//! apart, so that one knows whose delay it is. Without a rate, messages go as fast as acks come back, and latency is
//! mostly the queue of messages in flight.
//!
//! The server usually shares the machine's cores, so the generator must cost little: plain threads, one for sending at
//! a rate and one for all answers, messages encoded beforehand, and no spinning.

mod connection;
mod flood;
mod paced;
mod watch;

use super::frames::Frames;
use super::workload::Kind;
use crate::telemetry::Process;
use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use watch::{Tally, watched};

/// What load to make.
#[derive(Clone, Debug)]
pub struct LoadArgs {
    /// The server.
    pub addr: SocketAddr,
    /// Connections.
    pub conns: usize,
    /// Events of a message.
    pub batch: usize,
    /// Messages that may wait for their ack on each connection.
    pub in_flight: usize,
    /// Events a second over all connections; 0 for as many as are acked.
    pub rate: f64,
    /// How long.
    pub seconds: f64,
    /// Streams that speak.
    pub streams: usize,
    /// Which kind of fleet.
    pub workload: Kind,
    /// A server on this machine, whose CPU time and memory are told as well.
    pub server: Option<u32>,
}

/// An answer may take so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of it.
struct Seen {
    latency: Histogram<u64>,
    /// How late messages were sent through no fault of the server; with a rate only.
    late: Option<Late>,
    /// From the first message to the last answer.
    took: Duration,
}

/// What the pacing thread says of itself.
struct Late {
    by: Histogram<u64>,
    /// Messages that had to wait because too many were in flight, or because the server did not read.
    held: u64,
    /// Events that were due before the end and were not sent until then.
    unsent: u64,
    /// Whether the system lets this thread sleep exactly.
    exact: bool,
}

/// Makes the load and says what came of it. On a run of more than ten seconds, says how it goes on standard error.
pub fn load(args: &LoadArgs) -> anyhow::Result<Value> {
    let args = LoadArgs {
        conns: args.conns.max(1),
        batch: args.batch.max(1),
        in_flight: args.in_flight.max(1),
        seconds: args.seconds.clamp(0.05, 86_400.0),
        ..args.clone()
    };
    let server = match args.server {
        None => None,
        Some(pid) if Process::of(pid).is_some() => Some(pid),
        Some(pid) => {
            bail!("there is no process {pid} in /proc: --server-pid takes a process of this machine")
        }
    };
    let mut frames = Frames::new(args.workload, args.streams, args.batch, crate::clock::now())?;
    let streams = (0..args.conns).map(|_| connect(args.addr)).collect::<anyhow::Result<Vec<_>>>()?;

    let used = || (Process::glance().cpu, server.and_then(Process::of).and_then(|server| server.cpu));
    let before = used();
    let tally = Tally::default();
    let (seen, memory) = watched(&tally, server, || match args.rate > 0.0 {
        true => paced::run(&args, &mut frames, streams, &tally),
        false => flood::run(&args, &mut frames, streams, &tally),
    });
    let seen = seen?;
    let after = used();

    let events = tally.acked() + tally.refused();
    let per_million = |before: Option<Duration>, after: Option<Duration>| {
        let used = after?.checked_sub(before?)?;
        (events > 0).then(|| round(used.as_secs_f64() * 1e6 / events as f64, 4))
    };
    let mut out = json!({
        "bench": "tcp",
        "workload": args.workload.name(),
        "streams": frames.streams(),
        "conns": args.conns,
        "batch": args.batch,
        "in_flight": args.in_flight,
        "rate": args.rate,
        "seconds": round(seen.took.as_secs_f64(), 3),
        "acked_events": tally.acked(),
        "refused_events": tally.refused(),
        "acked_events_per_second": (tally.acked() as f64 / seen.took.as_secs_f64()).round(),
        "ack_latency_us": micros(&seen.latency),
    });
    if let Some(late) = &seen.late {
        out["unsent_events"] = json!(late.unsent);
        out["held_messages"] = json!(late.held);
        out["send_lateness_us"] = micros(&late.by);
        out["exact_sleep"] = json!(late.exact);
    }
    out["generator_cpu_s_per_million"] = json!(per_million(before.0, after.0));
    if let Some(pid) = args.server {
        out["server"] = json!({
            "pid": pid,
            "cpu_s_per_million": per_million(before.1, after.1),
            "rss_start_bytes": memory.start,
            "rss_end_bytes": memory.end,
            "rss_peak_bytes": memory.peak,
        });
    }
    if !memory.intervals.is_empty() {
        out["intervals"] = memory.intervals.iter().map(watch::Interval::json).collect();
    }
    Ok(out)
}

fn connect(addr: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))
        .with_context(|| format!("no answer at {addr}: is `tidegate run` running there?"))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Nanoseconds from 1 to ten minutes, to three digits.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 600_000_000_000, 3)?)
}

fn micros(histogram: &Histogram<u64>) -> Value {
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    json!({
        "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p99_9": at(0.999),
        "max": histogram.max() as f64 / 1000.0,
    })
}

fn round(value: f64, digits: i32) -> f64 {
    let factor = 10f64.powi(digits);
    (value * factor).round() / factor
}

fn nanos_since(moment: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(moment).as_nanos() as u64
}
