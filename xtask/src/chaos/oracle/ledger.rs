//! What was sent and what was answered, event by event; kept by the oracle's process, so that it outlives every server.

use crate::chaos::event::LANE;

/// What is known of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fate {
    /// Sent, and no answer came: it may be in the log or not.
    Unknown,
    /// The answer was yes.
    Acked,
    /// The answer was no.
    Refused,
}

/// One event of the ledger.
#[derive(Clone, Copy, Debug)]
struct Entry {
    fate: Fate,
    /// Whether the log had it.
    logged: bool,
    /// When it was sent, as [`Moment`] counts.
    sent: Moment,
}

/// Tenths of a millisecond since the oracle began.
pub type Moment = u32;

/// Events of one connection after another, in the order in which they were sent.
#[derive(Debug, Default)]
pub struct Lane {
    number: u64,
    entries: Vec<Entry>,
    /// The last one that was found in the log.
    last: Option<u64>,
    /// Entries before this one were looked for.
    looked: usize,
}

/// What happens when the log has an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// As it should be.
    Fine(Fate),
    /// It was never sent.
    Invented,
    /// The log has it twice.
    Doubled,
    /// One that was sent later stands before it.
    Disorder,
}

impl Lane {
    /// The lane with this number.
    pub fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    /// The numbers of the next events, which are about to be sent.
    pub fn issue(&mut self, count: usize, sent: Moment) -> std::ops::Range<u64> {
        let first = self.number * LANE + self.entries.len() as u64;
        self.entries.resize(self.entries.len() + count, Entry { fate: Fate::Unknown, logged: false, sent });
        first..first + count as u64
    }

    /// An answer came.
    pub fn settle(&mut self, ids: &std::ops::Range<u64>, fate: Fate) {
        for id in ids.clone() {
            self.entries[(id % LANE) as usize].fate = fate;
        }
    }

    /// The log has this event, behind those that were found before.
    pub fn find(&mut self, id: u64) -> Found {
        let Some(entry) = self.entries.get_mut((id % LANE) as usize) else { return Found::Invented };
        if std::mem::replace(&mut entry.logged, true) {
            return Found::Doubled;
        }
        if self.last.is_some_and(|last| id < last) {
            return Found::Disorder;
        }
        self.last = Some(id);
        Found::Fine(entry.fate)
    }

    /// The events that were acked and that the log does not have, of those sent since the last look.
    pub fn lost(&mut self) -> Vec<u64> {
        let new = self.entries.iter().enumerate().skip(self.looked);
        let lost = new.filter(|(_, entry)| entry.fate == Fate::Acked && !entry.logged);
        let lost = lost.map(|(n, _)| self.number * LANE + n as u64).collect();
        self.looked = self.entries.len();
        lost
    }

    /// The events that were sent in this time, with when that was.
    pub fn sent(&self, during: std::ops::Range<Moment>) -> impl Iterator<Item = (u64, Moment)> {
        let entries = self.entries.iter().enumerate().filter(move |(_, entry)| during.contains(&entry.sent));
        entries.map(|(n, entry)| (self.number * LANE + n as u64, entry.sent))
    }

    /// The events that the log has.
    pub fn logged(&self) -> impl Iterator<Item = u64> {
        let entries = self.entries.iter().enumerate().filter(|(_, entry)| entry.logged);
        entries.map(|(n, _)| self.number * LANE + n as u64)
    }

    /// How many of those that were sent have this fate.
    pub fn count(&self, fate: Fate) -> usize {
        self.entries.iter().filter(|entry| entry.fate == fate).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acked_must_be_in_the_log_once_and_in_order() {
        let mut lane = Lane::new(2);
        let (one, two) = (lane.issue(3, 0), lane.issue(2, 0));
        assert_eq!(one, 2 * LANE..2 * LANE + 3);
        lane.settle(&one, Fate::Acked);
        assert_eq!(lane.find(one.start), Found::Fine(Fate::Acked));
        assert_eq!(lane.find(one.start + 2), Found::Fine(Fate::Acked));
        assert_eq!(lane.find(two.start), Found::Fine(Fate::Unknown));
        assert_eq!(lane.lost(), [one.start + 1]);
        assert_eq!(lane.find(one.start + 1), Found::Disorder);
        assert_eq!(lane.find(one.start), Found::Doubled);
        assert_eq!(lane.find(two.end), Found::Invented);
        assert_eq!(lane.lost(), [0; 0]);
        assert_eq!((lane.count(Fate::Acked), lane.count(Fate::Unknown)), (3, 2));
    }
}
