//! When a rule that keeps failing is left alone for a while. Decided by the log's time, so that a replay decides alike.

use crate::save::SavedHealth;
use std::collections::VecDeque;
use tidegate_event::{Span, Timestamp};

/// So many faults without a good call in between, or within [`WINDOW`], are enough.
pub const FAULTS: usize = 5;
/// See [`FAULTS`].
pub const WINDOW: Span = Span::secs(10);
/// The first quarantine; each further one is twice as long.
const FIRST: Span = Span::secs(1);
/// No quarantine is longer.
const LONGEST: Span = Span::minutes(5);
/// After so long without a fault the next quarantine is as short as the first.
const FORGIVEN: Span = Span::minutes(10);

/// How a rule has been doing in one shard.
#[derive(Debug, Default)]
pub struct Health {
    recent: VecDeque<Timestamp>,
    in_a_row: usize,
    back_off: Span,
    until: Option<Timestamp>,
}

impl Health {
    /// Whether the rule is to be left alone at this moment.
    pub fn quarantined(&self, now: Timestamp) -> Option<Timestamp> {
        self.until.filter(|until| now < *until)
    }

    /// Notes a fault; returns for how long the rule is to be left alone, if it is. The first fault after a quarantine
    /// is one too many.
    pub fn fault(&mut self, now: Timestamp) -> Option<Span> {
        if self.recent.back().is_some_and(|last| now - *last > FORGIVEN) {
            *self = Self::default();
        }
        self.in_a_row += 1;
        if self.recent.len() == FAULTS {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let many =
            self.recent.len() == FAULTS && self.recent.front().is_some_and(|first| now - *first <= WINDOW);
        let on_probation = self.until.is_some();
        if !(many || self.in_a_row >= FAULTS || on_probation) {
            return None;
        }
        self.back_off =
            if self.back_off == Span::ZERO { FIRST } else { Span((self.back_off.0 * 2).min(LONGEST.0)) };
        self.until = Some(now + self.back_off);
        self.recent.clear();
        self.recent.push_back(now);
        self.in_a_row = 0;
        Some(self.back_off)
    }

    /// The same, as it is saved; nothing when there is nothing to say.
    pub fn save(&self, rule: u64, shard: usize) -> Option<SavedHealth> {
        let Self { recent, in_a_row, back_off, until } = self;
        let saved = SavedHealth {
            rule,
            shard,
            recent: recent.iter().copied().collect(),
            in_a_row: *in_a_row,
            back_off: back_off.0,
            until: *until,
        };
        (!recent.is_empty()).then_some(saved)
    }

    /// Notes a call that went well; returns whether that ends a quarantine.
    pub fn good(&mut self) -> bool {
        self.in_a_row = 0;
        self.until.take().is_some()
    }
}

impl From<&SavedHealth> for Health {
    fn from(saved: &SavedHealth) -> Self {
        let SavedHealth { recent, in_a_row, back_off, until, .. } = saved;
        let recent = recent.iter().copied().take(FAULTS).collect();
        Self { recent, in_a_row: *in_a_row, back_off: Span(*back_off), until: *until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn the_fifth_fault_in_a_row_is_one_too_many_and_each_quarantine_is_longer() {
        let mut health = Health::default();
        for i in 0..4 {
            assert_eq!(health.fault(at(i * 100)), None);
        }
        assert_eq!(health.fault(at(400)), Some(Span::secs(1)));
        assert_eq!(health.quarantined(at(400)), Some(at(401)));
        assert_eq!(health.quarantined(at(401)), None);
        assert_eq!(health.fault(at(401)), Some(Span::secs(2)), "one fault on probation is enough");
        for _ in 0..20 {
            health.fault(at(500));
        }
        assert_eq!(health.fault(at(500)), Some(LONGEST));
        assert!(health.good() && !health.good());
        assert_eq!(health.fault(at(501)), None);
    }

    #[test]
    fn faults_now_and_then_between_good_calls_are_borne_many_at_once_are_not() {
        let mut health = Health::default();
        for i in 0..20 {
            assert_eq!(health.fault(at(i * 5)), None);
            health.good();
        }
        let mut health = Health::default();
        for i in 0..4 {
            assert_eq!(health.fault(at(i)), None);
            health.good();
        }
        assert_eq!(health.fault(at(9)), Some(Span::secs(1)));
    }

    #[test]
    fn old_faults_are_forgiven() {
        let mut health = Health::default();
        for _ in 0..5 {
            health.fault(at(0));
        }
        assert_eq!(health.fault(at(10_000)), None);
    }
}
