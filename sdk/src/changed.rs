//! Saying a thing once: when it changes, or when it has held for long enough.

use serde::{Deserialize, Serialize};
use tidegate_event::{Span, Timestamp};

/// Remembers a value and tells when it becomes another: Riemann's `changed`.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut state = Changed::starting(State::Ok);
/// assert_eq!(state.set(State::Ok), None);
/// assert_eq!(state.set(State::Critical), Some(State::Ok)); // what it was
/// assert_eq!(state.set(State::Critical), None);
/// assert_eq!(*state.get(), State::Critical);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed<T>(T);

impl<T: PartialEq> Changed<T> {
    /// Begins with this value: the first other one is a change.
    pub fn starting(value: T) -> Self {
        Self(value)
    }

    /// Takes the present value; returns the one before if it was another.
    #[must_use = "this is where a change is told"]
    pub fn set(&mut self, value: T) -> Option<T> {
        if self.0 == value {
            return None;
        }
        Some(std::mem::replace(&mut self.0, value))
    }

    /// The present value.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// Tells a value once it has held for a while: Riemann's `stable`. What flaps in between is never told.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::Steady;
/// let at = Timestamp::from_secs;
/// let mut state = Steady::starting(State::Ok, Span::secs(10));
///
/// assert_eq!(state.set(at(0), State::Critical), at(10));
/// assert_eq!(state.settled(at(9)), None);
/// let _ = state.set(at(9), State::Ok); // back again: it was nothing
/// assert_eq!(state.settled(at(10)), None);
///
/// assert_eq!(state.set(at(20), State::Critical), at(30));
/// assert_eq!(state.settled(at(30)), Some(State::Critical));
/// assert_eq!(state.settled(at(31)), None); // told already
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steady<T> {
    told: T,
    present: T,
    since: Timestamp,
    hold: Span,
}

impl<T: PartialEq + Clone> Steady<T> {
    /// Begins with this value, told already; another is told once it has held for so long.
    pub fn starting(value: T, hold: Span) -> Self {
        Self { told: value.clone(), present: value, since: Timestamp::EPOCH, hold }
    }

    /// Takes the present value, and returns the moment from which it will have held for long enough:
    /// [`wake_at`](crate::Out::wake_at) it. [`Timestamp::NEVER`] when there is nothing to wait for.
    #[must_use = "a value is told only if the rule is woken then: out.wake_at(state.set(…))"]
    pub fn set(&mut self, time: Timestamp, value: T) -> Timestamp {
        if value != self.present {
            (self.present, self.since) = (value, time);
        }
        if self.present == self.told { Timestamp::NEVER } else { self.since + self.hold }
    }

    /// The present value, if it has held for long enough by this moment and was not told before.
    pub fn settled(&mut self, now: Timestamp) -> Option<T> {
        if self.present == self.told || self.since + self.hold > now {
            return None;
        }
        self.told = self.present.clone();
        Some(self.present.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::State;

    #[test]
    fn a_flap_begins_the_wait_anew() {
        let at = Timestamp::from_secs;
        let mut state = Steady::starting(State::Ok, Span::secs(10));
        assert_eq!(state.set(at(0), State::Critical), at(10));
        assert_eq!(state.set(at(5), State::Ok), Timestamp::NEVER);
        assert_eq!(state.set(at(6), State::Critical), at(16));
        assert_eq!(state.settled(at(10)), None);
        assert_eq!(state.settled(at(16)), Some(State::Critical));
    }
}
