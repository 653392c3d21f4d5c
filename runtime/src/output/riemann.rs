//! Another Riemann or Tidegate: over TCP a message per batch, sent on when the one before is acknowledged; over UDP as many
//! datagrams as it takes, which nobody acknowledges.
//!
//! How often an event was emitted by rules is not on the wire: two nodes that relay everything to each other do so for
//! ever.

use super::kinds::{Kind, Place};
use super::stream::{self, Protocol, Wire};
use super::{Delivery, SendError, Sink, Which};
use crate::config::Section;
use std::io;
use std::sync::Arc;
use tidegate_engine::codec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest answer to events that is believed.
const LONGEST_ANSWER: u32 = 1 << 20;

/// How Tidegate's refusals begin that pass with time.
const PASSING: [&str; 3] = ["overloaded", "the log cannot be written", "the node is stopping"];

/// `type = "riemann"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the other node listens.
    pub wire: stream::Settings,
}

impl Kind for Settings {
    type Sink = Riemann;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        Some(Self {
            wire: stream::read(
                at,
                "riemann.example:5555",
                &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)],
            )?,
        })
    }

    fn sink(&self, _: &Place) -> Result<Riemann, String> {
        Ok(Riemann { wire: Wire::new(&self.wire)? })
    }
}

/// Relays to another node.
#[derive(Debug)]
pub struct Riemann {
    wire: Wire,
}

fn message(batch: &[Arc<Delivery>]) -> Vec<u8> {
    let mut frame = vec![0; 4];
    codec::riemann::encode_message(&mut frame, batch.iter().map(|delivery| delivery.event()));
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Messages of at most so many bytes. An event that is larger goes alone.
fn datagrams(batch: &[Arc<Delivery>], most: usize) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for delivery in batch {
        let mut one = Vec::new();
        codec::riemann::encode_message(&mut one, std::iter::once(delivery.event()));
        match all.last_mut() {
            // Two messages one behind the other are a message with the events of both.
            Some(last) if last.len() + one.len() <= most => last.extend(one),
            _ => all.push(one),
        }
    }
    all
}

impl Sink for Riemann {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let settings = self.wire.settings().clone();
        if settings.is_datagram() {
            let datagrams = datagrams(batch, settings.max_datagram);
            return self.wire.datagrams(datagrams.iter().map(Vec::as_slice)).await.map_err(SendError::later);
        }
        let frame = message(batch);
        let exchange = async {
            let (mut stream, _) = self.wire.take().await?;
            stream.write_all(&frame).await?;
            stream.flush().await?;
            let length = stream.read_u32().await?;
            if length > LONGEST_ANSWER {
                return Err(io::Error::other(format!("announced an answer of {length} bytes")));
            }
            let mut answer = vec![0; length as usize];
            stream.read_exact(&mut answer).await?;
            let verdict =
                verdict(&answer).ok_or_else(|| io::Error::other("the answer is no message of Riemann's"))?;
            self.wire.keep(stream);
            Ok(verdict)
        };
        match settings.within(exchange).await {
            Err(message) => Err(SendError::later(message)),
            Ok((true, _)) => Ok(()),
            Ok((false, error)) => {
                let message = format!("{}: {error}", settings.address);
                if PASSING.iter().any(|passing| error.starts_with(passing)) {
                    Err(SendError::later(message))
                } else {
                    Err(SendError::refused(Which::Some, message))
                }
            }
        }
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let mut text = format!("a message of {} bytes with\n", message(batch).len()).into_bytes();
        for delivery in batch {
            codec::json::encode_event(&mut text, &delivery.event());
            text.push(b'\n');
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
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
