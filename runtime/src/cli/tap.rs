//! `tidegate tap`: events as they come, a line each.

use super::failure::{Exit, Failure};
use super::query::{number, wrong};
use super::screen::{Screen, plain};
use super::server::{Server, Where};
use serde_json::Value;

/// Bytes of a line of the stream at most.
const LONGEST: usize = 64 << 20;

/// What is watched.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which events, in Riemann's language; all if left out.
    #[arg(default_value = "true")]
    query: String,
    /// Stop after this many events.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Events a second at most; what is left out is told.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    #[command(flatten)]
    place: Where,
}

/// Watches until the limit is reached or somebody interrupts.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let server = Server::at(&args.place)?;
    let (limit, rate) = (args.limit.map(|n| n.to_string()), args.rate.map(|n| n.to_string()));
    let mut params = vec![("q", args.query.as_str())];
    params.extend(limit.as_deref().map(|limit| ("limit", limit)));
    params.extend(rate.as_deref().map(|rate| ("rate", rate)));
    let mut stream = match server.listen(server.url(&["tap"], &params)).await? {
        Ok(stream) => stream,
        Err(objection) => return Err(wrong(&args.query, objection)),
    };
    let mut frames = Frames::default();
    let mut seen = 0;
    while let Some(chunk) = stream.chunk().await.map_err(|error| server.unreachable(&error))? {
        for frame in frames.push(&chunk)? {
            match frame.name.as_str() {
                "" => {
                    seen += 1;
                    screen.line(if screen.json { frame.data } else { screen.tint(&line(&frame.data)) })?;
                }
                "skipped" => {
                    let skipped: Value = serde_json::from_str(&frame.data).unwrap_or_default();
                    eprintln!("{} events left out: narrow the query, or raise --rate", skipped["skipped"]);
                }
                _ => {}
            }
        }
    }
    if args.limit.is_none_or(|limit| seen < limit) {
        return Err(Failure::say(
            Exit::Unreachable,
            "the server ended the stream: it is stopping, or we were too slow",
        ));
    }
    Ok(())
}

/// An event for people.
fn line(data: &str) -> String {
    let event: Value = serde_json::from_str(data).unwrap_or_default();
    let text = |name: &str| event[name].as_str().map(plain).unwrap_or_default();
    // The day is today, and the zone is told by the Z.
    let time = text("time");
    let time = time.split_once('T').map_or(time.as_str(), |(_, time)| time);
    let cells = [
        time.to_owned(),
        text("host"),
        text("service"),
        text("state"),
        number(&event["metric"]),
        text("description"),
    ];
    cells.iter().filter(|cell| !cell.is_empty()).map(String::as_str).collect::<Vec<_>>().join("  ")
}

/// Cuts a stream of bytes into frames of server-sent events.
#[derive(Debug, Default)]
pub struct Frames {
    rest: Vec<u8>,
    name: String,
    data: String,
}

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// The name of what happened; empty for an event.
    pub name: String,
    /// What came with it.
    pub data: String,
}

impl Frames {
    /// Takes in more bytes, and gives the frames that are whole now.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<Frame>, Failure> {
        self.rest.extend_from_slice(chunk);
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some(length) = self.rest[at..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[at..at + length]).into_owned();
            at += length + 1;
            frames.extend(self.line(line.trim_end_matches('\r')));
        }
        self.rest.drain(..at);
        if self.rest.len() > LONGEST || self.data.len() > LONGEST {
            return Err(Failure::say(Exit::Failed, "the server sends a line without end"));
        }
        Ok(frames)
    }

    fn line(&mut self, line: &str) -> Option<Frame> {
        if line.is_empty() {
            let frame = Frame { name: std::mem::take(&mut self.name), data: std::mem::take(&mut self.data) };
            return (!frame.data.is_empty()).then_some(frame);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "data" => self.data.push_str(value),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_the_same_however_the_stream_is_cut() {
        let stream = b"id: 1\ndata: {\"a\":1}\n\n: \n\nid: 2\nevent: skipped\ndata: {\"skipped\":3}\n\n";
        for cut in 0..stream.len() {
            let mut frames = Frames::default();
            let mut found = frames.push(&stream[..cut]).unwrap();
            found.extend(frames.push(&stream[cut..]).unwrap());
            let found: Vec<_> =
                found.iter().map(|frame| (frame.name.as_str(), frame.data.as_str())).collect();
            assert_eq!(found, [("", "{\"a\":1}"), ("skipped", "{\"skipped\":3}")], "cut at {cut}");
        }
    }

    #[test]
    fn an_event_is_a_line() {
        let event = r#"{"time":"2013-04-15T18:06:58.250Z","host":"a","service":"b\u001b[2J","metric":1.5}"#;
        assert_eq!(line(event), "18:06:58.250Z  a  b\u{fffd}[2J  1.5");
    }
}
