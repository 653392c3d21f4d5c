//! `tidegate send`: events over Riemann's protocol, each message acked before the next.

use super::failure::{Exit, Failure};
use super::screen::{Screen, count};
use crate::clock;
use crate::output::riemann::verdict;
use serde_json::json;
use std::fmt::Display;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::time::Duration;
use tidegate_engine::codec;
use tidegate_event::{Batch, BatchBuilder, Metric, NewEvent, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Events of a message at most.
const EVENTS: usize = 1000;

/// Bytes after which a message is sent even if it has fewer events.
const BYTES: usize = 1 << 20;

/// Bytes of a line at most.
const LINE: usize = 4 << 20;

/// Connecting takes no longer.
const CONNECT: Duration = Duration::from_secs(5);

/// An ack takes no longer.
const ACK: Duration = Duration::from_secs(30);

/// Bytes of an answer at most.
const ANSWER: u32 = 1 << 20;

/// What is sent, and where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node's Riemann port.
    #[arg(long, env = "TIDEGATE_RIEMANN", default_value = "127.0.0.1:5555", value_name = "ADDRESS")]
    riemann: String,
    /// Which machine.
    #[arg(long)]
    host: Option<String>,
    /// Which thing on it.
    #[arg(long)]
    service: Option<String>,
    /// How it is: ok, warning, critical, or a word of your own.
    #[arg(long)]
    state: Option<String>,
    /// How much.
    #[arg(long, allow_negative_numbers = true, value_parser = metric)]
    metric: Option<Metric>,
    /// When, in seconds since 1970; now if left out.
    #[arg(long, allow_negative_numbers = true)]
    time: Option<f64>,
    /// Seconds for which it is valid.
    #[arg(long)]
    ttl: Option<f32>,
    /// Free text.
    #[arg(long)]
    description: Option<String>,
    /// A label; may be given several times.
    #[arg(long)]
    tag: Vec<String>,
    /// A name and value of your own; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    attribute: Vec<(String, String)>,
}

/// A number that stays whole if it is.
fn metric(text: &str) -> Result<Metric, String> {
    let whole = text.parse().map(Metric::Int);
    whole.or_else(|_| text.parse().map(Metric::Float)).map_err(|_| "a number was expected".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE was expected".to_owned()),
    }
}

/// Sends the event of the flags, or the events on standard input.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let from_flags = args.names_anything();
    if !from_flags && std::io::stdin().is_terminal() {
        return Err(Failure::say(
            Exit::Usage,
            "nothing to send: give --service and --metric, or an event as JSON on each line of standard input",
        ));
    }
    let mut node = Node::connect(&args.riemann).await?;
    let mut sent = 0;
    if from_flags {
        sent += node.send(&args.event()).await?;
    } else {
        let mut lines = Lines::new(std::io::stdin().lock());
        loop {
            let (events, wrong) = lines.next_events()?;
            if !events.is_empty() {
                sent += node.send(&events).await?;
            }
            if let Some(failure) = wrong {
                eprintln!("{} acked", count(sent, "event"));
                return Err(failure);
            }
            if events.is_empty() {
                break;
            }
        }
    }
    match screen.json {
        true => screen.line(json!({ "acked": sent })),
        false => screen.line(format_args!("{} acked", count(sent, "event"))),
    }
}

impl Args {
    fn names_anything(&self) -> bool {
        let texts = [&self.host, &self.service, &self.state, &self.description];
        texts.iter().any(|text| text.is_some())
            || self.metric.is_some()
            || self.time.is_some()
            || self.ttl.is_some()
            || !self.tag.is_empty()
            || !self.attribute.is_empty()
    }

    fn event(&self) -> Batch {
        let tags: Vec<&str> = self.tag.iter().map(String::as_str).collect();
        let attributes: Vec<(&str, &str)> =
            self.attribute.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut events = BatchBuilder::new();
        events.push(&NewEvent {
            time: self.time.map(Timestamp::from_secs_f64),
            host: self.host.as_deref(),
            service: self.service.as_deref(),
            state: self.state.as_deref(),
            metric: self.metric,
            ttl: self.ttl,
            description: self.description.as_deref(),
            tags: &tags,
            attributes: &attributes,
            ..NewEvent::default()
        });
        finish(events)
    }
}

/// Adds the event of a line, if there is one.
fn add(line: &[u8], events: &mut BatchBuilder) -> Result<(), String> {
    let line = std::str::from_utf8(line).map_err(|_| "text in UTF-8 was expected".to_owned())?.trim();
    if line.is_empty() {
        return Ok(());
    }
    codec::json::decode_event(events, line).map_err(|error| error.message)
}

