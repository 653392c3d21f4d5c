//! Riemann's protocol over UDP: a datagram is a message without a frame, and nothing is ever answered.
//!
//! Datagrams that have arrived together become one batch. Nobody waits for an answer here, so what finds no room is
//! dropped and counted. Questions are not asked: there is nowhere to send what was found.

use super::BindError;
use crate::clock;
use crate::config;
use crate::ingest::Ingest;
use crate::telemetry::{InputStats, Level, Telemetry};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::codec::{self, Limits};
use tidegate_event::BatchBuilder;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

/// Datagrams of one batch at most.
const DATAGRAMS: usize = 256;

/// Bytes of one batch at most, up to one datagram more.
const BYTES: usize = 256 << 10;

/// How long nothing is read after the system reports an error.
const PAUSE: Duration = Duration::from_millis(50);

/// A socket.
#[derive(Debug)]
pub struct RiemannUdp {
    socket: UdpSocket,
    max_datagram: usize,
    ingest: Ingest,
    stats: Arc<InputStats>,
}

impl RiemannUdp {
    /// Listens on `settings.udp`.
    pub async fn bind(
        name: &str,
        settings: &config::Riemann,
        ingest: Ingest,
        telemetry: &Telemetry,
    ) -> Result<Self, BindError> {
        let address = settings.udp.unwrap_or(([127, 0, 0, 1], 5555).into());
        let failed = |cause| BindError { input: name.to_owned(), protocol: "udp", address, cause };
        let socket = UdpSocket::bind(address).await.map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        let stats = telemetry.add_input(&format!("{name}/udp"), "riemann_udp", bound, Level::None);
        Ok(Self { socket, max_datagram: settings.max_datagram, ingest, stats })
    }

    /// Its counters.
    pub fn stats(&self) -> &Arc<InputStats> {
        &self.stats
    }

    /// Reads until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        // One byte more than is allowed: a longer datagram is cut off, and seen to be longer.
        let mut scratch = vec![0; self.max_datagram + 1];
        loop {
            let ready = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                ready = self.socket.readable() => ready,
            };
            let mut arrived = Arrived::default();
            let mut failed = ready.is_err();
            while !failed && !arrived.is_full() {
                match self.socket.try_recv(&mut scratch) {
                    Ok(length) => self.keep(&mut arrived, &scratch[..length]),
                    Err(error) => {
                        failed = error.kind() != std::io::ErrorKind::WouldBlock;
                        break;
                    }
                }
            }
            self.bring(arrived);
            if failed {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn keep(&self, arrived: &mut Arrived, datagram: &[u8]) {
        self.stats.bytes.add(datagram.len() as u64);
        if datagram.len() > self.max_datagram {
            return self.reject("too_large");
        }
        let start = arrived.bytes.len();
        arrived.bytes.extend_from_slice(datagram);
        arrived.messages.push(start..arrived.bytes.len());
    }

    /// A message that could not be read counts as one event.
    fn reject(&self, reason: &'static str) {
        self.stats.received.add(1);
        self.stats.rejected.add(reason, 1);
    }

    fn bring(&self, arrived: Arrived) {
        let Arrived { bytes, messages } = arrived;
        let (began, count) = (clock::start(), messages.len() as u64);
        let mut events = BatchBuilder::over(bytes);
        let limits = Limits::default();
        for message in messages {
            let rows = events.len();
            if codec::riemann::decode(&mut events, message, &limits).is_err() {
                events.truncate(rows);
                self.reject("undecodable");
            }
        }
        if !events.is_empty() {
            // Whatever becomes of them is counted behind the door; there is nobody to tell.
            let _ = self.ingest.offer(&self.stats, events);
        }
        if count > 0 {
            self.stats.latency.note(began.elapsed(), count);
        }
    }
}

/// Datagrams that will be one batch.
#[derive(Debug)]
struct Arrived {
    bytes: Vec<u8>,
    messages: Vec<Range<usize>>,
}

impl Default for Arrived {
    fn default() -> Self {
        Self { bytes: vec![0], messages: Vec::new() }
    }
}

impl Arrived {
    fn is_full(&self) -> bool {
        self.messages.len() >= DATAGRAMS || self.bytes.len() >= BYTES
    }
}
