//! One event: [`Event`] looks at a row and its strings where they lie, [`NewEvent`] describes one to be written.

use crate::batch::{
    DESCRIPTION, HOPS, HOST, LEAVING, METRIC, METRIC_FLOAT, METRIC_INT, REAPED, ROW, Row, SERVICE, STATE,
    STATE_CODE, TTL, leb, long, string, word,
};
use crate::field::Field;
use crate::state::State;
use crate::text::same;
use crate::time::Timestamp;
use core::fmt;

/// How much: a whole number or not, as the sender had it. Both kinds survive every hop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// A whole number.
    Int(i64),
    /// Any other; NaN and the infinities are allowed.
    Float(f64),
}

impl Metric {
    /// As a float; whole numbers beyond 2⁵³ are rounded.
    #[inline]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    #[inline]
    pub(crate) fn from_bits(kind: u32, bits: u64) -> Option<Self> {
        match kind {
            METRIC_INT => Some(Self::Int(bits as i64)),
            METRIC_FLOAT => Some(Self::Float(f64::from_bits(bits))),
            _ => None,
        }
    }
}

impl From<f64> for Metric {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<i64> for Metric {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Metric {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for Metric {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

/// Whole numbers beyond what an i64 holds become floats.
impl From<u64> for Metric {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Float(value as f64), Self::Int)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => fmt::Display::fmt(value, f),
            Self::Float(value) => fmt::Display::fmt(value, f),
        }
    }
}

/// An event described by plain values, to be written into a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NewEvent<'a> {
    /// When; without it, the time of receipt.
    pub time: Option<Timestamp>,
    /// Which machine.
    pub host: Option<&'a str>,
    /// Which thing on it.
    pub service: Option<&'a str>,
    /// How it is.
    pub state: Option<&'a str>,
    /// How much.
    pub metric: Option<Metric>,
    /// Seconds of validity.
    pub ttl: Option<f32>,
    /// Free text.
    pub description: Option<&'a str>,
    /// Short labels.
    pub tags: &'a [&'a str],
    /// Names and values of the sender's own.
    pub attributes: &'a [(&'a str, &'a str)],
    /// How often it was emitted by a rule already.
    pub hops: u8,
}

/// A look at one event inside a batch. Costs nothing to make or copy; text is checked for UTF-8 when asked for as text.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    row: &'a [u8; ROW],
    bytes: &'a [u8],
}

impl<'a> Event<'a> {
    #[inline]
    pub(crate) fn new(row: &'a [u8; ROW], bytes: &'a [u8]) -> Self {
        Self { row, bytes }
    }

    /// The row and the bytes that its refs point into.
    #[inline]
    pub(crate) fn parts(&self) -> (&'a [u8; ROW], &'a [u8]) {
        (self.row, self.bytes)
    }

