//! What travels through a pipeline: events, and whatever else stages make of them.

use crate::tree::Tree;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use tidegate_query::Subject;
use tidegate_sdk::{Event, Field, Metric, Span, Timestamp};

/// Anything that a stage passes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Value {
    #[default]
    Null,
    Flag(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Fact(Box<Fact>),
}

/// An event of our own: a copy of one that came, or one that a stage made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fact {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Everything else, in the order of the sender.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<(String, Value)>,
}

/// The name of a field, standard or not.
#[derive(Clone, Debug, PartialEq)]
pub enum Name {
    Standard(Field),
    Other(String),
}

impl Name {
    pub fn of(name: &str) -> Self {
        match Field::named(name) {
            Some(Field::Attributes) | None => Self::Other(name.to_owned()),
            Some(field) => Self::Standard(field),
        }
    }
}

/// A number as a value.
pub fn number(metric: Metric) -> Value {
    match metric {
        Metric::Int(value) => Value::Int(value),
        Metric::Float(value) => Value::Float(value),
    }
}

/// A list as JSON.
pub fn list_to_json(list: &[Value]) -> String {
    serde_json::to_string(&list.iter().map(Json).collect::<Vec<_>>()).unwrap_or_default()
}

impl Value {
    pub fn number(&self) -> Option<Metric> {
        match *self {
            Self::Int(value) => Some(Metric::Int(value)),
            Self::Float(value) => Some(Metric::Float(value)),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// As text: itself if it is text, JSON if not, nothing for null.
    pub fn to_text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.clone()),
            other => Some(other.to_json()),
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(&Json(self)).unwrap_or_default()
    }

    /// Whether it is an event that has expired.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.fact().is_some_and(|fact| fact.is_expired(now))
    }

    pub fn fact(&self) -> Option<&Fact> {
        if let Self::Fact(fact) = self { Some(fact) } else { None }
    }
}

impl Fact {
    /// A copy of an event.
    pub fn of(event: &Event<'_>) -> Self {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let tags: Vec<String> = event.tags().map(str::to_owned).collect();
        Self {
            host: own(event.host()),
            service: own(event.service()),
            state: own(event.state()),
            description: own(event.description()),
            metric: event.number(),
            time: Some(event.time()),
            ttl: event.ttl().map(f64::from),
            tags: (!tags.is_empty()).then_some(tags),
            more: event
                .attributes()
                .map(|(name, value)| (name.to_owned(), Value::Text(value.to_owned())))
                .collect(),
        }
    }

    /// What is left of one that is gone: who it was, and that it is no more.
    pub fn stub(&self, now: Timestamp) -> Self {
        Self {
            host: self.host.clone(),
            service: self.service.clone(),
            state: Some("expired".to_owned()),
            time: Some(now),
            ..Self::default()
        }
    }

    pub fn get(&self, name: &Name) -> Value {
        match name {
            Name::Standard(field @ (Field::Host | Field::Service | Field::State | Field::Description)) => {
                self.text(*field).map_or(Value::Null, |text| Value::Text(text.clone()))
            }
            Name::Standard(Field::Metric) => self.metric.map_or(Value::Null, number),
            Name::Standard(Field::Time) => self.time.map_or(Value::Null, |time| seconds(time.secs_f64())),
            Name::Standard(Field::Ttl) => self.ttl.map_or(Value::Null, seconds),
            Name::Standard(Field::Tags) => self.tags.as_ref().map_or(Value::Null, |tags| {
                Value::List(tags.iter().map(|tag| Value::Text(tag.clone())).collect())
            }),
            Name::Standard(Field::Attributes) => Value::Null,
            Name::Other(name) => self.other(name.as_bytes()).cloned().unwrap_or_default(),
        }
    }

    /// What stands under a name of the sender's own; the last one where a name comes twice.
    fn other(&self, name: &[u8]) -> Option<&Value> {
        self.more.iter().rev().find(|(other, _)| other.as_bytes() == name).map(|(_, value)| value)
    }

    /// A field that is text.
    fn text(&self, field: Field) -> Option<&String> {
        match field {
            Field::Host => self.host.as_ref(),
            Field::Service => self.service.as_ref(),
            Field::State => self.state.as_ref(),
            Field::Description => self.description.as_ref(),
            _ => None,
        }
    }

