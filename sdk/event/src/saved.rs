//! Moments, spans and states inside structs that are saved: whole microseconds, and the state's word.

use crate::event::Metric;
use crate::state::State;
use crate::time::{Span, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        i64::deserialize(from).map(Self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        i64::deserialize(from).map(Self)
    }
}

/// A number, whole or not: both kinds are kept.
impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Int(value) => to.serialize_i64(value),
            Self::Float(value) => to.serialize_f64(value),
        }
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number;
        impl de::Visitor<'_> for Number {
            type Value = Metric;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Metric, E> {
                Ok(Metric::Int(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Metric, E> {
                Ok(i64::try_from(value).map_or(Metric::Float(value as f64), Metric::Int))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Metric, E> {
                Ok(Metric::Float(value))
            }
        }
        from.deserialize_any(Number)
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(if *self == Self::Other { "other" } else { self.as_str() })
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = Cow::<'de, str>::deserialize(from)?;
        match Self::of(word.as_bytes()) {
            Self::Other if word != "other" => Err(de::Error::invalid_value(
                de::Unexpected::Str(&word),
                &"ok, warning, critical, unknown, expired or other",
            )),
            state => Ok(state),
        }
    }
}
