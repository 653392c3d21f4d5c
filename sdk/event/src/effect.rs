//! What a rule asked for: the reply to one batch, as 32-byte records and the bytes that go with them.
//!
//! ```text
//! record                                     overrides, at an offset into the reply's bytes
//! 0   u32 base: a row or a slot              u16 count, then count times
//! 4   u32 flags                              u8 field (Field; bit 7: remove it)
//! 8   u64 metric: bits of an i64 or an f64   u8 0
//! 16  i64 time, microseconds                 u16 length of the key (an attribute's name)
//! 24  u32 target: output, or level of a log  u32 length of the value
//! 28  u32 overrides; 0 for none              the key, the value
//!
//! flags
//! bits 0–1 metric (0 as in the base, 1 i64, 2 f64, 3 none)
//! bits 4–5 base (0 nothing, 1 a row of the batch, 2 a slot: the key's own host and service)
//! bits 8–15 action (1 emit: back into the stream, 2 forward to an output, 3 log)
//! ```
//!
//! A record is **a base and what differs from it**: an alert about an event keeps the event's host, tags and attributes
//! without copying them. Override values are UTF-8, but for the ttl (four bytes of an f32). A tag override adds one tag;
//! a removed `tags` drops all of them first. The bytes begin with a 0, so that offset 0 can mean none.

use crate::abi::NO_ROW;
use crate::event::Metric;
use crate::field::Field;
use crate::time::Timestamp;
use core::fmt;

/// Size of a record.
pub const RECORD: usize = 32;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Action {
    /// Put the event back into the stream.
    Emit = 1,
    /// Hand it to an output.
    Forward = 2,
    /// Write a line into the rule's log.
    Log = 3,
}

/// What an effect starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// Nothing: every field is in the record.
    Nothing,
    /// The event in that row of the batch.
    Row(u32),
    /// The key with that slot: its host and service, where the key has them.
    Slot(u32),
}

/// What happens to the metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spot {
    /// As in the base.
    Keep,
    /// This one.
    Set(Metric),
    /// None.
    Clear,
}

impl Spot {
    /// Its kind and bits in a record.
    #[inline]
    const fn bits(self) -> (u32, u64) {
        match self {
            Self::Keep => (0, 0),
            Self::Set(Metric::Int(value)) => (1, value as u64),
            Self::Set(Metric::Float(value)) => (2, value.to_bits()),
            Self::Clear => (3, 0),
        }
    }
}

/// The fixed part of an effect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// What it starts from.
    pub base: Base,
    /// What is to be done.
    pub action: Action,
    /// The metric.
    pub metric: Spot,
    /// The event's time.
    pub time: Timestamp,
    /// For a forward, the number of the output in the manifest; for a log, its level (0 error to 4 trace).
    pub target: u32,
    /// Where the overrides stand; 0 for none.
    pub overrides: u32,
}

impl Record {
    /// The record's 32 bytes.
    #[inline]
    pub fn write(&self) -> [u8; RECORD] {
        let mut to = [0; RECORD];
        let (base_kind, base) = match self.base {
            Base::Nothing => (0, NO_ROW),
            Base::Row(row) => (1, row),
            Base::Slot(slot) => (2, slot),
        };
        let (metric_kind, bits) = self.metric.bits();
        let flags = metric_kind | base_kind << 4 | (self.action as u32) << 8;
        to[0..4].copy_from_slice(&base.to_le_bytes());
        to[4..8].copy_from_slice(&u32::to_le_bytes(flags));
        to[8..16].copy_from_slice(&bits.to_le_bytes());
        to[16..24].copy_from_slice(&self.time.0.to_le_bytes());
        to[24..28].copy_from_slice(&self.target.to_le_bytes());
        to[28..32].copy_from_slice(&self.overrides.to_le_bytes());
        to
    }