    /// Sets a field; null removes it. Says what was expected if the value does not fit.
    pub fn set(&mut self, name: &Name, value: Value) -> Result<(), &'static str> {
        match name {
            Name::Standard(Field::Metric) => {
                self.metric = match value {
                    Value::Null => None,
                    value => Some(value.number().ok_or("a number for the metric")?),
                }
            }
            Name::Standard(Field::Time) => {
                self.time = match value {
                    Value::Null => None,
                    value => {
                        let secs = value.number().ok_or("seconds for the time")?;
                        Some(Timestamp::from_secs_f64(secs.as_f64()))
                    }
                }
            }
            Name::Standard(Field::Ttl) => {
                self.ttl = match value {
                    Value::Null => None,
                    value => Some(value.number().ok_or("seconds for the ttl")?.as_f64()),
                }
            }
            Name::Standard(Field::Tags) => {
                self.tags = match value {
                    Value::Null => None,
                    Value::List(tags) => Some(tags.iter().filter_map(Value::to_text).collect()),
                    one => Some(one.to_text().into_iter().collect()),
                }
            }
            Name::Standard(field) => {
                let value = value.to_text();
                match field {
                    Field::Host => self.host = value,
                    Field::Service => self.service = value,
                    Field::State => self.state = value,
                    _ => self.description = value,
                }
            }
            Name::Other(name) => match (self.more.iter().rposition(|(other, _)| other == name), value) {
                (Some(_), Value::Null) => self.more.retain(|(other, _)| other != name),
                (Some(at), value) => self.more[at].1 = value,
                (None, Value::Null) => {}
                (None, value) => self.more.push((name.clone(), value)),
            },
        }
        Ok(())
    }

    /// By Riemann's rule: it says so, or it is older than its time-to-live, which is 60 seconds if it has none.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        let ttl = Span::from_secs_f64(self.ttl.unwrap_or(DEFAULT_TTL));
        self.state.as_deref() == Some("expired") || self.time.is_some_and(|time| now > time + ttl)
    }
}

/// What a time-to-live is that is not there, in seconds.
pub const DEFAULT_TTL: f64 = 60.0;

/// Whole seconds as a whole number: as people write them.
pub fn seconds(secs: f64) -> Value {
    if secs.fract() == 0.0 && secs.abs() < 9e15 { Value::Int(secs as i64) } else { Value::Float(secs) }
}

/// An event as a query sees it. Attributes that are not text are not seen.
impl Subject for Fact {
    fn host(&self) -> Option<&[u8]> {
        self.host.as_deref().map(str::as_bytes)
    }

    fn service(&self) -> Option<&[u8]> {
        self.service.as_deref().map(str::as_bytes)
    }

    fn state(&self) -> Option<&[u8]> {
        self.state.as_deref().map(str::as_bytes)
    }

    fn description(&self) -> Option<&[u8]> {
        self.description.as_deref().map(str::as_bytes)
    }

    fn attribute(&self, name: &[u8]) -> Option<&[u8]> {
        match self.other(name) {
            Some(Value::Text(text)) => Some(text.as_bytes()),
            Some(Value::Flag(true)) => Some(b"true"),
            _ => None,
        }
    }

    fn metric(&self) -> Option<Metric> {
        self.metric
    }

    fn time(&self) -> Timestamp {
        self.time.unwrap_or(Timestamp::EPOCH)
    }

    fn ttl(&self) -> Option<f32> {
        self.ttl.map(|ttl| ttl as f32)
    }

    fn has_tags(&self) -> bool {
        self.tags.as_ref().is_some_and(|tags| !tags.is_empty())
    }

    fn tagged(&self, tag: &[u8]) -> bool {
        self.tags.iter().flatten().any(|found| found.as_bytes() == tag)
    }
}

/// A value as JSON: events are objects, missing fields are left out.
pub struct Json<'a>(pub &'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => to.serialize_unit(),
            Value::Flag(flag) => to.serialize_bool(*flag),
            Value::Int(value) => to.serialize_i64(*value),
            Value::Float(value) => to.serialize_f64(*value),
            Value::Text(text) => to.serialize_str(text),
            Value::List(list) => to.collect_seq(list.iter().map(Json)),
            Value::Fact(fact) => {
                let mut map = to.serialize_map(None)?;
                for field in Field::ALL {
                    match (field, fact.text(field), &fact.tags) {
                        (_, Some(text), _) => map.serialize_entry(field.name(), text)?,
                        (Field::Tags, _, Some(tags)) => map.serialize_entry(field.name(), tags)?,
                        (Field::Metric | Field::Time | Field::Ttl, _, _) => {
                            let value = fact.get(&Name::Standard(field));
                            if !value.is_null() {
                                map.serialize_entry(field.name(), &Json(&value))?;
                            }
                        }
                        _ => {}
                    }
                }
                for (name, value) in fact.more.iter().filter(|(_, value)| !value.is_null()) {
                    map.serialize_entry(name, &Json(value))?;
                }
                map.end()
            }
        }
    }
}

/// Objects become events.
impl From<&Tree> for Value {
    fn from(tree: &Tree) -> Self {
        match tree {
            Tree::Null => Self::Null,
            Tree::Flag(flag) => Self::Flag(*flag),
            Tree::Int(value) => Self::Int(*value),
            Tree::Float(value) => Self::Float(*value),
            Tree::Text(text) => Self::Text(text.clone()),
            Tree::List(list) => Self::List(list.iter().map(Self::from).collect()),
            Tree::Map(map) => {
                let mut fact = Fact::default();
                for (name, value) in map {
                    let value = Self::from(value);
                    // What does not fit a standard field stays under its name all the same.
                    if fact.set(&Name::of(name), value.clone()).is_err() {
                        fact.more.push((name.clone(), value));
                    }
                }
                Self::Fact(Box::new(fact))
            }
        }
    }
}
