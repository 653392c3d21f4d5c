//! What a shard promises: the same outcome on any number of shards, time before events, keys of every width, rules that
//! fail alone, chains that end.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_engine::guest::{Fault, FaultKind, Guest, Guests, Native};
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::{Control, Limits, Origin, RuleSpec, Width};
use tidegate_engine::shard::{Engine, Settings, mark_of};
use tidegate_event::{
    Action, Base, BatchBuilder, BatchRef, Field, FieldSet, Metric, NewEvent, Record, Reply, Spot, Timestamp,
};

/// Rules as plain functions, by the name of their module.
struct Toys;

fn record(base: Base, action: Action, time: Timestamp) -> Record {
    Record { base, action, metric: Spot::Keep, time, target: 0, overrides: 0 }
}

/// What a toy remembers: per slot a count and a wake.
#[derive(Default)]
struct Memory {
    slots: BTreeMap<u32, (i64, Timestamp)>,
}

impl Guests for Toys {
    fn start(&self, rule: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        let module = rule.module.clone();
        if module == "missing" {
            return Err(Fault::new(FaultKind::Start, "no such module"));
        }
        let mut memory = Memory::default();
        Ok(Box::new(Native::new(move |block: &[u8], reply: &mut Reply| {
            play(&module, &mut memory, block, reply)
        })))
    }
}

fn play(module: &str, memory: &mut Memory, block: &[u8], reply: &mut Reply) {
    let batch = BatchRef::check(block).unwrap();
    let mut due: Vec<_> = memory
        .slots
        .iter()
        .filter(|(_, (_, wake))| *wake <= batch.header.now)
        .map(|(s, (_, w))| (*w, *s))
        .collect();
    due.sort_unstable();
    for (at, slot) in due {
        let (count, wake) = memory.slots.get_mut(&slot).unwrap();
        *wake = Timestamp::NEVER;
        let metric = Spot::Set(Metric::Int(*count));
        reply.push(&Record { metric, ..record(Base::Slot(slot), Action::Forward, at) });
        reply.push_override(Field::State, false, b"", b"woken");
    }
    for (row, event) in batch.events().enumerate() {
        let base = Base::Row(row as u32);
        reply.row = row as u32;
        assert!(event.state() != Some("poison"), "cannot stand {:?}", event.state());
        if event.is_leaving() {
            let count = memory.slots.remove(&event.slot()).map_or(0, |(count, _)| count);
            let metric = Spot::Set(Metric::Int(count));
            reply.push(&Record { metric, ..record(base, Action::Forward, event.time()) });
            continue;
        }
        let entry = memory.slots.entry(event.slot()).or_insert((0, Timestamp::NEVER));
        entry.0 += 1;
        match module {
            "count" => {
                let metric = Spot::Set(Metric::Int(entry.0));
                reply.push(&Record { metric, ..record(base, Action::Forward, event.time()) });
            }
            "wake" => entry.1 = entry.1.min(batch.header.now + tidegate_event::Span::secs(5)),
            "again" => {
                reply.push(&record(base, Action::Emit, event.time()));
                reply.push_override(Field::Tags, false, b"", b"again");
            }
            "flood" => (0..5000).for_each(|_| reply.push(&record(base, Action::Emit, event.time()))),
            "astray" => reply.push(&Record { target: 7, ..record(base, Action::Forward, event.time()) }),
            other => panic!("no toy {other}"),
        }
    }
    reply.next_wake = memory.slots.values().map(|(_, wake)| *wake).min().unwrap_or(Timestamp::NEVER);
    reply.keys = memory.slots.len() as u32;
}

fn rule(name: &str, module: &str, query: &str, per: Width) -> Control {
    Control::Deploy(Box::new(RuleSpec {
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
        reset_state: false,
        backfill: None,
        origin: Origin::default(),
    }))
}

struct Play {
    engine: Engine,
    lines: Vec<String>,
}

