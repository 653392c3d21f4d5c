//! An event as a map of names to values, in whatever format serde reads. JSON and MessagePack share it, so that an event
//! means the same in both.
//!
//! Text is written into the batch as it is met; nothing is kept in between and nothing is reserved by an announced
//! length. What the fields may hold:
//!
//! | name | value |
//! |---|---|
//! | `host` `service` `state` `description` | text |
//! | `metric` | a number; whole ones stay whole up to 64 bits |
//! | `ttl` | a number of seconds |
//! | `time` | a number of seconds since 1970, or ISO 8601 text; without an offset it is UTC |
//! | `tags` | a list of texts |
//! | `attributes` | a map of attributes |
//! | any other | an attribute: text as it is, numbers and booleans as their text |
//!
//! `null` anywhere is the same as nothing.

use super::{Limits, Reserved, Text};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use tidegate_event::{BatchBuilder, Metric, Row, State, Timestamp};

const LIMITS: Limits = Limits::DEFAULT;

/// Writes one event into a batch with each use as a seed.
#[derive(Debug)]
pub(super) struct Writer<'b> {
    builder: &'b mut BatchBuilder,
    row: Row,
    tags: Vec<u32>,
    attributes: Vec<u32>,
    events: usize,
}

impl<'b> Writer<'b> {
    pub fn new(builder: &'b mut BatchBuilder) -> Self {
        Self { builder, row: Row::default(), tags: Vec::new(), attributes: Vec::new(), events: 0 }
    }

    /// Events written so far.
    pub fn events(&self) -> usize {
        self.events
    }

    fn text<E: de::Error>(&mut self, name: &str, text: &str, limit: usize) -> Result<u32, E> {
        if text.len() > limit {
            let found = text.len();
            return Err(E::custom(format_args!(
                "`{name}`: at most {limit} bytes are allowed, found {found}"
            )));
        }
        Ok(self.builder.push_string(text.as_bytes()))
    }

    fn set(&mut self, field: Text, at: u32) {
        match field {
            Text::Host => self.row.host = Some(at),
            Text::Service => self.row.service = Some(at),
            Text::Description => self.row.description = Some(at),
            Text::State => {
                self.row.state_code = self.builder.string(at).map_or(State::Other, State::of);
                self.row.state = Some(at);
            }
        }
    }

    fn attribute<E: de::Error>(&mut self, name: u32, value: u32) -> Result<(), E> {
        self.attributes.extend([name, value]);
        if self.attributes.len() / 2 > LIMITS.attributes {
            return Err(E::custom(format_args!("at most {} attributes are allowed", LIMITS.attributes)));
        }
        Ok(())
    }

    fn name(&self, at: u32) -> String {
        String::from_utf8_lossy(self.builder.string(at).unwrap_or_default()).into_owned()
    }
}

/// A whole event.
impl<'de> DeserializeSeed<'de> for &mut Writer<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, which is a map of names to values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.events >= LIMITS.events {
            return Err(de::Error::custom(format_args!("at most {} events are allowed", LIMITS.events)));
        }
        self.row = Row { untimed: true, ..Row::default() };
        self.tags.clear();
        self.attributes.clear();
        while let Some(name) = map.next_key_seed(NameSeed(self))? {
            match name {
                Name::Text(name, field) => {
                    let limit = if field == Text::Description { LIMITS.description } else { LIMITS.value };
                    match map.next_value_seed(TextSeed { writer: self, name, limit })? {
                        Some(at) => self.set(field, at),
                        None => self.clear(field),
                    }
                }
                Name::Metric => self.row.metric = map.next_value_seed(NumberSeed("metric"))?,
                Name::Ttl => {
                    let ttl = map.next_value_seed(NumberSeed("ttl"))?;
                    self.row.ttl = ttl.map(|ttl| ttl.as_f64() as f32);
                }
                Name::Time => {
                    let time = map.next_value_seed(TimeSeed)?;
                    self.row.time = time.unwrap_or_default();
                    self.row.untimed = time.is_none();
                }
                Name::Tags => map.next_value_seed(TagsSeed(self))?,
                Name::Attributes => map.next_value_seed(AttributesSeed(self))?,
                Name::Own(name) => {
                    if let Some(value) = map.next_value_seed(ValueSeed { writer: self, name })? {
                        self.attribute(name, value)?;
                    }
                }
            }
        }
        self.row.tags = self.builder.push_tags(&self.tags);
        self.row.attributes = self.builder.push_attributes(&self.attributes);
        self.builder.push_row(&self.row);
        self.events += 1;
        Ok(())
    }
}

