//! A save of what a shard knows at one position, made in slices between batches.
//!
//! From the mark on, whatever is about to change is saved before it does, so the slices together say what stood at the
//! mark, and no step has to wait for more than a slice.

use super::Shard;
use super::baggage::Baggage;
use super::carry::Carried;
use super::deployed::Deployed;
use crate::guest::Fault;
use crate::save::{SavedState, Slice};
use std::sync::Arc;
use tidegate_event::{KeyState, Timestamp};

/// A save that is being made.
#[derive(Debug, Default)]
pub struct Saving {
    /// What is ready.
    slice: Slice,
    /// Guests that are still to be asked.
    groups: Vec<u32>,
    /// Rules, by number, whose keys are still to be saved.
    rules: Vec<u32>,
    index_done: bool,
    failed: Option<Fault>,
}

/// What a key of a rule remembers, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReport {
    /// Its host, where all its events have the same.
    pub host: Option<Box<[u8]>>,
    /// Its service, where all its events have the same.
    pub service: Option<Box<[u8]>>,
    /// What it remembers.
    pub state: SavedState,
}

/// Why a save cannot begin or go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSaved {
    /// States are on their way to a guest: in a moment they have arrived.
    #[error("states are on their way to a guest")]
    Carrying,
    /// A guest did not give what its keys remember.
    #[error("a rule did not give what its keys remember: {0}")]
    Fault(Fault),
    /// There is no save to go on with.
    #[error("no save was begun")]
    Nothing,
}

impl Shard {
    /// Begins a save of what the shard knows now: of all, or of what was touched since the last save began. One that is
    /// under way is given up.
    pub fn mark(&mut self, all: bool) -> Result<(), NotSaved> {
        self.unmark();
        let away = self.deployed.crew.in_order().iter().any(|rule| rule.away);
        if away || !self.deployed.is_settled(self.now) {
            return Err(NotSaved::Carrying);
        }
        let mut saving = Saving {
            rules: self.deployed.crew.numbers().iter().map(|(n, _)| *n).collect(),
            ..Saving::default()
        };
        saving.slice.health = self
            .deployed
            .crew
            .in_order()
            .iter()
            .filter_map(|rule| rule.health.save(rule.deployed, self.settings.number))
            .collect();
        self.deployed.mark(all, &mut saving).map_err(NotSaved::Fault)?;
        self.index.mark(all);
        self.deployed.saving = Some(saving);
        Ok(())
    }

    /// Gives up the save that is under way, if there is one.
    pub fn unmark(&mut self) {
        self.index.unmark();
        if let Some(saving) = self.deployed.saving.take() {
            for number in saving.rules {
                self.deployed.crew.get_mut(number).keys.unmark();
            }
        }
    }

    /// Whether a save is under way.
    pub fn is_saving(&self) -> bool {
        self.deployed.saving.is_some()
    }

    /// The next slice, about so many streams and keys of it; with it, whether it is the last. After an error the save is
    /// given up, and the next one has to be of all.
    pub fn save(&mut self, most: usize) -> Result<(Slice, bool), NotSaved> {
        let Some(mut saving) = self.deployed.saving.take() else { return Err(NotSaved::Nothing) };
        let outcome = match saving.failed.take() {
            Some(fault) => Err(fault),
            None => self.go_on(&mut saving, most),
        };
        let done = outcome.map_err(|fault| {
            self.deployed.saving = Some(std::mem::take(&mut saving));
            self.unmark();
            NotSaved::Fault(fault)
        })?;
        let slice = std::mem::take(&mut saving.slice);
        if !done {
            self.deployed.saving = Some(saving);
        }
        Ok((slice, done))
    }

    fn go_on(&mut self, saving: &mut Saving, most: usize) -> Result<bool, Fault> {
        if !saving.index_done {
            saving.index_done = self.index.save(most, &mut saving.slice);
            return Ok(false);
        }
        if let Some(at) = saving.groups.last().copied() {
            if self.deployed.save_group(at, most as u32, saving)? == 0 {
                saving.groups.pop();
            }
            return Ok(false);
        }
        if let Some(number) = saving.rules.last().copied() {
            let rule = self.deployed.crew.get_mut(number);
            if rule.keys.save(most, rule.deployed, &mut saving.slice.keys) {
                saving.rules.pop();
            }
        }
        Ok(saving.rules.is_empty())
    }

    /// What keys of a rule remember, for people and for checks before a deployment: of one key, or of up to so many.
    pub fn states(&mut self, rule: &str, key: Option<u64>, most: usize) -> Result<Vec<KeyReport>, Fault> {
        let Some(number) = self.deployed.crew.named(rule) else { return Ok(Vec::new()) };
        let picked = match key {
            Some(key) => self.deployed.pick_key(number, key)?.into_iter().collect(),
            None => self.deployed.pick(number, most)?,
        };
        let report = |Carried { state, wide }: Carried| {
            let stream = self.index.get(state.key);
            let (host, service) = match (&wide, &stream) {
                (Some(wide), _) => (wide.host.clone(), wide.service.clone()),
                (None, Some(event)) => {
                    (event.host_bytes().map(Box::from), event.service_bytes().map(Box::from))
                }
                (None, None) => (None, None),
            };
            KeyReport { host, service, state }
        };
        Ok(picked.into_iter().map(report).collect())
    }

