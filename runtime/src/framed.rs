//! Records in files that are only ever appended to: a length, a number and a check over all of it.
//!
//! ```text
//! file   = "TGREC\0\0\1" | u64 salt | record …
//! record = u32 mark | u32 length | u32 crc | u32 0 | u64 number | payload
//!
//! mark is 0x31434552; crc is CRC-32C over salt, length, number and payload; numbers are little endian
//! ```
//!
//! What cannot be read costs itself and nothing else: the reader goes on with the next whole record. The salt is drawn for
//! each file, so that text in a payload cannot pass for a record when the one around it is damaged.

use std::ops::Range;

/// What a file begins with: a name and the version of the format.
const NAME: &[u8; 8] = b"TGREC\0\0\x01";

/// Size of a file's head.
pub const FILE_HEAD: usize = 16;

/// Size of a record's head.
pub const RECORD_HEAD: usize = 24;

/// What a record begins with.
const MARK: u32 = 0x3143_4552;

/// No record is longer: a length beyond it is damage.
pub const MAX_PAYLOAD: usize = 256 << 20;

/// The head of a new file, and its salt.
pub fn head() -> ([u8; FILE_HEAD], u64) {
    let salt = fastrand::u64(..);
    let mut head = [0; FILE_HEAD];
    head[..8].copy_from_slice(NAME);
    head[8..].copy_from_slice(&salt.to_le_bytes());
    (head, salt)
}

fn crc(salt: u64, len: u32, number: u64, parts: &[&[u8]]) -> u32 {
    let mut head = [0; 20];
    head[0..8].copy_from_slice(&salt.to_le_bytes());
    head[8..12].copy_from_slice(&len.to_le_bytes());
    head[12..20].copy_from_slice(&number.to_le_bytes());
    parts.iter().fold(crc32c::crc32c(&head), |crc, part| crc32c::crc32c_append(crc, part))
}

/// Appends a whole record to a buffer.
pub fn push(to: &mut Vec<u8>, salt: u64, number: u64, parts: &[&[u8]]) {
    let len = parts.iter().map(|part| part.len()).sum::<usize>() as u32;
    to.extend_from_slice(&MARK.to_le_bytes());
    to.extend_from_slice(&len.to_le_bytes());
    to.extend_from_slice(&crc(salt, len, number, parts).to_le_bytes());
    to.extend_from_slice(&[0; 4]);
    to.extend_from_slice(&number.to_le_bytes());
    parts.iter().for_each(|part| to.extend_from_slice(part));
}

/// What stands next in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A sound record.
    Record {
        /// Its number.
        number: u64,
        /// What it holds.
        payload: &'a [u8],
        /// Where it ends.
        end: usize,
    },
    /// Bytes that are no record.
    Damaged(Range<usize>),
}

/// Reads a file's bytes record by record.
#[derive(Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    salt: u64,
    at: usize,
}

impl<'a> Frames<'a> {
    /// The records of a file; `None` when it is none of this format. A file that ends within its head is empty.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let Some(head) = bytes.first_chunk::<FILE_HEAD>() else {
            return NAME.starts_with(&bytes[..bytes.len().min(8)]).then_some(Self {
                bytes: &[],
                salt: 0,
                at: 0,
            });
        };
        let (name, salt) = head.split_first_chunk::<8>()?;
        let salt = u64::from_le_bytes(salt.try_into().ok()?);
        (name == NAME).then_some(Self { bytes, salt, at: FILE_HEAD })
    }

    fn record(&self, at: usize) -> Option<Frame<'a>> {
        let head = self.bytes.get(at..)?.first_chunk::<RECORD_HEAD>()?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (len, number) = (word(4), u64::from(word(16)) | u64::from(word(20)) << 32);
        if word(0) != MARK || word(12) != 0 || len as usize > MAX_PAYLOAD {
            return None;
        }
        let end = (at + RECORD_HEAD).checked_add(len as usize)?;
        let payload = self.bytes.get(at + RECORD_HEAD..end)?;
        (crc(self.salt, len, number, &[payload]) == word(8)).then_some(Frame::Record { number, payload, end })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let from = self.at;
        if from >= self.bytes.len() {
            return None;
        }
        if let Some(record) = self.record(from) {
            if let Frame::Record { end, .. } = record {
                self.at = end;
            }
            return Some(record);
        }
        let mark = MARK.to_le_bytes();
        let sound = (from + 1..self.bytes.len())
            .filter(|at| self.bytes[*at..].starts_with(&mark))
            .find(|at| self.record(*at).is_some());
        self.at = sound.unwrap_or(self.bytes.len());
        Some(Frame::Damaged(from..self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(payloads: &[Vec<u8>]) -> Vec<u8> {
        let (head, salt) = head();
        let mut file = head.to_vec();
        for (number, payload) in payloads.iter().enumerate() {
            push(&mut file, salt, number as u64, &[payload]);
        }
        file
    }

    fn numbers(file: &[u8]) -> Vec<u64> {
        let frames = Frames::of(file).expect("it is a file of this format");
        frames
            .filter_map(|frame| if let Frame::Record { number, .. } = frame { Some(number) } else { None })
            .collect()
    }

    #[test]
    fn a_file_of_another_format_is_refused_and_a_torn_head_is_an_empty_file() {
        assert!(Frames::of(b"TGLOG\0\0\x01salt and more").is_none());
        assert!(Frames::of(b"something").is_none());
        for len in 0..FILE_HEAD {
            assert!(numbers(&head().0[..len]).is_empty(), "{len}");
        }
    }

    #[test]
    fn a_record_within_a_damaged_record_is_not_believed() {
        let other = file(&[b"forged".to_vec()]);
        let mut outer = file(&[other[FILE_HEAD..].to_vec(), b"true".to_vec()]);
        outer[FILE_HEAD + 4] ^= 1;
        assert_eq!(numbers(&outer), [1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]
        #[test]
        fn a_flipped_bit_costs_one_record_and_a_cut_the_last(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..12),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let whole = file(&payloads);
            let all: Vec<u64> = (0..payloads.len() as u64).collect();
            prop_assert_eq!(numbers(&whole), all.clone());
            let mut flipped = whole.clone();
            let at = FILE_HEAD + at.index(whole.len() - FILE_HEAD);
            flipped[at] ^= 1 << bit;
            let found = numbers(&flipped);
            prop_assert_eq!(found.len() + 1, all.len());
            prop_assert!(found.iter().all(|number| all.contains(number)));
            let cut = numbers(&whole[..at]);
            prop_assert_eq!(&cut[..], &all[..cut.len()]);
        }
    }
}
