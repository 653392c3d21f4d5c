//! What became of each event of a batch, where the receiver answers for each: what has arrived is not sent again because
//! its neighbour has not.

use super::{SendError, Verdict, Which};
use std::collections::{HashMap, HashSet};

/// What is known of one event for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Arrived,
    /// It never will.
    Refused(String),
}

/// The outcomes of the batch in hand, by key. Never more than one batch has.
#[derive(Debug, Default)]
pub struct Outcomes(HashMap<String, Outcome>);

impl Outcomes {
    /// Forgets whatever is not in this batch.
    pub fn begin(&mut self, keys: &[String]) {
        if !self.0.is_empty() {
            let current: HashSet<&str> = keys.iter().map(String::as_str).collect();
            self.0.retain(|key, _| current.contains(key.as_str()));
        }
    }

    /// Which of the batch are still to be sent, by their places.
    pub fn open(&self, keys: &[String]) -> Vec<usize> {
        (0..keys.len()).filter(|i| !self.0.contains_key(&keys[*i])).collect()
    }

    /// Notes what became of an event.
    pub fn note(&mut self, key: &str, outcome: Outcome) {
        self.0.insert(key.to_owned(), outcome);
    }

    /// What to tell about the batch. `error` says what happened to the events that have no outcome; only its verdict and
    /// its message count.
    pub fn judge(&self, keys: &[String], error: Option<SendError>) -> Result<(), SendError> {
        for (delivered, key) in keys.iter().enumerate() {
            match self.0.get(key) {
                Some(Outcome::Arrived) => {}
                Some(Outcome::Refused(message)) => {
                    let verdict = Verdict::Refused(Which::First);
                    return Err(SendError { verdict, delivered, message: message.clone() });
                }
                None => {
                    let error = error.unwrap_or_else(|| SendError::later("nothing was said of this event"));
                    return Err(SendError { delivered, ..error });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_from_the_front_count_and_the_first_that_is_missing_decides() {
        let keys = ["a", "b", "c", "d"].map(String::from);
        let mut outcomes = Outcomes::default();
        outcomes.begin(&keys);
        assert_eq!(outcomes.open(&keys), [0, 1, 2, 3]);
        outcomes.note("a", Outcome::Arrived);
        outcomes.note("c", Outcome::Refused("too long".into()));
        assert_eq!(outcomes.open(&keys), [1, 3]);
        let busy = Some(SendError::later("busy"));
        assert_eq!(
            outcomes.judge(&keys, busy.clone()),
            Err(SendError { delivered: 1, ..SendError::later("busy") })
        );
        outcomes.note("b", Outcome::Arrived);
        let error = outcomes.judge(&keys, busy.clone()).unwrap_err();
        assert_eq!((error.verdict, error.delivered), (Verdict::Refused(Which::First), 2));
        // What is left of the batch is asked about again.
        outcomes.begin(&keys[3..]);
        assert_eq!(outcomes.open(&keys[3..]), [0]);
        assert!(outcomes.judge(&keys[3..], busy).is_err());
        outcomes.note("d", Outcome::Arrived);
        assert_eq!(outcomes.judge(&keys[3..], None), Ok(()));
        assert_eq!(outcomes.open(&keys[..1]), [0], "what was settled long ago is forgotten");
    }
}