impl Writer<'_> {
    /// A later null takes an earlier value back, as the last of two always counts.
    fn clear(&mut self, field: Text) {
        match field {
            Text::Host => self.row.host = None,
            Text::Service => self.row.service = None,
            Text::Description => self.row.description = None,
            Text::State => (self.row.state, self.row.state_code) = (None, State::Other),
        }
    }
}

/// A list of events.
pub(super) struct Events<'w, 'b>(pub &'w mut Writer<'b>);

impl<'de> DeserializeSeed<'de> for Events<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Events<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, which is a map of names to values, or a list of events")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(&mut *self.0)?.is_some() {}
        Ok(())
    }
}

/// What a name in an event's map stands for.
enum Name {
    Text(&'static str, Text),
    Metric,
    Ttl,
    Time,
    Tags,
    Attributes,
    Own(u32),
}

struct NameSeed<'w, 'b>(&'w mut Writer<'b>);

impl<'de> DeserializeSeed<'de> for NameSeed<'_, '_> {
    type Value = Name;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Name, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed<'_, '_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
        Ok(match name {
            "host" => Name::Text("host", Text::Host),
            "service" => Name::Text("service", Text::Service),
            "state" => Name::Text("state", Text::State),
            "description" => Name::Text("description", Text::Description),
            "metric" => Name::Metric,
            "ttl" => Name::Ttl,
            "time" => Name::Time,
            "tags" => Name::Tags,
            "attributes" => Name::Attributes,
            own => Name::Own(self.0.text("an attribute's name", own, LIMITS.name)?),
        })
    }
}

/// Answers for all the forms of text and of nothing, so that each visitor says only what is its own.
macro_rules! nothing_is {
    ($nothing:expr) => {
        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok($nothing)
        }
        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok($nothing)
        }
    };
}

/// A field's text.
struct TextSeed<'w, 'b> {
    writer: &'w mut Writer<'b>,
    name: &'static str,
    limit: usize,
}

impl<'de> DeserializeSeed<'de> for TextSeed<'_, '_> {
    type Value = Option<u32>;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<u32>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextSeed<'_, '_> {
    type Value = Option<u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text for `{}`", self.name)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<u32>, E> {
        self.writer.text(self.name, text, self.limit).map(Some)
    }

    nothing_is!(None);
}

