//! `tidegate log`: whether a log is sound, what it holds, and its events as a file. Reads the data directory itself and
//! changes nothing, so it works on a stopped node and beside a running one.

use super::failure::{Exit, Failure, OrExit};
use super::screen::{Screen, bytes, count};
use crate::clock::{self, iso8601};
use crate::config;
use crate::log::{Gap, Reader, Record, Survey};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use tidegate_engine::codec::{json as json_codec, msgpack};
use tidegate_engine::query::Matcher;
use tidegate_event::{Event, Span, Timestamp};

/// What to do with which log.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Read all of it, and name what cannot be read. Exits with 1 if anything is damaged.
    Verify(Place),
    /// Show its segments, and what they hold.
    Stat(Place),
    /// Write its events to standard output.
    Export(Export),
}

/// Which log.
#[derive(Debug, clap::Args)]
struct Place {
    /// The data directory; the one of the configuration without it.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The folder of the log itself.
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    log: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    place: Place,
    /// How the events are written.
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// Only what was logged from this moment on: `-2h`, or a time like `2013-04-15T18:06:58Z`.
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    from: Option<Timestamp>,
    /// Only what was logged before this moment.
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    to: Option<Timestamp>,
    /// Only events that match this query.
    #[arg(long = "where", value_name = "QUERY")]
    filter: Option<String>,
    /// Also what rules put back into the stream.
    #[arg(long)]
    emitted: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A JSON object per line.
    Ndjson,
    /// One MessagePack map after another.
    Msgpack,
}

/// A moment, said as such or by how long ago it was.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Some(ago) = text.strip_prefix('-').and_then(Span::parse) {
        return Ok(clock::now() - ago);
    }
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    parsed.map(|at| Timestamp(at.as_microsecond())).map_err(|_| {
        "a length of time ago such as -2h, or a time such as 2013-04-15T18:06:58Z, was expected".into()
    })
}

impl Place {
    fn folder(&self) -> Result<PathBuf, Failure> {
        let folder = match (&self.log, &self.data) {
            (Some(log), _) => log.clone(),
            (None, Some(data)) => data.join("log"),
            (None, None) => {
                config::load(None, &config::environment()).or_exit(Exit::Invalid)?.data.join("log")
            }
        };
        match folder.is_dir() {
            true => Ok(folder),
            false => Err(Failure::say(
                Exit::Usage,
                format_args!(
                    "there is no log in {}: name a data directory with --data, or a log with --log",
                    folder.display()
                ),
            )),
        }
    }

    fn survey(&self) -> Result<Survey, Failure> {
        Survey::of(&self.folder()?).or_exit(Exit::Failed)
    }
}

/// Does it.
pub fn go(args: &Args, screen: &Screen) -> Result<(), Failure> {
    match &args.verb {
        Verb::Verify(place) => verify(&place.survey()?, screen),
        Verb::Stat(place) => stat(&place.survey()?, screen),
        Verb::Export(export) => export.go(),
    }
}

fn verify(survey: &Survey, screen: &Screen) -> Result<(), Failure> {
    let (report, total) = (&survey.report, survey.total());
    if screen.json {
        screen.value(&json!({
            "sound": report.gaps == 0,
            "segments": survey.segments.len(),
            "records": total.records,
            "events": total.events,
            "positions": survey.positions(),
            "gaps": report.gaps,
            "missing": report.missing,
            "damaged_bytes": report.damaged,
            "torn_bytes": report.torn,
            "damage": report.shown,
        }))?;
    } else {
        let rows: Vec<Vec<String>> = report.shown.iter().map(row).collect();
        if !rows.is_empty() {
            screen.table(&["segment", "from byte", "to byte", "positions missing"], &rows)?;
        }
        let at = survey
            .positions()
            .map_or(String::new(), |(first, last)| format!(", positions {first} to {last}"));
        let verdict = match report.gaps {
            0 => "sound".to_owned(),
            n => format!(
                "{} damaged, {} missing",
                count(n as usize, "place"),
                count(report.missing as usize, "position")
            ),
        };
        let segments = count(survey.segments.len(), "segment");
        screen
            .line(format_args!("{segments}, {}{at}: {verdict}", count(total.records as usize, "record")))?;
    }
    if report.torn > 0 {
        eprintln!(
            "{} behind the last record: what a node is writing, or was when it died; it was never acked",
            bytes(report.torn)
        );
    }
    match report.gaps {
        0 => Ok(()),
        _ => Err(Failure::say(
            Exit::Failed,
            "the log is damaged: a node that starts with it goes on without what is missing; look at the disk",
        )),
    }
}

