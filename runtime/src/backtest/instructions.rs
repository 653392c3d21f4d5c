//! How many instructions a rule takes for an event: the same on every machine.
//!
//! Counting costs about half of the speed, and how often a guest is called depends on the number of shards. So the first
//! stretch of the events goes through a second engine beside the first, which has one shard and counts.

use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tidegate_engine::guest::{Fault, Guest, Guests, Spent};
use tidegate_engine::rule::RuleSpec;
use tidegate_event::{Batch, KeyState, Reply, Timestamp};
use tidegate_wasm::{Host, WasmGuest};

/// Events that are read for it at most, should the rule want few.
pub const READ: u64 = 5_000_000;

/// Instructions that were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Instructions {
    /// Events that the rule was given meanwhile.
    pub events: u64,
    /// Calls in which it was given them.
    pub calls: u64,
    /// All of them.
    pub total: u64,
    /// For one event, rounded.
    pub per_event: u64,
}

impl Instructions {
    /// So many for so many events in so many calls.
    pub fn new(total: u64, events: u64, calls: u64) -> Self {
        Self { events, calls, total, per_event: (total + events / 2).checked_div(events).unwrap_or(0) }
    }
}

/// Guests whose instructions are added up. The host must count them.
pub struct Counting {
    host: Host,
    spent: Arc<AtomicU64>,
}

impl Counting {
    /// Counts what guests of this host spend, into the number that is given with it.
    pub fn new(host: Host) -> (Arc<Self>, Arc<AtomicU64>) {
        let spent = Arc::new(AtomicU64::new(0));
        (Arc::new(Self { host, spent: spent.clone() }), spent)
    }
}

impl Guests for Counting {
    fn start(&self, rule: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        let guest = self.host.guest(rule)?;
        let counted = guest.fuel_spent();
        Ok(Box::new(CountingGuest { guest, counted, spent: self.spent.clone() }))
    }

    fn ready(&self, rule: &RuleSpec) -> Result<(), Fault> {
        self.host.ready(rule)
    }
}

struct CountingGuest {
    guest: WasmGuest,
    /// What it had spent when it was last looked at.
    counted: u64,
    spent: Arc<AtomicU64>,
}

impl Guest for CountingGuest {
    fn call(&mut self, batch: &Batch, reply: &mut Reply) -> Result<Spent, Fault> {
        let outcome = self.guest.call(batch, reply);
        let spent = self.guest.fuel_spent();
        self.spent.fetch_add(spent - self.counted, Relaxed);
        self.counted = spent;
        outcome
    }

    fn bind(&mut self, binding: u32, rule: &RuleSpec) -> Result<(), Fault> {
        self.guest.bind(binding, rule)
    }

    fn unbind(&mut self, binding: u32) -> Result<(), Fault> {
        self.guest.unbind(binding)
    }

    fn mark(&mut self, all: bool) -> Result<(), Fault> {
        self.guest.mark(all)
    }

    fn save(&mut self, most: u32, saved: &mut Vec<KeyState>) -> Result<u32, Fault> {
        self.guest.save(most, saved)
    }

    fn pick(&mut self, slots: &[u32], saved: &mut Vec<KeyState>) -> Result<(), Fault> {
        self.guest.pick(slots, saved)
    }

    fn restore(&mut self, schema: u32, keys: &[KeyState]) -> Result<Timestamp, Fault> {
        self.guest.restore(schema, keys)
    }

    fn memory(&self) -> usize {
        self.guest.memory()
    }
}
