//! How fast an error budget burns.
//!
//! An objective of 99.9 % leaves 0.1 % for errors. Errors at just that rate burn the budget at rate 1; at rate 14.4 a month's
//! budget would last two days. A page should come when the rate is high over an hour, so that a moment's errors wake
//! nobody, and also over the last five minutes, so that it ends when the errors do: *multiwindow, multi-burn-rate alerts*,
//! chapter 5 of the Site Reliability Workbook (Beyer and others, 2018).

use serde::{Deserialize, Serialize};
use tidegate_event::{Span, Timestamp};

/// The windows are cut into so many buckets at most.
const BUCKETS_MAX: i64 = 120;
/// The short window is cut into so many, where that leaves no more for the long one.
const SHORT_BUCKETS: i64 = 5;

/// Good and bad over a long and a short window that end now, and how fast that burns an error budget.
///
/// The windows move by buckets: a fifth of the short window, or a 120th of the long one if that is longer. A window ends with
/// the present bucket, so it is up to one bucket shorter than it is long. No more than 120 buckets are kept, and only those
/// in which there was something: 3 KiB at most.
///
/// | | long | short | page at |
/// |---|---|---|---|
/// | a month's budget in 2 days | 1 h | 5 min | 14.4 |
/// | in 5 days | 6 h | 30 min | 6 |
/// | in 30 days: a ticket | 3 d | 6 h | 1 |
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let at = |minutes: i64| Timestamp::from_secs(60 * minutes);
/// let mut burn = Burn::of(0.999, Span::minutes(60), Span::minutes(5));
/// for minute in 0..60 {
///     burn.add(at(minute), 1000.0, 0.0);
/// }
/// assert_eq!(burn.rates(at(59)), (0.0, 0.0));
///
/// for minute in 60..70 {
///     burn.add(at(minute), 900.0, 100.0); // one in ten fails
/// }
/// let (long, short) = burn.rates(at(69));
/// assert!((16.0..17.5).contains(&long) && (99.0..101.0).contains(&short), "{long} {short}");
/// assert!(burn.is_at(14.4, at(69)));
/// assert!(!burn.is_at(14.4, at(76))); // nothing in the last five minutes
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Burn {
    budget: f64,
    long: Span,
    short: Span,
    every: Span,
    /// What there was, in order.
    buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Bucket {
    start: Timestamp,
    good: f64,
    bad: f64,
}

impl Burn {
    /// The burn rate against an objective between 0 and 1, such as 0.999, over a long and a short window.
    pub fn of(objective: f64, long: Span, short: Span) -> Self {
        let long = long.max(Span::millis(1));
        let short = short.clamp(Span::millis(1), long);
        let every = (short.0 / SHORT_BUCKETS).max(long.0.saturating_add(BUCKETS_MAX - 1) / BUCKETS_MAX);
        Self { budget: 1.0 - objective.clamp(0.0, 1.0), long, short, every: Span(every), buckets: Vec::new() }
    }

    /// So much good and so much bad at this moment. Returns the moment at which the bucket ends, a good one to look at the
    /// rates: [`wake_at`](crate::Out::wake_at) it.
    ///
    /// Give it [`out.now()`](crate::Out::now): a sender whose clock is ahead
    /// would end the windows for the others. What is from before the long window is left out, and so is what is no
    /// finite number or less than nothing.
    pub fn add(&mut self, now: Timestamp, good: f64, bad: f64) -> Timestamp {
        let start = now.floor(self.every);
        let ends = start + self.every;
        if !(good >= 0.0 && bad >= 0.0 && good.is_finite() && bad.is_finite()) {
            return ends;
        }
        // The usual case: nothing has moved on, so nothing leaves.
        if let Some(bucket) = self.buckets.last_mut().filter(|bucket| bucket.start == start) {
            bucket.good += good;
            bucket.bad += bad;
            return ends;
        }
        let newest = self.buckets.last().map_or(start, |bucket| bucket.start.max(start));
        let first = self.first(newest, self.long);
        self.buckets.retain(|bucket| bucket.start >= first);
        if start < first {
            return ends;
        }
        let place = self.buckets.partition_point(|bucket| bucket.start < start);
        match self.buckets.get_mut(place) {
            Some(bucket) if bucket.start == start => {
                bucket.good += good;
                bucket.bad += bad;
            }
            _ => self.buckets.insert(place, Bucket { start, good, bad }),
        }
        ends
    }

    /// The first bucket of a window that ends with the bucket of this moment.
    fn first(&self, now: Timestamp, window: Span) -> Timestamp {
        let buckets = window.0 / self.every.0 + i64::from(window.0 % self.every.0 > 0);
        now.floor(self.every) - Span(self.every.0.saturating_mul(buckets - 1))
    }

    fn totals(&self, now: Timestamp, window: Span) -> (f64, f64) {
        let first = self.first(now, window);
        let within = self.buckets.iter().filter(|bucket| first <= bucket.start && bucket.start <= now);
        within.fold((0.0, 0.0), |(good, bad), bucket| (good + bucket.good, bad + bucket.bad))
    }

    fn rate(&self, now: Timestamp, window: Span) -> f64 {
        match self.totals(now, window) {
            (_, 0.0) => 0.0,
            (good, bad) => bad / (good + bad) / self.budget,
        }
    }

    /// The burn rate over the long and over the short window at this moment: 1 uses the budget up just in its time. 0 where
    /// nothing was bad, or nothing was at all; infinite when there is no budget.
    pub fn rates(&self, now: Timestamp) -> (f64, f64) {
        (self.rate(now, self.long), self.rate(now, self.short))
    }

    /// Whether both windows burn at that rate or faster.
    pub fn is_at(&self, rate: f64, now: Timestamp) -> bool {
        let (long, short) = self.rates(now);
        long >= rate && short >= rate
    }

    /// Good and bad in the long window at this moment.
    pub fn seen(&self, now: Timestamp) -> (f64, f64) {
        self.totals(now, self.long)
    }

    /// How long a bucket is: the rates change at its end, if nothing comes.
    pub fn bucket(&self) -> Span {
        self.every
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_size_is_bounded_whatever_the_windows() {
        for (long, short) in [(3600, 300), (3600, 1), (7, 7), (3 * 86_400, 21_600)] {
            let mut burn = Burn::of(0.99, Span::secs(long), Span::secs(short));
            for step in 0..1000 {
                burn.add(Timestamp(step * burn.every.0), 1.0, 0.0);
            }
            assert!(burn.buckets.len() <= 120, "{long} {short}: {}", burn.buckets.len());
        }
    }

    #[test]
    fn without_a_budget_one_error_burns_without_end() {
        let mut burn = Burn::of(1.0, Span::secs(60), Span::secs(5));
        let now = Timestamp::from_secs(100);
        burn.add(now, 10.0, 0.0);
        burn.add(now, f64::NAN, -1.0);
        assert_eq!(burn.rates(now), (0.0, 0.0));
        burn.add(now, 0.0, 1.0);
        assert_eq!(burn.rates(now), (f64::INFINITY, f64::INFINITY));
    }

    proptest! {
        #[test]
        fn rates_are_those_of_a_list_of_everything(
            long in 1i64..100,
            short in 1i64..50,
            moves in prop::collection::vec((0i64..20, 0u8..5, 0u8..5), 1..150),
        ) {
            let mut burn = Burn::of(0.9, Span::secs(long), Span::secs(short));
            let short = short.min(long);
            let every = burn.bucket().0;
            let mut all = Vec::new();
            let mut now = 1_000_000_000;
            for (pause, good, bad) in moves {
                now += pause * 700_000;
                burn.add(Timestamp(now), good.into(), bad.into());
                all.push((now, f64::from(good), f64::from(bad)));
                let rate = |window: i64| {
                    let buckets = (window * 1_000_000 + every - 1) / every;
                    let from = (now / every - buckets + 1) * every;
                    let within = all.iter().filter(|(at, _, _)| *at >= from);
                    let (good, bad) = within.fold((0.0, 0.0), |sum, one| (sum.0 + one.1, sum.1 + one.2));
                    if bad == 0.0 { 0.0 } else { bad / (good + bad) / (1.0 - 0.9) }
                };
                prop_assert_eq!(burn.rates(Timestamp(now)), (rate(long), rate(short)));
            }
        }
    }
}
