//! The whole contract with a rule: a batch of bytes in, effects out, or a fault.
//!
//! A shard knows this trait and nothing of what stands behind it: wasm in production, a plain function in simulations,
//! benches and a rule's own tests.

mod native;

pub use native::Native;

use crate::rule::RuleSpec;
use serde::{Deserialize, Serialize};
use std::fmt;
use tidegate_event::abi::Moment;
use tidegate_event::{Batch, Reply};

/// One instance of a module in one shard.
pub trait Guest: Send {
    /// Hands over a batch and takes the effects. `reply` comes in with whatever the last call left and is overwritten.
    ///
    /// After a fault the guest is not called again: its memory cannot be trusted. Nothing of the reply counts then.
    fn call(&mut self, batch: &Batch, reply: &mut Reply) -> Result<Spent, Fault>;

    /// Bytes of memory the guest holds.
    fn memory(&self) -> usize {
        0
    }
}

/// Starts guests. Shared by all shards of a node.
pub trait Guests: Send + Sync {
    /// A fresh guest for a rule, its settings taken. Called between two batches, so everything slow (compiling) has
    /// been done before; the error says what is missing.
    fn start(&self, rule: &RuleSpec) -> Result<Box<dyn Guest>, Fault>;
}

/// What a call cost. For people and budgets only: it never decides an outcome.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Wall time in nanoseconds; 0 where nobody measures.
    pub nanos: u64,
}

/// Why a guest could not start or finish a call, in words its author can use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What it ran into.
    pub kind: FaultKind,
    /// The panic's message and place, or what was expected and found.
    pub message: String,
    /// What it was doing.
    pub during: String,
    /// The row of the batch that it was handling, if it was.
    pub row: Option<u32>,
}

/// What a guest ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A panic or another trap.
    Trap,
    /// It did not answer in time.
    Deadline,
    /// It asked for more memory than it may have.
    Memory,
    /// It asked for more effects than one call may.
    Output,
    /// Its reply was not one.
    Reply,
    /// It could not start, or did not accept its settings.
    Start,
}

impl FaultKind {
    /// Its name in metrics and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Reply => "reply",
            Self::Start => "start",
        }
    }
}

impl Fault {
    /// A fault outside of any event.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), during: String::new(), row: None }
    }

    /// The same, with what the guest was doing.
    #[must_use]
    pub fn at(mut self, moment: Moment, row: u32) -> Self {
        self.during = match moment {
            Moment::Idle => "between calls",
            Moment::Bind => "taking its settings",
            Moment::Wake => "in on_wake",
            Moment::Event => "in on_event",
            Moment::Expire => "in on_expire",
        }
        .to_owned();
        self.row = (row != tidegate_event::abi::NO_ROW).then_some(row);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)?;
        if !self.during.is_empty() {
            write!(f, " ({})", self.during)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
