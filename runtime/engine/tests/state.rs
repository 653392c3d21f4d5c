//! What keys remember outlives restarts, versions and numbers of shards: a save made in slices while events go on says what
//! stood at its mark, whoever takes it back goes on exactly as if nothing had happened, and so does a new version.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_engine::guest::{Fault, FaultKind, Guest, Guests, Spent};
use tidegate_engine::rule::{Control, Limits, Origin, RuleSpec, Width};
use tidegate_engine::save::{Saved, Slice};
use tidegate_engine::shard::{ALONE, Engine, NotSaved, Settings, Shard};
use tidegate_event::{
    Action, Base, Batch, BatchBuilder, FieldSet, KeyState, Metric, NewEvent, Record, Reply, Span, Spot,
    Timestamp,
};

/// Counts its events; five seconds after the first since then it says how many there were, and again at the end.
#[derive(Default)]
struct Counter {
    keys: BTreeMap<u32, Key>,
    marked: BTreeMap<u32, Key>,
}

#[derive(Clone)]
struct Key {
    binding: u32,
    id: u64,
    count: i64,
    wake: Timestamp,
    touched: bool,
}

impl Key {
    fn state(&self, slot: u32) -> KeyState {
        let wakes = (self.wake != Timestamp::NEVER).then_some(self.wake).into_iter().collect();
        let state = self.count.to_string().into_bytes();
        KeyState { slot, binding: self.binding, key: self.id, wakes, state }
    }
}

impl Guest for Counter {
    fn call(&mut self, batch: &Batch, reply: &mut Reply) -> Result<Spent, Fault> {
        reply.clear();
        let now = batch.header.now;
        let said = |base, count, time| {
            let metric = Spot::Set(Metric::Int(count));
            Record { base, action: Action::Forward, metric, time, target: 0, overrides: 0 }
        };
        let mut due: Vec<(Timestamp, u32)> = self
            .keys
            .iter()
            .filter(|(_, key)| key.wake <= now)
            .map(|(slot, key)| (key.wake, *slot))
            .collect();
        due.sort_unstable();
        for (at, slot) in due {
            let key = self.keys.get_mut(&slot).unwrap();
            (key.wake, key.touched) = (Timestamp::NEVER, true);
            reply.push(&said(Base::Slot(slot), key.count, at));
        }
        for (row, event) in batch.events().enumerate() {
            if event.state() == Some("poison") {
                return Err(Fault::new(FaultKind::Trap, "cannot stand it")
                    .at(tidegate_event::abi::Moment::Event, row as u32));
            }
            let fresh = Key {
                binding: event.binding(),
                id: event.key(),
                count: 0,
                wake: Timestamp::NEVER,
                touched: true,
            };
            let key = self.keys.entry(event.slot()).or_insert(fresh);
            assert_eq!((key.id, key.binding), (event.key(), event.binding()), "a slot has one key");
            if event.is_leaving() {
                let count = key.count;
                self.keys.remove(&event.slot());
                reply.push(&said(Base::Row(row as u32), -count, event.time()));
                continue;
            }
            (key.count, key.touched) = (key.count + 1, true);
            key.wake = key.wake.min(now + Span::secs(5));
        }
        reply.next_wake = self.keys.values().map(|key| key.wake).min().unwrap_or(Timestamp::NEVER);
        reply.keys = self.keys.len() as u32;
        Ok(Spent::default())
    }

    fn bind(&mut self, _: u32, _: &RuleSpec) -> Result<(), Fault> {
        Ok(())
    }

    fn unbind(&mut self, binding: u32) -> Result<(), Fault> {
        self.keys.retain(|_, key| key.binding != binding);
        Ok(())
    }

    fn mark(&mut self, all: bool) -> Result<(), Fault> {
        self.marked = self.keys.clone();
        self.marked.retain(|_, key| all || key.touched);
        self.keys.values_mut().for_each(|key| key.touched = false);
        Ok(())
    }

    fn save(&mut self, most: u32, saved: &mut Vec<KeyState>) -> Result<u32, Fault> {
        let rest = self.marked.keys().nth(most as usize).copied();
        let rest = rest.map_or_else(BTreeMap::new, |slot| self.marked.split_off(&slot));
        saved.extend(std::mem::replace(&mut self.marked, rest).iter().map(|(slot, key)| key.state(*slot)));
        Ok(self.marked.len() as u32)
    }

    fn pick(&mut self, slots: &[u32], saved: &mut Vec<KeyState>) -> Result<(), Fault> {
        saved.extend(slots.iter().filter_map(|slot| Some(self.keys.get(slot)?.state(*slot))));
        Ok(())
    }

