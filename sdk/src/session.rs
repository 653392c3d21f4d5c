//! Sessions: values that belong together because no long pause lies between them.

use crate::window::Collect;
use serde::{Deserialize, Serialize};
use tidegate_event::{Span, Timestamp};

/// So many sessions wait to be told at most; see [`Session`].
pub const ENDED_MAX: usize = 4;

/// What came together until a pause: a visit, a batch job, a burst of errors.
///
/// A session ends when nothing has come for the length of the gap, or when it has become as long as it may be. Fill it in
/// `on_event`, take it in `on_wake`. A value from shortly before the session belongs to it, if the pause is shorter than the
/// gap; one from earlier still, or from a session that has ended, is left out and counted.
///
/// One session is open. When values run ahead of the wakes, up to four that have ended wait to be told; what comes when that
/// many wait is left out and counted too. A value from the future counts as one from now, so that a wrong clock cannot hold a
/// session open.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let at = Timestamp::from_secs;
/// let mut visit = Session::<Count>::gap(Span::secs(30));
///
/// // The first argument is the clock, the second is when it happened.
/// assert_eq!(visit.add(at(0), at(0), ()), at(30));
/// assert_eq!(visit.add(at(21), at(20), ()), at(50));
/// assert!(visit.close(at(30)).is_none()); // it went on
///
/// let ended = visit.close(at(50)).unwrap();
/// assert_eq!((ended.first, ended.last, ended.value.get()), (at(0), at(20), 2));
/// assert!(visit.close(at(50)).is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session<T> {
    gap: Span,
    longest: Span,
    open: Option<Ended<T>>,
    ended: Vec<Ended<T>>,
    /// When the last value of a session happened that has ended.
    done: Timestamp,
    left_out: u64,
}

/// A session that is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended<T> {
    /// When its first value happened.
    pub first: Timestamp,
    /// When its last value happened.
    pub last: Timestamp,
    /// What came together in it.
    pub value: T,
}

impl<T> Ended<T> {
    /// From the first to the last.
    pub fn length(&self) -> Span {
        self.last - self.first
    }
}

impl<T: Default> Session<T> {
    /// Sessions that end after a pause of that length.
    pub fn gap(gap: Span) -> Self {
        Self {
            gap: gap.max(Span(1)),
            longest: Span(i64::MAX),
            open: None,
            ended: Vec::new(),
            done: Timestamp(i64::MIN),
            left_out: 0,
        }
    }

    /// The same with sessions that end, and begin anew, when they are so long: what never pauses is told all the same.
    #[must_use]
    pub fn longest(mut self, longest: Span) -> Self {
        self.longest = longest.max(Span(1));
        self
    }

    /// Adds a value that happened at `time`, at this moment of the clock, and returns the moment at which there will be
    /// something to [`close`](Self::close) if nothing else comes: [`wake_at`](crate::Out::wake_at) it.
    #[must_use = "a session ends only if the rule is woken then: out.wake_at(session.add(…))"]
    pub fn add<V>(&mut self, now: Timestamp, time: Timestamp, value: V) -> Timestamp
    where
        T: Collect<V>,
    {
        let time = time.min(now);
        let (gap, longest) = (self.gap, self.longest);
        if let Some(open) = self.open.take_if(|open| time >= ends(open, gap, longest)) {
            if self.ended.len() >= ENDED_MAX {
                self.open = Some(open);
                self.left_out += 1;
                return self.wake();
            }
            self.done = open.last;
            self.ended.push(open);
        }
        let done = self.done;
        let belongs = match &self.open {
            Some(open) => time > open.first - gap && open.last - time < longest,
            None => true,
        };
        if time <= done || !belongs {
            self.left_out += 1;
            return self.wake();
        }
        let open = self.open.get_or_insert_with(|| Ended { first: time, last: time, value: T::default() });
        open.first = open.first.min(time);
        open.last = open.last.max(time);
        open.value.collect(value);
        self.wake()
    }

    /// Takes the oldest session that has ended by this moment, if there is one. At [`Timestamp::NEVER`] every one has: a
    /// last word in `on_expire`.
    pub fn close(&mut self, now: Timestamp) -> Option<Ended<T>> {
        if !self.ended.is_empty() {
            return Some(self.ended.remove(0));
        }
        let (gap, longest) = (self.gap, self.longest);
        let ended = self.open.take_if(|open| ends(open, gap, longest) <= now)?;
        self.done = ended.last;
        Some(ended)
    }

    /// The moment at which there will be something to [`close`](Self::close) if nothing else comes; one in the past is due
    /// at once. [`Timestamp::NEVER`] when no session is open.
    pub fn wake(&self) -> Timestamp {
        let next = self.ended.first().or(self.open.as_ref());
        next.map_or(Timestamp::NEVER, |next| ends(next, self.gap, self.longest))
    }

    /// What the open session has so far.
    pub fn open(&self) -> Option<&Ended<T>> {
        self.open.as_ref()
    }

