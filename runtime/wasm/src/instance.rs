//! A running module: copy a batch in, call once, check the reply, copy it out.
//!
//! The host writes to guest memory only into the region, only between calls, and only as much as it has asked room for.
//! It believes nothing that the guest says: every address is a [`GuestSlice`] until it has been checked.
//!
//! A guest that has failed is never entered again. Wasmtime would allow it, but nobody unwound its stack or finished what
//! it was doing, so its memory is in an unknown state.

mod keeping;

use crate::budget::{FIRST_LOOK, Meter, check_output};
use crate::compile::Compiled;
use crate::engine::MEMORY_MAX;
use crate::memory::GuestSlice;
use crate::trap::{Entry, LastWords, Scene, size};
use std::sync::Arc;
use std::time::Instant;
use tidegate_engine::guest::{Fault, FaultKind, Guest, Spent};
use tidegate_engine::rule::{Limits, RuleSpec};
use tidegate_event::abi::{self, Descriptor};
use tidegate_event::{Action, Base, Batch, KeyState, Reply, Timestamp};
use wasmtime::{Memory, PoolConcurrencyLimitError, Store, TypedFunc, WasmParams, WasmResults};

/// The number of the rule that an instance is started with, in `tg_bind` and in the rows of a batch.
const FIRST: u32 = 0;

/// The smallest region that is asked for: growing it costs a call.
const REGION_MIN: usize = 4 << 10;

/// One instance of a module, with the settings of the rules that it serves.
pub struct WasmGuest {
    store: Store<Meter>,
    memory: Memory,
    region: TypedFunc<u32, u32>,
    bind: TypedFunc<(u32, u32), u32>,
    unbind: TypedFunc<u32, ()>,
    batch: TypedFunc<u32, u32>,
    keeping: keeping::Keeping,
    /// Where it said that its descriptor is, once and for all.
    descriptor: GuestSlice,
    inbox: Inbox,
    limits: Limits,
    /// How many outputs each of its rules has.
    outputs: u32,
    /// How many rules it serves.
    rules: u32,
    fuel: u64,
    dead: Option<Fault>,
    // Machine code and ticker must outlive the store's use of them.
    compiled: Arc<Compiled>,
}

/// The region that the guest gave us to write to.
#[derive(Clone, Copy, Default)]
struct Inbox {
    offset: u32,
    len: u32,
}

