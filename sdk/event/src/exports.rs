//! What a module exports, as a trait: for rules that are linked in instead of loaded.

use crate::effect::Reply;
use crate::time::Timestamp;

/// A rule that is linked in, with the exports of a module that have to do with batches and with what keys remember. What
/// a module would refuse because the host broke the contract is a panic here.
pub trait Exports: Send {
    /// `tg_batch`: handles a block and fills the reply.
    fn batch(&mut self, block: &[u8], reply: &mut Reply);

    /// `tg_mark`: marks every key that has state, or those touched since the last mark.
    fn mark(&mut self, all: bool);

    /// `tg_save`: appends up to `most` marked keys to a list, and says how many are left.
    fn save(&mut self, most: u32, list: &mut Vec<u8>) -> u32;

    /// `tg_pick`: appends what the keys with these slots remember now to a list.
    fn pick(&mut self, slots: &[u32], list: &mut Vec<u8>);

    /// `tg_restore`: gives keys back what they remember. After an error all is as it was.
    fn restore(&mut self, schema: u32, list: &[u8]) -> Result<Timestamp, NotRestored>;
}

/// Why keys could not be given back what they remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRestored {
    /// The host did not keep the contract.
    Refused(String),
    /// The state of a key does not fit.
    Unfit {
        /// Which key of the list.
        index: u32,
        /// The field, and what was expected and found.
        reason: String,
    },
}
