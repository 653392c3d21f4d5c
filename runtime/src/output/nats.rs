//! NATS: a message per event, in order, over one connection that is made anew after each failure.
//!
//! In JetStream a stream has what was acknowledged, and knows `Nats-Msg-Id`: what is sent again within its window is not
//! there twice. Without JetStream the server has passed on what came before its answer to our `PING`, and whoever did not
//! listen then does not get it.
//!
//! This speaks the protocol itself. A client that connects again on its own, as libraries do, would send what waits in it
//! before what was lost, and the order of a stream would be gone.

mod login;
mod session;
mod wire;

use super::kinds::{Kind, Place};
use super::outcomes::{Outcome, Outcomes};
use super::payload::{self, Payload};
use super::template::{self, Template};
use super::{Delivery, Keys, SendError, Sink, Which, tls};
use crate::config::{Problem, Secret, Section};
use login::Login;
use session::{Encryption, Exchange, Session};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes that the headers of a message take at most; they count as part of it.
const HEADERS: usize = 512;

/// `type = "nats"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Host and port.
    pub address: String,
    /// The subject for an event.
    pub subject: Template,
    /// The form of an event.
    pub payload: Payload,
    /// Whether a stream must have it.
    pub jetstream: bool,
    /// A name and a password.
    pub user: Option<(String, Secret)>,
    /// A token.
    pub token: Option<Secret>,
    /// The seed of a key, or what is in a credentials file.
    pub credentials: Option<Secret>,
    /// How long a batch may take.
    pub timeout: Duration,
    /// Encryption.
    pub tls: Option<tls::Settings>,
}

impl Kind for Settings {
    type Sink = Nats;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let subject = template::read_or(at, "subject", "tidegate.events");
        let payload = payload::read(at);
        let jetstream = at.switch("jetstream", false);
        let user = at.text("username", "\"tidegate\"");
        let password = at.secret_if_given("password");
        let token = at.secret_if_given("token");
        let credentials = at.secret_if_given("credentials");
        let ways = [user.is_some(), token.is_some(), credentials.is_some()];
        if ways.iter().filter(|given| **given).count() > 1 {
            let message = "`username`, `token` and `credentials` are three ways to say who we are".into();
            at.error(Problem::new(at.spot(), message).hint("give one of them"));
        }
        if password.is_some() && user.is_none() {
            at.error(Problem::new(at.secret_spot("password"), "`password` needs a `username`".into()));
        }
        if let Some(Err(why)) = credentials.as_ref().map(|secret| Login::key(secret.reveal())) {
            let problem = Problem::new(at.secret_spot("credentials"), format!("`credentials`: {why}"));
            at.error(problem.hint("such as { file = \"/etc/tidegate/user.creds\" }"));
        }
        let timeout = at.time("timeout", ("10ms", "10m"), "30s");
        let tls = tls::read(at);
        let address = at.target("address", "127.0.0.1:4222");
        let user = user.map(|name| (name, password.unwrap_or_else(|| "".into())));
        Some(Self {
            address: address?,
            subject: subject?,
            payload: payload?,
            jetstream,
            user,
            token,
            credentials,
            timeout,
            tls,
        })
    }

    fn sink(&self, place: &Place) -> Result<Nats, String> {
        let login = match (&self.user, &self.token, &self.credentials) {
            (Some((name, password)), ..) => Login::Password(name.clone(), password.reveal().to_owned()),
            (_, Some(token), _) => Login::Token(token.reveal().to_owned()),
            (.., Some(key)) => Login::key(key.reveal())?,
            _ => Login::Nobody,
        };
        let tls = self.tls.as_ref().map(|tls| tls.towards(&self.address)).transpose()?;
        let outcomes = Outcomes::default();
        Ok(Nats { settings: self.clone(), login, tls, keys: place.keys, outcomes, session: None })
    }
}

