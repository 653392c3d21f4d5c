//! A percentile sketch of bounded size: which value do 99 of 100 stay under?
//!
//! Keeping all values would be exact and without bound. Keeping counts in buckets that grow with the value is neither,
//! and the error follows from how fast they grow. Here each power of two is cut into sixteen equal buckets, and a value
//! finds its bucket by the top bits of its float: no logarithm, so the same bucket on every machine, and a shift instead of
//! a loop.

use crate::window::Collect;
use serde::{Deserialize, Serialize};

/// Bits of the mantissa that choose a bucket: 2⁴ buckets for each power of two.
const BITS: u32 = 4;
/// The bucket of 2⁻³⁰, about 10⁻⁹: what is smaller counts as zero.
const LOWEST: u64 = (1023 - 30) << BITS;
/// The bucket below 2⁵⁰, about 10¹⁵: what is larger counts in it.
const HIGHEST: u64 = ((1023 + 50) << BITS) - 1;

/// How many values lie where, so that quantiles can be told.
///
/// Any quantile is within **3.1 %** of a value that is exact by rank, for values between 10⁻⁹ and 10¹⁵ of either sign;
/// the smallest and the largest are exact. What lies closer to zero counts as zero, what lies further out as that end. NaN
/// is passed over.
///
/// Its size follows the spread of the values and not their number: 64 bytes for each power of two between the smallest
/// and the largest; at most 10 KiB.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut latency = Quantiles::default();
/// for ms in 1..=1000 {
///     latency.add(f64::from(ms));
/// }
/// let p99 = latency.quantile(0.99);
/// assert!((960.0..=1000.0).contains(&p99), "{p99}");
/// assert_eq!(latency.quantile(1.0), 1000.0);
/// assert_eq!(latency.count(), 1000);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    count: u64,
    min: f64,
    max: f64,
    zeros: u64,
    above: Buckets,
    below: Buckets,
}

impl Default for Quantiles {
    fn default() -> Self {
        Self { count: 0, min: 0.0, max: 0.0, zeros: 0, above: Buckets::default(), below: Buckets::default() }
    }
}

/// The counts between the lowest and the highest bucket that is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Buckets {
    first: u64,
    counts: Vec<u32>,
}

/// The bucket of a size; `None` for what counts as zero.
#[inline]
fn bucket(size: f64) -> Option<u64> {
    let bucket = size.to_bits() >> (52 - BITS);
    (bucket >= LOWEST).then_some(bucket.min(HIGHEST))
}

/// The size that stands for a bucket: as far from its lower end as from its upper one, in proportion.
fn middle(bucket: u64) -> f64 {
    let low = f64::from_bits(bucket << (52 - BITS));
    let high = f64::from_bits((bucket + 1) << (52 - BITS));
    2.0 * low * high / (low + high)
}

/// The value, or the end that it lies beyond. `clamp` would print its ends in a panic, for which a module pays 20 KiB.
fn within(value: f64, low: f64, high: f64) -> f64 {
    match value {
        value if value < low => low,
        value if value > high => high,
        value => value,
    }
}

impl Buckets {
    #[inline]
    fn add(&mut self, bucket: u64, count: u32) {
        let at = bucket.wrapping_sub(self.first) as usize;
        if at >= self.counts.len() {
            self.reach(bucket);
        }
        let count_here = &mut self.counts[(bucket - self.first) as usize];
        *count_here = count_here.saturating_add(count);
    }

    #[cold]
    fn reach(&mut self, bucket: u64) {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let more = (self.first - bucket) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = bucket;
        }
        let end = (bucket - self.first) as usize + 1;
        if end > self.counts.len() {
            self.counts.resize(end, 0);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.iter() {
            self.add(bucket, count);
        }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u32)> + '_ {
        let used = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        used.map(|(at, count)| (self.first + at as u64, *count))
    }
}

