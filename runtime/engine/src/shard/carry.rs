//! State that outlives code: what keys remember is carried to a new version, copied to a candidate, taken back from a save.
//!
//! Whoever takes over begins with the slots as they were or as they were saved, and the states come from a [`Baggage`],
//! each when it is needed. So a change of versions costs the same however many keys there are.

use super::baggage::Baggage;
use super::deployed::Deployed;
use super::group::{Broken, Scene};
use super::keys::{Holder, OVERFLOW};
use super::routes::{Route, Routes};
use super::{Settings, Step, owner};
use crate::guest::{Fault, FaultKind};
use crate::index::{Index, NOWHERE};
use crate::query::Matcher;
use crate::rule::RuleSpec;
use crate::save::{Saved, SavedKey, SavedState};
use tidegate_event::{KeyState, Timestamp};

/// States that a guest is given beyond those that it needs, with each step.
const MORE: usize = 256;

/// What a key of a rule remembers, and what is known of the key.
#[derive(Debug)]
pub struct Carried {
    /// What it remembers.
    pub state: SavedState,
    /// The key, if its rule is keyed wider than a stream.
    pub wide: Option<SavedKey>,
}

impl Deployed {
    /// Deploys a rule in place of the one with its name. Its keys keep what they remember if both are keyed alike, unless
    /// they are to begin anew.
    pub fn deploy(
        &mut self,
        spec: RuleSpec,
        matcher: Matcher,
        deployed: u64,
        index: &mut Index<Routes>,
    ) -> Result<u32, Fault> {
        self.abandon(&spec.name);
        self.abandon(&spec.name);
        let alike =
            |before: &RuleSpec| !spec.reset_state && spec.backfill.is_none() && before.per == spec.per;
        let Some(before) = self.crew.named(&spec.name).filter(|rule| alike(&self.crew.get(*rule).spec))
        else {
            return Ok(self.deploy_fresh(spec, matcher, deployed));
        };
        let at = self.crew.get(before).guest;
        if self.groups[at as usize].rules().count() == 1 {
            self.replace(before, spec, matcher, deployed)?;
            return Ok(before);
        }
        let carried = self.pick(before, usize::MAX);
        let number = self.deploy_fresh(spec, matcher, deployed);
        self.carry(number, carried?, index);
        Ok(number)
    }

    /// A rule that has its guest to itself becomes another version: slots stay, and the states come from the guest before.
    fn replace(&mut self, number: u32, spec: RuleSpec, matcher: Matcher, deployed: u64) -> Result<(), Fault> {
        let at = self.crew.get(number).guest;
        self.save_before(at);
        self.save_keys_before(number);
        self.hand_over_all(at)?;
        let rule = self.crew.get_mut(number);
        let schema = rule.spec.schema;
        self.lookup.remove(number, &rule.matcher);
        self.lookup.add(number, &matcher);
        rule.renew(spec, matcher, deployed);
        let group = &mut self.groups[at as usize];
        group.unbound.clear();
        group.close_ranks(&mut self.crew);
        if let Some(guest) = group.guest.take() {
            group.baggage = Some(Baggage::old(schema, guest, group.slots.len(), group.next_wake));
            group.next_wake = Timestamp::NEVER;
            self.begin_carrying(at);
        }
        self.wakes.set(at, self.groups[at as usize].wake_at());
        Ok(())
    }

    fn begin_carrying(&mut self, at: u32) {
        if !self.carrying.contains(&at) {
            self.carrying.push(at);
        }
    }

    /// Whether states wait that could be handed over.
    pub fn is_carrying(&self, now: Timestamp) -> bool {
        self.carrying.iter().any(|at| {
            let mut rules = self.groups[*at as usize].rules();
            rules.all(|rule| self.crew.get(rule).health.quarantined(now).is_none())
        })
    }

    /// Whether no states wait but those of rules that are left alone.
    pub fn is_settled(&self, now: Timestamp) -> bool {
        let old = |at: &u32| self.groups[*at as usize].baggage.as_ref().is_some_and(Baggage::is_a_guests);
        !self.is_carrying(now) && !self.carrying.iter().any(old)
    }

