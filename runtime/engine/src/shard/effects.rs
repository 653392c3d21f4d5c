//! From what a guest asked for to whole events: a base and its differences become one event, with its place in the order
//! of all effects of a position.

use std::sync::Arc;
use tidegate_event::{
    Action, Base, BatchBuilder, Effect, Event, Field, FieldSet, Metric, Override, Row, Spot, State, Timestamp,
};

/// How often an event may be emitted in answer to an event in answer to an event.
pub const MAX_HOPS: u8 = 8;

/// The place of an effect among all effects of a position, the same whatever the number of shards: first those of time
/// (by their moment), then those of events (by their row), then by the rule's age, then by key and by the order in
/// which the guest asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// 0 for time, 1 for events.
    pub phase: u8,
    /// The moment, or the row.
    pub at: u64,
    /// The position at which the rule was deployed.
    pub rule: u64,
    /// The key, for effects of time.
    pub key: u64,
    /// Counts the effects of one call.
    pub n: u32,
}

/// What is to be done with an event or a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Put it back into the stream.
    Emit,
    /// Hand it to an output.
    Forward {
        /// The name under which the rule declares it.
        declared: Arc<str>,
        /// The configured output.
        output: Arc<str>,
    },
    /// Write it into the rule's log, as the event's description; level 0 (error) to 4 (trace).
    Log {
        /// The level.
        level: u8,
    },
}

/// One effect: what is to be done with which event of the step.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its place.
    pub place: Place,
    /// The rule.
    pub rule: Arc<str>,
    /// What is to be done.
    pub what: What,
    /// The number of the event among the step's.
    pub event: u32,
}

/// What an effect starts from, looked up.
pub enum From<'a> {
    /// Nothing.
    Nothing,
    /// An event.
    Event(Event<'a>),
    /// A key, by the host and the service that all its events have.
    #[allow(missing_docs)]
    Key { host: Option<&'a [u8]>, service: Option<&'a [u8]> },
}

/// Why an effect is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It would be emitted once too often.
    Hops,
    /// Its base is a row or a slot that does not exist.
    Base,
}

impl Cut {
    /// A short word for counters.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Hops => "hops",
            Self::Base => "base",
        }
    }
}

/// What the events that a rule emits bear in their `binding`, from there on through the log: who emitted them. Guests do
/// not see it: rows for them bear their own number there. Never 0, which is nobody.
pub fn mark_of(rule: &str) -> u32 {
    (tidegate_event::hash_bytes(0, rule.as_bytes()) as u32).max(1)
}

/// Appends the event that an effect describes, with the mark of the rule. What the record does not say stays as in the
/// base.
pub fn build(effect: &Effect<'_>, from: &From<'_>, mark: u32, into: &mut BatchBuilder) -> Result<(), Cut> {
    let record = &effect.record;
    let hops = match from {
        From::Event(event) => event.hops() + 1,
        _ => 1,
    };
    if record.action == Action::Emit && hops > MAX_HOPS {
        return Err(Cut::Hops);
    }
    let mut row = match from {
        From::Nothing => Row::default(),
        From::Event(event) => {
            let changed = effect.overrides().filter_map(|change| match change {
                Override::Text(field, _) if field != Field::Tags => Some(field),
                _ => None,
            });
            let changed: FieldSet = changed.collect();
            into.copy_strings(event, FieldSet(FieldSet::ALL.0 & !changed.0))
        }
        From::Key { host, service } => Row {
            host: host.map(|text| into.push_string(text)),
            service: service.map(|text| into.push_string(text)),
            ..Row::default()
        },
    };
    row.time = record.time;
    match record.metric {
        Spot::Keep => {}
        Spot::Set(metric) => row.metric = Some(metric),
        Spot::Clear => row.metric = None,
    }
    (row.key, row.slot, row.binding) = (0, 0, mark);
    (row.untimed, row.reaped, row.leaving) = (false, false, false);
    row.hops = hops.min(15);
    apply(effect, from, &mut row, into);
    into.push_row(&row);
    Ok(())
}