/// A metric or a ttl.
struct NumberSeed(&'static str);

impl<'de> DeserializeSeed<'de> for NumberSeed {
    type Value = Option<Metric>;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<Metric>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NumberSeed {
    type Value = Option<Metric>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number for `{}`", self.0)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Option<Metric>, E> {
        Ok(Some(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Option<Metric>, E> {
        Ok(Some(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Option<Metric>, E> {
        Ok(Some(value.into()))
    }

    nothing_is!(None);
}

/// A moment.
struct TimeSeed;

impl<'de> DeserializeSeed<'de> for TimeSeed {
    type Value = Option<Timestamp>;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<Timestamp>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TimeSeed {
    type Value = Option<Timestamp>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ISO 8601 text or a number of seconds since 1970 for `time`")
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Option<Timestamp>, E> {
        Ok(Some(Timestamp::from_secs(seconds)))
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Option<Timestamp>, E> {
        Ok(Some(Timestamp::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Option<Timestamp>, E> {
        if !seconds.is_finite() {
            return Err(E::invalid_value(de::Unexpected::Float(seconds), &self));
        }
        // To the nearest microsecond: 0.1 + 0.2 seconds are 300 000 of them, not one less.
        Ok(Some(Timestamp((seconds * 1e6).round() as i64)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<Timestamp>, E> {
        let with_offset = text.parse::<jiff::Timestamp>();
        let moment = with_offset.or_else(|_| {
            let civil: jiff::civil::DateTime = text.parse()?;
            jiff::tz::Offset::UTC.to_timestamp(civil)
        });
        match moment {
            Ok(moment) => Ok(Some(Timestamp(moment.as_microsecond()))),
            Err(_) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    nothing_is!(None);
}

/// The list of tags.
struct TagsSeed<'w, 'b>(&'w mut Writer<'b>);

impl<'de> DeserializeSeed<'de> for TagsSeed<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TagsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts for `tags`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.0.tags.clear();
        while let Some(tag) =
            list.next_element_seed(TextSeed { writer: self.0, name: "tags", limit: LIMITS.value })?
        {
            self.0.tags.extend(tag);
            if self.0.tags.len() > LIMITS.tags {
                return Err(de::Error::custom(format_args!("at most {} tags are allowed", LIMITS.tags)));
            }
        }
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.0.tags.clear();
        Ok(())
    }
}

/// The value of an attribute, as text.
struct ValueSeed<'w, 'b> {
    writer: &'w mut Writer<'b>,
    name: u32,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = Option<u32>;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<u32>, D::Error> {
        from.deserialize_any(self)
    }
}

impl ValueSeed<'_, '_> {
    fn write<E: de::Error>(self, value: impl fmt::Display) -> Result<Option<u32>, E> {
        Ok(Some(self.writer.builder.push_string(value.to_string().as_bytes())))
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_, '_> {
    type Value = Option<u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text, a number or a boolean for `{}`", self.writer.name(self.name))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<u32>, E> {
        if text.len() > LIMITS.value {
            let name = self.writer.name(self.name);
            return self.writer.text(&name, text, LIMITS.value).map(Some);
        }
        Ok(Some(self.writer.builder.push_string(text.as_bytes())))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Option<u32>, E> {
        self.write(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Option<u32>, E> {
        self.write(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Option<u32>, E> {
        self.write(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Option<u32>, E> {
        // `1.0` and `1e300` rather than `1` and three hundred zeros.
        self.write(format_args!("{value:?}"))
    }

    nothing_is!(None);
}

/// What stands under the name `attributes`: a map of them, or just one of that name.
struct AttributesSeed<'w, 'b>(&'w mut Writer<'b>);

impl<'de> DeserializeSeed<'de> for AttributesSeed<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl AttributesSeed<'_, '_> {
    fn own<E: de::Error>(
        self,
        value: impl FnOnce(ValueSeed<'_, '_>) -> Result<Option<u32>, E>,
    ) -> Result<(), E> {
        let name = self.0.builder.push_string(b"attributes");
        match value(ValueSeed { writer: self.0, name })? {
            Some(value) => self.0.attribute(name, value),
            None => Ok(()),
        }
    }
}

impl<'de> Visitor<'de> for AttributesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of names to text for `attributes`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(AttributeNameSeed(self.0))? {
            let Some(value) = map.next_value_seed(ValueSeed { writer: self.0, name })? else { continue };
            let reserved = self.0.builder.string(name).and_then(Reserved::of);
            match reserved {
                None => self.0.attribute(name, value)?,
                Some(Reserved::Overrides(field)) => self.0.set(field, value),
                Some(Reserved::Ignored) => {}
            }
        }
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.own(|seed| seed.visit_str(text))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.own(|seed| seed.visit_bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.own(|seed| seed.visit_i64(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.own(|seed| seed.visit_u64(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.own(|seed| seed.visit_f64(value))
    }

    nothing_is!(());
}

struct AttributeNameSeed<'w, 'b>(&'w mut Writer<'b>);

impl<'de> DeserializeSeed<'de> for AttributeNameSeed<'_, '_> {
    type Value = u32;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<u32, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for AttributeNameSeed<'_, '_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an attribute")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<u32, E> {
        self.0.text("an attribute's name", name, LIMITS.name)
    }
}
