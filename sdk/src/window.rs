//! Windows: values that belong together because of when they happened.
//!
//! A window is filled in `on_event` and closed in `on_wake`, and there is no other way: [`Tumbling::add`] returns the moment
//! at which the window closes, which has to be asked for, and [`Tumbling::close`] answers from that moment on. So a window
//! closes in order and at its time, also when nothing comes any more.

use serde::{Deserialize, Serialize};
use tidegate_event::{Span, Timestamp};

/// So many windows are open at a time at most; see [`Tumbling`].
pub const OPEN_MAX: usize = 4;

/// What a window can be filled with.
pub trait Collect<V> {
    /// Takes one more value.
    fn collect(&mut self, value: V);
}

/// Windows of equal length, one after the other, that start at whole multiples of their length since 1970. Each collects
/// values by the time at which they happened.
///
/// A value whose window has closed already is late: it is left out and counted. Where senders are late as a rule,
/// [`grace`](Self::grace) keeps windows open for longer. At most four windows are open at once; a value so far ahead of the
/// others that it would need a fifth is left out and counted too.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let at = Timestamp::from_secs;
/// let mut window = Tumbling::<Mean>::every(Span::secs(5));
///
/// assert_eq!(window.add(at(0), 3.0), at(5));
/// assert_eq!(window.add(at(1), 1.0), at(5));
/// assert_eq!(window.add(at(6), 2.0), at(10));
///
/// assert_eq!(window.close(at(4)), None);
/// assert_eq!(window.close(at(5)).unwrap().get(), Some(2.0));
/// let _ = window.add(at(4), 9.0); // too late
/// assert_eq!(window.close(at(10)).unwrap().get(), Some(2.0));
/// assert_eq!(window.left_out(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tumbling<T> {
    every: Span,
    grace: Span,
    /// The windows that are open, by the moment at which they end, in order.
    open: Vec<(Timestamp, T)>,
    /// Windows that end here or earlier have closed.
    closed: Timestamp,
    left_out: u64,
}

impl<T: Default> Tumbling<T> {
    /// Windows of that length; at least a millisecond.
    pub fn every(every: Span) -> Self {
        Self {
            every: every.max(Span::millis(1)),
            grace: Span::ZERO,
            open: Vec::new(),
            closed: Timestamp(i64::MIN),
            left_out: 0,
        }
    }

    /// The same, with windows that close so much later than they end.
    #[must_use]
    pub fn grace(mut self, grace: Span) -> Self {
        self.grace = grace.max(Span::ZERO);
        self
    }

    /// Adds a value that happened at that time, and returns the moment at which its window closes:
    /// [`wake_at`](crate::Out::wake_at) it. For a value that is left out that is [`Timestamp::NEVER`].
    #[must_use = "a window closes only if the rule is woken then: out.wake_at(window.add(…))"]
    #[inline]
    pub fn add<V>(&mut self, time: Timestamp, value: V) -> Timestamp
    where
        T: Collect<V>,
    {
        let end = time.floor(self.every) + self.every;
        let full = self.open.len() >= OPEN_MAX;
        match self.open.iter_mut().rev().find(|(other, _)| *other == end) {
            Some((_, window)) => window.collect(value),
            None if end <= self.closed || full => {
                self.left_out += 1;
                return Timestamp::NEVER;
            }
            None => {
                let mut window = T::default();
                window.collect(value);
                let place = self.open.partition_point(|(other, _)| *other < end);
                self.open.insert(place, (end, window));
            }
        }
        end + self.grace
    }

    /// Takes the oldest window that closes at this moment or earlier, if there is one.
    pub fn close(&mut self, now: Timestamp) -> Option<T> {
        let (end, _) = self.open.first()?;
        if *end + self.grace > now {
            return None;
        }
        let (end, window) = self.open.remove(0);
        self.closed = end;
        Some(window)
    }

    /// Where the window ended that was closed last.
    pub fn closed(&self) -> Timestamp {
        self.closed
    }

    /// The length of a window.
    pub fn length(&self) -> Span {
        self.every
    }

    /// How many values were left out so far because they came too late, or lay too far ahead.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::Count;
    use expect_test::{Expect, expect};
    use std::fmt::Write;

    /// Plays `at:…` as values and `|at` as wakes.
    fn check(window: Tumbling<Count>, moments: &str, expected: &Expect) {
        let mut window = window;
        let mut said = String::new();
        for word in moments.split_whitespace() {
            if let Some(at) = word.strip_prefix('|') {
                let at = Timestamp::from_secs(at.parse().unwrap());
                while let Some(count) = window.close(at) {
                    writeln!(said, "{at}: {}", count.get()).unwrap();
                }
            } else {
                let at = Timestamp::from_secs(word.parse().unwrap());
                match window.add(at, ()) {
                    Timestamp::NEVER => writeln!(said, "{at} wants never").unwrap(),
                    end => writeln!(said, "{at} wants {end}").unwrap(),
                }
            }
        }
        writeln!(said, "left out: {}", window.left_out()).unwrap();
        expected.assert_eq(&said);
    }

    #[test]
    fn a_late_value_does_not_reopen_a_closed_window() {
        check(
            Tumbling::every(Span::secs(5)),
            "0 1 |5 6 4 |10",
            &expect![[r#"
                0s wants 5s
                1s wants 5s
                5s: 2
                6s wants 10s
                4s wants never
                10s: 1
                left out: 1
            "#]],
        );
    }

    #[test]
    fn values_may_come_out_of_order_while_their_window_is_open() {
        check(
            Tumbling::every(Span::secs(5)),
            "6 4 |5 |10",
            &expect![[r#"
                6s wants 10s
                4s wants 5s
                5s: 1
                10s: 1
                left out: 0
            "#]],
        );
    }

    #[test]
    fn grace_keeps_a_window_open_for_stragglers() {
        check(
            Tumbling::every(Span::secs(5)).grace(Span::secs(2)),
            "1 |6 4 |7 3",
            &expect![[r#"
                1s wants 7s
                4s wants 7s
                7s: 2
                3s wants never
                left out: 1
            "#]],
        );
    }

    #[test]
    fn a_clock_that_runs_ahead_cannot_open_windows_without_end() {
        check(
            Tumbling::every(Span::secs(1)),
            "10 20 30 40 50 60 |100",
            &expect![[r#"
                10s wants 11s
                20s wants 21s
                30s wants 31s
                40s wants 41s
                50s wants never
                60s wants never
                100s: 1
                100s: 1
                100s: 1
                100s: 1
                left out: 2
            "#]],
        );
    }
}
