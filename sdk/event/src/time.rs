//! Moments and durations as whole microseconds. There is no clock here: a [`Timestamp`] always comes from an argument.

use core::fmt;

/// A moment: microseconds since 1970-01-01 UTC. Arithmetic saturates, since event times come from strangers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A length of time in microseconds; may be negative when it is a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

impl Timestamp {
    /// Later than every other moment: "never".
    pub const NEVER: Self = Self(i64::MAX);
    /// 1970-01-01 UTC.
    pub const EPOCH: Self = Self(0);

    /// The moment this many whole seconds after the epoch.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// The moment this many seconds after the epoch, to the nearest microsecond; NaN is the epoch, values out of range
    /// saturate.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self(nearest(seconds * 1e6))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Seconds since the epoch with their fraction.
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The start of the interval of length `every` that contains this moment, counted from the epoch.
    pub const fn floor(self, every: Span) -> Self {
        if every.0 <= 0 {
            return self;
        }
        Self(self.0.saturating_sub(self.0.rem_euclid(every.0)))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// This many seconds.
    pub const fn secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// This many milliseconds.
    pub const fn millis(milliseconds: i64) -> Self {
        Self(milliseconds.saturating_mul(1_000))
    }

    /// This many minutes.
    pub const fn minutes(minutes: i64) -> Self {
        Self(minutes.saturating_mul(60_000_000))
    }

    /// This many seconds, to the nearest microsecond; NaN is zero, values out of range saturate.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self(nearest(seconds * 1e6))
    }

    /// The length in seconds with its fraction.
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Reads `90s`, `1.5m`, `250ms`, `2h`, `1d` or `10us`. A bare number is seconds.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: f64 = number.trim().parse().ok()?;
        let unit = match unit {
            "us" => 1.0,
            "ms" => 1e3,
            "" | "s" => 1e6,
            "m" | "min" => 6e7,
            "h" => 3.6e9,
            "d" => 8.64e10,
            _ => return None,
        };
        let micros = number * unit;
        (micros.is_finite() && micros.abs() < 9e18).then(|| Self(nearest(micros)))
    }
}

/// 4.1 s are 4,100,000 microseconds, though 4.1 times a million is a little less.
fn nearest(micros: f64) -> i64 {
    (micros + 0.5_f64.copysign(micros)) as i64
}

impl core::ops::Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl core::ops::Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl core::ops::Sub for Timestamp {
    type Output = Span;
    fn sub(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    /// Seconds since the epoch, with a fraction only when there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Span(self.0))
    }
}

impl fmt::Display for Span {
    /// Seconds with `s`, with a fraction only when there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, micros) = if self.0 < 0 { ("-", self.0.unsigned_abs()) } else { ("", self.0 as u64) };
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        if fraction == 0 {
            return write!(f, "{sign}{seconds}s");
        }
        let digits = format!("{fraction:06}");
        write!(f, "{sign}{seconds}.{}s", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print_the_same_lengths() {
        for (text, micros, printed) in [
            ("90s", 90_000_000, "90s"),
            ("1.5m", 90_000_000, "90s"),
            ("250ms", 250_000, "0.25s"),
            ("4.1s", 4_100_000, "4.1s"),
            ("2h", 7_200_000_000, "7200s"),
            ("3", 3_000_000, "3s"),
            ("-1s", -1_000_000, "-1s"),
        ] {
            assert_eq!(Span::parse(text), Some(Span(micros)), "{text}");
            assert_eq!(Span(micros).to_string(), printed);
        }
        for bad in ["", "s", "5 parsecs", "1e300h", "nan"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_interval_of_a_moment_before_the_epoch_starts_before_it() {
        assert_eq!(Timestamp(-1).floor(Span::secs(5)), Timestamp::from_secs(-5));
        assert_eq!(Timestamp(7_000_000).floor(Span::secs(5)), Timestamp::from_secs(5));
        assert_eq!(Timestamp::from_secs_f64(f64::NAN), Timestamp::EPOCH);
        assert_eq!(Timestamp::from_secs_f64(-4.1), Timestamp(-4_100_000));
        assert_eq!(Span::from_secs_f64(4.1), Span(4_100_000));
        assert_eq!(Span::from_secs_f64(1e300), Span(i64::MAX));
    }
}
