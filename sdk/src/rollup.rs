//! The first few at once, the rest together: so that a flood is one message and a single event is not late.

use crate::lists::{Align, LIST_MAX};
use serde::{Deserialize, Serialize};
use tidegate_event::{Span, Timestamp};

/// Lets the first `n` of each stretch of time through and gathers the rest, to be told together when it ends: Riemann's
/// `rollup`. What is told together counts as one of the next stretch; with stretches that do not begin with what comes
/// ([`Align::At`], [`Align::Epoch`]) of the next in which something comes, however late.
///
/// At most [`LIST_MAX`] are gathered; what is one more is left out and counted. Nothing waits longer than a stretch. A
/// stretch begins as its [`Align`] says, and right after the one before while something waits.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::{Align, Rollup};
/// let at = Timestamp::from_secs;
/// let mut mails = Rollup::new(1, Span::secs(60), Align::First);
/// assert_eq!(mails.push(at(0), "first"), Some("first"));
/// assert_eq!(mails.push(at(1), "second"), None);
/// assert_eq!(mails.push(at(2), "third"), None);
/// assert_eq!(mails.due(), at(60));
/// assert_eq!(mails.wake(at(60)), Some(vec!["second", "third"]));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollup<T> {
    limit: u32,
    every: Span,
    align: Align,
    /// The open stretch, if there is one.
    start: Option<Timestamp>,
    passed: u32,
    kept: Vec<T>,
    left_out: u64,
}

impl<T> Rollup<T> {
    /// So many in so long, at least a microsecond; of none, all are gathered.
    pub fn new(limit: u32, every: Span, align: Align) -> Self {
        let every = every.max(Span(1));
        Self { limit, every, align, start: None, passed: 0, kept: Vec::new(), left_out: 0 }
    }

    /// One more. Returned when it may pass.
    pub fn push(&mut self, now: Timestamp, value: T) -> Option<T> {
        match self.start {
            None => self.start = Some(self.align.start(now, self.every)),
            Some(start) if start + self.every <= now && self.kept.is_empty() => {
                (self.start, self.passed) = (Some(self.align.start(now, self.every)), 0);
            }
            Some(_) => {}
        }
        if self.passed < self.limit {
            self.passed += 1;
            return Some(value);
        }
        if self.kept.len() < LIST_MAX {
            self.kept.push(value);
        } else {
            self.left_out += 1;
        }
        None
    }

    /// When the stretch ends whose rest waits.
    pub fn due(&self) -> Timestamp {
        match self.start {
            Some(start) if !self.kept.is_empty() => start + self.every,
            _ => Timestamp::NEVER,
        }
    }

    /// Takes the rest, if its time has come.
    pub fn wake(&mut self, now: Timestamp) -> Option<Vec<T>> {
        let due = self.due();
        if self.kept.is_empty() || due > now {
            return None;
        }
        self.start = (self.align == Align::First).then_some(due);
        self.passed = 1;
        Some(std::mem::take(&mut self.kept))
    }

    /// How many were one too many.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_together_counts_in_the_next_stretch_that_has_something() {
        let at = Timestamp::from_secs;
        for (align, later) in [(Align::At(at(0)), None), (Align::First, Some('e'))] {
            let mut rollup = Rollup::new(2, Span::secs(10), align);
            assert_eq!(
                ['a', 'b', 'c'].map(|letter| rollup.push(at(1), letter)),
                [Some('a'), Some('b'), None]
            );
            assert_eq!(rollup.wake(rollup.due()), Some(vec!['c']));
            assert_eq!(rollup.push(at(55), 'd'), Some('d'));
            assert_eq!(rollup.push(at(55), 'e'), later, "{align:?}");
        }
    }
}
