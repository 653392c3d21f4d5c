//! Rules that lost what their keys remember: they are noted when a step says so, rebuilt one after the other, and get it back
//! at a record of the log.

use super::{Placed, Sequencer};
use crate::ingest::Passage;
use crate::log::Change;
use crate::rebuild::{Absent, Orders, Rebuilt};
use crate::shard_thread::Handed;
use crossbeam_channel::Receiver;
use std::sync::Arc;
use tidegate_engine::rule::Control;
use tidegate_engine::shard::Step;
use tidegate_event::{Batch, Timestamp};

/// Events that have broken rules, as many as are known by heart; an older one would break the rule that is rebuilt once
/// more, and be found there.
const POISONS: usize = 256;

impl Sequencer {
    /// Rules that a fault has cost what they remember.
    pub(super) fn lose(&mut self, step: &Step) {
        for lost in &step.lost {
            if let Some(row) = lost.poison {
                self.poisons.push_back((lost.rule.clone(), step.position, row));
                if self.poisons.len() > POISONS {
                    self.poisons.pop_front();
                }
            }
            let skips = self.poisons.iter().filter(|(rule, ..)| *rule == lost.rule);
            self.absent.push_back(Absent {
                rule: lost.rule.clone(),
                shard: lost.shard,
                position: step.position,
                first: lost.first,
                backfill: lost.backfill.and_then(|from| Some((from, self.catalogue.get(&lost.rule)?.spec))),
                skips: skips.map(|(_, position, row)| (*position, *row)).collect(),
            });
        }
        self.begin_to_rebuild();
    }

    pub(super) fn begin_to_rebuild(&mut self) {
        if let (Some(rebuilder), Some(absent)) = (&self.rebuilder, self.absent.front())
            && !self.replaying
            && !self.rebuilding
        {
            self.rebuilding = true;
            rebuilder.begin(absent.clone());
        }
    }

    pub(super) fn place_rejoin(&mut self) {
        let Some(absent) = self.absent.front().filter(|_| self.rebuilding) else { return };
        let (name, shard) = (absent.rule.to_string(), absent.shard);
        self.place_joined();
        let (position, now) = self.place();
        let shards = self.shards.len();
        let change = Change { now: now.0, control: Control::Rejoin { name, shard, shards } };
        match self.log.as_mut().map_or(Ok(()), |log| log.change(position, &change)) {
            Ok(()) => self.placed.push(Placed::Rejoin { position, change }),
            Err(error) => {
                tracing::error!(error, "a rule cannot have back what it lost yet");
                self.position -= 1;
                self.rebuilder.iter().for_each(Orders::wait);
            }
        }
    }

    pub(super) fn rejoin(&mut self, position: u64, now: Timestamp) {
        self.rebuilding = false;
        if let (Some(absent), Some(rebuilder)) = (self.absent.pop_front(), &self.rebuilder) {
            let given = vec![(absent.shard, rebuilder.up_to(position))];
            self.hand_rejoin(position, now, &absent.rule, given);
        }
        self.begin_to_rebuild();
    }

    /// The same in a replay. With another number of shards the rule may have been lost in others: there as well.
    pub(super) fn rejoin_again(&mut self, position: u64, rule: &str, shard: Option<usize>) {
        let Some(rebuilder) = &self.rebuilder else { return };
        let here = |absent: &Absent| *absent.rule == *rule && shard.is_none_or(|shard| absent.shard == shard);
        let (back, absent) = self.absent.drain(..).partition::<Vec<_>, _>(here);
        self.absent = absent.into();
        let given = back.into_iter().map(|absent| (absent.shard, rebuilder.now(absent, position))).collect();
        self.hand_rejoin(position, self.now, &rule.into(), given);
    }

    fn hand_rejoin(
        &mut self,
        position: u64,
        now: Timestamp,
        rule: &Arc<str>,
        given: Vec<(usize, Receiver<Rebuilt>)>,
    ) {
        self.handing(position);
        let passage = Arc::new(Passage::new(Batch::default(), self.shards.len(), self.replaying, None));
        let given = Arc::new(given);
        let make = || Handed::Rejoin {
            position,
            now,
            rule: rule.clone(),
            given: given.clone(),
            passage: passage.clone(),
        };
        self.hand(make);
    }
}
