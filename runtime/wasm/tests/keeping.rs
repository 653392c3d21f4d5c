//! What the keys of real rules remember goes out of a module and into another instance of it, and nothing is different.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tidegate_engine::guest::{FaultKind, Guest};
use tidegate_engine::rule::{Limits, RuleSpec};
use tidegate_event::{Batch, BatchBuilder, FieldSet, KeyState, Metric, NewEvent, Reply, Timestamp};
use tidegate_wasm::{Host, HostOptions, WasmGuest};

const SLOTS: u32 = 24;

/// A host with the rule compiled, and its specification.
fn rule() -> &'static (Host, RuleSpec) {
    static RULE: OnceLock<(Host, RuleSpec)> = OnceLock::new();
    RULE.get_or_init(|| {
        let options = HostOptions { instances: 64, ..HostOptions::default() };
        let host = Host::new(&options, Arc::new(|_: &str| None)).unwrap();
        let compiled = host.compile(include_bytes!("../../rules/latency_state.wasm")).unwrap();
        let manifest = &compiled.inspected.manifest;
        let set = BTreeMap::from([("limit_ms".to_owned(), "20".to_owned())]);
        let resolved = manifest.resolve(&set, &BTreeMap::new()).unwrap();
        let mut spec = manifest.rule("latency", resolved);
        spec.module.clone_from(&compiled.inspected.digest);
        spec.limits = Limits { deadline_ms: 20_000, ..Limits::default() };
        (host, spec)
    })
}

fn start() -> WasmGuest {
    let (host, spec) = rule();
    host.guest(spec).unwrap()
}

/// A call so many seconds after the last, with these events: a slot, a value, whether it is leaving.
type Call = (i64, Vec<(u32, f64, bool)>);

struct Stage {
    guest: WasmGuest,
    now: i64,
}

impl Stage {
    fn call(&mut self, (later, events): &Call) -> Reply {
        self.now += later;
        let mut builder = BatchBuilder::new();
        for (slot, value, leaving) in events {
            let mut one = BatchBuilder::new();
            one.push(&NewEvent {
                time: Some(Timestamp::from_secs(self.now)),
                host: Some("web1"),
                metric: Some(Metric::Float(*value)),
                ..NewEvent::default()
            });
            builder.copy(&one.event(0), FieldSet::ALL, |row| {
                (row.slot, row.key, row.leaving) = (*slot, 1000 + u64::from(*slot), *leaving);
            });
        }
        let mut batch: Batch = builder.finish();
        batch.header.now = Timestamp::from_secs(self.now);
        let mut reply = Reply::default();
        self.guest.call(&batch, &mut reply).unwrap();
        reply
    }

    fn all(&mut self) -> BTreeMap<u32, KeyState> {
        let mut saved = Vec::new();
        self.guest.pick(&(0..SLOTS).collect::<Vec<_>>(), &mut saved).unwrap();
        saved.into_iter().map(|key| (key.slot, key)).collect()
    }
}

fn any_calls(most: usize) -> impl Strategy<Value = Vec<Call>> {
    let value = prop_oneof![8 => 0.0..1e4, 1 => any::<f64>()];
    let event = (0..SLOTS, value, prop::bool::weighted(0.1));
    prop::collection::vec((0i64..4, prop::collection::vec(event, 0..12)), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_a_module_saves_is_what_stood_at_the_mark(
        before in any_calls(8),
        between in any_calls(8),
        most in 1u32..6,
    ) {
        let mut stage = Stage { guest: start(), now: 0 };
        for call in &before {
            stage.call(call);
        }
        let stood = stage.all();
        stage.guest.mark(true).unwrap();
        let mut between = between.iter();
        let mut saved = Vec::new();
        while stage.guest.save(most, &mut saved).unwrap() > 0 {
            between.next().into_iter().for_each(|call| drop(stage.call(call)));
        }
        prop_assert_eq!(saved.len(), stood.len());
        prop_assert_eq!(saved.into_iter().map(|key| (key.slot, key)).collect::<BTreeMap<_, _>>(), stood);
    }

    #[test]
    fn a_restored_module_goes_on_as_the_one_that_was_saved(
        before in any_calls(8),
        after in any_calls(8),
        slice in 1usize..30,
    ) {
        let mut stage = Stage { guest: start(), now: 0 };
        for call in &before {
            stage.call(call);
        }
        let keys: Vec<KeyState> = stage.all().into_values().collect();
        let mut other = Stage { guest: start(), now: stage.now };
        for slice in keys.chunks(slice) {
            other.guest.restore(1, slice).unwrap();
        }
        for call in &after {
            prop_assert_eq!(stage.call(call), other.call(call));
        }
        prop_assert_eq!(other.all(), stage.all());
    }
}

#[test]
fn a_state_that_does_not_fit_names_field_and_key_and_leaves_the_guest_as_it_was() {
    let mut stage = Stage { guest: start(), now: 0 };
    stage.call(&(1, vec![(2, 30.0, false)]));
    let stood = stage.all();
    let good = stood[&2].clone();
    // {"window": 7}
    let bad = KeyState { slot: 5, state: b"\x81\xa6window\x07".to_vec(), ..good.clone() };
    let first = KeyState { slot: 3, ..good };
    let fault = stage.guest.restore(1, &[first.clone(), bad]).unwrap_err();
    assert_eq!((fault.kind, fault.slot), (FaultKind::State, Some(5)));
    assert!(
        fault.message.starts_with("field `window`: invalid type: integer `7`, expected struct Tumbling"),
        "{fault}"
    );
    assert_eq!(stage.all(), stood);
    let fault = stage.guest.restore(9, &[first]).unwrap_err();
    assert!(
        fault.message.starts_with("saved with state_schema = 9, this version has 1: write `fn migrate`"),
        "{fault}"
    );
    assert_eq!(stage.all(), stood);
}
