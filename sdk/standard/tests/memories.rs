//! What single stages remember, looked at from near: bounds, what is counted, and that an event is read alike where it lies and
//! copied.

use standard::func::{Fold, Func};
use standard::keep::{From, Memory, Recipe};
use standard::run::{Clock, Item, Number, Pass};
use standard::value::{Fact, Name, Value};
use tidegate_event::{BatchBuilder, NewEvent};
use tidegate_sdk::{LIST_MAX, Span, Timestamp};

fn now() -> Timestamp {
    Timestamp::from_secs(100)
}

fn event(host: &str, state: &str, metric: i64) -> Value {
    Value::Fact(Box::new(Fact {
        host: Some(host.to_owned()),
        state: Some(state.to_owned()),
        metric: Some(metric.into()),
        time: Some(now()),
        ..Fact::default()
    }))
}

/// Hands these to a stage. Returns how many it passed on and how many found no room.
fn step(recipe: &Recipe, memory: &mut Memory, items: impl IntoIterator<Item = Value>) -> (usize, u64) {
    let clock = Clock { now: now(), event: None };
    let (mut passed, mut left_out) = (0, 0);
    for item in items {
        let mut pass = Pass::default();
        memory.step(recipe, now(), Item::Own(item), &clock, &mut pass).unwrap();
        left_out += pass.left_out;
        passed += pass.all().count();
    }
    (passed, left_out)
}

#[test]
fn who_is_as_at_the_beginning_is_not_remembered() {
    let recipe = Recipe::ChangedState { init: Value::Text("ok".to_owned()) };
    let mut memory = Memory::fresh(&recipe, now());
    let states = ["ok", "bad", "bad", "ok", "ok"];
    let (passed, _) = step(&recipe, &mut memory, states.map(|state| event("web1", state, 1)));
    assert_eq!((passed, memory), (2, Memory::ChangedState(Default::default())));
}

#[test]
fn what_finds_no_room_is_counted() {
    let every = Span::secs(10);
    let stages = [
        Recipe::FoldInterval {
            every,
            from: From::Epoch,
            field: Name::of("metric"),
            f: Func::Fold(Fold::Sum),
            empty: false,
        },
        Recipe::Percentiles { every, from: From::Epoch, points: vec![(0.5, None)] },
    ];
    for recipe in stages {
        let mut memory = Memory::fresh(&recipe, now());
        let events = (0..LIST_MAX as i64 + 7).map(|number| event("web1", "ok", number));
        assert_eq!(step(&recipe, &mut memory, events), (0, 7), "{recipe:?}");
    }
}

#[test]
fn an_event_is_read_alike_where_it_lies_and_copied() {
    let full = NewEvent {
        host: Some("web1"),
        service: Some("disk"),
        state: Some("ok"),
        description: Some("full"),
        metric: Some(1.5.into()),
        time: Some(Timestamp(12_500_000)),
        ttl: Some(30.0),
        tags: &["a", "b"],
        // The last one counts.
        attributes: &[("rack", "7"), ("rack", "8"), ("row", "x")],
        ..NewEvent::default()
    };
    let mut rows = BatchBuilder::new();
    rows.push(&full);
    rows.push(&NewEvent { time: Some(now()), ..NewEvent::default() });
    let names = [
        "host",
        "service",
        "state",
        "description",
        "metric",
        "time",
        "ttl",
        "tags",
        "attributes",
        "rack",
        "row",
        "none",
    ];
    for row in 0..2 {
        let event = rows.event(row);
        let clock = Clock { now: now(), event: Some(&event) };
        for number in [Number::Kept, Number::Set(None), Number::Set(Some(7.into()))] {
            let item = Item::Row(number);
            let copied = item.clone().own(&clock);
            for name in names.map(Name::of) {
                let lying = item.apply(&Func::Field(name.clone()), &clock);
                assert_eq!(lying, Func::Field(name.clone()).apply(&copied, now()), "{name:?}");
            }
            for tag in ["a", "c"] {
                assert_eq!(item.tagged(tag, &clock), Item::Own(copied.clone()).tagged(tag, &clock));
            }
        }
    }
    let event = rows.event(0);
    assert_eq!(event.attribute("rack"), Some("8"));
    let mut fact = Fact::of(&event);
    assert_eq!(fact.get(&Name::of("rack")), Value::Text("8".to_owned()));
    fact.set(&Name::of("rack"), Value::Null).unwrap();
    assert_eq!(fact.get(&Name::of("rack")), Value::Null);
}