impl WasmGuest {
    /// A fresh instance that has accepted the rule's settings.
    pub(crate) fn start(compiled: Arc<Compiled>, rule: &RuleSpec) -> Result<Self, Fault> {
        compiled.inspected.fits(&rule.limits).map_err(|refusal| start_fault(refusal.to_string()))?;
        let limits = limits(rule);
        let mut store = Store::new(&compiled.engine.wasmtime, Meter::new(&limits));
        store.limiter(|meter| meter);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().expire()));
        // Instantiating runs no code of the module: there is no start function.
        store.set_epoch_deadline(FIRST_LOOK);
        let instance = compiled.ready.instantiate(&mut store).map_err(|error| {
            if error.is::<PoolConcurrencyLimitError>() {
                return start_fault(format!(
                    "all {} wasm instances of this node are taken: remove rules, use fewer shards, or raise the number \
                     of instances",
                    compiled.engine.instances
                ));
            }
            start_fault(format!("the module does not start: {error:#}"))
        })?;
        // Inspection has seen all of these; asking again is how their types are had.
        let memory = instance
            .get_memory(&mut store, "memory")
            .ok_or_else(|| start_fault("the module exports no memory".to_owned()))?;
        let region = export(&instance, &mut store, abi::REGION)?;
        let batch = export(&instance, &mut store, abi::BATCH)?;
        let reply: TypedFunc<(), u32> = export(&instance, &mut store, abi::REPLY)?;
        let bind = export(&instance, &mut store, abi::BIND)?;
        let unbind = export(&instance, &mut store, abi::UNBIND)?;
        let keeping = keeping::Keeping::of(&instance, &mut store)?;
        let mut guest = Self {
            store,
            memory,
            region,
            bind,
            unbind,
            batch,
            keeping,
            descriptor: GuestSlice::claimed(0, 0),
            inbox: Inbox::default(),
            limits,
            outputs: rule.outputs.len() as u32,
            rules: 1,
            fuel: 0,
            dead: None,
            compiled,
        };
        guest.find_descriptor(&reply)?;
        guest.hand_settings(FIRST, &rule.settings)?;
        Ok(guest)
    }

    /// Instructions spent so far in all calls, where the host counts them: the same for the same calls, on any machine.
    /// 0 on a host without fuel.
    pub fn fuel_spent(&self) -> u64 {
        self.fuel
    }

    /// The module that it runs.
    pub fn module(&self) -> &Arc<Compiled> {
        &self.compiled
    }

    fn find_descriptor(&mut self, reply: &TypedFunc<(), u32>) -> Result<(), Fault> {
        let address = self.enter(Entry::Reply, 0, reply, ())?;
        let descriptor = GuestSlice::claimed(address, abi::DESCRIPTOR as u32);
        descriptor.read(self.memory.data(&self.store)).map_err(|outside| {
            start_fault(format!("{} gave a place for the descriptor that is none: {outside}", abi::REPLY))
        })?;
        self.descriptor = descriptor;
        Ok(())
    }

    /// Hands over the settings of a rule. A refusal is a fault of kind [`FaultKind::Start`], and only that is.
    fn hand_settings(&mut self, binding: u32, settings: &[u8]) -> Result<(), Fault> {
        let to = self.make_room(settings.len(), 0, "settings")?;
        self.write(to, &[settings])?;
        let bind = self.bind.clone();
        let code = self.enter(Entry::Bind, 0, &bind, (binding, settings.len() as u32))?;
        if code == 0 {
            return Ok(());
        }
        let words = self.last_words();
        let reason = if words.message.is_empty() { "it gave no reason" } else { &words.message };
        let mut fault = start_fault(format!("did not accept its settings: {reason}"));
        fault.during = Entry::Bind.doing().to_owned();
        Err(fault)
    }

    /// The region, if it holds so many bytes; a larger one otherwise.
    fn make_room(&mut self, len: usize, rows: u32, what: &str) -> Result<GuestSlice, Fault> {
        let fault = |message| {
            let mut fault = Fault::new(FaultKind::Memory, message);
            fault.during = Entry::Region.doing().to_owned();
            fault
        };
        let needed = u32::try_from(len)
            .ok()
            .filter(|needed| u64::from(*needed) <= self.limits.memory)
            .ok_or_else(|| {
                fault(format!(
                    "{what} of {} do not fit into the {} of memory that it may have",
                    size(len as u64),
                    size(self.limits.memory)
                ))
            })?;
        if self.inbox.len < needed || self.inbox.len == 0 {
            // A quarter more, so that batches of slowly growing size do not ask each time.
            let ask = (len + len / 4).max(REGION_MIN).next_multiple_of(abi::REGION_ALIGN) as u32;
            let region = self.region.clone();
            let offset = self.enter(Entry::Region, rows, &region, ask)?;
            if offset == 0 {
                let refused = self.store.data().refused().map_or_else(String::new, |wish| {
                    format!(
                        "; it would need {} of memory, it may have {}",
                        size(wish),
                        size(self.limits.memory)
                    )
                });
                return Err(fault(format!("has no room for {what} of {}{refused}", size(len as u64))));
            }
            if !offset.is_multiple_of(abi::REGION_ALIGN as u32) {
                let message = format!(
                    "{} gave address {offset}, a multiple of {} was expected",
                    abi::REGION,
                    abi::REGION_ALIGN
                );
                return Err(Fault { kind: FaultKind::Reply, ..fault(message) });
            }
            GuestSlice::claimed(offset, ask).read(self.memory.data(&self.store)).map_err(|outside| {
                let message = format!("{} gave a region that is none: {outside}", abi::REGION);
                Fault { kind: FaultKind::Reply, ..fault(message) }
            })?;
            self.inbox = Inbox { offset, len: ask };
        }
        Ok(GuestSlice::claimed(self.inbox.offset, needed))
    }

    fn write(&mut self, to: GuestSlice, parts: &[&[u8]]) -> Result<(), Fault> {
        // Memory does not shrink, so the region lies where it lay; checked all the same.
        let mut rest = to
            .write(self.memory.data_mut(&mut self.store))
            .map_err(|outside| Fault::new(FaultKind::Reply, format!("its region has gone: {outside}")))?;
        for part in parts {
            let (here, after) = rest.split_at_mut(part.len().min(rest.len()));
            here.copy_from_slice(&part[..here.len()]);
            rest = after;
        }
        Ok(())
    }

    /// The one way into the guest: sets the deadline, calls, and turns what went wrong into words.
    fn enter<P: WasmParams, R: WasmResults>(
        &mut self,
        entry: Entry,
        rows: u32,
        function: &TypedFunc<P, R>,
        params: P,
    ) -> Result<R, Fault> {
        self.store.data_mut().start();
        self.store.set_epoch_deadline(FIRST_LOOK);
        if self.compiled.engine.fuel {
            let full = self.store.set_fuel(u64::MAX);
            full.map_err(|error| Fault::new(FaultKind::Start, format!("no fuel: {error:#}")))?;
        }
        let outcome = function.call(&mut self.store, params);
        if self.compiled.engine.fuel {
            self.fuel += u64::MAX - self.store.get_fuel().unwrap_or(u64::MAX);
        }
        outcome.map_err(|error| self.scene(entry, rows, &self.last_words()).explain(&error))
    }

    /// Whether a call was carried out, by the code that it gave.
    fn accepted(&self, entry: Entry, rows: u32, code: u32) -> Result<(), Fault> {
        if code == 0 {
            return Ok(());
        }
        let words = self.last_words();
        let reason = if words.message.is_empty() { "it gave no reason" } else { &words.message };
        let message = format!("refused with code {code}: {reason}");
        Err(self.scene(entry, rows, &words).place(Fault::new(FaultKind::Trap, message)))
    }

    fn scene<'a>(&self, entry: Entry, rows: u32, words: &'a LastWords) -> Scene<'a> {
        let Limits { deadline_ms, memory, .. } = self.limits;
        Scene { entry, deadline_ms, memory, refused: self.store.data().refused(), rows, words }
    }

    fn last_words(&self) -> LastWords {
        if self.descriptor == GuestSlice::claimed(0, 0) {
            return LastWords::default();
        }
        LastWords::read(self.memory.data(&self.store), self.descriptor)
    }

    fn try_call(&mut self, batch: &Batch, reply: &mut Reply) -> Result<Spent, Fault> {
        let rows = batch.len() as u32;
        let to = self.make_room(batch.block_len(), rows, "events")?;
        self.write(to, &[&batch.header_bytes(), batch.row_bytes(), batch.string_bytes()])?;
        let function = self.batch.clone();
        let start = Instant::now();
        let code = self.enter(Entry::Batch, rows, &function, batch.block_len() as u32)?;
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.accepted(Entry::Batch, rows, code)?;
        self.take_reply(batch, reply)?;
        Ok(Spent { nanos })
    }

    /// What its descriptor says.
    fn claimed(&self) -> Result<Descriptor, String> {
        let memory = self.memory.data(&self.store);
        let raw = self.descriptor.read(memory).map_err(|outside| outside.to_string())?;
        let raw = raw.first_chunk::<{ abi::DESCRIPTOR }>().ok_or("the descriptor is cut short")?;
        Ok(Descriptor::read(raw))
    }

    /// Copies the reply out, within its budget, and checks every record of it.
    fn take_reply(&self, batch: &Batch, reply: &mut Reply) -> Result<(), Fault> {
        let memory = self.memory.data(&self.store);
        let broken = |message: String| self.batch_fault(FaultKind::Reply, message);
        let claimed = self.claimed().map_err(broken)?;
        check_output(&self.limits, batch.len(), self.rules, &claimed)
            .map_err(|message| self.batch_fault(FaultKind::Output, message))?;
        let records = GuestSlice::records(claimed.records, claimed.record_count)
            .read(memory)
            .map_err(|outside| broken(format!("the records of its reply: {outside}")))?;
        let bytes = GuestSlice::claimed(claimed.bytes, claimed.byte_count)
            .read(memory)
            .map_err(|outside| broken(format!("the bytes of its reply: {outside}")))?;
        // Any moment will do: one that has passed means the next call.
        reply.take(records, bytes, Timestamp(claimed.next_wake), claimed.keys);
        reply.woken = claimed.woken;
        self.check_effects(batch.len(), reply)
    }

    fn check_effects(&self, rows: usize, reply: &Reply) -> Result<(), Fault> {
        for (index, effect) in reply.read().effects().enumerate() {
            let record =
                effect.map_err(|error| self.batch_fault(FaultKind::Reply, error.to_string()))?.record;
            if let Base::Row(row) = record.base
                && row as usize >= rows
            {
                let message = format!("effect {index} is about row {row} of a batch of {rows} rows");
                return Err(self.batch_fault(FaultKind::Reply, message));
            }
            if record.action == Action::Forward && record.target >= self.outputs {
                let message = format!(
                    "effect {index} goes to output {}, the rule has {} outputs",
                    record.target, self.outputs
                );
                return Err(self.batch_fault(FaultKind::Reply, message));
            }
        }
        Ok(())
    }

    fn batch_fault(&self, kind: FaultKind, message: String) -> Fault {
        let mut fault = Fault::new(kind, message);
        fault.during = Entry::Batch.doing().to_owned();
        fault
    }
}

