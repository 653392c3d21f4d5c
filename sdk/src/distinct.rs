//! How many different ones there were, out of any number, in a few hundred bytes.
//!
//! Keeping all names would need memory for every name. But of many random numbers the smallest is the smaller the more there
//! are; so remember, of the hashes of all names, only how many leading zeros there were at most, once for each of many
//! groups. The idea is HyperLogLog (Flajolet, Fusy, Gandouet and Meunier, 2007), with 64-bit hashes and the estimator of
//! Ertl (*New cardinality estimation algorithms for HyperLogLog sketches*, 2017), which is as good for few names as for many.

use crate::window::Collect;
use serde::{Deserialize, Serialize};
use tidegate_event::hash_bytes;

/// How many different names there were.
///
/// It is `N` bytes, a power of two between 16 and 65,536. The standard error is 1.04 ÷ √N: 3.25 % with 1,024 bytes, 1.6 % with
/// 4,096. Two of one size can be merged: what comes out is what one would be that has seen all.
///
/// Names are hashed the same way everywhere and always. Whoever knows that and chooses the names can choose them so that the
/// answer is wrong: it is a measurement, not a safeguard.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut users = Distinct::<1024>::default();
/// for user in 0..5000 {
///     users.add(format!("user {user}"));
///     users.add(format!("user {user}")); // once more is no more
/// }
/// let about = users.estimate();
/// assert!((4700..=5300).contains(&about), "{about}");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Distinct<const N: usize> {
    /// For each group the most leading zeros, plus one. Empty until the first name comes.
    registers: Vec<u8>,
}

/// 1 ÷ (2 ln 2)
const ALPHA: f64 = 0.721_347_520_444_481_7;

impl<const N: usize> Distinct<N> {
    /// So many bits of a hash choose the group; as many as are left can be zeros.
    const BITS: u32 = {
        assert!(N.is_power_of_two() && N >= 16 && N <= 65_536, "a power of two between 16 and 65,536");
        N.trailing_zeros()
    };
    const ZEROS_MAX: usize = 64 - Self::BITS as usize;

    /// One more name, or one that was there before.
    #[inline]
    pub fn add(&mut self, name: impl AsRef<[u8]>) {
        if self.registers.is_empty() {
            self.registers.resize(N, 0);
        }
        let hash = hash_bytes(0, name.as_ref());
        let group = (hash >> (64 - Self::BITS)) as usize;
        let zeros = (hash << Self::BITS).leading_zeros().min(Self::ZEROS_MAX as u32);
        let register = &mut self.registers[group];
        *register = (*register).max(zeros as u8 + 1);
    }

    /// Adds all that another one has seen.
    pub fn merge(&mut self, other: &Self) {
        if self.registers.is_empty() {
            self.registers.clone_from(&other.registers);
        }
        for (register, other) in self.registers.iter_mut().zip(&other.registers) {
            *register = (*register).max(*other);
        }
    }

    /// About how many different names there were.
    pub fn estimate(&self) -> u64 {
        if self.registers.is_empty() {
            return 0;
        }
        let mut with = [0u32; 66];
        for register in &self.registers {
            with[usize::from(*register)] += 1;
        }
        let n = N as f64;
        let part = |registers: u32| f64::from(registers) / n;
        let mut sum = n * tau(1.0 - part(with[Self::ZEROS_MAX + 1]));
        for registers in with[1..=Self::ZEROS_MAX].iter().rev() {
            sum = 0.5 * (sum + f64::from(*registers));
        }
        sum += n * sigma(part(with[0]));
        libm::round(ALPHA * n * n / sum) as u64
    }
}

/// What empty registers add: x + x²·1 + x⁴·2 + x⁸·4 …
fn sigma(part: f64) -> f64 {
    if part >= 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut weight, mut sum) = (part, 1.0, part);
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}