    /// Hands over all states that a guest waits for, if it runs.
    fn hand_over_all(&mut self, at: u32) -> Result<(), Fault> {
        while self.groups[at as usize].baggage.is_some() && self.groups[at as usize].guest.is_some() {
            let mut slots = Vec::new();
            if let Some(baggage) = &mut self.groups[at as usize].baggage {
                baggage.next(Timestamp::NEVER, usize::MAX, &mut slots);
            }
            self.hand_over(at, &slots).map_err(|(_, fault)| fault)?;
        }
        Ok(())
    }

    /// Before a call: the guest is given the states of the keys that wait for it, of those that want to be woken, and of
    /// some more.
    pub(super) fn settle(&mut self, at: u32, scene: &Scene<'_>, step: &mut Step) -> Result<(), Broken> {
        let group = &mut self.groups[at as usize];
        let Some(baggage) = &mut group.baggage else { return Ok(()) };
        let mut slots: Vec<u32> = group.wanted.iter().map(|wanted| wanted.slot).collect();
        baggage.next(scene.now, MORE, &mut slots);
        slots.sort_unstable();
        slots.dedup();
        match self.hand_over(at, &slots) {
            Ok(()) => Ok(()),
            // The key begins anew; the rest is as it was.
            Err((Some(rule), fault)) if fault.kind == FaultKind::State => {
                self.trouble(rule, fault, None, scene, step);
                self.settle(at, scene, step)
            }
            Err((rule, fault)) => Err(Broken { fault, row: None, rule }),
        }
    }

    /// Hands over the states of the keys with these slots. What is wrong is told with the rule whose it is.
    fn hand_over(&mut self, at: u32, slots: &[u32]) -> Result<(), (Option<u32>, Fault)> {
        let group = &mut self.groups[at as usize];
        let (Some(baggage), Some(guest)) = (&mut group.baggage, &mut group.guest) else { return Ok(()) };
        let first = group.members.iter().copied().find(|rule| *rule != NOWHERE);
        let mut states = Vec::new();
        let asked = baggage.take(slots, &mut states);
        let schema = baggage.schema;
        if baggage.is_empty() {
            group.baggage = None;
            self.carrying.retain(|other| *other != at);
        }
        asked.map_err(|fault| (first, fault))?;
        for state in &mut states {
            if let Some(holder) = group.slots.holder(state.slot) {
                state.binding = self.crew.get(holder.rule).binding;
            }
        }
        let mut give = |states: &[KeyState]| guest.restore(schema, states);
        match give(&states) {
            Ok(next_wake) => group.next_wake = next_wake,
            Err(fault) if fault.kind == FaultKind::State => {
                // One of them does not fit: it is left out, and everybody else is not.
                let mut unfit = None;
                for state in &states {
                    match give(std::slice::from_ref(state)) {
                        Ok(next_wake) => group.next_wake = next_wake,
                        Err(fault) => {
                            let rule = group.slots.holder(state.slot).map(|holder| holder.rule);
                            unfit = Some((rule.or(first), fault));
                        }
                    }
                }
                return unfit.map_or(Ok(()), Err);
            }
            Err(fault) => return Err((first, fault)),
        }
        Ok(())
    }

    /// What the keys of a rule remember, of up to so many.
    pub fn pick(&mut self, number: u32, most: usize) -> Result<Vec<Carried>, Fault> {
        let at = self.crew.get(number).guest as usize;
        let slots: Vec<(u32, Holder)> = self.groups[at].slots.of(number).take(most).collect();
        self.pick_slots(number, &slots)
    }

    /// What one key of a rule remembers.
    pub fn pick_key(&mut self, number: u32, key: u64) -> Result<Option<Carried>, Fault> {
        let at = self.crew.get(number).guest as usize;
        let slot = self.groups[at].slots.of(number).find(|(_, holder)| holder.key == key);
        Ok(self.pick_slots(number, slot.as_slice())?.pop())
    }

