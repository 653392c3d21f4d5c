//! A silence: for a while nobody hears of alerts that a query finds. It looks at an alert's latest event, with what is
//! known of the alert as attributes (`alert.rule`, `alert.key` …).

use super::alert::At;
use serde::{Deserialize, Serialize};
use tidegate_engine::query::{Matcher, QueryError};
use tidegate_event::Event;

/// Silences kept at most, those that have ended included.
pub const MOST: usize = 1_000;

/// How long one that has ended is still listed, in microseconds.
const LISTED: i64 = 7 * 86_400 * 1_000_000;

/// What is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Names it.
    pub id: String,
    /// Which alerts.
    pub query: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// From when on.
    pub from: At,
    /// Until when.
    pub until: At,
    /// Alerts that it has kept quiet.
    pub matched: u64,
}

/// A silence and its query, ready to be asked.
#[derive(Debug)]
pub struct Standing {
    /// The silence.
    pub silence: Silence,
    matcher: Matcher,
}

impl Silence {
    /// Whether it holds at a moment.
    pub fn holds(&self, now: At) -> bool {
        self.from <= now && now < self.until
    }

    /// Whether it has ended.
    pub fn has_ended(&self, now: At) -> bool {
        self.until <= now
    }

    /// Whether it ended so long ago that it need not be listed.
    pub fn is_forgotten(&self, now: At) -> bool {
        now.0.saturating_sub(self.until.0) >= LISTED
    }
}

impl Standing {
    /// Reads its query.
    pub fn new(silence: Silence) -> Result<Self, QueryError> {
        let matcher = Matcher::parse(&silence.query)?;
        Ok(Self { silence, matcher })
    }

    /// Whether it speaks of this event.
    pub fn matches(&self, event: &Event<'_>) -> bool {
        self.matcher.matches(event)
    }
}
