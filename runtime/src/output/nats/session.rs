//! One connection to a NATS server: the greeting, and a batch of messages with what is said to each.

use super::super::outcomes::Outcome;
use super::super::stream::Duplex;
use super::super::{SendError, Which};
use super::login::{Credentials, Login};
use super::wire::{self, FromServer};
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How to begin TLS, and the name that the certificate must be for.
pub type Encryption = (TlsConnector, ServerName<'static>);

/// How long to look for what the server said since the last batch.
const LOOK: Duration = Duration::from_millis(1);

/// A connection on which both sides have said who they are.
pub struct Session {
    from: BufReader<ReadHalf<Box<dyn Duplex>>>,
    to: WriteHalf<Box<dyn Duplex>>,
    /// Bytes of a message with its headers that the server takes.
    pub max_payload: usize,
    /// Where answers go: a late one to a connection before this is no answer to a message of this one.
    inbox: String,
}

/// Messages and what is expected of them.
#[derive(Debug, Default)]
pub struct Exchange {
    /// What is sent.
    pub bytes: Vec<u8>,
    /// The subjects of the messages by their places; a reply's last token is the place.
    pub waiting: BTreeMap<usize, String>,
    /// Whether each has an answer of its own.
    pub acknowledged: bool,
}

/// What a server says of itself.
#[derive(Debug, Deserialize)]
struct Info {
    #[serde(default = "usual")]
    max_payload: usize,
    #[serde(default)]
    tls_required: bool,
    #[serde(default)]
    headers: bool,
    nonce: Option<String>,
}

fn usual() -> usize {
    1 << 20
}

#[derive(Serialize)]
struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    name: &'a str,
    lang: &'a str,
    version: &'a str,
    protocol: u8,
    headers: bool,
    no_responders: bool,
    #[serde(flatten)]
    credentials: Credentials,
}

/// A stream's answer to a message.
#[derive(Deserialize)]
struct Ack {
    error: Option<Refusal>,
    stream: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    code: u16,
    #[serde(default)]
    description: String,
}

fn lost(error: io::Error) -> SendError {
    SendError::later(error.to_string())
}

impl Session {
    /// Connects and says who we are.
    pub async fn open(address: &str, tls: Option<&Encryption>, login: &Login) -> Result<Self, SendError> {
        let stream = TcpStream::connect(address).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let mut stream = BufReader::new(stream);
        let info: Info = match wire::read(&mut stream).await.map_err(lost)? {
            FromServer::Info(json) => serde_json::from_str(&json)
                .map_err(|error| SendError::later(format!("what the server says of itself: {error}")))?,
            other => return Err(SendError::later(format!("the server began with {other:?}"))),
        };
        if !info.headers {
            return Err(SendError::refused(Which::All, "the server knows no headers: it is older than 2.2"));
        }
        if info.tls_required && tls.is_none() {
            return Err(SendError::refused(Which::All, "the server wants TLS: set tls = true"));
        }
        if !stream.buffer().is_empty() {
            return Err(SendError::later("the server said more than was expected"));
        }
        let stream = stream.into_inner();
        let stream: Box<dyn Duplex> = match tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await.map_err(lost)?),
        };
        let credentials = login.credentials(info.nonce.as_deref());
        let connect = Connect {
            verbose: false,
            pedantic: false,
            tls_required: tls.is_some(),
            name: "tidegate",
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            headers: true,
            no_responders: true,
            credentials: credentials.map_err(|why| SendError::refused(Which::All, why))?,
        };
        let connect = serde_json::to_string(&connect).expect("it is JSON");
        let (from, to) = split(stream);
        let inbox = format!("_INBOX.{:016x}", fastrand::u64(..));
        let bytes = format!("CONNECT {connect}\r\nSUB {inbox}.* 1\r\nPING\r\n").into_bytes();
        let mut this = Self { from: BufReader::new(from), to, max_payload: info.max_payload, inbox };
        this.exchange(Exchange { bytes, ..Exchange::default() }, |_, _| {}).await?;
        Ok(this)
    }

    /// Where the answer to the message at this place goes.
    pub fn reply(&self, place: usize) -> String {
        format!("{}.{place}", self.inbox)
    }

    /// Hears what was said since the last batch; none when that was the end.
    pub async fn still_there(mut self) -> Option<Self> {
        loop {
            let Ok(more) = timeout(LOOK, self.from.fill_buf()).await else { return Some(self) };
            if more.ok()?.is_empty() {
                return None;
            }
            match wire::read(&mut self.from).await.ok()? {
                FromServer::Ping => self.to.write_all(b"PONG\r\n").await.ok()?,
                FromServer::Error(_) => return None,
                _ => {}
            }
        }
    }

    /// Sends all of it and notes what became of each message.
    pub async fn exchange(
        &mut self,
        exchange: Exchange,
        mut note: impl FnMut(usize, Outcome),
    ) -> Result<(), SendError> {
        let Exchange { mut bytes, mut waiting, acknowledged } = exchange;
        if !waiting.is_empty() {
            bytes.extend_from_slice(b"PING\r\n");
        }
        // Read while writing: a server that cannot get rid of its answers stops reading.
        let (from, to) = (&mut self.from, &mut self.to);
        let writing = async {
            to.write_all(&bytes).await.map_err(lost)?;
            to.flush().await.map_err(lost)
        };
        let mut asked = false;
        let reading = async {
            let mut done = false;
            while !done || acknowledged && !waiting.is_empty() {
                match wire::read(from).await.map_err(lost)? {
                    FromServer::Pong => done = true,
                    FromServer::Ping => asked = true,
                    FromServer::Fine | FromServer::Info(_) => {}
                    FromServer::Error(why) => {
                        let subject = why
                            .split_once("Permissions Violation for Publish to \"")
                            .and_then(|(_, rest)| Some(rest.rsplit_once('"')?.0.to_owned()));
                        let Some(subject) = subject else { return Err(refusal(why)) };
                        waiting.retain(|i, to| {
                            if *to == subject {
                                note(*i, Outcome::Refused(why.clone()));
                            }
                            *to != subject
                        });
                    }
                    FromServer::Message { subject, status, payload } => {
                        let place = subject.rsplit('.').next().and_then(|place| place.parse().ok());
                        let Some(place) = place.filter(|place| waiting.contains_key(place)) else { continue };
                        note(place, answer(status, &payload)?);
                        waiting.remove(&place);
                    }
                }
            }
            Ok(())
        };
        tokio::try_join!(reading, writing)?;
        for i in waiting.into_keys() {
            note(i, Outcome::Arrived);
        }
        if asked {
            self.to.write_all(b"PONG\r\n").await.map_err(lost)?;
        }
        Ok(())
    }
}

