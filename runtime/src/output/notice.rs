//! A notice: what people are told of one or more alerts. It travels as an ordinary delivery, so that every output can carry
//! it: the event is the latest of its first alert, and attributes that begin with `alert.` say the rest.
//!
//! Outputs for people read it back with [`Notice::read`], and an event that a rule forwards straight to them just as well:
//! it is then a notice of one alert whose key is its host and service.

use super::Delivery;
use super::alerts::{Alert, At, Kind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_engine::codec::json::encode_event;
use tidegate_event::{Batch, BatchBuilder, Event, NewEvent};

/// Alerts in one notice at most; more of them make more notices.
pub const TOGETHER: usize = 200;

/// Attributes of an event that are told, in number and in bytes of one.
const ATTRIBUTES: usize = 16;
const ATTRIBUTE_BYTES: usize = 512;

/// Bytes of a description that are told.
const DESCRIPTION: usize = 2_000;

/// What the attributes of a notice begin with.
pub const PREFIX: &str = "alert.";

/// One alert in a notice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    /// The alert.
    pub id: String,
    /// The values of its key.
    pub key: String,
    /// What is told of it.
    pub notice: String,
    /// The rule that found it.
    pub rule: String,
    /// The rule's version.
    pub version: Option<String>,
    /// The rule's deployment.
    pub generation: Option<u64>,
    /// Where.
    pub host: Option<String>,
    /// What.
    pub service: Option<String>,
    /// How it is.
    pub state: Option<String>,
    /// States that were told since it opened.
    pub states: Vec<String>,
    /// How it was before.
    pub before: Option<String>,
    /// How much.
    pub metric: Option<f64>,
    /// The event's own words.
    pub description: Option<String>,
    /// The event's tags.
    pub tags: Vec<String>,
    /// The event's attributes, not too many.
    pub attributes: BTreeMap<String, String>,
    /// Since when.
    pub since: String,
    /// Until when, if it is over.
    pub until: Option<String>,
    /// How many events there were.
    pub count: u64,
    /// Whether it changes too often.
    pub flapping: bool,
    /// Who cares for it.
    pub acknowledged: Option<String>,
    /// What they said.
    pub note: Option<String>,
    /// Where to look.
    pub url: Option<String>,
}

impl Item {
    /// What is told of it.
    pub fn kind(&self) -> Kind {
        Kind::of(&self.notice).unwrap_or(Kind::Firing)
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.kind() == Kind::Resolved
    }

    fn of(alert: &Alert, kind: Kind, base: Option<&str>) -> Self {
        let acknowledged = alert.acknowledged.as_ref();
        Self {
            id: alert.id.clone(),
            key: alert.key_text(),
            notice: kind.word().to_owned(),
            rule: alert.rule.clone(),
            version: alert.version.clone(),
            generation: alert.generation,
            state: alert.state.clone(),
            before: alert.before.clone(),
            states: alert.states.iter().cloned().collect(),
            since: alert.since.iso(),
            until: alert.until.map(At::iso),
            count: alert.events,
            flapping: alert.flapping,
            acknowledged: acknowledged.map(|who| who.by.clone()),
            note: acknowledged.map(|who| who.note.clone()).filter(|note| !note.is_empty()),
            url: base.map(|base| link(base, &alert.id)),
            ..Self::look(&alert.latest().event())
        }
    }

    fn look(event: &Event<'_>) -> Self {
        let own = event.attributes().filter(|(name, _)| !name.starts_with(PREFIX));
        Self {
            host: event.host().map(str::to_owned),
            service: event.service().map(str::to_owned),
            state: event.state().map(str::to_owned),
            metric: event.metric().filter(|metric| metric.is_finite()),
            description: event.description().map(|text| cut(text, DESCRIPTION).to_owned()),
            tags: event.tags().take(ATTRIBUTES).map(|tag| cut(tag, ATTRIBUTE_BYTES).to_owned()).collect(),
            attributes: own
                .take(ATTRIBUTES)
                .map(|(name, value)| (cut(name, ATTRIBUTE_BYTES).into(), cut(value, ATTRIBUTE_BYTES).into()))
                .collect(),
            since: At::from(event.time()).iso(),
            count: 1,
            ..Self::default()
        }
    }

    /// An event that no desk has seen.
    fn plain(delivery: &Delivery) -> Self {
        let event = delivery.event();
        let names = [Some(&*delivery.rule), event.host(), event.service()];
        let key = names.map(Option::unwrap_or_default).join("|");
        let over = event.state() == Some("ok");
        let kind = if over { Kind::Resolved } else { Kind::Firing };
        Self {
            id: name(&[&key]),
            notice: kind.word().to_owned(),
            rule: delivery.rule.to_string(),
            until: over.then(|| At::from(event.time()).iso()),
            key,
            ..Self::look(&event)
        }
    }
}

/// A text without what is too much, cut between two characters.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A short name for these texts: the same ones have the same name on every machine.
pub fn name(parts: &[&str]) -> String {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hash.finalize().to_hex()[..16].to_owned()
}

/// Where the page shows an alert.
pub fn link(base: &str, id: &str) -> String {
    format!("{}/#/alerts?alert={id}", base.trim_end_matches('/'))
}

/// A notice as outputs for people read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Names it, also when it is sent twice.
    pub id: String,
    /// What it says of all its alerts, or of the most urgent one.
    pub kind: Kind,
    /// Its group; for an event that no desk has seen, the key.
    pub group: String,
    /// The alerts, the most urgent first.
    pub items: Vec<Item>,
    /// How many notices were held back for it.
    pub held: u64,
    /// Whether a desk made it.
    pub is_of_desk: bool,
}

