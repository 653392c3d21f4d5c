//! A load generator that speaks Riemann's protocol: acked events a second, and how long an ack takes.
//!
//! With a rate, latency counts from the moment a message was due, not from when it could be sent: a server that stalls
//! is charged for everything that had to wait (no coordinated omission). Without a rate, messages go as fast as acks
//! come back, and latency is mostly the queue of messages in flight.

use super::workload::Fleet;
use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

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
}

/// Messages prepared before the clock starts; they are sent round and round.
const PREPARED: usize = 64;
/// An answer may take so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one connection saw.
struct Seen {
    acked: u64,
    refused: u64,
    latency: Histogram<u64>,
}

/// Makes the load and says what came of it.
pub async fn load(args: &LoadArgs) -> anyhow::Result<Value> {
    let mut fleet = Fleet::new(args.streams).starting(crate::clock::now());
    let frames: Arc<Vec<Vec<u8>>> =
        Arc::new(fleet.messages(PREPARED, args.batch.max(1)).into_iter().map(frame).collect());
    let started = crate::clock::start();
    let until = started + Duration::from_secs_f64(args.seconds.clamp(0.1, 86_400.0));
    let mut connections = JoinSet::new();
    for number in 0..args.conns.max(1) {
        let stream = TcpStream::connect(args.addr)
            .await
            .with_context(|| format!("no answer at {}: is `tidegate run` running there?", args.addr))?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let (sent, waiting) = mpsc::channel(args.in_flight.max(1));
        let every = (args.rate > 0.0)
            .then(|| Duration::from_secs_f64(args.batch as f64 * args.conns.max(1) as f64 / args.rate));
        let (frames, batch) = (frames.clone(), args.batch as u64);
        connections.spawn(async move {
            let writer = tokio::spawn(send(write, frames, number, sent, started, until, every));
            let seen = answers(read, waiting, batch).await;
            writer.await.context("the sender ended")??;
            seen
        });
    }
    let (mut acked, mut refused) = (0, 0);
    let mut latency = histogram()?;
    while let Some(seen) = connections.join_next().await {
        let seen = seen.context("a connection ended")??;
        acked += seen.acked;
        refused += seen.refused;
        latency.add(&seen.latency)?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let micros = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(json!({
        "bench": "tcp",
        "conns": args.conns,
        "batch": args.batch,
        "in_flight": args.in_flight,
        "rate": args.rate,
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "acked_events": acked,
        "refused_events": refused,
        "acked_events_per_second": (acked as f64 / seconds).round(),
        "ack_latency_us": {
            "p50": micros(0.5), "p99": micros(0.99), "p99_9": micros(0.999), "max": latency.max() as f64 / 1000.0,
        },
    }))
}

/// Nanoseconds from 1 to ten minutes, to three digits.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 600_000_000_000, 3)?)
}

fn frame(message: Vec<u8>) -> Vec<u8> {
    let mut frame = (message.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&message);
    frame
}

/// Sends messages when they are due, and notes for each when it was.
async fn send(
    mut to: OwnedWriteHalf,
    frames: Arc<Vec<Vec<u8>>>,
    number: usize,
    sent: mpsc::Sender<Instant>,
    started: Instant,
    until: Instant,
    every: Option<Duration>,
) -> anyhow::Result<()> {
    let mut next = number * 7;
    let mut due = started;
    loop {
        if let Some(every) = every {
            due += every;
            if due > crate::clock::start() {
                tokio::time::sleep_until(due.into()).await;
            }
        } else {
            due = crate::clock::start();
        }
        if due >= until || crate::clock::start() >= until {
            return Ok(());
        }
        // Room for one more in flight comes first: the wait for it belongs to the latency of what was due.
        let Ok(room) = sent.reserve().await else { return Ok(()) };
        room.send(if every.is_some() { due } else { crate::clock::start() });
        to.write_all(&frames[next % frames.len()]).await.context("the server closed the connection")?;
        next += 1;
    }
}

/// Reads one answer for each message sent, in order.
async fn answers(
    from: OwnedReadHalf,
    mut waiting: mpsc::Receiver<Instant>,
    batch: u64,
) -> anyhow::Result<Seen> {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let mut seen = Seen { acked: 0, refused: 0, latency: histogram()? };
    let mut answer = Vec::new();
    while let Some(due) = waiting.recv().await {
        let len = tokio::time::timeout(PATIENCE, from.read_u32()).await.context("no ack within 30 s")??;
        if len > 1 << 20 {
            bail!("an answer of {len} bytes was not expected");
        }
        answer.resize(len as usize, 0);
        from.read_exact(&mut answer).await?;
        seen.latency.saturating_record(due.elapsed().as_nanos() as u64);
        // Msg.ok is field 2, a bool: the bytes 0x10 0x01, and they come first.
        if answer.starts_with(&[0x10, 1]) {
            seen.acked += batch;
        } else {
            seen.refused += batch;
        }
    }
    Ok(seen)
}
