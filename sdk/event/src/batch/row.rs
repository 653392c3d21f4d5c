//! One row: its 64 bytes, the same taken apart, and written in place.

use crate::event::Metric;
use crate::state::State;
use crate::time::Timestamp;

/// Size of a row, and the smallest stride.
pub const ROW: usize = 64;

pub(crate) const METRIC: u32 = 0b11;
pub(crate) const METRIC_INT: u32 = 1;
pub(crate) const METRIC_FLOAT: u32 = 2;
pub(crate) const TTL: u32 = 1 << 2;
pub(crate) const HOST: u32 = 1 << 3;
pub(crate) const SERVICE: u32 = 1 << 4;
pub(crate) const STATE: u32 = 1 << 5;
pub(crate) const DESCRIPTION: u32 = 1 << 6;
pub(crate) const LEAVING: u32 = 1 << 7;
pub(crate) const STATE_CODE: u32 = 8;
pub(crate) const HOPS: u32 = 16;
pub(crate) const UNTIMED: u32 = 1 << 20;
pub(crate) const REAPED: u32 = 1 << 21;

/// One row, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row {
    /// When; microseconds.
    pub time: Timestamp,
    /// How much.
    pub metric: Option<Metric>,
    /// Names the stream, or the wider key, for ever. 0: not known yet.
    pub key: u64,
    /// The key's number within a guest.
    pub slot: u32,
    /// Seconds of validity.
    pub ttl: Option<f32>,
    /// Ref of the host.
    pub host: Option<u32>,
    /// Ref of the service.
    pub service: Option<u32>,
    /// Ref of the state's word.
    pub state: Option<u32>,
    /// The state's code.
    pub state_code: State,
    /// Ref of the description.
    pub description: Option<u32>,
    /// Ref of the list of tags; 0 for none.
    pub tags: u32,
    /// Ref of the list of attributes; 0 for none.
    pub attributes: u32,
    /// The key is leaving: this is the last that is heard of it.
    pub leaving: bool,
    /// How often the event was emitted by a rule in answer to an event, 0 to 15.
    pub hops: u8,
    /// The sender gave no time.
    pub untimed: bool,
    /// The index made it when the stream's ttl ran out.
    pub reaped: bool,
    /// Which deployed rule of a guest the row is for.
    pub binding: u32,
}

#[inline]
pub(crate) fn word(from: &[u8; ROW], at: usize) -> u32 {
    // One load; a number made of four bytes would be four.
    let mut word = [0; 4];
    word.copy_from_slice(&from[at..at + 4]);
    u32::from_le_bytes(word)
}

#[inline]
pub(crate) fn long(from: &[u8; ROW], at: usize) -> u64 {
    let mut long = [0; 8];
    long.copy_from_slice(&from[at..at + 8]);
    u64::from_le_bytes(long)
}

impl Row {
    /// The row's 64 bytes.
    #[inline]
    pub fn write(&self) -> [u8; ROW] {
        let mut to = [0; ROW];
        let (kind, bits) = match self.metric {
            None => (0, 0),
            Some(Metric::Int(value)) => (METRIC_INT, value as u64),
            Some(Metric::Float(value)) => (METRIC_FLOAT, value.to_bits()),
        };
        let present = |field: Option<u32>, bit| if field.is_some() { bit } else { 0 };
        let flags = kind
            | if self.ttl.is_some() { TTL } else { 0 }
            | present(self.host, HOST)
            | present(self.service, SERVICE)
            | present(self.state, STATE)
            | present(self.description, DESCRIPTION)
            | if self.leaving { LEAVING } else { 0 }
            | (self.state_code as u32) << STATE_CODE
            | u32::from(self.hops & 15) << HOPS
            | if self.untimed { UNTIMED } else { 0 }
            | if self.reaped { REAPED } else { 0 };
        to[0..8].copy_from_slice(&self.time.0.to_le_bytes());
        to[8..16].copy_from_slice(&bits.to_le_bytes());
        to[16..24].copy_from_slice(&self.key.to_le_bytes());
        to[24..28].copy_from_slice(&self.slot.to_le_bytes());
        to[28..32].copy_from_slice(&self.ttl.unwrap_or(0.0).to_le_bytes());
        to[32..36].copy_from_slice(&self.host.unwrap_or(0).to_le_bytes());
        to[36..40].copy_from_slice(&self.service.unwrap_or(0).to_le_bytes());
        to[40..44].copy_from_slice(&self.state.unwrap_or(0).to_le_bytes());
        to[44..48].copy_from_slice(&self.description.unwrap_or(0).to_le_bytes());
        to[48..52].copy_from_slice(&self.tags.to_le_bytes());
        to[52..56].copy_from_slice(&self.attributes.to_le_bytes());
        to[56..60].copy_from_slice(&flags.to_le_bytes());
        to[60..64].copy_from_slice(&self.binding.to_le_bytes());
        to
    }

