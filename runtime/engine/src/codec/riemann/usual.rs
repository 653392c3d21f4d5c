//! The usual event in one pass: known fields with keys of one byte, short lengths, times in microseconds.
//!
//! This is a shortcut and nothing more. It takes an event whole or not at all, and says nothing about why not: whatever is
//! rare, limited or wrong is left to [`decode`](super::decode), which defines what a message means and words the errors.
//! A test holds the two together.

use crate::codec::{Limits, Reserved};
use std::ops::Range;
use tidegate_event::{BatchBuilder, Metric, RowWriter, State, Timestamp};

const VARINT: u8 = 0;
const EIGHT: u8 = 1;
const BYTES: u8 = 2;
const FOUR: u8 = 5;

const EVENT: u8 = 6 << 3 | BYTES;
const TIME: u8 = 1 << 3 | VARINT;
const STATE: u8 = 2 << 3 | BYTES;
const SERVICE: u8 = 3 << 3 | BYTES;
const HOST: u8 = 4 << 3 | BYTES;
const DESCRIPTION: u8 = 5 << 3 | BYTES;
const TAG: u8 = 7 << 3 | BYTES;
const TTL: u8 = 8 << 3 | FOUR;
const ATTRIBUTE: u8 = 9 << 3 | BYTES;
const TIME_MICROS: u8 = 10 << 3 | VARINT;
const METRIC_SINT64: u8 = 13 << 3 | VARINT;
const METRIC_D: u8 = 14 << 3 | EIGHT;
const METRIC_F: u8 = 15 << 3 | FOUR;

/// The top bit of each of eight bytes: set in none of them, they are ASCII; set, a varint goes on.
const TOPS: u64 = 0x8080_8080_8080_8080;

/// Refs of the event at hand; the memory is used again for each.
#[derive(Default)]
pub(super) struct Usual {
    tags: Vec<u32>,
    attributes: Vec<u32>,
}

impl Usual {
    /// Appends the event that stands in the builder's bytes at the start of the range, and returns where it ends. `None`
    /// when something else stands there or the event is not a usual one; then nothing has been added. `events` says how
    /// many the message has had before.
    #[inline]
    pub fn event(
        &mut self,
        builder: &mut BatchBuilder,
        within: Range<usize>,
        events: usize,
        limits: &Limits,
    ) -> Option<usize> {
        let bytes = builder.bytes().get(..within.end)?;
        if *bytes.get(within.start)? != EVENT || events >= limits.events {
            return None;
        }
        let (len, start) = length(bytes, within.start + 1)?;
        let end = Some(start + len).filter(|end| *end <= within.end)?;
        let rows = builder.len();
        let (row, bytes) = builder.begin_row();
        self.tags.clear();
        self.attributes.clear();
        let taken = bytes.get(..end).and_then(|bytes| self.fields(bytes, start, row, limits));
        if taken.is_none() {
            builder.truncate(rows);
        } else if !(self.tags.is_empty() && self.attributes.is_empty()) {
            builder.push_lists(&self.tags, &self.attributes);
        }
        taken.map(|()| end)
    }

    /// The fields from `at` to the end of the bytes.
    #[inline]
    fn fields(&mut self, bytes: &[u8], mut at: usize, mut row: RowWriter<'_>, limits: &Limits) -> Option<()> {
        let (mut seconds, mut micros) = (None, None);
        let mut metric = Exactness::None;
        while let Some(key) = bytes.get(at) {
            at += 1;
            let place = at as u32;
            match *key {
                TIME => {
                    let (value, next) = varint(bytes, at)?;
                    (seconds, at) = (Some(value as i64), next);
                }
                STATE => {
                    let (word, next) = text(bytes, at, limits.value)?;
                    row.state(place, State::of(word));
                    at = next;
                }
                SERVICE => {
                    at = text(bytes, at, limits.value)?.1;
                    row.service(place);
                }
                HOST => {
                    at = text(bytes, at, limits.value)?.1;
                    row.host(place);
                }
                DESCRIPTION => {
                    at = text(bytes, at, limits.description)?.1;
                    row.description(place);
                }
                TAG => {
                    at = text(bytes, at, limits.value)?.1;
                    self.tags.push(place);
                }
                TTL => {
                    let (value, next) = fixed(bytes, at)?;
                    row.ttl(f32::from_le_bytes(value));
                    at = next;
                }
                ATTRIBUTE => at = self.attribute(bytes, at, limits)?,
                TIME_MICROS => {
                    let (value, next) = varint(bytes, at)?;
                    (micros, at) = (Some(value as i64), next);
                }
                METRIC_SINT64 => {
                    let (zigzag, next) = varint(bytes, at)?;
                    row.metric(Metric::Int((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)));
                    (metric, at) = (Exactness::Whole, next);
                }
                METRIC_D => {
                    let (value, next) = fixed(bytes, at)?;
                    if metric <= Exactness::Double {
                        row.metric(Metric::Float(f64::from_le_bytes(value)));
                        metric = Exactness::Double;
                    }
                    at = next;
                }
                METRIC_F => {
                    let (value, next) = fixed(bytes, at)?;
                    if metric <= Exactness::Single {
                        row.metric(Metric::Float(f32::from_le_bytes(value).into()));
                        metric = Exactness::Single;
                    }
                    at = next;
                }
                _ => return None,
            }
        }
        match (micros, seconds) {
            (Some(micros), _) => row.time(Timestamp(micros)),
            (None, Some(seconds)) => row.time(Timestamp::from_secs(seconds)),
            (None, None) => row.untimed(),
        }
        row.finish();
        (self.tags.len() <= limits.tags && self.attributes.len() / 2 <= limits.attributes).then_some(())
    }

