//! Many numbers become one, with Riemann's rules for those that are missing.
//!
//! A fold takes numbers, some of which may be missing, and gives a number or the place of one: what is around the number (the
//! event that it came with) is the caller's. Whole numbers stay whole in sums, products and differences as long as they fit
//! into 64 bits; from there on, and with the first float, the result is a float, added from left to right. Nothing is
//! remembered; places and medians take a sorted copy of the places.

use crate::series::plus;
use core::cmp::Ordering;
use tidegate_event::Metric;

/// Why a strict fold gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoNumber {
    /// One of them is missing.
    Missing,
    /// One that divides is zero.
    ZeroDivisor,
}

impl NoNumber {
    /// As Riemann describes it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Missing => "An event or metric was nil.",
            Self::ZeroDivisor => "Can't divide by zero",
        }
    }
}

/// By value, whole or not; NaN, of either sign, counts as the largest.
pub fn order(a: Metric, b: Metric) -> Ordering {
    let (x, y) = (a.as_f64(), b.as_f64());
    // Whole numbers that are one as floats are told apart here.
    let exact = |metric| match metric {
        Metric::Int(value) => i128::from(value),
        Metric::Float(value) => value as i128,
    };
    x.partial_cmp(&y).unwrap_or_else(|| x.is_nan().cmp(&y.is_nan())).then_with(|| exact(a).cmp(&exact(b)))
}

fn present(numbers: &[Option<Metric>]) -> impl Iterator<Item = Metric> + '_ {
    numbers.iter().flatten().copied()
}

/// All together, without those that are missing; 0 of none.
pub fn sum(numbers: &[Option<Metric>]) -> Metric {
    present(numbers).fold(Metric::Int(0), plus)
}

/// Multiplied, without those that are missing; 1 of none.
pub fn product(numbers: &[Option<Metric>]) -> Metric {
    present(numbers).fold(Metric::Int(1), |a, b| match (a, b) {
        (Metric::Int(a), Metric::Int(b)) => {
            a.checked_mul(b).map_or(Metric::Float(a as f64 * b as f64), Metric::Int)
        }
        (a, b) => Metric::Float(a.as_f64() * b.as_f64()),
    })
}

/// The first less all others.
pub fn difference(numbers: &[Option<Metric>]) -> Result<Metric, NoNumber> {
    let mut all = numbers.iter().map(|number| number.ok_or(NoNumber::Missing));
    let first = all.next().unwrap_or(Err(NoNumber::Missing))?;
    all.try_fold(first, |a, b| {
        Ok(match (a, b?) {
            (Metric::Int(a), Metric::Int(b)) => {
                a.checked_sub(b).map_or(Metric::Float(a as f64 - b as f64), Metric::Int)
            }
            (a, b) => Metric::Float(a.as_f64() - b.as_f64()),
        })
    })
}

/// The first divided by all others, as a float; a number alone stays what it is.
pub fn quotient(numbers: &[Option<Metric>]) -> Result<Metric, NoNumber> {
    let all: Vec<Metric> =
        numbers.iter().map(|number| number.ok_or(NoNumber::Missing)).collect::<Result<_, _>>()?;
    let (first, others) = all.split_first().ok_or(NoNumber::Missing)?;
    if others.iter().any(|number| number.as_f64() == 0.0) {
        return Err(NoNumber::ZeroDivisor);
    }
    if others.is_empty() {
        return Ok(*first);
    }
    Ok(Metric::Float(others.iter().fold(first.as_f64(), |a, b| a / b.as_f64())))
}

/// As [`quotient`], but 0 where any of the numbers is zero and none before it is missing.
pub fn quotient_sloppy(numbers: &[Option<Metric>]) -> Result<Metric, NoNumber> {
    for number in numbers {
        if number.ok_or(NoNumber::Missing)?.as_f64() == 0.0 {
            return Ok(Metric::Int(0));
        }
    }
    quotient(numbers)
}

/// The arithmetic mean of those that are there.
pub fn mean(numbers: &[Option<Metric>]) -> Option<f64> {
    let count = present(numbers).count();
    (count > 0).then(|| sum(numbers).as_f64() / count as f64)
}

/// The population standard deviation of those that are there.
pub fn std_dev(numbers: &[Option<Metric>]) -> Option<f64> {
    let (mean, count) = (mean(numbers)?, present(numbers).count() as f64);
    let squares: f64 =
        present(numbers).map(|number| (number.as_f64() - mean) * (number.as_f64() - mean)).sum();
    Some(libm::sqrt(squares / count))
}

/// The places of those that are there, by size; equal ones as they stand.
pub fn sorted(numbers: &[Option<Metric>]) -> Vec<usize> {
    let mut there: Vec<(usize, Metric)> =
        numbers.iter().enumerate().filter_map(|(at, number)| Some((at, (*number)?))).collect();
    there.sort_by(|(_, a), (_, b)| order(*a, *b));
    there.into_iter().map(|(at, _)| at).collect()
}

/// The place of the number at that part of the way up, between 0 and 1: rank `⌊n·p⌋`, at most the last.
pub fn at_rank(sorted: &[usize], part: f64) -> Option<usize> {
    let last = sorted.len().checked_sub(1)?;
    let rank = (sorted.len() as f64 * part.max(0.0)) as usize;
    sorted.get(rank.min(last)).copied()
}

