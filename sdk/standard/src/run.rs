//! What a stage is handed: an item, the moment, and a place for what it passes on.

use crate::func::{Func, Stop};
use crate::value::{DEFAULT_TTL, Fact, Name, Value, number, seconds};
use tidegate_query::{SmallMatcher, Subject};
use tidegate_sdk::{Event, Field, Metric, Span, Timestamp};

/// What travels through the pipeline. An event that came stays where it lies until a stage changes more of it than its metric.
#[derive(Clone, Debug)]
pub enum Item {
    /// The event that came, perhaps with another metric.
    Row(Number),
    /// Anything else.
    Own(Value),
}

/// The metric of an event that came.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// As it came.
    Kept,
    /// This, or none.
    Set(Option<Metric>),
}

/// The moment, and the event that came in it.
pub struct Clock<'a, 'e> {
    pub now: Timestamp,
    pub event: Option<&'a Event<'e>>,
}

/// What a stage passes on. Most pass on one item to the next stage: that costs no allocation.
#[derive(Debug, Default)]
pub struct Pass {
    one: Option<Item>,
    /// What else there is, by the port.
    more: Vec<(usize, Item)>,
    /// How many values found no room in what the stage remembers.
    pub left_out: u64,
}

impl Pass {
    /// To a port.
    pub fn to(&mut self, port: usize, item: Item) {
        if port == 0 && self.one.is_none() && self.more.is_empty() {
            self.one = Some(item);
        } else {
            self.more.push((port, item));
        }
    }

    /// To the next stage.
    pub fn on(&mut self, item: Item) {
        self.to(0, item);
    }

    pub fn value(&mut self, value: Value) {
        self.on(Item::Own(value));
    }

    pub fn list(&mut self, list: impl IntoIterator<Item = Value>) {
        self.value(Value::List(list.into_iter().collect()));
    }

    /// The one item that goes to the next stage, if it is that.
    pub fn only(self) -> Result<Item, Self> {
        match self {
            Self { one: Some(item), more, .. } if more.is_empty() => Ok(item),
            other => Err(other),
        }
    }

    /// All of them, by the port, in order.
    pub fn all(self) -> impl Iterator<Item = (usize, Item)> {
        self.one.map(|item| (0, item)).into_iter().chain(self.more)
    }
}

/// An event that came, with another metric.
struct Seen<'a, 'e>(&'a Event<'e>, Number);

impl Clock<'_, '_> {
    /// Whether a query holds of what is passed on. What is no event has nothing but its text, as `value`.
    pub fn asks(&self, matcher: &SmallMatcher, item: &Item) -> bool {
        match (item, self.event) {
            (Item::Row(Number::Kept), Some(event)) => matcher.matches(event),
            (Item::Row(metric), Some(event)) => matcher.matches(&Seen(event, *metric)),
            (Item::Row(_), None) => false,
            (Item::Own(Value::Fact(fact)), _) => matcher.matches(&**fact),
            (Item::Own(Value::Null | Value::Flag(false)), _) => matcher.matches(&Fact::default()),
            (Item::Own(value), _) => {
                let more = vec![("value".to_owned(), Value::Text(value.to_text().unwrap_or_default()))];
                matcher.matches(&Fact { metric: value.number(), more, ..Fact::default() })
            }
        }
    }
}

impl Item {
    /// As a value of its own.
    pub fn own(self, clock: &Clock<'_, '_>) -> Value {
        match (self, clock.event) {
            (Self::Own(value), _) => value,
            (Self::Row(metric), Some(event)) => {
                let mut fact = Fact::of(event);
                if let Number::Set(metric) = metric {
                    fact.metric = metric;
                }
                Value::Fact(Box::new(fact))
            }
            (Self::Row(_), None) => Value::Null,
        }
    }

    /// Looks at it as a value.
    pub fn with<R>(&self, clock: &Clock<'_, '_>, look: impl FnOnce(&Value) -> R) -> R {
        match self {
            Self::Own(value) => look(value),
            row => look(&row.clone().own(clock)),
        }
    }

    /// What a function makes of it. A field of the event that came is read where it lies.
    pub fn apply(&self, f: &Func, clock: &Clock<'_, '_>) -> Result<Value, Stop> {
        match (self, f) {
            (Self::Row(_), Func::Field(name)) => Ok(self.get(name, clock)),
            _ => self.with(clock, |value| f.apply(value, clock.now)),
        }
    }

    /// A field, if it is an event and has it.
    pub fn get(&self, name: &Name, clock: &Clock<'_, '_>) -> Value {
        let (event, metric) = match (self, clock.event) {
            (Self::Own(value), _) => return value.fact().map_or(Value::Null, |fact| fact.get(name)),
            (Self::Row(_), None) => return Value::Null,
            (Self::Row(_), Some(event)) => (event, self.metric(clock)),
        };
        let text = |text: Option<&str>| text.map_or(Value::Null, |text| Value::Text(text.to_owned()));
        match name {
            Name::Standard(Field::Host) => text(event.host()),
            Name::Standard(Field::Service) => text(event.service()),
            Name::Standard(Field::State) => text(event.state()),
            Name::Standard(Field::Description) => text(event.description()),
            Name::Standard(Field::Metric) => metric.map_or(Value::Null, number),
            Name::Standard(Field::Time) => seconds(event.time().secs_f64()),
            Name::Standard(Field::Ttl) => event.ttl().map_or(Value::Null, |ttl| seconds(ttl.into())),
            Name::Standard(Field::Tags) if !Subject::has_tags(event) => Value::Null,
            Name::Standard(Field::Tags) => {
                Value::List(event.tags().map(|tag| Value::Text(tag.to_owned())).collect())
            }
            Name::Standard(Field::Attributes) => Value::Null,
            Name::Other(name) => text(event.attribute(name)),
        }
    }