    /// A name and a value in this order, or a name alone.
    fn attribute(&mut self, bytes: &[u8], at: usize, limits: &Limits) -> Option<usize> {
        let (len, at) = length(bytes, at)?;
        let end = at + len;
        let bytes = bytes.get(..end)?;
        if *bytes.get(at)? != 1 << 3 | BYTES {
            return None;
        }
        let (name, next) = text(bytes, at + 1, limits.name)?;
        if Reserved::of(name).is_some() {
            return None;
        }
        let value = match bytes.get(next) {
            None => 0,
            Some(key) if *key == 2 << 3 | BYTES && text(bytes, next + 1, limits.value)?.1 == end => next + 1,
            Some(_) => return None,
        };
        self.attributes.extend([at as u32 + 1, value as u32]);
        Some(end)
    }
}

/// Of an event's metrics the most exact one counts.
#[derive(PartialEq, PartialOrd)]
enum Exactness {
    None,
    Single,
    Double,
    Whole,
}

/// A length below 16,384 and where it ends.
#[inline]
fn length(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let low = usize::from(*bytes.get(at)?);
    if low < 0x80 {
        return Some((low, at + 1));
    }
    let high = usize::from(*bytes.get(at + 1)?);
    (high < 0x80).then_some((low & 0x7f | high << 7, at + 2))
}

/// A text of at most so many bytes and where it ends.
#[inline]
fn text(bytes: &[u8], at: usize, limit: usize) -> Option<(&[u8], usize)> {
    let (len, start) = length(bytes, at)?;
    let text = bytes.get(start..start + len)?;
    (len <= limit && (is_ascii(text) || std::str::from_utf8(text).is_ok())).then_some((text, start + len))
}

/// Whether no byte has its top bit set: a text of 4 bytes or more is read by words that may overlap.
#[inline]
fn is_ascii(text: &[u8]) -> bool {
    let eight = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let mut tops = 0;
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        tops = eight(first) | eight(last);
        if text.len() > 16 {
            text.as_chunks().0.iter().for_each(|chunk| tops |= eight(chunk));
        }
    } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        tops = u64::from(u32::from_le_bytes(*first) | u32::from_le_bytes(*last));
    } else {
        text.iter().for_each(|byte| tops |= u64::from(*byte));
    }
    tops & TOPS == 0
}

#[inline]
fn fixed<const N: usize>(bytes: &[u8], at: usize) -> Option<([u8; N], usize)> {
    Some((*bytes.get(at..)?.first_chunk()?, at + N))
}

/// A varint of at most eight bytes and where it ends; near the end of the event only one of a single byte.
#[inline]
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let Some((word, _)) = fixed(bytes, at) else {
        let byte = *bytes.get(at)?;
        return (byte < 0x80).then_some((byte.into(), at + 1));
    };
    let word = u64::from_le_bytes(word);
    let ends = !word & TOPS;
    if ends == 0 {
        return None;
    }
    // The bits up to the top of the first byte that does not go on: all that belongs to the number.
    let seven = word & (ends ^ (ends - 1)) & !TOPS;
    let fourteen = seven & 0x007f_007f_007f_007f | (seven & 0x7f00_7f00_7f00_7f00) >> 1;
    let twenty_eight = fourteen & 0x0000_3fff_0000_3fff | (fourteen & 0x3fff_0000_3fff_0000) >> 2;
    let value = twenty_eight & 0x0000_0000_0fff_ffff | (twenty_eight & 0x0fff_ffff_0000_0000) >> 4;
    Some((value, at + ends.trailing_zeros() as usize / 8 + 1))
}