    /// The row in these 64 bytes.
    #[inline]
    pub fn read(from: &[u8; ROW]) -> Self {
        let flags = word(from, 56);
        let present = |bit, at| (flags & bit != 0).then(|| word(from, at));
        Self {
            time: Timestamp(long(from, 0) as i64),
            metric: Metric::from_bits(flags & METRIC, long(from, 8)),
            key: long(from, 16),
            slot: word(from, 24),
            ttl: (flags & TTL != 0).then(|| f32::from_bits(word(from, 28))),
            host: present(HOST, 32),
            service: present(SERVICE, 36),
            state: present(STATE, 40),
            state_code: State::from_code((flags >> STATE_CODE) as u8),
            description: present(DESCRIPTION, 44),
            tags: word(from, 48),
            attributes: word(from, 52),
            leaving: flags & LEAVING != 0,
            hops: (flags >> HOPS) as u8 & 15,
            untimed: flags & UNTIMED != 0,
            reaped: flags & REAPED != 0,
            binding: word(from, 60),
        }
    }
}

/// A row that is written where it will stay, field by field; of two values for one field the last counts. What is not
/// set is absent. Refs are the writer's to get right: nothing looks at what they point at.
#[derive(Debug)]
pub struct RowWriter<'a> {
    raw: &'a mut [u8; ROW],
    flags: u32,
}

impl<'a> RowWriter<'a> {
    /// Over a row of zeros, which is an event without any field.
    #[inline]
    pub(super) fn new(raw: &'a mut [u8; ROW]) -> Self {
        Self { raw, flags: 0 }
    }

    #[inline]
    fn put<const N: usize>(&mut self, at: usize, value: [u8; N], flag: u32) {
        self.raw[at..at + N].copy_from_slice(&value);
        self.flags |= flag;
    }

    /// When.
    #[inline]
    pub fn time(&mut self, time: Timestamp) {
        self.put(0, time.0.to_le_bytes(), 0);
    }

    /// The sender gave no time.
    #[inline]
    pub fn untimed(&mut self) {
        self.flags |= UNTIMED;
    }

    /// How much.
    #[inline]
    pub fn metric(&mut self, metric: Metric) {
        let (kind, bits) = match metric {
            Metric::Int(value) => (METRIC_INT, value as u64),
            Metric::Float(value) => (METRIC_FLOAT, value.to_bits()),
        };
        self.flags &= !METRIC;
        self.put(8, bits.to_le_bytes(), kind);
    }

    /// Seconds of validity.
    #[inline]
    pub fn ttl(&mut self, seconds: f32) {
        self.put(28, seconds.to_le_bytes(), TTL);
    }

    /// Ref of the host.
    #[inline]
    pub fn host(&mut self, at: u32) {
        self.put(32, at.to_le_bytes(), HOST);
    }

    /// Ref of the service.
    #[inline]
    pub fn service(&mut self, at: u32) {
        self.put(36, at.to_le_bytes(), SERVICE);
    }

    /// Ref of the state's word, and its code.
    #[inline]
    pub fn state(&mut self, at: u32, code: State) {
        self.flags &= !(0xff << STATE_CODE);
        self.put(40, at.to_le_bytes(), STATE | (code as u32) << STATE_CODE);
    }

    /// Ref of the description.
    #[inline]
    pub fn description(&mut self, at: u32) {
        self.put(44, at.to_le_bytes(), DESCRIPTION);
    }

    /// Ends the row. Without it the row stays one without fields.
    #[inline]
    pub fn finish(self) {
        self.raw[56..60].copy_from_slice(&self.flags.to_le_bytes());
    }
}
