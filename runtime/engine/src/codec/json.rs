//! Riemann's JSON form of an event, read and written. Read more widely than Riemann does: a time may be a number.

use super::Limits;
use super::value::{self, Value};
use std::io::Write;
use tidegate_event::{BatchBuilder, Event, Metric, Timestamp};

/// Why events cannot be read, and which: counted from 0 in a list, from 1 in lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JsonError {
    /// Which event or line.
    pub at: usize,
    /// What was expected and found.
    pub message: String,
}

impl JsonError {
    pub(super) fn new(at: usize, message: impl ToString) -> Self {
        Self { at, message: message.to_string() }
    }
}

/// Reads one event.
pub fn decode_event(builder: &mut BatchBuilder, text: &str) -> Result<(), JsonError> {
    let value: Value<'_> = serde_json::from_str(text).map_err(|error| JsonError::new(0, error))?;
    value::push(builder, &value, &Limits::default()).map_err(|message| JsonError::new(0, message))
}

/// Reads one event or a list of them: all of them or, after an error, none. Tells how many there were.
pub fn decode_events(builder: &mut BatchBuilder, bytes: &[u8]) -> Result<usize, JsonError> {
    let value: Value<'_> = serde_json::from_slice(bytes).map_err(|error| JsonError::new(0, error))?;
    all_or_none(builder, std::slice::from_ref(&value))
}

/// Reads one event from each line that is not blank: all of them or, after an error, none.
pub fn decode_lines(builder: &mut BatchBuilder, bytes: &[u8]) -> Result<usize, JsonError> {
    let before = builder.len();
    let read = |builder: &mut BatchBuilder| {
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let at = number + 1;
            let value: Value<'_> = serde_json::from_slice(line).map_err(|error| JsonError::new(at, error))?;
            value::push(builder, &value, &Limits::default())
                .map_err(|message| JsonError::new(at, message))?;
        }
        Ok(())
    };
    let outcome = read(builder);
    finish(builder, before, outcome)
}