    fn pick_slots(&mut self, number: u32, slots: &[(u32, Holder)]) -> Result<Vec<Carried>, Fault> {
        let rule = self.crew.get(number);
        let group = &mut self.groups[rule.guest as usize];
        let numbers: Vec<u32> = slots.iter().map(|(slot, _)| *slot).collect();
        let mut states = Vec::new();
        if let Some(baggage) = &mut group.baggage {
            baggage.look(&numbers, &mut states)?;
        }
        let waiting = group.baggage.as_ref();
        let there: Vec<u32> =
            numbers.into_iter().filter(|slot| waiting.is_none_or(|baggage| !baggage.has(*slot))).collect();
        if let Some(guest) = &mut group.guest {
            guest.pick(&there, &mut states)?;
        }
        states.sort_unstable_by_key(|state| state.slot);
        let schema = waiting.map_or(rule.spec.schema, |baggage| baggage.schema);
        let carried = states.into_iter().filter_map(|state| {
            let holder = group.slots.holder(state.slot)?;
            let wide = rule.keys.get(holder.place).filter(|_| !rule.is_narrow() && holder.place != NOWHERE);
            let KeyState { wakes, state, .. } = state;
            Some(Carried {
                state: SavedState { rule: rule.deployed, schema, key: holder.key, wakes, state },
                wide: wide.map(|key| key.saved(rule.deployed)),
            })
        });
        Ok(carried.collect())
    }

    /// Gives a rule that knows nothing yet what keys of another one remember.
    pub fn carry(&mut self, number: u32, carried: Vec<Carried>, index: &mut Index<Routes>) {
        let at = self.crew.get(number).guest;
        let before = self.groups[at as usize].baggage.as_ref().map(|baggage| baggage.schema);
        if let (Some(before), Some(first)) = (before, carried.first())
            && before != first.state.schema
        {
            // Those that share its guest were saved by another schema.
            self.part(number);
        }
        let rule = self.crew.get_mut(number);
        let at = rule.guest;
        if !carried.is_empty() && !std::mem::replace(&mut rule.bound, true) {
            self.groups[at as usize].unbound.push(number);
        }
        for Carried { state, wide } in carried {
            let Some(slot) = self.hold_saved(number, state.key, wide.as_ref(), index) else { continue };
            let binding = self.crew.get(number).binding;
            let group = &mut self.groups[at as usize];
            let schema = state.schema;
            group
                .baggage
                .get_or_insert_with(|| Baggage::kept(schema))
                .add(state.into_key_state(slot, binding));
        }
        self.ends.set(number, self.crew.get(number).keys.next_due());
        if self.groups[at as usize].baggage.is_some() {
            self.begin_carrying(at);
            self.wakes.set(at, self.groups[at as usize].wake_at());
        }
    }

    /// A slot for a key that was saved; none if there is no such stream.
    fn hold_saved(
        &mut self,
        number: u32,
        key: u64,
        wide: Option<&SavedKey>,
        index: &mut Index<Routes>,
    ) -> Option<u32> {
        let rule = self.crew.get_mut(number);
        let slots = &mut self.groups[rule.guest as usize].slots;
        if key == OVERFLOW {
            let holder = Holder { key, rule: number, place: NOWHERE };
            return Some(*rule.overflow.get_or_insert_with(|| slots.take(holder)));
        }
        if rule.is_narrow() {
            let stream = index.find(key)?;
            let slot = slots.take(Holder { key, rule: number, place: stream });
            rule.held += 1;
            let route = Route { rule: number, slot, life: rule.life, all: false, idle: false };
            let routes = &mut index.notes(stream).narrow;
            match routes.binary_search_by_key(&number, |route| route.rule) {
                Ok(at) => routes[at] = route,
                Err(at) => routes.insert(at, route),
            }
            return Some(slot);
        }
        let wide = wide?;
        let place = rule.keys.next_number();
        let slot = slots.take(Holder { key, rule: number, place });
        rule.keys.restore(wide, slot);
        Some(slot)
    }

    /// Takes back what was saved of the rules that are deployed.
    pub fn restore(&mut self, saved: &Saved, settings: &Settings, index: &mut Index<Routes>) {
        let rules: Vec<(u32, u64)> = self.crew.numbers();
        for (number, deployed) in rules {
            let all = (deployed, u64::MIN)..=(deployed, u64::MAX);
            let ours =
                saved.states.range(all).filter(|(name, _)| owner(name.1, settings.shards) == settings.number);
            let carried = ours
                .map(|(name, state)| Carried { state: state.clone(), wide: saved.keys.get(name).cloned() });
            let carried: Vec<Carried> = carried.collect();
            self.carry(number, carried, index);
            let health = saved.health.iter().filter(|health| health.rule == deployed);
            if let Some(health) = health.max_by_key(|health| (health.shard == settings.number, health.until))
            {
                self.crew.get_mut(number).health = health.into();
            }
        }
    }
}
