//! What the keys of a guest remember, on its way out and back in.
//!
//! As with replies, nothing is believed: a list is read with bounds, has no more keys than were asked for, and only keys
//! that can be there; and a guest that says that keys are left has to come to an end with them.

use super::{WasmGuest, export};
use crate::budget::Meter;
use crate::memory::GuestSlice;
use crate::trap::Entry;
use tidegate_engine::guest::{Fault, FaultKind};
use tidegate_event::abi::{self, Moment};
use tidegate_event::{KeyState, KeyStates, Timestamp};
use wasmtime::{Store, TypedFunc};

/// So often in a row a guest may answer that keys are left to be saved and give none: it looks at many slots in vain.
const IDLE_MAX: u32 = 1_000;

/// The exports that have to do with it, and what is known of the guest's keys.
pub(super) struct Keeping {
    mark: TypedFunc<u32, u32>,
    save: TypedFunc<u32, u32>,
    pick: TypedFunc<u32, u32>,
    restore: TypedFunc<(u32, u32), u32>,
    /// How many marked keys are left, as far as it is believed.
    marked: u32,
    /// How often it has given none since it last gave one.
    idle: u32,
}

impl Keeping {
    /// The exports of an instance.
    pub(super) fn of(instance: &wasmtime::Instance, store: &mut Store<Meter>) -> Result<Self, Fault> {
        Ok(Self {
            mark: export(instance, store, abi::MARK)?,
            save: export(instance, store, abi::SAVE)?,
            pick: export(instance, store, abi::PICK)?,
            restore: export(instance, store, abi::RESTORE)?,
            marked: 0,
            idle: 0,
        })
    }
}

impl WasmGuest {
    /// Does something with a guest that has not failed yet; all but a state that does not fit is its end.
    pub(super) fn while_alive<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if let Some(fault) = &self.dead {
            return Err(fault.clone());
        }
        act(self).inspect_err(|fault| {
            if fault.kind != FaultKind::State {
                self.dead = Some(fault.clone());
            }
        })
    }

    pub(super) fn try_mark(&mut self, all: bool) -> Result<(), Fault> {
        let mark = self.keeping.mark.clone();
        let code = self.enter(Entry::Mark, 0, &mark, u32::from(all))?;
        self.accepted(Entry::Mark, 0, code)?;
        let left = self.claimed().map_err(|message| broken(Entry::Mark, message))?.keys;
        (self.keeping.marked, self.keeping.idle) = (left, 0);
        Ok(())
    }

    pub(super) fn try_save(&mut self, most: u32, saved: &mut Vec<KeyState>) -> Result<u32, Fault> {
        let save = self.keeping.save.clone();
        let code = self.enter(Entry::Save, 0, &save, most)?;
        self.accepted(Entry::Save, 0, code)?;
        let (marked, before) = (self.keeping.marked, saved.len());
        let (given, left) = self.take_keys(Entry::Save, most.min(marked), saved)?;
        if left != marked - given {
            saved.truncate(before);
            let message = format!(
                "{marked} marked keys were left, it saved {given} of them and says that {left} are left"
            );
            return Err(broken(Entry::Save, message));
        }
        self.keeping.marked = left;
        self.keeping.idle = if given > 0 || left == 0 { 0 } else { self.keeping.idle + 1 };
        if self.keeping.idle > IDLE_MAX {
            let message = format!(
                "says that {left} keys are left to be saved, and has saved none {IDLE_MAX} times in a row"
            );
            return Err(broken(Entry::Save, message));
        }
        Ok(left)
    }

    pub(super) fn try_pick(&mut self, slots: &[u32], saved: &mut Vec<KeyState>) -> Result<(), Fault> {
        let asked: Vec<u8> = slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
        let to = self.make_room(asked.len(), 0, "slots")?;
        self.write(to, &[&asked])?;
        let pick = self.keeping.pick.clone();
        let code = self.enter(Entry::Pick, 0, &pick, asked.len() as u32)?;
        self.accepted(Entry::Pick, 0, code)?;
        let before = saved.len();
        self.take_keys(Entry::Pick, slots.len().try_into().unwrap_or(u32::MAX), saved)?;
        let mut asked = slots.iter();
        let stranger = saved[before..].iter().find(|key| !asked.any(|slot| *slot == key.slot));
        if let Some(stranger) = stranger {
            let message =
                format!("gave the key with slot {}, which it was not asked for there", stranger.slot);
            saved.truncate(before);
            return Err(broken(Entry::Pick, message));
        }
        Ok(())
    }

    pub(super) fn try_restore(&mut self, schema: u32, keys: &[KeyState]) -> Result<Timestamp, Fault> {
        let mut list = Vec::new();
        keys.iter().for_each(|key| key.write(&mut list));
        let to = self.make_room(list.len(), 0, "saved keys")?;
        self.write(to, &[&list])?;
        let restore = self.keeping.restore.clone();
        let code = self.enter(Entry::Restore, 0, &restore, (schema, list.len() as u32))?;
        let claimed = self.claimed().map_err(|message| broken(Entry::Restore, message))?;
        if code == abi::UNFIT {
            let slot = keys.get(claimed.keys as usize).map_or(abi::NO_ROW, |key| key.slot);
            let fault = Fault::new(FaultKind::State, self.last_words().message);
            return Err(fault.at(Moment::Restore, slot));
        }
        self.accepted(Entry::Restore, 0, code)?;
        // Any moment will do, as in a reply.
        Ok(Timestamp(claimed.next_wake))
    }

    /// Copies a list of keys out and checks it. Says how many there were, and what the descriptor says of keys.
    fn take_keys(&self, entry: Entry, most: u32, saved: &mut Vec<KeyState>) -> Result<(u32, u32), Fault> {
        let before = saved.len();
        let mut take = || {
            let claimed = self.claimed()?;
            if claimed.record_count > most {
                return Err(format!("gave {} keys, at most {most} were asked for", claimed.record_count));
            }
            let bytes = GuestSlice::claimed(claimed.bytes, claimed.byte_count)
                .read(self.memory.data(&self.store))
                .map_err(|outside| format!("the keys that it saved: {outside}"))?;
            for key in KeyStates::new(bytes).take(most as usize + 1) {
                saved.push(key.map_err(|error| error.to_string())?.to_owned());
            }
            let given = saved.len() - before;
            if given != claimed.record_count as usize {
                return Err(format!("says that it saved {} keys, there are {given}", claimed.record_count));
            }
            Ok((claimed.record_count, claimed.keys))
        };
        take().map_err(|message| {
            saved.truncate(before);
            broken(entry, message)
        })
    }
}

fn broken(entry: Entry, message: String) -> Fault {
    let mut fault = Fault::new(FaultKind::Reply, message);
    fault.during = entry.doing().to_owned();
    fault
}
