//! A rule that is linked in: for simulation, benches and a rule's own tests.

use super::{Fault, FaultKind, Guest, Spent};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tidegate_event::abi::{Moment, NO_ROW};
use tidegate_event::{Batch, Exports, KeyState, KeyStates, NotRestored, Reply, Timestamp};

/// A guest that is linked in, with the exports of a module: the SDK's `Runner`, or a [function](Function). A panic inside
/// is a fault like any other.
pub struct Native<G> {
    guest: G,
    block: Vec<u8>,
    list: Vec<u8>,
}

/// A guest that is a function from a batch's block to a reply. Its keys remember nothing that could be saved.
pub struct Function<F>(F);

impl<F: FnMut(&[u8], &mut Reply) + Send> Native<Function<F>> {
    /// A guest that calls `handle` with the whole block of each batch, just as a module would see it.
    pub fn new(handle: F) -> Self {
        Self::linked(Function(handle))
    }
}

impl<G: Exports> Native<G> {
    /// A guest with these exports.
    pub fn linked(guest: G) -> Self {
        Self { guest, block: Vec::new(), list: Vec::new() }
    }

    fn take_list(&mut self, saved: &mut Vec<KeyState>) -> Result<(), Fault> {
        for key in KeyStates::new(&self.list) {
            let key = key.map_err(|error| Fault::new(FaultKind::Reply, error.to_string()))?;
            saved.push(key.to_owned());
        }
        Ok(())
    }
}

impl<G: Exports> Guest for Native<G> {
    fn call(&mut self, batch: &Batch, reply: &mut Reply) -> Result<Spent, Fault> {
        self.block.clear();
        self.block.extend_from_slice(&batch.header_bytes());
        self.block.extend_from_slice(batch.row_bytes());
        self.block.extend_from_slice(batch.string_bytes());
        reply.clear();
        guarded(|| self.guest.batch(&self.block, reply)).map_err(|fault| {
            let moment = if reply.row == NO_ROW { Moment::Idle } else { Moment::Event };
            fault.at(moment, reply.row)
        })?;
        Ok(Spent::default())
    }

    fn mark(&mut self, all: bool) -> Result<(), Fault> {
        guarded(|| self.guest.mark(all))
    }

    fn save(&mut self, most: u32, saved: &mut Vec<KeyState>) -> Result<u32, Fault> {
        self.list.clear();
        let left = guarded(|| self.guest.save(most, &mut self.list))
            .map_err(|fault| fault.at(Moment::Save, NO_ROW))?;
        self.take_list(saved)?;
        Ok(left)
    }

    fn pick(&mut self, slots: &[u32], saved: &mut Vec<KeyState>) -> Result<(), Fault> {
        self.list.clear();
        guarded(|| self.guest.pick(slots, &mut self.list)).map_err(|fault| fault.at(Moment::Save, NO_ROW))?;
        self.take_list(saved)
    }

    fn restore(&mut self, schema: u32, keys: &[KeyState]) -> Result<Timestamp, Fault> {
        self.list.clear();
        keys.iter().for_each(|key| key.write(&mut self.list));
        let restored = guarded(|| self.guest.restore(schema, &self.list))
            .map_err(|fault| fault.at(Moment::Restore, NO_ROW))?;
        restored.map_err(|not| match not {
            NotRestored::Unfit { index, reason } => {
                let slot = keys.get(index as usize).map_or(NO_ROW, |key| key.slot);
                Fault::new(FaultKind::State, reason).at(Moment::Restore, slot)
            }
            NotRestored::Refused(reason) => Fault::new(FaultKind::Trap, reason).at(Moment::Restore, NO_ROW),
        })
    }
}

impl<F: FnMut(&[u8], &mut Reply) + Send> Exports for Function<F> {
    fn batch(&mut self, block: &[u8], reply: &mut Reply) {
        (self.0)(block, reply);
    }

    fn mark(&mut self, _: bool) {}

    fn save(&mut self, _: u32, _: &mut Vec<u8>) -> u32 {
        0
    }

    fn pick(&mut self, _: &[u32], _: &mut Vec<u8>) {}

    fn restore(&mut self, _: u32, list: &[u8]) -> Result<Timestamp, NotRestored> {
        if list.is_empty() {
            return Ok(Timestamp::NEVER);
        }
        Err(NotRestored::Unfit {
            index: 0,
            reason: "a plain function remembers nothing for its keys".to_owned(),
        })
    }
}

/// Turns a panic into a fault.
fn guarded<T>(act: impl FnOnce() -> T) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a message");
        Fault::new(FaultKind::Trap, message)
    })
}
