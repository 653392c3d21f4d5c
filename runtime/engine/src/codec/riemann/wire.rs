//! Protobuf's wire format, read in place: keys, varints, lengths, and what to say when they are wrong.

use std::fmt;
use std::ops::Range;

/// How deep groups may be nested. No message of Riemann's has any.
const GROUPS: u32 = 32;

/// Why bytes are not a message. The sender's to fix; sending the same again is no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {wrong}")]
pub struct DecodeError {
    /// Where in the message.
    pub at: Place,
    /// What was expected there and what was found.
    pub wrong: Wrong,
}

impl DecodeError {
    /// A short word for counters.
    pub const fn reason(&self) -> &'static str {
        match self.wrong {
            Wrong::TooMuch { .. } | Wrong::Room => "limit",
            _ => "malformed",
        }
    }
}

/// A place in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which event, counted from 0; `None` outside of any.
    pub event: Option<usize>,
    /// Which field; empty between fields.
    pub field: &'static str,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.event, self.field) {
            (None, "") => f.write_str("message"),
            (None, field) => write!(f, "message, {field}"),
            (Some(event), "") => write!(f, "event {event}"),
            (Some(event), field) => write!(f, "event {event}, {field}"),
        }
    }
}

/// What was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Wrong {
    /// The bytes end inside a value.
    #[error("{need} more bytes were expected, {have} are left")]
    Short {
        /// Bytes that the value needs.
        need: u64,
        /// Bytes that are there.
        have: usize,
    },
    /// A number that does not end.
    #[error("a number of at most {0} bytes was expected, found a longer one")]
    Number(usize),
    /// A field key with number 0 or beyond 2²⁹, or a wire type that does not exist.
    #[error("a field's key was expected, found {0}")]
    Key(u64),
    /// A field that we know, in a form that it does not have.
    #[error("{expected} was expected, found {found}")]
    Type {
        /// The field's own form.
        expected: Wire,
        /// The form it has here.
        found: Wire,
    },
    /// The end of a group that is not open, or no end of one that is.
    #[error("the groups do not pair up")]
    Group,
    /// Groups within groups within groups.
    #[error("groups are nested deeper than {GROUPS}")]
    Depth,
    /// An attribute without its required key.
    #[error("an attribute without a key was found")]
    NoKey,
    /// Text that is not UTF-8.
    #[error("UTF-8 was expected, found something else at byte {0} of the text")]
    Utf8(usize),
    /// More of something than [`Limits`](crate::codec::Limits) allow.
    #[error("at most {limit} {unit} are allowed, found {found}")]
    TooMuch {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
        /// Of what.
        unit: &'static str,
    },
    /// The batch cannot refer to so many bytes.
    #[error("a batch has room for 4 GiB, this message does not fit any more: send it on its own")]
    Room,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A number of variable length.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// A length and so many bytes.
    Bytes,
    /// The start of a group.
    Group,
    /// The end of a group.
    GroupEnd,
    /// Four bytes.
    Fixed32,
}

impl Wire {
    fn of(key: u64) -> Option<Self> {
        Some(match key & 7 {
            0 => Self::Varint,
            1 => Self::Fixed64,
            2 => Self::Bytes,
            3 => Self::Group,
            4 => Self::GroupEnd,
            5 => Self::Fixed32,
            _ => return None,
        })
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Varint => "a varint",
            Self::Fixed64 => "eight bytes",
            Self::Bytes => "a length and bytes",
            Self::Group => "a group",
            Self::GroupEnd => "the end of a group",
            Self::Fixed32 => "four bytes",
        })
    }
}