    /// How many values were left out so far.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

fn ends<T>(open: &Ended<T>, gap: Span, longest: Span) -> Timestamp {
    (open.last + gap).min(open.first + longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::Count;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use std::fmt::Write;

    /// Plays `at` as values and `|at` as wakes.
    fn check(session: Session<Count>, moments: &str, expected: &Expect) {
        let mut session = session;
        let (mut said, mut clock) = (String::new(), Timestamp::EPOCH);
        for word in moments.split_whitespace() {
            if let Some(at) = word.strip_prefix('|') {
                let at = Timestamp::from_secs(at.parse().unwrap());
                while let Some(ended) = session.close(at) {
                    writeln!(said, "{at}: {} from {} to {}", ended.value.get(), ended.first, ended.last)
                        .unwrap();
                }
            } else {
                let at = Timestamp::from_secs(word.parse().unwrap());
                let now = at.max(clock);
                clock = now;
                writeln!(said, "{at} wants {}", session.add(now, at, ())).unwrap();
            }
        }
        writeln!(said, "left out: {}", session.left_out()).unwrap();
        expected.assert_eq(&said);
    }

    #[test]
    fn a_pause_ends_a_session_and_a_late_value_does_not_reopen_it() {
        check(
            Session::gap(Span::secs(10)),
            "20 25 15 |30 |35 24 40 31 |50",
            &expect![[r#"
            20s wants 30s
            25s wants 35s
            15s wants 35s
            35s: 3 from 15s to 25s
            24s wants 9223372036854.775807s
            40s wants 50s
            31s wants 50s
            50s: 2 from 31s to 40s
            left out: 1
        "#]],
        );
    }

    #[test]
    fn what_never_pauses_is_told_in_pieces() {
        check(
            Session::gap(Span::secs(10)).longest(Span::secs(20)),
            "0 5 10 15 |20 21 26 31 36 42 |42 |52",
            &expect![[r#"
                0s wants 10s
                5s wants 15s
                10s wants 20s
                15s wants 20s
                20s: 4 from 0s to 15s
                21s wants 31s
                26s wants 36s
                31s wants 41s
                36s wants 41s
                42s wants 41s
                42s: 4 from 21s to 36s
                52s: 1 from 42s to 42s
                left out: 0
            "#]],
        );
    }

    #[test]
    fn values_that_run_ahead_of_the_wakes_are_kept_for_a_while() {
        check(
            Session::gap(Span::secs(10)),
            "0 20 40 60 80 100 |100 |120",
            &expect![[r#"
            0s wants 10s
            20s wants 10s
            40s wants 10s
            60s wants 10s
            80s wants 10s
            100s wants 10s
            100s: 1 from 0s to 0s
            100s: 1 from 20s to 20s
            100s: 1 from 40s to 40s
            100s: 1 from 60s to 60s
            100s: 1 from 80s to 80s
            left out: 1
        "#]],
        );
    }

    #[test]
    fn a_value_from_the_future_counts_as_one_from_now() {
        let at = Timestamp::from_secs;
        let mut session = Session::<Count>::gap(Span::secs(10));
        assert_eq!(session.add(at(0), at(0), ()), at(10));
        assert_eq!(session.add(at(5), at(1_000_000), ()), at(15));
        assert_eq!(session.add(at(6), at(6), ()), at(16));
        let ended = session.close(at(16)).unwrap();
        assert_eq!((ended.value.get(), ended.last, session.left_out()), (3, at(6), 0));
    }

    proptest! {
        /// Against the list of all values, cut where the pause is as long as the gap.
        #[test]
        fn sessions_are_the_list_cut_at_its_pauses(
            gap in 1i64..10,
            pauses in prop::collection::vec(0i64..12, 1..100),
        ) {
            let mut session = Session::<Count>::gap(Span::secs(gap));
            let (mut now, mut wake) = (0, Timestamp::NEVER);
            let (mut told, mut expected) = (Vec::new(), Vec::new());
            let mut tell = |session: &mut Session<Count>, at: Timestamp| {
                while let Some(ended) = session.close(at) {
                    told.push((ended.first.secs(), ended.last.secs(), ended.value.get()));
                }
            };
            for pause in pauses {
                now += pause;
                let at = Timestamp::from_secs(now);
                if wake <= at {
                    tell(&mut session, wake);
                }
                wake = session.add(at, at, ());
                match expected.last_mut() {
                    Some((_, last, count)) if now - *last < gap => (*last, *count) = (now, *count + 1),
                    _ => expected.push((now, now, 1)),
                }
            }
            tell(&mut session, wake);
            prop_assert_eq!(told, expected);
            prop_assert_eq!(session.left_out(), 0);
        }

        #[test]
        fn every_value_is_told_or_counted(
            gap in 1i64..10,
            longest in 1i64..30,
            moves in prop::collection::vec((0i64..6, -10i64..3, any::<bool>()), 1..100),
        ) {
            let mut session = Session::<Count>::gap(Span::secs(gap)).longest(Span::secs(longest));
            let (mut now, mut told, mut values, mut done) = (0, 0, 0, Timestamp(i64::MIN));
            for (pause, offset, wake) in moves {
                now += pause;
                let at = Timestamp::from_secs;
                let _ = session.add(at(now), at(now + offset), ());
                values += 1;
                while let Some(ended) = wake.then(|| session.close(Timestamp::from_secs(now))).flatten() {
                    prop_assert!(ended.first > done && ended.first <= ended.last);
                    prop_assert!(ended.length() < Span::secs(longest));
                    done = ended.last;
                    told += ended.value.get();
                }
            }
            while let Some(ended) = session.close(Timestamp::NEVER) {
                told += ended.value.get();
            }
            prop_assert_eq!(told + session.left_out(), values);
        }
    }
}