    fn restore(&mut self, schema: u32, keys: &[KeyState]) -> Result<Timestamp, Fault> {
        if schema != 1 {
            return Err(Fault::new(FaultKind::State, "another schema"));
        }
        for state in keys {
            let count: i64 = std::str::from_utf8(&state.state).unwrap().parse().unwrap();
            let wake = state.wakes.first().copied().unwrap_or(Timestamp::NEVER);
            let key = Key { binding: state.binding, id: state.key, count, wake, touched: true };
            assert!(
                self.keys.insert(state.slot, key).is_none(),
                "a key is restored once and before its events"
            );
        }
        Ok(self.keys.values().map(|key| key.wake).min().unwrap_or(Timestamp::NEVER))
    }
}

struct Counters;

impl Guests for Counters {
    fn start(&self, _: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        Ok(Box::new(Counter::default()))
    }
}

fn rule(name: &str, query: &str, per: Width) -> RuleSpec {
    RuleSpec {
        name: name.into(),
        generation: 1,
        module: "counter".into(),
        version: "0".into(),
        query: query.into(),
        per,
        fields: FieldSet::ALL.0,
        settings: Vec::new(),
        set: Vec::new(),
        outputs: vec![("out".into(), "live".into())],
        limits: Limits::default(),
        paused: false,
        schema: 1,
        reset_state: false,
        backfill: None,
        origin: Origin::default(),
    }
}

fn rules() -> Vec<RuleSpec> {
    let mut rules = vec![
        rule("narrow", "true", Width::Stream),
        rule("some", "service = \"s1\" or service = \"s2\"", Width::Stream),
        rule("host", "true", Width::Host),
        rule("service", "host != \"h2\"", Width::Service),
        rule("whole", "true", Width::Whole),
    ];
    // Enough of one kind that some share a guest.
    rules.extend((0..ALONE + 3).map(|n| rule(&format!("many{n:02}"), "service = \"s3\"", Width::Stream)));
    rules
}

/// An engine, and all that came out of it.
struct Play {
    engine: Engine,
    said: Vec<String>,
    /// The deployed rules with their positions, as a catalogue would have them.
    standing: Vec<(RuleSpec, u64)>,
    position: u64,
    /// Between candidates and their incumbents.
    differences: u64,
}

impl Play {
    fn new(shards: usize, rules: &[(RuleSpec, u64)]) -> Self {
        let guests: Arc<dyn Guests> = Arc::new(Counters);
        let settings = Settings { seed: 5, default_ttl: Span::secs(20), ..Settings::default() };
        let engine = Engine::new(shards, &settings, &guests);
        let mut play = Self { engine, said: Vec::new(), standing: Vec::new(), position: 0, differences: 0 };
        for (rule, position) in rules {
            play.engine.resume(*position - 1);
            play.deploy(rule.clone(), 0);
        }
        play
    }

    fn deploy(&mut self, rule: RuleSpec, now: i64) {
        let steps = self.engine.control(&Control::Deploy(Box::new(rule.clone())), Timestamp::from_secs(now));
        self.position = steps[0].position;
        self.standing.retain(|(other, _)| other.name != rule.name);
        self.standing.push((rule, self.position));
        assert!(steps.iter().all(|step| step.troubled.is_empty()));
    }

    fn feed(&mut self, now: i64, events: &[(u8, u8)]) {
        let mut builder = BatchBuilder::new();
        for (host, service) in events {
            let (host, service) = (format!("h{host}"), format!("s{service}"));
            builder.push(&NewEvent {
                host: Some(&host),
                service: Some(&service),
                ttl: Some(if service == "s0" { 3.0 } else { 20.0 }),
                time: Some(Timestamp::from_secs(now)),
                ..NewEvent::default()
            });
        }
        let (said, last, differences) = (&mut self.said, &mut self.position, &mut self.differences);
        self.engine.feed(builder, Timestamp::from_secs(now), |_, steps, merged| {
            *last = steps[0].position;
            assert!(steps.iter().all(|step| step.troubled.is_empty()), "{:?}", steps[0].troubled);
            let compared = merged.compared.iter().map(|(_, compared)| compared.only_new + compared.only_old);
            *differences += compared.sum::<u64>();
            for forwarded in &merged.forwarded {
                let event = forwarded.batch.event(0);
                said.push(format!("{} {} {:?}", merged.position, forwarded.rule, event));
            }
        });
    }
}

/// What happens, step by step: the seconds that pass, then events by host and service.
type Story = Vec<(u8, Vec<(u8, u8)>)>;

