//! Guest memory, as far as the guest can be believed: not at all.

use std::fmt;
use tidegate_event::RECORD;

/// A stretch of guest memory, as claimed by the guest.
///
/// Having one tells you that the guest *said* so, and nothing else: it may lie outside memory or overlap anything.
/// [`read`](Self::read) and [`write`](Self::write) are the only ways in, and they check. They borrow the memory, so
/// what they return cannot outlive the moment before the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuestSlice {
    offset: u32,
    len: u64,
}

/// A claim that does not lie in the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outside {
    claim: GuestSlice,
    memory: usize,
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GuestSlice { offset, len } = self.claim;
        write!(f, "{len} bytes at address {offset} do not lie in its memory of {} bytes", self.memory)
    }
}

impl GuestSlice {
    /// So many bytes at that address.
    pub(crate) fn claimed(offset: u32, len: u32) -> Self {
        Self { offset, len: len.into() }
    }

    /// So many records at that address. The length may exceed 32 bits; then it lies outside like any other.
    pub(crate) fn records(offset: u32, count: u32) -> Self {
        Self { offset, len: u64::from(count) * RECORD as u64 }
    }

    fn range(&self, memory: usize) -> Result<std::ops::Range<usize>, Outside> {
        let outside = Outside { claim: *self, memory };
        let start = usize::try_from(self.offset).map_err(|_| outside)?;
        let end = usize::try_from(u64::from(self.offset) + self.len).map_err(|_| outside)?;
        if end <= memory { Ok(start..end) } else { Err(outside) }
    }

    /// The bytes, if they are there.
    pub(crate) fn read<'m>(&self, memory: &'m [u8]) -> Result<&'m [u8], Outside> {
        Ok(&memory[self.range(memory.len())?])
    }

    /// The bytes to write to, if they are there.
    pub(crate) fn write<'m>(&self, memory: &'m mut [u8]) -> Result<&'m mut [u8], Outside> {
        let range = self.range(memory.len())?;
        Ok(&mut memory[range])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_is_not_read() {
        let mut memory = [7u8; 100];
        for (offset, len, inside) in [
            (0, 100, true),
            (0, 101, false),
            (100, 0, true),
            (101, 0, false),
            (99, 1, true),
            (99, 2, false),
            (u32::MAX, 0, false),
            (u32::MAX, u32::MAX, false),
            (4, u32::MAX - 3, false),
        ] {
            let claim = GuestSlice::claimed(offset, len);
            assert_eq!(claim.read(&memory).is_ok(), inside, "{claim:?}");
            assert_eq!(claim.write(&mut memory).is_ok(), inside, "{claim:?}");
        }
        assert_eq!(GuestSlice::claimed(98, 2).read(&memory).unwrap(), [7, 7]);
    }

    #[test]
    fn a_count_of_records_cannot_wrap_around() {
        // 0x0800_0001 × 32 is 32 in 32 bits.
        let claim = GuestSlice::records(0, 0x0800_0001);
        assert_eq!(
            claim.read(&[0; 64]).unwrap_err().to_string(),
            "4294967328 bytes at address 0 do not lie in its memory of 64 bytes"
        );
        assert_eq!(GuestSlice::records(0, 2).read(&[0; 64]).unwrap().len(), 64);
    }
}
