//! All deployed rules of a shard and their guests: who serves whom, what is due, and what happens when a call fails.
//!
//! A rule has a guest of its own, unless many rules of its module are deployed: beyond the first [`ALONE`], up to
//! [`TOGETHER`] of one kind share a guest, until one of them misbehaves. That one gets a guest of its own, so it cannot
//! do it to the others again.

use super::alarms::Alarms;
use super::crew::{Crew, Rule};
use super::effects::{self, Asked, Notice, Place, What};
use super::group::{Broken, Group, Scene, Source, Wanted};
use super::keys::{Holder, OVERFLOW, key_of};
use super::routes::{Here, Lookup, Routes, WideRoute};
use super::saving::Saving;
use super::{Lost, Settings, Step, Troubled};
use crate::guest::{Fault, FaultKind};
use crate::index::{self, Index, NOWHERE};
use crate::query::Matcher;
use crate::rule::{RuleSpec, Width};
use std::sync::Arc;
use tidegate_event::{Batch, BatchBuilder, Event, FieldSet, Reply, Row, Span, State, Timestamp};

/// Rules of one kind that have a guest of their own each, before further ones share.
pub const ALONE: usize = 16;
/// Rules that share a guest at most.
pub const TOGETHER: usize = 256;
/// A guest is handed at most so many events at once.
pub const CALL_ROWS: usize = 1024;
/// A key that is wider than a stream outlives its last stream by so much: it is still there to hear, as an event like any
/// other, that the stream has run out. Hearing that keeps it by no more than that.
const LINGER: Span = Span::secs(1);
/// How often a call is repeated in one step without the event that broke it, before the rest is given up.
const ATTEMPTS: usize = 4;

/// The deployed rules.
#[derive(Default)]
pub struct Deployed {
    /// By number.
    pub crew: Crew,
    /// By what they want.
    pub lookup: Lookup,
    pub(super) groups: Vec<Group>,
    free: Vec<u32>,
    /// Guests that have not been given yet what their keys remember.
    pub(super) carrying: Vec<u32>,
    /// The save that is being made.
    pub(super) saving: Option<Saving>,
    /// How many are keyed wider than a stream.
    pub wide: usize,
    /// Guests for which something waits.
    busy: Vec<u32>,
    /// When guests want to be woken.
    pub(super) wakes: Alarms,
    /// When the next key of a rule runs out.
    pub(super) ends: Alarms,
    /// Events that a rule is not to hear, by its name: the position and the row.
    pub(super) skip: Vec<(Arc<str>, u64, u32)>,
    // Used again for each event or call.
    reply: Reply,
    scratch: Vec<u32>,
    ways: Vec<WideRoute>,
}

impl Deployed {
    /// When time should move next for a rule's sake.
    pub fn next_due(&mut self, now: Timestamp) -> Timestamp {
        let first = |alarms: &mut Alarms| alarms.first().map_or(Timestamp::NEVER, |(at, _)| at);
        if self.is_carrying(now) {
            return now;
        }
        first(&mut self.wakes).min(first(&mut self.ends) + Span(1))
    }

    /// Deploys a rule that knows nothing, in place of the one with its name.
    pub fn deploy_fresh(&mut self, spec: RuleSpec, matcher: Matcher, deployed: u64) -> u32 {
        self.remove(&spec.name);
        self.enlist(Rule::new(spec, matcher, deployed), false)
    }

    /// Takes a rule in; one that is to be alone gets a guest that nobody else joins.
    pub fn enlist(&mut self, rule: Rule, alone: bool) -> u32 {
        let number = self.crew.add(rule);
        let rule = self.crew.get(number);
        self.wide += usize::from(!rule.is_narrow());
        self.lookup.add(number, &rule.matcher);
        let group = if alone { self.group(false) } else { self.group_for(number) };
        self.join(number, group);
        number
    }

    /// Takes a rule away with its candidate, and all that their keys remember.
    pub fn remove(&mut self, name: &str) {
        self.abandon(name);
        if let Some(number) = self.crew.named(name) {
            self.dismiss(number);
        }
    }

