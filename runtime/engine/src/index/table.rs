//! From the id of a key to the number of its entry: eight bytes a place, places next to each other, so that looking up
//! many keys is a loop of loads that do not wait for each other.
//!
//! Ids are hashes under a secret seed already, so their low bits serve as they are. A place keeps 32 bits of the id: enough
//! to pass over nearly every other key without looking at its entry. Linear probing, and removal shifts back what
//! follows, so nothing is left behind by keys that come and go.

use super::NOWHERE;

/// Places to begin with.
const SMALLEST: usize = 64;

/// The table.
#[derive(Debug, Default)]
pub struct Table {
    places: Vec<Place>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    low: u32,
    /// [`NOWHERE`] where there is nothing.
    number: u32,
}

const EMPTY: Place = Place { low: 0, number: NOWHERE };

impl Table {
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A number that is right if the key is here and no other key shares 32 bits with it; else wrong or [`NOWHERE`]. It is
    /// [`NOWHERE`] only if the key is not here.
    #[inline]
    pub fn guess(&self, key: u64) -> u32 {
        let low = key as u32;
        self.walk(low).find(|(_, place)| place.low == low).map_or(NOWHERE, |(_, place)| place.number)
    }

    /// The number of a key; `is` says whether a number is its.
    pub fn find(&self, key: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let low = key as u32;
        let mut found = self.walk(low).filter(|(_, place)| place.low == low && is(place.number));
        found.next().map(|(_, place)| place.number)
    }

    /// The places from a key's own to the next empty one. There always is one: the table is never more than 5/8 full.
    #[inline]
    fn walk(&self, low: u32) -> impl Iterator<Item = (usize, Place)> + '_ {
        let mask = self.places.len().wrapping_sub(1);
        (0..self.places.len())
            .map(move |step| (low as usize).wrapping_add(step) & mask)
            .map(|at| (at, self.places[at]))
            .take_while(|(_, place)| place.number != NOWHERE)
    }

    /// Adds a key that is not here.
    pub fn insert(&mut self, key: u64, number: u32) {
        if (self.len + 1) * 8 > self.places.len() * 5 {
            let larger = vec![EMPTY; (self.places.len() * 2).max(SMALLEST)];
            for place in std::mem::replace(&mut self.places, larger) {
                if place.number != NOWHERE {
                    self.place(place);
                }
            }
        }
        self.place(Place { low: key as u32, number });
        self.len += 1;
    }

    fn place(&mut self, place: Place) {
        let mask = self.places.len() - 1;
        let mut at = place.low as usize & mask;
        while self.places[at].number != NOWHERE {
            at = (at + 1) & mask;
        }
        self.places[at] = place;
    }

    /// Removes a key with its number, if it is here.
    pub fn remove(&mut self, key: u64, number: u32) {
        let Some((mut hole, _)) = self.walk(key as u32).find(|(_, place)| place.number == number) else {
            return;
        };
        let mask = self.places.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let place = self.places[at];
            if place.number == NOWHERE {
                break;
            }
            // It may move to the hole unless its own place lies behind it.
            let own = place.low as usize & mask;
            if (at.wrapping_sub(own) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.places[hole] = place;
                hole = at;
            }
        }
        self.places[hole] = EMPTY;
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_empty_table_finds_nothing() {
        let table = Table::default();
        assert_eq!((table.guess(5), table.find(5, |_| true), table.len()), (NOWHERE, None, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Few different low bits, so that keys crowd and share all 32 of them.
        #[test]
        fn it_holds_what_a_map_holds(steps in prop::collection::vec((any::<bool>(), 0u64..90, 0u64..3), 0..400)) {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            let mut names = Vec::new();
            for (add, low, high) in steps {
                let key = ((low % 30) * 61) | (high << 32);
                match (add, map.get(&key).copied()) {
                    (true, None) => {
                        let number = names.len() as u32;
                        names.push(key);
                        table.insert(key, number);
                        map.insert(key, number);
                    }
                    (false, Some(number)) => {
                        table.remove(key, number);
                        map.remove(&key);
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), map.len());
                for key in (0..30).flat_map(|low| (0..3).map(move |high| (low * 61) | (high << 32))) {
                    let found = table.find(key, |number| names[number as usize] == key);
                    prop_assert_eq!(found, map.get(&key).copied());
                    prop_assert!(found.is_none() || table.guess(key) != NOWHERE);
                }
            }
        }
    }
}
