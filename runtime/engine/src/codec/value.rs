//! An event as JSON and MessagePack have it: a map of names to values, on its way into a batch.

use super::Limits;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use tidegate_event::{BatchBuilder, Metric, NewEvent, Timestamp};

/// A value of either format.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

struct Any;

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any)
    }
}

/// The name of a map's entry; both formats have it as text.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::Text(text) => Ok(Self(text)),
            _ => Err(serde::de::Error::custom("a field's name must be text")),
        }
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Nil)
    }

    fn visit_none<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        // Grows with what is there, not with what was announced.
        let mut list = Vec::new();
        while let Some(value) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value<'de>, A::Error> {
        let mut map = Vec::new();
        while let Some((Name(name), value)) = from.next_entry()? {
            map.push((name, value));
        }
        Ok(Value::Map(map))
    }
}

/// Appends the event that a value describes.
pub(super) fn push(builder: &mut BatchBuilder, value: &Value<'_>, limits: &Limits) -> Result<(), String> {
    let Value::Map(map) = value else {
        return Err(format!("an event as a map of fields was expected, found {}", kind(value)));
    };
    let mut event = NewEvent::default();
    let mut tags: Vec<&str> = Vec::new();
    let mut attributes: Vec<(&str, Cow<'_, str>)> = Vec::new();
    for (name, value) in map {
        if *value == Value::Nil {
            continue;
        }
        match &**name {
            "host" => event.host = Some(text(name, value, limits.value)?),
            "service" => event.service = Some(text(name, value, limits.value)?),
            "state" => event.state = Some(text(name, value, limits.value)?),
            "description" => event.description = Some(text(name, value, limits.description)?),
            "metric" => {
                event.metric = Some(match value {
                    Value::Int(value) => Metric::Int(*value),
                    Value::Float(value) => Metric::Float(*value),
                    other => return Err(format!("metric: a number was expected, found {}", kind(other))),
                });
            }
            "ttl" => {
                event.ttl = Some(match value {
                    Value::Int(value) => *value as f32,
                    Value::Float(value) => *value as f32,
                    other => {
                        return Err(format!("ttl: a number of seconds was expected, found {}", kind(other)));
                    }
                });
            }
            "time" => event.time = Some(time(value)?),
            "tags" => {
                let Value::List(list) = value else {
                    return Err(format!("tags: a list of text was expected, found {}", kind(value)));
                };
                for tag in list {
                    tags.push(text("tags", tag, limits.value)?);
                }
            }
            "attributes" => {
                let Value::Map(map) = value else {
                    return Err(format!("attributes: a map was expected, found {}", kind(value)));
                };
                for (name, value) in map.iter().filter(|(_, value)| *value != Value::Nil) {
                    attributes.push((name, attribute(name, value)?));
                }
            }
            name => attributes.push((name, attribute(name, value)?)),
        }
    }
    for (name, value) in &attributes {
        too_long("attribute name", name, limits.name)?;
        too_long(name, value, limits.value)?;
    }
    for (what, found, limit) in
        [("tags", tags.len(), limits.tags), ("attributes", attributes.len(), limits.attributes)]
    {
        if found > limit {
            return Err(format!("{found} {what}, {limit} are allowed"));
        }
    }
    if builder.len() >= limits.events {
        return Err(format!("more than {} events in one message", limits.events));
    }
    let attributes: Vec<(&str, &str)> = attributes.iter().map(|(name, value)| (*name, &**value)).collect();
    builder.push(&NewEvent { tags: &tags, attributes: &attributes, ..event });
    Ok(())
}

fn kind(value: &Value<'_>) -> String {
    match value {
        Value::Nil => "nothing".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a map".into(),
    }
}

fn too_long(name: &str, text: &str, limit: usize) -> Result<(), String> {
    if text.len() > limit {
        return Err(format!("{name}: {} bytes, {limit} are allowed", text.len()));
    }
    Ok(())
}

fn text<'a>(name: &str, value: &'a Value<'_>, limit: usize) -> Result<&'a str, String> {
    let Value::Text(text) = value else {
        return Err(format!("{name}: text was expected, found {}", kind(value)));
    };
    too_long(name, text, limit)?;
    Ok(text)
}

/// Attributes are text inside; numbers and yes or no become theirs.
fn attribute<'a>(name: &str, value: &'a Value<'_>) -> Result<Cow<'a, str>, String> {
    Ok(match value {
        Value::Text(text) => Cow::Borrowed(text),
        Value::Bool(value) => Cow::Owned(value.to_string()),
        Value::Int(value) => Cow::Owned(value.to_string()),
        Value::Float(value) => Cow::Owned(value.to_string()),
        other => {
            return Err(format!("{name}: text, a number, true or false was expected, found {}", kind(other)));
        }
    })
}

fn time(value: &Value<'_>) -> Result<Timestamp, String> {
    match value {
        Value::Int(seconds) => Ok(Timestamp::from_secs(*seconds)),
        Value::Float(seconds) if seconds.is_finite() => Ok(Timestamp::from_secs_f64(*seconds)),
        Value::Text(text) => {
            text.parse::<jiff::Timestamp>().map(|at| Timestamp(at.as_microsecond())).map_err(|_| {
                format!("time: ISO 8601 or a number of seconds was expected, found {}", kind(value))
            })
        }
        other => Err(format!("time: ISO 8601 or a number of seconds was expected, found {}", kind(other))),
    }
}
