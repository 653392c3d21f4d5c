//! Indexed rules against the plain matcher: whatever is deployed, replaced, paused and removed while streams come, go and
//! overflow, a rule sees exactly the events that its query matches. And rules that share a guest are as good as alone.

#![allow(clippy::disallowed_types)] // the guests of these tests report to the test

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tidegate_engine::guest::{Fault, FaultKind, Guest, Guests, Spent};
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::{Control, Limits, Origin, RuleSpec, Width};
use tidegate_engine::shard::{ALONE, OVERFLOW, Settings, Shard, Step, TOGETHER};
use tidegate_event::{
    Action, Base, Batch, BatchBuilder, FieldSet, Metric, NewEvent, Record, Reply, Spot, State, Timestamp,
};

/// What the guests of a test were told: for each row the rule, the event's metric and whether it was a goodbye.
type Heard = Arc<Mutex<Vec<(String, i64, bool)>>>;

/// Guests that serve many rules, count per slot, and write down what they are told.
struct Many {
    heard: Heard,
    started: Arc<Mutex<usize>>,
}

struct Counter {
    heard: Heard,
    rules: BTreeMap<u32, String>,
    slots: BTreeMap<u32, (u32, i64)>,
}

impl Guests for Many {
    fn start(&self, rule: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        *self.started.lock().unwrap() += 1;
        let rules = BTreeMap::from([(0, rule.name.clone())]);
        Ok(Box::new(Counter { heard: self.heard.clone(), rules, slots: BTreeMap::new() }))
    }

    fn ready(&self, _: &RuleSpec) -> Result<(), Fault> {
        Ok(())
    }
}

impl Guest for Counter {
    fn call(&mut self, batch: &Batch, reply: &mut Reply) -> Result<Spent, Fault> {
        reply.clear();
        for (row, event) in batch.events().enumerate() {
            let Some(rule) = self.rules.get(&event.binding()) else {
                return Err(Fault::new(FaultKind::Trap, format!("nobody is bound as {}", event.binding())));
            };
            if event.state() == Some("poison") {
                let fault = Fault::new(FaultKind::Trap, "poison");
                return Err(Fault { row: Some(row as u32), ..fault });
            }
            let (binding, count) = self.slots.entry(event.slot()).or_insert((event.binding(), 0));
            assert_eq!(*binding, event.binding(), "a slot is of one rule");
            *count += 1;
            let metric = event.metric().map_or(-1, |metric| metric as i64);
            self.heard.lock().unwrap().push((rule.clone(), metric, event.is_leaving()));
            reply.push(&Record {
                base: Base::Row(row as u32),
                action: Action::Forward,
                metric: Spot::Set(Metric::Int(*count)),
                time: event.time(),
                target: 0,
                overrides: 0,
            });
            if event.is_leaving() {
                self.slots.remove(&event.slot());
            }
        }
        Ok(Spent::default())
    }

    fn bind(&mut self, binding: u32, rule: &RuleSpec) -> Result<(), Fault> {
        if rule.name.contains("refused") {
            return Err(Fault::new(FaultKind::Start, "not this one"));
        }
        assert!(self.rules.insert(binding, rule.name.clone()).is_none(), "bound twice");
        Ok(())
    }

    fn unbind(&mut self, binding: u32) -> Result<(), Fault> {
        assert!(self.rules.remove(&binding).is_some(), "was not bound");
        self.slots.retain(|_, (of, _)| *of != binding);
        Ok(())
    }
}

fn spec(name: &str, module: &str, query: &str, per: Width) -> RuleSpec {
    RuleSpec {
        name: name.into(),
        generation: 1,
        module: module.into(),
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
        reset_state: true,
        backfill: None,
        origin: Origin::default(),
    }
}

struct Play {
    shard: Shard,
    heard: Heard,
    started: Arc<Mutex<usize>>,
    position: u64,
}

impl Play {
    fn new(max_streams: usize) -> Self {
        let (heard, started) = (Heard::default(), Arc::default());
        let guests = Many { heard: heard.clone(), started: Arc::clone(&started) };
        let settings = Settings { seed: 7, max_streams, ..Settings::default() };
        Self { shard: Shard::new(settings, Arc::new(guests)), heard, started, position: 0 }
    }

