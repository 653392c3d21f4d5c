//! Batches that are encoded event by event into one body.

use super::{Delivery, SendError, Verdict, Which};
use std::sync::Arc;

/// The events of a batch, one behind the other, up to the first that has no form on this wire.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// What is to be sent.
    pub body: Vec<u8>,
    /// How many events it holds.
    pub events: usize,
    /// Why the next one is not among them.
    pub refused: Option<String>,
}

/// Encodes as many events as can be.
pub fn encode(
    batch: &[Arc<Delivery>],
    mut one: impl FnMut(&mut Vec<u8>, &Delivery) -> Result<(), String>,
) -> Encoded {
    let mut encoded = Encoded::default();
    for delivery in batch {
        let before = encoded.body.len();
        if let Err(why) = one(&mut encoded.body, delivery) {
            encoded.body.truncate(before);
            encoded.refused = Some(why);
            break;
        }
        encoded.events += 1;
    }
    encoded
}

impl Encoded {
    /// The body as text, or what becomes of a batch whose first event has none.
    pub fn preview(self) -> Result<String, SendError> {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        self.sent().map(|()| text)
    }

    /// What has become of the batch, once the body is sent.
    pub fn sent(self) -> Result<(), SendError> {
        match self.refused {
            None => Ok(()),
            Some(message) => {
                Err(SendError { verdict: Verdict::Refused(Which::First), delivered: self.events, message })
            }
        }
    }
}
