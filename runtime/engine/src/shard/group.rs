//! One guest and the rules that it serves: what waits for its next call, the call, and what came of it.
//!
//! Rows are gathered for the guest as they come, so a call copies nothing twice. What waits is remembered beside them:
//! effects refer to it, and a call that failed is repeated without the event that broke it.

use super::Step;
use super::crew::Crew;
use super::effects::{self, Asked, Cut, From, What};
use super::keys::Slots;
use crate::guest::{Fault, FaultKind, Guest, Guests};
use crate::index::{Index, NOWHERE};
use crate::rule::{Limits, RuleSpec};
use crate::shard::Settings;
use crate::shard::baggage::Baggage;
use crate::shard::routes::Routes;
use crate::shard::trial;
use tidegate_event::{
    Action, Base, Batch, BatchBuilder, Event, FieldSet, Header, Reply, ReplyRef, Timestamp,
};

/// One guest in one shard.
#[derive(Default)]
pub struct Group {
    /// The rules that it serves, by their number within it; [`NOWHERE`] where there is none.
    pub members: Vec<u32>,
    /// Whether it takes in further rules of its kind.
    pub open: bool,
    /// The guest, once there was something to do.
    pub guest: Option<Box<dyn Guest>>,
    /// Its slots.
    pub slots: Slots,
    /// When it next wants time to move.
    pub next_wake: Timestamp,
    /// What its keys remember that the guest has not been given yet.
    pub baggage: Option<Baggage>,
    /// What waits for the next call, row by row.
    pub wanted: Vec<Wanted>,
    /// Rules that the guest does not know yet.
    pub unbound: Vec<u32>,
    /// The same events as the guest gets them.
    gather: BatchBuilder,
}

/// An event that waits to be handed to the guest.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Where it is.
    pub source: Source,
    /// For which rule.
    pub rule: u32,
    /// Its key's slot.
    pub slot: u32,
    /// The number of its stream in the index.
    pub stream: u32,
    /// Whether the key ends with it.
    pub leaving: bool,
}

/// Where an event is during a step.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// In the batch of the step.
    Row(u32),
    /// Among the streams that ran out.
    Gone(u32),
    /// Among the keys that ran out.
    Ended(u32),
}

impl Source {
    /// The row of the step's batch.
    pub fn row(self) -> Option<u32> {
        match self {
            Self::Row(row) => Some(row),
            Self::Gone(_) | Self::Ended(_) => None,
        }
    }
}

/// What a call needs to see of the step.
pub struct Scene<'a> {
    /// The batch of the step.
    pub batch: &'a Batch,
    /// The last events of streams that ran out.
    pub gone: &'a Batch,
    /// Events that say that keys ran out.
    pub ended: &'a Batch,
    /// Now.
    pub now: Timestamp,
    /// Where guests come from.
    pub guests: &'a dyn Guests,
    /// The shard's settings.
    pub settings: &'a Settings,
}

impl<'a> Scene<'a> {
    /// The event at a place.
    pub fn event(&self, source: Source) -> Event<'a> {
        match source {
            Source::Row(row) => self.batch.event(row as usize),
            Source::Gone(row) => self.gone.event(row as usize),
            Source::Ended(row) => self.ended.event(row as usize),
        }
    }
}

/// A call that failed.
pub struct Broken {
    /// How.
    pub fault: Fault,
    /// The row that broke it, where that is known.
    pub row: Option<usize>,
    /// The rule to blame, where that is known.
    pub rule: Option<u32>,
}

impl Group {
    /// A guest for rules like this one.
    pub fn new(open: bool) -> Self {
        Self { open, next_wake: Timestamp::NEVER, ..Self::default() }
    }

    /// When a key of it wants to be woken, wherever what it remembers is.
    pub fn wake_at(&self) -> Timestamp {
        self.baggage.as_ref().map_or(self.next_wake, |baggage| baggage.next_wake().min(self.next_wake))
    }

    /// Forgets the places of rules that have left. Only without a guest, which would know the others by their numbers.
    pub fn close_ranks(&mut self, crew: &mut Crew) {
        self.members.retain(|rule| *rule != NOWHERE);
        for (binding, number) in self.members.iter().enumerate() {
            crew.get_mut(*number).binding = binding as u32;
        }
    }

