//! Moments by number, the earliest first; each number has one at most.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tidegate_event::Timestamp;

/// The heap holds so many entries more than twice the numbers before those that do not count any more are swept out.
const SLACK: usize = 64;

/// The alarms.
#[derive(Debug, Default)]
pub struct Alarms {
    at: Vec<Timestamp>,
    /// Entries whose moment is not the number's any more are passed over.
    heap: BinaryHeap<Reverse<(Timestamp, u32)>>,
}

impl Alarms {
    /// Sets a number's moment; [`Timestamp::NEVER`] for none.
    #[inline]
    pub fn set(&mut self, number: u32, at: Timestamp) {
        if number as usize >= self.at.len() {
            self.at.resize(number as usize + 1, Timestamp::NEVER);
        }
        let place = &mut self.at[number as usize];
        if *place == at {
            return;
        }
        *place = at;
        if at != Timestamp::NEVER {
            self.heap.push(Reverse((at, number)));
        }
        if self.heap.len() > 2 * self.at.len() + SLACK {
            let set = self.at.iter().enumerate().filter(|(_, at)| **at != Timestamp::NEVER);
            self.heap = set.map(|(number, at)| Reverse((*at, number as u32))).collect();
        }
    }

    /// The earliest moment, and whose it is.
    pub fn first(&mut self) -> Option<(Timestamp, u32)> {
        while let Some(&Reverse((at, number))) = self.heap.peek() {
            if self.at[number as usize] == at {
                return Some((at, number));
            }
            self.heap.pop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_number_counts() {
        let mut alarms = Alarms::default();
        assert_eq!(alarms.first(), None);
        alarms.set(3, Timestamp(30));
        alarms.set(1, Timestamp(20));
        alarms.set(1, Timestamp(40));
        assert_eq!(alarms.first(), Some((Timestamp(30), 3)));
        alarms.set(3, Timestamp::NEVER);
        assert_eq!(alarms.first(), Some((Timestamp(40), 1)));
        for at in 0..10_000 {
            alarms.set(2, Timestamp(at));
        }
        assert!(alarms.heap.len() <= 2 * 4 + SLACK);
        assert_eq!(alarms.first(), Some((Timestamp(40), 1)));
        alarms.set(1, Timestamp::NEVER);
        assert_eq!(alarms.first(), Some((Timestamp(9_999), 2)));
    }
}
