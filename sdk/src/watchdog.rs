//! Watching over things that should speak, and over things that others stand on.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_event::{Span, Timestamp};

/// A dead man's switch: tells when a beat that should have come did not.
///
/// A stream's own ttl does the same for streams; this is for what is not a stream of its own: a nightly job, one kind of
/// event out of many, an answer that belongs to a question. The key must live for long enough to miss the beat, so its
/// events need a ttl longer than the time between two beats.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let at = Timestamp::from_secs;
/// let mut backup = Heartbeat::every(Span::secs(60));
/// assert_eq!(backup.beat(at(0)), at(60));
/// assert_eq!(backup.beat(at(50)), at(110));
/// assert_eq!(backup.missed(at(60)), None);
/// assert_eq!(backup.missed(at(110)), Some(Span::secs(60))); // since the last beat
/// assert_eq!(backup.missed(at(111)), None); // told already
/// assert!(backup.is_missed());
/// assert_eq!(backup.beat(at(120)), at(180));
/// assert!(!backup.is_missed());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    every: Span,
    last: Option<Timestamp>,
    told: bool,
}

impl Heartbeat {
    /// Expects a beat at least that often, from the first one on.
    pub fn every(every: Span) -> Self {
        Self { every, last: None, told: false }
    }

    /// A beat; returns the moment at which the next one will be missed: [`wake_at`](crate::Out::wake_at) it. One that comes
    /// late, from before the last, changes nothing.
    ///
    /// A time far ahead hides every silence until then. Where senders' clocks may be wrong, give it none that is later than
    /// [`out.now()`](crate::Out::now).
    #[must_use = "a missed beat is told only if the rule is woken then: out.wake_at(heartbeat.beat(…))"]
    pub fn beat(&mut self, time: Timestamp) -> Timestamp {
        let last = self.last.map_or(time, |last| last.max(time));
        self.told &= self.last == Some(last);
        self.last = Some(last);
        last + self.every
    }

    /// How long there has been no beat, if one has been missed by this moment and that was not told before.
    pub fn missed(&mut self, now: Timestamp) -> Option<Span> {
        let last = self.last?;
        if self.told || last + self.every > now {
            return None;
        }
        self.told = true;
        Some(now - last)
    }

    /// Whether a missed beat was told, and none has come since.
    pub fn is_missed(&self) -> bool {
        self.told
    }
}

/// A name is kept up to so many bytes.
const NAME_MAX: usize = 256;

/// Which parents are down, so that their children's alarms are held back: a host that is down silences its services.
///
/// It keeps `N` parents, each for so long after it was last said to be down. When there are more, the one is forgotten that
/// would have run out first. Names longer than 256 bytes are not kept. Where it cannot remember, alarms pass: one alarm too
/// many is better than one too few.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let at = Timestamp::from_secs;
/// let mut parents = Suppress::<100>::lasting(Span::minutes(5));
/// parents.down("web1", at(0));
/// assert!(parents.hides("web1", at(10)));
/// assert!(!parents.hides("web2", at(10)));
/// assert!(!parents.hides("web1", at(300))); // not heard of for five minutes
///
/// parents.down("web1", at(400));
/// parents.up("web1");
/// assert!(!parents.hides("web1", at(410)));
/// assert_eq!(parents.take_held_back(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppress<const N: usize> {
    lasting: Span,
    /// Until when each is believed to be down.
    down: BTreeMap<String, Timestamp>,
    held_back: u64,
    forgotten: u64,
}

impl<const N: usize> Suppress<N> {
    /// A parent is believed to be down for so long after each time that it is said to be.
    pub fn lasting(lasting: Span) -> Self {
        Self { lasting, down: BTreeMap::new(), held_back: 0, forgotten: 0 }
    }