    /// The record in these 32 bytes; `None` when its action or base is unknown.
    #[inline]
    pub fn read(from: &[u8; RECORD]) -> Option<Self> {
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&from[at..at + 4]);
            u32::from_le_bytes(word)
        };
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let flags = word(4);
        Some(Self {
            base: match flags >> 4 & 3 {
                0 => Base::Nothing,
                1 => Base::Row(word(0)),
                2 => Base::Slot(word(0)),
                _ => return None,
            },
            action: match flags >> 8 & 0xff {
                1 => Action::Emit,
                2 => Action::Forward,
                3 => Action::Log,
                _ => return None,
            },
            metric: match flags & 3 {
                0 => Spot::Keep,
                1 => Spot::Set(Metric::Int(long(8) as i64)),
                2 => Spot::Set(Metric::Float(f64::from_bits(long(8)))),
                _ => Spot::Clear,
            },
            time: Timestamp(long(16) as i64),
            target: word(24),
            overrides: word(28),
        })
    }
}

/// One way in which an effect differs from its base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Override<'a> {
    /// This text in that field; for `Tags`, one more tag.
    Text(Field, &'a str),
    /// This attribute.
    Attribute(&'a str, &'a str),
    /// This ttl in seconds.
    Ttl(f32),
    /// Without that field.
    Remove(Field),
}

/// The effects of one call: what a guest writes and a host reads back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    records: Vec<[u8; RECORD]>,
    bytes: Vec<u8>,
    /// When the guest next wants time to move, even if nothing happens.
    pub next_wake: Timestamp,
    /// How many keys have state in the guest.
    pub keys: u32,
    /// How many keys were woken in the call, each counted once.
    pub woken: u32,
    /// The row that the guest is handling, [`NO_ROW`] outside of rows: whose fault it is if it does not come back.
    pub row: u32,
    open: Option<usize>,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            bytes: vec![0],
            next_wake: Timestamp::NEVER,
            keys: 0,
            woken: 0,
            row: NO_ROW,
            open: None,
        }
    }
}

impl Reply {
    /// Forgets the effects of the call before, and keeps the memory.
    pub fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
        self.bytes.push(0);
        self.next_wake = Timestamp::NEVER;
        self.keys = 0;
        self.woken = 0;
        self.row = NO_ROW;
        self.open = None;
    }

    /// Appends an effect; its overrides are those that follow.
    #[inline]
    pub fn push(&mut self, record: &Record) {
        self.records.push(record.write());
        self.open = None;
    }

    /// Gives the last effect another metric. Without an effect it does nothing.
    #[inline]
    pub fn set_metric(&mut self, metric: Spot) {
        let Some(last) = self.records.last_mut() else { return };
        let (kind, bits) = metric.bits();
        last[4] = last[4] & !3 | kind as u8;
        last[8..16].copy_from_slice(&bits.to_le_bytes());
    }

    /// Gives the last effect another time. Without an effect it does nothing.
    #[inline]
    pub fn set_time(&mut self, time: Timestamp) {
        let Some(last) = self.records.last_mut() else { return };
        last[16..24].copy_from_slice(&time.0.to_le_bytes());
    }

    /// Takes back the last effect and its overrides.
    pub fn take_back(&mut self) {
        self.records.pop();
        if let Some(at) = self.open.take() {
            self.bytes.truncate(at);
        }
    }

    /// Adds an override to the last effect. Without an effect, or beyond 65,535 of them, it does nothing.
    pub fn push_override(&mut self, field: Field, remove: bool, key: &[u8], value: &[u8]) {
        let Some(record) = self.records.last_mut() else { return };
        let at = *self.open.get_or_insert_with(|| {
            let at = self.bytes.len();
            self.bytes.extend_from_slice(&[0, 0]);
            record[28..32].copy_from_slice(&(at as u32).to_le_bytes());
            at
        });
        let count = u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]);
        let (Some(count), Ok(key_len)) = (count.checked_add(1), u16::try_from(key.len())) else { return };
        self.bytes[at..at + 2].copy_from_slice(&count.to_le_bytes());
        self.bytes.push(field as u8 | if remove { 0x80 } else { 0 });
        self.bytes.push(0);
        self.bytes.extend_from_slice(&key_len.to_le_bytes());
        self.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
    }

    /// Adds a text override whose value is written by `fill`, without a copy in between.
    pub fn push_text(&mut self, field: Field, fill: impl FnOnce(&mut Vec<u8>)) {
        self.push_override(field, false, &[], &[]);
        if self.open.is_some() {
            let start = self.bytes.len();
            fill(&mut self.bytes);
            let len = (self.bytes.len().saturating_sub(start)) as u32;
            self.bytes[start - 4..start].copy_from_slice(&len.to_le_bytes());
        }
    }

    /// Takes over records and bytes from a guest's memory. They are claims until [`Reply::read`] has looked at them.
    pub fn take(&mut self, records: &[u8], bytes: &[u8], next_wake: Timestamp, keys: u32) {
        self.clear();
        self.records.extend_from_slice(records.as_chunks::<RECORD>().0);
        if !bytes.is_empty() {
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
        }
        self.next_wake = next_wake;
        self.keys = keys;
    }

    /// Number of effects.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records as bytes.
    pub fn record_bytes(&self) -> &[u8] {
        self.records.as_flattened()
    }

    /// The bytes that go with them.
    pub fn string_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The reply as whoever did not write it sees it.
    pub fn read(&self) -> ReplyRef<'_> {
        ReplyRef { records: self.record_bytes(), bytes: &self.bytes }
    }
}

