//! What runs a pipeline for one key: memories of its stages, copies of them for each fork of a `by`, and the moments for which
//! they wait.
//!
//! An item goes through the stages depth first, in the order in which they are written, before the next one comes. Moments
//! come in their order; of equal ones by the number of the copy, which a new one takes over from one that was let go, then
//! the stage that stands last.

use crate::func::Stop;
use crate::keep::Memory;
use crate::plan::{By, ForkId, Kind, NodeId, Plan};
use crate::run::{Clock, Item, Number, Pass};
use crate::value::{Fact, Name, Value};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_sdk::{Field, Level, Out, Outputs, Sending, Timestamp};

/// What one key remembers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// The pipeline that it was last run by.
    plan: u64,
    /// The first is what no `by` copies.
    copies: Vec<Option<Copy>>,
    /// Events that found no room for a fork of their own.
    crowded: u64,
    /// Items that a stage could not use.
    refused: u64,
    /// Values for which stages found no room.
    #[serde(default)]
    left_out: u64,
    #[serde(skip)]
    timers: BTreeSet<(Timestamp, usize, usize)>,
    #[serde(skip)]
    free: BTreeSet<usize>,
    #[serde(skip)]
    ready: bool,
    #[serde(skip)]
    key: String,
}

/// The memories of the stages that one `by` copies, for one key.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Copy {
    /// The id of the `by`; 0 for the first.
    by: u64,
    within: usize,
    key: String,
    started: Timestamp,
    last: Timestamp,
    /// By the id of the stage.
    memories: Vec<(u64, Memory)>,
    /// The copies that stages in this one have opened, by the `by` and by key.
    opened: Vec<(u64, BTreeMap<String, usize>)>,
    #[serde(skip)]
    fork: ForkId,
    /// For each memory the moment that it is woken at; for the copy itself the moment at which it may be let go.
    #[serde(skip)]
    due: Vec<Timestamp>,
}

/// The key of the fork that all share who found no room.
const CROWD: &str = "\u{0}";

/// What a call is about.
pub struct Call<'a, 'e, 'o> {
    pub plan: &'a Plan,
    pub outputs: &'a Outputs,
    pub clock: Clock<'a, 'e>,
    pub out: &'a mut Out<'o>,
}

impl Machine {
    /// The event that came.
    pub fn event(&mut self, call: &mut Call<'_, '_, '_>) {
        if self.copies.is_empty() {
            let now = call.clock.now;
            // Vectors grow by four; with very many keys that is most of the memory.
            self.copies = Vec::with_capacity(1);
            self.copies.push(Some(Copy { started: now, last: now, ..Copy::default() }));
        }
        self.prepare(call.plan);
        if let Some(entry) = call.plan.entry {
            self.run(entry, 0, Item::Row(Number::Kept), call);
        }
        call.out.wake_at(self.next());
    }

    /// Time has come to this moment.
    pub fn wake(&mut self, call: &mut Call<'_, '_, '_>) {
        self.prepare(call.plan);
        while let Some(&(due, copy, slot)) = self.timers.first() {
            if due > call.clock.now {
                break;
            }
            self.timers.pop_first();
            let Some(found) = self.copies[copy].as_mut() else { continue };
            found.due[slot] = Timestamp::NEVER;
            let fork = &call.plan.forks[found.fork];
            let Some(&node) = fork.nodes.get(slot) else {
                // It may have heard something since this moment was noted.
                if fork.idle.is_some_and(|idle| found.last + idle <= due) {
                    self.tell_all(copy, call);
                    self.let_go(copy);
                } else {
                    self.schedule(copy, slot, call.plan);
                }
                continue;
            };
            let Kind::Keep(recipe) = &call.plan.nodes[node].kind else { continue };
            let now = std::mem::replace(&mut call.clock.now, due);
            let mut pass = Pass::default();
            let woken = found.memories[slot].1.wake(recipe, &call.clock, &mut pass);
            self.told(woken, node, call);
            self.schedule(copy, slot, call.plan);
            self.pass_on(node, copy, pass, call);
            call.clock.now = now;
        }
        call.out.wake_at(self.next());
    }

    /// The key ends: what its stages hold back is told now.
    pub fn end(&mut self, call: &mut Call<'_, '_, '_>) {
        self.prepare(call.plan);
        self.tell_all(0, call);
    }