    /// Takes the rule with that number away, and all that its keys remember.
    pub fn dismiss(&mut self, number: u32) {
        self.save_before(self.crew.get(number).guest);
        self.save_keys_before(number);
        let rule = self.crew.get(number);
        self.wide -= usize::from(!rule.is_narrow());
        self.lookup.remove(number, &rule.matcher);
        self.ends.set(number, Timestamp::NEVER);
        self.leave(number);
        self.crew.remove(number);
    }

    /// The group that a new rule joins.
    fn group_for(&mut self, number: u32) -> u32 {
        let mut alone = 0;
        for (at, group) in self.groups.iter().enumerate() {
            let Some(member) = group.rules().next() else { continue };
            if !Group::fits(&self.crew.get(member).spec, &self.crew.get(number).spec) {
                continue;
            }
            if group.open && group.rules().count() < TOGETHER {
                return at as u32;
            }
            alone += usize::from(!group.open);
        }
        self.group(alone >= ALONE)
    }

    pub(super) fn group(&mut self, open: bool) -> u32 {
        match self.free.pop() {
            Some(group) => {
                self.groups[group as usize] = Group::new(open);
                group
            }
            None => {
                self.groups.push(Group::new(open));
                (self.groups.len() - 1) as u32
            }
        }
    }

    fn join(&mut self, number: u32, to: u32) {
        let group = &mut self.groups[to as usize];
        let binding = match group.members.iter().position(|rule| *rule == NOWHERE) {
            Some(binding) => binding,
            None => {
                group.members.push(NOWHERE);
                group.members.len() - 1
            }
        };
        group.members[binding] = number;
        let life = self.crew.next_life();
        let rule = self.crew.get_mut(number);
        (rule.guest, rule.binding) = (to, binding as u32);
        rule.begin_life(life);
    }

    /// A rule leaves its guest, which forgets it.
    fn leave(&mut self, number: u32) {
        let rule = self.crew.get(number);
        let (at, binding) = (rule.guest, rule.binding);
        let group = &mut self.groups[at as usize];
        let bound = rule.bound && !group.unbound.contains(&number);
        group.members[binding as usize] = NOWHERE;
        if let Some(baggage) = &mut group.baggage {
            group.slots.of(number).for_each(|(slot, _)| baggage.forget(slot));
        }
        group.slots.give_all(number);
        if group.guest.is_none() {
            group.close_ranks(&mut self.crew);
        }
        group.unbound.retain(|other| *other != number);
        let alone = group.rules().next().is_none();
        let forgot = match &mut group.guest {
            Some(guest) if bound && !alone => guest.unbind(binding).is_ok(),
            _ => true,
        };
        if alone {
            self.wakes.set(at, Timestamp::NEVER);
            self.groups[at as usize] = Group::new(false);
            self.carrying.retain(|other| *other != at);
            self.free.push(at);
        } else if !forgot {
            self.reset(at);
        }
    }

    /// Drops a guest. All that the keys of its rules remember goes with it.
    fn reset(&mut self, at: u32) {
        let group = &mut self.groups[at as usize];
        group.guest = None;
        group.baggage = None;
        self.carrying.retain(|other| *other != at);
        group.slots = Default::default();
        group.unbound.clear();
        group.next_wake = Timestamp::NEVER;
        group.members.retain(|rule| *rule != NOWHERE);
        self.wakes.set(at, Timestamp::NEVER);
        for (binding, number) in self.groups[at as usize].members.iter().enumerate() {
            let life = self.crew.next_life();
            let rule = self.crew.get_mut(*number);
            rule.begin_life(life);
            rule.binding = binding as u32;
            self.ends.set(*number, Timestamp::NEVER);
        }
    }

