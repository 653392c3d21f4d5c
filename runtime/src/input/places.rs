//! Who may connect: so many at once, and so many from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places of a listener.
#[derive(Clone, Debug)]
pub struct Places {
    taken: Arc<Mutex<Taken>>,
    most: usize,
    most_each: usize,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// One place, given back when dropped.
#[derive(Debug)]
pub struct Place {
    taken: Arc<Mutex<Taken>>,
    address: IpAddr,
}

impl Places {
    /// So many in all, so many for each address.
    pub fn new(most: usize, most_each: usize) -> Self {
        Self { taken: Arc::default(), most, most_each }
    }

    /// Takes a place, or says why there is none.
    pub fn enter(&self, address: IpAddr) -> Result<Place, &'static str> {
        let mut taken = lock(&self.taken);
        if taken.all >= self.most {
            return Err("too_many_connections");
        }
        let most = self.most_each;
        let each = taken.each.entry(address).or_default();
        if *each >= most {
            return Err("too_many_from_address");
        }
        *each += 1;
        taken.all += 1;
        Ok(Place { taken: self.taken.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        if let Some(each) = taken.each.get_mut(&self.address) {
            *each -= 1;
            if *each == 0 {
                taken.each.remove(&self.address);
            }
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_for_each_and_for_all_and_come_back() {
        let places = Places::new(3, 2);
        let [one, other] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        let first = places.enter(one).unwrap();
        let _second = places.enter(one).unwrap();
        assert_eq!(places.enter(one).unwrap_err(), "too_many_from_address");
        let _third = places.enter(other).unwrap();
        assert_eq!(places.enter(other).unwrap_err(), "too_many_connections");
        drop(first);
        let _again = places.enter(one).unwrap();
        assert_eq!(lock(&places.taken).each.len(), 2);
    }
}