/// A reply in bytes that somebody else wrote.
#[derive(Clone, Copy, Debug)]
pub struct ReplyRef<'a> {
    records: &'a [u8],
    bytes: &'a [u8],
}

/// Why the bytes are not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ReplyError {
    /// A record with an action or a base that does not exist.
    Record { index: usize },
    /// A record's overrides do not lie within the reply, or are not text.
    Overrides { index: usize },
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { index } => write!(f, "effect {index} has an unknown action or base"),
            Self::Overrides { index } => {
                write!(f, "the overrides of effect {index} do not lie within the reply")
            }
        }
    }
}

impl core::error::Error for ReplyError {}

/// One effect, checked.
#[derive(Clone, Copy, Debug)]
pub struct Effect<'a> {
    /// The fixed part.
    pub record: Record,
    bytes: &'a [u8],
}

impl<'a> ReplyRef<'a> {
    /// A reply in two stretches of bytes.
    pub fn new(records: &'a [u8], bytes: &'a [u8]) -> Self {
        Self { records, bytes }
    }

    /// The effects in order, each checked as it comes; after an error there are no more.
    #[inline]
    pub fn effects(&self) -> impl Iterator<Item = Result<Effect<'a>, ReplyError>> + use<'a> {
        let bytes = self.bytes;
        let mut failed = false;
        self.records.as_chunks::<RECORD>().0.iter().enumerate().map_while(move |(index, raw)| {
            if failed {
                return None;
            }
            let effect = Self::effect(index, raw, bytes);
            failed = effect.is_err();
            Some(effect)
        })
    }

    #[inline]
    fn effect(index: usize, raw: &[u8; RECORD], bytes: &'a [u8]) -> Result<Effect<'a>, ReplyError> {
        let record = Record::read(raw).ok_or(ReplyError::Record { index })?;
        let effect = Effect { record, bytes };
        if record.overrides == 0 {
            return Ok(effect);
        }
        let mut overrides = effect.overrides();
        if overrides.broken() || overrides.by_ref().count() != overrides.claimed {
            return Err(ReplyError::Overrides { index });
        }
        Ok(effect)
    }
}

impl<'a> Effect<'a> {
    /// In what the effect differs from its base.
    pub fn overrides(&self) -> Overrides<'a> {
        let at = self.record.overrides as usize;
        let head = (at != 0).then(|| self.bytes.get(at..)?.split_first_chunk::<2>()).flatten();
        match head {
            Some((count, rest)) => {
                let count = u16::from_le_bytes(*count).into();
                Overrides { rest, left: count, claimed: count, broken: false }
            }
            None => Overrides { rest: &[], left: 0, claimed: 0, broken: at != 0 },
        }
    }
}

/// The overrides of an effect; ends early where they would leave the bytes.
#[derive(Clone, Debug)]
pub struct Overrides<'a> {
    rest: &'a [u8],
    left: usize,
    claimed: usize,
    broken: bool,
}

impl Overrides<'_> {
    fn broken(&self) -> bool {
        self.broken
    }
}

