//! Messages as they stand on the wire, made once and brought up to date each time they are sent.
//!
//! Encoding costs more than a server's decoding, so a generator that encoded would measure itself. Here every message is
//! encoded before the clock starts; what must change between one sending and the next is overwritten in place, which the
//! encoding allows because it has the same width each time: the moment (in seconds and in microseconds 5 and 8 bytes, from
//! the year 1988 to 3058), and in a fleet that churns the eight digits of the host's name.

use super::workload::{Fleet, Kind, NUMBER};
use anyhow::{Context, bail};
use tidegate_event::Timestamp;

/// Bytes that are prepared at most; what does not fit is not sent by fleets that need a message for each stream.
const PREPARED: usize = 256 << 20;
/// Messages that are prepared at least.
const MESSAGES: usize = 64;

/// Prepared messages, sent round and round.
#[derive(Debug)]
pub struct Frames {
    frames: Vec<Frame>,
    next: usize,
    /// The streams of a fleet that churns, and whose turn it is.
    churn: Option<(u64, u64)>,
    streams: usize,
}

#[derive(Debug)]
struct Frame {
    /// Length and message.
    bytes: Vec<u8>,
    events: Vec<Places>,
}

/// Where an event's changing bytes are in its frame.
#[derive(Clone, Copy, Debug)]
struct Places {
    seconds: u32,
    micros: u32,
    number: u32,
}

impl Frames {
    /// Enough messages of so many events each that every stream speaks.
    pub fn new(kind: Kind, streams: usize, events: usize, now: Timestamp) -> anyhow::Result<Self> {
        let events = events.max(1);
        let churns = kind == Kind::Churn;
        let wanted = if churns { MESSAGES } else { streams.div_ceil(events).max(MESSAGES) };
        let mut fleet = Fleet::of(kind, streams).starting(now);
        let (mut frames, mut bytes) = (Vec::new(), 0);
        while frames.len() < wanted && (bytes < PREPARED || frames.is_empty()) {
            let message = fleet.messages(1, events).pop().unwrap_or_default();
            bytes += message.len();
            frames.push(Frame::new(&message)?);
        }
        let sent = if churns { streams } else { streams.min(frames.len() * events) };
        Ok(Self { frames, next: 0, churn: churns.then_some((streams.max(1) as u64, 0)), streams: sent })
    }

    /// How many streams speak.
    pub fn streams(&self) -> usize {
        self.streams
    }

    /// The next message with its length before it, as of now.
    pub fn next(&mut self, now: Timestamp) -> &[u8] {
        let at = self.next;
        self.next = if at + 1 == self.frames.len() { 0 } else { at + 1 };
        let Frame { bytes, events } = &mut self.frames[at];
        let (seconds, micros) = (varint::<5>(now.secs() as u64), varint::<8>(now.0 as u64));
        for places in events.iter() {
            overwrite(bytes, places.seconds, &seconds);
            overwrite(bytes, places.micros, &micros);
        }
        if let Some((streams, turn)) = &mut self.churn {
            for places in events.iter() {
                overwrite(bytes, places.number, &digits(*turn));
                *turn = if *turn + 1 == *streams { 0 } else { *turn + 1 };
            }
        }
        bytes
    }
}

fn overwrite<const N: usize>(bytes: &mut [u8], at: u32, with: &[u8; N]) {
    if let Some(to) = bytes.get_mut(at as usize..).and_then(|rest| rest.first_chunk_mut()) {
        *to = *with;
    }
}

/// A number in exactly so many bytes of seven bits; those of a moment are all in use.
fn varint<const N: usize>(mut value: u64) -> [u8; N] {
    let mut bytes = [0x80; N];
    for byte in &mut bytes {
        *byte |= (value & 0x7f) as u8;
        value >>= 7;
    }
    bytes[N - 1] &= 0x7f;
    bytes
}

