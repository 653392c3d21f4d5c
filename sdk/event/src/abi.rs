//! How a host and a module find each other: names, numbers, sizes.
//!
//! A module **exports** the names below and **imports nothing**: it has no clock, no randomness, no input or output, and
//! no way to call out. What it wants done it leaves in its reply; what it wanted to say before it died it leaves in a
//! message whose address is in the descriptor, and the host reads it there.
//!
//! ```text
//! tg_abi_1()                      marks the version; never called
//! tg_region(bytes) -> address     a 64-byte aligned place for the host to write to; 0 when there is no room
//! tg_reply() -> address           the descriptor below; asked once, then fixed
//! tg_bind(binding, len) -> code   the region holds the settings of one deployed rule: 0, or 1 with a message
//! tg_unbind(binding)              forget it and all that its keys remember
//! tg_batch(len) -> code           the region holds one batch (see batch.rs): handle it and fill the descriptor
//! tg_mark(all) -> code            mark what is to be saved: all keys that have state, or those touched since the last mark
//! tg_save(most) -> code           answer with up to so many marked keys (see key_state.rs)
//! tg_pick(len) -> code            the region holds slots, u32 each: answer with what these keys remember now
//! tg_restore(schema, len) -> code the region holds saved keys: give them back what they remember
//!
//! code    0 done, 1 refused with a message, 2 (tg_restore only) the state of a key does not fit, with a message
//! answer  lies where the bytes of a reply lie; the number of records is that of the keys in it, and
//!         `keys` is for tg_mark and tg_save how many marked keys are left, else how many have state
//!
//! descriptor, 64 bytes
//! 0   u32 address of the records      32-byte effects (see effect.rs)
//! 4   u32 number of records
//! 8   u32 address of their bytes
//! 12  u32 length of their bytes
//! 16  i64 next wake                   microseconds; i64::MAX for none
//! 24  u32 the row being handled       while a key is woken, saved or restored its slot, else 0xffff_ffff: whose fault a trap was
//! 28  u32 moment                      see `Moment`
//! 32  u32 address of the message      last words of a panic, or the reason that tg_bind gave
//! 36  u32 length of the message
//! 40  u32 keys that have state        after tg_mark and tg_save those left to be saved, after code 2 the number of the key
//! 44  u32 keys that were woken in the call, each counted once
//! 48  reserved, 0
//! ```

/// The version that this crate speaks, as in `tg_abi_1`.
pub const VERSION: u32 = 1;

/// Export that marks the version. A module that lacks it speaks another version, or is no rule at all.
pub const MARKER: &str = "tg_abi_1";
/// Export: make room for the host to write to.
pub const REGION: &str = "tg_region";
/// Export: the descriptor's address.
pub const REPLY: &str = "tg_reply";
/// Export: take the settings of one deployed rule.
pub const BIND: &str = "tg_bind";
/// Export: forget one deployed rule.
pub const UNBIND: &str = "tg_unbind";
/// Export: handle one batch.
pub const BATCH: &str = "tg_batch";
/// Export: mark what is to be saved.
pub const MARK: &str = "tg_mark";
/// Export: hand out marked keys.
pub const SAVE: &str = "tg_save";
/// Export: hand out keys by their slots.
pub const PICK: &str = "tg_pick";
/// Export: give keys back what they remember.
pub const RESTORE: &str = "tg_restore";

/// What `tg_restore` answers when the state of a key does not fit.
pub const UNFIT: u32 = 2;

/// A key waits for at most so many moments.
pub const WAKES_MAX: usize = 16;

/// Name of the custom section that holds the manifest, as JSON.
pub const MANIFEST_SECTION: &str = "tidegate.manifest";

/// Size of the descriptor in bytes.
pub const DESCRIPTOR: usize = 64;

/// Alignment of the region.
pub const REGION_ALIGN: usize = 64;

/// "No row": outside of rows and wakes in the descriptor, and for an effect that was not caused by one.
pub const NO_ROW: u32 = u32::MAX;

