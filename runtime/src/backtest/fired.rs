//! From when to when a rule said that something was not well: the intervals in which a host and service stood in another
//! state than `ok` in what the rule emitted or forwarded.
//!
//! An interval begins with the first event in such a state and ends with the next that is `ok` or `expired`, or in yet
//! another state, which begins an interval of its own. Each way that an effect can go (the stream, each output) has
//! intervals of its own, since a rule may say other things to a board than to a pager.

use super::moment;
use serde::Serialize;
use std::collections::HashMap;
use tidegate_event::{Event, Timestamp};

/// Hosts and services that may stand in a bad state at once; further ones are only counted.
const OPEN: usize = 100_000;
/// Intervals that are told; further ones are only counted.
const TOLD: usize = 10_000;

/// One interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// `stream`, or the name of the output as the rule declares it.
    pub to: String,
    /// Whose.
    pub host: Option<String>,
    /// Of which service.
    pub service: Option<String>,
    /// In which state.
    pub state: String,
    /// From when.
    pub from: Timestamp,
    /// Until when; none if it still stood so at the end.
    pub until: Option<Timestamp>,
    /// The key of the rule that it was about.
    pub key: u64,
}

impl Serialize for Interval {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Told<'a> {
            to: &'a str,
            host: Option<&'a str>,
            service: Option<&'a str>,
            state: &'a str,
            from: String,
            until: Option<String>,
        }
        Told {
            to: &self.to,
            host: self.host.as_deref(),
            service: self.service.as_deref(),
            state: &self.state,
            from: moment(self.from),
            until: self.until.map(moment),
        }
        .serialize(to)
    }
}

impl Interval {
    /// What two intervals must have in common to be about the same.
    fn about(&self) -> (&str, Option<&str>, Option<&str>, &str) {
        (&self.to, self.host.as_deref(), self.service.as_deref(), &self.state)
    }

    /// Whether both stood at some moment.
    fn overlaps(&self, other: &Self) -> bool {
        let end = |interval: &Self| interval.until.unwrap_or(Timestamp::NEVER);
        self.from <= end(other) && other.from <= end(self)
    }
}

/// The intervals of one rule.
#[derive(Debug, Default)]
pub struct Fired {
    open: HashMap<Vec<u8>, Interval>,
    told: Vec<Interval>,
    /// How many there were in all.
    pub count: u64,
    /// Events in a bad state that found no room.
    pub untracked: u64,
    name: Vec<u8>,
}

impl Fired {
    /// Takes in an event that the rule sent `to` somewhere.
    pub fn take(&mut self, to: &str, at: Timestamp, key: u64, event: &Event<'_>) {
        let Some(state) = event.state_bytes() else { return };
        let well = state == b"ok" || state == b"expired";
        if well && self.open.is_empty() {
            return;
        }
        self.name.clear();
        self.name.extend_from_slice(to.as_bytes());
        for part in [event.host_bytes(), event.service_bytes()] {
            self.name.push(if part.is_some() { 1 } else { 0 });
            let part = part.unwrap_or_default();
            self.name.extend_from_slice(&(part.len() as u32).to_le_bytes());
            self.name.extend_from_slice(part);
        }
        match self.open.get(&self.name) {
            Some(open) if open.state.as_bytes() == state => return,
            Some(_) => {
                if let Some(mut ended) = self.open.remove(&self.name) {
                    ended.until = Some(at);
                    self.tell(ended);
                }
            }
            None => {}
        }
        if well {
            return;
        }
        if self.open.len() >= OPEN {
            self.untracked += 1;
            return;
        }
        self.count += 1;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let interval = Interval {
            to: to.to_owned(),
            host: event.host_bytes().map(text),
            service: event.service_bytes().map(text),
            state: text(state),
            from: at,
            until: None,
            key,
        };
        self.open.insert(self.name.clone(), interval);
    }