/// Events without a time happened when they are sent: on the wire, no time would be 1970.
fn finish(mut events: BatchBuilder) -> Batch {
    events.stamp(0, clock::now());
    events.finish()
}

/// JSON events, one for each line.
struct Lines<R> {
    from: BufReader<R>,
    read: u64,
}

impl<R: Read> Lines<R> {
    fn new(from: R) -> Self {
        Self { from: BufReader::with_capacity(64 << 10, from), read: 0 }
    }

    /// The events of the next lines, as many as make a message, and what is wrong with the line after them.
    fn next_events(&mut self) -> Result<(Batch, Option<Failure>), Failure> {
        let mut events = BatchBuilder::new();
        let mut line = Vec::new();
        while events.len() < EVENTS && events.size() < BYTES {
            line.clear();
            if self.from.by_ref().take(LINE as u64 + 1).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            self.read += 1;
            let wrong = match line.len() {
                0..=LINE => add(&line, &mut events).err(),
                _ => Some(format!("it has more than {LINE} bytes")),
            };
            if let Some(why) = wrong {
                let failure = format!("line {}: {why}; it and what follows was not sent", self.read);
                return Ok((finish(events), Some(Failure::say(Exit::Failed, failure))));
            }
            // Whoever writes slowly wants each event sent now, not when there are many.
            if self.from.buffer().is_empty() && !events.is_empty() {
                break;
            }
        }
        Ok((finish(events), None))
    }
}

/// A connection to a node.
struct Node {
    address: String,
    stream: TcpStream,
}

impl Node {
    async fn connect(address: &str) -> Result<Self, Failure> {
        let connected = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(unreachable(&address, &error)),
            Err(_) => return Err(unreachable(&address, &"no answer in time")),
        };
        stream.set_nodelay(true)?;
        Ok(Self { address: address.to_owned(), stream })
    }

    /// Sends events in a message, waits for the ack, and gives their number.
    async fn send(&mut self, events: &Batch) -> Result<usize, Failure> {
        let mut frame = vec![0; 4];
        codec::riemann::encode_message(&mut frame, events.events());
        let length = u32::try_from(frame.len() - 4).map_err(anyhow::Error::from)?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let answer = match tokio::time::timeout(ACK, exchange(&mut self.stream, &frame)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(unreachable(&self.address, &error)),
            Err(_) => return Err(unreachable(&self.address, &"no ack in time")),
        };
        match verdict(&answer) {
            Some((true, _)) => Ok(events.len()),
            Some((false, why)) => {
                Err(Failure::say(Exit::Failed, format!("{} refused the events: {why}", self.address)))
            }
            None => Err(unreachable(&self.address, &"what answers there does not speak Riemann's protocol")),
        }
    }
}

async fn exchange(stream: &mut TcpStream, frame: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(frame).await?;
    let length = stream.read_u32().await?;
    if length > ANSWER {
        return Err(std::io::Error::other(format!("an answer of {length} bytes was announced")));
    }
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Nobody answers at a Riemann port.
pub fn unreachable(address: &dyn Display, why: &dyn Display) -> Failure {
    Failure::say(
        Exit::Unreachable,
        format!("server unreachable: {address} ({why}); is `tidegate run` running there?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, Option<String>)> {
        let mut lines = Lines::new(text.as_bytes());
        let mut found = Vec::new();
        loop {
            let (events, wrong) = lines.next_events().unwrap();
            let end = events.is_empty() || wrong.is_some();
            found.push((events.len(), wrong.map(|failure| failure.to_string())));
            if end {
                return found;
            }
        }
    }

    #[test]
    fn lines_become_messages_of_bounded_size() {
        let line = "{\"service\":\"a\"}\n\n";
        let messages: Vec<usize> = read(&line.repeat(2500)).iter().map(|(events, _)| *events).collect();
        assert_eq!(messages.iter().sum::<usize>(), 2500);
        assert!(messages.iter().all(|events| *events <= EVENTS), "{messages:?}");
        assert_eq!(messages.last(), Some(&0));
    }

    #[test]
    fn what_stands_before_a_wrong_line_is_sent() {
        let found = read("{\"service\":\"a\"}\nnonsense\n{}\n");
        assert_eq!(found.len(), 1);
        let (events, wrong) = &found[0];
        assert_eq!(*events, 1);
        assert!(wrong.as_deref().is_some_and(|wrong| wrong.starts_with("error: line 2: ")), "{wrong:?}");
    }

    #[test]
    fn whole_numbers_stay_whole() {
        assert_eq!(metric("3"), Ok(Metric::Int(3)));
        assert_eq!(metric("-0.5"), Ok(Metric::Float(-0.5)));
        assert!(metric("much").is_err());
    }
}