    /// The rules that it serves.
    pub fn rules(&self) -> impl Iterator<Item = u32> + '_ {
        self.members.iter().copied().filter(|rule| *rule != NOWHERE)
    }

    /// Whether rules of the one kind and the other can share a guest.
    pub fn fits(one: &RuleSpec, other: &RuleSpec) -> bool {
        let kind = |spec: &RuleSpec| -> (FieldSet, usize, Limits) {
            // The number of outputs is the module's, too; it is compared for modules that are not.
            (spec.field_set(), spec.outputs.len(), spec.limits)
        };
        one.module == other.module && kind(one) == kind(other)
    }

    /// Puts an event in line.
    #[inline]
    pub fn push(&mut self, wanted: Wanted, event: &Event<'_>, key: u64, binding: u32, fields: FieldSet) {
        self.wanted.push(wanted);
        self.gather.gather(event, fields, key, wanted.slot, binding, wanted.leaving);
    }

    /// Takes out everything that waits.
    pub fn take_wanted(&mut self) -> Vec<Wanted> {
        self.gather = std::mem::take(&mut self.gather).finish().into_builder();
        std::mem::take(&mut self.wanted)
    }

    /// One call, with a guest that is there. What waits is done with unless it failed.
    pub fn attempt(
        &mut self,
        crew: &mut Crew,
        reply: &mut Reply,
        index: &Index<Routes>,
        scene: &Scene<'_>,
        step: &mut Step,
    ) -> Result<(), Broken> {
        let Some(guest) = self.guest.as_mut() else { return Ok(()) };
        let Some(limits) =
            self.members.iter().find(|rule| **rule != NOWHERE).map(|rule| crew.get(*rule).spec.limits)
        else {
            return Ok(());
        };
        let mut batch = std::mem::take(&mut self.gather).finish();
        let fields = fields(&self.members, crew);
        batch.header = Header { fields, position: step.position, now: scene.now, replayed: step.replayed };
        let outcome = guest.call(&batch, reply);
        let memory = guest.memory() as u64 / self.members.len().max(1) as u64;
        let base = u64::from(limits.effects_base) * self.members.len() as u64;
        // A guest counts whom it wakes; there are no more keys than have slots.
        let woken = u64::from(reply.woken).min(self.slots.len() as u64);
        let allowed = u64::from(limits.effects_per_row) * (batch.len() as u64 + woken) + base;
        let outcome = outcome.and_then(|spent| match reply.len() as u64 {
            asked if asked > allowed => Err(Fault::new(
                FaultKind::Output,
                format!(
                    "{asked} effects in one call, {allowed} are allowed for {} events and {woken} wakes",
                    batch.len()
                ),
            )),
            _ => Ok(spent),
        });
        let spent = match outcome {
            Ok(spent) => spent,
            Err(fault) => {
                self.gather = batch.into_builder();
                return Err(self.blame(fault, crew, reply));
            }
        };
        self.next_wake = reply.next_wake;
        self.take_effects(crew, reply, index, scene, step);
        self.take_leave(crew);
        self.count(crew, spent.nanos, memory);
        self.wanted.clear();
        self.gather = batch.into_builder();
        Ok(())
    }

    /// Whose fault it was.
    fn blame(&self, fault: Fault, crew: &mut Crew, reply: &Reply) -> Broken {
        let row = fault.row.map(|row| row as usize).filter(|row| *row < self.wanted.len());
        let rule = match (row, fault.slot) {
            (Some(row), _) => Some(self.wanted[row].rule),
            (None, Some(slot)) => self.slots.holder(slot).map(|holder| holder.rule),
            // Too many effects: whoever asked for most.
            (None, None) if fault.kind == FaultKind::Output => self.loudest(reply),
            (None, None) => None,
        };
        let mut rules = self.rules();
        let only = rules.next().filter(|_| rules.next().is_none());
        let rule = rule.or(only);
        rule.into_iter().for_each(|rule| crew.count(rule).calls += 1);
        Broken { fault, row, rule }
    }

    fn loudest(&self, reply: &Reply) -> Option<u32> {
        let mut asked: Vec<(u32, u64)> = Vec::new();
        for effect in ReplyRef::new(reply.record_bytes(), reply.string_bytes()).effects().flatten() {
            let Some(rule) = self.rule_of(effect.record.base) else { continue };
            match asked.iter_mut().find(|(other, _)| *other == rule) {
                Some((_, n)) => *n += 1,
                None => asked.push((rule, 1)),
            }
        }
        asked.into_iter().max_by_key(|(rule, n)| (*n, std::cmp::Reverse(*rule))).map(|(rule, _)| rule)
    }

    /// Which rule an effect is of.
    fn rule_of(&self, base: Base) -> Option<u32> {
        match base {
            Base::Row(row) => self.wanted.get(row as usize).map(|wanted| wanted.rule),
            Base::Slot(slot) => self.slots.holder(slot).map(|holder| holder.rule),
            // A guest that serves many has to say for which.
            Base::Nothing => self.rules().next().filter(|_| self.rules().count() == 1),
        }
    }

    /// Notes what the call did for each rule. Where many rules share a guest, its time is split by the number of events,
    /// and each run of events for one rule counts as a call of it.
    fn count(&self, crew: &mut Crew, nanos: u64, memory: u64) {
        let mut note = |rule: u32, events: usize, nanos: u64| {
            let keys = crew.get(rule).key_count();
            let count = crew.count(rule);
            count.events += events as u64;
            count.calls += 1;
            count.nanos += nanos;
            (count.keys, count.memory) = (keys, memory);
        };
        let rows = self.wanted.len();
        if rows == 0 || self.members.len() == 1 {
            self.rules().take(1).for_each(|rule| note(rule, rows, nanos));
            return;
        }
        for run in self.wanted.chunk_by(|a, b| a.rule == b.rule) {
            note(run[0].rule, run.len(), nanos * run.len() as u64 / rows as u64);
        }
    }

    /// Turns the reply's effects into whole events of the step.
    fn take_effects(
        &self,
        crew: &mut Crew,
        reply: &Reply,
        index: &Index<Routes>,
        scene: &Scene<'_>,
        step: &mut Step,
    ) {
        let reply = ReplyRef::new(reply.record_bytes(), reply.string_bytes());
        for (n, effect) in reply.effects().flatten().enumerate() {
            let base = effect.record.base;
            let Some(number) = self.rule_of(base) else {
                if let Some(rule) = self.rules().next() {
                    *crew.count(rule).cut.entry(Cut::Base.reason()).or_default() += 1;
                }
                continue;
            };
            let rule = crew.get(number);
            if rule.spec.paused {
                continue;
            }
            let (from, row, key) = match base {
                Base::Nothing => (From::Nothing, None, 0),
                Base::Row(row) => {
                    let wanted = self.wanted[row as usize];
                    let row = if let Source::Row(row) = wanted.source { Some(row) } else { None };
                    let key = self.slots.holder(wanted.slot).map_or(0, |holder| holder.key);
                    (From::Event(scene.event(wanted.source)), row, key)
                }
                Base::Slot(slot) => {
                    let holder = self.slots.holder(slot);
                    let from = match holder {
                        Some(holder) if holder.place == NOWHERE => From::Nothing,
                        Some(holder) if rule.is_narrow() => {
                            let last = index.event(holder.place);
                            From::Key { host: last.host_bytes(), service: last.service_bytes() }
                        }
                        Some(holder) => rule.keys.get(holder.place).map_or(From::Nothing, |key| From::Key {
                            host: key.host.as_deref(),
                            service: key.service.as_deref(),
                        }),
                        None => From::Nothing,
                    };
                    (from, None, holder.map_or(0, |holder| holder.key))
                }
            };
            let what = match effect.record.action {
                Action::Emit => What::Emit,
                Action::Log => What::Log { level: effect.record.target.min(4) as u8 },
                Action::Forward => match rule.outputs.get(effect.record.target as usize) {
                    Some((declared, output)) => {
                        What::Forward { declared: declared.clone(), output: output.clone() }
                    }
                    None => {
                        *crew.count(number).cut.entry("output").or_default() += 1;
                        continue;
                    }
                },
            };
            let event = step.events.len() as u32;
            if let Err(cut) = effects::build(&effect, &from, rule.mark, &mut step.events) {
                *crew.count(number).cut.entry(cut.reason()).or_default() += 1;
                continue;
            }
            let place = effects::place(&effect, row, key, rule.deployed, n as u32);
            let asked = Asked { place, rule: rule.name.clone(), what: what.clone(), event };
            if !trial::pass(crew, number, key, asked, scene.now, step) {
                continue;
            }
            let count = crew.count(number);
            match what {
                What::Emit => count.emitted += 1,
                What::Forward { .. } => count.forwarded += 1,
                What::Log { .. } => count.logged += 1,
            }
        }
    }

    /// Keys that said goodbye are gone; their slots are free.
    pub fn take_leave(&mut self, crew: &mut Crew) {
        for wanted in self.wanted.iter().filter(|wanted| wanted.leaving) {
            let rule = crew.get_mut(wanted.rule);
            if rule.is_narrow() {
                rule.held -= 1;
                self.slots.give(wanted.slot);
            } else if let Some(holder) = self.slots.holder(wanted.slot)
                && rule.keys.leave(holder.place)
            {
                self.slots.give(wanted.slot);
            } else {
                continue;
            }
            if let Some(baggage) = &mut self.baggage {
                baggage.forget(wanted.slot);
            }
        }
    }
}

/// The fields that are written for a guest: those of its rules, which are all of one kind.
fn fields(members: &[u32], crew: &Crew) -> FieldSet {
    members.iter().find(|rule| **rule != NOWHERE).map_or(FieldSet::ALL, |rule| crew.get(*rule).fields)
}