    /// An event of the shard's own stream lines up for the rules that want it.
    #[inline]
    pub fn line_up(
        &mut self,
        source: Source,
        event: &Event<'_>,
        stream: u32,
        index: &mut Index<Routes>,
        scene: &Scene<'_>,
        step: &mut Step,
    ) {
        let leaving = event.is_expired();
        if !self.lookup.holds(index.notes(stream)) {
            self.find_routes(stream, event, index, scene);
        }
        for at in 0..index.notes(stream).narrow.len() {
            let route = index.notes(stream).narrow[at];
            let rule = self.crew.get(route.rule);
            let held = route.life == rule.life && route.slot != NOWHERE;
            let asked = !(route.idle || rule.rests());
            let wanted = asked && (route.all || rule.matcher.matches_within(event));
            if !(wanted || leaving && held) {
                continue;
            }
            let slot =
                if held { Some(route.slot) } else { self.hold(route.rule, stream, event.key(), index) };
            let slot = match slot {
                Some(slot) => slot,
                None if leaving => continue,
                None => self.overflow(route.rule),
            };
            let wanted = Wanted { source, rule: route.rule, slot, stream, leaving };
            self.want(wanted, event.key(), event, index, scene, step);
        }
    }

    #[cold]
    fn find_routes(&mut self, stream: u32, event: &Event<'_>, index: &mut Index<Routes>, scene: &Scene<'_>) {
        let crew = &self.crew;
        self.lookup.find(index.notes(stream), event, here(scene), |rule| crew.wish(rule));
    }

    /// An event of a stream for which the index has no room: rules that are keyed by stream count it under their overflow
    /// key.
    pub fn line_up_overflow(
        &mut self,
        source: Source,
        event: &Event<'_>,
        index: &mut Index<Routes>,
        scene: &Scene<'_>,
        step: &mut Step,
    ) {
        let mut found = std::mem::take(&mut self.scratch);
        found.clear();
        found.extend(self.lookup.candidates(event));
        found.sort_unstable();
        for number in &found {
            let rule = self.crew.get(*number);
            if !rule.is_narrow() || rule.rests() || !rule.matcher.matches(event) {
                continue;
            }
            let slot = self.overflow(*number);
            let wanted = Wanted { source, rule: *number, slot, stream: NOWHERE, leaving: false };
            self.want(wanted, OVERFLOW, event, index, scene, step);
        }
        self.scratch = found;
    }

    /// An event lines up for the rules that are keyed wider and whose key is ours. `stream` is its number, if it is in the
    /// index.
    pub fn line_up_wide(
        &mut self,
        source: Source,
        event: &Event<'_>,
        stream: Option<u32>,
        index: &mut Index<Routes>,
        scene: &Scene<'_>,
        step: &mut Step,
    ) {
        let here = here(scene);
        let mut routes = std::mem::take(&mut self.ways);
        routes.clear();
        match stream {
            Some(stream) => {
                if !self.lookup.holds(index.notes(stream)) {
                    self.find_routes(stream, event, index, scene);
                }
                routes.extend(index.notes(stream).wide.iter().flatten());
            }
            None => {
                let crew = &self.crew;
                routes.extend(self.lookup.elsewhere(event, here, |rule| crew.wish(rule)));
            }
        }
        for route in &routes {
            let rule = self.crew.get(route.rule);
            if rule.rests() || !(route.all || rule.matcher.matches_within(event)) {
                continue;
            }
            let key = route.key.unwrap_or_else(|| key_of(&rule.spec.per, event, here.seed));
            if super::owner(key, here.shards) != here.number {
                continue;
            }
            let slot = self.hold_wide(route.rule, key, event, scene);
            let wanted = Wanted { source, rule: route.rule, slot, stream: NOWHERE, leaving: false };
            self.want(wanted, key, event, index, scene, step);
        }
        self.ways = routes;
    }

    /// Whether any rule that is keyed wider, here or elsewhere, wants an event.
    pub fn wanted_wide(&self, event: &Event<'_>) -> bool {
        self.wide > 0
            && self.lookup.candidates(event).any(|number| {
                let rule = self.crew.get(number);
                !rule.is_narrow() && !rule.rests() && rule.matcher.matches(event)
            })
    }

