//! Riemann's protobuf messages, read where they lie: strings stay in the frame, only rows are written.
//!
//! The messages are proto2 with four small types that have not changed in ten years, so they are read by hand: the reader
//! is generic over nothing, allocates nothing for an event without tags and attributes, and is held to a general
//! implementation by the tests. Metric: `metric_sint64`, else `metric_d`, else `metric_f`. Time: `time_micros`, else
//! `time`, else that of receipt. Attributes named like a text field override it, those named like the others are ignored.

use super::Limits;
use std::ops::Range;
use tidegate_event::{BatchBuilder, Event, Metric, Row, State, Timestamp};

/// What a message asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Events that it brought.
    pub events: usize,
    /// The query it asks, if it asks one; a query without text is the empty text.
    pub query: Option<String>,
}

/// Why a message cannot be read. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf, or not of these types.
    #[error("{place}: {problem}")]
    Malformed {
        /// Where: `message`, or `event 3, field host`.
        place: String,
        /// What was expected and found.
        problem: String,
    },
    /// More than a message may hold.
    #[error("{place}: {found} {what}, {limit} are allowed")]
    Limit {
        /// Where.
        place: String,
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
}

impl DecodeError {
    /// A short word for counters.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::Limit { .. } => "limit",
        }
    }
}

/// A problem that does not know yet where it is.
enum Problem {
    Bad(&'static str, &'static str),
    Limit(&'static str, usize, usize),
}

type Read<T> = Result<T, Problem>;

const fn bad<T>(field: &'static str, problem: &'static str) -> Read<T> {
    Err(Problem::Bad(field, problem))
}

/// A place in the bytes and the end of what may be read.
#[derive(Clone, Copy)]
struct Cursor {
    at: usize,
    end: usize,
}

/// How deep groups may nest; nothing of Riemann's uses them.
const GROUPS: usize = 32;

impl Cursor {
    #[inline]
    fn varint(&mut self, bytes: &[u8]) -> Read<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            if self.at >= self.end {
                return bad("", "a number is cut off");
            }
            let byte = bytes[self.at];
            self.at += 1;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        bad("", "a number of at most 64 bits was expected")
    }

    /// A length and where what follows it ends.
    #[inline]
    fn block(&mut self, bytes: &[u8]) -> Read<Cursor> {
        let start = self.at;
        let len = self.varint(bytes)?;
        if self.at - start > 5 {
            return bad("", "a length of at most five bytes was expected");
        }
        match usize::try_from(len)
            .ok()
            .and_then(|len| self.at.checked_add(len))
            .filter(|end| *end <= self.end)
        {
            Some(end) => {
                let inner = Cursor { at: self.at, end };
                self.at = end;
                Ok(inner)
            }
            None => bad("", "a length points beyond the end"),
        }
    }

    #[inline]
    fn fixed<const N: usize>(&mut self, bytes: &[u8]) -> Read<[u8; N]> {
        match bytes[self.at..self.end].first_chunk::<N>() {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => bad("", "a number is cut off"),
        }
    }

    /// A field's number and wire type.
    #[inline]
    fn key(&mut self, bytes: &[u8]) -> Read<(u64, u8)> {
        let key = self.varint(bytes)?;
        let number = key >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return bad("", "a field number of 1 to 536870911 was expected");
        }
        Ok((number, key as u8 & 7))
    }

    fn skip(&mut self, bytes: &[u8], number: u64, wire: u8, depth: usize) -> Read<()> {
        match wire {
            0 => self.varint(bytes).map(drop),
            1 => self.fixed::<8>(bytes).map(drop),
            2 => self.block(bytes).map(drop),
            5 => self.fixed::<4>(bytes).map(drop),
            3 if depth < GROUPS => loop {
                let (inner, wire) = self.key(bytes)?;
                if wire == 4 {
                    return if inner == number { Ok(()) } else { bad("", "a group ends that did not begin") };
                }
                self.skip(bytes, inner, wire, depth + 1)?;
            },
            3 => bad("", "groups are nested too deep"),
            4 => bad("", "a group ends that did not begin"),
            _ => bad("", "a wire type of 0 to 5 was expected"),
        }
    }

    fn is_done(self) -> bool {
        self.at >= self.end
    }
}

/// A string: the ref is where its length stands.
#[inline]
fn text(
    cursor: &mut Cursor,
    bytes: &[u8],
    wire: u8,
    field: &'static str,
    limit: usize,
) -> Read<(u32, Range<usize>)> {
    if wire != 2 {
        return bad(field, "text was expected");
    }
    let at = cursor.at as u32;
    let inner = cursor.block(bytes)?;
    let range = inner.at..inner.end;
    if range.len() > limit {
        return Err(Problem::Limit(field, range.len(), limit));
    }
    if std::str::from_utf8(&bytes[range.clone()]).is_err() {
        return bad(field, "the text is not UTF-8");
    }
    // Ref 0 would be the empty string, and so is this one wherever it stands.
    Ok((at, range))
}

#[inline]
fn number(cursor: &mut Cursor, bytes: &[u8], wire: u8, field: &'static str) -> Read<u64> {
    if wire != 0 {
        return bad(field, "a whole number was expected");
    }
    cursor.varint(bytes)
}