/// Publishes messages.
pub struct Nats {
    settings: Settings,
    login: Login,
    tls: Option<Encryption>,
    keys: Keys,
    outcomes: Outcomes,
    session: Option<Session>,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A message ready to be sent.
struct Message {
    subject: String,
    payload: Vec<u8>,
}

impl Sink for Nats {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let keys = self.keys.of_all(batch);
        self.outcomes.begin(&keys);
        let patience = self.settings.timeout;
        let error = match timeout(patience, self.publish(batch, &keys)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(SendError::later(format!("no answer for {patience:?}"))),
        };
        let error = error.map(|error| {
            self.session = None;
            let message = format!("{}: {}", self.settings.address, error.message);
            SendError { message, ..error }
        });
        self.outcomes.judge(&keys, error)
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let mut text = String::new();
        for (delivered, delivery) in batch.iter().enumerate() {
            let message = self
                .message(delivery)
                .map_err(|message| SendError { delivered, ..SendError::refused(Which::First, message) })?;
            let payload = self.settings.payload.show(&message.payload);
            text += &format!("{}\nNats-Msg-Id: {}\n{payload}\n\n", message.subject, self.keys.of(delivery));
        }
        Ok(text)
    }
}

impl Nats {
    fn message(&self, delivery: &Delivery) -> Result<Message, String> {
        let subject = wire::subject(&self.settings.subject.render(delivery)?);
        Ok(Message { subject, payload: self.settings.payload.encode(delivery)? })
    }

