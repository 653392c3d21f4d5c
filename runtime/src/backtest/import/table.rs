//! Tables: a line of names, then an event a line.
//!
//! | column | value |
//! |---|---|
//! | `host` `service` `state` `description` | text |
//! | `metric` | a number; whole ones stay whole |
//! | `time` | seconds since 1970, or RFC 3339 |
//! | `ttl` | seconds |
//! | `tags` | tags, with spaces or semicolons between them |
//! | any other | an attribute of that name |
//!
//! An empty cell is nothing.

use super::Gather;
use crate::backtest::source::Progress;
use anyhow::{anyhow, bail};
use std::io::BufRead;
use std::sync::atomic::Ordering::Relaxed;
use tidegate_event::{BatchBuilder, Metric, NewEvent, Timestamp};

/// Columns at most.
const COLUMNS: usize = 512;

/// What a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Host,
    Service,
    State,
    Description,
    Metric,
    Time,
    Ttl,
    Tags,
    Attribute,
}

impl Column {
    fn named(name: &str) -> Self {
        match name {
            "host" => Self::Host,
            "service" => Self::Service,
            "state" => Self::State,
            "description" => Self::Description,
            "metric" => Self::Metric,
            "time" => Self::Time,
            "ttl" => Self::Ttl,
            "tags" => Self::Tags,
            _ => Self::Attribute,
        }
    }
}

/// Reads a table.
pub fn read(from: impl BufRead, progress: &Progress, gather: &mut Gather<'_>) -> anyhow::Result<()> {
    let mut table = csv::ReaderBuilder::new().flexible(false).from_reader(from);
    let names = table.headers().map_err(|error| wrong(&error))?.clone();
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    check(&names)?;
    let columns: Vec<Column> = names.iter().map(|name| Column::named(name)).collect();
    let mut line = csv::StringRecord::new();
    let mut builder = BatchBuilder::new();
    while gather.wanted && table.read_record(&mut line).map_err(|error| wrong(&error))? {
        let at = line.position().map_or(0, csv::Position::line);
        progress.done.store(table.position().byte(), Relaxed);
        builder = std::mem::take(&mut builder).finish().into_builder();
        let mut event = NewEvent::default();
        let (mut listed, mut attributes) = ("", Vec::new());
        for ((cell, column), name) in line.iter().zip(&columns).zip(&names) {
            let cell = cell.trim();
            if cell.is_empty() {
                continue;
            }
            let wants = |what: &str| {
                anyhow!("line {at}, column `{name}`: {what} was expected, found {}", quoted(cell))
            };
            match column {
                Column::Host => event.host = Some(cell),
                Column::Service => event.service = Some(cell),
                Column::State => event.state = Some(cell),
                Column::Description => event.description = Some(cell),
                Column::Metric => event.metric = Some(number(cell).ok_or_else(|| wants("a number"))?),
                Column::Ttl => event.ttl = Some(cell.parse().map_err(|_| wants("a number of seconds"))?),
                Column::Time => {
                    let time = moment(cell);
                    event.time =
                        Some(time.ok_or_else(|| wants("seconds since 1970, or 2013-04-15T18:06:58Z,"))?);
                }
                Column::Tags => listed = cell,
                Column::Attribute => attributes.push((name.as_str(), cell)),
            }
        }
        let tags: Vec<&str> = listed.split([' ', ';']).filter(|tag| !tag.is_empty()).collect();
        (event.tags, event.attributes) = (&tags, &attributes);
        builder.push(&event);
        gather.take(&builder.event(0), || format!("line {at}"))?;
    }
    Ok(())
}

fn check(names: &[String]) -> anyhow::Result<()> {
    if names.len() > COLUMNS {
        bail!("line 1: at most {COLUMNS} columns were expected, found {}", names.len());
    }
    for (column, name) in names.iter().enumerate() {
        if name.is_empty() {
            bail!("line 1: column {} has no name", column + 1);
        }
        if names[..column].contains(name) {
            bail!("line 1: two columns are named `{name}`");
        }
    }
    if !names.iter().any(|name| name == "time") {
        bail!("line 1: a column `time` was expected, found {}", names.join(", "));
    }
    Ok(())
}

/// The table's own mistakes, with the line they are in.
fn wrong(error: &csv::Error) -> anyhow::Error {
    let line = error.position().map_or(1, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            anyhow!("line {line}: {expected_len} columns were expected, found {len}")
        }
        csv::ErrorKind::Utf8 { err, .. } => {
            anyhow!("line {line}, column {}: it is not UTF-8", err.field() + 1)
        }
        _ => anyhow!("line {line}: {error}"),
    }
}

/// A cell for a message: not all of a long one.
fn quoted(cell: &str) -> String {
    let short: String = cell.chars().take(40).collect();
    if short.len() < cell.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

fn number(cell: &str) -> Option<Metric> {
    cell.parse().map(Metric::Int).or_else(|_| cell.parse().map(Metric::Float)).ok()
}

fn moment(cell: &str) -> Option<Timestamp> {
    if let Ok(seconds) = cell.parse::<i64>() {
        return Some(Timestamp::from_secs(seconds));
    }
    if let Ok(seconds) = cell.parse::<f64>() {
        return seconds.is_finite().then(|| Timestamp::from_secs_f64(seconds));
    }
    let at = cell.parse::<jiff::Timestamp>().ok()?;
    Some(Timestamp(at.as_microsecond()))
}