/// Reads the message that lies in these bytes of the builder, and appends its events. After an error nothing was appended.
pub fn decode(
    builder: &mut BatchBuilder,
    message: Range<usize>,
    limits: &Limits,
) -> Result<Request, DecodeError> {
    let before = builder.len();
    let mut request = Request::default();
    let mut event = 0;
    let outcome = read_message(builder, message, limits, &mut request, &mut event);
    outcome.map_err(|problem| {
        builder.truncate(before);
        let place = |field: &str| match (event, field) {
            (0, "") => "message".to_owned(),
            (0, field) => format!("message, field {field}"),
            (n, "") => format!("event {}", n - 1),
            (n, field) => format!("event {}, field {field}", n - 1),
        };
        match problem {
            Problem::Bad(field, problem) => {
                DecodeError::Malformed { place: place(field), problem: problem.to_owned() }
            }
            Problem::Limit(what, found, limit) => DecodeError::Limit { place: place(""), what, found, limit },
        }
    })?;
    request.events = builder.len() - before;
    Ok(request)
}

/// The same for a message that lies elsewhere: it is copied first.
pub fn decode_copy(
    builder: &mut BatchBuilder,
    message: &[u8],
    limits: &Limits,
) -> Result<Request, DecodeError> {
    let start = builder.push_raw(message);
    decode(builder, start..start + message.len(), limits)
}

fn read_message(
    builder: &mut BatchBuilder,
    message: Range<usize>,
    limits: &Limits,
    request: &mut Request,
    event: &mut usize,
) -> Read<()> {
    let mut cursor = Cursor { at: message.start, end: message.end.min(builder.bytes().len()) };
    let (mut tags, mut attributes) = (Vec::new(), Vec::new());
    while !cursor.is_done() {
        let (field, wire) = cursor.key(builder.bytes())?;
        match (field, wire) {
            (6, 2) => {
                let inner = cursor.block(builder.bytes())?;
                *event += 1;
                if *event > limits.events {
                    return Err(Problem::Limit("events", *event, limits.events));
                }
                let mut row = read_event(builder.bytes(), inner, limits, &mut tags, &mut attributes)?;
                row.tags = builder.push_tags(&tags);
                row.attributes = builder.push_attributes(&attributes);
                builder.push_row(&row);
            }
            (5, 2) => {
                let inner = cursor.block(builder.bytes())?;
                request.query = Some(read_query(builder.bytes(), inner, limits)?);
            }
            (2, 0) => drop(cursor.varint(builder.bytes())?),
            (3 | 4, 2) => drop(cursor.block(builder.bytes())?),
            (2..=6, _) => return bad("", "a field has the wrong wire type"),
            (field, wire) => cursor.skip(builder.bytes(), field, wire, 0)?,
        }
    }
    Ok(())
}

fn read_query(bytes: &[u8], mut cursor: Cursor, limits: &Limits) -> Read<String> {
    let mut query = String::new();
    while !cursor.is_done() {
        let (field, wire) = cursor.key(bytes)?;
        if field == 1 {
            let (_, range) = text(&mut cursor, bytes, wire, "query", limits.value)?;
            query = String::from_utf8_lossy(&bytes[range]).into_owned();
        } else {
            cursor.skip(bytes, field, wire, 0)?;
        }
    }
    Ok(query)
}

fn read_event(
    bytes: &[u8],
    mut cursor: Cursor,
    limits: &Limits,
    tags: &mut Vec<u32>,
    attributes: &mut Vec<u32>,
) -> Read<Row> {
    tags.clear();
    attributes.clear();
    let mut row = Row::default();
    let (mut seconds, mut micros) = (None, None);
    let (mut sint, mut double, mut float) = (None, None, None);
    let mut state = None;
    while !cursor.is_done() {
        let (field, wire) = cursor.key(bytes)?;
        match field {
            1 => seconds = Some(number(&mut cursor, bytes, wire, "time")? as i64),
            2 => {
                let (at, range) = text(&mut cursor, bytes, wire, "state", limits.value)?;
                (row.state, state) = (Some(at), Some(range));
            }
            3 => row.service = Some(text(&mut cursor, bytes, wire, "service", limits.value)?.0),
            4 => row.host = Some(text(&mut cursor, bytes, wire, "host", limits.value)?.0),
            5 => row.description = Some(text(&mut cursor, bytes, wire, "description", limits.description)?.0),
            7 => {
                if tags.len() >= limits.tags {
                    return Err(Problem::Limit("tags", tags.len() + 1, limits.tags));
                }
                tags.push(text(&mut cursor, bytes, wire, "tags", limits.value)?.0);
            }
            8 if wire == 5 => row.ttl = Some(f32::from_le_bytes(cursor.fixed(bytes)?)),
            9 if wire == 2 => {
                let inner = cursor.block(bytes)?;
                let (key, value) = read_attribute(bytes, inner, limits)?;
                let text = value.1.clone();
                match &bytes[key.1] {
                    b"host" => row.host = Some(value.0),
                    b"service" => row.service = Some(value.0),
                    b"state" => (row.state, state) = (Some(value.0), Some(text)),
                    b"description" => row.description = Some(value.0),
                    b"tags" | b"time" | b"ttl" | b"metric" => {}
                    _ => {
                        if attributes.len() >= 2 * limits.attributes {
                            return Err(Problem::Limit(
                                "attributes",
                                attributes.len() / 2 + 1,
                                limits.attributes,
                            ));
                        }
                        attributes.extend([key.0, value.0]);
                    }
                }
            }
            10 => micros = Some(number(&mut cursor, bytes, wire, "time_micros")? as i64),
            13 => {
                let zigzag = number(&mut cursor, bytes, wire, "metric_sint64")?;
                sint = Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
            }
            14 if wire == 1 => double = Some(f64::from_le_bytes(cursor.fixed(bytes)?)),
            15 if wire == 5 => float = Some(f32::from_le_bytes(cursor.fixed(bytes)?)),
            8 => return bad("ttl", "a float was expected"),
            9 => return bad("attributes", "a message was expected"),
            14 => return bad("metric_d", "a double was expected"),
            15 => return bad("metric_f", "a float was expected"),
            field => cursor.skip(bytes, field, wire, 0)?,
        }
    }
    row.state_code = state.map_or(State::Other, |range| State::of(&bytes[range]));
    row.metric =
        sint.map(Metric::Int).or(double.map(Metric::Float)).or(float.map(|f| Metric::Float(f.into())));
    match (micros, seconds) {
        (Some(micros), _) => row.time = Timestamp(micros),
        (None, Some(seconds)) => row.time = Timestamp::from_secs(seconds),
        (None, None) => row.untimed = true,
    }
    Ok(row)
}

