//! A message's bytes to rows of a batch.

use super::wire::{DecodeError, Place, Reader, Wrong};
use crate::codec::{Limits, Reserved, Text, has_room};
use std::ops::Range;
use tidegate_event::{BatchBuilder, Metric, Row, State, Timestamp};

/// What a message asks for, besides its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// How many events were appended.
    pub events: usize,
    /// The query to answer after the events; a query without text is an empty one.
    pub query: Option<String>,
}

/// Appends the events of the message at `message` within the builder's bytes. A batch is made over the buffer of a
/// socket with [`BatchBuilder::over`].
///
/// A range that does not lie within the bytes is a mistake of the caller; it reads as the part that does.
pub fn decode(
    builder: &mut BatchBuilder,
    message: Range<usize>,
    limits: &Limits,
) -> Result<Request, DecodeError> {
    let rows = builder.len();
    let decoded = Decoder::new(limits).message(builder, message);
    decoded.inspect_err(|_| builder.truncate(rows))
}

/// The same for a message that lies elsewhere: its bytes are appended first.
pub fn decode_copy(
    builder: &mut BatchBuilder,
    message: &[u8],
    limits: &Limits,
) -> Result<Request, DecodeError> {
    if !has_room(builder, message.len().saturating_mul(2)) {
        return Err(DecodeError { at: Place::default(), wrong: Wrong::Room });
    }
    builder.push_string(message);
    let end = builder.bytes().len();
    decode(builder, end - message.len()..end, limits)
}

/// Decodes one message. The lists are used again for each event.
struct Decoder<'l> {
    limits: &'l Limits,
    at: Place,
    tags: Vec<u32>,
    attributes: Vec<u32>,
    /// What attributes say of fields: refs of their values, and the state's code.
    overrides: [Option<(u32, State)>; 4],
}

impl<'l> Decoder<'l> {
    fn new(limits: &'l Limits) -> Self {
        Self { limits, at: Place::default(), tags: Vec::new(), attributes: Vec::new(), overrides: [None; 4] }
    }

    fn message(&mut self, builder: &mut BatchBuilder, message: Range<usize>) -> Result<Request, DecodeError> {
        if !has_room(builder, message.len()) {
            return Err(self.error(Wrong::Room));
        }
        let mut request = Request::default();
        let (mut at, end) = (message.start, message.end);
        loop {
            // The lists are appended to the same bytes, so the reader cannot live from one event to the next.
            let mut reader = Reader::new(builder.bytes(), at..end);
            let field = reader.key().map_err(|wrong| self.error(wrong))?;
            let Some((number, wire)) = field else { return Ok(request) };
            match number {
                5 => {
                    self.at.field = "query";
                    let text = reader.part(wire).and_then(|part| self.query(part));
                    let text = text.map_err(|wrong| self.error(wrong))?;
                    // Of two queries the texts merge, as protobuf has it.
                    match text {
                        Some(text) => request.query = Some(text),
                        None => drop(request.query.get_or_insert_default()),
                    }
                    self.at.field = "";
                }
                6 => {
                    self.at = Place { event: Some(request.events), field: "" };
                    let row = reader.part(wire).and_then(|part| self.event(part, request.events));
                    let mut row = row.map_err(|wrong| self.error(wrong))?;
                    at = reader.at();
                    row.tags = builder.push_tags(&self.tags);
                    row.attributes = builder.push_attributes(&self.attributes);
                    builder.push_row(&row);
                    request.events += 1;
                    self.at = Place::default();
                    continue;
                }
                // `ok` and `error` belong to answers, and Riemann does not read `states` any more.
                _ => reader.skip(number, wire).map_err(|wrong| self.error(wrong))?,
            }
            at = reader.at();
        }
    }

    fn error(&self, wrong: Wrong) -> DecodeError {
        DecodeError { at: self.at, wrong }
    }

    fn query(&self, mut part: Reader<'_>) -> Result<Option<String>, Wrong> {
        let mut query = None;
        while let Some((number, wire)) = part.key()? {
            match number {
                1 => {
                    let (_, text) = part.text(wire, self.limits.description)?;
                    query = Some(String::from_utf8_lossy(text).into_owned());
                }
                _ => part.skip(number, wire)?,
            }
        }
        Ok(query)
    }