impl Guest for WasmGuest {
    fn call(&mut self, batch: &Batch, reply: &mut Reply) -> Result<Spent, Fault> {
        if let Some(fault) = &self.dead {
            return Err(fault.clone());
        }
        reply.clear();
        let called = self.try_call(batch, reply).inspect_err(|_| reply.clear());
        #[cfg(feature = "chaos")]
        if called.as_ref().is_err_and(|fault| fault.kind == FaultKind::Trap)
            && std::env::var_os("TIDEGATE_PLANT").is_some_and(|bug| bug == "kept-after-trap")
        {
            return Ok(Spent::default());
        }
        called.inspect_err(|fault| self.dead = Some(fault.clone()))
    }

    fn bind(&mut self, binding: u32, rule: &RuleSpec) -> Result<(), Fault> {
        if let Some(fault) = &self.dead {
            return Err(fault.clone());
        }
        let own = (&*self.compiled.inspected.digest, self.outputs, self.limits);
        if (&*rule.module, rule.outputs.len() as u32, limits(rule)) != own {
            return Err(start_fault(
                "only a rule of the same module, with as many outputs and the same limits, can share an instance"
                    .to_owned(),
            ));
        }
        let handed = self.hand_settings(binding, &rule.settings);
        self.rules += u32::from(handed.is_ok());
        handed.inspect_err(|fault| {
            if fault.kind != FaultKind::Start {
                self.dead = Some(fault.clone());
            }
        })
    }

