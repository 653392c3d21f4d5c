//! One dead letter: where it comes from, why, and the event.

use serde::{Deserialize, Serialize};
use tidegate_event::{Batch, BatchBuilder, BatchRef, FieldSet, Timestamp};

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// Names it: the same event that fails in the same place again has the same id.
    pub id: String,
    /// Who could do nothing with it.
    pub from: Sender,
    /// Why: what the rule panicked with and where, or what the other side answered.
    pub message: String,
    /// The log position of the event, or of what caused it; 0 where it is not known.
    pub position: u64,
    /// When.
    #[serde(with = "micros")]
    pub at: Timestamp,
    /// The event, as a batch of one; none where nothing is left of it.
    #[serde(skip)]
    pub event: Option<Batch>,
}

/// Who could do nothing with an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sender {
    /// A rule choked on it.
    Rule {
        /// Its name.
        rule: String,
        /// Which deployment of it.
        generation: u64,
        /// The module's digest.
        module: String,
        /// The kind of fault, in a word.
        kind: String,
        /// The moment of the rule's life.
        during: String,
    },
    /// An output could not deliver it.
    Output {
        /// Its name.
        output: String,
        /// The rule that forwarded it; `-` where none did.
        rule: String,
        /// The name under which the rule declares the output.
        declared: String,
        /// Counts the rule's effects at the position.
        n: u32,
    },
}

impl Letter {
    /// What a rule choked on. Two events that do not differ in a single byte are one letter.
    pub fn of_rule(position: u64, from: Sender, message: String, at: Timestamp, event: &Batch) -> Self {
        let rule = if let Sender::Rule { rule, .. } = &from { rule.as_str() } else { "-" };
        // Where a shard keeps the event's key is not the event's own.
        let mut own = BatchBuilder::new();
        for event in event.events().take(1) {
            own.copy(&event, FieldSet::ALL, |row| (row.key, row.slot, row.binding) = (0, 0, 0));
        }
        let event = own.finish();
        let parts = [event.row_bytes(), event.string_bytes()];
        let mark = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        Self { id: format!("{position}:{rule}:{mark:08x}"), from, message, position, at, event: Some(event) }
    }

    /// Whether it is of this rule and this output, where they are given.
    pub fn is(&self, rule: &Option<String>, output: &Option<String>) -> bool {
        let (of_rule, of_output) = match &self.from {
            Sender::Rule { rule, .. } => (Some(rule), None),
            Sender::Output { rule, output, .. } => (Some(rule), Some(output)),
        };
        rule.as_ref().is_none_or(|rule| of_rule == Some(rule))
            && output.as_ref().is_none_or(|output| of_output == Some(output))
    }

    /// The same without its event if that is larger than so many bytes.
    #[must_use]
    pub fn within(mut self, bytes: u64) -> Self {
        if let Some(event) = self.event.take_if(|event| event.block_len() as u64 > bytes) {
            self.message += &format!(" (the event has {} bytes, too many to be kept)", event.block_len());
        }
        self
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let head = rmp_serde::to_vec_named(self).unwrap_or_default();
        let mut to = vec![super::journal::LETTER];
        to.extend_from_slice(&(head.len() as u32).to_le_bytes());
        to.extend_from_slice(&head);
        if let Some(event) = &self.event {
            to.extend_from_slice(&event.to_block());
        }
        to
    }

    /// The letter of these bytes, without the first one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (head, block) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        let mut letter: Self = rmp_serde::from_slice(head).ok()?;
        if !block.is_empty() {
            let event = BatchRef::check(block).ok()?.to_batch();
            letter.event = (event.len() == 1).then_some(event);
        }
        Some(letter)
    }
}

/// A moment as a number of microseconds.
mod micros {
    use serde::{Deserialize, Deserializer, Serializer};
    use tidegate_event::Timestamp;

    pub fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(from).map(Timestamp)
    }
}
