//! A rule that is linked in as a function: for simulation, benches and a rule's own tests.

use super::{Fault, FaultKind, Guest, Spent};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tidegate_event::abi::{Moment, NO_ROW};
use tidegate_event::{Batch, Reply};

/// A guest that is a function from a batch's block to a reply. A panic inside is a fault like any other.
pub struct Native<F> {
    handle: F,
    block: Vec<u8>,
}

impl<F: FnMut(&[u8], &mut Reply) + Send> Native<F> {
    /// A guest that calls `handle` with the whole block of each batch, just as a module would see it.
    pub fn new(handle: F) -> Self {
        Self { handle, block: Vec::new() }
    }
}

impl<F: FnMut(&[u8], &mut Reply) + Send> Guest for Native<F> {
    fn call(&mut self, batch: &Batch, reply: &mut Reply) -> Result<Spent, Fault> {
        self.block.clear();
        self.block.extend_from_slice(&batch.header_bytes());
        self.block.extend_from_slice(batch.row_bytes());
        self.block.extend_from_slice(batch.string_bytes());
        reply.clear();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.handle)(&self.block, reply)));
        outcome.map_err(|panic| {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without a message");
            let moment = if reply.row == NO_ROW { Moment::Idle } else { Moment::Event };
            Fault::new(FaultKind::Trap, message).at(moment, reply.row)
        })?;
        Ok(Spent::default())
    }
}