    /// Tells what a copy and those within it hold back, as if its time had come. A stage that passes on comes before those that
    /// it passes on to.
    fn tell_all(&mut self, top: usize, call: &mut Call<'_, '_, '_>) {
        let plan = call.plan;
        for node in (0..plan.nodes.len()).rev() {
            if matches!(&plan.nodes[node].kind, Kind::Keep(recipe) if recipe.holds_back()) {
                for copy in self.family(top) {
                    self.tell_held(node, copy, call);
                }
            }
        }
    }

    /// A copy and those within it.
    fn family(&self, top: usize) -> BTreeSet<usize> {
        let (mut all, mut waiting) = (BTreeSet::new(), vec![top]);
        while let Some(at) = waiting.pop() {
            let Some(copy) = self.copies.get(at).and_then(Option::as_ref) else { continue };
            all.insert(at);
            waiting.extend(copy.opened.iter().flat_map(|(_, opened)| opened.values()));
        }
        all
    }

    /// Tells what a stage holds back in this copy, if it is that copy's and holds something.
    fn tell_held(&mut self, node: NodeId, copy: usize, call: &mut Call<'_, '_, '_>) {
        let stage = &call.plan.nodes[node];
        let Kind::Keep(recipe) = &stage.kind else { return };
        let Some(found) = self.copies[copy].as_mut().filter(|copy| copy.fork == stage.fork) else { return };
        let due = found.due[stage.memory];
        if due == Timestamp::NEVER {
            return;
        }
        let now = std::mem::replace(&mut call.clock.now, due);
        let mut pass = Pass::default();
        let woken = found.memories[stage.memory].1.wake(recipe, &call.clock, &mut pass);
        call.clock.now = now;
        self.told(woken, node, call);
        self.schedule(copy, stage.memory, call.plan);
        self.pass_on(node, copy, pass, call);
    }

    fn next(&self) -> Timestamp {
        self.timers.first().map_or(Timestamp::NEVER, |(due, _, _)| *due)
    }

    fn prepare(&mut self, plan: &Plan) {
        if !self.ready || self.plan != plan.id {
            self.adapt(plan);
        }
    }

    /// Makes what is remembered fit a pipeline: after it was read back, and when the pipeline is another. Stages that are
    /// written as before keep what they remember.
    fn adapt(&mut self, plan: &Plan) {
        let opens: BTreeMap<u64, ForkId> =
            plan.nodes.iter().filter_map(|node| Some((node.id, node.kind.opens()?))).collect();
        let mut old = std::mem::take(&mut self.copies);
        self.copies = Vec::with_capacity(old.len());
        self.copies.resize_with(old.len(), || None);
        // A copy comes after the one around it.
        let mut waiting = vec![(0, 0)];
        while let Some((at, fork)) = waiting.pop() {
            let Some(mut copy) = old.get_mut(at).and_then(Option::take) else { continue };
            copy.fork = fork;
            let mut kept: Vec<Option<(u64, Memory)>> =
                std::mem::take(&mut copy.memories).into_iter().map(Some).collect();
            copy.memories = Vec::with_capacity(plan.forks[fork].nodes.len());
            for &node in &plan.forks[fork].nodes {
                let node = &plan.nodes[node];
                let Kind::Keep(recipe) = &node.kind else { continue };
                let found = kept.iter_mut().find(|kept| kept.as_ref().is_some_and(|(id, _)| *id == node.id));
                let fresh = || (node.id, Memory::fresh(recipe, copy.started));
                copy.memories.push(found.and_then(Option::take).unwrap_or_else(fresh));
            }
            copy.due = vec![Timestamp::NEVER; copy.memories.len() + 1];
            copy.opened
                .retain(|(by, _)| opens.get(by).is_some_and(|inner| plan.forks[*inner].within == fork));
            for (by, inner) in &copy.opened {
                waiting.extend(inner.values().map(|at| (*at, opens[by])));
            }
            self.copies[at] = Some(copy);
        }
        self.free = (0..self.copies.len()).filter(|copy| self.copies[*copy].is_none()).collect();
        self.timers.clear();
        self.plan = plan.id;
        self.ready = true;
        for at in 0..self.copies.len() {
            let slots = self.copies[at].as_ref().map_or(0, |copy| copy.due.len());
            (0..slots).for_each(|slot| self.schedule(at, slot, plan));
        }
    }

    /// Notes when a memory is to be woken, or a copy may be let go.
    fn schedule(&mut self, at: usize, slot: usize, plan: &Plan) {
        let Some(copy) = self.copies[at].as_mut() else { return };
        let fork = &plan.forks[copy.fork];
        let due = match fork.nodes.get(slot).map(|node| &plan.nodes[*node].kind) {
            Some(Kind::Keep(recipe)) => copy.memories[slot].1.due(recipe),
            _ => fork.idle.map_or(Timestamp::NEVER, |idle| copy.last + idle),
        };
        let before = std::mem::replace(&mut copy.due[slot], due);
        if before != due {
            self.timers.remove(&(before, at, slot));
            if due != Timestamp::NEVER {
                self.timers.insert((due, at, slot));
            }
        }
    }

