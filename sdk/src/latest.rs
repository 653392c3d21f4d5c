//! The latest of many: one of each kind, or the few that lead.

use crate::folds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_event::{Metric, Timestamp};

/// At most so many kinds are remembered.
pub const KINDS_MAX: usize = 100_000;

/// The latest of each kind, for as long as it is valid: what Riemann's `coalesce` remembers.
///
/// At most [`KINDS_MAX`]; one more is left out and counted.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::Latest;
/// let at = Timestamp::from_secs;
/// let mut latest = Latest::default();
/// latest.put("db1", at(60), 0.9);
/// latest.put("web1", at(10), 0.2);
/// latest.put("db1", at(60), 0.7);
/// assert_eq!(latest.values().copied().collect::<Vec<f64>>(), [0.7, 0.2]);
/// latest.expire(at(11));
/// assert_eq!(latest.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latest<K: Ord, T> {
    kept: BTreeMap<K, (Timestamp, T)>,
    left_out: u64,
}

impl<K: Ord, T> Default for Latest<K, T> {
    fn default() -> Self {
        Self { kept: BTreeMap::new(), left_out: 0 }
    }
}

impl<K: Ord, T> Latest<K, T> {
    /// One that is valid until this moment, that moment included; it takes the place of the one of its kind.
    pub fn put(&mut self, kind: K, until: Timestamp, value: T) {
        if self.kept.len() >= KINDS_MAX && !self.kept.contains_key(&kind) {
            self.left_out += 1;
            return;
        }
        self.kept.insert(kind, (until, value));
    }

    /// Forgets those that are valid no more.
    pub fn expire(&mut self, now: Timestamp) {
        self.kept.retain(|_, (until, _)| *until >= now);
    }

    /// All of them, by kind.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.kept.values().map(|(_, value)| value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many were one too many.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// The few that lead, by a number that may change at any time: Riemann's `top`. Unlike [`Top`](crate::Top), which counts
/// any number of names, it is told each one's number and needs to hear from those that fall back.
///
/// At most 1,000.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::{Leaders, Standing};
/// let mut load = Leaders::of(2);
/// assert_eq!(load.put("a", 1.0, ()), Standing::Leads { displaced: None });
/// assert_eq!(load.put("b", 2.0, ()), Standing::Leads { displaced: None });
/// assert_eq!(load.put("c", 3.0, ()), Standing::Leads { displaced: Some(("a", ())) });
/// assert_eq!(load.put("a", 2.0, ()), Standing::Behind);
/// assert_eq!(load.remove(&"b"), Some(()));
/// assert_eq!(load.put("a", 2.0, ()), Standing::Leads { displaced: None });
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leaders<K: Ord, T> {
    limit: u32,
    /// Its number, and how many had come to lead before it.
    kept: BTreeMap<K, (f64, u64, T)>,
    came: u64,
}

/// Where one stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing<K, T> {
    /// It is one of those that lead. Another may have had to go.
    Leads {
        /// The one that had to go.
        displaced: Option<(K, T)>,
    },
    /// It is not.
    Behind,
}

impl<K: Ord + Clone, T> Leaders<K, T> {
    /// So many.
    pub fn of(limit: usize) -> Self {
        Self { limit: limit.min(1_000) as u32, kept: BTreeMap::new(), came: 0 }
    }

    /// What one has now; NaN is more than anything. It leads if it did before, if there is room, or if it has more than the
    /// least of those that do; of equal ones the one that has led for longest has to go.
    pub fn put(&mut self, name: K, number: f64, value: T) -> Standing<K, T> {
        if let Some(kept) = self.kept.get_mut(&name) {
            (kept.0, kept.2) = (number, value);
            return Standing::Leads { displaced: None };
        }
        let came = self.came;
        if self.kept.len() < self.limit as usize {
            self.came += 1;
            self.kept.insert(name, (number, came, value));
            return Standing::Leads { displaced: None };
        }
        let order = |a: f64, b: f64| folds::order(Metric::Float(a), Metric::Float(b));
        let least = self.kept.iter().min_by(|(_, a), (_, b)| order(a.0, b.0).then(a.1.cmp(&b.1)));
        match least.map(|(name, (number, _, _))| (name.clone(), *number)) {
            Some((least, of_least)) if order(number, of_least).is_gt() => {
                let displaced = self.kept.remove(&least).map(|(_, _, value)| (least, value));
                self.came += 1;
                self.kept.insert(name, (number, came, value));
                Standing::Leads { displaced }
            }
            _ => Standing::Behind,
        }
    }

    /// Forgets one. Returns what was kept of it, if it led.
    pub fn remove(&mut self, name: &K) -> Option<T> {
        self.kept.remove(name).map(|(_, _, value)| value)
    }

    /// Those that lead, by name.
    pub fn names(&self) -> impl Iterator<Item = &K> {
        self.kept.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_leads_whatever_its_sign_and_gives_way_to_nothing() {
        for nan in [f64::NAN, -f64::NAN] {
            let mut leaders = Leaders::of(2);
            leaders.put("a", 1.0, ());
            leaders.put("b", f64::INFINITY, ());
            assert_eq!(leaders.put("nan", nan, ()), Standing::Leads { displaced: Some(("a", ())) });
            assert_eq!(leaders.put("c", f64::INFINITY, ()), Standing::Behind);
            assert_eq!(leaders.names().collect::<Vec<_>>(), [&"b", &"nan"]);
        }
    }
}
