//! Not saying a thing too often.

use serde::{Deserialize, Serialize};
use tidegate_event::{Span, Timestamp};

/// Lets so many through in each stretch of time, and counts the others: Riemann's `throttle`.
///
/// A stretch begins with the first that is let through. Time that runs backwards belongs to the present stretch.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let at = Timestamp::from_secs;
/// let mut pace = Throttle::new(2, Span::secs(60));
/// assert!(pace.allow(at(0)));
/// assert!(pace.allow(at(1)));
/// assert!(!pace.allow(at(2)));
/// assert!(!pace.allow(at(59)));
/// assert!(pace.allow(at(60)));
/// assert_eq!(pace.take_held_back(), 2); // since it was last asked
/// assert_eq!(pace.take_held_back(), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    limit: u32,
    every: Span,
    until: Timestamp,
    passed: u32,
    held_back: u64,
}

impl Throttle {
    /// Lets `limit` through in each stretch of this length.
    pub fn new(limit: u32, every: Span) -> Self {
        Self { limit, every, until: Timestamp(i64::MIN), passed: 0, held_back: 0 }
    }

    /// Whether one more may pass at this moment.
    #[must_use]
    pub fn allow(&mut self, now: Timestamp) -> bool {
        if now >= self.until {
            (self.until, self.passed) = (now + self.every, 0);
        }
        let passes = self.passed < self.limit;
        if passes {
            self.passed += 1;
        } else {
            self.held_back += 1;
        }
        passes
    }

    /// How many did not pass since this was last asked.
    pub fn take_held_back(&mut self) -> u64 {
        std::mem::take(&mut self.held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_runs_backwards_lets_no_more_through() {
        let mut pace = Throttle::new(1, Span::secs(10));
        assert!(pace.allow(Timestamp::from_secs(100)));
        assert!(!pace.allow(Timestamp::from_secs(5)));
        assert!(!pace.allow(Timestamp::from_secs(109)));
        assert!(pace.allow(Timestamp::from_secs(110)));
    }

    #[test]
    fn a_limit_of_nothing_lets_nothing_through() {
        let mut pace = Throttle::new(0, Span::secs(10));
        assert!(!pace.allow(Timestamp::from_secs(0)));
        assert_eq!(pace.take_held_back(), 1);
    }
}