/// Eight decimal digits at once: halves, quarters, single digits, each in its own lanes of one word.
fn digits(number: u64) -> [u8; 8] {
    let number = number % 100_000_000;
    let halves = (number / 10_000) | ((number % 10_000) << 32);
    // Each of these multiplications is a division of every lane, exact for the values that a lane can have.
    let hundreds = ((halves * 10486) >> 20) & 0x7f_0000_007f;
    let pairs = hundreds | ((halves - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | ((pairs - tens * 10) << 8);
    (ones | 0x3030_3030_3030_3030).to_le_bytes()
}

impl Frame {
    fn new(message: &[u8]) -> anyhow::Result<Self> {
        let mut bytes = u32::try_from(message.len()).context("a message of 4 GiB")?.to_be_bytes().to_vec();
        bytes.extend_from_slice(message);
        let mut events = Vec::new();
        let mut fields = Fields { bytes: &bytes, at: 4 };
        while let Some((6, event)) = fields.next()? {
            let mut places = [None; 3];
            let mut inner = Fields { bytes: &bytes[..event.end], at: event.start };
            while let Some((field, value)) = inner.next()? {
                match field {
                    1 if value.len() == 5 => places[0] = Some(value.start as u32),
                    10 if value.len() == 8 => places[1] = Some(value.start as u32),
                    4 if value.len() >= NUMBER.end => places[2] = Some((value.start + NUMBER.start) as u32),
                    _ => {}
                }
            }
            let [Some(seconds), Some(micros), Some(number)] = places else {
                bail!("an event without a host, or from before 1988, cannot be prepared: is the clock set?");
            };
            events.push(Places { seconds, micros, number });
        }
        Ok(Self { bytes, events })
    }
}

/// The fields of a message of ours, with where their values stand.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn varint(&mut self) -> anyhow::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).context("a message that ends in a number")?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        bail!("a number of more than 64 bits")
    }

    fn next(&mut self) -> anyhow::Result<Option<(u64, std::ops::Range<usize>)>> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        let key = self.varint()?;
        let start = self.at;
        let end = match key & 7 {
            0 => {
                self.varint()?;
                self.at
            }
            1 => start + 8,
            5 => start + 4,
            2 => {
                let length = self.varint()? as usize;
                let start = self.at;
                self.at = start + length;
                return Ok(Some((key >> 3, start..self.at)));
            }
            wire => bail!("wire type {wire}"),
        };
        self.at = end;
        Ok(Some((key >> 3, start..end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::codec::{Limits, riemann};
    use tidegate_event::{Batch, BatchBuilder, Span};

    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    fn decoded(frame: &[u8]) -> Batch {
        let (length, message) = frame.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_be_bytes(*length) as usize, message.len());
        let mut builder = BatchBuilder::new();
        riemann::decode_copy(&mut builder, message, &Limits::default()).unwrap();
        builder.finish()
    }

    #[test]
    fn eight_digits_are_those_of_the_number() {
        for number in [0, 7, 42, 99, 100, 4711, 9999, 10_000, 12_345_678, 99_999_999] {
            assert_eq!(digits(number), format!("{number:08}").as_bytes());
        }
        for number in (0..100_000_000).step_by(9973) {
            assert_eq!(digits(number), format!("{number:08}").as_bytes());
        }
    }

    #[test]
    fn a_frame_sent_again_differs_in_its_time_alone() {
        for kind in [Kind::Steady, Kind::Skewed, Kind::Bursty, Kind::Long] {
            let mut frames = Frames::new(kind, 100, 7, NOW).unwrap();
            let first = frames.next(NOW).to_vec();
            for _ in 1..MESSAGES {
                frames.next(NOW);
            }
            let later = NOW + Span::millis(600_123);
            let (first, again) = (decoded(&first), decoded(frames.next(later)));
            for (one, other) in first.events().zip(again.events()) {
                assert_eq!((one.time(), other.time()), (NOW, later));
                assert_eq!(one.metric(), other.metric());
                assert_eq!((one.host(), one.service()), (other.host(), other.service()));
            }
        }
    }

    #[test]
    fn a_churning_fleet_uses_each_name_once_in_a_round() {
        let mut frames = Frames::new(Kind::Churn, 1000, 10, NOW).unwrap();
        let hosts = |frames: &mut Frames| -> Vec<String> {
            let mut hosts = Vec::new();
            for _ in 0..100 {
                let batch = decoded(frames.next(NOW));
                hosts.extend(batch.events().filter_map(|event| event.host().map(str::to_owned)));
            }
            hosts
        };
        let (first, second) = (hosts(&mut frames), hosts(&mut frames));
        assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 1000);
        assert_eq!(first, second);
        assert_eq!(frames.streams(), 1000);
    }
}