/// The longest last words a module keeps, in bytes.
pub const MESSAGE_MAX: usize = 1024;

/// What a guest was doing, for the report when it traps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Moment {
    /// Nothing: between calls.
    #[default]
    Idle = 0,
    /// Reading its settings.
    Bind = 1,
    /// Waking a key that asked to be woken: the descriptor's row is the key's slot.
    Wake = 2,
    /// Handling an event.
    Event = 3,
    /// Handling the expiry of a key.
    Expire = 4,
    /// Saving what a key remembers: the descriptor's row is the key's slot.
    Save = 5,
    /// Giving a key back what it remembers: the descriptor's row is the key's slot.
    Restore = 6,
}

impl Moment {
    /// Whether the descriptor's row is the slot of a key.
    pub const fn is_of_a_key(self) -> bool {
        matches!(self, Self::Wake | Self::Save | Self::Restore)
    }

    /// The moment with that number; unknown numbers read as `Idle`.
    pub const fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Bind,
            2 => Self::Wake,
            3 => Self::Event,
            4 => Self::Expire,
            5 => Self::Save,
            6 => Self::Restore,
            _ => Self::Idle,
        }
    }
}

/// The descriptor, read out of a guest's memory. Addresses are claims: nothing here has been checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Descriptor {
    pub records: u32,
    pub record_count: u32,
    pub bytes: u32,
    pub byte_count: u32,
    pub next_wake: i64,
    pub row: u32,
    pub moment: u32,
    pub message: u32,
    pub message_len: u32,
    pub keys: u32,
    pub woken: u32,
}

impl Descriptor {
    /// Reads the 64 bytes.
    pub fn read(from: &[u8; DESCRIPTOR]) -> Self {
        let word = |at: usize| u32::from_le_bytes([from[at], from[at + 1], from[at + 2], from[at + 3]]);
        Self {
            records: word(0),
            record_count: word(4),
            bytes: word(8),
            byte_count: word(12),
            next_wake: (u64::from(word(16)) | u64::from(word(20)) << 32) as i64,
            row: word(24),
            moment: word(28),
            message: word(32),
            message_len: word(36),
            keys: word(40),
            woken: word(44),
        }
    }

    /// Writes the 64 bytes.
    pub fn write(&self) -> [u8; DESCRIPTOR] {
        let mut to = [0; DESCRIPTOR];
        to[0..4].copy_from_slice(&self.records.to_le_bytes());
        to[4..8].copy_from_slice(&self.record_count.to_le_bytes());
        to[8..12].copy_from_slice(&self.bytes.to_le_bytes());
        to[12..16].copy_from_slice(&self.byte_count.to_le_bytes());
        to[16..24].copy_from_slice(&self.next_wake.to_le_bytes());
        to[24..28].copy_from_slice(&self.row.to_le_bytes());
        to[28..32].copy_from_slice(&self.moment.to_le_bytes());
        to[32..36].copy_from_slice(&self.message.to_le_bytes());
        to[36..40].copy_from_slice(&self.message_len.to_le_bytes());
        to[40..44].copy_from_slice(&self.keys.to_le_bytes());
        to[44..48].copy_from_slice(&self.woken.to_le_bytes());
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_reads_back_what_it_wrote() {
        let written = Descriptor {
            records: 1,
            record_count: 2,
            bytes: 3,
            byte_count: 4,
            next_wake: -5,
            row: NO_ROW,
            moment: Moment::Wake as u32,
            message: 8,
            message_len: 9,
            keys: 10,
            woken: 11,
        };
        assert_eq!(Descriptor::read(&written.write()), written);
        assert_eq!(Moment::from_code(written.moment), Moment::Wake);
        for code in 0..7 {
            assert_eq!(Moment::from_code(code) as u32, code);
        }
        assert_eq!(Moment::from_code(7), Moment::Idle);
    }
}