    /// What all keys of a rule remember, for a shard in which the rule has lost it.
    pub fn lend(&mut self, rule: &str) -> Result<Vec<Carried>, Fault> {
        match self.deployed.crew.named(rule) {
            Some(number) => self.deployed.pick(number, usize::MAX),
            None => Ok(Vec::new()),
        }
    }

    /// Gives a rule back what it has lost, as of this moment: it goes on from here. Whether there is a rule of that name
    /// that waits for it.
    pub fn give_back(&mut self, rule: &str, carried: Vec<Carried>) -> bool {
        let Some(number) = self.deployed.crew.named(rule) else { return false };
        if !std::mem::take(&mut self.deployed.crew.get_mut(number).away) {
            return false;
        }
        self.deployed.carry(number, carried, &mut self.index);
        true
    }

    /// A rule is not to hear of the event in that row.
    pub fn skip(&mut self, rule: Arc<str>, position: u64, row: u32) {
        self.deployed.skip.push((rule, position, row));
    }

    /// Takes back what was saved, at that time. The rules must have been deployed, and nothing else must have happened.
    pub fn restore(&mut self, saved: &crate::save::Saved, now: Timestamp) {
        self.now = self.now.max(now);
        let (shards, ours) = (self.settings.shards, self.settings.number);
        for (key, stream) in &saved.streams {
            if super::owner(*key, shards) == ours {
                self.index.restore(&stream.event(), stream.expires);
            }
        }
        self.deployed.restore(saved, &self.settings, &mut self.index);
    }
}

impl Deployed {
    fn mark(&mut self, all: bool, saving: &mut Saving) -> Result<(), Fault> {
        for (number, deployed) in self.crew.numbers() {
            let rule = self.crew.get_mut(number);
            rule.keys.mark();
            if !all {
                let group = &self.groups[rule.guest as usize];
                let names = group.slots.of(number).map(|(_, holder)| (deployed, holder.key));
                saving.slice.same_states.extend(names);
            }
        }
        for (at, group) in self.groups.iter_mut().enumerate() {
            // Of a rule that is left alone: nothing changes them before they are handed over.
            for state in group.baggage.iter().flat_map(Baggage::states) {
                let Some(holder) = group.slots.holder(state.slot) else { continue };
                let rule = self.crew.get(holder.rule).deployed;
                let schema = group.baggage.as_ref().map_or(1, |baggage| baggage.schema);
                let (wakes, bytes) = (state.wakes.clone(), state.state.clone());
                let saved = SavedState { rule, schema, key: holder.key, wakes, state: bytes };
                saving.slice.states.push(saved);
            }
            if let Some(guest) = group.guest.as_mut() {
                guest.mark(all)?;
                saving.groups.push(at as u32);
            }
        }
        Ok(())
    }

    /// Asks a guest for the states of up to so many keys; says how many it has left.
    fn save_group(&mut self, at: u32, most: u32, saving: &mut Saving) -> Result<u32, Fault> {
        let group = &mut self.groups[at as usize];
        let Some(guest) = &mut group.guest else { return Ok(0) };
        let mut states = Vec::new();
        let left = guest.save(most, &mut states)?;
        for KeyState { binding, key, wakes, state, .. } in states {
            let Some(number) = group.members.get(binding as usize) else { continue };
            let rule = self.crew.get(*number);
            let saved = SavedState { rule: rule.deployed, schema: rule.spec.schema, key, wakes, state };
            saving.slice.states.push(saved);
        }
        Ok(left)
    }

    /// Before a guest goes or a rule leaves it: what it still has to say for the save is taken down.
    pub(super) fn save_before(&mut self, at: u32) {
        let Some(mut saving) = self.saving.take() else { return };
        if saving.groups.contains(&at) {
            loop {
                match self.save_group(at, u32::MAX, &mut saving) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(fault) => {
                        saving.failed = Some(fault);
                        break;
                    }
                }
            }
            saving.groups.retain(|other| *other != at);
        }
        self.saving = Some(saving);
    }

    /// Before a rule goes or becomes another: its keys are saved as those of the rule that it was.
    pub(super) fn save_keys_before(&mut self, number: u32) {
        let Some(saving) = self.saving.as_mut().filter(|saving| saving.rules.contains(&number)) else {
            return;
        };
        let rule = self.crew.get_mut(number);
        while !rule.keys.save(usize::MAX >> 1, rule.deployed, &mut saving.slice.keys) {}
        saving.rules.retain(|other| *other != number);
    }

    /// A guest failed: what it still had to say for the save is lost.
    pub(super) fn save_without(&mut self, at: u32, fault: &Fault) {
        if let Some(saving) = self.saving.as_mut().filter(|saving| saving.groups.contains(&at)) {
            saving.failed = Some(fault.clone());
        }
    }
}
