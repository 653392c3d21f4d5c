//! Windows that close by what the events say the time is, and what becomes of events that come late.
//!
//! A [`Tumbling`](crate::Tumbling) window closes by the clock, which is right where events come as they happen. Where they
//! are held up on the way, or come in bulk, the clock says nothing of whether a window is complete. The events do: if they
//! come out of order by two minutes at most, then nothing from before 12:00 is missing any more once one from 12:02 has
//! come. This moment, up to which all is believed to be here, is the **watermark**, and the words are those of Flink.
//!
//! Three questions, and a knob for each:
//!
//! - How far do events come out of order? [`out_of_order`](Watermarked::out_of_order) holds the watermark back by so much.
//! - What if one comes later still? For [`allowed_lateness`](Watermarked::allowed_lateness) after it was told, a window is
//!   kept; a late event is added to it and the window is told again. After that the event is handed back.
//! - What if none come any more? After [`idle_after`](Watermarked::idle_after) the watermark moves on with the clock.

use crate::window::Collect;
use serde::{Deserialize, Serialize};
use tidegate_event::{Span, Timestamp};

/// So many windows are kept at a time at most; see [`Watermarked`].
pub const KEPT_MAX: usize = 16;
/// So many windows long may the time be for which windows are held back and kept.
const HELD_MAX: i64 = KEPT_MAX as i64 - 2;

/// Windows of equal length that start at whole multiples of their length since 1970, like those of
/// [`Tumbling`](crate::Tumbling), but close by a watermark instead of the clock.
///
/// Fill it in `on_event` with [`add`](Self::add). In `on_wake` take what is to be told with [`close`](Self::close) until
/// there is no more, and ask for the next moment with [`wake`](Self::wake). Wakes come between calls; where one call may
/// bring events of more than a dozen windows (a bulk import), do the same at the end of `on_event`.
///
/// Nothing vanishes: a value that cannot be added is counted and comes back as [`Refused`], to be sent elsewhere.
///
/// It keeps sixteen windows at most. `out_of_order` and `allowed_lateness` together are cut to fourteen windows' length, so
/// that those suffice.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let at = Timestamp::from_secs;
/// let mut windows = Watermarked::<Count>::every(Span::secs(10))
///     .out_of_order(Span::secs(2))
///     .allowed_lateness(Span::secs(5))
///     .idle_after(Span::secs(60));
///
/// // The first argument is the clock, the second is when it happened.
/// assert_eq!(windows.add(at(100), at(8), ()), Ok(at(160))); // if nothing else comes until then
/// assert_eq!(windows.add(at(101), at(11), ()), Ok(at(160)));
/// assert!(windows.close(at(101)).is_none()); // up to 9 s all is here
/// assert_eq!(windows.add(at(102), at(12), ()), Ok(at(102))); // up to 10 s: due at once
///
/// let first = windows.close(at(102)).unwrap();
/// assert_eq!((first.start, first.end, first.value.get(), first.update), (at(0), at(10), 1, false));
///
/// // Late, but not too late: the window is told again.
/// assert_eq!(windows.add(at(103), at(9), ()), Ok(at(103)));
/// let again = windows.close(at(103)).unwrap();
/// assert_eq!((again.end, again.value.get(), again.update), (at(10), 2, true));
///
/// // Too late: it comes back.
/// assert!(windows.add(at(104), at(17), ()).is_ok());
/// assert_eq!(windows.add(at(104), at(9), ()), Err(Refused::Late(())));
/// assert_eq!(windows.late(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watermarked<T> {
    every: Span,
    out_of_order: Span,
    allowed_lateness: Span,
    idle_after: Span,
    ahead_of_clock: Span,
    /// The windows that are kept, in order.
    kept: Vec<Kept<T>>,
    /// Up to here all was believed to be here when the last value was taken.
    watermark: Timestamp,
    /// The clock when the last value was taken.
    heard: Timestamp,
    /// The moment that was asked for last.
    asked: Timestamp,
    late: u64,
    ahead: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept<T> {
    end: Timestamp,
    value: T,
    /// Whether something came since it was told.
    news: bool,
    /// Whether it was told.
    told: bool,
}

/// A window that is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Window<T> {
    /// The first moment of the window.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
    /// What came together in it so far.
    pub value: T,
    /// Whether it was told before, and late values have come since.
    pub update: bool,
}

/// A value that could not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused<V> {
    /// Its window is not kept any more.
    Late(V),
    /// It claims to be from the future, or would need a seventeenth window.
    Ahead(V),
}

impl<V> Refused<V> {
    /// The value.
    pub fn value(self) -> V {
        match self {
            Self::Late(value) | Self::Ahead(value) => value,
        }
    }
}

