//! Many events as one block of bytes: the only form in which events travel, from a socket's frame through the log and
//! the shards into a guest's memory.
//!
//! ```text
//! block  = header, 64 bytes | rows, n × stride | bytes
//!
//! header                                     row, 64 bytes
//! 0   u32 0                                  0   i64 time, microseconds
//! 4   u32 version                            8   u64 metric: bits of an i64 or an f64, as the flags say
//! 8   u32 rows                               16  u64 key id: names a stream (or wider key) for ever
//! 12  u32 stride, at least 64                24  u32 slot: small dense number of the key within a guest
//! 16  u32 length of bytes                    28  f32 ttl, seconds
//! 20  u32 fields written (FieldSet)          32  ref host
//! 24  u64 position in the log                36  ref service
//! 32  i64 now: the time of the batch         40  ref state
//! 40  u32 flags: bit 0 replayed              44  ref description
//! 44  reserved, 0                            48  ref tags
//!                                            52  ref attributes
//!                                            56  u32 flags
//!                                            60  u32 binding: which deployed rule of a guest the row is for; in the
//!                                                log, the mark of the rule that emitted it
//!
//! flags of a row
//! bits 0–1 metric (0 none, 1 i64, 2 f64) · 2 ttl · 3 host · 4 service · 5 state · 6 description are present
//! bit 7 the key is leaving: say goodbye and forget it · bits 8–15 state code · bits 16–19 hops
//! bit 20 the sender gave no time: it is the time of receipt · bit 21 made by the index when the stream's ttl ran out
//! ```
//!
//! Little endian throughout. A **ref** is an offset into `bytes`, where a LEB128 length stands, followed by so many bytes
//! of UTF-8. That is how protobuf writes a string too, so a decoder leaves strings where they lie in the frame and
//! writes only rows. `bytes[0]` is always 0: ref 0 is the empty string. Absent and empty differ by the flags.
//! Tags are a LEB128 count and so many refs of four bytes; attributes are a count and so many pairs of refs.
//!
//! [`Batch`] is trusted: its builder wrote it. [`BatchRef::check`] is for bytes from elsewhere: it verifies every offset
//! once. Reading a single event never panics either way: what lies outside reads as absent.

mod copy;
mod row;

pub use copy::Kept;
pub(crate) use row::{
    DESCRIPTION, HOPS, HOST, LEAVING, METRIC, METRIC_FLOAT, METRIC_INT, REAPED, SERVICE, STATE, STATE_CODE,
    TTL, UNTIMED, long, word,
};
pub use row::{ROW, Row, RowWriter};

use crate::event::{Event, NewEvent};
use crate::field::{Field, FieldSet};
use crate::hash::stream_key;
use crate::state::State;
use crate::time::Timestamp;
use core::fmt;

/// What stands before the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The fields that were written; the others read as absent.
    pub fields: FieldSet,
    /// Where in the log the batch stands.
    pub position: u64,
    /// The time of the batch: never earlier than that of the batch before.
    pub now: Timestamp,
    /// Whether the batch is read again after a restart rather than live.
    pub replayed: bool,
}

impl Header {
    /// Size in bytes.
    pub const SIZE: usize = 64;

    /// The header's bytes for so many rows and string bytes.
    pub fn write(&self, rows: usize, bytes: usize) -> [u8; Self::SIZE] {
        let mut to = [0; Self::SIZE];
        to[4..8].copy_from_slice(&crate::abi::VERSION.to_le_bytes());
        to[8..12].copy_from_slice(&(rows as u32).to_le_bytes());
        to[12..16].copy_from_slice(&(ROW as u32).to_le_bytes());
        to[16..20].copy_from_slice(&(bytes as u32).to_le_bytes());
        to[20..24].copy_from_slice(&self.fields.0.to_le_bytes());
        to[24..32].copy_from_slice(&self.position.to_le_bytes());
        to[32..40].copy_from_slice(&self.now.0.to_le_bytes());
        to[40..44].copy_from_slice(&u32::from(self.replayed).to_le_bytes());
        to
    }
}