    async fn publish(&mut self, batch: &[Arc<Delivery>], keys: &[String]) -> Result<(), SendError> {
        let mut session = match self.session.take() {
            Some(session) => session.still_there().await,
            None => None,
        };
        if session.is_none() {
            session = Some(Session::open(&self.settings.address, self.tls.as_ref(), &self.login).await?);
        }
        let Some(mut session) = session else { return Ok(()) };
        let mut exchange = Exchange::default();
        for i in self.outcomes.open(keys) {
            let message = self.message(&batch[i]).and_then(|message| {
                let length = message.payload.len() + HEADERS;
                match length <= session.max_payload {
                    true => Ok(message),
                    false => {
                        Err(format!("a message of {length} bytes, the server takes {}", session.max_payload))
                    }
                }
            });
            match message {
                Ok(Message { subject, payload }) => {
                    let reply = if self.settings.jetstream { session.reply(i) } else { String::new() };
                    let form = self.settings.payload.content_type();
                    let headers = [("Nats-Msg-Id", keys[i].as_str()), ("Content-Type", form)];
                    wire::publish(&mut exchange.bytes, &subject, &reply, &headers, &payload);
                    exchange.waiting.insert(i, subject);
                }
                Err(why) => self.outcomes.note(&keys[i], Outcome::Refused(why)),
            }
        }
        exchange.acknowledged = self.settings.jetstream;
        let done = session.exchange(exchange, |i, outcome| self.outcomes.note(&keys[i], outcome)).await;
        if done.is_ok() {
            self.session = Some(session);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Verdict;
    use crate::output::samples::{delivery, sink};
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    fn settings(address: &str, jetstream: bool) -> Settings {
        Settings {
            address: address.into(),
            subject: Template::parse("load.{{ id }}").unwrap(),
            payload: Payload::Json,
            jetstream,
            user: None,
            token: Some("t0p".into()),
            credentials: None,
            timeout: Duration::from_secs(5),
            tls: None,
        }
    }

    /// What a client says: a line, or the reply subject of a message.
    async fn said(stream: &mut BufReader<TcpStream>) -> Option<String> {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let ["HPUB", .., length] = words.as_slice() {
            let mut bytes = vec![0; length.parse::<usize>().ok()? + 2];
            stream.read_exact(&mut bytes).await.ok()?;
            let text = String::from_utf8(bytes).ok()?;
            assert!(text.contains("\r\nNats-Msg-Id: 7:slow_api:"), "{text}");
        }
        Some(line.trim().to_owned())
    }

    /// A server that greets, and answers each thing said with what this makes of it; none hangs up.
    async fn server(answer: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let mut stream = BufReader::new(stream);
                let info = "INFO {\"max_payload\":2000,\"headers\":true}\r\n";
                if stream.get_mut().write_all(info.as_bytes()).await.is_err() {
                    continue;
                }
                while let Some(line) = said(&mut stream).await {
                    let Some(text) = answer(connection, &line) else { break };
                    if stream.get_mut().write_all(text.as_bytes()).await.is_err() {
                        break;
                    }
                }
            }
        });
        address
    }

    fn pong(line: &str) -> Option<String> {
        Some(if line == "PING" { "PONG\r\n".into() } else { String::new() })
    }

    fn ack(reply: &str, json: &str) -> String {
        format!("MSG {reply} 1 {}\r\n{json}\r\n", json.len())
    }

    #[tokio::test]
    async fn a_connection_that_breaks_among_acknowledgements_is_made_anew_for_the_rest() {
        let address = server(|connection, line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["HPUB", subject, ..] if connection == 0 && subject.ends_with(":2") => None,
                ["HPUB", _, reply, ..] => Some(ack(reply, "{\"stream\":\"E\",\"seq\":1}")),
                _ => pong(line),
            }
        })
        .await;
        let mut nats: Nats = sink(&settings(&address, true));
        let batch: Vec<_> = (0..4).map(|n| Arc::new(delivery(n))).collect();
        let error = nats.send(&batch).await.unwrap_err();
        assert!(matches!(error.verdict, Verdict::Later(_)) && error.delivered == 2, "{error:?}");
        nats.send(&batch[2..]).await.unwrap();
    }

    #[tokio::test]
    async fn what_a_stream_refuses_is_passed_over_alone() {
        let address = server(|_, line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["HPUB", subject, reply, ..] => Some(ack(
                    reply,
                    match subject.ends_with(":1") {
                        true => "{\"error\":{\"code\":400,\"description\":\"no\"}}",
                        false => "{\"stream\":\"E\",\"seq\":1}",
                    },
                )),
                _ => pong(line),
            }
        })
        .await;
        let mut nats: Nats = sink(&settings(&address, true));
        let batch: Vec<_> = (0..3).map(|n| Arc::new(delivery(n))).collect();
        let error = nats.send(&batch).await.unwrap_err();
        assert_eq!((error.verdict, error.delivered), (Verdict::Refused(Which::First), 1), "{error:?}");
        nats.send(&batch[2..]).await.unwrap();
    }

    #[tokio::test]
    async fn without_a_stream_the_answer_to_a_ping_counts_and_a_forbidden_subject_is_refused() {
        let address = server(|_, line| match line.starts_with("HPUB load.7:slow_api:1 ") {
            true => Some("-ERR 'Permissions Violation for Publish to \"load.7:slow_api:1\"'\r\n".into()),
            false => pong(line),
        })
        .await;
        let mut nats: Nats = sink(&settings(&address, false));
        let batch: Vec<_> = (0..3).map(|n| Arc::new(delivery(n))).collect();
        let error = nats.send(&batch).await.unwrap_err();
        assert_eq!((error.verdict, error.delivered), (Verdict::Refused(Which::First), 1), "{error:?}");
        nats.send(&batch[2..]).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_does_not_know_us_refuses_everything() {
        let address = server(|_, line| match line.strip_prefix("CONNECT ") {
            Some(json) => {
                assert!(json.contains("\"auth_token\":\"t0p\""), "{json}");
                Some("-ERR 'Authorization Violation'\r\n".into())
            }
            None => Some(String::new()),
        })
        .await;
        let mut nats: Nats = sink(&settings(&address, false));
        let error = nats.send(&[Arc::new(delivery(0))]).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Refused(Which::All), "{error:?}");
    }
}
