//! How long things take, as counts in buckets: cheap enough for every message, exact enough for a p99.9.
//!
//! Buckets are log-linear: each doubling of the time is divided into [`PARTS`] equal ones, so a quantile is wrong by an
//! eighth at most, from a nanosecond to two minutes. To note a time costs two relaxed additions, however many messages it
//! stands for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Into how many buckets a doubling is divided.
const PARTS: u64 = 8;

/// The bits of [`PARTS`].
const PART_BITS: u32 = PARTS.trailing_zeros();

/// Times from here on, about 137 s, share the last bucket.
const LONGEST: u64 = 1 << 37;

/// How many buckets there are.
const BUCKETS: usize = bucket(LONGEST - 1) + 1;

/// The bucket of so many nanoseconds.
const fn bucket(nanos: u64) -> usize {
    if nanos < PARTS {
        return nanos as usize;
    }
    let doubling = nanos.ilog2();
    let part = (nanos >> (doubling - PART_BITS)) % PARTS;
    ((doubling - PART_BITS + 1) as u64 * PARTS + part) as usize
}

/// Where a bucket begins, in nanoseconds; it ends where the next begins.
const fn begins(bucket: usize) -> u64 {
    let (doubling, part) = (bucket as u64 / PARTS, bucket as u64 % PARTS);
    if doubling == 0 { part } else { (PARTS + part) << (doubling - 1) }
}

/// Times that were noted. They are only ever added to.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    nanos: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), nanos: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Notes that so many things took this long each.
    pub fn note(&self, took: Duration, things: u64) {
        self.note_nanos(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), things);
    }

    /// The same, in nanoseconds.
    pub fn note_nanos(&self, nanos: u64, things: u64) {
        let nanos = nanos.min(LONGEST - 1);
        self.buckets[bucket(nanos)].fetch_add(things, Relaxed);
        self.nanos.fetch_add(nanos.saturating_mul(things), Relaxed);
    }

    /// What it holds now.
    pub fn read(&self) -> Times {
        let counts = self.buckets.iter().map(|count| count.load(Relaxed)).collect();
        Times { counts, nanos: self.nanos.load(Relaxed) }
    }
}

/// What a histogram held at one moment, or gained between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// By bucket; empty for none at all.
    counts: Vec<u64>,
    nanos: u64,
}

impl Times {
    /// How many things there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all of them took together.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// What was added since an earlier look at the same histogram.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let gained = |(bucket, count): (usize, &u64)| {
            count.saturating_sub(before.counts.get(bucket).copied().unwrap_or(0))
        };
        Self {
            counts: self.counts.iter().enumerate().map(gained).collect(),
            nanos: self.nanos.saturating_sub(before.nanos),
        }
    }

    /// Adds the times of another.
    pub fn add(&mut self, other: &Self) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
        self.nanos = self.nanos.saturating_add(other.nanos);
    }

    /// How many took less than `2^doubling` nanoseconds.
    pub fn below(&self, doubling: u32) -> u64 {
        let end = bucket(1 << doubling).min(self.counts.len());
        self.counts[..end].iter().sum()
    }

    /// The time that this share of them stays below, in nanoseconds; 0 asks for the shortest. `None` when there are none.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let wanted = share.clamp(0.0, 1.0) * total as f64;
        let mut before = 0.0;
        for (bucket, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if before + count >= wanted {
                let (from, to) = (begins(bucket) as f64, begins(bucket + 1) as f64);
                return Some(from + (to - from) * (wanted - before) / count);
            }
            before += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_its_bucket_and_no_bucket_is_wider_than_an_eighth() {
        let mut last = 0;
        for bucket_number in 1..BUCKETS {
            let (from, to) = (begins(bucket_number), begins(bucket_number + 1));
            assert!(from > last, "{bucket_number}");
            assert_eq!((bucket(from), bucket(to - 1)), (bucket_number, bucket_number));
            assert!(to - from <= (from / PARTS).max(1), "{from} to {to}");
            last = from;
        }
        let histogram = Histogram::default();
        histogram.note(Duration::from_secs(3_600), 1);
        assert_eq!(histogram.read().quantile(1.0), Some(LONGEST as f64));
    }

    #[test]
    fn quantiles_are_within_an_eighth() {
        let histogram = Histogram::default();
        (1..=100_000).for_each(|micros| histogram.note(Duration::from_micros(micros), 1));
        let times = histogram.read();
        for share in [0.001, 0.5, 0.95, 0.99, 0.999] {
            let (found, true_one) = (times.quantile(share).unwrap(), share * 1e8);
            assert!((found / true_one - 1.0).abs() < 0.125, "{share}: {found} for {true_one}");
        }
        assert!(times.quantile(0.0).unwrap() <= 1_000.0);
        assert_eq!(times.count(), 100_000);
        assert_eq!(times.total(), Duration::from_micros(100_000 * 100_001 / 2));
        assert_eq!(Times::default().quantile(0.5), None);
    }

    #[test]
    fn what_came_since_an_earlier_look_stands_alone() {
        let histogram = Histogram::default();
        histogram.note(Duration::from_secs(1), 1_000);
        let before = histogram.read();
        histogram.note_nanos(100, 3);
        let since = histogram.read().since(&before);
        assert_eq!((since.count(), since.total()), (3, Duration::from_nanos(300)));
        assert!(since.quantile(1.0).unwrap() < 120.0);
        let mut both = since.clone();
        both.add(&before);
        assert_eq!(both, histogram.read());
        assert_eq!((both.below(7), both.below(20), both.below(30)), (3, 3, 1_003));
        let mut from_nothing = Times::default();
        from_nothing.add(&before);
        assert_eq!(from_nothing, before);
    }
}
