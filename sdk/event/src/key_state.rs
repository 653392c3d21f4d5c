//! What one key remembers, on its way out of a guest and back into one.
//!
//! ```text
//! list = key, key, … to the end of the bytes
//!
//! key
//! 0   u64 id
//! 8   u32 slot
//! 12  u32 binding
//! 16  u32 number of wakes, at most 16
//! 20  u32 length of the state
//! 24  the wakes, i64 microseconds each: each later than the one before, none of them the largest i64
//!     the state
//! ```

use crate::Timestamp;
use crate::abi::WAKES_MAX;
use core::fmt;

/// Size of what comes before the wakes of a key.
const HEAD: usize = 24;

/// The saved state of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyState {
    /// Its slot in the guest.
    pub slot: u32,
    /// The number of its rule in the guest.
    pub binding: u32,
    /// Its id. A guest knows it from the rows of the key.
    pub key: u64,
    /// The moments that it waits for, in order.
    pub wakes: Vec<Timestamp>,
    /// The value as MessagePack: a map with the names of the fields.
    pub state: Vec<u8>,
}

impl KeyState {
    /// Appends the key to a list.
    pub fn write(&self, to: &mut Vec<u8>) {
        let Self { slot, binding, key, wakes, state } = self;
        Self::write_with(to, (*slot, *binding, *key), wakes, |to| to.extend_from_slice(state));
    }

    /// Appends a key with that slot, binding and id to a list; its state is written by `fill`, without a copy in between.
    pub fn write_with(
        to: &mut Vec<u8>,
        (slot, binding, key): (u32, u32, u64),
        wakes: &[Timestamp],
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        let head = to.len();
        to.extend_from_slice(&key.to_le_bytes());
        to.extend_from_slice(&slot.to_le_bytes());
        to.extend_from_slice(&binding.to_le_bytes());
        to.extend_from_slice(&(wakes.len() as u32).to_le_bytes());
        to.extend_from_slice(&[0; 4]);
        for wake in wakes {
            to.extend_from_slice(&wake.0.to_le_bytes());
        }
        let state = to.len();
        fill(to);
        let len = to.len().saturating_sub(state) as u32;
        to[head + 20..head + HEAD].copy_from_slice(&len.to_le_bytes());
    }
}

/// Reads a list of saved keys that somebody else wrote; ends after the first thing that is none.
#[derive(Clone, Debug)]
pub struct KeyStates<'a> {
    rest: &'a [u8],
    index: u32,
}

/// A saved key where it lies in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStateRef<'a> {
    /// Its slot in the guest.
    pub slot: u32,
    /// The number of its rule in the guest.
    pub binding: u32,
    /// Its id.
    pub key: u64,
    /// The value as MessagePack.
    pub state: &'a [u8],
    wakes: &'a [[u8; 8]],
}

/// Why bytes are not a list of saved keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum KeyStateError {
    /// The bytes end within a key.
    Short { index: u32 },
    /// A key has more wakes than a key can wait for.
    Wakes { index: u32, count: u32 },
    /// The wakes of a key are not in order.
    Order { index: u32 },
}

impl fmt::Display for KeyStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { index } => write!(f, "the bytes end within saved key {index}"),
            Self::Wakes { index, count } => {
                write!(f, "saved key {index} waits for {count} moments, a key has at most {WAKES_MAX}")
            }
            Self::Order { index } => {
                write!(f, "the moments that saved key {index} waits for are not in order")
            }
        }
    }
}

impl core::error::Error for KeyStateError {}

impl<'a> KeyStates<'a> {
    /// The keys in these bytes.
    pub fn new(list: &'a [u8]) -> Self {
        Self { rest: list, index: 0 }
    }

    /// The bytes that have not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn read(&mut self) -> Result<KeyStateRef<'a>, KeyStateError> {
        let index = self.index;
        let short = KeyStateError::Short { index };
        let (head, rest) = self.rest.split_first_chunk::<HEAD>().ok_or(short)?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (count, len) = (word(16), word(20) as usize);
        if count as usize > WAKES_MAX {
            return Err(KeyStateError::Wakes { index, count });
        }
        let (wakes, rest) = rest.split_at_checked(8 * count as usize).ok_or(short)?;
        let (state, rest) = rest.split_at_checked(len).ok_or(short)?;
        let key = u64::from(word(0)) | u64::from(word(4)) << 32;
        let read = KeyStateRef { slot: word(8), binding: word(12), key, state, wakes: wakes.as_chunks().0 };
        if !read.wakes().is_sorted_by(|one, next| one < next) || read.wakes().last() == Some(Timestamp::NEVER)
        {
            return Err(KeyStateError::Order { index });
        }
        self.rest = rest;
        self.index += 1;
        Ok(read)
    }
}

impl<'a> Iterator for KeyStates<'a> {
    type Item = Result<KeyStateRef<'a>, KeyStateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.rest = &[];
        }
        Some(read)
    }
}

impl<'a> KeyStateRef<'a> {
    /// The moments that it waits for, in order.
    pub fn wakes(&self) -> impl Iterator<Item = Timestamp> + use<'a> {
        self.wakes.iter().map(|wake| Timestamp(i64::from_le_bytes(*wake)))
    }

    /// The same in memory of its own.
    pub fn to_owned(&self) -> KeyState {
        let Self { slot, binding, key, state, .. } = *self;
        KeyState { slot, binding, key, wakes: self.wakes().collect(), state: state.to_vec() }
    }
}