    fn unbind(&mut self, binding: u32) -> Result<(), Fault> {
        if let Some(fault) = &self.dead {
            return Err(fault.clone());
        }
        let unbind = self.unbind.clone();
        self.rules = self.rules.saturating_sub(1);
        self.enter(Entry::Unbind, 0, &unbind, binding).inspect_err(|fault| self.dead = Some(fault.clone()))
    }

    fn mark(&mut self, all: bool) -> Result<(), Fault> {
        self.while_alive(|guest| guest.try_mark(all))
    }

    fn save(&mut self, most: u32, saved: &mut Vec<KeyState>) -> Result<u32, Fault> {
        self.while_alive(|guest| guest.try_save(most, saved))
    }

    fn pick(&mut self, slots: &[u32], saved: &mut Vec<KeyState>) -> Result<(), Fault> {
        self.while_alive(|guest| guest.try_pick(slots, saved))
    }

    fn restore(&mut self, schema: u32, keys: &[KeyState]) -> Result<Timestamp, Fault> {
        self.while_alive(|guest| guest.try_restore(schema, keys))
    }

    fn memory(&self) -> usize {
        self.memory.data_size(&self.store)
    }
}

/// The limits that a rule's instance is held to.
fn limits(rule: &RuleSpec) -> Limits {
    Limits { memory: rule.limits.memory.min(MEMORY_MAX), ..rule.limits }
}

fn export<P: WasmParams, R: WasmResults>(
    instance: &wasmtime::Instance,
    store: &mut Store<Meter>,
    name: &str,
) -> Result<TypedFunc<P, R>, Fault> {
    instance.get_typed_func(store, name).map_err(|error| {
        start_fault(format!("the module's export {name} is not what it should be: {error:#}"))
    })
}

pub(crate) fn start_fault(message: String) -> Fault {
    Fault::new(FaultKind::Start, message)
}