impl Play {
    fn new(shards: usize, rules: &[Control]) -> Self {
        let guests: Arc<dyn Guests> = Arc::new(Toys);
        let mut engine = Engine::new(shards, &Settings { seed: 11, ..Settings::default() }, &guests);
        for rule in rules {
            engine.control(rule, Timestamp::EPOCH);
        }
        Self { engine, lines: Vec::new() }
    }

    fn feed(&mut self, now: i64, events: &[NewEvent<'_>]) {
        let mut builder = BatchBuilder::new();
        events.iter().for_each(|event| builder.push(event));
        let lines = &mut self.lines;
        self.engine.feed(builder, Timestamp::from_secs(now), |batch, steps, merged| {
            for f in &merged.forwarded {
                let event = f.batch.event(0);
                let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
                let metric = event.number().map_or("-".into(), |metric| metric.to_string());
                lines.push(format!(
                    "{now} {} {} {} {} {metric} {} hops={}",
                    f.rule,
                    event.time(),
                    text(event.host()),
                    text(event.service()),
                    text(event.state()),
                    event.hops()
                ));
            }
            for step in steps {
                for t in &step.troubled {
                    lines.push(format!("{now} fault {} {}", t.rule, t.fault.kind.name()));
                }
                for (rule, count) in &step.counts {
                    for (reason, n) in &count.cut {
                        lines.push(format!("{now} cut {rule} {reason} {n}"));
                    }
                }
            }
            if batch.events().any(|event| event.hops() > 0) {
                lines.push(format!("{now} emitted {}", batch.len()));
            }
        });
    }

    fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}

fn event<'a>(host: &'a str, service: &'a str, state: &'a str) -> NewEvent<'a> {
    NewEvent { host: Some(host), service: Some(service), state: Some(state), ..NewEvent::default() }
}

#[test]
fn keys_of_every_width_keep_their_own_count() {
    for (per, expected) in [
        (Width::Stream, ["1", "1", "1", "2"]),
        (Width::Host, ["1", "2", "1", "3"]),
        (Width::Service, ["1", "1", "2", "3"]),
        (Width::Whole, ["1", "2", "3", "4"]),
        (Width::Attribute("rack".into()), ["1", "1", "2", "2"]),
    ] {
        let mut play = Play::new(3, &[rule("count", "count", "true", per.clone())]);
        for (host, service, rack) in [("a", "x", "r1"), ("a", "y", "r2"), ("b", "x", "r2"), ("a", "x", "r1")]
        {
            play.feed(1, &[NewEvent { attributes: &[("rack", rack)], ..event(host, service, "ok") }]);
        }
        let counts: Vec<_> =
            play.take().iter().map(|line| line.split(' ').nth(5).unwrap().to_owned()).collect();
        assert_eq!(counts, expected, "{per}");
    }
}

#[test]
fn time_moves_before_events_and_a_wake_speaks_for_its_key() {
    let mut play = Play::new(2, &[rule("wake", "wake", "true", Width::Host)]);
    play.feed(10, &[event("a", "x", "ok")]);
    assert_eq!(play.engine.next_due(), Timestamp::from_secs(15));
    play.feed(14, &[]);
    assert_eq!(play.take(), [""; 0]);
    play.feed(16, &[event("a", "x", "ok"), event("b", "x", "ok")]);
    assert_eq!(play.take(), ["16 wake 15s a - 1 woken hops=1"]);
    play.feed(21, &[]);
    assert_eq!(play.take(), ["21 wake 21s a - 2 woken hops=1", "21 wake 21s b - 1 woken hops=1"]);
}