    fn control(&mut self, control: &Control) {
        self.position += 1;
        self.shard.control(control, self.position, Timestamp::EPOCH);
    }

    fn deploy(&mut self, spec: RuleSpec) {
        self.control(&Control::Deploy(Box::new(spec)));
    }

    fn feed(&mut self, now: i64, events: &[NewEvent<'_>]) -> (Batch, Step) {
        let mut builder = BatchBuilder::new();
        events.iter().for_each(|event| builder.push(event));
        builder.stamp(7, Timestamp::from_secs(now));
        let mut batch = builder.finish();
        self.position += 1;
        (batch.header.position, batch.header.now) = (self.position, Timestamp::from_secs(now));
        let step = self.shard.step(&batch);
        (batch, step)
    }

    fn heard(&self) -> Vec<(String, i64, bool)> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    /// The forwarded events as rule and count.
    fn counts(step: &Step) -> Vec<String> {
        let line = |asked: &tidegate_engine::shard::Asked| {
            let event = step.events.event(asked.event as usize);
            format!("{} {}", asked.rule, event.number().map_or("-".into(), |metric| metric.to_string()))
        };
        step.asked.iter().map(line).collect()
    }
}

fn event<'a>(host: &'a str, service: &'a str, metric: i64) -> NewEvent<'a> {
    NewEvent {
        host: Some(host),
        service: Some(service),
        state: Some("ok"),
        metric: Some(metric.into()),
        ..NewEvent::default()
    }
}

const QUERIES: [&str; 12] = [
    "true",
    "false",
    "service = \"s1\"",
    "host = \"h1\" and metric > 40",
    "service = \"s2\" and (host = \"h0\" or state = \"warning\")",
    "host =~ \"h%\" and not service = \"s0\"",
    "tagged \"t\" or service = \"s1\"",
    "host = nil",
    "service = \"s1\" and host = \"h2\"",
    "metric >= 50 and state != \"ok\"",
    "host ~= \"[12]\" and service ~= \"s.\"",
    "state = \"expired\"",
];

#[derive(Clone, Debug)]
enum Act {
    Deploy { name: u8, query: usize, module: u8, wide: bool },
    Remove(u8),
    Pause(u8, bool),
    Feed(Vec<(u8, u8, u8, i64, bool)>),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0u8..40, 0..QUERIES.len(), 0u8..2, any::<bool>())
            .prop_map(|(name, query, module, wide)| Act::Deploy { name, query, module, wide }),
        (0u8..40).prop_map(Act::Remove),
        (0u8..40, any::<bool>()).prop_map(|(name, paused)| Act::Pause(name, paused)),
        prop::collection::vec((0u8..4, 0u8..3, 0u8..4, 0i64..100, any::<bool>()), 0..20).prop_map(Act::Feed),
        prop::collection::vec((0u8..4, 0u8..3, 0u8..4, 0i64..100, any::<bool>()), 0..20).prop_map(Act::Feed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Two modules and forty names, so that rules stand alone and share; 5 streams have room, of 12.
    #[test]
    fn a_rule_sees_what_its_query_matches_and_nothing_else(
        acts in prop::collection::vec(act(), 1..80), room in prop::sample::select(vec![5usize, 100]),
    ) {
        let mut play = Play::new(room);
        let mut deployed: BTreeMap<String, (Matcher, bool)> = BTreeMap::new();
        for act in acts {
            match act {
                Act::Deploy { name, query, module, wide } => {
                    let name = format!("r{name}");
                    let per = if wide { Width::Host } else { Width::Stream };
                    play.deploy(spec(&name, &format!("m{module}"), QUERIES[query], per));
                    deployed.insert(name, (Matcher::parse(QUERIES[query]).unwrap(), false));
                }
                Act::Remove(name) => {
                    let name = format!("r{name}");
                    deployed.remove(&name);
                    play.control(&Control::Remove { name });
                }
                Act::Pause(name, paused) => {
                    let name = format!("r{name}");
                    if let Some(rule) = deployed.get_mut(&name) {
                        rule.1 = paused;
                    }
                    play.control(&Control::Pause { name, paused });
                }
                Act::Feed(rows) => {
                    let names: Vec<_> = rows.iter().map(|(h, s, ..)| (format!("h{h}"), format!("s{s}"))).collect();
                    let events: Vec<_> = rows.iter().zip(&names).map(|((h, _, state, metric, tagged), (host, service))| NewEvent {
                        host: (*h > 0).then_some(host.as_str()),
                        state: Some(["ok", "warning", "critical", "odd"][*state as usize]),
                        tags: if *tagged { &["t"] } else { &[] },
                        ..event(host, service, *metric)
                    }).collect();
                    let (batch, step) = play.feed(1, &events);
                    let mut expected: Vec<(String, i64, bool)> = Vec::new();
                    for (name, (matcher, paused)) in &deployed {
                        let matching = batch.events().filter(|event| !paused && matcher.matches(event));
                        expected.extend(matching.map(|event| (name.clone(), event.metric().unwrap() as i64, false)));
                    }
                    let mut heard = play.heard();
                    // A rule hears its events in their order; rules among each other have none.
                    heard.sort_by(|a, b| a.0.cmp(&b.0));
                    prop_assert_eq!(heard, expected);
                    prop_assert!(step.troubled.is_empty(), "{:?}", step.troubled);
                    let counted: u64 = step.counts.iter().map(|(_, count)| count.events).sum();
                    prop_assert_eq!(counted as usize, step.asked.len());
                }
            }
        }
    }
}

#[test]
fn many_rules_of_a_module_share_a_guest_and_count_apart() {
    let mut play = Play::new(100);
    let rules = ALONE + TOGETHER + 10;
    for number in 0..rules {
        play.deploy(spec(&format!("r{number:04}"), "m", &format!("metric > {number}"), Width::Stream));
    }
    assert_eq!(*play.started.lock().unwrap(), 0, "a rule without events needs no guest");
    for expected in 1..=3 {
        let (_, step) = play.feed(1, &[event("a", "x", 1_000_000), event("b", "x", 1_000_000)]);
        let mut counts = Play::counts(&step);
        counts.sort();
        counts.dedup();
        assert_eq!(counts.len(), rules);
        assert!(counts.iter().all(|line| line.ends_with(&format!(" {expected}"))), "{counts:?}");
    }
    assert_eq!(*play.started.lock().unwrap(), ALONE + 2);
    // Removed from among those that share, and one in its place.
    play.control(&Control::Remove { name: "r0100".into() });
    play.deploy(spec("new", "m", "true", Width::Stream));
    let (_, step) = play.feed(1, &[event("a", "x", 1_000_000)]);
    let counts = Play::counts(&step);
    assert!(counts.contains(&"new 1".to_owned()) && counts.contains(&"r0101 4".to_owned()), "{counts:?}");
    assert!(!counts.iter().any(|line| line.starts_with("r0100")));
    assert_eq!(*play.started.lock().unwrap(), ALONE + 2);
}

#[test]
fn who_misbehaves_among_those_that_share_gets_a_guest_of_its_own() {
    let mut play = Play::new(100);
    for number in 0..ALONE + 4 {
        let query = if number == ALONE + 1 { "true" } else { "not state = \"poison\"" };
        play.deploy(spec(&format!("r{number:02}"), "m", query, Width::Stream));
    }
    play.feed(1, &[event("a", "x", 1)]);
    let before = *play.started.lock().unwrap();
    let poison = NewEvent { state: Some("poison"), ..event("a", "x", 2) };
    let (_, step) = play.feed(1, &[event("a", "x", 1), poison, event("a", "x", 3)]);
    let culprit = format!("r{:02}", ALONE + 1);
    let names: Vec<&str> = step.troubled.iter().map(|trouble| &*trouble.rule).collect();
    assert_eq!(names, [culprit.as_str()]);
    assert!(step.troubled[0].event.as_ref().is_some_and(|event| event.event(0).state() == Some("poison")));
    // Nobody missed an event: those alone have counted on, those that shared begin anew in the same step.
    let counts = Play::counts(&step);
    assert!(counts.contains(&"r00 3".to_owned()), "{counts:?}");
    for number in ALONE..ALONE + 4 {
        let own: Vec<_> = counts.iter().filter(|line| line.starts_with(&format!("r{number:02} "))).collect();
        assert_eq!(own.len(), 2, "{counts:?}");
    }
    assert_eq!(*play.started.lock().unwrap(), before + 2, "one for the culprit, one for the others");
    // Now it harms itself only.
    let poison = NewEvent { state: Some("poison"), ..event("a", "x", 2) };
    let (_, step) = play.feed(1, &[poison, event("a", "x", 3)]);
    let counts = Play::counts(&step);
    let other = format!("r{:02} 3", ALONE + 2);
    assert!(counts.contains(&other) && counts.contains(&format!("{culprit} 1")), "{counts:?}");
}

#[test]
fn a_rule_that_a_shared_guest_refuses_gets_its_own_and_nobody_notices() {
    let mut play = Play::new(100);
    for number in 0..ALONE + 3 {
        let name = if number == ALONE + 1 { "refused".to_owned() } else { format!("r{number:02}") };
        play.deploy(spec(&name, "m", "true", Width::Stream));
    }
    for expected in 1..4 {
        let (_, step) = play.feed(1, &[event("a", "x", 1)]);
        assert!(step.troubled.is_empty(), "{:?}", step.troubled);
        let counts = Play::counts(&step);
        assert_eq!(counts.len(), ALONE + 3);
        assert!(counts.iter().all(|line| line.ends_with(&format!(" {expected}"))), "{counts:?}");
    }
}

#[test]
fn what_has_no_room_counts_under_the_overflow_key_and_leaves_the_established_alone() {
    let mut play = Play::new(2);
    play.deploy(spec("narrow", "m", "true", Width::Stream));
    let limits = Limits { keys: 1, ..Limits::default() };
    play.deploy(RuleSpec { limits, ..spec("host", "m", "true", Width::Host) });
    for (host, counts) in [
        ("a", ["narrow 1", "host 1"]),
        ("b", ["narrow 1", "host 1"]),
        ("c", ["narrow 1", "host 2"]),
        ("d", ["narrow 2", "host 3"]),
        ("a", ["narrow 2", "host 2"]),
    ] {
        let (_, step) = play.feed(1, &[event(host, "x", 1)]);
        assert_eq!(Play::counts(&step), counts, "{host}");
        let over: u64 = step.counts.iter().map(|(_, count)| count.over).sum();
        assert_eq!(over, u64::from("cd".contains(host)) + u64::from("bcd".contains(host)), "{host}");
    }
    assert_eq!((play.shard.streams().0, play.shard.refused()), (2, 2));
    assert_eq!(OVERFLOW, 0, "no stream has this id");
    // When an established stream ends there is room for another.
    play.feed(1, &[NewEvent { state: Some("expired"), ..event("b", "x", 1) }]);
    let (_, step) = play.feed(1, &[event("e", "x", 1)]);
    assert_eq!(Play::counts(&step)[0], "narrow 1");
    assert_eq!(play.shard.streams().1[State::Ok as usize], 2);
}

#[test]
fn a_stream_that_comes_back_in_the_same_batch_begins_anew() {
    let mut play = Play::new(10);
    play.deploy(spec("narrow", "m", "true", Width::Stream));
    let expired = NewEvent { state: Some("expired"), ..event("a", "x", 2) };
    let (_, step) = play
        .feed(1, &[event("a", "x", 1), expired, event("a", "x", 3), event("a", "x", 4), expired, expired]);
    // The last one is of a stream that is not there: it says hello and goodbye.
    assert_eq!(Play::counts(&step), ["narrow 1", "narrow 2", "narrow 1", "narrow 2", "narrow 3", "narrow 1"]);
    assert_eq!(play.shard.streams(), (0, [0; 6]));
}
