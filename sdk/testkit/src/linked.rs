//! A rule that is linked in, as the engine's guest, with a recorder beside it.

use crate::recording::{Exchange, Recording};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_engine::guest::{Fault, FaultKind, Guest, Guests, Native};
use tidegate_engine::rule::RuleSpec;
use tidegate_event::{BatchRef, Exports, NotRestored, Reply, Span, Timestamp};
use tidegate_sdk::Rule;
use tidegate_sdk::rt::{RuleManifest, Runner};

/// Where the exchanges of a scene are kept while it is played.
pub type Tape = Arc<Mutex<Recording>>;

/// Starts a rule as a guest.
pub struct Linked<R> {
    tape: Tape,
    rule: PhantomData<fn() -> R>,
}

impl<R> Linked<R> {
    /// Guests whose exchanges go to this tape.
    pub fn new(tape: Tape) -> Self {
        Self { tape, rule: PhantomData }
    }
}

impl<R: Rule + RuleManifest> Guests for Linked<R> {
    fn start(&self, rule: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        let mut runner = Runner::<R>::new();
        runner.bind(0, &rule.settings).map_err(|reason| Fault::new(FaultKind::Start, reason))?;
        Ok(Box::new(Native::linked(Taped { runner, tape: self.tape.clone() })))
    }
}

/// A rule whose exchanges are kept.
struct Taped<R: Rule> {
    runner: Runner<R>,
    tape: Tape,
}

impl<R: Rule + RuleManifest> Exports for Taped<R> {
    fn batch(&mut self, block: &[u8], reply: &mut Reply) {
        self.runner.call(block, reply);
        // As the host of a module does: a wake that is due already is due once time has moved.
        let now = BatchRef::parse(block).map_or(Timestamp::EPOCH, |batch| batch.header.now);
        reply.next_wake = reply.next_wake.max(now + Span(1));
        let exchange = Exchange::new(block, reply);
        self.tape.lock().unwrap_or_else(PoisonError::into_inner).exchanges.push(exchange);
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
