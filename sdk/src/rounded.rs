//! Floats as text with few digits, by whole numbers: printing any float to any digit takes 20 KiB of a module.

use core::fmt;

/// A float as text, rounded to a few digits; made by [`rounded`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounded {
    value: f64,
    digits: u32,
}

/// From here on whole numbers do not fit into 64 bits.
const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;

/// Prints a float with so many digits behind the point, three at most: as `{value:.1}` does, but a rule that prints its
/// floats only like this has a module a third smaller. What does not fit into 64 bits is told as `>1.8e19`.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// assert_eq!(format!("p99 {} ms", rounded(249.96, 1)), "p99 250.0 ms");
/// ```
pub fn rounded(value: f64, digits: u32) -> Rounded {
    Rounded { value, digits: digits.min(3) }
}

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_nan() {
            return f.write_str("NaN");
        }
        if self.value.is_sign_negative() {
            f.write_str("-")?;
        }
        let size = self.value.abs();
        if size >= TOO_LARGE {
            return f.write_str(if size.is_infinite() { "inf" } else { ">1.8e19" });
        }
        let (whole, part) = self.round(size);
        match self.digits {
            0 => write!(f, "{whole}"),
            digits => write!(f, "{whole}.{part:0width$}", width = digits as usize),
        }
    }
}

impl Rounded {
    /// The whole number and the digits behind the point; exactly half way the even digit is taken.
    fn round(&self, size: f64) -> (u64, u64) {
        let scale = 10u64.pow(self.digits);
        // Both are exact: cutting a float at its point loses nothing.
        let whole = size as u64;
        let part = (size - whole as f64).to_bits();
        // The part is `mantissa` with its point so many bits to the left.
        let (exponent, mantissa) = (part >> 52, part & ((1 << 52) - 1) | 1 << 52);
        let shift = 1075 - exponent;
        if exponent == 0 || shift > 63 {
            return (whole, 0);
        }
        // 53 bits by 1000 are 63.
        let product = mantissa * scale;
        let (digits, rest, half) = (product >> shift, product & ((1 << shift) - 1), 1 << (shift - 1));
        let odd = (if self.digits == 0 { whole } else { digits }) % 2 == 1;
        match digits + u64::from(rest > half || rest == half && odd) {
            over if over == scale => (whole + 1, 0),
            digits => (whole, digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plainly(value: f64, digits: u32) -> String {
        format!("{value:.*}", digits as usize)
    }

    proptest! {
        #[test]
        fn it_is_what_the_format_of_all_floats_would_print(bits: u64, digits in 0u32..4, small in -1e6..1e6f64) {
            for value in [f64::from_bits(bits), small] {
                if value.abs() < TOO_LARGE {
                    prop_assert_eq!(rounded(value, digits).to_string(), plainly(value, digits), "{:?}", value);
                }
            }
        }

        #[test]
        fn half_way_it_is_the_same_too(whole in 0u32..10_000, sixteenth in 0u32..16, digits in 0u32..4) {
            let value = f64::from(whole) + f64::from(sixteenth) / 16.0;
            prop_assert_eq!(rounded(value, digits).to_string(), plainly(value, digits), "{:?}", value);
        }
    }

    #[test]
    fn edges_have_a_text() {
        for (value, digits, text) in [
            (0.0, 0, "0"),
            (-0.0, 1, "-0.0"),
            (0.5, 0, "0"),
            (1.5, 0, "2"),
            (0.999_96, 3, "1.000"),
            (5e-324, 3, "0.000"),
            (f64::INFINITY, 1, "inf"),
            (-1e300, 1, "->1.8e19"),
            (f64::NAN, 1, "NaN"),
            (1.25, 9, "1.250"),
        ] {
            assert_eq!(rounded(value, digits).to_string(), text, "{value:?}");
        }
    }
}