/// Lays the overrides over a row. Lists of tags and attributes are written anew when one of them changes.
fn apply(effect: &Effect<'_>, from: &From<'_>, row: &mut Row, into: &mut BatchBuilder) {
    let base = if let From::Event(event) = from { Some(event) } else { None };
    let (mut tags, mut attributes) = (None::<Vec<u32>>, None::<Vec<(&[u8], &[u8])>>);
    let base_tags = |into: &mut BatchBuilder| {
        base.map_or(Vec::new(), |event| event.tag_bytes().map(|tag| into.push_string(tag)).collect())
    };
    let base_attributes = || base.map_or(Vec::new(), |event| event.attribute_bytes().collect());
    for change in effect.overrides() {
        match change {
            Override::Text(Field::Host, text) => row.host = Some(into.push_string(text.as_bytes())),
            Override::Text(Field::Service, text) => row.service = Some(into.push_string(text.as_bytes())),
            Override::Text(Field::State, text) => {
                row.state = Some(into.push_string(text.as_bytes()));
                row.state_code = State::of(text.as_bytes());
            }
            Override::Text(Field::Description, text) => {
                row.description = Some(into.push_string(text.as_bytes()))
            }
            Override::Text(Field::Tags, text) => {
                let tags = tags.get_or_insert_with(|| base_tags(into));
                let tag = into.push_string(text.as_bytes());
                if !tags.iter().any(|other| into.string(*other) == Some(text.as_bytes())) {
                    tags.push(tag);
                }
            }
            Override::Attribute(name, value) => {
                let list = attributes.get_or_insert_with(base_attributes);
                list.retain(|(other, _)| *other != name.as_bytes());
                list.push((name.as_bytes(), value.as_bytes()));
            }
            Override::Ttl(seconds) => row.ttl = Some(seconds),
            Override::Text(..) => {}
            Override::Remove(field) => match field {
                Field::Host => row.host = None,
                Field::Service => row.service = None,
                Field::State => (row.state, row.state_code) = (None, State::Other),
                Field::Description => row.description = None,
                Field::Ttl => row.ttl = None,
                Field::Tags => tags = Some(Vec::new()),
                Field::Attributes => attributes = Some(Vec::new()),
                Field::Metric => row.metric = None,
                Field::Time => {}
            },
        }
    }
    if let Some(tags) = tags {
        row.tags = into.push_tags(&tags);
    }
    if let Some(attributes) = attributes {
        let refs: Vec<u32> = attributes
            .into_iter()
            .flat_map(|(name, value)| [into.push_string(name), into.push_string(value)])
            .collect();
        row.attributes = into.push_attributes(&refs);
    }
}

/// The place of an effect that a guest asked for. Those with a row stand at the row, those of a key at their moment.
pub fn place(effect: &Effect<'_>, source_row: Option<u32>, key: u64, rule: u64, n: u32) -> Place {
    match (effect.record.base, source_row) {
        (Base::Row(_), Some(row)) => Place { phase: 1, at: row.into(), rule, key: 0, n },
        _ => Place { phase: 0, at: moment(effect.record.time), rule, key, n },
    }
}

/// A moment as a number whose order is that of moments, also before 1970.
pub fn moment(at: Timestamp) -> u64 {
    (at.0 as u64) ^ (1 << 63)
}

/// A plain event of the engine's own making, such as one about a rule that is quarantined.
pub struct Notice<'a> {
    /// Host: the node's name.
    pub host: &'a str,
    /// Service.
    pub service: &'a str,
    /// State.
    pub state: State,
    /// Description.
    pub description: &'a str,
    /// Metric.
    pub metric: Option<Metric>,
    /// When.
    pub time: Timestamp,
}

impl Notice<'_> {
    /// Appends it.
    pub fn build(&self, into: &mut BatchBuilder) {
        into.push(&tidegate_event::NewEvent {
            time: Some(self.time),
            host: Some(self.host),
            service: Some(self.service),
            state: Some(self.state.as_str()),
            metric: self.metric,
            description: Some(self.description),
            tags: &["tidegate"],
            ttl: Some(600.0),
            ..Default::default()
        });
    }
}