fn row(gap: &Gap) -> Vec<String> {
    let missing = match gap.missing {
        None => "none".to_owned(),
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first} to {last}"),
    };
    vec![gap.segment.clone(), gap.from.to_string(), gap.to.to_string(), missing]
}

fn stat(survey: &Survey, screen: &Screen) -> Result<(), Failure> {
    let time = |at: Option<Timestamp>| at.map(iso8601);
    if screen.json {
        let segments: Vec<Value> = survey
            .segments
            .iter()
            .map(|segment| {
                json!({
                    "segment": segment.file,
                    "bytes": segment.size,
                    "positions": segment.positions,
                    "from": time(segment.times.map(|(first, _)| first)),
                    "to": time(segment.times.map(|(_, last)| last)),
                    "records": segment.holds.records,
                    "events": segment.holds.events,
                })
            })
            .collect();
        let kinds: serde_json::Map<String, Value> = survey
            .kinds
            .iter()
            .map(|(kind, held)| {
                let held = json!({ "records": held.records, "events": held.events, "bytes": held.bytes });
                (kind.name().to_owned(), held)
            })
            .collect();
        return screen.value(&json!({ "segments": segments, "kinds": kinds, "gaps": survey.report.gaps }));
    }
    let rows: Vec<Vec<String>> = survey
        .segments
        .iter()
        .map(|segment| {
            vec![
                segment.file.clone(),
                segment.positions.map_or(String::new(), |(first, last)| format!("{first} to {last}")),
                time(segment.times.map(|(first, _)| first)).unwrap_or_default(),
                time(segment.times.map(|(_, last)| last)).unwrap_or_default(),
                segment.holds.records.to_string(),
                segment.holds.events.to_string(),
                bytes(segment.size),
            ]
        })
        .collect();
    if rows.is_empty() {
        return screen.line("an empty log");
    }
    screen.table(&["segment", "positions", "from", "to", "records", "events", "size"], &rows)?;
    screen.line("")?;
    let held = |name: &str, held: crate::log::Amount| {
        vec![name.to_owned(), held.records.to_string(), held.events.to_string(), bytes(held.bytes)]
    };
    let mut rows: Vec<Vec<String>> =
        survey.kinds.iter().map(|(kind, amount)| held(kind.name(), *amount)).collect();
    rows.push(held("all", survey.total()));
    screen.table(&["kind", "records", "events", "size"], &rows)
}

impl Export {
    fn go(&self) -> Result<(), Failure> {
        let filter = self.filter.as_deref().map(Matcher::parse).transpose();
        let filter = filter
            .map_err(|error| Failure::say(Exit::Usage, format_args!("--where is no query: {error}")))?;
        let mut reader = Reader::open(&self.place.folder()?, 0).or_exit(Exit::Failed)?;
        let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
        let (mut scratch, mut written) = (Vec::new(), 0u64);
        while let Some(record) = reader.read().or_exit(Exit::Failed)? {
            let batch = match record {
                Record::Batch(batch) => batch,
                Record::Emitted { batch, .. } if self.emitted => batch,
                _ => continue,
            };
            let now = batch.header.now;
            if self.to.is_some_and(|to| now >= to) {
                break;
            }
            if self.from.is_some_and(|from| now < from) {
                continue;
            }
            for event in
                batch.events().filter(|event| filter.as_ref().is_none_or(|filter| filter.matches(event)))
            {
                self.format.write(&mut scratch, &event);
                out.write_all(&scratch)?;
                scratch.clear();
                written += 1;
            }
        }
        out.flush()?;
        let report = reader.report();
        eprintln!("{}", count(written as usize, "event"));
        if report.gaps > 0 {
            eprintln!(
                "the log is damaged: {} missing; `tidegate log verify` names them",
                count(report.missing as usize, "position")
            );
        }
        Ok(())
    }
}

impl Format {
    fn write(self, to: &mut Vec<u8>, event: &Event<'_>) {
        match self {
            Self::Ndjson => {
                json_codec::encode_event(to, event);
                to.push(b'\n');
            }
            Self::Msgpack => msgpack::encode_event(to, event),
        }
    }
}
