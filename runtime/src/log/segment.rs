//! The bytes of a segment file: its head, the head of a record, and the check over it.

/// What a segment file begins with: a name and the version of the format.
pub const HEAD: &[u8; 8] = b"TGLOG\0\0\x01";

/// Size of a record's head.
pub const RECORD_HEAD: usize = 24;

/// What a record begins with.
const MARK: u32 = 0x3152_4754;

/// No record is longer: a length beyond it is damage.
pub const MAX_PAYLOAD: usize = 256 << 20;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Events from an input.
    Batch = 1,
    /// A change to the set of rules.
    Control = 2,
    /// Time moved.
    Time = 3,
    /// Events that rules put back into the stream.
    Emitted = 4,
    /// Every deployed rule.
    Catalogue = 5,
}

/// Every kind of record.
pub const KINDS: [Kind; 5] = [Kind::Batch, Kind::Control, Kind::Time, Kind::Emitted, Kind::Catalogue];

impl Kind {
    fn from_code(code: u8) -> Option<Self> {
        KINDS.into_iter().find(|kind| *kind as u8 == code)
    }
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub position: u64,
    /// Bytes that follow.
    pub len: usize,
}

/// The CRC over what the head says and the payload, given in parts.
fn crc(kind: u8, position: u64, len: u32, parts: &[&[u8]]) -> u32 {
    let mut head = [0; 16];
    head[0..4].copy_from_slice(&len.to_le_bytes());
    head[4] = kind;
    head[8..16].copy_from_slice(&position.to_le_bytes());
    parts.iter().fold(crc32c::crc32c(&head), |crc, part| crc32c::crc32c_append(crc, part))
}

/// Appends a whole record to a buffer.
pub fn push(to: &mut Vec<u8>, kind: Kind, position: u64, parts: &[&[u8]]) {
    let len = parts.iter().map(|part| part.len()).sum::<usize>() as u32;
    to.extend_from_slice(&MARK.to_le_bytes());
    to.extend_from_slice(&len.to_le_bytes());
    to.extend_from_slice(&crc(kind as u8, position, len, parts).to_le_bytes());
    to.extend_from_slice(&[kind as u8, 0, 0, 0]);
    to.extend_from_slice(&position.to_le_bytes());
    parts.iter().for_each(|part| to.extend_from_slice(part));
}

/// The record at the beginning of these bytes and its payload; `None` when no whole and sound record stands there.
pub fn read(from: &[u8]) -> Option<(Mark, &[u8])> {
    let head = from.first_chunk::<RECORD_HEAD>()?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let len = word(4) as usize;
    if word(0) != MARK || len > MAX_PAYLOAD {
        return None;
    }
    let payload = from[RECORD_HEAD..].get(..len)?;
    let position = u64::from(word(16)) | u64::from(word(20)) << 32;
    if crc(head[12], position, len as u32, &[payload]) != word(8) {
        return None;
    }
    Some((Mark { kind: Kind::from_code(head[12])?, position, len }, payload))
}
