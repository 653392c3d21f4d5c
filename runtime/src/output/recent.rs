//! What was written to a receiver that acknowledges nothing, for a while: when its connection breaks it is written again.
//!
//! Only for receivers to which the same point twice is one point. What is kept is bounded by time and by bytes, and is gone
//! when the node ends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes kept at most; the oldest go first.
const MOST: usize = 8 << 20;

/// What was written lately.
#[derive(Debug)]
pub struct Recent {
    keep: Duration,
    parts: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

impl Recent {
    /// Keeps what is not older than this; nothing at all if that is zero.
    pub fn new(keep: Duration) -> Self {
        Self { keep, parts: VecDeque::new(), bytes: 0 }
    }

    /// Adds what has been written now.
    pub fn add(&mut self, part: Vec<u8>, now: Instant) {
        if !self.keep.is_zero() {
            self.bytes += part.len();
            self.parts.push_back((now, part));
        }
        self.forget(now);
    }

    /// Everything that is to be written again, in order: what was written in this time before the last of it, however long
    /// the receiver was away since.
    pub fn all(&self) -> Vec<u8> {
        self.parts.iter().flat_map(|(_, part)| part).copied().collect()
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, part)) = self.parts.front()
            && (self.bytes > MOST || now.saturating_duration_since(*at) > self.keep)
        {
            self.bytes -= part.len();
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_or_too_much_is_forgotten() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut recent = Recent::new(5 * second);
        recent.add(b"a".to_vec(), start);
        recent.add(b"b".to_vec(), start + 4 * second);
        assert_eq!(recent.all(), b"ab");
        recent.add(b"c".to_vec(), start + 6 * second);
        assert_eq!(recent.all(), b"bc");
        recent.add(vec![b'x'; MOST], start + 6 * second);
        assert_eq!(recent.all().len(), MOST);
        let mut none = Recent::new(Duration::ZERO);
        none.add(b"a".to_vec(), start);
        assert!(none.all().is_empty());
    }
}
