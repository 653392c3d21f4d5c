//! The whole contract with a rule: a batch of bytes in, effects out, or a fault.
//!
//! A shard knows this trait and nothing of what stands behind it: wasm in production, a plain function in simulations,
//! benches and a rule's own tests.

mod native;

pub use native::{Function, Native};

use crate::rule::RuleSpec;
use serde::{Deserialize, Serialize};
use std::fmt;
use tidegate_event::abi::Moment;
use tidegate_event::{Batch, KeyState, Reply, Timestamp};

/// One instance of a module in one shard.
pub trait Guest: Send {
    /// Hands over a batch and takes the effects. `reply` comes in with whatever the last call left and is overwritten.
    ///
    /// After a fault the guest is not called again: its memory cannot be trusted. Nothing of the reply counts then.
    fn call(&mut self, batch: &Batch, reply: &mut Reply) -> Result<Spent, Fault>;

    /// Takes in one more rule of the same module, under that number; rows say for which rule they are by it. The rule
    /// that the guest was started with has number 0.
    ///
    /// A refusal leaves the guest as it was, serving the rules that it serves; any other fault ends it, as in a call.
    fn bind(&mut self, binding: u32, rule: &RuleSpec) -> Result<(), Fault> {
        let _ = (binding, rule);
        Err(Fault::one_rule_only())
    }

    /// Forgets a rule and what its keys remember.
    fn unbind(&mut self, binding: u32) -> Result<(), Fault> {
        let _ = binding;
        Err(Fault::one_rule_only())
    }

    /// Marks what is to be saved: every key that has state, or only those touched since the last mark. Until it has been
    /// saved, a marked key is saved before it changes, so [`save`](Self::save) gives what stood at this moment, however
    /// many calls come in between.
    fn mark(&mut self, all: bool) -> Result<(), Fault> {
        let _ = all;
        Err(Fault::keeps_no_state())
    }

    /// Adds the states of up to `most` marked keys, those first that were saved because they were about to change, and
    /// says how many are left.
    fn save(&mut self, most: u32, saved: &mut Vec<KeyState>) -> Result<u32, Fault> {
        let _ = (most, saved);
        Err(Fault::keeps_no_state())
    }

    /// Adds what the keys with these slots remember now, marked or not; those without state are left out.
    fn pick(&mut self, slots: &[u32], saved: &mut Vec<KeyState>) -> Result<(), Fault> {
        let _ = (slots, saved);
        Err(Fault::keeps_no_state())
    }

    /// Gives keys back what they remember, saved by a version of the rule with that number of its state's schema. Says
    /// when the guest wants to be woken next.
    ///
    /// A state that does not fit is a fault of kind [`FaultKind::State`], which names the field: the guest is as it was
    /// before. Any other fault ends it, as in a call.
    fn restore(&mut self, schema: u32, keys: &[KeyState]) -> Result<Timestamp, Fault> {
        let _ = (schema, keys);
        Err(Fault::keeps_no_state())
    }

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

    /// Whether a guest could be started for a rule, so that one that cannot is reported when it is deployed.
    fn ready(&self, rule: &RuleSpec) -> Result<(), Fault> {
        self.start(rule).map(drop)
    }
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
    /// The slot of the key that it was waking, saving or restoring, if it was.
    #[serde(default)]
    pub slot: Option<u32>,
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
    /// What a key remembered does not fit this version of the rule.
    State,
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
            Self::State => "state",
        }
    }
}

impl Fault {
    /// A fault outside of any event.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), during: String::new(), row: None, slot: None }
    }

    /// What a guest says that cannot take in a second rule.
    fn one_rule_only() -> Self {
        Self::new(FaultKind::Start, "serves one rule only")
    }

    /// What a guest says whose keys cannot be saved.
    fn keeps_no_state() -> Self {
        Self::new(FaultKind::State, "keeps no state that could be saved")
    }

    /// The same, with what the guest was doing, and for which row or which slot.
    #[must_use]
    pub fn at(mut self, moment: Moment, row: u32) -> Self {
        self.during = match moment {
            Moment::Idle => "between calls",
            Moment::Bind => "taking its settings",
            Moment::Wake => "in on_wake",
            Moment::Event => "in on_event",
            Moment::Expire => "in on_expire",
            Moment::Save => "saving what a key remembers",
            Moment::Restore => "restoring what a key remembers",
        }
        .to_owned();
        let row = (row != tidegate_event::abi::NO_ROW).then_some(row);
        (self.row, self.slot) = match moment {
            Moment::Wake | Moment::Save | Moment::Restore => (None, row),
            Moment::Event | Moment::Expire => (row, None),
            Moment::Idle | Moment::Bind => (None, None),
        };
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
