//! Numbers of a query, compared by value: 1 and 1.0 are the same, and nothing is rounded on the way.

use std::cmp::Ordering;
use std::fmt;
use tidegate_event::Metric;

/// A number that was written in a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// A whole number of 64 bits.
    Int(i64),
    /// Any other; NaN and the infinities are allowed.
    Float(f64),
    /// A whole number beyond 64 bits.
    Big(Big),
}

/// A whole number beyond 64 bits, with all its digits.
#[derive(Clone, Debug, PartialEq)]
pub struct Big {
    negative: bool,
    digits: String,
    /// The float next to it.
    nearest: f64,
    /// On which side of that float it lies.
    beside: Ordering,
}

impl Big {
    /// From an optional minus and digits; `None` when they fit 64 bits or are none.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        if text.parse::<i64>().is_ok() {
            return None;
        }
        let digits = digits.trim_start_matches('0').to_owned();
        let nearest: f64 = text.parse().ok()?;
        // A float this large is whole, so that all its digits can be written out.
        let float = if nearest.is_finite() { format!("{:.0}", nearest.abs()) } else { "inf".to_owned() };
        let beside = if nearest.is_finite() { by_digits(&digits, &float) } else { Ordering::Less };
        let beside = if negative { beside.reverse() } else { beside };
        Some(Self { negative, digits, nearest, beside })
    }

    fn compare_float(&self, float: f64) -> Option<Ordering> {
        // No other float is as near, so that it lies between `nearest` and the next on its side.
        Some(self.nearest.partial_cmp(&float)?.then(self.beside))
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => by_digits(&self.digits, &other.digits),
            (true, true) => by_digits(&other.digits, &self.digits),
        }
    }
}

/// Two rows of digits without leading zeros.
fn by_digits(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

impl Number {
    /// How an event's number stands to this one; `None` when either is not a number.
    #[inline]
    pub fn compare_to(&self, found: Metric) -> Option<Ordering> {
        match (found, self) {
            (Metric::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Metric::Int(a), Self::Float(b)) => int_to_float(a, *b),
            (Metric::Float(a), Self::Int(b)) => int_to_float(*b, a).map(Ordering::reverse),
            (Metric::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Metric::Int(_), Self::Big(big)) => {
                Some(if big.negative { Ordering::Greater } else { Ordering::Less })
            }
            (Metric::Float(a), Self::Big(big)) => big.compare_float(a).map(Ordering::reverse),
        }
    }

    /// How this number stands to another; `None` when either is not a number.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), _) => other.compare_to(Metric::Int(*a)),
            (Self::Float(a), _) => other.compare_to(Metric::Float(*a)),
            (Self::Big(a), Self::Big(b)) => Some(a.compare(b)),
            (Self::Big(_), Self::Int(b)) => self.compare_to(Metric::Int(*b)).map(Ordering::reverse),
            (Self::Big(_), Self::Float(b)) => self.compare_to(Metric::Float(*b)).map(Ordering::reverse),
        }
    }

    /// The nearest number that a ttl can be: it has single precision. One beyond its range stays what it is.
    #[must_use]
    pub fn to_single(&self) -> Self {
        let exact = match self {
            Self::Int(value) => *value as f64,
            Self::Float(value) => *value,
            Self::Big(big) => big.nearest,
        };
        let single = f64::from(exact as f32);
        if single.is_finite() { Self::Float(single) } else { self.clone() }
    }
}

/// How two numbers of events stand to each other.
#[inline]
pub(super) fn compare(a: Metric, b: Metric) -> Option<Ordering> {
    match (a, b) {
        (Metric::Int(a), Metric::Int(b)) => Some(a.cmp(&b)),
        (Metric::Float(a), Metric::Float(b)) => a.partial_cmp(&b),
        (Metric::Int(a), Metric::Float(b)) => int_to_float(a, b),
        (Metric::Float(a), Metric::Int(b)) => int_to_float(b, a).map(Ordering::reverse),
    }
}

/// A whole number and a float without rounding either.
fn int_to_float(int: i64, float: f64) -> Option<Ordering> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        None
    } else if float >= BEYOND {
        Some(Ordering::Less)
    } else if float < -BEYOND {
        Some(Ordering::Greater)
    } else {
        let floor = float.floor();
        Some(int.cmp(&(floor as i64)).then(if float > floor { Ordering::Less } else { Ordering::Equal }))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) if value.is_infinite() => {
                f.write_str(if *value > 0.0 { "Infinity" } else { "-Infinity" })
            }
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Big(big) => write!(f, "{}{}n", if big.negative { "-" } else { "" }, big.digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Number::{Float, Int};
    use proptest::prelude::*;

    fn big(text: &str) -> Number {
        Number::Big(Big::parse(text).unwrap())
    }

    #[test]
    fn numbers_stand_where_their_values_do() {
        let ascending = [
            Float(f64::NEG_INFINITY),
            Float(-1e300),
            big("-9223372036854775810"),
            Int(i64::MIN),
            Int(-1),
            Float(0.1),
            Int(1),
            Float(1.5),
            Int((1 << 53) + 1),
            Float(9_007_199_254_740_994.0),
            Int(i64::MAX),
            Float(9_223_372_036_854_775_808.0),
            big("9223372036854775809"),
            big("18446744073709551616000000000000001"),
            Float(f64::MAX),
            big(&"9".repeat(400)),
            Float(f64::INFINITY),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.compare(b), Some(i.cmp(&j)), "{a} {b}");
            }
        }
        assert_eq!(Int(0).compare(&Float(-0.0)), Some(Ordering::Equal));
        assert_eq!(big("9223372036854775808").compare(&Float(2f64.powi(63))), Some(Ordering::Equal));
        assert_eq!(Float(f64::NAN).compare(&Float(f64::NAN)), None);
        assert_eq!(Big::parse("9223372036854775807"), None, "what fits 64 bits is not big");
    }

    proptest! {
        #[test]
        fn big_numbers_compare_as_wider_ones_do(a in any::<i128>(), b in any::<f64>(), c in any::<i128>()) {
            let text = a.to_string();
            let a_is = Big::parse(&text).map_or_else(|| Int(text.parse().unwrap()), Number::Big);
            let text = c.to_string();
            let c_is = Big::parse(&text).map_or_else(|| Int(text.parse().unwrap()), Number::Big);
            prop_assert_eq!(a_is.compare(&c_is), Some(a.cmp(&c)));
            if b.abs() < 1e38 {
                let floor = b.floor();
                let wide = a.cmp(&(floor as i128)).then(if b > floor { Ordering::Less } else { Ordering::Equal });
                prop_assert_eq!(a_is.compare(&Float(b)), Some(wide));
            }
            let near = a as f64;
            let wide = a.cmp(&(near as i128));
            if near.abs() < 1.6e38 {
                prop_assert_eq!(a_is.compare(&Float(near)), Some(wide));
            }
        }
    }
}
