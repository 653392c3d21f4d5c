//! What one key remembers, on its way out of a guest and back into one.

use crate::Timestamp;

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
