//! Moments, spans and states inside structs that are saved: whole microseconds, and the state's word.

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