fn story() -> impl Strategy<Value = Story> {
    prop::collection::vec((0..9u8, prop::collection::vec((0..4u8, 0..5u8), 0..12)), 2..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn who_takes_a_save_back_goes_on_as_if_nothing_had_happened(
        story in story(),
        before in 1..4usize,
        after in 1..4usize,
        first_mark in 0..20usize,
        second_mark in 0..20usize,
        most in 1..30usize,
        renew in prop::option::of(0..20usize),
    ) {
        let standing: Vec<(RuleSpec, u64)> = rules().into_iter().zip(1..).collect();
        let mut play = Play::new(before, &standing);
        let (mut saved, mut slices) = (Saved::default(), Vec::<Slice>::new());
        let mut marks = vec![first_mark, first_mark + 1 + second_mark];
        let (mut pending, mut whole, mut begun) = (false, true, None);
        // Where each save that was finished stood: step, position, time, rules.
        let mut stood = None;
        let mut now = 100;
        for (number, (seconds, events)) in story.iter().enumerate() {
            now += i64::from(*seconds);
            play.feed(now, events);
            if renew == Some(number) {
                // A new version with another query: what is remembered stays.
                play.deploy(RuleSpec { generation: 2, ..rule("some", "service = \"s1\" or service = \"s3\"", Width::Stream) }, now);
                play.deploy(RuleSpec { generation: 2, ..rule("many17", "service = \"s3\"", Width::Stream) }, now);
                play.deploy(RuleSpec { generation: 2, ..rule("host", "true", Width::Host) }, now);
            }
            if !pending && marks.first().is_some_and(|at| *at <= number) {
                match play.engine.mark(whole) {
                    Ok(()) => {
                        marks.remove(0);
                        begun = Some((number + 1, play.position, now, play.standing.clone(), play.said.len()));
                        (pending, whole) = (true, false);
                    }
                    Err(error) => prop_assert_eq!(error, NotSaved::Carrying),
                }
            }
            if pending {
                let more = play.engine.save(most).unwrap();
                pending = !more.is_empty();
                slices.extend(more);
                if !pending {
                    saved.apply(slices.drain(..)).unwrap();
                    stood = begun.take();
                }
            }
        }
        let Some((step, position, at, standing, said)) = stood else { return Ok(()) };
        let mut again = Play::new(after, &standing);
        again.engine.resume(position);
        again.engine.restore(&saved, Timestamp::from_secs(at));
        let mut now = at;
        for (number, (seconds, events)) in story.iter().enumerate().skip(step) {
            now += i64::from(*seconds);
            again.feed(now, events);
            if renew == Some(number) {
                again.deploy(RuleSpec { generation: 2, ..rule("some", "service = \"s1\" or service = \"s3\"", Width::Stream) }, now);
                again.deploy(RuleSpec { generation: 2, ..rule("many17", "service = \"s3\"", Width::Stream) }, now);
                again.deploy(RuleSpec { generation: 2, ..rule("host", "true", Width::Host) }, now);
            }
        }
        prop_assert_eq!(&again.said, &play.said[said..]);
    }

    /// The candidate begins with a copy of what the rule's keys remember, so one of the same code says the same.
    #[test]
    fn a_rule_tried_beside_itself_and_promoted_goes_on_as_if_nothing_had_happened(
        story in story(),
        shards in 1..4usize,
        name in prop::sample::select(vec!["narrow", "host", "service", "whole", "many17"]),
        share in 0..1001u32,
        begin in 0..10usize,
        end in 1..20usize,
    ) {
        let standing: Vec<(RuleSpec, u64)> = rules().into_iter().zip(1..).collect();
        let (mut play, mut plain) = (Play::new(shards, &standing), Play::new(shards, &standing));
        let spec = rules().into_iter().find(|rule| rule.name == name).unwrap();
        let mut now = 100;
        for (number, (seconds, events)) in story.iter().enumerate() {
            now += i64::from(*seconds);
            let change = match number {
                n if n == begin => Control::Try { spec: Box::new(RuleSpec { generation: 2, ..spec.clone() }), share },
                n if n == begin + end => Control::Promote { name: name.into() },
                // A change has a position, so there is one in both.
                _ => Control::Abandon { name: "nobody".into(), reason: String::new() },
            };
            let steps = play.engine.control(&change, Timestamp::from_secs(now));
            prop_assert!(steps.iter().all(|step| step.troubled.is_empty()));
            plain.engine.control(&Control::Abandon { name: "nobody".into(), reason: String::new() }, Timestamp::from_secs(now));
            play.feed(now, events);
            plain.feed(now, events);
        }
        // The candidate is younger than its incumbent, so at one position it may speak after others.
        play.said.sort();
        plain.said.sort();
        prop_assert_eq!(play.said, plain.said);
        prop_assert_eq!(play.differences, 0);
    }
}

/// A batch of events, by host, service and whether it is one that counters cannot stand.
fn batch(position: u64, now: i64, events: &[(u8, u8, bool)]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (host, service, poison) in events {
        let (host, service) = (format!("h{host}"), format!("s{service}"));
        builder.push(&NewEvent {
            host: Some(&host),
            service: Some(&service),
            state: poison.then_some("poison"),
            ttl: Some(9.0),
            time: Some(Timestamp::from_secs(now)),
            ..NewEvent::default()
        });
    }
    builder.stamp(5, Timestamp::from_secs(now));
    let mut batch = builder.finish();
    (batch.header.position, batch.header.now) = (position, Timestamp::from_secs(now));
    batch
}

fn shard(rebuild: bool, rules: &[(RuleSpec, u64)]) -> Shard {
    let guests: Arc<dyn Guests> = Arc::new(Counters);
    let mut shard = Shard::new(Settings { seed: 5, rebuild, ..Settings::default() }, guests);
    for (rule, position) in rules {
        shard.control(&Control::Deploy(Box::new(rule.clone())), *position, Timestamp::EPOCH);
    }
    shard
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_rule_that_a_fault_cost_its_state_gets_it_back_as_if_the_event_had_never_come(
        before in story(), between in story(), after in story(), saved_at in 0..10usize, poison in (0..4u8, 0..5u8), row in 0..12usize,
    ) {
        let rules = [(rule("narrow", "true", Width::Stream), 1), (rule("host", "true", Width::Host), 2)];
        let (mut live, mut control) = (shard(true, &rules), shard(true, &rules));
        let (mut position, mut now) = (10, 100);
        let mut log = Vec::new();
        let mut play = |shards: [&mut Shard; 2], events: &[(u8, u8, bool)], seconds: u8, log: &mut Vec<Batch>| {
            (position, now) = (position + 1, now + i64::from(seconds));
            log.push(batch(position, now, events));
            shards.map(|shard| shard.step(&log[log.len() - 1]))
        };
        let sound = |events: &[(u8, u8)]| events.iter().map(|(host, service)| (*host, *service, false)).collect::<Vec<_>>();
        let mut saved = Saved::default();
        let mut from = (0, Timestamp::EPOCH);
        for (number, (seconds, events)) in before.iter().enumerate() {
            if number == saved_at {
                live.mark(true).unwrap();
                let mut slices = Vec::new();
                while live.is_saving() {
                    slices.push(live.save(7).unwrap().0);
                }
                saved.apply(slices).unwrap();
                from = (log.len(), live.now());
            }
            play([&mut live, &mut control], &sound(events), *seconds, &mut log);
        }
        // The event that nobody can stand comes among others; those who never hear of it are the measure.
        let mut events = sound(&between[0].1);
        let row = row.min(events.len());
        events.insert(row, (poison.0, poison.1, true));
        for (rule, _) in &rules {
            control.skip(rule.name.as_str().into(), 10 + log.len() as u64 + 1, row as u32);
        }
        let [step, unharmed] = play([&mut live, &mut control], &events, 1, &mut log);
        prop_assert!(unharmed.troubled.is_empty());
        let lost: Vec<&str> = step.lost.iter().map(|lost| &*lost.rule).collect();
        prop_assert_eq!(lost, ["narrow", "host"]);
        for (seconds, events) in &between[1..] {
            let [step, _] = play([&mut live, &mut control], &sound(events), *seconds, &mut log);
            prop_assert!(step.asked.iter().all(|asked| asked.rule.is_empty()), "a rule that is away asks for nothing");
        }
        prop_assert_eq!(live.mark(true), Err(NotSaved::Carrying));
        // Somebody reads the log from the save on, without that event.
        let mut follower = shard(false, &rules);
        follower.restore(&saved, from.1);
        for lost in &step.lost {
            prop_assert_eq!(lost.poison, Some(row as u32));
            follower.skip(lost.rule.clone(), step.position, row as u32);
        }
        log[from.0..].iter().for_each(|batch| drop(follower.step(batch)));
        for (rule, _) in &rules {
            let states = follower.lend(&rule.name).unwrap();
            prop_assert!(live.give_back(&rule.name, states));
        }
        for (seconds, events) in &after {
            let [step, unharmed] = play([&mut live, &mut control], &sound(events), *seconds, &mut log);
            let said = |step: &tidegate_engine::shard::Step| format!("{:?}", tidegate_engine::shard::merge(std::slice::from_ref(step)).forwarded);
            prop_assert_eq!(said(&step), said(&unharmed));
        }
    }
}
