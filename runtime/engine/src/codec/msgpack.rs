//! Events as MessagePack: one map, a list of maps, or several of either one after another. Fields and their values are
//! those of [`json`](super::json); a time is a number or text, MessagePack's own timestamp is refused.

use super::map::{Events, Writer};
use super::{EventError, has_room};
use serde::de::DeserializeSeed;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;
use tidegate_event::{BatchBuilder, Event, Metric};

/// Maps in a list are two deep, an event's own map of attributes three.
const DEPTH: usize = 8;

/// Appends the events, all or none. Returns how many there were.
pub fn decode_events(builder: &mut BatchBuilder, bytes: &[u8]) -> Result<usize, EventError> {
    if !has_room(builder, bytes.len()) {
        let message = "a batch has room for 4 GiB, these events do not fit: send fewer".to_owned();
        return Err(EventError { at: 0, message });
    }
    let rows = builder.len();
    let mut from = rmp_serde::Deserializer::new(bytes);
    from.set_max_depth(DEPTH);
    let mut writer = Writer::new(builder);
    while !from.get_ref().is_empty() {
        if let Err(error) = Events(&mut writer).deserialize(&mut from) {
            let at = writer.events();
            builder.truncate(rows);
            return Err(EventError { at, message: format!("event {at}: {error}") });
        }
    }
    Ok(builder.len() - rows)
}

/// Appends the event or the list of events at the beginning of the bytes, all or none, and says how many bytes that were.
pub fn decode_next(builder: &mut BatchBuilder, bytes: &[u8]) -> Result<usize, EventError> {
    let rows = builder.len();
    let mut from = rmp_serde::Deserializer::new(bytes);
    from.set_max_depth(DEPTH);
    let mut writer = Writer::new(builder);
    match Events(&mut writer).deserialize(&mut from) {
        Ok(()) => Ok(bytes.len() - from.get_ref().len()),
        Err(error) => {
            let at = writer.events();
            builder.truncate(rows);
            Err(EventError { at, message: error.to_string() })
        }
    }
}

/// Appends the event as one map; fields that are absent are left out. What [`decode_events`] reads from it is the same
/// event.
pub fn encode_event(to: &mut Vec<u8>, event: &Event<'_>) {
    rmp_serde::encode::write(to, &Map(event)).expect("memory takes every event");
}

struct Map<'e>(&'e Event<'e>);

impl Serialize for Map<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let texts = [
            ("host", event.host()),
            ("service", event.service()),
            ("state", event.state()),
            ("description", event.description()),
        ];
        let tags: Vec<&str> = event.tags().collect();
        let attributes: BTreeMap<&str, &str> = event.attributes().collect();
        let there = texts.iter().filter(|(_, text)| text.is_some()).count()
            + usize::from(event.number().is_some())
            + usize::from(event.ttl().is_some())
            + usize::from(!tags.is_empty())
            + usize::from(!attributes.is_empty())
            + 1;
        let mut map = serializer.serialize_map(Some(there))?;
        for (name, text) in texts {
            if let Some(text) = text {
                map.serialize_entry(name, text)?;
            }
        }
        match event.number() {
            Some(Metric::Int(whole)) => map.serialize_entry("metric", &whole)?,
            Some(Metric::Float(number)) => map.serialize_entry("metric", &number)?,
            None => {}
        }
        map.serialize_entry("time", &event.time().secs_f64())?;
        if let Some(ttl) = event.ttl() {
            map.serialize_entry("ttl", &ttl)?;
        }
        if !tags.is_empty() {
            map.serialize_entry("tags", &tags)?;
        }
        if !attributes.is_empty() {
            map.serialize_entry("attributes", &attributes)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::{NewEvent, Timestamp};

    #[test]
    fn what_is_written_reads_back_as_the_same_event() {
        let mut builder = BatchBuilder::new();
        let time = Some(Timestamp(1_366_049_218_250_001));
        builder.push(&NewEvent { time, ..NewEvent::default() });
        builder.push(&NewEvent {
            host: Some("web1"),
            service: Some(""),
            state: Some("critical"),
            description: Some("slow\nvery"),
            metric: Some(Metric::Int(i64::MIN)),
            ttl: Some(2.5),
            tags: &["a", "b"],
            attributes: &[("host.name", "not the field"), ("rack", "7")],
            time,
            hops: 0,
        });
        builder.push(&NewEvent { metric: Some(Metric::Float(-0.5)), time, ..NewEvent::default() });
        let batch = builder.finish();
        let mut bytes = Vec::new();
        batch.events().for_each(|event| encode_event(&mut bytes, &event));
        let mut again = BatchBuilder::new();
        assert_eq!(decode_events(&mut again, &bytes), Ok(3));
        let again = again.finish();
        for (one, other) in batch.events().zip(again.events()) {
            assert_eq!(one.host(), other.host());
            assert_eq!(
                (one.service(), one.state(), one.description()),
                (other.service(), other.state(), other.description())
            );
            assert_eq!((one.number(), one.ttl(), one.time()), (other.number(), other.ttl(), other.time()));
            assert!(one.tags().eq(other.tags()));
            assert!(one.attributes().eq(other.attributes()));
        }
    }
}