#[test]
fn a_stream_that_runs_out_says_goodbye_once_to_rules_of_every_width() {
    let rules = [
        rule("narrow", "count", "service = \"x\"", Width::Stream),
        rule("expired", "count", "state = \"expired\"", Width::Service),
        rule("host", "count", "service = \"x\"", Width::Host),
    ];
    let mut play = Play::new(3, &rules);
    play.feed(0, &[NewEvent { ttl: Some(5.0), ..event("a", "x", "ok") }]);
    play.take();
    play.feed(5, &[]);
    assert_eq!(play.take(), [""; 0]);
    play.feed(6, &[]);
    let mut lines = play.take();
    lines.sort();
    assert_eq!(
        lines,
        [
            "6 expired 6s a x 1 expired hops=1",
            // The expired event of the stream comes back for rules that are keyed wider, as an event like any other.
            "6 host 6s a x 2 expired hops=1",
            "6 narrow 6s a x 1 expired hops=1",
        ]
    );
    play.feed(7, &[]);
    assert_eq!(play.take(), [""; 0], "a wider key outlives its last stream a little");
    play.feed(9, &[]);
    assert_eq!(play.take(), ["9 expired 9s - x 1 expired hops=1", "9 host 9s a - 2 expired hops=1"]);
    play.feed(99, &[]);
    assert_eq!(play.take(), [""; 0]);
    assert!(play.engine.search(&Matcher::parse("true").unwrap()).is_empty());
}

