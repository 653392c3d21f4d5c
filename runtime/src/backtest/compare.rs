//! What two versions of a rule said at the same moments: the same, or only one of them.
//!
//! Moments are compared one by one as they pass, so nothing is kept but the first differences. Two effects are the same
//! when they go the same way and their events are the same to the last field.

use super::trial::{Said, To};
use serde::Serialize;
use serde_json::Value;
use std::cmp::Ordering;
use tidegate_engine::codec::json;
use tidegate_event::Timestamp;

/// Differences that are told; all are counted.
const TOLD: usize = 1_000;

/// Which version said something that the other did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// The rule that is tried.
    Rule,
    /// The one that it is compared with.
    Against,
}

/// An effect that only one version had.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// Which.
    pub only: Only,
    /// When.
    pub at: String,
    /// `stream`, `log`, or the name of the output as the rule declares it.
    pub to: String,
    /// The event.
    pub event: Value,
}

/// The effects of two versions, compared.
#[derive(Debug, Default, Serialize)]
pub struct Compared {
    /// Effects that both had.
    pub same: u64,
    /// Effects that only the rule had.
    pub only_rule: u64,
    /// Effects that only the other had.
    pub only_against: u64,
    /// The first of those that only one had.
    pub first: Vec<Difference>,
}

/// One effect as it is compared: where to, then the event as JSON.
type Line = (String, String, Timestamp);

fn lines(said: &Said, name: impl Fn(To) -> String) -> Vec<Line> {
    let mut lines: Vec<Line> = said
        .effects
        .iter()
        .map(|effect| {
            let mut text = Vec::new();
            json::encode_event(&mut text, &said.events.event(effect.event as usize));
            (name(effect.to), String::from_utf8_lossy(&text).into_owned(), effect.at)
        })
        .collect();
    lines.sort();
    lines
}

impl Compared {
    /// Takes in what both said at one moment. The functions give the name of where an effect goes.
    pub fn take(
        &mut self,
        rule: &Said,
        rule_name: impl Fn(To) -> String,
        against: &Said,
        against_name: impl Fn(To) -> String,
    ) {
        if rule.effects.is_empty() && against.effects.is_empty() {
            return;
        }
        let (rule, against) = (lines(rule, rule_name), lines(against, against_name));
        let (mut rule, mut against) = (rule.into_iter().peekable(), against.into_iter().peekable());
        loop {
            let order = match (rule.peek(), against.peek()) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => (&a.0, &a.1).cmp(&(&b.0, &b.1)),
            };
            match order {
                Ordering::Equal => {
                    self.same += 1;
                    rule.next();
                    against.next();
                }
                Ordering::Less => {
                    self.only_rule += 1;
                    self.tell(Only::Rule, rule.next());
                }
                Ordering::Greater => {
                    self.only_against += 1;
                    self.tell(Only::Against, against.next());
                }
            }
        }
    }

    fn tell(&mut self, only: Only, line: Option<Line>) {
        let Some((to, event, at)) = line.filter(|_| self.first.len() < TOLD) else { return };
        self.first.push(Difference {
            only,
            at: super::moment(at),
            to,
            event: serde_json::from_str(&event).unwrap_or_default(),
        });
    }
}
