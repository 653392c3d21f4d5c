//! Who does most, out of any number of names, in bounded memory.
//!
//! The idea is Space-Saving (Metwally, Agrawal and El Abbadi, 2005). Counting every name would need memory for every name. So
//! only so many are counted; a new one takes the place of the least of them and, as it may have been counted before, takes
//! over its count. A count may thus be too high, never too low, and by no more than what the one before had.

use crate::window::Collect;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The names with the largest counts, out of any number.
///
/// It holds `N` names. Of all that was counted, a name whose true count is more than one part in `N` is among them. A
/// count is at most [`Entry::over`] too high and never too low. Names longer than 256 bytes are cut.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut top = Top::<8>::default();
/// for name in ["a", "b", "a", "c", "a", "b"] {
///     top.add(name, 1);
/// }
/// let most: Vec<_> = top.most(2).iter().map(|entry| (entry.name.to_owned(), entry.count)).collect();
/// assert_eq!(most, [("a".to_owned(), 3), ("b".to_owned(), 2)]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Top<const N: usize> {
    counts: BTreeMap<String, Counted>,
    total: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    count: u64,
    over: u64,
}

/// A name and its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name.
    pub name: &'a str,
    /// Its count, or more.
    pub count: u64,
    /// By how much the count may be too high.
    pub over: u64,
}

/// A name is kept up to so many bytes.
const NAME_MAX: usize = 256;

impl<const N: usize> Top<N> {
    /// Counts so many more for a name.
    pub fn add(&mut self, name: &str, count: u64) {
        self.total = self.total.saturating_add(count);
        let name = &name[..name.floor_char_boundary(NAME_MAX)];
        if let Some(counted) = self.counts.get_mut(name) {
            counted.count = counted.count.saturating_add(count);
            return;
        }
        let mut over = 0;
        if self.counts.len() >= N.max(1) {
            // Ties go to the first by name. Any order would do, but it must be the same one everywhere.
            let least = self.counts.iter().min_by_key(|(_, counted)| counted.count);
            if let Some((least, counted)) = least.map(|(name, counted)| (name.clone(), *counted)) {
                over = counted.count;
                self.counts.remove(&least);
            }
        }
        let counted = Counted { count: over.saturating_add(count), over };
        self.counts.insert(name.to_owned(), counted);
    }

    /// The names with the largest counts, at most so many, the largest first; ties by name.
    pub fn most(&self, limit: usize) -> Vec<Entry<'_>> {
        let mut all: Vec<_> = self
            .counts
            .iter()
            .map(|(name, counted)| Entry { name, count: counted.count, over: counted.over })
            .collect();
        // No two are equal, since names are not.
        all.sort_unstable_by(|a, b| b.count.cmp(&a.count).then(a.name.cmp(b.name)));
        all.truncate(limit);
        all
    }

    /// Adds all that another one has counted. What is stated of its counts holds for both together.
    ///
    /// A name that only one of them holds may have been counted by the other as often as the least that it holds, so that
    /// is added to its count and to [`Entry::over`]. (Cafaro, Pulimeno and Tempesta, *A parallel space saving algorithm for
    /// frequent items*, 2016.)
    ///
    /// ```
    /// # use tidegate_sdk::prelude::*;
    /// let (mut here, mut there) = (Top::<8>::default(), Top::<8>::default());
    /// here.add("a", 3);
    /// there.add("a", 1);
    /// there.add("b", 2);
    /// here.merge(&there);
    /// let most: Vec<_> = here.most(2).iter().map(|entry| (entry.name.to_owned(), entry.count)).collect();
    /// assert_eq!(most, [("a".to_owned(), 4), ("b".to_owned(), 2)]);
    /// ```
    pub fn merge(&mut self, other: &Self) {
        let (ours, theirs) = (self.least(), other.least());
        for (name, counted) in &mut self.counts {
            let more = other.counts.get(name).copied().unwrap_or(Counted { count: theirs, over: theirs });
            counted.count = counted.count.saturating_add(more.count);
            counted.over = counted.over.saturating_add(more.over);
        }
        for (name, counted) in &other.counts {
            self.counts.entry(name.clone()).or_insert_with(|| Counted {
                count: counted.count.saturating_add(ours),
                over: counted.over.saturating_add(ours),
            });
        }
        self.total = self.total.saturating_add(other.total);
        if self.counts.len() > N.max(1) {
            let kept: Vec<String> = self.most(N.max(1)).iter().map(|entry| entry.name.to_owned()).collect();
            let mut all = std::mem::take(&mut self.counts);
            self.counts.extend(kept.into_iter().filter_map(|name| all.remove_entry(&name)));
        }
    }

    /// How often a name may have been counted that is not held.
    fn least(&self) -> u64 {
        match self.counts.values().map(|counted| counted.count).min() {
            Some(least) if self.counts.len() >= N.max(1) => least,
            _ => 0,
        }
    }

    /// All that was counted, for every name.
    pub fn total(&self) -> u64 {
        self.total
    }
}

impl<const N: usize> Collect<&str> for Top<N> {
    fn collect(&mut self, name: &str) {
        self.add(name, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is stated of a top, against exact counts.
    fn check(top: &Top<10>, exact: &BTreeMap<String, u64>) -> Result<(), TestCaseError> {
        let told = top.most(usize::MAX);
        prop_assert!(told.len() <= 10);
        prop_assert_eq!(top.total(), exact.values().sum::<u64>());
        for entry in &told {
            let exact = exact.get(entry.name).copied().unwrap_or_default();
            prop_assert!(entry.count >= exact && entry.count - entry.over <= exact, "{entry:?} for {exact}");
            prop_assert!(entry.over * 10 <= top.total(), "{entry:?} of {}", top.total());
        }
        for (name, count) in exact {
            let frequent = count * 10 > top.total();
            prop_assert!(!frequent || told.iter().any(|entry| entry.name == name), "{name} is missing");
        }
        Ok(())
    }

    fn count(names: &[u8], exact: &mut BTreeMap<String, u64>) -> Top<10> {
        let mut top = Top::default();
        for name in names {
            let name = format!("host{}", name / (1 + name % 7));
            top.add(&name, 1);
            *exact.entry(name).or_default() += 1;
        }
        top
    }

    proptest! {
        #[test]
        fn a_count_is_never_too_low_and_no_more_too_high_than_it_says(
            names in prop::collection::vec(0u8..40, 0..400),
        ) {
            let mut exact = BTreeMap::new();
            let top = count(&names, &mut exact);
            check(&top, &exact)?;
        }

        #[test]
        fn what_is_stated_holds_for_many_that_are_merged(
            parts in prop::collection::vec(prop::collection::vec(0u8..40, 0..100), 1..6),
            more in prop::collection::vec(0u8..40, 0..100),
        ) {
            let mut exact = BTreeMap::new();
            let mut merged = Top::<10>::default();
            for part in parts {
                merged.merge(&count(&part, &mut exact));
                check(&merged, &exact)?;
            }
            for name in more {
                let name = format!("late{name}");
                merged.add(&name, 1);
                *exact.entry(name).or_default() += 1;
            }
            check(&merged, &exact)?;
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let mut top = Top::<2>::default();
        top.add(&"ü".repeat(200), 1);
        assert_eq!(top.most(1)[0].name.len(), 256);
    }
}