    /// Gives a stream a slot in a rule's guest; `None` when the rule has as many keys as it may.
    #[cold]
    fn hold(&mut self, number: u32, stream: u32, key: u64, index: &mut Index<Routes>) -> Option<u32> {
        let rule = self.crew.get_mut(number);
        if rule.key_count() >= u64::from(rule.spec.limits.keys) {
            return None;
        }
        rule.held += 1;
        let life = rule.life;
        let slots = &mut self.groups[rule.guest as usize].slots;
        let slot = slots.take(Holder { key, rule: number, place: stream });
        let routes = &mut index.notes(stream).narrow;
        if let Ok(at) = routes.binary_search_by_key(&number, |route| route.rule) {
            (routes[at].slot, routes[at].life) = (slot, life);
        }
        Some(slot)
    }

    /// The slot of a wider key, new if need be.
    fn hold_wide(&mut self, number: u32, key: u64, event: &Event<'_>, scene: &Scene<'_>) -> u32 {
        let rule = self.crew.get_mut(number);
        let expires = match rule.spec.per {
            Width::Whole => Timestamp::NEVER,
            _ if event.is_expired() => scene.now + LINGER,
            _ => index::expires(event, scene.now, scene.settings.default_ttl) + LINGER,
        };
        let slot = match rule.keys.touch(key, expires) {
            Some(place) => rule.keys.get(place).map_or(0, |key| key.slot),
            None if rule.key_count() >= u64::from(rule.spec.limits.keys) => return self.overflow(number),
            None => {
                let place = rule.keys.next_number();
                let slots = &mut self.groups[rule.guest as usize].slots;
                let slot = slots.take(Holder { key, rule: number, place });
                rule.keys.add(key, slot, &rule.spec.per, event, expires);
                slot
            }
        };
        self.ends.set(number, self.crew.get(number).keys.next_due());
        slot
    }

    /// The slot of a rule's overflow key: what has no room for a key of its own is counted there, so that totals stay
    /// right.
    #[cold]
    fn overflow(&mut self, number: u32) -> u32 {
        self.crew.count(number).over += 1;
        let rule = self.crew.get_mut(number);
        let slots = &mut self.groups[rule.guest as usize].slots;
        let holder = Holder { key: OVERFLOW, rule: number, place: NOWHERE };
        *rule.overflow.get_or_insert_with(|| slots.take(holder))
    }

    /// Puts an event in line; hands over the line when it is long enough.
    #[inline]
    fn want(
        &mut self,
        wanted: Wanted,
        key: u64,
        event: &Event<'_>,
        index: &mut Index<Routes>,
        scene: &Scene<'_>,
        step: &mut Step,
    ) {
        if !self.skip.is_empty() && self.is_skipped(wanted, step.position) {
            return;
        }
        let at = self.put(wanted, key, event);
        if self.groups[at as usize].wanted.len() >= CALL_ROWS && matches!(wanted.source, Source::Row(_)) {
            self.call(at, index, scene, step);
        }
    }

    #[cold]
    fn is_skipped(&self, wanted: Wanted, position: u64) -> bool {
        let name = &self.crew.get(wanted.rule).name;
        let skipped =
            |row: u32| self.skip.iter().any(|skip| (&skip.0, skip.1, skip.2) == (name, position, row));
        wanted.source.row().is_some_and(skipped)
    }

    /// Puts an event in line, and says in whose.
    #[inline]
    fn put(&mut self, wanted: Wanted, key: u64, event: &Event<'_>) -> u32 {
        let rule = self.crew.get_mut(wanted.rule);
        let (at, binding, fields) = (rule.guest, rule.binding, rule.fields);
        let group = &mut self.groups[at as usize];
        if !rule.bound {
            rule.bound = true;
            group.unbound.push(wanted.rule);
        }
        if group.wanted.is_empty() {
            self.busy.push(at);
        }
        group.push(wanted, event, key, binding, fields);
        at
    }

