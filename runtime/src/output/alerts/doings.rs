//! What a change at a desk brings about: what is to be sent, what is to be kept, and what is counted.

use super::alert::{Alert, At, Kept};
use super::desk::SERVICE;
use crate::output::Delivery;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_event::{BatchBuilder, NewEvent, Timestamp};

/// How long an event about an alert is valid, in seconds.
const TTL: f32 = 60.0;

/// Something to be sent, until it has been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Act {
    /// A notice to outputs.
    Notice {
        /// Which.
        to: Vec<String>,
        /// The parts of the delivery.
        rule: String,
        /// See [`Delivery`].
        declared: String,
        /// See [`Delivery`].
        position: u64,
        /// See [`Delivery`].
        n: u32,
        /// See [`Delivery`].
        event: Kept,
    },
    /// An event into the stream.
    Event(Kept),
}

impl Act {
    /// The notice as a delivery, and to whom.
    pub fn delivery(&self) -> Option<(&[String], Delivery)> {
        let Self::Notice { to, rule, declared, position, n, event } = self else { return None };
        let batch = (*event.0).clone();
        let (rule, declared) = (rule.as_str().into(), declared.as_str().into());
        Some((to, Delivery { rule, declared, position: *position, n: *n, batch }))
    }
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Doings {
    /// The number that was given last.
    pub last: u64,
    /// What is to be sent, by number.
    pub acts: Vec<(u64, Act)>,
    /// Alerts that are not as they were, by output and id.
    pub touched: BTreeSet<(String, String)>,
    /// Alerts that are not kept any more.
    pub removed: BTreeSet<(String, String)>,
    /// Deliveries that were taken, by output.
    pub seen: Vec<(String, u64)>,
    /// Silences that have begun to keep an alert quiet.
    pub silenced: Vec<String>,
    /// Silences that are not as they were, and that are not kept any more.
    pub changed_silences: Vec<String>,
    /// See [`Doings::changed_silences`].
    pub forgotten: Vec<String>,
    /// Deliveries that were taken.
    pub folded: u64,
    /// Those of them whose state says nothing about an alert.
    pub ignored: u64,
    /// Deliveries that had been taken before.
    pub doubled: u64,
    /// Notices that found no room.
    pub held: u64,
}

impl Doings {
    /// Nothing yet; numbers go on from this one.
    pub fn after(last: u64) -> Self {
        Self { last, ..Self::default() }
    }

    /// How many notices go out.
    pub fn notices(&self) -> u64 {
        self.acts.iter().filter(|(_, act)| matches!(act, Act::Notice { .. })).count() as u64
    }

    /// How many events tell of alerts.
    pub fn transitions(&self) -> u64 {
        self.acts.len() as u64 - self.notices()
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// An alert is not as it was.
    pub fn touch(&mut self, output: &str, id: &str) {
        self.touched.insert((output.to_owned(), id.to_owned()));
    }

    /// An alert is not kept any more.
    pub fn gone(&mut self, output: &str, id: &str) {
        let which = (output.to_owned(), id.to_owned());
        self.touched.remove(&which);
        self.removed.insert(which);
    }

    /// A notice goes out.
    pub fn tell(&mut self, number: u64, to: Vec<String>, delivery: Delivery) {
        let act = Act::Notice {
            to,
            rule: delivery.rule.to_string(),
            declared: delivery.declared.to_string(),
            position: delivery.position,
            n: delivery.n,
            event: Kept(Arc::new(delivery.batch)),
        };
        self.acts.push((number, act));
    }

    /// What happened to an alert is an event as well.
    pub fn say(&mut self, now: At, alert: &Alert, what: &str, by: Option<&str>, note: &str) {
        self.removed.remove(&(alert.output.clone(), alert.id.clone()));
        self.touch(&alert.output, &alert.id);
        let event = alert.latest().event();
        let service = event.service().unwrap_or_default();
        let key = alert.key_text();
        let mut description = format!("{}: {} {service}: {what}", alert.output, event.host().unwrap_or("-"));
        by.iter().for_each(|by| description += &format!(" by {by}"));
        if !note.is_empty() {
            description += &format!(": {note}");
        }
        let attributes = [
            ("alert.id", alert.id.as_str()),
            ("alert.key", &key),
            ("alert.what", what),
            ("alert.status", alert.status().word()),
            ("alert.by", by.unwrap_or_default()),
            ("alert.note", note),
            ("alert.output", &alert.output),
            ("alert.rule", &alert.rule),
            ("alert.service", service),
            ("alert.before", alert.before.as_deref().unwrap_or_default()),
            ("alert.after", alert.state.as_deref().unwrap_or_default()),
            ("alert.silence", alert.silence.as_deref().unwrap_or_default()),
        ];
        self.event(now, event.host(), &description, &attributes);
    }

    /// An event of the service `tidegate alert`. Whatever it tells of, its own state is `ok`: it is news and no second
    /// alert, and who counts critical streams counts none of these.
    pub fn event(&mut self, now: At, host: Option<&str>, description: &str, attributes: &[(&str, &str)]) {
        let number = self.number();
        let text = number.to_string();
        let given = attributes.iter().copied().filter(|(_, value)| !value.is_empty());
        let attributes: Vec<(&str, &str)> = given.chain([("alert.number", text.as_str())]).collect();
        let mut builder = BatchBuilder::new();
        builder.push(&NewEvent {
            time: Some(Timestamp(now.0)),
            host,
            service: Some(SERVICE),
            state: Some("ok"),
            ttl: Some(TTL),
            description: Some(description),
            tags: &["tidegate", "alert"],
            attributes: &attributes,
            ..NewEvent::default()
        });
        self.acts.push((number, Act::Event(Kept(Arc::new(builder.finish())))));
    }
}
