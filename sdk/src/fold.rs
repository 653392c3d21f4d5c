//! Many numbers become one: counts, sums, means, extremes, rates and moving averages.
//!
//! All are fixed in size. All but the moving averages can be what a [`Tumbling`](crate::Tumbling) window collects.
//!
//! Sums are plain sums of floats: after very many values of very different size the last digits are lost.

use crate::window::Collect;
use serde::{Deserialize, Serialize};
use tidegate_event::{Span, Timestamp};

/// How many.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::Collect;
/// let mut count = Count::default();
/// for value in [3.0, 4.0] {
///     count.collect(value);
/// }
/// assert_eq!(count.get(), 2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count(u64);

impl Count {
    /// One more.
    pub fn add(&mut self) {
        self.0 = self.0.saturating_add(1);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0
    }
}

impl<V> Collect<V> for Count {
    fn collect(&mut self, _: V) {
        self.add();
    }
}

/// All together.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut sum = Sum::default();
/// sum.add(3.0);
/// sum.add(4.0);
/// assert_eq!(sum.get(), 7.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sum(f64);

impl Sum {
    /// One more value.
    pub fn add(&mut self, value: f64) {
        self.0 += value;
    }

    /// The sum.
    pub fn get(&self) -> f64 {
        self.0
    }
}

impl Collect<f64> for Sum {
    fn collect(&mut self, value: f64) {
        self.add(value);
    }
}

/// The middle, by sum and count.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut mean = Mean::default();
/// assert_eq!(mean.get(), None);
/// mean.add(3.0);
/// mean.add(4.0);
/// assert_eq!(mean.get(), Some(3.5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    /// One more value.
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    /// The mean, if there was a value.
    pub fn get(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl Collect<f64> for Mean {
    fn collect(&mut self, value: f64) {
        self.add(value);
    }
}

/// The smallest; NaN is passed over.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut min = Min::default();
/// min.add(4.0);
/// min.add(3.0);
/// assert_eq!(min.get(), Some(3.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Min(Option<f64>);

impl Min {
    /// One more value.
    pub fn add(&mut self, value: f64) {
        if !value.is_nan() && self.0.is_none_or(|least| value < least) {
            self.0 = Some(value);
        }
    }

    /// The smallest, if there was a value.
    pub fn get(&self) -> Option<f64> {
        self.0
    }
}

impl Collect<f64> for Min {
    fn collect(&mut self, value: f64) {
        self.add(value);
    }
}

/// The largest; NaN is passed over.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut max = Max::default();
/// max.add(3.0);
/// max.add(4.0);
/// assert_eq!(max.get(), Some(4.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Max(Option<f64>);

impl Max {
    /// One more value.
    pub fn add(&mut self, value: f64) {
        if !value.is_nan() && self.0.is_none_or(|most| value > most) {
            self.0 = Some(value);
        }
    }

    /// The largest, if there was a value.
    pub fn get(&self) -> Option<f64> {
        self.0
    }
}

impl Collect<f64> for Max {
    fn collect(&mut self, value: f64) {
        self.add(value);
    }
}

/// How much in a second: Riemann's `rate`. What it collects is the sum; the length of the window makes it a rate.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut rate = Rate::default();
/// rate.add(30.0);
/// rate.add(20.0);
/// assert_eq!(rate.per_second(Span::secs(5)), 10.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate(f64);

impl Rate {
    /// So much more.
    pub fn add(&mut self, amount: f64) {
        self.0 += amount;
    }

    /// The rate over that length of time; 0 when it has none.
    pub fn per_second(&self, over: Span) -> f64 {
        if over.0 > 0 { self.0 / over.secs_f64() } else { 0.0 }
    }
}

impl Collect<f64> for Rate {
    fn collect(&mut self, value: f64) {
        self.add(value);
    }
}

/// A moving average in which each new value weighs the same, however long after the last it comes.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut average = Ewma::weighing(0.5);
/// assert_eq!(average.add(100.0), 100.0);
/// assert_eq!(average.add(200.0), 150.0);
/// assert_eq!(average.add(200.0), 175.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ewma {
    weight: f64,
    value: Option<f64>,
}

impl Ewma {
    /// An average to which each new value contributes this part, between 0 and 1.
    pub fn weighing(weight: f64) -> Self {
        Self { weight: weight.clamp(0.0, 1.0), value: None }
    }

    /// One more value; returns the average with it. What is not a finite number is passed over.
    #[inline]
    pub fn add(&mut self, value: f64) -> f64 {
        let average = match self.value {
            Some(average) if value.is_finite() => average + self.weight * (value - average),
            Some(average) => average,
            None if value.is_finite() => value,
            None => return value,
        };
        self.value = Some(average);
        average
    }

    /// The average, if there was a value.
    pub fn get(&self) -> Option<f64> {
        self.value
    }
}

/// A moving average that forgets with time: after one half-life without it, a value weighs half.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::Decaying;
/// let mut average = Decaying::half_life(Span::secs(10));
/// assert_eq!(average.add(Timestamp::from_secs(0), 100.0), 100.0);
/// assert_eq!(average.add(Timestamp::from_secs(10), 200.0), 150.0);
/// // A value from the past weighs nothing more.
/// assert_eq!(average.add(Timestamp::from_secs(5), 900.0), 150.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decaying {
    half_life: Span,
    last: Timestamp,
    value: Option<f64>,
}

impl Decaying {
    /// An average with that half-life; at least a microsecond.
    pub fn half_life(half_life: Span) -> Self {
        Self { half_life: half_life.max(Span(1)), last: Timestamp::EPOCH, value: None }
    }

    /// One more value; returns the average with it. What is not a finite number is passed over.
    pub fn add(&mut self, time: Timestamp, value: f64) -> f64 {
        let Some(average) = self.value else {
            if value.is_finite() {
                (self.value, self.last) = (Some(value), time);
            }
            return value;
        };
        if time > self.last && value.is_finite() {
            let elapsed = (time - self.last).0 as f64 / self.half_life.0 as f64;
            self.value = Some(value + libm::exp2(-elapsed) * (average - value));
            self.last = time;
        }
        self.value.unwrap_or(value)
    }

    /// The average as of its last value, if there was one.
    pub fn get(&self) -> Option<f64> {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_numbers_do_not_spoil_an_average_for_ever() {
        let mut average = Ewma::weighing(0.5);
        assert!(average.add(f64::NAN).is_nan());
        average.add(10.0);
        assert_eq!(average.add(f64::INFINITY), 10.0);
        let mut decaying = Decaying::half_life(Span::secs(1));
        decaying.add(Timestamp::from_secs(1), 10.0);
        assert_eq!(decaying.add(Timestamp::from_secs(2), f64::NAN), 10.0);
        assert_eq!(decaying.get(), Some(10.0));
    }

    #[test]
    fn extremes_pass_over_what_is_not_a_number() {
        let (mut min, mut max) = (Min::default(), Max::default());
        for value in [f64::NAN, 2.0, -3.0, f64::NAN] {
            min.add(value);
            max.add(value);
        }
        assert_eq!((min.get(), max.get()), (Some(-3.0), Some(2.0)));
    }
}
