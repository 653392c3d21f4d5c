//! The key under which a receiver knows an event again: the same whenever the same event is sent, and no other's.
//!
//! The id of an effect is not enough where several nodes write to one table or stream. Positions are counted anew in a
//! new data directory, and after a power cut that took the end of the log they are used again. So a hash of the node's
//! seed and of the event itself stands behind the id.

use super::Delivery;
use std::iter::once;
use tidegate_engine::codec;

/// Makes the keys of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    seed: u64,
}

impl Keys {
    /// Those of the node with this seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The key of an event: printable ASCII without spaces, at most 255 bytes.
    pub fn of(self, delivery: &Delivery) -> String {
        let mut bytes = self.seed.to_le_bytes().to_vec();
        bytes.extend_from_slice(delivery.declared.as_bytes());
        bytes.push(0);
        codec::riemann::encode_message(&mut bytes, once(delivery.event()));
        let hash = blake3::hash(&bytes).to_hex();
        format!("{}:{}", delivery.id(), &hash[..16])
    }

    /// The key of a batch that is sent as one: the same for the same batch, whenever it is sent.
    pub fn of_whole(self, batch: &[std::sync::Arc<Delivery>]) -> String {
        match batch {
            [] => String::new(),
            [only] => self.of(only),
            [first, .., last] => format!("{}/{}", self.of(first), self.of(last)),
        }
    }

    /// The keys of a batch, in order.
    pub fn of_all(self, batch: &[std::sync::Arc<Delivery>]) -> Vec<String> {
        batch.iter().map(|delivery| self.of(delivery)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{delivery, named};

    #[test]
    fn the_same_event_has_the_same_key_and_every_other_another() {
        let keys = Keys::new(7);
        let one = delivery(0);
        assert_eq!(keys.of(&one), keys.of(&one.clone()));
        assert!(keys.of(&one).starts_with("7:slow_api:0:"), "{}", keys.of(&one));
        assert_ne!(keys.of(&one), Keys::new(8).of(&one), "another node");
        let other = named("web2", "api", "ok");
        assert_eq!(one.id(), other.id());
        assert_ne!(keys.of(&one), keys.of(&other), "another event at a position that is used again");
        let elsewhere = Delivery { declared: "other".into(), ..one.clone() };
        assert_ne!(keys.of(&one), keys.of(&elsewhere), "another output's query");
    }
}
