//! Lines for Carbon over TCP: `path value seconds`.
//!
//! Carbon says nothing back. Lines that were written while it went away may be lost without anybody being told; a
//! connection that has ended is noticed before the next batch is written.

use super::connection::reuse;
use super::{Delivery, SendError, Sink, Verdict, Which};
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::codec;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Writes lines to a Carbon.
#[derive(Debug)]
pub struct Graphite {
    address: String,
    prefix: String,
    patience: Duration,
    stream: Option<TcpStream>,
}

impl Graphite {
    /// At this host and port.
    pub fn new(address: String, prefix: String, patience: Duration) -> Self {
        Self { address, prefix, patience, stream: None }
    }

    async fn write(&mut self, lines: &[u8]) -> Result<(), String> {
        let mut stream = match reuse(self.stream.take()).await {
            Some(stream) => stream,
            None => TcpStream::connect(&self.address).await.map_err(|error| error.to_string())?,
        };
        stream.write_all(lines).await.map_err(|error| error.to_string())?;
        self.stream = Some(stream);
        Ok(())
    }
}

impl Sink for Graphite {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let mut lines = Vec::new();
        let mut line =
            |delivery: &Delivery| codec::graphite::encode_line(&mut lines, &self.prefix, &delivery.event());
        let refused = batch.iter().position(|delivery| !line(delivery));
        if !lines.is_empty() {
            let patience = self.patience;
            let written = timeout(patience, self.write(&lines)).await;
            let written = written.unwrap_or_else(|_| Err(format!("nothing was read for {patience:?}")));
            if let Err(message) = written {
                self.stream = None;
                return Err(SendError::later(format!("{}: {message}", self.address)));
            }
        }
        match refused {
            None => Ok(()),
            Some(delivered) => {
                let message = "an event without a finite metric has no line".to_owned();
                Err(SendError { verdict: Verdict::Refused(Which::First), delivered, message })
            }
        }
    }
}
