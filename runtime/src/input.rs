//! The contract of an input: it turns bytes into batches and answers for them.
//!
//! An input listens before anything runs, so that a port that is taken is a message at the start and not a node that is
//! deaf. Then it runs until it is told to stop. It counts everything: what it received is accepted, rejected for what it
//! is, or shed for want of room.

mod fleet;
mod frames;
mod host;
mod instrumentation;
mod places;
mod riemann_tcp;
mod riemann_udp;

pub use fleet::Fleet;
pub use host::Host;
pub use instrumentation::Instrumentation;
pub use riemann_tcp::RiemannTcp;
pub use riemann_udp::RiemannUdp;

use crate::config::{self, InputKind};
use crate::ingest::Ingest;
use crate::telemetry::{InputStats, Telemetry};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Why an input cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("input {input} cannot listen on {protocol} {address}: {cause}")]
pub struct BindError {
    /// Its name.
    pub input: String,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Where it was to listen.
    pub address: SocketAddr,
    /// What the system says.
    #[source]
    pub cause: std::io::Error,
}

/// An input that listens, and does not run yet.
#[derive(Debug)]
pub enum Input {
    /// Riemann's frames.
    RiemannTcp(RiemannTcp),
    /// Riemann's datagrams.
    RiemannUdp(RiemannUdp),
    /// This machine.
    Host(Host),
    /// A simulated fleet.
    Fleet(Fleet),
    /// The node itself.
    Instrumentation(Instrumentation),
}

/// Listens wherever the configuration says; all that cannot are reported. An input that listens on both TCP and UDP is
/// counted as two, `NAME/tcp` and `NAME/udp`: a name has no `/`.
pub async fn bind(
    configured: &[config::Input],
    ingest: &Ingest,
    telemetry: &Telemetry,
) -> Result<Vec<Input>, Vec<BindError>> {
    let (mut inputs, mut errors) = (Vec::new(), Vec::new());
    let mut keep = |bound: Result<Input, BindError>| match bound {
        Ok(input) => inputs.push(input),
        Err(error) => errors.push(error),
    };
    for input in configured {
        let name = &input.name;
        match &input.kind {
            InputKind::Host(host) => keep(Ok(Input::Host(Host::new(name, host, ingest.clone(), telemetry)))),
            InputKind::Fleet(fleet) => {
                keep(Ok(Input::Fleet(Fleet::new(name, fleet, ingest.clone(), telemetry))));
            }
            InputKind::Riemann(riemann) => {
                if riemann.tcp.is_some() {
                    let bound = RiemannTcp::bind(name, riemann, ingest.clone(), telemetry).await;
                    keep(bound.map(Input::RiemannTcp));
                }
                if riemann.udp.is_some() {
                    let bound = RiemannUdp::bind(name, riemann, ingest.clone(), telemetry).await;
                    keep(bound.map(Input::RiemannUdp));
                }
            }
        }
    }
    if errors.is_empty() { Ok(inputs) } else { Err(errors) }
}

impl Input {
    /// Its counters; with the address it really listens on.
    pub fn stats(&self) -> &Arc<InputStats> {
        match self {
            Self::RiemannTcp(input) => input.stats(),
            Self::RiemannUdp(input) => input.stats(),
            Self::Host(input) => input.stats(),
            Self::Fleet(input) => input.stats(),
            Self::Instrumentation(input) => input.stats(),
        }
    }

    /// Where it listens, with the real port; `None` where there is nothing to connect to.
    pub fn address(&self) -> Option<SocketAddr> {
        self.stats().address.parse().ok()
    }

    /// Runs until it is told to stop. What was taken in by then is answered before it returns.
    pub async fn run(self, stop: CancellationToken) {
        match self {
            Self::RiemannTcp(input) => input.run(stop).await,
            Self::RiemannUdp(input) => input.run(stop).await,
            Self::Host(input) => input.run(stop).await,
            Self::Fleet(input) => input.run(stop).await,
            Self::Instrumentation(input) => input.run(stop).await,
        }
    }
}
