//! When to leave the other side alone: after some failures in a row, for a time that grows, then one attempt decides.

use crate::telemetry::OutputStats;
use std::sync::Arc;
use std::time::Duration;

/// So many failures in a row open the breaker.
const FAILURES: u32 = 3;

/// The longest wait before the first repetition; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest wait at all, unless the other side asks for more.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Whether batches flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They do.
    Closed = 0,
    /// One attempt is under way, and decides.
    HalfOpen = 1,
    /// The other side is left alone.
    Open = 2,
}

impl State {
    /// Its name, from its number.
    pub const fn name(code: i64) -> &'static str {
        match code {
            0 => "closed",
            1 => "half_open",
            _ => "open",
        }
    }
}

/// The breaker of one output.
#[derive(Debug)]
pub struct Breaker {
    stats: Arc<OutputStats>,
    failures: u32,
}

impl Breaker {
    /// A closed one.
    pub fn new(stats: Arc<OutputStats>) -> Self {
        stats.breaker.set(State::Closed as i64);
        Self { stats, failures: 0 }
    }

    /// Something has arrived.
    pub fn close(&mut self) {
        self.failures = 0;
        self.stats.breaker.set(State::Closed as i64);
    }

    /// An attempt failed: how long to wait before the next one. Where the other side says how long, it is not asked earlier.
    pub fn fail(&mut self, asked: Duration) -> Duration {
        let wait = wait(self.failures).max(asked);
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.stats.breaker.set(State::Open as i64);
        }
        wait
    }

    /// The wait is over.
    pub fn try_again(&self) {
        if self.failures >= FAILURES {
            self.stats.breaker.set(State::HalfOpen as i64);
        }
    }
}

/// How long to wait after so many failures in a row: anything up to a bound that doubles, so that many senders that failed
/// together do not come back together.
fn wait(failures: u32) -> Duration {
    let bound = FIRST_WAIT.saturating_mul(1 << failures.min(10)).min(LONGEST_WAIT);
    bound.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_half_a_minute_and_are_never_the_same_for_all() {
        for (failures, bound) in [(0, 250), (1, 500), (6, 16_000), (7, 30_000), (4_000_000, 30_000)] {
            let waits: Vec<_> = (0..100).map(|_| wait(failures)).collect();
            assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(bound)), "{failures}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "{failures}");
        }
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_attempt_closes_it_or_leaves_it_open() {
        let stats = Arc::new(OutputStats::default());
        let mut breaker = Breaker::new(stats.clone());
        let is = |state: State| assert_eq!(stats.breaker.get(), state as i64, "{state:?}");
        for _ in 0..FAILURES - 1 {
            breaker.fail(Duration::ZERO);
            breaker.try_again();
            is(State::Closed);
        }
        breaker.fail(Duration::ZERO);
        is(State::Open);
        breaker.try_again();
        is(State::HalfOpen);
        breaker.fail(Duration::ZERO);
        is(State::Open);
        breaker.try_again();
        breaker.close();
        is(State::Closed);
        assert!(breaker.fail(Duration::from_secs(60)) >= Duration::from_secs(60), "as long as was asked for");
        breaker.close();
        breaker.fail(Duration::ZERO);
        is(State::Closed);
    }
}