    /// A parent is down, or still is.
    pub fn down(&mut self, parent: &str, now: Timestamp) {
        let until = now + self.lasting;
        if let Some(known) = self.down.get_mut(parent) {
            *known = until.max(*known);
            return;
        }
        if N == 0 || parent.len() > NAME_MAX {
            self.forgotten += 1;
            return;
        }
        if self.down.len() >= N {
            self.down.retain(|_, until| *until > now);
        }
        if self.down.len() >= N {
            // Ties go to the first by name. Any order would do, but it must be the same one everywhere.
            let first = self.down.iter().min_by_key(|(_, until)| **until).map(|(name, _)| name.clone());
            if let Some(first) = first {
                self.down.remove(&first);
                self.forgotten += 1;
            }
        }
        self.down.insert(parent.to_owned(), until);
    }

    /// A parent is up again.
    pub fn up(&mut self, parent: &str) {
        self.down.remove(parent);
    }

    /// Whether an alarm of a child is to be held back, because this parent of it is down.
    #[must_use]
    pub fn hides(&mut self, parent: &str, now: Timestamp) -> bool {
        let hides = self.down.get(parent).is_some_and(|until| now < *until);
        self.held_back += u64::from(hides);
        hides
    }

    /// How many alarms were held back since this was last asked.
    pub fn take_held_back(&mut self) -> u64 {
        std::mem::take(&mut self.held_back)
    }

    /// How many parents could not be kept so far.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_beat_from_the_past_does_not_shorten_the_wait() {
        let at = Timestamp::from_secs;
        let mut heart = Heartbeat::every(Span::secs(10));
        assert_eq!(heart.missed(at(100)), None); // never heard of
        assert_eq!(heart.beat(at(20)), at(30));
        assert_eq!(heart.beat(at(5)), at(30));
    }

    #[test]
    fn a_silence_is_told_once_even_if_an_old_beat_comes_late() {
        let at = Timestamp::from_secs;
        let mut heart = Heartbeat::every(Span::secs(10));
        assert_eq!(heart.beat(at(20)), at(30));
        assert_eq!(heart.missed(at(30)), Some(Span::secs(10)));
        assert_eq!(heart.beat(at(5)), at(30));
        assert_eq!((heart.missed(at(31)), heart.is_missed()), (None, true));
        assert_eq!(heart.beat(at(32)), at(42));
        assert_eq!(heart.missed(at(42)), Some(Span::secs(10)));
    }

    #[test]
    fn when_there_is_no_room_alarms_pass() {
        let at = Timestamp::from_secs;
        let mut parents = Suppress::<2>::lasting(Span::secs(10));
        parents.down("b", at(0));
        parents.down("a", at(0));
        parents.down("c", at(5)); // in place of "a", the first by name of those that run out first
        assert_eq!(["a", "b", "c"].map(|name| parents.hides(name, at(6))), [false, true, true]);
        parents.down("d", at(11)); // "b" has run out
        assert_eq!(["b", "c", "d"].map(|name| parents.hides(name, at(12))), [false, true, true]);
        let long = "x".repeat(257);
        parents.down(&long, at(12));
        assert!(!parents.hides(&long, at(12)));
        assert_eq!((parents.forgotten(), parents.take_held_back()), (2, 4));
    }

    proptest! {
        #[test]
        fn with_room_for_all_it_knows_who_is_down(
            moves in prop::collection::vec((0i64..4, 0u8..5, any::<bool>()), 0..100),
        ) {
            let mut parents = Suppress::<5>::lasting(Span::secs(7));
            let mut said = Vec::new();
            let mut now = 0;
            for (pause, name, down) in moves {
                now += pause;
                let at = Timestamp::from_secs(now);
                match down {
                    true => parents.down(&name.to_string(), at),
                    false => parents.up(&name.to_string()),
                }
                said.push((now, name, down));
                for name in 0..5 {
                    let last = said.iter().rfind(|(_, other, _)| *other == name);
                    let hides = last.is_some_and(|(since, _, down)| *down && now < since + 7);
                    prop_assert_eq!(parents.hides(&name.to_string(), at), hides);
                }
            }
        }
    }
}
