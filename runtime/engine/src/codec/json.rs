//! Events as JSON objects, in the shape of Riemann's.
//!
//! Written: `host`, `service`, `state`, `description`, `metric`, `tags`, `time`, `ttl` in this order, `null` where there is
//! nothing, the time as `2013-04-15T18:06:58.000Z`; then the attributes as text. JSON has no word for NaN and the
//! infinities, so a metric or ttl of that kind is `null`. An attribute that has a field's name is left out, and of two
//! with one name the last is written, so that no object has a name twice.
//!
//! Read: the same, with numbers as times too, which Riemann refuses; see the table in the source of `codec/map.rs`.

use super::map::{Events, Writer};
use super::{EventError, Reserved, has_room};
use serde::Serialize;
use serde::de::DeserializeSeed;
use std::io::Write;
use tidegate_event::{BatchBuilder, Event, Metric, Timestamp};

/// Why JSON is not the events it should be.
pub type JsonError = EventError;

/// Appends the event of one JSON object.
pub fn decode_event(builder: &mut BatchBuilder, json: &str) -> Result<(), JsonError> {
    match decode(builder, json.as_bytes(), |writer, from| writer.deserialize(from)) {
        Ok(_) => Ok(()),
        Err((_, error)) => {
            let message = error.map_or_else(too_long, |error| error.to_string());
            Err(EventError { at: 0, message })
        }
    }
}

/// Appends the events of one JSON object or of a list of them, all or none. Returns how many there were.
pub fn decode_events(builder: &mut BatchBuilder, json: &[u8]) -> Result<usize, JsonError> {
    decode(builder, json, |writer, from| Events(writer).deserialize(from)).map_err(|(at, error)| EventError {
        at,
        message: error.map_or_else(too_long, |error| format!("event {at}: {error}")),
    })
}

/// Appends the events of lines that are a JSON object each, all or none. Blank lines are passed over.
pub fn decode_lines(builder: &mut BatchBuilder, lines: &[u8]) -> Result<usize, JsonError> {
    let rows = builder.len();
    for (i, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let decoded = decode(builder, line, |writer, from| writer.deserialize(from));
        if let Err((_, error)) = decoded {
            builder.truncate(rows);
            let at = i + 1;
            let message = error.map_or_else(too_long, |error| format!("line {at}: {}", without_line(&error)));
            return Err(EventError { at, message });
        }
    }
    Ok(builder.len() - rows)
}

fn too_long() -> String {
    "a batch has room for 4 GiB, these events do not fit: send fewer".to_owned()
}

/// The error's words with the column but without the line, which is always the first.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(words) => format!("{words} at column {}", error.column()),
        None => text,
    }
}

/// How many events came before the error, and what it was; without an error there was no room.
type Failed = (usize, Option<serde_json::Error>);

fn decode<'j>(
    builder: &mut BatchBuilder,
    json: &'j [u8],
    read: impl FnOnce(
        &mut Writer<'_>,
        &mut serde_json::Deserializer<serde_json::de::SliceRead<'j>>,
    ) -> Result<(), serde_json::Error>,
) -> Result<usize, Failed> {
    if !has_room(builder, json.len()) {
        return Err((0, None));
    }
    let rows = builder.len();
    let mut from = serde_json::Deserializer::from_slice(json);
    let mut writer = Writer::new(builder);
    let decoded = read(&mut writer, &mut from).and_then(|()| from.end());
    let events = writer.events();
    match decoded {
        Ok(()) => Ok(events),
        Err(error) => {
            builder.truncate(rows);
            Err((events, Some(error)))
        }
    }
}

/// Appends the event as one JSON object.
pub fn encode_event(to: &mut Vec<u8>, event: &Event<'_>) {
    let mut separator = "{";
    for (name, value) in [
        ("host", event.host()),
        ("service", event.service()),
        ("state", event.state()),
        ("description", event.description()),
    ] {
        key(to, &mut separator, name);
        match value {
            Some(value) => text(to, value),
            None => to.extend_from_slice(b"null"),
        }
    }
    key(to, &mut separator, "metric");
    match event.number() {
        None => to.extend_from_slice(b"null"),
        Some(Metric::Int(value)) => value_of(to, &value),
        // NaN and the infinities become null.
        Some(Metric::Float(value)) => value_of(to, &value),
    }
    key(to, &mut separator, "tags");
    let mut opening = "[";
    for tag in event.tags() {
        to.extend_from_slice(opening.as_bytes());
        opening = ",";
        text(to, tag);
    }
    to.extend_from_slice(if opening == "[" { b"null" } else { b"]" });
    key(to, &mut separator, "time");
    write!(to, "\"{:.3}\"", moment(event.time())).expect("memory takes every event");
    key(to, &mut separator, "ttl");
    value_of(to, &event.ttl());
    let mut attributes = event.attribute_bytes();
    while let Some((name, value)) = attributes.next() {
        if Reserved::of(name).is_some() || attributes.clone().any(|(later, _)| later == name) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) {
            key(to, &mut separator, name);
            text(to, value);
        }
    }
    to.push(b'}');
}

fn key(to: &mut Vec<u8>, separator: &mut &str, name: &str) {
    to.extend_from_slice(separator.as_bytes());
    *separator = ",";
    text(to, name);
    to.push(b':');
}

fn text(to: &mut Vec<u8>, text: &str) {
    value_of(to, text);
}

fn value_of(to: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(to, value).expect("numbers and text can be written to memory");
}

/// The moment to the millisecond, rounded down. Moments beyond the year 9999 are written as its last.
fn moment(time: Timestamp) -> jiff::Timestamp {
    let edge = if time.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(time.0.div_euclid(1000)).unwrap_or(edge)
}