    #[inline]
    pub(crate) fn raw(&self) -> &'a [u8; ROW] {
        self.row
    }

    /// Whether there is no text beside the host and the service but a usual word for the state.
    #[inline]
    pub(crate) fn has_no_other_text(&self) -> bool {
        let flags = self.flags();
        let plain = flags & STATE == 0 || self.state_code() != State::Other;
        plain && flags & DESCRIPTION == 0 && word(self.row, 48) == 0 && word(self.row, 52) == 0
    }

    #[inline]
    fn flags(&self) -> u32 {
        word(self.row, 56)
    }

    #[inline]
    fn part(&self, bit: u32, at: usize) -> Option<&'a [u8]> {
        if self.flags() & bit == 0 {
            return None;
        }
        string(self.bytes, word(self.row, at))
    }

    #[inline]
    fn text(part: Option<&'a [u8]>) -> Option<&'a str> {
        core::str::from_utf8(part?).ok()
    }

    /// The row, taken apart.
    #[inline]
    pub fn row(&self) -> Row {
        Row::read(self.row)
    }

    /// When.
    #[inline]
    pub fn time(&self) -> Timestamp {
        Timestamp(long(self.row, 0) as i64)
    }

    /// How much, as the sender had it.
    #[inline]
    pub fn number(&self) -> Option<Metric> {
        Metric::from_bits(self.flags() & METRIC, long(self.row, 8))
    }

    /// How much, as a float.
    #[inline]
    pub fn metric(&self) -> Option<f64> {
        // Bits are tested one by one: a match would become a jump by a table in a module.
        let (int, float) = (self.flags() & METRIC_INT != 0, self.flags() & METRIC_FLOAT != 0);
        let bits = long(self.row, 8);
        (int != float).then(|| if float { f64::from_bits(bits) } else { bits as i64 as f64 })
    }

    /// Names the stream, or the wider key, for ever.
    #[inline]
    pub fn key(&self) -> u64 {
        long(self.row, 16)
    }

    /// The key's number within a guest.
    #[inline]
    pub fn slot(&self) -> u32 {
        word(self.row, 24)
    }

    /// Which deployed rule of a guest the row is for.
    #[inline]
    pub fn binding(&self) -> u32 {
        word(self.row, 60)
    }

    /// Seconds of validity.
    #[inline]
    pub fn ttl(&self) -> Option<f32> {
        (self.flags() & TTL != 0).then(|| f32::from_bits(word(self.row, 28)))
    }

    /// The state's code.
    #[inline]
    pub fn state_code(&self) -> State {
        State::from_code((self.flags() >> STATE_CODE) as u8)
    }

    /// Whether the state is `expired`.
    #[inline]
    pub fn is_expired(&self) -> bool {
        self.state_code() == State::Expired
    }

    /// Whether this is the last that is heard of the key.
    #[inline]
    pub fn is_leaving(&self) -> bool {
        self.flags() & LEAVING != 0
    }

    /// Whether the index made it when the stream's ttl ran out.
    #[inline]
    pub fn is_reaped(&self) -> bool {
        self.flags() & REAPED != 0
    }

    /// How often the event was emitted by a rule in answer to an event.
    #[inline]
    pub fn hops(&self) -> u8 {
        (self.flags() >> HOPS) as u8 & 15
    }

    /// Which machine, as bytes.
    #[inline]
    pub fn host_bytes(&self) -> Option<&'a [u8]> {
        self.part(HOST, 32)
    }

    /// Which thing on it, as bytes.
    #[inline]
    pub fn service_bytes(&self) -> Option<&'a [u8]> {
        self.part(SERVICE, 36)
    }

    /// How it is, as bytes. A usual word whose text was not written is still there, by its code.
    #[inline]
    pub fn state_bytes(&self) -> Option<&'a [u8]> {
        match self.part(STATE, 40) {
            Some(b"") => Some(self.state_code().as_str().as_bytes()),
            text => text,
        }
    }

    /// Free text, as bytes.
    #[inline]
    pub fn description_bytes(&self) -> Option<&'a [u8]> {
        self.part(DESCRIPTION, 44)
    }

    /// Which machine.
    #[inline]
    pub fn host(&self) -> Option<&'a str> {
        Self::text(self.host_bytes())
    }

    /// Which thing on it.
    #[inline]
    pub fn service(&self) -> Option<&'a str> {
        Self::text(self.service_bytes())
    }

    /// Whether the event is of that host: cheaper than to ask for the host and compare.
    #[inline]
    pub fn host_is(&self, host: &str) -> bool {
        self.host_bytes().is_some_and(|found| same(found, host.as_bytes()))
    }

    /// Whether the event is of that service: cheaper than to ask for the service and compare.
    #[inline]
    pub fn service_is(&self, service: &str) -> bool {
        self.service_bytes().is_some_and(|found| same(found, service.as_bytes()))
    }

    /// How it is.
    #[inline]
    pub fn state(&self) -> Option<&'a str> {
        Self::text(self.state_bytes())
    }

    /// Free text.
    #[inline]
    pub fn description(&self) -> Option<&'a str> {
        Self::text(self.description_bytes())
    }

    /// Short labels, as bytes.
    #[inline]
    pub fn tag_bytes(&self) -> Tags<'a> {
        Tags(List::at(self.bytes, word(self.row, 48), 1))
    }

    /// Short labels.
    #[inline]
    pub fn tags(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.tag_bytes().filter_map(|tag| core::str::from_utf8(tag).ok())
    }

    /// Whether the event carries the label.
    #[inline]
    pub fn tagged(&self, tag: &str) -> bool {
        self.tag_bytes().any(|found| same(found, tag.as_bytes()))
    }

    /// Names and values of the sender's own, as bytes.
    #[inline]
    pub fn attribute_bytes(&self) -> Attributes<'a> {
        Attributes(List::at(self.bytes, word(self.row, 52), 2))
    }

    /// Names and values of the sender's own.
    #[inline]
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.attribute_bytes().filter_map(|(key, value)| {
            Some((core::str::from_utf8(key).ok()?, core::str::from_utf8(value).ok()?))
        })
    }

    /// The value under a name of the sender's own, as bytes; the last one where a name comes twice.
    #[inline]
    pub fn attribute_value(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.attribute_bytes().filter(|(key, _)| same(key, name)).last().map(|(_, value)| value)
    }

    /// The value under a name of the sender's own; the last one where a name comes twice.
    #[inline]
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        Self::text(self.attribute_value(name.as_bytes()))
    }

    /// Verifies that every ref lies within and is UTF-8; names the field that does not.
    pub(crate) fn check(&self) -> Result<(), Field> {
        let flags = self.flags();
        let fine = |text: Option<&[u8]>| text.is_some_and(|text| core::str::from_utf8(text).is_ok());
        for (bit, at, field) in [
            (HOST, 32, Field::Host),
            (SERVICE, 36, Field::Service),
            (STATE, 40, Field::State),
            (DESCRIPTION, 44, Field::Description),
        ] {
            if flags & bit != 0 && !fine(string(self.bytes, word(self.row, at))) {
                return Err(field);
            }
        }
        for (at, width, field) in [(48, 1, Field::Tags), (52, 2, Field::Attributes)] {
            let r = word(self.row, at);
            if r == 0 {
                continue;
            }
            let (count, start) = leb(self.bytes, r as usize).ok_or(field)?;
            let end = (count as usize)
                .checked_mul(width * 4)
                .and_then(|len| start.checked_add(len))
                .ok_or(field)?;
            let refs = self.bytes.get(start..end).ok_or(field)?;
            if !refs.as_chunks::<4>().0.iter().all(|r| fine(string(self.bytes, u32::from_le_bytes(*r)))) {
                return Err(field);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Event<'_> {
    /// What a person would want to see of an event in a failed test.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Event");
        out.field("time", &self.time().to_string());
        for (name, text) in [("host", self.host()), ("service", self.service()), ("state", self.state())] {
            if let Some(text) = text {
                out.field(name, &text);
            }
        }
        if let Some(metric) = self.number() {
            out.field("metric", &metric);
        }
        if let Some(ttl) = self.ttl() {
            out.field("ttl", &ttl);
        }
        if let Some(description) = self.description() {
            out.field("description", &description);
        }
        let (tags, attributes) = (self.tags().collect::<Vec<_>>(), self.attributes().collect::<Vec<_>>());
        if !tags.is_empty() {
            out.field("tags", &tags);
        }
        if !attributes.is_empty() {
            out.field("attributes", &attributes);
        }
        out.finish()
    }
}

/// A list of refs; ends early where it would leave the bytes.
#[derive(Clone, Debug)]
pub(crate) struct List<'a> {
    bytes: &'a [u8],
    refs: &'a [u8],
}

impl<'a> List<'a> {
    #[inline]
    pub(crate) fn at(bytes: &'a [u8], at: u32, width: usize) -> Self {
        let refs = (at != 0)
            .then(|| {
                let (count, start) = leb(bytes, at as usize)?;
                bytes.get(start..start.checked_add((count as usize).checked_mul(4 * width)?)?)
            })
            .flatten()
            .unwrap_or(&[]);
        Self { bytes, refs }
    }

    /// The refs as they are.
    pub(crate) fn refs(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.refs.as_chunks::<4>().0.iter().map(|r| u32::from_le_bytes(*r))
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Option<&'a [u8]> {
        let (r, rest) = self.refs.split_first_chunk::<4>()?;
        self.refs = rest;
        string(self.bytes, u32::from_le_bytes(*r))
    }
}

/// The labels of an event.
#[derive(Clone, Debug)]
pub struct Tags<'a>(List<'a>);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];
    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.next()
    }
}

/// The names and values of an event's own.
#[derive(Clone, Debug)]
pub struct Attributes<'a>(List<'a>);

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a [u8], &'a [u8]);
    #[inline]
    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        Some((self.0.next()?, self.0.next()?))
    }
}