impl<'a> Iterator for Overrides<'a> {
    type Item = Override<'a>;

    fn next(&mut self) -> Option<Override<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (head, rest) = self.rest.split_first_chunk::<8>()?;
        let key_len = u16::from_le_bytes([head[2], head[3]]) as usize;
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (key, rest) = rest.split_at_checked(key_len)?;
        let (value, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        let field = Field::from_code(head[0] & 0x7f)?;
        if head[0] & 0x80 != 0 {
            return Some(Override::Remove(field));
        }
        Some(match field {
            Field::Ttl => Override::Ttl(f32::from_le_bytes(value.try_into().ok()?)),
            Field::Attributes => {
                Override::Attribute(core::str::from_utf8(key).ok()?, core::str::from_utf8(value).ok()?)
            }
            Field::Time | Field::Metric => return None,
            field => Override::Text(field, core::str::from_utf8(value).ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            base: Base::Row(3),
            action: Action::Forward,
            metric: Spot::Set(Metric::Int(-7)),
            time: Timestamp(99),
            target: 1,
            overrides: 0,
        }
    }

    #[test]
    fn effects_read_back_as_they_were_written() {
        let mut reply = Reply::default();
        reply.push(&record());
        reply.push_override(Field::State, false, b"", b"critical");
        reply.push_override(Field::Attributes, false, b"team", b"core");
        reply.push_override(Field::Ttl, false, b"", &2.5f32.to_le_bytes());
        reply.push_override(Field::Tags, true, b"", b"");
        reply.push_text(Field::Description, |to| to.extend_from_slice(b"too slow"));
        reply.push(&Record { base: Base::Slot(9), metric: Spot::Clear, ..record() });

        let effects: Vec<_> = reply.read().effects().map(Result::unwrap).collect();
        assert_eq!(effects.len(), 2);
        assert_eq!(
            effects[0].overrides().collect::<Vec<_>>(),
            [
                Override::Text(Field::State, "critical"),
                Override::Attribute("team", "core"),
                Override::Ttl(2.5),
                Override::Remove(Field::Tags),
                Override::Text(Field::Description, "too slow"),
            ]
        );
        assert_eq!(effects[0].record, Record { overrides: 1, ..record() });
        assert_eq!(effects[1].overrides().count(), 0);
    }

    #[test]
    fn the_last_effect_can_be_changed_and_taken_back() {
        let mut reply = Reply::default();
        reply.set_metric(Spot::Clear);
        reply.set_time(Timestamp(1));
        assert!(reply.is_empty());
        for metric in
            [Spot::Set(Metric::Float(0.5)), Spot::Set(Metric::Int(-1)), Spot::Keep, Spot::Set(Metric::Int(7))]
        {
            reply.push(&record());
            reply.set_metric(metric);
            reply.set_time(Timestamp(-3));
            assert_eq!(
                reply.read().effects().last().unwrap().unwrap().record,
                Record { metric, time: Timestamp(-3), ..record() }
            );
            reply.take_back();
        }
        reply.push(&record());
        reply.push_override(Field::State, false, b"", b"ok");
        reply.set_metric(Spot::Clear);
        let before = reply.clone();
        reply.push(&record());
        reply.push_override(Field::Host, false, b"", b"web1");
        reply.take_back();
        assert_eq!(reply.record_bytes(), before.record_bytes());
        assert_eq!(reply.string_bytes(), before.string_bytes());
        let effects: Vec<_> = reply.read().effects().map(Result::unwrap).collect();
        assert_eq!(effects[0].record, Record { metric: Spot::Clear, overrides: 1, ..record() });
        assert_eq!(effects[0].overrides().collect::<Vec<_>>(), [Override::Text(Field::State, "ok")]);
    }

    #[test]
    fn overrides_that_leave_the_reply_are_an_error_and_end_it() {
        let mut reply = Reply::default();
        reply.push(&Record { overrides: 77, ..record() });
        reply.push(&record());
        let results: Vec<_> = reply.read().effects().collect();
        assert_eq!(results.len(), 1);
        assert_eq!(results[0].as_ref().unwrap_err(), &ReplyError::Overrides { index: 0 });
    }
}