/// Reads forward through a part of some bytes. Positions count from the start of the bytes, as a batch's refs do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    /// All bytes up to the end of the part.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Over a part that lies within the bytes.
    pub fn new(bytes: &'a [u8], part: Range<usize>) -> Self {
        let bytes = &bytes[..part.end.min(bytes.len())];
        Self { bytes, at: part.start.min(bytes.len()) }
    }

    /// Where the next value stands.
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Wrong> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Wrong> {
        let mut value = 0;
        for (i, &byte) in self.bytes[self.at..].iter().take(10).enumerate() {
            // The tenth byte has room for one bit.
            if i == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        match self.bytes.len() - self.at {
            have @ ..10 => Err(Wrong::Short { need: have as u64 + 1, have }),
            _ => Err(Wrong::Number(10)),
        }
    }

    /// The next field's number and form; `None` at the end.
    #[inline]
    pub fn key(&mut self) -> Result<Option<(u32, Wire)>, Wrong> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let key = self.varint()?;
        match (u32::try_from(key), Wire::of(key)) {
            (Ok(short), Some(wire)) if short >= 8 => Ok(Some((short >> 3, wire))),
            _ => Err(Wrong::Key(key)),
        }
    }

    #[inline]
    fn expect(found: Wire, expected: Wire) -> Result<(), Wrong> {
        if found == expected { Ok(()) } else { Err(Wrong::Type { expected, found }) }
    }

    /// A varint, of a field in this form.
    #[inline]
    pub fn number(&mut self, found: Wire) -> Result<u64, Wrong> {
        Self::expect(found, Wire::Varint)?;
        self.varint()
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let left = &self.bytes[self.at..];
        let value =
            left.first_chunk::<N>().ok_or(Wrong::Short { need: N as u64, have: left.len() }).copied()?;
        self.at += N;
        Ok(value)
    }

    /// A float of eight bytes, of a field in this form.
    #[inline]
    pub fn double(&mut self, found: Wire) -> Result<f64, Wrong> {
        Self::expect(found, Wire::Fixed64)?;
        self.fixed().map(f64::from_le_bytes)
    }

    /// A float of four bytes, of a field in this form.
    #[inline]
    pub fn float(&mut self, found: Wire) -> Result<f32, Wrong> {
        Self::expect(found, Wire::Fixed32)?;
        self.fixed().map(f32::from_le_bytes)
    }

    /// What a length and bytes enclose, of a field in this form.
    #[inline]
    pub fn part(&mut self, found: Wire) -> Result<Reader<'a>, Wrong> {
        Self::expect(found, Wire::Bytes)?;
        let start = self.at;
        let len = self.varint()?;
        // A ref of a batch reads five bytes of length and no more.
        if self.at - start > 5 {
            return Err(Wrong::Number(5));
        }
        let left = self.bytes.len() - self.at;
        let len = usize::try_from(len)
            .ok()
            .filter(|&len| len <= left)
            .ok_or(Wrong::Short { need: len, have: left })?;
        let part = Reader { bytes: &self.bytes[..self.at + len], at: self.at };
        self.at += len;
        Ok(part)
    }

    /// A text of at most so many bytes, of a field in this form: where its length stands, and the text.
    #[inline]
    pub fn text(&mut self, found: Wire, limit: usize) -> Result<(u32, &'a [u8]), Wrong> {
        let at = self.at as u32;
        let part = self.part(found)?;
        let text = &part.bytes[part.at..];
        if text.len() > limit {
            return Err(Wrong::TooMuch { found: text.len(), limit, unit: "bytes" });
        }
        match std::str::from_utf8(text) {
            Ok(_) => Ok((at, text)),
            Err(error) => Err(Wrong::Utf8(error.valid_up_to())),
        }
    }

    /// Passes over a field that means nothing to us.
    pub fn skip(&mut self, number: u32, wire: Wire) -> Result<(), Wrong> {
        match wire {
            Wire::Varint => self.varint().map(|_| ()),
            Wire::Fixed64 => self.fixed::<8>().map(|_| ()),
            Wire::Fixed32 => self.fixed::<4>().map(|_| ()),
            Wire::Bytes => self.part(wire).map(|_| ()),
            Wire::Group => self.skip_group(number, 1),
            Wire::GroupEnd => Err(Wrong::Group),
        }
    }

    fn skip_group(&mut self, open: u32, depth: u32) -> Result<(), Wrong> {
        if depth > GROUPS {
            return Err(Wrong::Depth);
        }
        loop {
            match self.key()?.ok_or(Wrong::Group)? {
                (number, Wire::GroupEnd) => {
                    return if number == open { Ok(()) } else { Err(Wrong::Group) };
                }
                (number, Wire::Group) => self.skip_group(number, depth + 1)?,
                (number, wire) => self.skip(number, wire)?,
            }
        }
    }
}