    /// Lets a copy go, and those within it.
    fn let_go(&mut self, at: usize) {
        let Some(copy) = self.copies[at].take() else { return };
        for (slot, due) in copy.due.iter().enumerate() {
            self.timers.remove(&(*due, at, slot));
        }
        if let Some(within) = self.copies[copy.within].as_mut()
            && let Some((_, opened)) = within.opened.iter_mut().find(|(by, _)| *by == copy.by)
        {
            opened.remove(&copy.key);
        }
        for (_, opened) in copy.opened {
            opened.into_values().for_each(|inner| self.let_go(inner));
        }
        self.free.insert(at);
    }

    /// Sends an item through the pipeline from a stage on.
    fn run(&mut self, mut node: NodeId, mut copy: usize, mut item: Item, call: &mut Call<'_, '_, '_>) {
        loop {
            let stage = &call.plan.nodes[node];
            copy = self.home(stage.fork, copy);
            let port = match &stage.kind {
                Kind::Where(pred) => usize::from(!pred.holds(&item, &call.clock)),
                Kind::Split(preds) => {
                    1 + preds.iter().position(|pred| pred.holds(&item, &call.clock)).unwrap_or(preds.len())
                }
                Kind::Splitp { f, tests, wants_number, default } => {
                    let found = match item.apply(f, &call.clock) {
                        Ok(value) if *wants_number && value.number().is_none() => {
                            Err("a number was expected")
                        }
                        Ok(value) => match tests.iter().position(|test| test.holds(&value, &call.clock)) {
                            None if !default => Err("no clause fits, and there is no `else`"),
                            found => Ok(1 + found.unwrap_or(tests.len())),
                        },
                        Err(stop) => Err(stop),
                    };
                    match found {
                        Ok(port) => port,
                        Err(stop) => return self.told(Err(stop), node, call),
                    }
                }
                Kind::Each => {
                    for port in (1..stage.ports.len()).filter_map(|port| stage.ports[port]) {
                        self.run(port, copy, item.clone(), call);
                    }
                    return;
                }
                Kind::Dual(pred) => {
                    self.dual(node, pred.holds(&item, &call.clock), copy, item, call);
                    return;
                }
                Kind::By(by) => {
                    copy = self.fork(stage.id, by, copy, &item, call);
                    0
                }
                Kind::Map(map) => {
                    let mut pass = Pass::default();
                    let told = map.step(item, &call.clock, &mut pass);
                    self.told(told, node, call);
                    match pass.only() {
                        Ok(passed) => item = passed,
                        Err(pass) => return self.pass_on(node, copy, pass, call),
                    }
                    0
                }
                Kind::Keep(recipe) => {
                    let Some(found) = self.copies[copy].as_mut() else { return };
                    let mut pass = Pass::default();
                    let started = found.started;
                    let told =
                        found.memories[stage.memory].1.step(recipe, started, item, &call.clock, &mut pass);
                    self.told(told, node, call);
                    self.left_out += pass.left_out;
                    self.schedule(copy, stage.memory, call.plan);
                    match pass.only() {
                        Ok(passed) => item = passed,
                        Err(pass) => return self.pass_on(node, copy, pass, call),
                    }
                    0
                }
                Kind::To { output, json } => {
                    let output = call.outputs.named(&call.plan.outputs[*output]);
                    send(call.out.to(output), &item, *json, &call.clock);
                    0
                }
                Kind::Emit => {
                    match &item {
                        Item::Own(Value::List(list)) => {
                            list.iter().for_each(|value| tell(call.out.emit(), value, false, call.clock.now));
                        }
                        item => send(call.out.emit(), item, false, &call.clock),
                    }
                    0
                }
                Kind::Log(level) => {
                    let text = item.with(&call.clock, Value::to_json);
                    call.out.log(*level, format_args!("{text}"));
                    0
                }
            };
            match stage.ports.get(port).copied().flatten() {
                Some(next) => node = next,
                None => return,
            }
        }
    }

    /// The copy around this one that a stage belongs to.
    fn home(&self, fork: ForkId, mut copy: usize) -> usize {
        while let Some(found) = &self.copies[copy] {
            if found.fork == fork || copy == 0 {
                break;
            }
            copy = found.within;
        }
        copy
    }