impl Notice {
    /// What a delivery says.
    pub fn read(delivery: &Delivery) -> Self {
        let event = delivery.event();
        let attribute =
            |wanted: &str| event.attributes().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let items = attribute("alert.alerts").and_then(|text| serde_json::from_str::<Vec<Item>>(text).ok());
        match items.filter(|items| !items.is_empty()) {
            Some(items) => Self {
                id: delivery.id(),
                kind: attribute("alert.notice").and_then(Kind::of).unwrap_or(Kind::Firing),
                group: attribute("alert.group").unwrap_or_default().to_owned(),
                held: attribute("alert.held").and_then(|held| held.parse().ok()).unwrap_or(0),
                items,
                is_of_desk: true,
            },
            None => {
                let item = Item::plain(delivery);
                let (kind, group) = (item.kind(), item.key.clone());
                Self { id: delivery.id(), kind, group, items: vec![item], held: 0, is_of_desk: false }
            }
        }
    }

    /// Its first alert, the most urgent one.
    pub fn first(&self) -> &Item {
        &self.items[0]
    }

    /// How many of its alerts are open.
    pub fn open(&self) -> usize {
        self.items.iter().filter(|item| !item.is_over()).count()
    }
}

/// What a notice is made of.
#[derive(Clone, Copy, Debug)]
pub struct Making<'a> {
    /// The output of type `alerts` that sends it.
    pub output: &'a str,
    /// Its number, which no other notice of this node has.
    pub number: u64,
    /// Notices that were held back for it.
    pub held: u64,
    /// Where the page is.
    pub base: Option<&'a str>,
}

/// The notice of these alerts as a delivery.
pub fn write(alerts: &[(&Alert, Kind)], making: &Making<'_>) -> Option<Delivery> {
    let (first, _) = alerts.first()?;
    let items: Vec<Item> = alerts.iter().map(|(alert, kind)| Item::of(alert, *kind, making.base)).collect();
    let urgent = alerts.iter().map(|(_, kind)| *kind).min().unwrap_or(Kind::Firing);
    let group = if alerts.len() == 1 || alerts.iter().all(|(alert, _)| alert.group == first.group) {
        first.group_text()
    } else {
        String::new()
    };
    let extra = [
        ("alert.notice", urgent.word().to_owned()),
        ("alert.number", making.number.to_string()),
        ("alert.group", group),
        ("alert.held", making.held.to_string()),
        ("alert.events", events(first)),
        ("alert.alerts", serde_json::to_string(&items).unwrap_or_default()),
        ("alert.url", items[0].url.clone().unwrap_or_default()),
    ];
    Some(Delivery {
        rule: format!("{}@{}", first.rule, making.output).into(),
        declared: making.output.into(),
        position: first.position,
        n: making.number as u32,
        batch: event_of(first, &extra),
    })
}

/// The alert's latest events as a JSON list, the newest last.
fn events(alert: &Alert) -> String {
    let mut text = b"[".to_vec();
    for (i, kept) in alert.recent.iter().enumerate() {
        if i > 0 {
            text.push(b',');
        }
        encode_event(&mut text, &kept.event());
    }
    text.push(b']');
    String::from_utf8(text).unwrap_or_default()
}

/// An alert's latest event with what is known of the alert as attributes.
pub fn event_of(alert: &Alert, extra: &[(&str, String)]) -> Batch {
    let known = [
        ("alert.id", Some(alert.id.clone())),
        ("alert.output", Some(alert.output.clone())),
        ("alert.key", Some(alert.key_text())),
        ("alert.status", Some(alert.status().word().to_owned())),
        ("alert.rule", Some(alert.rule.clone())),
        ("alert.version", alert.version.clone()),
        ("alert.generation", alert.generation.map(|generation| generation.to_string())),
        ("alert.since", Some(alert.since.iso())),
        ("alert.until", alert.until.map(At::iso)),
        ("alert.before", alert.before.clone()),
        ("alert.after", alert.state.clone()),
        ("alert.flapping", Some(alert.flapping.to_string())),
        ("alert.count", Some(alert.events.to_string())),
        ("alert.escalated", Some(alert.escalated.to_string())),
        ("alert.by", alert.acknowledged.as_ref().map(|who| who.by.clone())),
        ("alert.note", alert.acknowledged.as_ref().map(|who| who.note.clone())),
    ];
    let extra = extra.iter().map(|(name, value)| (*name, Some(value.clone())));
    let all: Vec<(&str, String)> =
        known.into_iter().chain(extra).filter_map(|(name, value)| Some((name, value?))).collect();
    marked(alert.latest().event(), &all)
}

/// The same event with these attributes; others that begin the same are taken away.
fn marked(event: Event<'_>, with: &[(&str, String)]) -> Batch {
    let tags: Vec<&str> = event.tags().collect();
    let own = event.attributes().filter(|(name, _)| !name.starts_with(PREFIX));
    let given = with.iter().map(|(name, value)| (*name, value.as_str()));
    let attributes: Vec<(&str, &str)> = own.chain(given.filter(|(_, value)| !value.is_empty())).collect();
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent {
        time: Some(event.time()),
        host: event.host(),
        service: event.service(),
        state: event.state(),
        metric: event.number(),
        ttl: event.ttl(),
        description: event.description(),
        tags: &tags,
        attributes: &attributes,
        hops: event.hops(),
    });
    builder.finish()
}

/// All notices of a batch.
pub fn read_all(batch: &[Arc<Delivery>]) -> impl Iterator<Item = Notice> + '_ {
    batch.iter().map(|delivery| Notice::read(delivery))
}