    /// Whether it is an event.
    pub fn is_event(&self) -> bool {
        matches!(self, Self::Row(_) | Self::Own(Value::Fact(_)))
    }

    /// Whether it is an event with that tag.
    pub fn tagged(&self, tag: &str, clock: &Clock<'_, '_>) -> bool {
        match self {
            Self::Row(_) => clock.event.is_some_and(|event| event.tagged(tag)),
            Self::Own(value) => value.fact().is_some_and(|fact| Subject::tagged(fact, tag.as_bytes())),
        }
    }

    /// Its metric, if it is an event and has one.
    pub fn metric(&self, clock: &Clock<'_, '_>) -> Option<Metric> {
        match self {
            Self::Row(Number::Set(metric)) => *metric,
            Self::Row(Number::Kept) => clock.event.and_then(Event::number),
            Self::Own(value) => value.fact().and_then(|fact| fact.metric),
        }
    }

    /// The same with another metric.
    pub fn set_metric(self, metric: Option<Metric>) -> Result<Self, Stop> {
        match self {
            Self::Row(_) => Ok(Self::Row(Number::Set(metric))),
            Self::Own(Value::Fact(mut fact)) => {
                fact.metric = metric;
                Ok(Self::Own(Value::Fact(fact)))
            }
            Self::Own(_) => Err("an event was expected"),
        }
    }

    /// When it happened, if it says so.
    pub fn time(&self, clock: &Clock<'_, '_>) -> Option<Timestamp> {
        match self {
            Self::Row(_) => clock.event.map(Event::time),
            Self::Own(value) => value.fact().and_then(|fact| fact.time),
        }
    }

    /// When it happened, where a time far ahead would hold up all others: what is from the future counts as from now, but
    /// not as Riemann has it.
    pub fn happened(&self, riemann: bool, clock: &Clock<'_, '_>) -> Option<Timestamp> {
        self.time(clock).map(|time| if riemann { time } else { time.min(clock.now) })
    }

    /// Its time-to-live in seconds, if it has one.
    pub fn ttl(&self, clock: &Clock<'_, '_>) -> Option<f64> {
        match self {
            Self::Row(_) => clock.event.and_then(Event::ttl).map(f64::from),
            Self::Own(value) => value.fact().and_then(|fact| fact.ttl),
        }
    }

    /// Whether it says that it is no more, or is too old.
    pub fn expired(&self, clock: &Clock<'_, '_>) -> bool {
        match (self, clock.event) {
            (Self::Row(_), Some(event)) => {
                let ttl = event.ttl().map_or(DEFAULT_TTL, f64::from);
                event.is_expired() || clock.now > event.time() + Span::from_secs_f64(ttl)
            }
            (Self::Row(_), None) => false,
            (Self::Own(value), _) => value.is_expired(clock.now),
        }
    }

    /// When it is valid no longer; without a time-to-live, after `default` seconds or never. What has no time never ages.
    pub fn valid_until(&self, clock: &Clock<'_, '_>, default: Option<f64>) -> Timestamp {
        match (self.time(clock), self.ttl(clock).or(default)) {
            (Some(time), Some(ttl)) => time + Span::from_secs_f64(ttl),
            _ => Timestamp::NEVER,
        }
    }

    /// Who it is from: host and service. Missing is told from empty.
    pub fn stream(&self, clock: &Clock<'_, '_>) -> (Option<String>, Option<String>) {
        match (self, clock.event) {
            (Self::Row(_), Some(event)) => {
                (event.host().map(str::to_owned), event.service().map(str::to_owned))
            }
            (Self::Own(Value::Fact(fact)), _) => (fact.host.clone(), fact.service.clone()),
            _ => (None, None),
        }
    }
}

impl Subject for Seen<'_, '_> {
    fn host(&self) -> Option<&[u8]> {
        self.0.host_bytes()
    }

    fn service(&self) -> Option<&[u8]> {
        self.0.service_bytes()
    }

    fn state(&self) -> Option<&[u8]> {
        self.0.state_bytes()
    }

    fn description(&self) -> Option<&[u8]> {
        self.0.description_bytes()
    }

    fn attribute(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.attribute_value(name)
    }

    fn metric(&self) -> Option<Metric> {
        match self.1 {
            Number::Kept => self.0.number(),
            Number::Set(metric) => metric,
        }
    }

    fn time(&self) -> Timestamp {
        self.0.time()
    }

    fn ttl(&self) -> Option<f32> {
        self.0.ttl()
    }

    fn has_tags(&self) -> bool {
        Subject::has_tags(self.0)
    }

    fn tagged(&self, tag: &[u8]) -> bool {
        Subject::tagged(self.0, tag)
    }
}