impl Quantiles {
    /// One more value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        if self.count == 0 {
            (self.min, self.max) = (value, value);
        } else {
            self.min = if value < self.min { value } else { self.min };
            self.max = if value > self.max { value } else { self.max };
        }
        self.count += 1;
        match bucket(value.abs()) {
            Some(bucket) if value > 0.0 => self.above.add(bucket, 1),
            Some(bucket) => self.below.add(bucket, 1),
            None => self.zeros += 1,
        }
    }

    /// Adds all that another one has counted: what comes out is what one would be that has seen all.
    ///
    /// ```
    /// # use tidegate_sdk::prelude::*;
    /// let (mut hour, mut minute) = (Quantiles::default(), Quantiles::default());
    /// hour.add(1.0);
    /// minute.add(2.0);
    /// minute.add(3.0);
    /// hour.merge(&minute);
    /// assert_eq!((hour.count(), hour.max()), (3, Some(3.0)));
    /// ```
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            (self.min, self.max) = (other.min, other.max);
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.zeros += other.zeros;
        self.above.merge(&other.above);
        self.below.merge(&other.below);
    }

    /// The value that this part of all values does not exceed: 0.5 for the median, 0.99 for the 99th percentile. NaN when
    /// there are no values.
    pub fn quantile(&self, part: f64) -> f64 {
        if self.count == 0 {
            return f64::NAN;
        }
        let rank = (part.clamp(0.0, 1.0) * self.count as f64).ceil() as u64;
        let rank = rank.clamp(1, self.count);
        if rank == 1 {
            return self.min;
        }
        if rank == self.count {
            return self.max;
        }
        let below = self.below.iter().rev().map(|(bucket, count)| (-middle(bucket), u64::from(count)));
        let above = self.above.iter().map(|(bucket, count)| (middle(bucket), u64::from(count)));
        let mut passed = 0;
        for (value, count) in below.chain([(0.0, self.zeros)]).chain(above) {
            passed += count;
            if passed >= rank {
                return within(value, self.min, self.max);
            }
        }
        self.max
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest value, if there was one.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest value, if there was one.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }
}

impl Collect<f64> for Quantiles {
    #[inline]
    fn collect(&mut self, value: f64) {
        self.add(value);
    }
}

/// Short windows make up a long one.
impl Collect<&Quantiles> for Quantiles {
    fn collect(&mut self, short: &Quantiles) {
        self.merge(short);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ERROR: f64 = 0.031;

    fn exact(values: &mut [f64], part: f64) -> f64 {
        values.sort_by(f64::total_cmp);
        let rank = (part * values.len() as f64).ceil() as usize;
        values[rank.clamp(1, values.len()) - 1]
    }

    fn sketch(values: &[f64]) -> Quantiles {
        let mut sketch = Quantiles::default();
        values.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    fn any_value() -> impl Strategy<Value = f64> {
        let size = (-29.9f64..49.9).prop_map(libm::exp2);
        prop_oneof![size.clone(), size.prop_map(|value| -value), Just(0.0)]
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_the_stated_error(
            mut values in prop::collection::vec(any_value(), 1..300),
            part in 0.0..=1.0,
        ) {
            let told = sketch(&values).quantile(part);
            let exact = exact(&mut values, part);
            prop_assert!((told - exact).abs() <= ERROR * exact.abs(), "{told} for {exact}");
        }

        #[test]
        fn merging_is_adding(
            left in prop::collection::vec(any_value(), 0..100),
            right in prop::collection::vec(any_value(), 0..100),
        ) {
            let mut merged = sketch(&left);
            merged.merge(&sketch(&right));
            let both = sketch(&[left, right].concat());
            for part in [0.0, 0.1, 0.5, 0.9, 0.99, 1.0] {
                prop_assert_eq!(merged.quantile(part).to_bits(), both.quantile(part).to_bits());
            }
        }
    }

    #[test]
    fn the_size_is_bounded_whatever_comes() {
        let mut sketch = Quantiles::default();
        for value in [1e-300, 1e300, -1e300, f64::INFINITY, f64::NEG_INFINITY, 1e-9, -1e-9, f64::NAN] {
            sketch.add(value);
        }
        assert_eq!(sketch.count(), 7);
        let buckets = sketch.above.counts.len() + sketch.below.counts.len();
        assert!(buckets * 4 <= 10 << 10, "{buckets}");
        assert_eq!((sketch.quantile(0.0), sketch.quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
        assert!(Quantiles::default().quantile(0.5).is_nan());
    }

    #[test]
    fn a_saved_sketch_reads_back() {
        let sketch = sketch(&[1.0, 250.0, -3.0, 0.0]);
        let saved = rmp_serde::to_vec_named(&sketch).unwrap();
        assert_eq!(rmp_serde::from_slice::<Quantiles>(&saved).unwrap(), sketch);
    }
}