    /// Puts the goodbyes of keys in line whose time has run out, with an event for each.
    pub fn end_keys(&mut self, now: Timestamp, limit: usize, ended: &mut BatchBuilder) -> Vec<Wanted> {
        let mut leaving = Vec::new();
        while let Some((_, number)) = self.ends.first().filter(|(at, _)| *at < now)
            && leaving.len() < limit
        {
            let rule = self.crew.get_mut(number);
            if let Some(key) = rule.keys.next_expired(now).and_then(|place| rule.keys.get(place)) {
                let host = key.host.as_deref().map(|text| ended.push_string(text));
                let service = key.service.as_deref().map(|text| ended.push_string(text));
                let row = Row {
                    time: now,
                    key: key.id,
                    host,
                    service,
                    state: Some(ended.push_string(State::Expired.as_str().as_bytes())),
                    state_code: State::Expired,
                    reaped: true,
                    ..Default::default()
                };
                let source = Source::Ended(ended.len() as u32);
                leaving.push(Wanted { source, rule: number, slot: key.slot, stream: NOWHERE, leaving: true });
                ended.push_row(&row);
            }
            self.ends.set(number, self.crew.get(number).keys.next_due());
        }
        leaving
    }

    /// Puts those goodbyes in line.
    pub fn line_up_ended(
        &mut self,
        leaving: Vec<Wanted>,
        index: &mut Index<Routes>,
        scene: &Scene<'_>,
        step: &mut Step,
    ) {
        for wanted in leaving {
            let event = scene.event(wanted.source);
            self.want(wanted, event.key(), &event, index, scene, step);
        }
    }

    /// Calls every guest for which something waits or which wants to be woken.
    pub fn call_all(&mut self, index: &mut Index<Routes>, scene: &Scene<'_>, step: &mut Step) {
        let mut due = std::mem::take(&mut self.busy);
        while let Some((_, group)) = self.wakes.first().filter(|(at, _)| *at <= scene.now) {
            // It is set anew by the call.
            self.wakes.set(group, Timestamp::NEVER);
            due.push(group);
        }
        due.extend_from_slice(&self.carrying);
        due.sort_unstable();
        due.dedup();
        for at in due.drain(..) {
            self.call(at, index, scene, step);
        }
        // Rules that a fault has moved to a guest of their own.
        while let Some(at) = self.busy.pop() {
            self.call(at, index, scene, step);
        }
        self.busy = due;
        step.counts = self.crew.take_counts();
    }

    /// Hands over what waits, or just the time, and takes the effects. A call that fails is repeated by a fresh guest
    /// without the event that broke it: the state of its keys is lost with the old one, the other events are not.
    fn call(&mut self, at: u32, index: &mut Index<Routes>, scene: &Scene<'_>, step: &mut Step) {
        for _ in 0..ATTEMPTS {
            let group = &mut self.groups[at as usize];
            let woke = group.wake_at() <= scene.now;
            let idle = group.wanted.is_empty() && !woke;
            if group.rules().next().is_none() || idle && group.baggage.is_none() {
                return;
            }
            let quarantined = |rule: u32| self.crew.get(rule).health.quarantined(scene.now).is_some();
            if group.rules().any(quarantined) {
                break;
            }
            let outcome = match self.start(at, index, scene).and_then(|()| self.settle(at, scene, step)) {
                Ok(()) if idle => return,
                Ok(()) => {
                    let group = &mut self.groups[at as usize];
                    group.attempt(&mut self.crew, &mut self.reply, index, scene, step)
                }
                Err(broken) => Err(broken),
            };
            let Err(broken) = outcome else {
                self.wakes.set(at, self.groups[at as usize].wake_at());
                return self.good(at, scene, step);
            };
            let started = broken.fault.kind != FaultKind::Start;
            let knows = broken.row.is_some();
            self.mend(at, broken, index, scene, step);
            // It may have broken over a wake; those went with the old guest.
            if !(knows || started && woke || self.groups[at as usize].rules().count() > 1) {
                break;
            }
        }
        let group = &mut self.groups[at as usize];
        // Keys end all the same: nobody is there who would have to forget them.
        if group.guest.is_none() {
            group.take_leave(&mut self.crew);
        }
        for wanted in group.take_wanted() {
            self.crew.count(wanted.rule).skipped += 1;
        }
    }

