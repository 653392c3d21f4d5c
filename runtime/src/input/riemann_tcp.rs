//! Riemann's protocol over TCP: a frame in, a frame out, in order.
//!
//! All whole messages that have arrived become one batch and are logged at once, so a flood is cheap and a lone event does
//! not wait. Each message gets an answer of its own when the batch is in the log.
//!
//! Riemann closes without a word when it cannot read a message; here an answer that says why goes first.

mod connection;
mod replies;

use super::BindError;
use super::places::Places;
use crate::config;
use crate::ingest::Ingest;
use crate::telemetry::{InputStats, Telemetry};
use connection::Connection;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long no connection is accepted when the system has run out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(200);

/// A listener.
#[derive(Debug)]
pub struct RiemannTcp {
    listener: TcpListener,
    settings: Arc<config::Riemann>,
    ingest: Ingest,
    stats: Arc<InputStats>,
}

impl RiemannTcp {
    /// Listens on `settings.tcp`.
    pub async fn bind(
        name: &str,
        settings: &config::Riemann,
        ingest: Ingest,
        telemetry: &Telemetry,
    ) -> Result<Self, BindError> {
        let wanted = settings.tcp.unwrap_or(([127, 0, 0, 1], 5555).into());
        let listen = || {
            let socket = if wanted.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            socket.set_keepalive(true)?;
            socket.bind(wanted)?;
            let listener = socket.listen(BACKLOG)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address): (_, SocketAddr) = listen().map_err(|cause| BindError {
            input: name.to_owned(),
            protocol: "tcp",
            address: wanted,
            cause,
        })?;
        let stats = telemetry.add_input(&format!("{name}/tcp"), "riemann_tcp", address, settings.ack);
        Ok(Self { listener, settings: Arc::new(settings.clone()), ingest, stats })
    }

    /// Its counters.
    pub fn stats(&self) -> &Arc<InputStats> {
        &self.stats
    }

    /// Accepts until told to stop, then waits until all connections have had their answers.
    pub async fn run(self, stop: CancellationToken) {
        let Self { listener, settings, ingest, stats } = self;
        let places = Places::new(settings.max_connections, settings.max_per_address);
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if is_scarcity(&error) {
                        tracing::warn!(input = %stats.name, %error, "no connection can be accepted for a moment");
                        tokio::time::sleep(PAUSE).await;
                    }
                    continue;
                }
            };
            match places.enter(peer.ip()) {
                Err(reason) => stats.closed.add(reason, 1),
                Ok(place) => {
                    let settings = settings.clone();
                    let connection = Connection::new(settings, ingest.clone(), stats.clone(), stop.clone());
                    connections.spawn(async move {
                        connection.serve(stream).await;
                        drop(place);
                    });
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }
}

/// Whether accepting again at once would fail again at once.
fn is_scarcity(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
