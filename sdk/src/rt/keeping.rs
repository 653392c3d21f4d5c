//! The part of a runner that saves and restores what keys remember.

use super::{NO_PLACE, RuleManifest, Runner, params};
use crate::rule::Rule;
use crate::state::{self, Saved};
use crate::sys;
use tidegate_event::abi::{Moment, NO_ROW};
use tidegate_event::{Exports, KeyStateRef, KeyStates, NotRestored, Reply, Timestamp};

impl<R: Rule> Runner<R> {
    /// Marks what is to be saved: every key that has state, or those touched since the last mark. What was marked before
    /// and not saved is marked again, and all else with it. Says how many keys are marked.
    pub fn mark(&mut self, all: bool) -> u32 {
        self.streams.mark(all)
    }

    /// Appends up to `most` marked keys to a list, as they were when they were marked, and says how many are left. An
    /// answer is bounded in bytes and in work, so there may be fewer, or none, and still some left.
    pub fn save(&mut self, most: u32, list: &mut Vec<u8>) -> u32 {
        let left = self.streams.save(most, list);
        sys::mark(NO_ROW, Moment::Idle);
        left
    }

    /// Appends what the keys with these slots remember now to a list; those without state are left out.
    pub fn pick(&self, slots: impl Iterator<Item = u32>, list: &mut Vec<u8>) {
        self.streams.pick(slots, list);
        sys::mark(NO_ROW, Moment::Idle);
    }

    /// How many keys have state.
    pub fn live(&self) -> u32 {
        self.streams.live()
    }
}

impl<R: Rule + RuleManifest> Runner<R> {
    /// Gives keys back what they remember, saved by a version of the rule with that number of its state's schema, and says
    /// when the guest wants to be woken next. After an error all is as it was.
    pub fn restore(&mut self, schema: u32, list: &[u8]) -> Result<Timestamp, NotRestored> {
        let mut read: Vec<(KeyStateRef<'_>, R)> = Vec::new();
        for (index, key) in KeyStates::new(list).enumerate() {
            let key = key.map_err(|error| NotRestored::Refused(error.to_string()))?;
            let KeyStateRef { slot, binding, state, .. } = key;
            if params(&self.bound, binding).is_none() {
                let reason = format!("saved key {index} is for binding {binding}, which was never bound");
                return Err(NotRestored::Refused(reason));
            }
            if !self.streams.make_place(slot) {
                let reason = format!("saved key {index} has slot {slot}: {NO_PLACE}");
                return Err(NotRestored::Refused(reason));
            }
            sys::mark(slot, Moment::Restore);
            let state = if schema == R::STATE_SCHEMA {
                state::read(state).map_err(|reason| format!("{reason}: {SAME_SCHEMA}"))
            } else {
                R::migrate(Saved::new(schema, state)).map_err(|reason| {
                    format!(
                        "saved with state_schema = {schema}, this version has {}: {reason}",
                        R::STATE_SCHEMA
                    )
                })
            };
            let state = state.map_err(|reason| NotRestored::Unfit { index: index as u32, reason })?;
            read.push((key, state));
        }
        for (key, state) in read {
            self.streams.restore(key.slot, key.binding, key.key, key.wakes(), state);
        }
        sys::mark(NO_ROW, Moment::Idle);
        Ok(self.streams.next_wake())
    }
}

/// What an author can do about a state that does not fit although its schema has the same number.
const SAME_SCHEMA: &str =
    "give a new field `#[serde(default)]`, or count `state_schema` up and write `fn migrate`";

impl<R: Rule + RuleManifest> Exports for Runner<R> {
    fn batch(&mut self, block: &[u8], reply: &mut Reply) {
        self.call(block, reply);
    }

    fn mark(&mut self, all: bool) {
        Self::mark(self, all);
    }

    fn save(&mut self, most: u32, list: &mut Vec<u8>) -> u32 {
        Self::save(self, most, list)
    }

    fn pick(&mut self, slots: &[u32], list: &mut Vec<u8>) {
        Self::pick(self, slots.iter().copied(), list);
    }

    fn restore(&mut self, schema: u32, list: &[u8]) -> Result<Timestamp, NotRestored> {
        Self::restore(self, schema, list)
    }
}