    /// The event's row; its lists are left in `self`.
    fn event(&mut self, mut part: Reader<'_>, events: usize) -> Result<Row, Wrong> {
        if events >= self.limits.events {
            let limit = self.limits.events;
            return Err(Wrong::TooMuch { found: events + 1, limit, unit: "events" });
        }
        self.tags.clear();
        self.attributes.clear();
        self.overrides = [None; 4];
        let mut row = Row::default();
        let (mut seconds, mut micros) = (None, None);
        let (mut whole, mut double, mut single) = (None, None, None);
        let text = self.limits.value;
        while let Some((number, wire)) = part.key()? {
            match number {
                1 => {
                    self.at.field = "time";
                    seconds = Some(part.number(wire)? as i64);
                }
                2 => {
                    self.at.field = "state";
                    let (at, word) = part.text(wire, text)?;
                    (row.state, row.state_code) = (Some(at), State::of(word));
                }
                3 => {
                    self.at.field = "service";
                    row.service = Some(part.text(wire, text)?.0);
                }
                4 => {
                    self.at.field = "host";
                    row.host = Some(part.text(wire, text)?.0);
                }
                5 => {
                    self.at.field = "description";
                    row.description = Some(part.text(wire, self.limits.description)?.0);
                }
                7 => {
                    self.at.field = "tags";
                    self.tags.push(part.text(wire, text)?.0);
                    let (found, limit) = (self.tags.len(), self.limits.tags);
                    if found > limit {
                        return Err(Wrong::TooMuch { found, limit, unit: "tags" });
                    }
                }
                8 => {
                    self.at.field = "ttl";
                    row.ttl = Some(part.float(wire)?);
                }
                9 => {
                    self.at.field = "attributes";
                    let attribute = part.part(wire)?;
                    self.attribute(attribute)?;
                    self.at.field = "";
                }
                10 => {
                    self.at.field = "time_micros";
                    micros = Some(part.number(wire)? as i64);
                }
                13 => {
                    self.at.field = "metric_sint64";
                    let zigzag = part.number(wire)?;
                    whole = Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
                }
                14 => {
                    self.at.field = "metric_d";
                    double = Some(part.double(wire)?);
                }
                15 => {
                    self.at.field = "metric_f";
                    single = Some(part.float(wire)?);
                }
                _ => part.skip(number, wire)?,
            }
            self.at.field = "";
        }
        match (micros, seconds) {
            (Some(micros), _) => row.time = Timestamp(micros),
            (None, Some(seconds)) => row.time = Timestamp::from_secs(seconds),
            (None, None) => row.untimed = true,
        }
        row.metric =
            whole.map(Metric::Int).or(double.map(Metric::Float)).or(single.map(|f| Metric::Float(f.into())));
        self.apply_overrides(&mut row);
        Ok(row)
    }

    fn attribute(&mut self, mut part: Reader<'_>) -> Result<(), Wrong> {
        let (mut key, mut value): (_, (u32, &[u8])) = (None, (0, &[]));
        while let Some((number, wire)) = part.key()? {
            match number {
                1 => {
                    self.at.field = "attribute's key";
                    key = Some(part.text(wire, self.limits.name)?);
                }
                2 => {
                    self.at.field = "attribute's value";
                    // What it may hold depends on the key, which may be still to come.
                    value = part.text(wire, self.limits.description.max(self.limits.value))?;
                }
                _ => part.skip(number, wire)?,
            }
            self.at.field = "attributes";
        }
        let (key, name) = key.ok_or(Wrong::NoKey)?;
        let (value, word) = value;
        let reserved = Reserved::of(name);
        let is_description = reserved == Some(Reserved::Overrides(Text::Description));
        let limit = if is_description { self.limits.description } else { self.limits.value };
        if word.len() > limit {
            self.at.field = "attribute's value";
            return Err(Wrong::TooMuch { found: word.len(), limit, unit: "bytes" });
        }
        match reserved {
            Some(Reserved::Ignored) => {}
            Some(Reserved::Overrides(field)) => {
                self.overrides[field as usize] = Some((value, State::of(word)));
            }
            None => self.attributes.extend([key, value]),
        }
        let (found, limit) = (self.attributes.len() / 2, self.limits.attributes);
        if found > limit {
            return Err(Wrong::TooMuch { found, limit, unit: "attributes" });
        }
        Ok(())
    }

    /// They count wherever in the event they stand.
    fn apply_overrides(&self, row: &mut Row) {
        for (field, value) in
            [Text::Host, Text::Service, Text::State, Text::Description].into_iter().zip(self.overrides)
        {
            let Some((value, code)) = value else { continue };
            match field {
                Text::Host => row.host = Some(value),
                Text::Service => row.service = Some(value),
                Text::Description => row.description = Some(value),
                Text::State => (row.state, row.state_code) = (Some(value), code),
            }
        }
    }
}
