//! Rebuilding what a rule remembered before a fault: a shard of its own begins with the newest checkpoint and reads the
//! log from there, without the event that broke the rule, while the others go on.
//!
//! ```text
//! shard ── lost ──► sequencer ── begin ──► rebuilder: checkpoint, log … up to its end
//!                       │ ◄──── rejoin ──────┘
//!                       ├── record `rejoin` at position n ──► shards; the one that lost it waits for what follows
//!                       └── up to n ──► rebuilder ── states, and what the rule would have asked for ──► that shard
//! ```
//!
//! The record makes it repeatable: a replay comes to the same place and does the same there. What the rule would have asked
//! for meanwhile is carried out at that position.

use crate::checkpoint;
use crate::ingest::{Desk, Request};
use crate::log::{Reader, Record};
use crate::telemetry::Telemetry;
use anyhow::{Context, bail};
use crossbeam_channel::{Receiver, Sender};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::guest::Guests;
use tidegate_engine::rule::{Control, RuleSpec};
use tidegate_engine::shard::{Carried, Late, Settings, Shard, Step, mark_of};
use tidegate_event::{Batch, BatchBuilder, FieldSet, Header, Timestamp};

/// Events that break the rule in one rebuilding, at most; a rule that fails more often begins anew.
const POISONS: usize = 8;
/// A record that cannot be written is asked for again after this long.
const LOOK: Duration = Duration::from_millis(100);
/// Orders that wait: one to begin, and the answers to one that is at work.
const ORDERS: usize = 4;

/// What rebuilding starts from.
#[derive(Clone)]
pub struct Grounds {
    /// Where checkpoints are.
    pub checkpoints: PathBuf,
    /// Where the log is.
    pub log: PathBuf,
    /// Starts guests.
    pub guests: Arc<dyn Guests>,
    /// Those of any of the shards.
    pub settings: Settings,
}

/// A rule that lost what its keys remember, and when.
#[derive(Clone, Debug)]
pub struct Absent {
    /// The rule.
    pub rule: Arc<str>,
    /// The shard.
    pub shard: usize,
    /// Where it happened.
    pub position: u64,
    /// What it asked for over rows before this one was carried out.
    pub first: u32,
    /// It has lost nothing, and is to begin as if it had heard the log from this moment on.
    pub backfill: Option<(Timestamp, RuleSpec)>,
    /// Events that it must not hear of, by position and row.
    pub skips: Vec<(u64, u32)>,
}

/// What the rule gets back.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// What its keys remember.
    pub states: Vec<Carried>,
    /// What it would have asked for meanwhile.
    pub late: Late,
}

/// One rebuilding.
pub struct Again {
    grounds: Grounds,
    absent: Absent,
    shard: Shard,
    reader: Reader,
    late: Late,
    /// Whether rules have been deployed, by a checkpoint or the first catalogue.
    begun: bool,
    poisons: usize,
    /// Whether nobody waits who has better things to do: then it may begin from the start again.
    patient: bool,
}

impl Again {
    /// Begins with the newest checkpoint.
    pub fn begin(grounds: Grounds, absent: Absent) -> anyhow::Result<Self> {
        let (shard, reader, begun) = start(&grounds, &absent)?;
        Ok(Self { grounds, absent, shard, reader, late: Late::default(), begun, poisons: 0, patient: false })
    }

