//! The contract of an output: what rules forward arrives here, waits in a bounded queue, and leaves in batches.

use std::sync::Arc;
use tidegate_event::{Batch, Event};

/// One event that a rule forwarded to an output.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The rule.
    pub rule: Arc<str>,
    /// The name under which the rule declares the output.
    pub declared: Arc<str>,
    /// The log position of the batch that caused it. With `n` and the rule it names this effect for ever.
    pub position: u64,
    /// Counts the rule's effects at that position.
    pub n: u32,
    /// The event: a batch of one.
    pub batch: Batch,
}

impl Delivery {
    /// The event.
    pub fn event(&self) -> Event<'_> {
        self.batch.event(0)
    }

    /// Names this effect for ever, also when it is sent twice.
    pub fn id(&self) -> String {
        format!("{}:{}:{}", self.position, self.rule, self.n)
    }
}
