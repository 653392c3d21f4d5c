//! Events from a file: JSON lines, MessagePack or a table (CSV). The clock is the events' own time.

mod table;

use super::source::{Progress, Range, Read};
use anyhow::{Context, anyhow, bail};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use tidegate_engine::codec::{json, msgpack};
use tidegate_event::{Batch, BatchBuilder, Event, FieldSet, Span, Timestamp};

/// Lines that are decoded together.
const LINES: usize = 1_000;
/// A line is no longer.
const LINE: usize = 64 << 20;
/// A MessagePack file is read whole, so it is no longer.
const WHOLE: u64 = 512 << 20;
/// Events of a batch: more of one moment are several batches.
const BATCH: usize = 4_096;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    Lines,
    /// MessagePack maps, or lists of them, one after another.
    MessagePack,
    /// A table with a line of names.
    Table,
}

impl Format {
    /// By the end of the file's name.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        match path.extension().and_then(|end| end.to_str()) {
            Some("ndjson" | "jsonl") => Ok(Self::Lines),
            Some("msgpack" | "mpk") => Ok(Self::MessagePack),
            Some("csv") => Ok(Self::Table),
            _ => {
                bail!("a file that ends in .ndjson, .csv or .msgpack was expected, found {}", path.display())
            }
        }
    }
}

/// The clock of a file, and the batch that is being gathered for the moment it shows.
struct Gather<'a> {
    clock: Option<Timestamp>,
    batch: BatchBuilder,
    seed: u64,
    range: Range,
    read: Read,
    hand: &'a mut dyn FnMut(Batch) -> bool,
    /// Whether more is wanted.
    wanted: bool,
}

impl Gather<'_> {
    /// Takes in an event. `place` says where it stands, should it be wrong.
    fn take(&mut self, event: &Event<'_>, place: impl Fn() -> String) -> anyhow::Result<()> {
        let untimed = event.row().untimed;
        self.read.untimed += u64::from(untimed);
        let moment = match (self.clock, untimed) {
            (Some(clock), true) => clock,
            (Some(clock), false) => clock.max(event.time()),
            (None, false) => event.time(),
            (None, true) => bail!(
                "{}: the first event has no `time`, so nobody knows when it happened: give it one",
                place()
            ),
        };
        if self.clock != Some(moment) || self.batch.len() >= BATCH {
            self.hand_on();
            self.clock = Some(moment);
        }
        // Who was emitted by a rule at the time is an event like any other here: the file does not say by which.
        self.batch.copy(event, FieldSet::ALL, |row| {
            if untimed {
                (row.time, row.untimed) = (moment, false);
            }
        });
        Ok(())
    }

    fn hand_on(&mut self) {
        let Some(now) = self.clock.filter(|_| !self.batch.is_empty()) else { return };
        let mut builder = std::mem::take(&mut self.batch);
        if !self.wanted || now < self.range.from {
            return;
        }
        if now > self.range.to {
            self.wanted = false;
            return;
        }
        builder.stamp(self.seed, now);
        let mut batch = builder.finish();
        batch.header.now = now;
        self.read.take(&batch, Span::ZERO);
        self.wanted = (self.hand)(batch);
    }
}

/// Reads a file and hands on its events, those of one moment together.
pub fn read(
    path: &Path,
    format: Format,
    seed: u64,
    range: Range,
    progress: &Progress,
    hand: &mut dyn FnMut(Batch) -> bool,
) -> anyhow::Result<Read> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let size = file.metadata()?.len();
    progress.total.store(size, Relaxed);
    let mut gather = Gather {
        clock: None,
        batch: BatchBuilder::new(),
        seed,
        range,
        read: Read::of("file"),
        hand,
        wanted: true,
    };
    match format {
        Format::Lines => lines(BufReader::with_capacity(1 << 20, file), progress, &mut gather),
        Format::Table => table::read(BufReader::with_capacity(1 << 20, file), progress, &mut gather),
        Format::MessagePack if size > WHOLE => {
            Err(anyhow!("it has {size} bytes, MessagePack is read up to {WHOLE}: write it as .ndjson"))
        }
        Format::MessagePack => maps(&fs::read(path)?, progress, &mut gather),
    }
    .with_context(|| path.display().to_string())?;
    gather.hand_on();
    Ok(gather.read.finish())
}

/// A JSON object a line.
fn lines(mut from: impl BufRead, progress: &Progress, gather: &mut Gather<'_>) -> anyhow::Result<()> {
    let (mut text, mut number) = (Vec::new(), 0);
    while gather.wanted {
        // A few lines at once, so that a batch under construction stays small.
        let mut builder = BatchBuilder::new();
        let mut places = Vec::with_capacity(LINES);
        for _ in 0..LINES {
            text.clear();
            let length = from.read_until(b'\n', &mut text)?;
            if length == 0 {
                break;
            }
            number += 1;
            progress.done.fetch_add(length as u64, Relaxed);
            if length > LINE {
                bail!("line {number}: a line of at most {LINE} bytes was expected, this one has {length}");
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            let line = std::str::from_utf8(&text).map_err(|_| anyhow!("line {number}: it is not UTF-8"))?;
            json::decode_event(&mut builder, line.trim()).map_err(|error| {
                let words = error.message.replace("line 1 column ", "column ");
                anyhow!("line {number}: {words}")
            })?;
            places.push(number);
        }
        if text.is_empty() && places.is_empty() {
            break;
        }
        for (row, line) in places.iter().enumerate() {
            gather.take(&builder.event(row), || format!("line {line}"))?;
        }
    }
    Ok(())
}

/// MessagePack maps, or lists of them.
fn maps(mut bytes: &[u8], progress: &Progress, gather: &mut Gather<'_>) -> anyhow::Result<()> {
    let mut number = 0;
    while gather.wanted && !bytes.is_empty() {
        let mut builder = BatchBuilder::new();
        let mut used = 0;
        while builder.len() < LINES && used < bytes.len() {
            let at = builder.len();
            used += msgpack::decode_next(&mut builder, &bytes[used..])
                .map_err(|error| anyhow!("event {}: {}", number + at + error.at + 1, error.message))?;
        }
        progress.done.fetch_add(used as u64, Relaxed);
        bytes = &bytes[used..];
        for row in 0..builder.len() {
            number += 1;
            gather.take(&builder.event(row), || format!("event {number}"))?;
        }
    }
    Ok(())
}