    /// Reads on up to the end of the log as it is now, or up to this position, which is left out.
    pub fn read(&mut self, before: u64) -> anyhow::Result<()> {
        while let Some(record) = self.reader.read()? {
            let (position, step) = match record {
                Record::Catalogue(rules) => {
                    if !std::mem::replace(&mut self.begun, true) {
                        deploy(&mut self.shard, rules, &self.absent.rule);
                    }
                    continue;
                }
                Record::Batch(batch) => (batch.header.position, self.step(before, &batch)),
                Record::Emitted { batch, .. } => {
                    let batch = self.without_own(batch);
                    (batch.header.position, self.step(before, &batch))
                }
                Record::Time(position, now) => {
                    let mut tick = Batch::default();
                    tick.header = Header { fields: FieldSet::ALL, position, now, replayed: true };
                    (position, self.step(before, &tick))
                }
                Record::Change(position, change) => {
                    // What is filled in begins as the rule that was deployed then.
                    let known = self.absent.backfill.is_some() && position <= self.absent.position;
                    if position < before && !known && is_about(change.control.name(), &self.absent.rule) {
                        self.shard.control(&change.control, position, Timestamp(change.now));
                    }
                    (position, None)
                }
            };
            if position >= before {
                return Ok(());
            }
            self.begun = true;
            let Some(step) = step else { continue };
            if let Some(lost) = step.lost.iter().find(|lost| lost.rule == self.absent.rule) {
                let Some(row) = lost.poison else {
                    bail!("the rule failed again at position {position}, and not because of an event");
                };
                if self.poisons == POISONS {
                    bail!("the rule failed at {POISONS} events more");
                }
                if before < u64::MAX && !self.patient {
                    bail!("the rule failed again at position {position}, while its shard waited for it");
                }
                self.poisons += 1;
                self.absent.skips.push((position, row));
                let failed = std::mem::take(&mut self.late).only_troubles();
                self.late = failed;
                if position > self.absent.position {
                    self.late.trouble(&self.absent.rule, step.troubled);
                }
                (self.shard, self.reader, self.begun) = start(&self.grounds, &self.absent)?;
                continue;
            }
            if position >= self.absent.position {
                let from = (position == self.absent.position).then_some(self.absent.first);
                self.late.take(&self.absent.rule, step, from);
            }
        }
        Ok(())
    }

    fn step(&mut self, before: u64, batch: &Batch) -> Option<Step> {
        let from = self.absent.backfill.as_ref().map_or(Timestamp(i64::MIN), |(from, _)| *from);
        let wanted = batch.header.position < before && batch.header.now >= from;
        wanted.then(|| self.shard.step(batch))
    }

    /// Of what the rule was deployed for, it must not hear what its earlier self said.
    fn without_own(&self, batch: Batch) -> Batch {
        let own = mark_of(&self.absent.rule);
        let early = self.absent.backfill.is_some() && batch.header.position < self.absent.position;
        if !early || batch.events().all(|event| event.binding() != own) {
            return batch;
        }
        let mut kept = BatchBuilder::new();
        for event in batch.events().filter(|event| event.binding() != own) {
            kept.copy(&event, FieldSet::ALL, |_| ());
        }
        let mut kept = kept.finish();
        kept.header = batch.header;
        kept
    }

    /// What has come of it.
    pub fn finish(mut self) -> anyhow::Result<Rebuilt> {
        let states = self.shard.lend(&self.absent.rule).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        Ok(Rebuilt { states, late: self.late })
    }
}

/// A shard that knows what the newest checkpoint knows of the rule, and a reader of what came later.
fn start(grounds: &Grounds, absent: &Absent) -> anyhow::Result<(Shard, Reader, bool)> {
    let settings = Settings { number: absent.shard, rebuild: true, ..grounds.settings.clone() };
    let mut shard = Shard::new(settings, grounds.guests.clone());
    for (position, row) in &absent.skips {
        shard.skip(absent.rule.clone(), *position, *row);
    }
    if let Some((from, spec)) = &absent.backfill {
        let spec = RuleSpec { backfill: None, ..spec.clone() };
        shard.control(&Control::Deploy(Box::new(spec)), absent.position, *from);
        return Ok((shard, Reader::open(&grounds.log, 0).context("the log cannot be read")?, true));
    }
    let loaded = checkpoint::load(&grounds.checkpoints)?;
    let from = loaded.as_ref().map_or(0, |loaded| loaded.head.position + 1);
    let begun = loaded.is_some();
    if let Some(loaded) = loaded {
        deploy(&mut shard, loaded.head.rules, &absent.rule);
        shard.restore(&loaded.saved, Timestamp(loaded.head.now));
    }
    let reader = Reader::open(&grounds.log, from).context("the log cannot be read")?;
    Ok((shard, reader, begun))
}

fn deploy(shard: &mut Shard, rules: Vec<crate::log::Standing>, rule: &str) {
    let about = rules.into_iter().filter(|standing| is_about(&standing.spec.name, rule));
    let mut changes: Vec<_> = about.flat_map(crate::log::Standing::changes).collect();
    changes.sort_by_key(|(position, ..)| *position);
    for (position, at, control) in changes {
        shard.control(&control, position, at);
    }
}

/// Whether a rule of that name, or a candidate for its place, is this one.
fn is_about(name: &str, rule: &str) -> bool {
    rule.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}

enum Order {
    Begin(Box<Absent>),
    /// The record could not be written: ask again.
    Wait,
    /// The record stands here: hand over what has come of it up to there.
    UpTo {
        position: u64,
        to: Sender<Rebuilt>,
    },
    Stop,
}