impl<T: Default + Clone> Watermarked<T> {
    /// Windows of that length, at least a millisecond, for events that come in order. Unless said otherwise, a window is
    /// told once, and the watermark moves on with the clock after a window's length without events.
    pub fn every(every: Span) -> Self {
        let every = every.max(Span::millis(1));
        Self {
            every,
            out_of_order: Span::ZERO,
            allowed_lateness: Span::ZERO,
            idle_after: every,
            ahead_of_clock: Span::minutes(1),
            kept: Vec::new(),
            watermark: Timestamp(i64::MIN),
            heard: Timestamp(i64::MIN),
            asked: Timestamp::NEVER,
            late: 0,
            ahead: 0,
        }
    }

    /// The same for events that come out of order by so much: the watermark is so much behind the newest of them.
    #[must_use]
    pub fn out_of_order(mut self, span: Span) -> Self {
        self.out_of_order = span.clamp(Span::ZERO, self.held_max());
        self.allowed_lateness = self.allowed_lateness.min(self.lateness_max());
        self
    }

    /// The same with windows that are kept until the watermark is so much past their end, and told again after each late
    /// value.
    #[must_use]
    pub fn allowed_lateness(mut self, span: Span) -> Self {
        self.allowed_lateness = span.clamp(Span::ZERO, self.lateness_max());
        self
    }

    /// The same with a watermark that moves on with the clock after so long without a value, as if values had gone on
    /// coming. With a very long time only values close windows.
    #[must_use]
    pub fn idle_after(mut self, span: Span) -> Self {
        self.idle_after = span.max(Span(1));
        self
    }

    /// The same for senders whose clocks may be ahead of ours by so much; a minute unless said otherwise. A value from
    /// further ahead is refused, since to believe it would close the windows of all others.
    #[must_use]
    pub fn ahead_of_clock(mut self, span: Span) -> Self {
        self.ahead_of_clock = span.max(Span::ZERO);
        self
    }

    fn held_max(&self) -> Span {
        Span(self.every.0.saturating_mul(HELD_MAX))
    }

    fn lateness_max(&self) -> Span {
        Span(self.held_max().0 - self.out_of_order.0)
    }

    /// Adds a value that happened at `time`, at this moment of the clock, and returns the moment at which there will be
    /// something to [`close`](Self::close) if nothing else comes: [`wake_at`](crate::Out::wake_at) it.
    pub fn add<V>(&mut self, now: Timestamp, time: Timestamp, value: V) -> Result<Timestamp, Refused<V>>
    where
        T: Collect<V>,
    {
        if time > now + self.ahead_of_clock {
            self.ahead += 1;
            return Err(Refused::Ahead(value));
        }
        let end = time.floor(self.every) + self.every;
        let watermark = self.watermark(now);
        if end + self.allowed_lateness <= watermark {
            self.late += 1;
            return Err(Refused::Late(value));
        }
        self.watermark = watermark.max(time - self.out_of_order);
        self.heard = self.heard.max(now);
        self.forget(self.watermark);
        let full = self.kept.len() >= KEPT_MAX;
        let place = self.kept.partition_point(|kept| kept.end < end);
        match self.kept.get_mut(place) {
            Some(kept) if kept.end == end => {
                kept.value.collect(value);
                kept.news = true;
            }
            _ if full => {
                self.ahead += 1;
                return Err(Refused::Ahead(value));
            }
            _ => {
                let mut window = T::default();
                window.collect(value);
                self.kept.insert(place, Kept { end, value: window, news: true, told: false });
            }
        }
        Ok(self.wake(now))
    }

    /// Takes the oldest window that is to be told by this moment, if there is one: it is complete, or was told before and
    /// late values have come since. At [`Timestamp::NEVER`] all are complete: a last word in `on_expire`.
    pub fn close(&mut self, now: Timestamp) -> Option<Window<T>> {
        let watermark = self.watermark(now);
        let due = self.kept.iter_mut().find(|kept| kept.news && kept.end <= watermark);
        let window = due.map(|kept| {
            let update = kept.told;
            (kept.news, kept.told) = (false, true);
            // What is not kept for late values is forgotten below.
            let last = self.allowed_lateness == Span::ZERO;
            let value = if last { std::mem::take(&mut kept.value) } else { kept.value.clone() };
            Window { start: kept.end - self.every, end: kept.end, value, update }
        });
        self.forget(watermark);
        window
    }