#[test]
fn an_expired_event_ends_its_stream_at_once() {
    let mut play = Play::new(2, &[rule("narrow", "count", "service = \"x\"", Width::Stream)]);
    play.feed(0, &[event("a", "x", "ok"), event("a", "x", "expired"), event("a", "x", "ok")]);
    let counts: Vec<_> = play
        .take()
        .iter()
        .map(|line| line.split(' ').skip(5).take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(counts, ["1 ok", "1 expired", "1 ok"]);
    assert_eq!(play.engine.search(&Matcher::parse("true").unwrap()).len(), 1);
}

#[test]
fn a_poison_event_costs_itself_and_the_memory_and_no_other_rule_notices() {
    let rules = [
        rule("weak", "count", "true", Width::Whole),
        rule("strong", "count", "not state = \"poison\"", Width::Whole),
    ];
    let mut play = Play::new(1, &rules);
    let events = [event("a", "x", "ok"), event("a", "x", "poison"), event("a", "x", "ok")];
    play.feed(0, &events);
    assert_eq!(
        play.take(),
        [
            "0 weak 0s a x 1 ok hops=1",
            "0 strong 0s a x 1 ok hops=1",
            "0 weak 0s a x 2 ok hops=1",
            "0 strong 0s a x 2 ok hops=1",
            "0 fault weak trap",
        ]
    );
}

#[test]
fn a_rule_that_keeps_failing_is_left_alone_says_so_and_comes_back() {
    let rules = [
        rule("weak", "count", "service = \"x\"", Width::Whole),
        rule("news", "count", "service =~ \"tidegate rule %\"", Width::Stream),
    ];
    let mut play = Play::new(1, &rules);
    for second in 0..8 {
        play.feed(second, &[event("a", "x", "poison")]);
    }
    let lines = play.take();
    assert_eq!(lines.iter().filter(|line| line.contains("fault weak trap")).count(), 7, "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.contains("news") && line.contains("critical")).count(), 3);
    play.feed(8, &[event("a", "x", "ok")]);
    assert_eq!(play.take(), [""; 0], "still left alone");
    play.feed(11, &[event("a", "x", "ok")]);
    let lines = play.take();
    assert!(lines.contains(&"11 weak 11s a x 1 ok hops=1".to_owned()), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("news") && line.contains(" ok ")), "{lines:#?}");
}

#[test]
fn a_rule_that_feeds_itself_ends_after_eight_hops() {
    let mut play = Play::new(2, &[rule("again", "again", "true", Width::Stream)]);
    play.feed(0, &[event("a", "x", "ok")]);
    let mut expected = vec!["0 emitted 1"; 8];
    expected.insert(7, "0 cut again hops 1");
    assert_eq!(play.take(), expected);
}

#[test]
fn too_many_effects_and_unknown_outputs_are_cut_off() {
    let rules = [
        rule("flood", "flood", "service = \"f\"", Width::Stream),
        rule("astray", "astray", "true", Width::Stream),
    ];
    let mut play = Play::new(1, &rules);
    play.feed(0, &[event("a", "f", "ok")]);
    assert_eq!(play.take(), ["0 fault flood output", "0 cut astray output 1"]);
}

#[test]
fn a_paused_rule_sees_nothing_and_a_removed_one_is_gone() {
    let mut play = Play::new(2, &[rule("count", "count", "true", Width::Stream)]);
    play.feed(0, &[event("a", "x", "ok")]);
    let pause = |paused| Control::Pause { name: "count".into(), paused };
    play.engine.control(&pause(true), Timestamp::from_secs(1));
    play.feed(1, &[event("a", "x", "ok")]);
    play.engine.control(&pause(false), Timestamp::from_secs(2));
    play.feed(2, &[event("a", "x", "ok")]);
    assert_eq!(play.take(), ["0 count 0s a x 1 ok hops=1", "2 count 2s a x 2 ok hops=1"]);
    play.engine.control(&Control::Remove { name: "count".into() }, Timestamp::from_secs(3));
    play.feed(3, &[event("a", "x", "ok")]);
    assert_eq!(play.take(), [""; 0]);
}

#[test]
fn a_module_that_cannot_start_is_reported_and_harms_nobody() {
    let rules =
        [rule("gone", "missing", "true", Width::Stream), rule("count", "count", "true", Width::Stream)];
    let mut play = Play::new(1, &rules);
    play.feed(0, &[event("a", "x", "ok")]);
    let lines = play.take();
    assert!(lines.contains(&"0 fault gone start".to_owned()), "{lines:?}");
    assert!(lines.contains(&"0 count 0s a x 1 ok hops=1".to_owned()), "{lines:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// The same batches at the same times have the same outcome on one shard, on two and on five: what is forwarded, in
    /// which order, what is emitted, and what the index holds.
    #[test]
    fn the_number_of_shards_does_not_show(
        script in proptest::collection::vec(
            (0i64..4, proptest::collection::vec((0u8..5, 0u8..4, 0u8..6, proptest::option::of(0u8..9)), 0..12)), 1..25),
    ) {
        let rules = || [
            rule("stream", "count", "not service = \"s0\"", Width::Stream),
            rule("host", "count", "service = \"s1\" or state = \"expired\"", Width::Host),
            rule("wake", "wake", "true", Width::Service),
            rule("narrow wake", "wake", "host = \"h1\" or host = \"h2\"", Width::Stream),
            rule("again", "again", "service = \"s2\" and not tagged \"again\"", Width::Stream),
            rule("whole", "count", "tagged \"again\"", Width::Whole),
        ];
        let run = |shards: usize| {
            let mut play = Play::new(shards, &rules());
            let mut now = 0;
            for (pause, events) in &script {
                now += pause;
                let names: Vec<_> = events.iter().map(|(h, s, state, ttl)| (
                    format!("h{h}"), format!("s{s}"), ["ok", "warning", "critical", "expired", "ok", "odd"][*state as usize], *ttl,
                )).collect();
                let events: Vec<_> = names.iter().map(|(h, s, state, ttl)| NewEvent {
                    ttl: ttl.map(f32::from), ..event(h, s, state)
                }).collect();
                play.feed(now, &events);
            }
            play.feed(now + 200, &[]);
            let index: Vec<_> = play.engine.search(&Matcher::parse("true").unwrap()).events().map(|e| format!("{e:?}")).collect();
            let mut index = index;
            index.sort();
            (play.take(), index)
        };
        let one = run(1);
        prop_assert_eq!(&one, &run(2));
        prop_assert_eq!(&one, &run(5));
    }
}

#[test]
fn what_a_rule_emits_says_who_emitted_it_for_ever() {
    let mut play = Play::new(2, &[rule("again", "again", "not tagged \"again\"", Width::Stream)]);
    let mut builder = BatchBuilder::new();
    builder.push(&event("a", "b", "ok"));
    let mut marks = Vec::new();
    play.engine.feed(builder, Timestamp::EPOCH, |batch, _, _| {
        marks.extend(batch.events().map(|event| event.binding()));
    });
    assert_eq!(marks, [0, mark_of("again")]);
    assert_ne!(mark_of("again"), mark_of("others"));
}
