//! What to say when nothing comes, and what to hold back until it has lasted.

use crate::lists::LIST_MAX;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tidegate_event::{Span, Timestamp};

/// Notices silence, again and again as long as it lasts: the clock of Riemann's `fill-in` and `fill-in-last`.
///
/// 16 bytes. To be told of a silence once, and of its length, take [`Heartbeat`](crate::Heartbeat).
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::Silence;
/// let at = Timestamp::from_secs;
/// let mut silence = Silence::of(Span::secs(5));
/// silence.heard(at(0));
/// silence.heard(at(3));
/// assert_eq!(silence.due(), at(8));
/// assert!(silence.tick(at(8)));
/// assert!(silence.tick(at(13)));
/// silence.stop();
/// assert_eq!(silence.due(), Timestamp::NEVER);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    every: Span,
    next: Timestamp,
}

impl Silence {
    /// Of so long; at least a millisecond. Nothing is listened to until something was heard.
    pub fn of(every: Span) -> Self {
        Self { every: every.max(Span::millis(1)), next: Timestamp::NEVER }
    }

    /// Something came.
    pub fn heard(&mut self, now: Timestamp) {
        self.next = now + self.every;
    }

    /// Nothing is to be expected any more.
    pub fn stop(&mut self) {
        self.next = Timestamp::NEVER;
    }

    /// When silence has lasted for long enough.
    pub fn due(&self) -> Timestamp {
        self.next
    }

    /// Whether it is so, and when it is, from here on anew.
    pub fn tick(&mut self, now: Timestamp) -> bool {
        let silent = self.next <= now;
        if silent {
            self.next = self.next + self.every;
        }
        silent
    }
}

/// Holds values back until their like has lasted, then lets all of them go: Riemann's `stable`. What did not last is
/// dropped. Of a run that has not lasted yet, the last [`LIST_MAX`] are held, for as long as they have to last; those before
/// them are left out and counted.
///
/// Where only the value matters and not each event, [`Steady`](crate::Steady) keeps less.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::Stable;
/// let at = Timestamp::from_secs;
/// let mut state = Stable::lasting(Span::secs(10));
/// assert!(state.push(at(0), "ok", 'a').is_empty());
/// assert!(state.push(at(5), "bad", 'b').is_empty());
/// assert!(state.push(at(6), "ok", 'c').is_empty());
/// assert_eq!(state.due(), at(16));
/// assert_eq!(state.wake(at(16)), ['c']);
/// assert_eq!(state.push(at(20), "ok", 'd'), ['d']);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stable<K, T> {
    hold: Span,
    like: Option<K>,
    since: Timestamp,
    lasted: bool,
    held: VecDeque<T>,
    #[serde(default)]
    left_out: u64,
}

impl<K: PartialEq, T> Stable<K, T> {
    /// What lasts so long, from its first value on; with no length at all, the first goes at the wake that is due at once
    /// and those like it with it or as they come.
    pub fn lasting(hold: Span) -> Self {
        Self { hold, like: None, since: Timestamp::EPOCH, lasted: false, held: VecDeque::new(), left_out: 0 }
    }

    /// One more, which is like this. Returns those that may go.
    ///
    /// A time far ahead holds them back until then. Where senders' clocks may be wrong, give it none that is later than
    /// [`out.now()`](crate::Out::now).
    pub fn push(&mut self, time: Timestamp, like: K, value: T) -> Vec<T> {
        if self.like.as_ref() == Some(&like) {
            self.lasted |= time >= self.since + self.hold;
        } else {
            (self.like, self.since, self.lasted) = (Some(like), time, false);
            self.held.clear();
        }
        if self.held.len() >= LIST_MAX {
            self.held.pop_front();
            self.left_out += 1;
        }
        self.held.push_back(value);
        if self.lasted { std::mem::take(&mut self.held).into() } else { Vec::new() }
    }

    /// When those that are held have lasted.
    pub fn due(&self) -> Timestamp {
        if self.held.is_empty() { Timestamp::NEVER } else { self.since + self.hold }
    }

    /// Those that may go.
    pub fn wake(&mut self, now: Timestamp) -> Vec<T> {
        if self.held.is_empty() || self.due() > now {
            return Vec::new();
        }
        self.lasted = true;
        std::mem::take(&mut self.held).into()
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
    fn of_what_has_not_lasted_the_last_are_held_and_the_others_counted() {
        let at = Timestamp::from_secs;
        let mut state = Stable::lasting(Span::secs(10));
        for number in 0..LIST_MAX + 3 {
            assert!(state.push(at(0), "ok", number).is_empty());
        }
        assert_eq!(state.left_out(), 3);
        let told = state.wake(at(10));
        assert_eq!((told.len(), told.first()), (LIST_MAX, Some(&3)));
    }

    #[test]
    fn what_need_not_last_goes_at_the_wake_that_is_due_at_once() {
        let at = Timestamp::from_secs;
        let mut state = Stable::lasting(Span::ZERO);
        assert!(state.push(at(5), "ok", 'a').is_empty());
        assert_eq!(state.due(), at(5));
        assert_eq!(state.push(at(5), "ok", 'b'), ['a', 'b']);
        assert_eq!(state.push(at(5), "ok", 'c'), ['c']);
    }
}