    /// The moment at which there will be something to [`close`](Self::close) if nothing else comes:
    /// [`wake_at`](crate::Out::wake_at) it after closing. [`Timestamp::NEVER`] when there is nothing to wait for.
    #[must_use = "a window closes only if the rule is woken then: out.wake_at(windows.wake(…))"]
    pub fn wake(&mut self, now: Timestamp) -> Timestamp {
        let watermark = self.watermark(now);
        let Some(first) = self.kept.iter().find(|kept| kept.news) else { return Timestamp::NEVER };
        if first.end <= watermark {
            return now;
        }
        // With each value the moment moves on. One that was asked for and comes earlier is soon enough: what is to be
        // waited for is asked again then, and a key does not collect a moment for each of its events.
        let idle = self.heard + self.idle_after.max(first.end - self.watermark);
        if self.asked <= now || self.asked > idle {
            self.asked = idle;
        }
        self.asked
    }

    /// Up to here all is believed to be here.
    pub fn watermark(&self, now: Timestamp) -> Timestamp {
        if self.is_idle(now) { self.watermark + (now - self.heard) } else { self.watermark }
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        self.heard > Timestamp(i64::MIN) && now >= self.heard + self.idle_after
    }

    /// Drops windows that have been told and are kept for long enough.
    fn forget(&mut self, watermark: Timestamp) {
        let lateness = self.allowed_lateness;
        self.kept.retain(|kept| kept.news || kept.end + lateness > watermark);
    }

