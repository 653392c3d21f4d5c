//! What a rule has said lately: the lines that it logged, and its faults among them, with the place of each in the log.
//!
//! The last [`LINES`] are kept; what had to go is counted.

use std::collections::VecDeque;
use std::sync::Arc;
use tidegate_engine::shard::{Logged, Troubled};
use tidegate_event::{Batch, Timestamp};

/// Lines that are kept of a rule.
pub const LINES: usize = 200;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who said it: the rule, or a candidate under its own name.
    pub rule: Arc<str>,
    /// When.
    pub at: Timestamp,
    /// 0 error, 1 warning, 2 info, 3 debug, 4 trace.
    pub level: u8,
    /// The line, or the fault with the place in the source.
    pub text: String,
    /// The position at which it was said.
    pub position: u64,
    /// The event that it is about, as a batch of one, where it is about one.
    pub event: Option<Batch>,
}

impl Line {
    /// What a rule logged.
    pub fn of_rule(position: u64, at: Timestamp, logged: &Logged) -> Self {
        let Logged { rule, level, text, about } = logged;
        Self { rule: rule.clone(), at, level: *level, text: text.clone(), position, event: about.clone() }
    }

    /// How it failed.
    pub fn of_fault(position: u64, trouble: &Troubled) -> Self {
        let Troubled { rule, fault, event, at, .. } = trouble;
        let event = event.clone().filter(|event| !event.is_empty());
        Self { rule: rule.clone(), at: *at, level: 0, text: fault.to_string(), position, event }
    }
}

/// The lines of one rule, the oldest first.
#[derive(Debug, Default)]
pub struct Journal {
    lines: VecDeque<Line>,
    gone: u64,
}

impl Journal {
    /// Notes a line.
    pub fn note(&mut self, line: Line) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
            self.gone += 1;
        }
        self.lines.push_back(line);
    }

    /// The last so many, the oldest first, and how many there were before these.
    pub fn latest(&self, limit: usize) -> (Vec<Line>, u64) {
        let before = self.lines.len().saturating_sub(limit);
        (self.lines.iter().skip(before).cloned().collect(), self.gone + before as u64)
    }
}
