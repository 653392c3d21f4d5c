//! Another Riemann or Tidegate over TCP: a message per batch, sent on when the one before is acknowledged.
//!
//! How often an event was emitted by rules is not on the wire: two nodes that relay everything to each other do so for
//! ever.

use super::connection::reuse;
use super::{Delivery, SendError, Sink, Which};
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::codec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest answer to events that is believed.
const LONGEST_ANSWER: u32 = 1 << 20;

/// How Tidegate's refusals begin that pass with time.
const PASSING: [&str; 3] = ["overloaded", "the log cannot be written", "the node is stopping"];

/// Relays to another node.
#[derive(Debug)]
pub struct Riemann {
    address: String,
    patience: Duration,
    stream: Option<TcpStream>,
}

impl Riemann {
    /// At this host and port.
    pub fn new(address: String, patience: Duration) -> Self {
        Self { address, patience, stream: None }
    }

    async fn exchange(&mut self, frame: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = match reuse(self.stream.take()).await {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(frame).await?;
        let length = stream.read_u32().await?;
        if length > LONGEST_ANSWER {
            return Err(std::io::Error::other(format!("announced an answer of {length} bytes")));
        }
        let mut answer = vec![0; length as usize];
        stream.read_exact(&mut answer).await?;
        self.stream = Some(stream);
        Ok(answer)
    }
}

impl Sink for Riemann {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let mut frame = vec![0; 4];
        codec::riemann::encode_message(&mut frame, batch.iter().map(|delivery| delivery.event()));
        let length = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let patience = self.patience;
        let answer = match timeout(patience, self.exchange(&frame)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(SendError::later(format!("{}: {error}", self.address))),
            Err(_) => {
                self.stream = None;
                return Err(SendError::later(format!("{}: no answer for {patience:?}", self.address)));
            }
        };
        match verdict(&answer) {
            Some((true, _)) => Ok(()),
            Some((false, error)) => {
                let message = format!("{}: {error}", self.address);
                if PASSING.iter().any(|passing| error.starts_with(passing)) {
                    Err(SendError::later(message))
                } else {
                    Err(SendError::refused(Which::Some, message))
                }
            }
            None => {
                self.stream = None;
                Err(SendError::later(format!("{}: the answer is no message of Riemann's", self.address)))
            }
        }
    }
}

/// Reads `ok` (2, bool) and `error` (3, string) of an answer; other fields are passed over.
pub(crate) fn verdict(mut answer: &[u8]) -> Option<(bool, String)> {
    let (mut ok, mut error) = (false, String::from("refused without a reason"));
    while !answer.is_empty() {
        let key = varint(&mut answer)?;
        match (key >> 3, key & 7) {
            (2, 0) => ok = varint(&mut answer)? != 0,
            (_, 0) => drop(varint(&mut answer)?),
            (field, 2) => {
                let length = usize::try_from(varint(&mut answer)?).ok()?;
                let (text, rest) = answer.split_at_checked(length)?;
                answer = rest;
                if field == 3 {
                    error = String::from_utf8_lossy(text).into_owned();
                }
            }
            (_, 1) => answer = answer.get(8..)?,
            (_, 5) => answer = answer.get(4..)?,
            _ => return None,
        }
    }
    Some((ok, error))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whatever_else_they_hold() {
        assert_eq!(verdict(b"\x10\x01").map(|v| v.0), Some(true));
        assert_eq!(verdict(b"\x10\x00\x1a\x02no"), Some((false, "no".into())));
        assert_eq!(verdict(b"\x10\x01\x32\x01x\x5d\0\0\0\0").map(|v| v.0), Some(true));
        assert_eq!(verdict(b"").map(|v| v.0), Some(false));
        for garbage in [&b"\x10"[..], b"\x1a\x05no", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x13"]
        {
            assert_eq!(verdict(garbage), None, "{garbage:?}");
        }
    }
}