    /// How many values were refused so far because they came too late.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// How many values were refused so far because they lay too far ahead.
    pub fn ahead(&self) -> u64 {
        self.ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::Count;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::fmt::Write;

    /// Plays `clock:time` as values and `|clock` as wakes; everything that is due is told after each.
    fn check(windows: Watermarked<Count>, moments: &str, expected: &Expect) {
        let mut windows = windows;
        let secs = |text: &str| Timestamp::from_secs(text.parse().unwrap());
        let mut said = String::new();
        for word in moments.split_whitespace() {
            let now = match word.split_once(':') {
                Some((now, time)) => {
                    let now = secs(now);
                    match windows.add(now, secs(time), ()) {
                        Ok(_) => {}
                        Err(Refused::Late(())) => writeln!(said, "{now}: {time}s is late").unwrap(),
                        Err(Refused::Ahead(())) => writeln!(said, "{now}: {time}s is ahead").unwrap(),
                    }
                    now
                }
                None => secs(word.strip_prefix('|').unwrap()),
            };
            while let Some(window) = windows.close(now) {
                let again = if window.update { ", again" } else { "" };
                writeln!(said, "{now}: {} to {} has {}{again}", window.start, window.end, window.value.get())
                    .unwrap();
            }
        }
        expected.assert_eq(&said);
    }

    #[test]
    fn the_watermark_closes_windows_and_the_clock_does_not() {
        check(
            Watermarked::every(Span::secs(10)).out_of_order(Span::secs(3)).idle_after(Span::secs(500)),
            "100:1 101:9 200:11 201:8 202:12 203:13 204:9",
            &expect![[r#"
                203s: 0s to 10s has 3
                204s: 9s is late
            "#]],
        );
    }

    #[test]
    fn a_late_value_updates_a_window_that_is_still_kept() {
        check(
            Watermarked::every(Span::secs(10)).allowed_lateness(Span::secs(5)),
            "1:1 10:10 11:2 14:14 14:3 15:15 15:4",
            &expect![[r#"
                10s: 0s to 10s has 1
                11s: 0s to 10s has 2, again
                14s: 0s to 10s has 3, again
                15s: 4s is late
            "#]],
        );
    }

    #[test]
    fn when_values_stop_the_watermark_moves_on_with_the_clock() {
        check(
            Watermarked::every(Span::secs(10)).out_of_order(Span::secs(5)).idle_after(Span::secs(30)),
            "100:18 100:21 |129 |130 |133 |134",
            &expect![[r#"
                130s: 10s to 20s has 1
                130s: 20s to 30s has 1
            "#]],
        );
    }

    #[test]
    fn a_sender_from_the_future_does_not_close_the_windows_of_the_others() {
        check(
            Watermarked::every(Span::secs(10)).ahead_of_clock(Span::secs(5)),
            "1:1 2:9999 3:3 10:10",
            &expect![[r#"
                2s: 9999s is ahead
                10s: 0s to 10s has 2
            "#]],
        );
    }

    #[test]
    fn so_many_windows_are_kept_and_no_more() {
        let mut windows = Watermarked::<Count>::every(Span::secs(1)).idle_after(Span::secs(100));
        let now = Timestamp::from_secs(1000);
        for second in 0..20 {
            let taken = windows.add(now, Timestamp::from_secs(second), ());
            assert_eq!(taken.is_ok(), second < 16, "{second}");
        }
        assert_eq!(windows.ahead(), 4);
        assert_eq!(windows.wake(now), now);
        let told = std::iter::from_fn(|| windows.close(now)).count();
        assert_eq!(told, 16);
        assert!(windows.add(now, Timestamp::from_secs(20), ()).is_ok());
    }

    #[test]
    fn at_the_end_of_all_time_every_window_is_told() {
        let mut windows = Watermarked::<Count>::every(Span::secs(1)).out_of_order(Span::secs(9));
        for second in 0..5 {
            assert!(windows.add(Timestamp::from_secs(100), Timestamp::from_secs(second), ()).is_ok());
        }
        assert_eq!(std::iter::from_fn(|| windows.close(Timestamp::NEVER)).count(), 5);
        assert_eq!(windows.wake(Timestamp::from_secs(100)), Timestamp::NEVER);
    }

    #[test]
    fn knobs_that_would_need_more_windows_are_cut() {
        let windows = Watermarked::<Count>::every(Span::secs(1)).allowed_lateness(Span::secs(99));
        assert_eq!(windows.allowed_lateness, Span::secs(14));
        let windows = windows.out_of_order(Span::secs(10));
        assert_eq!((windows.out_of_order, windows.allowed_lateness), (Span::secs(10), Span::secs(4)));
    }

    proptest! {
        /// Against all values in a list: what is refused, when a window is first told, and what it last said.
        #[test]
        fn windows_agree_with_a_list_of_everything(
            out_of_order in 0i64..20,
            lateness in 0i64..20,
            moves in prop::collection::vec((0i64..3, -30i64..8), 1..200),
        ) {
            let (every, secs) = (5, Timestamp::from_secs);
            let mut windows = Watermarked::<Count>::every(Span::secs(every))
                .out_of_order(Span::secs(out_of_order))
                .allowed_lateness(Span::secs(lateness))
                .idle_after(Span::secs(1_000_000));
            let mut taken: Vec<i64> = Vec::new();
            let mut told = BTreeMap::<i64, u64>::new();
            let mut now = 1000;
            for (pause, offset) in moves {
                now += pause;
                let time = now + offset;
                let end = time.div_euclid(every) * every + every;
                let before = taken.iter().max().map(|newest| newest - out_of_order);
                let too_late = before.is_some_and(|watermark| end + lateness <= watermark);
                let added = windows.add(secs(now), secs(time), ());
                prop_assert_eq!(added.is_err(), too_late, "{} at {}", time, now);
                if !too_late {
                    taken.push(time);
                }
                let watermark = taken.iter().max().unwrap() - out_of_order;
                while let Some(window) = windows.close(secs(now)) {
                    let end = window.end.secs();
                    prop_assert!(end <= watermark);
                    prop_assert_eq!(window.update, told.insert(end, window.value.get()).is_some());
                }
                prop_assert!(windows.kept.len() < KEPT_MAX);
                for time in &taken {
                    let end = time.div_euclid(every) * every + every;
                    let all = taken.iter().filter(|time| time.div_euclid(every) * every + every == end).count();
                    let expected = (end <= watermark).then_some(all as u64);
                    prop_assert_eq!(told.get(&end).copied(), expected);
                }
            }
        }

        /// Whoever asks for the moments that it is given hears of everything, also when nothing comes any more.
        #[test]
        fn whoever_wakes_when_told_to_hears_of_everything(
            lateness in 0i64..20,
            moves in prop::collection::vec((0i64..40, -30i64..8), 1..100),
        ) {
            let secs = Timestamp::from_secs;
            let mut windows = Watermarked::<Count>::every(Span::secs(5))
                .out_of_order(Span::secs(7))
                .allowed_lateness(Span::secs(lateness))
                .idle_after(Span::secs(20));
            let (mut now, mut wake) = (secs(1000), Timestamp::NEVER);
            // What each window said last.
            let mut told = BTreeMap::<Timestamp, u64>::new();
            let mut taken = 0;
            let mut tell = |windows: &mut Watermarked<Count>, now: Timestamp| {
                told.extend(std::iter::from_fn(|| windows.close(now)).map(|one| (one.end, one.value.get())));
                windows.wake(now)
            };
            for (pause, offset) in moves {
                let next = now + Span::secs(pause);
                while wake <= next {
                    now = now.max(wake);
                    wake = tell(&mut windows, now);
                    prop_assert!(wake > now);
                }
                now = next;
                if let Ok(moment) = windows.add(now, now + Span::secs(offset), ()) {
                    taken += 1;
                    wake = wake.min(moment);
                }
            }
            while wake < Timestamp::NEVER {
                wake = tell(&mut windows, wake);
            }
            prop_assert_eq!(told.values().sum::<u64>(), taken);
            prop_assert!(windows.kept.iter().all(|kept| !kept.news));
        }
    }
}