    /// A call went well: whoever was on probation has passed.
    fn good(&mut self, at: u32, scene: &Scene<'_>, step: &mut Step) {
        let group = &self.groups[at as usize];
        if let [number] = group.members[..]
            && self.crew.get_mut(number).health.good()
        {
            let text = format!("rule {} runs again", self.crew.get(number).name);
            notice(self.crew.get(number), State::Ok, &text, scene, step);
        }
    }

    /// Starts a guest if there is none, and makes it know the rules for which something waits.
    fn start(&mut self, at: u32, index: &mut Index<Routes>, scene: &Scene<'_>) -> Result<(), Broken> {
        let group = &mut self.groups[at as usize];
        if group.guest.is_none() {
            let Some(first) = group.rules().next() else { return Ok(()) };
            let blame = |fault| Broken { fault, row: None, rule: Some(first) };
            group.guest = Some(scene.guests.start(&self.crew.get(first).spec).map_err(blame)?);
            self.crew.get_mut(first).bound = true;
            group.unbound.retain(|rule| *rule != first);
        }
        let Some(guest) = &mut group.guest else { return Ok(()) };
        // One that the guest does not take in gets a guest of its own, and there it shows whose fault that was.
        let mut strangers = Vec::new();
        for number in group.unbound.drain(..) {
            let rule = self.crew.get(number);
            if guest.bind(rule.binding, &rule.spec).is_err() {
                self.crew.get_mut(number).bound = false;
                strangers.push(number);
            }
        }
        if !strangers.is_empty() {
            let waiting = group.take_wanted();
            strangers.into_iter().for_each(|number| self.part(number));
            waiting.into_iter().for_each(|wanted| self.line_up_again(wanted, index, scene));
        }
        Ok(())
    }

    /// After a fault: the guest is gone, whoever is to blame gets one of its own, and what waited lines up again.
    fn mend(
        &mut self,
        at: u32,
        broken: Broken,
        index: &mut Index<Routes>,
        scene: &Scene<'_>,
        step: &mut Step,
    ) {
        let Broken { fault, row, rule } = broken;
        self.save_without(at, &fault);
        let group = &mut self.groups[at as usize];
        let mut waiting = group.take_wanted();
        let first = waiting.iter().filter_map(|wanted| wanted.source.row()).min();
        let poison = row.map(|row| waiting.remove(row).source);
        let event = poison.map(|source| scene.event(source));
        let members: Vec<u32> = group.rules().collect();
        // A call that took too long or too much memory might not do so when it is repeated, or cost as much once more.
        let repeatable = matches!(fault.kind, FaultKind::Trap | FaultKind::Output | FaultKind::Reply);
        let lost = scene.settings.rebuild && group.guest.is_some() && repeatable && row.is_some();
        self.reset(at);
        if lost {
            // Whoever rebuilds them reads these events again, from the log.
            waiting.clear();
            for number in &members {
                let by = rule.is_none_or(|culprit| culprit == *number);
                let poison = poison.and_then(Source::row).filter(|_| by);
                let rule = self.crew.get_mut(*number);
                rule.away = true;
                let (rule, shard) = (rule.name.clone(), scene.settings.number);
                step.lost.push(Lost { rule, shard, poison, first: first.unwrap_or(0), backfill: None });
            }
        }
        match rule {
            Some(rule) => {
                self.trouble(rule, fault, event, scene, step);
                if members.len() > 1 {
                    self.part(rule);
                }
            }
            // Nobody knows who it was: from now on it shows.
            None => {
                if let Some(first) = members.first() {
                    let shared =
                        format!(" (in a guest shared by {} rules, which have one each now)", members.len());
                    let fault = Fault { message: fault.message.clone() + &shared, ..fault };
                    self.trouble(*first, fault, event, scene, step);
                }
                members.iter().skip(1).for_each(|rule| self.part(*rule));
            }
        }
        for wanted in waiting {
            self.line_up_again(wanted, index, scene);
        }
    }