    fn pass_on(&mut self, node: NodeId, copy: usize, pass: Pass, call: &mut Call<'_, '_, '_>) {
        for (port, item) in pass.all() {
            if let Some(next) = call.plan.nodes[node].ports.get(port).copied().flatten() {
                self.run(next, copy, item, call);
            }
        }
    }

    fn told(&mut self, told: Result<(), Stop>, node: NodeId, call: &mut Call<'_, '_, '_>) {
        if let Err(expected) = told {
            self.refused += 1;
            call.out.log(Level::Warning, format_args!("{}: {expected}", call.plan.nodes[node].at));
        }
    }

    /// One branch gets the item, the other a stub of it; what has expired goes to both.
    fn dual(&mut self, node: NodeId, holds: bool, copy: usize, item: Item, call: &mut Call<'_, '_, '_>) {
        let expired = item.expired(&call.clock);
        let now = call.clock.now;
        let stub = item.is_event().then(|| {
            let (host, service) = item.stream(&call.clock);
            Item::Own(Value::Fact(Box::new(Fact { host, service, ..Fact::default() }.stub(now))))
        });
        let (whole, other) = if holds { (1, 2) } else { (2, 1) };
        // The side that it leaves hears of it first.
        let both = if expired {
            [(1, Some(item.clone())), (2, Some(item))]
        } else {
            [(other, stub), (whole, Some(item))]
        };
        for (port, item) in both {
            if let (Some(next), Some(item)) = (call.plan.nodes[node].ports[port], item) {
                self.run(next, copy, item, call);
            }
        }
    }

    /// The copy for the item's key, made if there is none.
    fn fork(&mut self, id: u64, by: &By, copy: usize, item: &Item, call: &Call<'_, '_, '_>) -> usize {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        for field in &by.fields {
            match (field, item, call.clock.event) {
                (crate::func::Func::Field(Name::Standard(Field::Host)), Item::Row(_), Some(event)) => {
                    part(&mut key, event.host());
                }
                (crate::func::Func::Field(Name::Standard(Field::Service)), Item::Row(_), Some(event)) => {
                    part(&mut key, event.service());
                }
                _ => match item.apply(field, &call.clock) {
                    Ok(Value::Null) | Err(_) => part(&mut key, None),
                    Ok(Value::Text(text)) => part(&mut key, Some(&text)),
                    Ok(other) => {
                        // A number is not the text that looks like it.
                        key.push('\u{1d}');
                        part(&mut key, Some(&other.to_json()));
                    }
                },
            }
        }
        let now = call.clock.now;
        let found = self.find(id, copy, &key).or_else(|| {
            let open =
                self.copies[copy].as_ref().and_then(|copy| copy.opened.iter().find(|(by, _)| *by == id));
            // The fork that all share is none of anybody's own.
            let own =
                |opened: &BTreeMap<String, usize>| opened.len() - usize::from(opened.contains_key(CROWD));
            if open.is_some_and(|(_, opened)| own(opened) >= by.limit) {
                self.crowded += 1;
                CROWD.clone_into(&mut key);
                return self.find(id, copy, CROWD);
            }
            None
        });
        let at = found.unwrap_or_else(|| self.open(id, by.opens, copy, key.clone(), now, call.plan));
        self.key = key;
        if let Some(copy) = self.copies[at].as_mut() {
            copy.last = now;
        }
        at
    }

    fn find(&self, id: u64, copy: usize, key: &str) -> Option<usize> {
        let (_, opened) = self.copies[copy].as_ref()?.opened.iter().find(|(by, _)| *by == id)?;
        opened.get(key).copied()
    }

    fn open(
        &mut self,
        id: u64,
        fork: ForkId,
        within: usize,
        key: String,
        now: Timestamp,
        plan: &Plan,
    ) -> usize {
        let at = self.free.pop_first().unwrap_or_else(|| {
            self.copies.push(None);
            self.copies.len() - 1
        });
        let nodes = &plan.forks[fork].nodes;
        let mut memories = Vec::with_capacity(nodes.len());
        memories.extend(nodes.iter().filter_map(|node| match &plan.nodes[*node].kind {
            Kind::Keep(recipe) => Some((plan.nodes[*node].id, Memory::fresh(recipe, now))),
            _ => None,
        }));
        let due = vec![Timestamp::NEVER; memories.len() + 1];
        let slots = due.len();
        if let Some(copy) = self.copies[within].as_mut() {
            match copy.opened.iter_mut().find(|(by, _)| *by == id) {
                Some((_, opened)) => drop(opened.insert(key.clone(), at)),
                None => copy.opened.push((id, BTreeMap::from([(key.clone(), at)]))),
            }
        }
        self.copies[at] = Some(Copy {
            by: id,
            within,
            key,
            started: now,
            last: now,
            memories,
            opened: Vec::new(),
            fork,
            due,
        });
        (0..slots).for_each(|slot| self.schedule(at, slot, plan));
        at
    }
}

