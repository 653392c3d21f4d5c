//! The bytes of a segment file: its name, its head, the head of a record, and the checks over them.
//!
//! The CRCs begin with a salt that is drawn when the log is opened and that no sender can know. So nothing that a sender
//! writes into an event can pass for a record, wherever damage makes the reader look for one.

use crate::chaos::planted;
use std::fmt;

/// The version of the format. Later ones keep the form of the head, so that this one can say what it found.
const VERSION: u8 = 2;

/// Size of a segment's head: two copies of it, so that damage to one costs nothing.
pub const HEAD: usize = 2 * COPY;
const COPY: usize = 32;
const NAME: &[u8; 7] = b"TGLOG\0\0";

/// Size of a record's head.
pub const RECORD_HEAD: usize = 24;

/// How the name of a file ends that nobody has finished.
pub const UNFINISHED: &str = ".new";

/// What a record begins with.
pub const MARK: [u8; 4] = *b"TGR1";

/// No record is longer: a length beyond it is damage.
pub const MAX_PAYLOAD: usize = 256 << 20;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The kind with this code; `None` for one that only a newer version knows.
    pub fn from_code(code: u8) -> Option<Self> {
        KINDS.into_iter().find(|kind| *kind as u8 == code)
    }

    /// Its name, for people and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Control => "control",
            Self::Time => "time",
            Self::Emitted => "emitted",
            Self::Catalogue => "catalogue",
        }
    }
}

/// Which segment: the first position that may stand in it, and the how-manieth file of the log it is. A file that was
/// begun later takes the place of everything from its first position on in all earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// The first position.
    pub first: u64,
    /// The files of a log are counted from 1.
    pub number: u32,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:06}.log", self.first, self.number)
    }
}

impl Name {
    /// What its file is called until everything is in it that it was begun for: before that it must take no other's place.
    pub fn unfinished(self) -> String {
        format!("{self}{UNFINISHED}")
    }

    /// What a file is called; `None` when it is no segment's name.
    pub fn parse(file: &str) -> Option<Self> {
        let (first, number) = file.strip_suffix(".log")?.split_once('-')?;
        Some(Self { first: first.parse().ok()?, number: number.parse().ok()? })
    }
}

/// What a segment begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Which segment it is, whatever its file is called.
    pub name: Name,
    /// What its checks begin with.
    pub salt: u32,
}

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHead {
    /// The file is too short: whoever began it did not get far.
    Short,
    /// Neither copy is sound.
    Damaged,
    /// Another version of the format.
    Foreign(u8),
}

impl Head {
    /// Its bytes.
    pub fn write(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..7].copy_from_slice(NAME);
        head[7] = VERSION;
        head[8..16].copy_from_slice(&self.name.first.to_le_bytes());
        head[16..20].copy_from_slice(&self.name.number.to_le_bytes());
        head[20..24].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&head[..24]);
        head[24..28].copy_from_slice(&crc.to_le_bytes());
        head.copy_within(..COPY, COPY);
        head
    }

    /// Reads what a file begins with.
    pub fn read(from: &[u8]) -> Result<Self, NoHead> {
        let mut version = None;
        for copy in from.chunks_exact(COPY).take(2) {
            if !copy.starts_with(NAME) || crc32c::crc32c(&copy[..24]) != word(copy, 24) {
                continue;
            }
            if copy[7] == VERSION && from.len() < HEAD {
                break;
            }
            if copy[7] == VERSION {
                let name = Name { first: long(copy, 8), number: word(copy, 16) };
                return Ok(Self { name, salt: word(copy, 20) });
            }
            version = Some(copy[7]);
        }
        match version {
            Some(version) => Err(NoHead::Foreign(version)),
            // Version 1 had no check of its own.
            None if from.starts_with(b"TGLOG\0\0\x01") => Err(NoHead::Foreign(1)),
            None if from.len() < HEAD => Err(NoHead::Short),
            None => Err(NoHead::Damaged),
        }
    }
}

fn word(from: &[u8], at: usize) -> u32 {
    from.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn long(from: &[u8], at: usize) -> u64 {
    u64::from(word(from, at)) | u64::from(word(from, at + 4)) << 32
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The code of what it is: a newer version may know more kinds.
    pub kind: u8,
    /// Where it stands.
    pub position: u64,
    /// Bytes that follow.
    pub len: usize,
    crc: u32,
    check: u32,
}

impl Mark {
    fn new(kind: u8, position: u64, len: usize, salt: u32) -> Self {
        let mut mark = Self { kind, position, len, crc: 0, check: 0 };
        mark.check = crc32c::crc32c_append(salt, &mark.told()) & 0xff_ffff;
        mark
    }

    /// What the checks are over: length, kind and the head's own check, position.
    fn told(&self) -> [u8; 16] {
        let mut told = [0; 16];
        let covered = if planted("crc-without-length") { 0 } else { self.len as u32 };
        told[0..4].copy_from_slice(&covered.to_le_bytes());
        told[4..8].copy_from_slice(&(u32::from(self.kind) | self.check << 8).to_le_bytes());
        told[8..16].copy_from_slice(&self.position.to_le_bytes());
        told
    }

    /// The head that stands at the beginning of these bytes. It has a check of its own, so its length can be relied on
    /// before anything is read or made room for.
    pub fn read(from: &[u8], salt: u32) -> Option<Self> {
        let head = from.first_chunk::<RECORD_HEAD>()?;
        let (len, position) = (word(head, 4) as usize, long(head, 16));
        if head[..4] != MARK || len > MAX_PAYLOAD {
            return None;
        }
        let mark = Self::new(head[12], position, len, salt);
        (mark.check == word(head, 12) >> 8).then_some(Self { crc: word(head, 8), ..mark })
    }

    /// Whether this is the payload that was written behind the head.
    pub fn fits(&self, payload: &[u8], salt: u32) -> bool {
        crc32c::crc32c_append(crc32c::crc32c_append(salt, &self.told()), payload) == self.crc
    }

    /// The length of the whole record.
    pub fn whole(&self) -> u64 {
        (RECORD_HEAD + self.len) as u64
    }
}

/// Appends a whole record to a buffer.
pub fn push(to: &mut Vec<u8>, salt: u32, kind: Kind, position: u64, parts: &[&[u8]]) {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let told = Mark::new(kind as u8, position, len, salt).told();
    let start = crc32c::crc32c_append(salt, &told);
    let crc = parts.iter().fold(start, |crc, part| crc32c::crc32c_append(crc, part));
    to.extend_from_slice(&MARK);
    to.extend_from_slice(&(len as u32).to_le_bytes());
    to.extend_from_slice(&crc.to_le_bytes());
    to.extend_from_slice(&told[4..]);
    parts.iter().for_each(|part| to.extend_from_slice(part));
}
