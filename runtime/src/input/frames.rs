//! Cuts a stream of bytes into Riemann's frames: a length of four bytes, big endian, and so many bytes of message.
//!
//! ```text
//! buffer  0 | len  message | len  message | len  mess…
//!         │  └──────── one batch ────────┘ └── copied to the next buffer
//!         └ the empty string: the buffer becomes a batch's strings as it is
//! ```
//!
//! The buffer grows with what has arrived, never with what was announced.

use std::ops::Range;

/// Size of the length.
const HEAD: usize = 4;

/// Room to begin with, and between messages: there may be ten thousand silent connections.
const SMALL: usize = 2 << 10;

/// Room for one read at most.
const LARGE: usize = 256 << 10;

/// Messages of one batch at most.
pub const MESSAGES: usize = 4096;

/// Bytes of one batch at most, unless a single message is larger. With its rows such a batch fits into the smallest
/// `engine.in_flight` there may be.
pub const BYTES: usize = 256 << 10;

/// What has arrived and is not cut yet.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    room: usize,
    max_frame: usize,
}

/// Whole messages.
#[derive(Debug, Default)]
pub struct Cut {
    /// The buffer, first byte 0, ending where the last message ends.
    pub bytes: Vec<u8>,
    /// Where the messages lie in it.
    pub messages: Vec<Range<usize>>,
    /// A length beyond the limit stands behind the last message: nothing after it can be read.
    pub too_long: Option<usize>,
}

impl Frames {
    /// Nothing has arrived yet.
    pub fn new(max_frame: usize) -> Self {
        Self { bytes: vec![0], room: SMALL, max_frame }
    }

    /// The buffer to read into, with room.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        let spare = self.bytes.capacity() - self.bytes.len();
        if spare < self.room.min(SMALL) {
            self.bytes.reserve(self.room);
        }
        &mut self.bytes
    }

    /// Learns from a read of so many bytes how much room the next should have.
    pub fn was_read(&mut self, bytes: usize) {
        if bytes >= self.room {
            self.room = (self.room * 4).min(LARGE);
        } else if bytes < self.room / 8 {
            self.room = (self.room / 2).max(SMALL);
        }
    }

    /// Bytes of a message that has begun and not ended, its length included.
    pub fn partial(&self) -> usize {
        self.bytes.len() - 1
    }

    /// Takes the whole messages from the front, up to the bounds of a batch; `None` when there is no whole message and
    /// nothing wrong.
    pub fn cut(&mut self) -> Option<Cut> {
        let mut cut = Cut::default();
        let mut at = 1;
        while cut.messages.len() < MESSAGES {
            let Some(head) = self.bytes[at..].first_chunk::<HEAD>() else { break };
            let length = u32::from_be_bytes(*head) as usize;
            if length > self.max_frame {
                cut.too_long = Some(length);
                break;
            }
            let end = at + HEAD + length;
            if end > self.bytes.len() || (at > 1 && end > BYTES) {
                break;
            }
            cut.messages.push(at + HEAD..end);
            at = end;
        }
        if cut.messages.is_empty() && cut.too_long.is_none() {
            return None;
        }
        let rest = &self.bytes[at..];
        let mut next = Vec::with_capacity(1 + rest.len() + self.room);
        next.push(0);
        next.extend_from_slice(rest);
        self.bytes.truncate(at);
        cut.bytes = std::mem::replace(&mut self.bytes, next);
        // A batch is counted by its length; it must not hold much more than that.
        if cut.bytes.capacity() > 2 * cut.bytes.len() + 2 * SMALL {
            cut.bytes.shrink_to(cut.bytes.len() + cut.bytes.len() / 4);
        }
        Some(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(frames: &mut Frames, bytes: &[u8]) {
        frames.buffer().extend_from_slice(bytes);
        frames.was_read(bytes.len());
    }

    fn frame(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u32).to_be_bytes(), message].concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn any_splitting_yields_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..40),
            steps in prop::collection::vec(1usize..2000, 1..50),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
            let mut frames = Frames::new(300);
            let (mut rest, mut found) = (&stream[..], Vec::new());
            for step in steps.iter().cycle() {
                if rest.is_empty() { break }
                let (now, later) = rest.split_at((*step).min(rest.len()));
                feed(&mut frames, now);
                rest = later;
                while let Some(cut) = frames.cut() {
                    prop_assert_eq!(cut.bytes[0], 0);
                    prop_assert_eq!(cut.too_long, None);
                    found.extend(cut.messages.iter().map(|range| cut.bytes[range.clone()].to_vec()));
                }
            }
            prop_assert_eq!(found, messages);
            prop_assert_eq!(frames.partial(), 0);
        }
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut frames = Frames::new(16 << 20);
        feed(&mut frames, &(16u32 << 20).to_be_bytes());
        assert!(frames.cut().is_none());
        assert!(frames.buffer().capacity() < 16 << 10, "{}", frames.buffer().capacity());
        assert_eq!(frames.partial(), 4);
    }

    #[test]
    fn a_length_beyond_the_limit_is_said_after_the_messages_before_it() {
        let mut frames = Frames::new(10);
        feed(&mut frames, &[frame(b"fine"), frame(b""), 11u32.to_be_bytes().to_vec()].concat());
        let cut = frames.cut().unwrap();
        assert_eq!((cut.messages.len(), cut.too_long), (2, Some(11)));
    }

    #[test]
    fn a_batch_is_bounded_in_messages_and_in_bytes() {
        let mut frames = Frames::new(16 << 20);
        feed(&mut frames, &[0; 4 * (MESSAGES + 1)]);
        assert_eq!(frames.cut().unwrap().messages.len(), MESSAGES);
        assert_eq!(frames.cut().unwrap().messages.len(), 1);
        let large = frame(&vec![7; BYTES]);
        feed(&mut frames, &[frame(b"small"), large.clone(), large].concat());
        for expected in [1, 1, 1] {
            assert_eq!(frames.cut().unwrap().messages.len(), expected);
        }
        assert!(frames.cut().is_none());
    }

    #[test]
    fn a_small_message_does_not_carry_a_large_buffer_away() {
        let mut frames = Frames::new(16 << 20);
        for _ in 0..6 {
            let flood = frame(&vec![7; 200 << 10]);
            feed(&mut frames, &flood);
            frames.cut().unwrap();
        }
        feed(&mut frames, &frame(b"alone"));
        let cut = frames.cut().unwrap();
        assert!(cut.bytes.capacity() <= 2 * cut.bytes.len() + 2 * SMALL, "{}", cut.bytes.capacity());
    }
}
