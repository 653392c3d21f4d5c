//! The same without a terminal: what has changed from one look to the next, a line each.

use crate::cli::query::number;
use crate::cli::screen::plain;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What happened to a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The state it had, if it was there.
    before: Option<String>,
    /// The event that it has now; the last one that it had if it is gone.
    event: Value,
    /// Whether it is gone.
    gone: bool,
}

impl Change {
    /// For people.
    pub fn text(&self) -> String {
        let text = |name: &str| self.event[name].as_str().map(plain).unwrap_or_default();
        let state = |state: &str| if state.is_empty() { "-".to_owned() } else { plain(state) };
        let time = text("time");
        let time = time.split_once('T').map_or(time.as_str(), |(_, time)| time).to_owned();
        let what = match (&self.before, self.gone) {
            (_, true) => "gone".to_owned(),
            (Some(before), false) => format!("{} -> {}", state(before), state(&text("state"))),
            (None, false) => state(&text("state")),
        };
        let cells = [time, text("host"), text("service"), what, number(&self.event["metric"])];
        cells.iter().filter(|cell| !cell.is_empty()).map(String::as_str).collect::<Vec<_>>().join("  ")
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let what = match (&self.before, self.gone) {
            (_, true) => "gone",
            (Some(_), false) => "changed",
            (None, false) => "new",
        };
        json!({ "change": what, "before": self.before, "event": self.event })
    }
}

/// What was there at the last look. As many streams as one answer has.
#[derive(Debug, Default)]
pub struct Changes {
    before: BTreeMap<(String, String), Value>,
    warned: bool,
}

impl Changes {
    /// What differs now.
    pub fn between(&mut self, events: Vec<Value>) -> Vec<Change> {
        let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let now: BTreeMap<_, _> = events
            .into_iter()
            .map(|event| ((text(&event, "host"), text(&event, "service")), event))
            .collect();
        let mut changes = Vec::new();
        for (key, event) in &now {
            let before = self.before.remove(key).map(|before| text(&before, "state"));
            if before.as_ref().is_none_or(|before| *before != text(event, "state")) {
                changes.push(Change { before, event: event.clone(), gone: false });
            }
        }
        for event in std::mem::replace(&mut self.before, now).into_values() {
            changes.push(Change { before: Some(text(&event, "state")), event, gone: true });
        }
        changes
    }

    /// Says that not all is seen.
    pub fn warn_once(&mut self, limit: u32) {
        if !std::mem::replace(&mut self.warned, true) {
            eprintln!("there are more than {limit}: narrow the query, or raise --limit");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::event;
    use super::*;

    #[test]
    fn what_appears_changes_or_goes_is_told_and_nothing_else() {
        let mut changes = Changes::default();
        let mut said =
            |events: Vec<Value>| changes.between(events).iter().map(Change::text).collect::<Vec<_>>();
        let (a, b) = (event("a", "x", "ok", 1.5), event("b", "x", "", 2.0));
        assert_eq!(said(vec![a.clone(), b]), ["18:06:58.000Z  a  x  ok  1.5", "18:06:58.000Z  b  x  -  2"]);
        assert_eq!(
            said(vec![event("a", "x", "critical", 9.0)]),
            ["18:06:58.000Z  a  x  ok -> critical  9", "18:06:58.000Z  b  x  gone  2"]
        );
        assert!(said(vec![event("a", "x", "critical", 10.0)]).is_empty(), "a metric alone is no change");
        let gone = changes.between(Vec::new());
        assert_eq!((gone[0].json()["change"].as_str(), gone.len()), (Some("gone"), 1));
    }
}