    fn tell(&mut self, interval: Interval) {
        if self.told.len() < TOLD {
            self.told.push(interval);
        }
    }

    /// How many still stand.
    pub fn standing(&self) -> usize {
        self.open.len()
    }

    /// All that are told, in the order in which they began.
    pub fn finish(mut self) -> Vec<Interval> {
        let mut open: Vec<Interval> = self.open.drain().map(|(_, interval)| interval).collect();
        open.sort_by(|a, b| (a.from, a.about()).cmp(&(b.from, b.about())));
        open.truncate(TOLD.saturating_sub(self.told.len()));
        self.told.extend(open);
        self.told.sort_by(|a, b| (a.from, a.about()).cmp(&(b.from, b.about())));
        self.told
    }
}

/// How the intervals of two versions differ.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Intervals of the rule that overlap one of the other version's.
    pub same: u64,
    /// Intervals that only the rule has.
    pub new: Vec<Interval>,
    /// Intervals that only the other version has.
    pub gone: Vec<Interval>,
}

/// Compares: an interval is the same when the other version has one of that state, host and service, on the same way, at
/// the same time for a moment at least.
pub fn compare(rule: &[Interval], against: &[Interval]) -> Moved {
    let alone = |one: &[Interval], other: &[Interval]| -> Vec<Interval> {
        let mut by: HashMap<_, Vec<&Interval>> = HashMap::new();
        other.iter().for_each(|interval| by.entry(interval.about()).or_default().push(interval));
        let has = |interval: &Interval| {
            by.get(&interval.about())
                .is_some_and(|others| others.iter().any(|other| interval.overlaps(other)))
        };
        one.iter().filter(|interval| !has(interval)).cloned().collect()
    };
    let (new, gone) = (alone(rule, against), alone(against, rule));
    Moved { same: (rule.len() - new.len()) as u64, new, gone }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::{BatchBuilder, NewEvent};

    /// `3 pager web critical` for each line: what was said when.
    fn fired(said: &str) -> Vec<Interval> {
        let mut fired = Fired::default();
        for line in said.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let mut builder = BatchBuilder::new();
            builder.push(&NewEvent {
                host: Some(words[2]),
                state: words.get(3).copied(),
                ..NewEvent::default()
            });
            fired.take(words[1], Timestamp::from_secs(words[0].parse().unwrap()), 1, &builder.event(0));
        }
        fired.finish()
    }

    fn told(intervals: &[Interval]) -> Vec<String> {
        let line = |it: &Interval| {
            let until = it.until.map_or("-".into(), |until| until.to_string());
            format!("{}..{until} {} {} {}", it.from, it.to, it.host.as_deref().unwrap_or("-"), it.state)
        };
        intervals.iter().map(line).collect()
    }

    #[test]
    fn an_interval_lasts_until_all_is_well_or_another_state_begins() {
        let said = "1 pager a critical\n2 pager a critical\n3 pager b warning\n4 pager a ok\n5 pager a ok
                    6 pager a warning\n7 pager a critical\n8 board a critical\n9 pager a\n10 pager b expired";
        assert_eq!(
            told(&fired(said)),
            [
                "1s..4s pager a critical",
                "3s..10s pager b warning",
                "6s..7s pager a warning",
                "7s..- pager a critical",
                "8s..- board a critical"
            ]
        );
    }

    #[test]
    fn intervals_of_two_versions_are_the_same_when_they_overlap() {
        let new = fired("1 p a critical\n5 p a ok\n10 p b critical\n11 p b ok\n20 p c critical");
        let old = fired("4 p a critical\n9 p a ok\n12 p b critical\n13 p b ok\n20 p c warning");
        let moved = compare(&new, &old);
        assert_eq!(moved.same, 1);
        assert_eq!(told(&moved.new), ["10s..11s p b critical", "20s..- p c critical"]);
        assert_eq!(told(&moved.gone), ["12s..13s p b critical", "20s..- p c warning"]);
    }
}