/// The LEB128 number at an offset and the offset after it; `None` when it runs out of the bytes or of 32 bits.
#[inline]
pub(crate) fn leb(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((u32::from(first), at + 1));
    }
    let mut value = u64::from(first & 0x7f);
    for i in 1..5 {
        let byte = *bytes.get(at + i)?;
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return u32::try_from(value).ok().map(|value| (value, at + i + 1));
        }
    }
    None
}

/// The bytes that a ref points at; `None` when they do not lie within.
#[inline]
pub(crate) fn string(bytes: &[u8], at: u32) -> Option<&[u8]> {
    let (len, start) = leb(bytes, at as usize)?;
    bytes.get(start..start.checked_add(len as usize)?)
}

fn push_leb(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn push_text(bytes: &mut Vec<u8>, text: &[u8]) -> u32 {
    if text.is_empty() {
        return 0;
    }
    let at = bytes.len() as u32;
    push_leb(bytes, text.len() as u32);
    bytes.extend_from_slice(text);
    at
}

fn push_list(bytes: &mut Vec<u8>, count: usize, refs: &[u32]) -> u32 {
    if refs.is_empty() {
        return 0;
    }
    let at = bytes.len() as u32;
    push_leb(bytes, count as u32);
    for r in refs {
        bytes.extend_from_slice(&r.to_le_bytes());
    }
    at
}

/// Many events in one block, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Position, time, fields.
    pub header: Header,
    rows: Vec<[u8; ROW]>,
    bytes: Vec<u8>,
}

impl Default for Batch {
    fn default() -> Self {
        BatchBuilder::new().finish()
    }
}

impl Batch {
    /// Number of events.
    #[inline]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no events: a batch that only moves time.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The event in a row. Panics when there is no such row, like a slice.
    #[inline]
    pub fn event(&self, row: usize) -> Event<'_> {
        Event::new(&self.rows[row], &self.bytes)
    }

    /// All events in order.
    #[inline]
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'_>> + '_ {
        self.rows.iter().map(|row| Event::new(row, &self.bytes))
    }

    /// The first so many events; the strings of the others stay behind in the bytes.
    #[must_use]
    pub fn first(mut self, rows: usize) -> Self {
        self.rows.truncate(rows);
        self
    }

    /// The rows as bytes.
    pub fn row_bytes(&self) -> &[u8] {
        self.rows.as_flattened()
    }

    /// The string bytes.
    pub fn string_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The length of the whole block.
    pub fn block_len(&self) -> usize {
        Header::SIZE + self.rows.len() * ROW + self.bytes.len()
    }

    /// The header's bytes.
    pub fn header_bytes(&self) -> [u8; Header::SIZE] {
        self.header.write(self.rows.len(), self.bytes.len())
    }

    /// The whole block as bytes.
    pub fn to_block(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(self.block_len());
        block.extend_from_slice(&self.header_bytes());
        block.extend_from_slice(self.row_bytes());
        block.extend_from_slice(&self.bytes);
        block
    }

    /// The batch as whoever did not write it sees it.
    pub fn as_ref(&self) -> BatchRef<'_> {
        BatchRef {
            header: self.header,
            count: self.rows.len(),
            stride: ROW,
            rows: self.row_bytes(),
            bytes: &self.bytes,
        }
    }

    /// Takes the batch apart for another use of its memory.
    pub fn into_builder(mut self) -> BatchBuilder {
        self.rows.clear();
        self.bytes.clear();
        self.bytes.push(0);
        BatchBuilder { rows: self.rows, bytes: self.bytes, list: Vec::new() }
    }
}