type Found = (u32, Range<usize>);

fn read_attribute(bytes: &[u8], mut cursor: Cursor, limits: &Limits) -> Read<(Found, Found)> {
    let (mut key, mut value) = (None, (0, 0..0));
    while !cursor.is_done() {
        let (field, wire) = cursor.key(bytes)?;
        match field {
            1 => key = Some(text(&mut cursor, bytes, wire, "attribute name", limits.name)?),
            2 => value = text(&mut cursor, bytes, wire, "attribute value", limits.value)?,
            field => cursor.skip(bytes, field, wire, 0)?,
        }
    }
    match key {
        Some(key) => Ok((key, value)),
        None => bad("attributes", "an attribute has no name"),
    }
}

fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn put_bytes(to: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    to.push(field << 3 | 2);
    put_varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// Appends a message that says yes.
pub fn encode_ok(to: &mut Vec<u8>) {
    to.extend_from_slice(&[2 << 3, 1]);
}

/// Appends a message that says no, and why.
pub fn encode_error(to: &mut Vec<u8>, error: &str) {
    to.extend_from_slice(&[2 << 3, 0]);
    put_bytes(to, 3, error.as_bytes());
}

/// Appends a message that says yes and brings events: the answer to a query.
pub fn encode_events<'a>(to: &mut Vec<u8>, events: impl Iterator<Item = Event<'a>>) {
    encode_ok(to);
    encode_message(to, events);
}

/// Appends a message that brings events.
pub fn encode_message<'a>(to: &mut Vec<u8>, events: impl Iterator<Item = Event<'a>>) {
    let (mut one, mut attribute) = (Vec::new(), Vec::new());
    for event in events {
        one.clear();
        put_event(&mut one, &mut attribute, &event);
        put_bytes(to, 6, &one);
    }
}

fn put_event(to: &mut Vec<u8>, attribute: &mut Vec<u8>, event: &Event<'_>) {
    to.push(1 << 3);
    put_varint(to, event.time().secs() as u64);
    let texts = [
        (2, event.state_bytes()),
        (3, event.service_bytes()),
        (4, event.host_bytes()),
        (5, event.description_bytes()),
    ];
    for (field, text) in texts {
        if let Some(text) = text {
            put_bytes(to, field, text);
        }
    }
    event.tag_bytes().for_each(|tag| put_bytes(to, 7, tag));
    if let Some(ttl) = event.ttl() {
        to.push(8 << 3 | 5);
        to.extend_from_slice(&ttl.to_le_bytes());
    }
    for (key, value) in event.attribute_bytes() {
        attribute.clear();
        put_bytes(attribute, 1, key);
        put_bytes(attribute, 2, value);
        put_bytes(to, 9, attribute);
    }
    to.push(10 << 3);
    put_varint(to, event.time().0 as u64);
    match event.number() {
        Some(Metric::Int(value)) => {
            to.push(13 << 3);
            put_varint(to, (value << 1 ^ value >> 63) as u64);
        }
        Some(Metric::Float(value)) => {
            to.push(14 << 3 | 1);
            to.extend_from_slice(&value.to_le_bytes());
        }
        None => {}
    }
    if let Some(value) = event.metric() {
        let float = value as f32;
        // A number that is too large for a float is left out; the infinities and NaN are floats like any other.
        if float.is_finite() || !value.is_finite() {
            to.push(15 << 3 | 5);
            to.extend_from_slice(&float.to_le_bytes());
        }
    }
}
