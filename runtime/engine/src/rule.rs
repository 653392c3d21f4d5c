//! What is deployed: a module under a name, with a query, a key, settings and limits.

mod history;

pub use history::{Compared, How, Past, Sample, Trial};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use tidegate_event::{FieldSet, Timestamp};

/// What gets its own copy of a rule's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Width {
    /// Each host and service.
    #[default]
    Stream,
    /// Each host.
    Host,
    /// Each service.
    Service,
    /// Each value of this attribute; events without it are one key of their own.
    Attribute(String),
    /// Everything together.
    Whole,
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream => f.write_str("stream"),
            Self::Host => f.write_str("host"),
            Self::Service => f.write_str("service"),
            Self::Attribute(name) => write!(f, "attribute:{name}"),
            Self::Whole => f.write_str("whole"),
        }
    }
}

impl FromStr for Width {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "stream" => Self::Stream,
            "host" => Self::Host,
            "service" => Self::Service,
            "whole" => Self::Whole,
            other => match other.strip_prefix("attribute:") {
                Some(name) if !name.is_empty() => Self::Attribute(name.to_owned()),
                _ => {
                    return Err(format!(
                        "a key is one of stream, host, service, whole or attribute:NAME, found {other:?}"
                    ));
                }
            },
        })
    }
}

impl TryFrom<String> for Width {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Width> for String {
    fn from(width: Width) -> Self {
        width.to_string()
    }
}

/// What one call of a guest may use. Enforced by whoever implements [`Guest`](crate::guest::Guest), the output budget by
/// the shard as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Wall time of a call, in milliseconds.
    pub deadline_ms: u32,
    /// Memory of an instance, in bytes.
    pub memory: u64,
    /// Effects of a call: this many for each row of the batch and for each key that is woken, and `effects_base` on top.
    pub effects_per_row: u32,
    /// See `effects_per_row`.
    pub effects_base: u32,
    /// Bytes of the effects of a call.
    pub effect_bytes: u32,
    /// Keys that may have state in one shard.
    pub keys: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline_ms: 10,
            memory: 64 << 20,
            effects_per_row: 4,
            effects_base: 1024,
            effect_bytes: 4 << 20,
            keys: 100_000,
        }
    }
}

/// A deployed rule, as its control record in the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSpec {
    /// Unique on a node: 1 to 64 of `a-z 0-9 . _ -`.
    pub name: String,
    /// Counts the deployments of this name, from 1.
    pub generation: u64,
    /// The module's BLAKE3 digest in hex.
    pub module: String,
    /// The module's own name and version, for people.
    pub version: String,
    /// Which events it wants.
    pub query: String,
    /// What gets its own copy of its state.
    pub per: Width,
    /// The fields that it reads.
    pub fields: u32,
    /// The values of its parameters, as [`tidegate_event::Settings`].
    #[serde(with = "serde_bytes_vec")]
    pub settings: Vec<u8>,
    /// The same as text, for people: name and value.
    pub set: Vec<(String, String)>,
    /// For each output of its manifest, in order: the declared name and the configured output it is sent to.
    pub outputs: Vec<(String, String)>,
    /// What it may use.
    pub limits: Limits,
    /// Whether it is to be left alone: it sees no events until resumed.
    pub paused: bool,
    /// The number of its state's schema.
    #[serde(default = "first")]
    pub schema: u32,
    /// Whether it begins with nothing, instead of with what the keys of the rule before it remember.
    #[serde(default)]
    pub reset_state: bool,
    /// The moment from which on it is to have heard the log when it begins; it then begins anew, and hears nothing until
    /// somebody gives it that.
    #[serde(default)]
    pub backfill: Option<Timestamp>,
    /// Where it comes from.
    #[serde(default)]
    pub origin: Origin,
}

/// Where a deployment comes from and for how long it is watched: for people, and for whoever looks after it. It means
/// nothing to a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// Who wished it.
    pub by: String,
    /// The earlier generation that it repeats, if it goes back to one.
    pub back_to: Option<u64>,
    /// Why it goes back.
    pub reason: String,
    /// For so many milliseconds it is watched, from its position in the log on; 0: not at all.
    pub watch_ms: u64,
}

/// The schema of those who say nothing of it.
const fn first() -> u32 {
    1
}

impl RuleSpec {
    /// The fields that it reads, as a set.
    pub fn field_set(&self) -> FieldSet {
        FieldSet(self.fields)
    }

    /// Says what is wrong with a name, if anything is.
    pub fn check_name(name: &str) -> Result<(), String> {
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if (1..=64).contains(&name.len()) && name.chars().all(fine) {
            return Ok(());
        }
        Err(format!("a rule's name is 1 to 64 of a-z, 0-9, '.', '_' and '-', found {name:?}"))
    }
}

/// A change to the set of rules, as it stands in the log: it takes effect at its position, on every shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// From here on this rule runs, instead of whatever had its name.
    Deploy(Box<RuleSpec>),
    /// From here on there is no such rule.
    Remove {
        /// Its name.
        name: String,
    },
    /// From here on the rule is left alone, or no longer.
    Pause {
        /// Its name.
        name: String,
        /// Whether it is left alone.
        paused: bool,
    },
    /// From here on a candidate runs beside the rule of its name, until it is promoted or abandoned. A candidate that is
    /// there already gives way.
    Try {
        /// The candidate.
        spec: Box<RuleSpec>,
        /// Of a thousand keys, those for which it speaks instead of the rule; 0: it is only compared.
        share: u32,
    },
    /// From here on the candidate is the rule, with what its keys remember.
    Promote {
        /// Its name.
        name: String,
    },
    /// From here on there is no such candidate.
    Abandon {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// Here a rule that a fault cost its state gets it back, as if the event that broke it had never come; what it would
    /// have asked for meanwhile is carried out here.
    Rejoin {
        /// Its name.
        name: String,
        /// The shard in which it was lost.
        shard: usize,
        /// How many there were.
        shards: usize,
    },
}

impl Control {
    /// The rule that it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Deploy(spec) | Self::Try { spec, .. } => &spec.name,
            Self::Remove { name }
            | Self::Pause { name, .. }
            | Self::Promote { name }
            | Self::Abandon { name, .. }
            | Self::Rejoin { name, .. } => name,
        }
    }
}

/// Settings as MessagePack binary rather than a list of numbers.
pub(crate) mod serde_bytes_vec {
    use serde::{Deserializer, Serializer, de};
    use std::fmt;

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl<'de> de::Visitor<'de> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        from.deserialize_byte_buf(Bytes)
    }
}
