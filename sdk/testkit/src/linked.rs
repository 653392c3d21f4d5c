//! Rules that are linked in, as the engine's guests, with a recorder beside them.

use crate::recording::{Exchange, Recording};
use std::any::type_name;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidegate_engine::guest::{Fault, FaultKind, Guest, Guests, Native};
use tidegate_engine::rule::RuleSpec;
use tidegate_event::{BatchRef, Exports, NotRestored, Reply, Span, Timestamp};
use tidegate_sdk::Rule;
use tidegate_sdk::rt::{RuleManifest, Runner};

/// Where the exchanges of a scene are kept while it is played.
pub type Tape = Arc<Mutex<Recording>>;

/// Starts a guest; its exchanges go to the tape if there is one.
type Start = fn(&RuleSpec, Option<Tape>) -> Result<Box<dyn Guest>, Fault>;

/// Starts the rules of a scene as guests.
#[derive(Default)]
pub struct Linked {
    /// By the names of their modules.
    rules: Mutex<BTreeMap<&'static str, Start>>,
    tape: Mutex<Option<Tape>>,
}

impl Linked {
    /// No rules yet, and a tape for the exchanges of guests.
    pub fn new(tape: Tape) -> Self {
        Self { rules: Mutex::default(), tape: Mutex::new(Some(tape)) }
    }

    /// Takes in a rule, and says what its module is called.
    pub fn take_in<R: Rule + RuleManifest>(&self) -> &'static str {
        lock(&self.rules).insert(type_name::<R>(), start::<R>);
        type_name::<R>()
    }

    /// Guests that are started from here on are not recorded: a recording is what one guest saw from its first call on.
    pub fn stop_recording(&self) {
        lock(&self.tape).take();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guests for Linked {
    fn start(&self, rule: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        let start = lock(&self.rules).get(rule.module.as_str()).copied();
        let start = start.ok_or_else(|| Fault::new(FaultKind::Start, "a rule that is not in this scene"))?;
        start(rule, lock(&self.tape).clone())
    }
}

fn start<R: Rule + RuleManifest>(rule: &RuleSpec, tape: Option<Tape>) -> Result<Box<dyn Guest>, Fault> {
    let mut runner = Runner::<R>::new();
    runner.bind(0, &rule.settings).map_err(|reason| Fault::new(FaultKind::Start, reason))?;
    Ok(Box::new(Native::linked(Taped { runner, tape })))
}

/// A rule whose exchanges are kept.
struct Taped<R: Rule> {
    runner: Runner<R>,
    tape: Option<Tape>,
}

impl<R: Rule + RuleManifest> Exports for Taped<R> {
    fn batch(&mut self, block: &[u8], reply: &mut Reply) {
        self.runner.call(block, reply);
        // As the host of a module does: a wake that is due already is due once time has moved.
        let now = BatchRef::parse(block).map_or(Timestamp::EPOCH, |batch| batch.header.now);
        reply.next_wake = reply.next_wake.max(now + Span(1));
        if let Some(tape) = &self.tape {
            lock(tape).exchanges.push(Exchange::new(block, reply));
        }
    }

    fn mark(&mut self, all: bool) {
        Exports::mark(&mut self.runner, all);
    }

    fn save(&mut self, most: u32, list: &mut Vec<u8>) -> u32 {
        self.runner.save(most, list)
    }

    fn pick(&mut self, slots: &[u32], list: &mut Vec<u8>) {
        Exports::pick(&mut self.runner, slots, list);
    }

    fn restore(&mut self, schema: u32, list: &[u8]) -> Result<Timestamp, NotRestored> {
        self.runner.restore(schema, list)
    }
}