/// The place of the median; of an even number, of the upper one.
pub fn median(numbers: &[Option<Metric>]) -> Option<usize> {
    let sorted = sorted(numbers);
    sorted.get(sorted.len() / 2).copied()
}

/// The place of the smallest; of equal ones, the last.
pub fn minimum(numbers: &[Option<Metric>]) -> Option<usize> {
    extreme(numbers, Ordering::Less)
}

/// The place of the largest; of equal ones, the last.
pub fn maximum(numbers: &[Option<Metric>]) -> Option<usize> {
    extreme(numbers, Ordering::Greater)
}

fn extreme(numbers: &[Option<Metric>], wanted: Ordering) -> Option<usize> {
    let mut best: Option<(usize, Metric)> = None;
    for (at, number) in numbers.iter().enumerate() {
        let Some(number) = *number else { continue };
        if best
            .is_none_or(|(_, best)| matches!(order(number, best), found if found == wanted || found.is_eq()))
        {
            best = Some((at, number));
        }
    }
    best.map(|(at, _)| at)
}

/// The places of the first of each number that is there most often, where missing counts as a number.
pub fn modes(numbers: &[Option<Metric>]) -> Vec<usize> {
    let mut by_size: Vec<usize> = (0..numbers.len()).collect();
    let key = |at: &usize| numbers[*at];
    by_size.sort_by(|a, b| match (key(a), key(b)) {
        (Some(a), Some(b)) => order(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    let mut groups: Vec<(usize, usize)> = Vec::new();
    for at in by_size {
        match groups.last_mut() {
            Some((first, count)) if same(numbers[*first], numbers[at]) => *count += 1,
            _ => groups.push((at, 1)),
        }
    }
    let most = groups.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let mut modes: Vec<usize> =
        groups.into_iter().filter(|(_, count)| *count == most).map(|(first, _)| first).collect();
    modes.sort_unstable();
    modes
}

fn same(a: Option<Metric>, b: Option<Metric>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => order(a, b).is_eq(),
        (a, b) => a.is_none() && b.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(numbers: &[i64]) -> Vec<Option<Metric>> {
        numbers.iter().map(|number| Some(Metric::Int(*number))).collect()
    }

    #[test]
    fn of_equal_ones_extremes_give_the_last_and_modes_the_first() {
        let numbers = ints(&[2, 1, 1, 2]);
        assert_eq!((minimum(&numbers), maximum(&numbers)), (Some(2), Some(3)));
        assert_eq!(modes(&numbers), [0, 1]);
        assert_eq!(median(&numbers), Some(0));
    }

    #[test]
    fn whole_numbers_stay_whole_until_they_no_longer_fit() {
        assert_eq!(sum(&ints(&[1, 2])), Metric::Int(3));
        assert_eq!(sum(&ints(&[i64::MAX, 1])), Metric::Float(9.223372036854776e18));
        assert_eq!(product(&ints(&[i64::MAX, 2])), Metric::Float(1.8446744073709552e19));
        assert_eq!(difference(&ints(&[5])), Ok(Metric::Int(5)));
    }

    #[test]
    fn numbers_have_one_order_whether_whole_or_not_and_nan_comes_last() {
        let big = 1_i64 << 53;
        let (int, float) = (Metric::Int, Metric::Float);
        let classes: Vec<Vec<Metric>> = vec![
            vec![float(f64::NEG_INFINITY)],
            vec![float(-1e300)],
            vec![int(i64::MIN), float(i64::MIN as f64)],
            vec![int(i64::MIN + 1)],
            vec![int(-big - 1)],
            vec![int(-big), float(-big as f64)],
            vec![float(-0.5)],
            vec![int(0), float(0.0), float(-0.0)],
            vec![float(0.5)],
            vec![int(1), float(1.0)],
            vec![int(big - 1), float((big - 1) as f64)],
            vec![int(big), float(big as f64)],
            vec![int(big + 1)],
            vec![int(big + 2), float((big + 2) as f64)],
            vec![int(i64::MAX - 1)],
            vec![int(i64::MAX)],
            vec![float(i64::MAX as f64)],
            vec![float(f64::INFINITY)],
            vec![float(f64::NAN), float(-f64::NAN)],
        ];
        let all =
            || classes.iter().enumerate().flat_map(|(of, class)| class.iter().map(move |one| (of, *one)));
        for (x, a) in all() {
            for (y, b) in all() {
                assert_eq!(order(a, b), x.cmp(&y), "{a:?} and {b:?}");
            }
        }
        // A sort may panic at what is no order.
        let mixed: Vec<Option<Metric>> = all().map(|(_, metric)| Some(metric)).rev().collect();
        let sorted = sorted(&mixed);
        assert_eq!(sorted.first(), Some(&(mixed.len() - 1)));
        assert_eq!(maximum(&mixed), Some(1));
    }

    #[test]
    fn what_is_missing_or_zero_is_named() {
        assert_eq!(quotient(&ints(&[1, 0])), Err(NoNumber::ZeroDivisor));
        assert_eq!(quotient(&[Some(Metric::Int(1)), None]), Err(NoNumber::Missing));
        assert_eq!(quotient_sloppy(&ints(&[6, 0])), Ok(Metric::Int(0)));
        assert_eq!(std_dev(&[None]), None);
        assert_eq!(at_rank(&sorted(&ints(&[3, 1, 2])), 0.5), Some(2));
    }
}
