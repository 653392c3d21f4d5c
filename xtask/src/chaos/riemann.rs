//! Riemann's protocol, as far as the oracle speaks it. Written apart from the node's own codec, so that one mistake is not
//! made on both sides.

use super::event::{SERVICE, Said, TTL};
use std::io::{Error, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a node: messages out, answers in, in the same order.
pub struct Connection {
    stream: TcpStream,
    message: Vec<u8>,
}

impl Connection {
    /// Opens one.
    pub fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, message: Vec::new() })
    }

    /// Sends a message of these events, and does not wait for the answer.
    pub fn send(&mut self, events: impl Iterator<Item = Said>) -> Result<()> {
        self.message.clear();
        self.message.extend([0; 4]);
        for event in events {
            let body = encode(&event);
            length(&mut self.message, 6, body.len());
            self.message.extend(body);
        }
        let size = (self.message.len() - 4) as u32;
        self.message[..4].copy_from_slice(&size.to_be_bytes());
        self.stream.write_all(&self.message)
    }

    /// The next answer: yes, or no with the reason.
    pub fn answer(&mut self) -> Result<std::result::Result<(), String>> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let mut answer = vec![0; u32::from_be_bytes(size).min(1 << 20) as usize];
        self.stream.read_exact(&mut answer)?;
        verdict(&answer).ok_or_else(|| Error::other("an answer that is not Riemann's"))
    }
}

fn encode(event: &Said) -> Vec<u8> {
    let mut to = Vec::with_capacity(128);
    for (field, value) in [
        (2, event.state),
        (3, SERVICE),
        (4, event.host.as_str()),
        (5, event.description.as_str()),
        (7, "chaos"),
    ] {
        length(&mut to, field, value.len());
        to.extend(value.as_bytes());
    }
    to.push(8 << 3 | 5);
    to.extend(TTL.to_le_bytes());
    let mut attribute = Vec::new();
    for (field, value) in [(1, "mark"), (2, event.mark.as_str())] {
        length(&mut attribute, field, value.len());
        attribute.extend(value.as_bytes());
    }
    length(&mut to, 9, attribute.len());
    to.extend(attribute);
    to.push(10 << 3);
    varint(&mut to, (event.time * 1000) as u64);
    to.push(13 << 3);
    varint(&mut to, (event.metric << 1 ^ event.metric >> 63) as u64);
    to
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// The head of a field that has a length.
fn length(to: &mut Vec<u8>, field: u64, bytes: usize) {
    varint(to, field << 3 | 2);
    varint(to, bytes as u64);
}

/// What an answer says; `None` when it is none.
fn verdict(mut answer: &[u8]) -> Option<std::result::Result<(), String>> {
    fn varint(from: &mut &[u8]) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = from.split_first()?;
            *from = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
    let (mut ok, mut reason) = (None, "no reason given".to_owned());
    while !answer.is_empty() {
        let key = varint(&mut answer)?;
        let value = varint(&mut answer)?;
        match (key >> 3, key & 7) {
            (2, 0) => ok = Some(value == 1),
            (_, 0) => {}
            (field, 2) => {
                let (text, rest) = answer.split_at_checked(usize::try_from(value).ok()?)?;
                answer = rest;
                if field == 3 {
                    reason = String::from_utf8_lossy(text).into_owned();
                }
            }
            _ => return None,
        }
    }
    Some(if ok? { Ok(()) } else { Err(reason) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_yes_or_no_with_a_reason_or_none() {
        assert_eq!(verdict(&[0x10, 1]), Some(Ok(())));
        assert_eq!(verdict(&[0x10, 0, 0x1A, 4, b'f', b'u', b'l', b'l']), Some(Err("full".to_owned())));
        assert_eq!(verdict(&[]), None);
        assert_eq!(verdict(&[0x10]), None);
        assert_eq!(verdict(&[0x1A, 200, b'x']), None);
    }
}