/// Writes a batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    rows: Vec<[u8; ROW]>,
    bytes: Vec<u8>,
    list: Vec<u32>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self { rows: Vec::new(), bytes: vec![0], list: Vec::new() }
    }

    /// A batch whose strings lie in a buffer that is already there, such as a socket's. The first byte must be 0: it is
    /// the empty string. Anything else is a mistake of the caller, and panics.
    pub fn over(bytes: Vec<u8>) -> Self {
        assert_eq!(bytes.first(), Some(&0), "the first byte of a batch's strings is 0");
        Self { rows: Vec::new(), bytes, list: Vec::new() }
    }

    /// Number of events so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none yet.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes held so far, rows and strings.
    pub fn size(&self) -> usize {
        self.rows.len() * ROW + self.bytes.len()
    }

    /// The event in a row. Panics when there is no such row, like a slice.
    pub fn event(&self, row: usize) -> Event<'_> {
        Event::new(&self.rows[row], &self.bytes)
    }

    /// The string bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The string that a ref points at, if it lies within.
    pub fn string(&self, at: u32) -> Option<&[u8]> {
        string(&self.bytes, at)
    }

    /// Forgets all rows beyond the first `rows`: how a decoder takes back half a message.
    pub fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
    }

    /// Appends bytes as they are, such as a frame whose strings will be referred to, and returns where they start.
    pub fn push_raw(&mut self, bytes: &[u8]) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start
    }

    /// Appends a string and returns its ref.
    pub fn push_string(&mut self, text: &[u8]) -> u32 {
        push_text(&mut self.bytes, text)
    }

    /// Appends a list of refs (tags), and returns where it stands.
    pub fn push_tags(&mut self, refs: &[u32]) -> u32 {
        push_list(&mut self.bytes, refs.len(), refs)
    }

    /// Appends a list of pairs of refs, key then value, and returns where it stands.
    pub fn push_attributes(&mut self, refs: &[u32]) -> u32 {
        push_list(&mut self.bytes, refs.len() / 2, refs)
    }

    /// Appends a row whose refs point into this builder's bytes.
    #[inline]
    pub fn push_row(&mut self, row: &Row) {
        self.rows.push(row.write());
    }

    /// Appends a row without fields, to be written in place, and lends the bytes that its refs may point into.
    #[inline]
    pub fn begin_row(&mut self) -> (RowWriter<'_>, &[u8]) {
        self.rows.push([0; ROW]);
        let at = self.rows.len() - 1;
        (RowWriter::new(&mut self.rows[at]), &self.bytes)
    }

    /// Appends lists of refs, and gives them to the last row: its tags, and its attributes as pairs. An empty list
    /// changes nothing.
    #[inline]
    pub fn push_lists(&mut self, tags: &[u32], attributes: &[u32]) {
        for (at, width, refs) in [(48, 1, tags), (52, 2, attributes)] {
            if let Some(row) = self.rows.last_mut().filter(|_| !refs.is_empty()) {
                let list = push_list(&mut self.bytes, refs.len() / width, refs);
                row[at..at + 4].copy_from_slice(&list.to_le_bytes());
            }
        }
    }

    /// Appends an event that is described by plain values.
    pub fn push(&mut self, event: &NewEvent<'_>) {
        let mut list = core::mem::take(&mut self.list);
        let text =
            |builder: &mut Self, text: Option<&str>| text.map(|text| builder.push_string(text.as_bytes()));
        let (host, service) = (text(self, event.host), text(self, event.service));
        let (state, description) = (text(self, event.state), text(self, event.description));
        list.clear();
        list.extend(event.tags.iter().map(|tag| self.push_string(tag.as_bytes())));
        let tags = self.push_tags(&list);
        list.clear();
        for (key, value) in event.attributes {
            list.push(self.push_string(key.as_bytes()));
            list.push(self.push_string(value.as_bytes()));
        }
        let attributes = self.push_attributes(&list);
        self.list = list;
        self.push_row(&Row {
            time: event.time.unwrap_or_default(),
            metric: event.metric,
            ttl: event.ttl,
            host,
            service,
            state,
            state_code: event.state.map_or(State::Other, |state| State::of(state.as_bytes())),
            description,
            tags,
            attributes,
            hops: event.hops,
            untimed: event.time.is_none(),
            ..Row::default()
        });
    }

    /// Gives the time of receipt to events that have none, and every event the key id of its stream.
    pub fn stamp(&mut self, seed: u64, received: Timestamp) {
        for raw in &mut self.rows {
            let flags = word(raw, 56);
            if flags & UNTIMED != 0 {
                raw[0..8].copy_from_slice(&received.0.to_le_bytes());
            }
            let part = |bit, at| if flags & bit != 0 { string(&self.bytes, word(raw, at)) } else { None };
            let key = stream_key(seed, part(HOST, 32), part(SERVICE, 36));
            raw[16..24].copy_from_slice(&key.to_le_bytes());
        }
    }

    /// The batch, with an empty header but for the fields.
    pub fn finish(self) -> Batch {
        let header = Header { fields: FieldSet::ALL, ..Header::default() };
        Batch { header, rows: self.rows, bytes: self.bytes }
    }
}