/// What the sequencer knows of the rebuilder.
pub struct Orders {
    to: Sender<Order>,
    grounds: Grounds,
    telemetry: Arc<Telemetry>,
}

impl Orders {
    /// Begins, off the caller's thread. It asks for its record when it has read the log.
    pub fn begin(&self, absent: Absent) {
        let _ = self.to.try_send(Order::Begin(Box::new(absent)));
    }

    /// The record cannot be written now.
    pub fn wait(&self) {
        let _ = self.to.try_send(Order::Wait);
    }

    /// The node stops.
    pub fn stop(&self) {
        let _ = self.to.try_send(Order::Stop);
    }

    /// The record stands here.
    pub fn up_to(&self, position: u64) -> Receiver<Rebuilt> {
        let (to, rebuilt) = crossbeam_channel::bounded(1);
        let _ = self.to.try_send(Order::UpTo { position, to });
        rebuilt
    }

    /// The same at once, while a replay stands at that position.
    pub fn now(&self, absent: Absent, position: u64) -> Receiver<Rebuilt> {
        let (to, rebuilt) = crossbeam_channel::bounded(1);
        let mut again = Again::begin(self.grounds.clone(), absent);
        let read = again.as_mut().map_or(Ok(()), |again| {
            again.patient = true;
            again.read(position)
        });
        let done = again.and_then(|again| read.and_then(|()| again.finish()));
        let _ = to.send(counted(done, &self.telemetry));
        rebuilt
    }
}

/// A rule that cannot be rebuilt begins anew.
fn counted(done: anyhow::Result<Rebuilt>, telemetry: &Telemetry) -> Rebuilt {
    match done {
        Ok(rebuilt) => {
            telemetry.control.rebuilt.add(1);
            rebuilt
        }
        Err(error) => {
            telemetry.control.not_rebuilt.add(1);
            tracing::error!(
                error = format!("{error:#}"),
                "a rule begins anew: what it remembered cannot be rebuilt"
            );
            Rebuilt::default()
        }
    }
}

/// The thread. It changes nothing by itself, so nobody waits for its end.
pub struct Rebuilder {
    orders: Receiver<Order>,
    grounds: Grounds,
    desk: Arc<Desk>,
    telemetry: Arc<Telemetry>,
}

impl Rebuilder {
    /// Starts it.
    pub fn start(grounds: Grounds, desk: Arc<Desk>, telemetry: Arc<Telemetry>) -> std::io::Result<Orders> {
        let (to, orders) = crossbeam_channel::bounded(ORDERS);
        let given = Orders { to, grounds: grounds.clone(), telemetry: telemetry.clone() };
        let rebuilder = Self { orders, grounds, desk, telemetry };
        // Guests run on this stack: 512 KiB of it are theirs.
        let thread = std::thread::Builder::new().name("rebuilder".into()).stack_size(8 << 20);
        thread.spawn(move || rebuilder.run())?;
        Ok(given)
    }

    fn run(&self) {
        while let Ok(order) = self.orders.recv() {
            let absent = match order {
                Order::Begin(absent) => absent,
                Order::Stop => return,
                // Answers to what nobody waits for any more.
                Order::Wait | Order::UpTo { .. } => continue,
            };
            let rule = absent.rule.clone();
            let span = tracing::info_span!("rebuild", rule = &*rule, position = absent.position);
            let _within = span.entered();
            let mut again = Again::begin(self.grounds.clone(), *absent);
            let mut go_on = |before: u64| {
                let read = again.as_mut().map_or(Ok(()), |again| again.read(before));
                if let Err(error) = read {
                    again = Err(error);
                }
            };
            let (position, to) = loop {
                go_on(u64::MAX);
                self.desk.leave(Request::Rejoin);
                match self.orders.recv() {
                    Ok(Order::UpTo { position, to }) => break (position, to),
                    Ok(Order::Wait | Order::Begin(_)) => std::thread::sleep(LOOK),
                    Ok(Order::Stop) | Err(_) => return,
                }
            };
            go_on(position);
            let rebuilt = counted(again.and_then(Again::finish), &self.telemetry);
            tracing::info!(
                rule = &*rule,
                position,
                keys = rebuilt.states.len(),
                "a rule has back what a fault cost it"
            );
            let _ = to.send(rebuilt);
        }
    }
}