/// What full registers add: (1 − x − (1 − √x)²·½ − (1 − ⁴√x)²·¼ …) ÷ 3
fn tau(part: f64) -> f64 {
    if part <= 0.0 || part >= 1.0 {
        return 0.0;
    }
    let (mut x, mut weight, mut sum) = (part, 1.0, 1.0 - part);
    loop {
        x = x.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}

impl<const N: usize> Collect<&str> for Distinct<N> {
    #[inline]
    fn collect(&mut self, name: &str) {
        self.add(name);
    }
}

impl<const N: usize> From<Distinct<N>> for Vec<u8> {
    fn from(distinct: Distinct<N>) -> Self {
        distinct.registers
    }
}

/// What was saved with another size, or is no sketch at all, is not read.
impl<const N: usize> TryFrom<Vec<u8>> for Distinct<N> {
    type Error = String;

    fn try_from(registers: Vec<u8>) -> Result<Self, String> {
        if !registers.is_empty() && registers.len() != N {
            return Err(format!("a Distinct of {} bytes was saved, this one has {N}", registers.len()));
        }
        match registers.iter().find(|register| usize::from(**register) > Self::ZEROS_MAX + 1) {
            Some(register) => Err(format!("a register of a Distinct of {N} bytes cannot be {register}")),
            None => Ok(Self { registers }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use std::collections::BTreeSet;

    fn seen<const N: usize>(names: impl IntoIterator<Item = u64>) -> Distinct<N> {
        let mut distinct = Distinct::default();
        names.into_iter().for_each(|name| distinct.add(name.to_le_bytes()));
        distinct
    }

    /// By how many standard errors it is wrong.
    fn wrong_by<const N: usize>(distinct: &Distinct<N>, exact: usize) -> f64 {
        let error = 1.04 / (N as f64).sqrt();
        (distinct.estimate() as f64 - exact as f64) / (error * exact as f64)
    }

    /// Always with the same chance: four standard errors are exceeded once in some ten thousand times.
    #[test]
    fn it_is_within_four_standard_errors() {
        let names = (prop::collection::vec(0u64..3000, 0..3000), any::<u64>());
        let checked = TestRunner::deterministic().run(&names, |(names, start)| {
            let names: BTreeSet<u64> = names.into_iter().map(|name| start.wrapping_add(name)).collect();
            let distinct = seen::<256>(names.iter().copied());
            // Few names are rounded to whole ones.
            let off = (distinct.estimate() as f64 - names.len() as f64).abs();
            let fine = off <= 1.0 || wrong_by(&distinct, names.len()).abs() <= 4.0;
            prop_assert!(fine, "{off} of {}", names.len());
            Ok(())
        });
        checked.unwrap();
    }

    proptest! {
        #[test]
        fn merging_is_adding(
            left in prop::collection::vec(any::<u64>(), 0..300),
            right in prop::collection::vec(any::<u64>(), 0..300),
        ) {
            let mut merged = seen::<64>(left.iter().copied());
            merged.merge(&seen(right.iter().copied()));
            prop_assert_eq!(merged, seen::<64>(left.into_iter().chain(right)));
        }
    }

    /// Over a hundred sets of each size, the error is what is stated and leans to neither side.
    #[test]
    fn the_standard_error_is_what_is_stated_at_every_size() {
        for size in [10, 100, 600, 1000, 3000, 20_000] {
            let wrong: Vec<f64> = (0..100u64)
                .map(|set| wrong_by(&seen::<256>((0..size as u64).map(|name| set << 32 | name)), size))
                .collect();
            let mean = wrong.iter().sum::<f64>() / 100.0;
            let spread = (wrong.iter().map(|wrong| wrong * wrong).sum::<f64>() / 100.0).sqrt();
            assert!(mean.abs() < 0.4, "{size}: leans by {mean} standard errors");
            assert!(spread < 1.25, "{size}: {spread} standard errors");
        }
    }

    #[test]
    fn the_same_names_give_the_same_bytes_for_ever() {
        let distinct = seen::<16>(0..20);
        assert_eq!(distinct.registers, [5, 1, 6, 0, 1, 0, 0, 0, 0, 1, 1, 6, 2, 2, 2, 4]);
        assert_eq!(Distinct::<16>::default().estimate(), 0);
    }

    #[test]
    fn another_size_is_not_read_back() {
        let saved = rmp_serde::to_vec_named(&seen::<16>(0..99)).unwrap();
        assert_eq!(rmp_serde::from_slice::<Distinct<16>>(&saved).unwrap(), seen(0..99));
        let error = rmp_serde::from_slice::<Distinct<32>>(&saved).unwrap_err().to_string();
        assert!(error.contains("16 bytes was saved"), "{error}");
    }
}