/// Appends events; a list among the values stands for its elements.
pub(super) fn all_or_none(builder: &mut BatchBuilder, values: &[Value<'_>]) -> Result<usize, JsonError> {
    let before = builder.len();
    let events = values.iter().flat_map(|value| match value {
        Value::List(list) => &list[..],
        one => std::slice::from_ref(one),
    });
    let push = |(at, value)| {
        value::push(builder, value, &Limits::default()).map_err(|message| JsonError::new(at, message))
    };
    let outcome = events.enumerate().try_for_each(push);
    finish(builder, before, outcome)
}

fn finish(
    builder: &mut BatchBuilder,
    before: usize,
    outcome: Result<(), JsonError>,
) -> Result<usize, JsonError> {
    if outcome.is_err() {
        builder.truncate(before);
    }
    outcome.map(|()| builder.len() - before)
}

/// Appends an event in Riemann's form: the standard fields in order, null where absent, then attributes by their names.
/// A number that JSON cannot say (NaN, the infinities) is null. An attribute that has a standard field's name is left out.
pub fn encode_event(to: &mut Vec<u8>, event: &Event<'_>) {
    to.extend_from_slice(b"{\"host\":");
    text(to, event.host());
    to.extend_from_slice(b",\"service\":");
    text(to, event.service());
    to.extend_from_slice(b",\"state\":");
    text(to, event.state());
    to.extend_from_slice(b",\"description\":");
    text(to, event.description());
    to.extend_from_slice(b",\"metric\":");
    match event.number() {
        Some(Metric::Int(value)) => drop(write!(to, "{value}")),
        Some(Metric::Float(value)) => float(to, value),
        None => to.extend_from_slice(b"null"),
    }
    to.extend_from_slice(b",\"tags\":");
    let mut between: &[u8] = b"[";
    for tag in event.tags() {
        to.extend_from_slice(between);
        text(to, Some(tag));
        between = b",";
    }
    to.extend_from_slice(if between == b"[" { b"null" } else { b"]" });
    to.extend_from_slice(b",\"time\":\"");
    time(to, event.time());
    to.extend_from_slice(b"\",\"ttl\":");
    match event.ttl() {
        // As it prints in single precision: 0.1 and not 0.10000000149011612.
        Some(ttl) => float(to, ttl.to_string().parse().unwrap_or_default()),
        None => to.extend_from_slice(b"null"),
    }
    let standard = ["host", "service", "state", "description", "metric", "tags", "time", "ttl"];
    for (at, (name, value)) in event.attributes().enumerate() {
        // Later duplicates win.
        if standard.contains(&name) || event.attributes().skip(at + 1).any(|(later, _)| later == name) {
            continue;
        }
        to.push(b',');
        text(to, Some(name));
        to.push(b':');
        text(to, Some(value));
    }
    to.push(b'}');
}

fn text(to: &mut Vec<u8>, text: Option<&str>) {
    // Writing text or null to memory does not fail.
    let _ = serde_json::to_writer(to, &text);
}

fn float(to: &mut Vec<u8>, value: f64) {
    let _ = serde_json::to_writer(to, &value);
}

/// ISO 8601 in UTC with milliseconds, as `2013-04-15T18:06:58.000Z`; moments that no calendar has are its ends.
fn time(to: &mut Vec<u8>, at: Timestamp) {
    let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or(match at.0 < 0 {
        true => jiff::Timestamp::MIN,
        false => jiff::Timestamp::MAX,
    });
    let _ = write!(to, "{}", at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::Batch;

    fn read(json: &str) -> Batch {
        let mut builder = BatchBuilder::new();
        decode_events(&mut builder, json.as_bytes()).unwrap();
        builder.finish()
    }

    fn write(batch: &Batch) -> String {
        let mut to = Vec::new();
        encode_event(&mut to, &batch.event(0));
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn riemanns_form_reads_and_writes_back() {
        let json = r#"{"host":"a","service":"b \"c\"","state":"ok","description":null,"metric":1.5,"tags":["x","y"],"time":"2013-04-15T18:06:58.123Z","ttl":0.1,"rack":"7"}"#;
        assert_eq!(write(&read(json)), json);
        assert_eq!(
            write(&read(r#"{"time": 1366049218, "metric": 3}"#)),
            r#"{"host":null,"service":null,"state":null,"description":null,"metric":3,"tags":null,"time":"2013-04-15T18:06:58.000Z","ttl":null}"#
        );
    }

    #[test]
    fn attributes_become_text_and_a_group_of_them_is_spread() {
        let batch = read(
            r#"{"n": 5, "f": 1.5, "yes": true, "gone": null, "attributes": {"team": "core"}, "time": 1.5}"#,
        );
        let event = batch.event(0);
        let all: Vec<_> = event.attributes().collect();
        assert_eq!(all, [("n", "5"), ("f", "1.5"), ("yes", "true"), ("team", "core")]);
        assert_eq!(event.time(), Timestamp(1_500_000));
    }

    #[test]
    fn what_json_cannot_say_is_null_and_names_are_not_written_twice() {
        let mut builder = BatchBuilder::new();
        builder.push(&tidegate_event::NewEvent {
            metric: Some(Metric::Float(f64::NAN)),
            time: Some(Timestamp(i64::MAX)),
            attributes: &[("host", "no"), ("a", "1"), ("a", "2")],
            ..Default::default()
        });
        let json = write(&builder.finish());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["metric"], &value["host"]), (&serde_json::Value::Null, &serde_json::Value::Null));
        assert!(json.matches("\"a\"").count() == 1 && value["a"] == "2", "{json}");
    }

    #[test]
    fn mistakes_name_the_event_and_the_field_and_keep_nothing() {
        let error = |json: &str| {
            let mut builder = BatchBuilder::new();
            let error = decode_events(&mut builder, json.as_bytes()).unwrap_err();
            assert!(builder.is_empty());
            format!("{}: {error}", error.at)
        };
        assert_eq!(error(r#"[{}, {"metric": "x"}]"#), "1: metric: a number was expected, found \"x\"");
        assert_eq!(
            error(r#"[{"time": "noon"}]"#),
            "0: time: ISO 8601 or a number of seconds was expected, found \"noon\""
        );
        assert_eq!(error(r#"{"x": [1]}"#), "0: x: text, a number, true or false was expected, found a list");
        assert_eq!(error("7"), "0: an event as a map of fields was expected, found 7");
        assert!(error("{\"host\": ").starts_with("0: EOF while parsing"));
        assert!(error(&"[".repeat(100_000)).contains("recursion limit"));
        let mut builder = BatchBuilder::new();
        let error = decode_lines(&mut builder, b"{}\n\n{\"ttl\": true}\n").unwrap_err();
        assert_eq!((error.at, builder.len()), (3, 0));
        assert_eq!(decode_lines(&mut builder, b"{}\n \n{\"host\": \"a\"}"), Ok(2));
    }
}