    /// A rule gets a guest of its own.
    pub(super) fn part(&mut self, number: u32) {
        self.leave(number);
        let group = self.group(false);
        self.join(number, group);
    }

    /// Puts an event in line once more, for a guest that knows nothing.
    fn line_up_again(&mut self, wanted: Wanted, index: &mut Index<Routes>, scene: &Scene<'_>) {
        let event = scene.event(wanted.source);
        let rule = self.crew.get(wanted.rule);
        let (mut key, mut slot) = (OVERFLOW, None);
        if rule.is_narrow() && wanted.stream != NOWHERE {
            key = event.key();
            let routes = &index.notes(wanted.stream).narrow;
            let route = routes.iter().find(|route| route.rule == wanted.rule);
            slot = route.filter(|route| route.life == rule.life).map(|route| route.slot);
            if slot.is_none() {
                slot = self.hold(wanted.rule, wanted.stream, key, index);
            }
        } else if !rule.is_narrow() {
            if wanted.leaving {
                // The key has gone with the guest: there is nobody to say goodbye to.
                return;
            }
            key = key_of(&rule.spec.per, &event, scene.settings.seed);
            slot = Some(self.hold_wide(wanted.rule, key, &event, scene));
        }
        let slot = match slot {
            Some(slot) => slot,
            None if wanted.leaving => return,
            None => self.overflow(wanted.rule),
        };
        self.put(Wanted { slot, ..wanted }, key, &event);
    }

    /// Notes a fault, and leaves the rule alone for a while when that has happened too often.
    pub(super) fn trouble(
        &mut self,
        number: u32,
        fault: Fault,
        event: Option<Event<'_>>,
        scene: &Scene<'_>,
        step: &mut Step,
    ) {
        let rule = self.crew.get_mut(number);
        let back_off = rule.health.fault(scene.now);
        if let Some(back_off) = back_off {
            let text =
                format!("rule {} is left alone for {back_off} after repeated faults: {fault}", rule.name);
            notice(rule, State::Critical, &text, scene, step);
        }
        step.troubled.push(Troubled {
            rule: rule.name.clone(),
            fault,
            event: event.map(|event| alone(&event)),
            at: scene.now,
            quarantined_until: back_off.map(|back_off| scene.now + back_off),
        });
        self.crew.count(number).faults += 1;
    }

    /// A rule that cannot start is reported when it is deployed, not when its first event comes.
    pub fn try_start(&mut self, number: u32, scene: &Scene<'_>, step: &mut Step) {
        if let Err(fault) = scene.guests.ready(&self.crew.get(number).spec) {
            self.trouble(number, fault, None, scene, step);
        }
    }
}

/// An event as a batch of its own.
fn alone(event: &Event<'_>) -> Batch {
    let mut one = BatchBuilder::new();
    one.copy(event, FieldSet::ALL, |_| ());
    one.finish()
}

fn here(scene: &Scene<'_>) -> Here {
    let Settings { number, shards, seed, .. } = *scene.settings;
    Here { number, shards, seed }
}

/// Puts an event about a rule itself into the stream.
fn notice(rule: &Rule, state: State, text: &str, scene: &Scene<'_>, step: &mut Step) {
    let service = format!("tidegate rule {}", rule.name);
    let notice = Notice {
        host: &scene.settings.node,
        service: &service,
        state,
        description: text,
        metric: None,
        time: scene.now,
    };
    let at = effects::moment(scene.now);
    let place = Place { phase: 0, at, rule: rule.deployed, key: 0, n: u32::MAX };
    let event = step.events.len() as u32;
    step.asked.push(Asked { place, rule: rule.name.clone(), what: What::Emit, event });
    notice.build(&mut step.events);
}