/// What an error of the server means for everything.
fn refusal(why: String) -> SendError {
    let lower = why.to_lowercase();
    let unwanted =
        ["authorization violation", "authentication", "permissions violation", "secure connection"];
    match unwanted.iter().any(|part| lower.contains(part)) {
        true => SendError::refused(Which::All, why),
        false => SendError::later(why),
    }
}

/// What a stream's answer means: it has the message, never will, or cannot now.
fn answer(status: Option<u16>, payload: &[u8]) -> Result<Outcome, SendError> {
    if status == Some(503) {
        return Err(SendError::later("no stream takes this subject, or none can now"));
    }
    let text = || String::from_utf8_lossy(&payload[..payload.len().min(200)]).into_owned();
    match serde_json::from_slice(payload) {
        Ok(Ack { error: None, stream: Some(_) }) => Ok(Outcome::Arrived),
        Ok(Ack { error: Some(refusal), .. }) if refusal.code < 500 => {
            Ok(Outcome::Refused(format!("{} {}", refusal.code, refusal.description)))
        }
        Ok(Ack { error: Some(refusal), .. }) => {
            Err(SendError::later(format!("{} {}", refusal.code, refusal.description)))
        }
        _ => Err(SendError::later(format!("the answer is no stream's: {:?}", text()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_answer_is_an_arrival_a_refusal_or_a_delay() {
        let of = |payload: &str| answer(None, payload.as_bytes());
        assert_eq!(of(r#"{"stream":"E","seq":7}"#), Ok(Outcome::Arrived));
        assert_eq!(of(r#"{"stream":"E","seq":7,"duplicate":true}"#), Ok(Outcome::Arrived));
        let big =
            r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#;
        assert_eq!(of(big), Ok(Outcome::Refused("400 message size exceeds maximum allowed".into())));
        assert!(of(r#"{"error":{"code":503,"description":"maximum messages exceeded"}}"#).is_err());
        assert!(of("hello").is_err());
        assert!(answer(Some(503), b"").is_err());
    }

    #[test]
    fn a_server_that_does_not_know_us_is_not_asked_again() {
        assert!(matches!(
            refusal("Authorization Violation".into()).verdict,
            super::super::super::Verdict::Refused(_)
        ));
        assert!(matches!(refusal("Stale Connection".into()).verdict, super::super::super::Verdict::Later(_)));
    }
}