/// A batch in bytes that somebody else wrote.
#[derive(Clone, Copy, Debug)]
pub struct BatchRef<'a> {
    /// Position, time, fields.
    pub header: Header,
    count: usize,
    stride: usize,
    rows: &'a [u8],
    bytes: &'a [u8],
}

/// Why a block of bytes is not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BatchError {
    /// Shorter than its header, or than its header says.
    Short { need: u64, have: usize },
    /// Of another version of the layout.
    Version(u32),
    /// A stride under 64.
    Stride(u32),
    /// A row points outside, or at something that is not UTF-8.
    Row { row: usize, field: Field },
    /// The first string byte is not 0.
    NoEmptyString,
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { need, have } => write!(f, "a batch of {need} bytes was expected, {have} are there"),
            Self::Version(found) => {
                write!(f, "batch layout version {} was expected, found {found}", crate::abi::VERSION)
            }
            Self::Stride(found) => write!(f, "rows of at least {ROW} bytes were expected, found {found}"),
            Self::Row { row, field } => {
                write!(f, "the {} of row {row} does not lie within the batch", field.name())
            }
            Self::NoEmptyString => {
                f.write_str("the strings of a batch start with a 0 byte, this one's do not")
            }
        }
    }
}

impl core::error::Error for BatchError {}

impl<'a> BatchRef<'a> {
    /// Reads the header and takes the parts; looks at no row. Enough where the writer is trusted, as a guest trusts its
    /// host; whatever a row then claims, reading it does not panic.
    pub fn parse(block: &'a [u8]) -> Result<Self, BatchError> {
        let short = |need| BatchError::Short { need, have: block.len() };
        let head = block.first_chunk::<{ Header::SIZE }>().ok_or(short(Header::SIZE as u64))?;
        let version = word(head, 4);
        if version != crate::abi::VERSION {
            return Err(BatchError::Version(version));
        }
        let (count, stride, len) = (word(head, 8), word(head, 12), word(head, 16));
        if (stride as usize) < ROW {
            return Err(BatchError::Stride(stride));
        }
        let row_len = u64::from(count) * u64::from(stride);
        let need = Header::SIZE as u64 + row_len + u64::from(len);
        if need > block.len() as u64 {
            return Err(short(need));
        }
        let (rows, rest) = block[Header::SIZE..].split_at(row_len as usize);
        let bytes = &rest[..len as usize];
        if bytes.first() != Some(&0) {
            return Err(BatchError::NoEmptyString);
        }
        let header = Header {
            fields: FieldSet(word(head, 20)),
            position: long(head, 24),
            now: Timestamp(long(head, 32) as i64),
            replayed: word(head, 40) & 1 != 0,
        };
        Ok(Self { header, count: count as usize, stride: stride as usize, rows, bytes })
    }

    /// Reads the header and verifies every ref of every row, UTF-8 included.
    pub fn check(block: &'a [u8]) -> Result<Self, BatchError> {
        let batch = Self::parse(block)?;
        for (row, event) in batch.events().enumerate() {
            event.check().map_err(|field| BatchError::Row { row, field })?;
        }
        Ok(batch)
    }

    /// Number of events.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no events.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The event in a row, if there is such a row.
    #[inline]
    pub fn event(&self, row: usize) -> Option<Event<'a>> {
        // Where it does not wrap around it is right, and where it does there is no such row.
        let at = (row < self.count).then(|| row.wrapping_mul(self.stride))?;
        Some(Event::new(self.rows.get(at..)?.first_chunk::<ROW>()?, self.bytes))
    }

    /// All events in order.
    #[inline]
    pub fn events(&self) -> impl Iterator<Item = Event<'a>> + use<'a> {
        let bytes = self.bytes;
        self.rows
            .chunks_exact(self.stride)
            .filter_map(move |row| Some(Event::new(row.first_chunk::<ROW>()?, bytes)))
    }

    /// An owned copy, as the log's reader makes.
    pub fn to_batch(&self) -> Batch {
        let rows =
            self.rows.chunks_exact(self.stride).filter_map(|row| row.first_chunk::<ROW>().copied()).collect();
        Batch { header: self.header, rows, bytes: self.bytes.to_vec() }
    }
}
