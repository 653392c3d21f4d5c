//! Recovery: what a checkpoint says, then the records behind it, through the same shards.

use super::Sequencer;
use crate::chaos::{failpoint, planted};
use crate::checkpoint::Loaded;
use crate::ingest::Request;
use crate::log::{Change, Record, Standing};
use crate::shard_thread::Handed;
use crossbeam_channel::Receiver;
use std::sync::Arc;
use tidegate_engine::rule::Control;
use tidegate_event::Timestamp;

/// Positions on their way to the shards while the log is read at start.
const REPLAY_WINDOW: u64 = 256;

/// What the start found in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records read.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// The last position.
    pub position: u64,
    /// Bytes of a torn tail that were cut off.
    pub torn: u64,
    /// Bytes that could not be read.
    pub damaged: u64,
    /// The position of the checkpoint that it began with, if there was one.
    pub checkpoint: Option<u64>,
    /// Positions that are missing.
    pub missing: u64,
}

impl Sequencer {
    /// Begins with a checkpoint, and reads the log from there through the shards: index and rules are then as they were.
    /// What rules forwarded in that time goes to the outputs as a replay; what they emitted is in the log, but for the very
    /// last, which is appended now.
    pub fn recover(
        &mut self,
        loaded: Option<Loaded>,
        mut reader: crate::log::Reader,
        heard: &Receiver<Request>,
    ) -> anyhow::Result<Recovered> {
        self.replaying = true;
        failpoint("recover.begin");
        let mut recovered = Recovered::default();
        let mut started = loaded.is_some();
        recovered.checkpoint = loaded.as_ref().map(|loaded| loaded.head.position);
        if let Some(loaded) = loaded {
            self.begin_with(loaded);
            let next = self.position + 1;
            reader.start_at(next);
            if let Some(oldest) = reader.oldest().filter(|oldest| *oldest > next) {
                tracing::error!(
                    next,
                    oldest,
                    "the log begins behind the newest checkpoint: what stood between is missing"
                );
                recovered.missing = oldest - next;
            }
        }
        while let Some(record) = reader.read()? {
            failpoint("recover.record");
            match record {
                Record::Catalogue(rules) if !started => {
                    self.stand(rules);
                }
                Record::Catalogue(_) => {}
                Record::Batch(mut batch) => {
                    batch.header.replayed = true;
                    recovered.events += batch.len() as u64;
                    self.resume(batch.header.position, batch.header.now);
                    self.hand_batch(batch, None);
                }
                Record::Emitted { origin, mut batch } => {
                    batch.header.replayed = true;
                    recovered.events += batch.len() as u64;
                    self.emitted_in_log = self.emitted_in_log.max(origin);
                    while self.emitted.front().is_some_and(|(caused, _)| *caused <= origin) {
                        self.emitted.pop_front();
                    }
                    self.resume(batch.header.position, batch.header.now);
                    self.hand_batch(batch, None);
                }
                Record::Time(position, now) => {
                    self.resume(position, now);
                    let mut tick = self.tick_batch(position);
                    tick.header.replayed = true;
                    self.hand_batch(tick, None);
                }
                Record::Change(
                    position,
                    Change { now, control: Control::Rejoin { name, shard, shards } },
                ) => {
                    self.resume(position, Timestamp(now));
                    while self.unheard > 0 {
                        self.hear(heard);
                    }
                    self.rejoin_again(position, &name, (shards == self.shards.len()).then_some(shard));
                }
                Record::Change(position, change) => {
                    self.resume(position, Timestamp(change.now));
                    self.catalogue.change(&change.control, position, self.now);
                    self.hand_control(position, self.now, change.control, None);
                }
            }
            started = true;
            while self.unheard > REPLAY_WINDOW {
                self.hear(heard);
            }
        }
        while self.unheard > 0 {
            self.hear(heard);
        }
        failpoint("recover.end");
        self.replaying = false;
        self.begin_to_rebuild();
        let report = reader.report();
        // What is missing is not used again.
        self.position = self.position.max(report.last);
        let counted = &self.telemetry.log;
        counted.gaps.add(report.gaps);
        recovered.missing += report.missing;
        counted.missing.add(recovered.missing);
        counted.damaged.add(report.damaged);
        counted.torn.add(report.torn);
        (recovered.records, recovered.position) = (report.records, self.position);
        (recovered.torn, recovered.damaged) = (report.torn, report.damaged);
        if let Some(log) = &self.log {
            log.resume(self.position);
        }
        Ok(recovered)
    }

    fn resume(&mut self, position: u64, now: Timestamp) {
        self.position = self.position.max(position);
        self.now = self.now.max(now);
    }

    /// During recovery: waits for all shards to be done with one record. Questions must wait until all is read.
    fn hear(&mut self, heard: &Receiver<Request>) {
        if let Ok(Request::Passed { position, steps, done }) = heard.recv() {
            self.unheard -= 1;
            self.passed(position, &steps, done);
        }
    }

    /// Begins with what a checkpoint says: its rules, then what their keys and the index knew.
    fn begin_with(&mut self, loaded: Loaded) {
        let Loaded { head, mut saved, .. } = loaded;
        if planted("expiry-lost") {
            saved.streams.values_mut().for_each(|stream| stream.expires = Timestamp::NEVER);
        }
        self.stand(head.rules);
        let (saved, now) = (Arc::new(saved), Timestamp(head.now));
        self.hand(|| Handed::Restore { saved: saved.clone(), now });
        self.resume(head.position, now);
    }

    /// Deploys what stood when something was written.
    fn stand(&mut self, rules: Vec<Standing>) {
        let mut changes = Vec::new();
        for standing in rules {
            self.catalogue.stand(&standing);
            changes.extend(standing.changes());
        }
        changes.sort_by_key(|(position, ..)| *position);
        for (position, at, control) in changes {
            self.hand_control(position, at, control, None);
        }
    }
}
