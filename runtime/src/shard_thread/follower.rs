//! Who follows a query, and what each must hear: the latest of a stream that matches, and once that a stream no longer does.
//!
//! Which streams were shown to somebody is not kept; which are known to be outside the query is. A stream that changes and
//! does not match is thus named once, to those who never saw it as well, and then no more until it matches again. What is
//! known so may be older than a snapshot that is being taken, so until that is through every such stream is named.

use super::Subscriber;
use crate::ingest::{LEFT, NO_ROW};
use std::collections::HashSet;
use tidegate_event::{BatchBuilder, Event, Field, FieldSet, stream_key};

/// Streams that are known to be outside. Beyond that all is forgotten, and streams are named once more.
const OUTSIDE: usize = 1 << 20;

/// What is said of a stream that has left: enough to draw it for a moment.
const FAREWELL: FieldSet = FieldSet::NONE
    .with(Field::Host)
    .with(Field::Service)
    .with(Field::State)
    .with(Field::Metric)
    .with(Field::Time)
    .with(Field::Ttl);

/// A follower.
pub struct Follower {
    pub reader: Subscriber,
    outside: HashSet<u64>,
}

impl Follower {
    pub fn new(reader: Subscriber) -> Self {
        Self { reader, outside: HashSet::new() }
    }

    /// Whether it asks what this one asks.
    pub fn asks_like(&self, other: &Subscriber) -> bool {
        self.reader.matcher.text() == other.matcher.text()
    }

    /// Forgets which streams are outside.
    pub fn forget(&mut self) {
        self.outside.clear();
    }

    /// Copies what it must hear of a change. `sure`: no snapshot is being taken of what it asks.
    pub fn hear(&mut self, event: &Event<'_>, sure: bool, events: &mut BatchBuilder) {
        if self.reader.matcher.wants_all() {
            return events.copy(event, FieldSet::ALL, |copy| copy.slot = NO_ROW);
        }
        let key = stream_key(0, event.host_bytes(), event.service_bytes());
        if self.reader.matcher.matches(event) {
            self.outside.remove(&key);
            return events.copy(event, FieldSet::ALL, |copy| copy.slot = NO_ROW);
        }
        if self.outside.len() >= OUTSIDE {
            self.forget();
        }
        if self.outside.insert(key) || !sure {
            events.copy(event, FAREWELL, |copy| copy.slot = LEFT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::query::Matcher;
    use tidegate_event::NewEvent;
    use tokio::sync::mpsc;

    fn follower(query: &str) -> Follower {
        let matcher = Matcher::parse(query).unwrap();
        let (updates, _) = mpsc::channel(1);
        Follower::new(Subscriber { matcher, updates, snapshot: None, skipped: 0 })
    }

    /// What is heard of these changes: the host, and `-` before it where that has left.
    fn heard(follower: &mut Follower, sure: bool, changes: &[(&str, f64)]) -> String {
        let mut told = BatchBuilder::new();
        for (host, metric) in changes {
            let mut one = BatchBuilder::new();
            one.push(&NewEvent { host: Some(host), metric: Some((*metric).into()), ..NewEvent::default() });
            follower.hear(&one.finish().event(0), sure, &mut told);
        }
        let told = told.finish();
        let words = told.events().map(|event| {
            let left = if event.slot() == LEFT { "-" } else { "" };
            format!("{left}{}", event.host().unwrap_or_default())
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_stream_that_no_longer_matches_is_named_once_each_time() {
        let mut high = follower("metric > 5");
        assert_eq!(heard(&mut high, true, &[("a", 9.0), ("b", 1.0), ("a", 8.0)]), "a -b a");
        assert_eq!(heard(&mut high, true, &[("a", 1.0), ("b", 2.0), ("a", 3.0)]), "-a");
        assert_eq!(heard(&mut high, true, &[("b", 7.0), ("a", 2.0), ("b", 2.0)]), "b -b");
    }

    #[test]
    fn while_a_snapshot_is_taken_and_after_it_nothing_is_taken_for_known() {
        let mut high = follower("metric > 5");
        assert_eq!(heard(&mut high, true, &[("a", 1.0)]), "-a");
        assert_eq!(heard(&mut high, false, &[("a", 1.0), ("a", 2.0)]), "-a -a");
        high.forget();
        assert_eq!(heard(&mut high, true, &[("a", 1.0), ("a", 2.0)]), "-a");
    }

    #[test]
    fn nothing_leaves_a_query_for_everything() {
        let mut all = follower("true");
        assert_eq!(heard(&mut all, true, &[("a", 9.0), ("a", 1.0)]), "a a");
        assert!(all.outside.is_empty());
    }
}