impl Kind {
    fn opens(&self) -> Option<ForkId> {
        if let Self::By(by) = self { Some(by.opens) } else { None }
    }
}

/// One part of a key: what is missing differs from what is empty, and no text can look like the end of a part.
fn part(key: &mut String, value: Option<&str>) {
    key.push(if value.is_some() { '\u{1e}' } else { '\u{1f}' });
    for letter in value.unwrap_or_default().chars() {
        if matches!(letter, '\u{1c}'..='\u{1f}') {
            key.push('\u{1c}');
        }
        key.push(letter);
    }
}

/// Sends an item: an event as it is; anything else, or if JSON is wanted, an event with the JSON in its attribute `value`; a
/// list as one event that tells of all of them.
fn send(mut to: Sending<'_>, item: &Item, json: bool, clock: &Clock<'_, '_>) {
    match item {
        Item::Row(number) if !json => {
            match *number {
                Number::Kept => {}
                Number::Set(Some(metric)) => to = to.metric(metric),
                Number::Set(None) => to = to.no_metric(),
            }
            to.send();
        }
        item => item.with(clock, |value| tell(to, value, json, clock.now)),
    }
}

fn tell(to: Sending<'_>, value: &Value, json: bool, now: Timestamp) {
    match value {
        Value::Fact(fact) if !json => describe(to, fact).send(),
        Value::List(list) if !json => describe(to, &digest(list, now)).send(),
        value => {
            let more = vec![("value".to_owned(), Value::Text(value.to_json()))];
            describe(to, &Fact { time: Some(now), more, ..Fact::default() }).send();
        }
    }
}

/// So many events of a list are described, one in a line.
const LINES: usize = 100;

/// One event that tells of a list.
fn digest(list: &[Value], now: Timestamp) -> Fact {
    let facts = || list.iter().filter_map(Value::fact);
    let same = |of: fn(&Fact) -> &Option<String>| {
        let mut all = facts().map(of);
        let first = all.next()?.clone();
        all.all(|other| *other == first).then_some(first).flatten()
    };
    let line = |fact: &Fact| {
        let metric = fact.metric.map(|metric| crate::value::number(metric).to_json());
        let words = [&fact.host, &fact.service, &fact.state, &metric, &fact.description];
        words.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("  ")
    };
    let mut lines: Vec<String> = facts().take(LINES).map(line).collect();
    if facts().count() > LINES {
        lines.push(format!("and {} more", facts().count() - LINES));
    }
    Fact {
        host: same(|fact| &fact.host),
        service: same(|fact| &fact.service),
        state: facts().next_back().and_then(|fact| fact.state.clone()),
        metric: Some(tidegate_sdk::Metric::Int(list.len() as i64)),
        description: Some(lines.join("\n")),
        time: Some(now),
        more: vec![("events".to_owned(), Value::Text(crate::value::list_to_json(list)))],
        ..Fact::default()
    }
}

/// Every field as the fact has it, whatever the event had that the effect begins with.
fn describe<'s>(to: Sending<'s>, fact: &Fact) -> Sending<'s> {
    let text = |to: Sending<'s>,
                field: Field,
                value: &Option<String>,
                set: fn(Sending<'s>, &str) -> Sending<'s>| match value {
        Some(value) => set(to, value),
        None => to.without_field(field),
    };
    let mut to = text(to, Field::Host, &fact.host, |to, value| to.host(value));
    to = text(to, Field::Service, &fact.service, |to, value| to.service(value));
    to = text(to, Field::State, &fact.state, |to, value| to.state(value));
    to = text(to, Field::Description, &fact.description, |to, value| to.describe(value));
    to = match fact.metric {
        Some(metric) => to.metric(metric),
        None => to.no_metric(),
    };
    to = match fact.ttl {
        Some(ttl) => to.ttl(ttl as f32),
        None => to.without_field(Field::Ttl),
    };
    if let Some(time) = fact.time {
        to = to.time(time);
    }
    to = to.no_tags().no_attributes();
    for tag in fact.tags.iter().flatten() {
        to = to.tag(tag);
    }
    for (name, value) in &fact.more {
        if let Some(value) = value.to_text() {
            to = to.attribute(name, &value);
        }
    }
    to
}
