//! Lines to a receiver that answers nothing, over a connection or in datagrams.

use super::recent::Recent;
use super::stream::{self, Wire, pack};
use crate::clock;
use crate::config::Section;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Reads `resend`: how far back lines are written again when a connection has broken.
pub fn read_resend(at: &mut Section<'_>) -> Duration {
    at.time("resend", ("0s", "1h"), "1m")
}

/// Where lines go.
#[derive(Debug)]
pub struct Lines {
    wire: Wire,
    recent: Recent,
    /// Whether something was written on the connection that is there.
    connected: bool,
}

impl Lines {
    /// To this address. What was written within `resend` is written again when the connection was lost.
    pub fn new(settings: &stream::Settings, resend: Duration) -> Result<Self, String> {
        Ok(Self { wire: Wire::new(settings)?, recent: Recent::new(resend), connected: false })
    }

    /// Writes lines; that they were read is not known.
    pub async fn send(&mut self, lines: Vec<u8>) -> Result<(), String> {
        if lines.is_empty() {
            return Ok(());
        }
        let settings = self.wire.settings().clone();
        if settings.is_datagram() {
            return self.wire.datagrams(pack(&lines, settings.max_datagram)).await;
        }
        let writing = async {
            let (mut stream, new) = self.wire.take().await?;
            if new && self.connected {
                let again = self.recent.all();
                if !again.is_empty() {
                    tracing::info!(address = %settings.address, bytes = again.len(), "a connection was lost: what was written last is written again");
                    stream.write_all(&again).await?;
                }
            }
            stream.write_all(&lines).await?;
            stream.flush().await?;
            self.wire.keep(stream);
            Ok(())
        };
        settings.within(writing).await?;
        self.connected = true;
        self.recent.add(lines, clock::start());
        Ok(())
    }
}
