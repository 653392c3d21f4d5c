//! `tidegate record`: a running node's events into a file, for a backtest or to be sent again.

use super::failure::{Exit, Failure, OrExit};
use super::query::wrong;
use super::screen::{Screen, count};
use super::server::{Server, Where};
use super::tap::Frames;
use crate::backtest::Format;
use anyhow::Context;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;
use tidegate_event::Span;

/// Events a second at most: what the node gives to one who watches.
const RATE: &str = "100000";

/// What is recorded, and for how long.
#[derive(Debug, clap::Args)]
#[group(id = "bound", required = true, multiple = true, args = ["span", "events"])]
pub struct Args {
    /// The file, which must not be there yet: .ndjson or .msgpack.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Which events, in Riemann's language; all if left out.
    #[arg(long = "where", value_name = "QUERY", default_value = "true", hide_default_value = true)]
    query: String,
    /// Stop after so long.
    #[arg(id = "span", long = "for", value_name = "SPAN", value_parser = span)]
    span: Option<Duration>,
    /// Stop after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    events: Option<u64>,
    #[command(flatten)]
    place: Where,
}

fn span(text: &str) -> Result<Duration, String> {
    let span = Span::parse(text).filter(|span| *span > Span::ZERO);
    span.map(|span| Duration::from_micros(span.0.unsigned_abs()))
        .ok_or_else(|| "a span like 30s, 10m or 2h was expected".into())
}

/// Where the events go, and how many there were.
struct Recording {
    to: BufWriter<File>,
    packed: bool,
    events: u64,
    missed: u64,
}

impl Recording {
    /// Takes in an event as the node gives it, which is JSON.
    fn take(&mut self, event: &str) -> Result<(), Failure> {
        if self.packed {
            let event: Value = serde_json::from_str(event).map_err(anyhow::Error::from)?;
            self.to.write_all(&rmp_serde::to_vec(&event).map_err(anyhow::Error::from)?)?;
        } else {
            self.to.write_all(event.as_bytes())?;
            self.to.write_all(b"\n")?;
        }
        self.events += 1;
        Ok(())
    }
}

/// Records until the bound is reached or somebody interrupts; either way the file is whole.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let packed = match Format::of(&args.out).or_exit(Exit::Usage)? {
        Format::Lines => false,
        Format::MessagePack => true,
        Format::Table => {
            return Err(Failure::say(
                Exit::Usage,
                "--out: a file that ends in .ndjson or .msgpack was expected",
            ));
        }
    };
    let server = Server::at(&args.place)?;
    let limit = args.events.map(|n| n.to_string());
    let mut params = vec![("q", args.query.as_str()), ("rate", RATE)];
    params.extend(limit.as_deref().map(|limit| ("limit", limit)));
    let mut stream = match server.listen(server.url(&["tap"], &params)).await? {
        Ok(stream) => stream,
        Err(objection) => return Err(wrong(&args.query, objection)),
    };
    let file =
        File::create_new(&args.out).with_context(|| format!("{} cannot be made", args.out.display()))?;
    let mut recording = Recording { to: BufWriter::new(file), packed, events: 0, missed: 0 };
    let mut frames = Frames::default();
    let end = tokio::time::sleep(args.span.unwrap_or(Duration::MAX));
    tokio::pin!(end);
    let mut cut_short = true;
    loop {
        let chunk = tokio::select! {
            chunk = stream.chunk() => chunk.map_err(|error| server.unreachable(&error))?,
            () = &mut end => {
                cut_short = false;
                break;
            }
            _ = tokio::signal::ctrl_c() => {
                cut_short = false;
                break;
            }
        };
        let Some(chunk) = chunk else { break };
        for frame in frames.push(&chunk)? {
            match frame.name.as_str() {
                "" => recording.take(&frame.data)?,
                "skipped" => {
                    let skipped: Value = serde_json::from_str(&frame.data).unwrap_or_default();
                    recording.missed += skipped["skipped"].as_u64().unwrap_or_default();
                }
                _ => {}
            }
        }
    }
    recording.to.flush()?;
    let Recording { events, missed, .. } = recording;
    if screen.json {
        screen.value(&json!({ "events": events, "missed": missed }))?;
    } else {
        let n = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        screen.line(format_args!("{} recorded, {missed} missed", count(n(events), "event")))?;
    }
    if cut_short && args.events.is_none_or(|limit| events < limit) {
        return Err(Failure::say(
            Exit::Unreachable,
            "the server ended the stream: it is stopping, or we were too slow; what came is in the file",
        ));
    }
    Ok(())
}
