//! What keys remember is saved as it stood at the mark, whatever comes in between, and a restored guest goes on as if
//! nothing had happened.

use proptest::prelude::*;
use std::collections::BTreeMap;
use tidegate_event::{Batch, BatchBuilder, Header, KeyState, KeyStates, NewEvent, NotRestored, Reply, Row};
use tidegate_sdk::prelude::*;
use tidegate_sdk::rt::{RuleManifest, Runner, SLOTS_MAX};

/// Remembers a little of everything, asks for wakes, and changes in each of its moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Many {
    seen: u64,
    last: Option<f64>,
    window: Tumbling<Sum>,
    words: Vec<String>,
}

#[rule(query = "true", per = Stream, state_schema = 2)]
impl Rule for Many {
    type Params = ();

    fn first_seen(_: &Event<'_>, _: &()) -> Self {
        Self { seen: 0, last: None, window: Tumbling::every(Span::secs(5)), words: Vec::new() }
    }

    fn on_event(&mut self, event: &Event<'_>, _: &(), out: &mut Out<'_>) {
        self.seen += 1;
        self.last = event.metric();
        out.wake_at(self.window.add(event.time(), event.metric().unwrap_or(1.0)));
        out.wake_in(Span::secs(self.seen as i64 % 7));
        if self.words.len() < 3 {
            self.words.push(format!("word {}", self.seen));
        }
        out.emit().metric(self.seen).send();
    }

    fn on_wake(&mut self, _: &(), out: &mut Out<'_>) {
        self.words.pop();
        if let Some(sum) = self.window.close(out.time()) {
            out.emit().service("sum").metric(sum.get()).describe(out_text(&self.words)).send();
        }
    }

    fn on_expire(&mut self, _: &Event<'_>, _: &(), out: &mut Out<'_>) {
        out.emit().service("gone").metric(self.seen).send();
    }

    fn migrate(saved: Saved<'_>) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct First {
            seen: u64,
        }
        let First { seen } = saved.read()?;
        if seen == 13 {
            return Err("13 cannot be carried over".into());
        }
        Ok(Self { seen: 100 * seen, last: None, window: Tumbling::every(Span::secs(5)), words: Vec::new() })
    }
}

fn out_text(words: &[String]) -> String {
    words.join(",")
}

/// What happens to a guest.
#[derive(Clone, Debug)]
enum Act {
    /// A call so many seconds after the last, with events for these slots; those with `true` are leaving.
    Call(i64, Vec<(u32, u32, bool, f64)>),
    Unbind(u32),
}

/// A key's slot says which rule it is for, as with a host that never gives a slot to two keys at once.
fn binding(slot: u32) -> u32 {
    slot % 2
}

fn block(now: i64, events: &[(u32, u32, bool, f64)]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (slot, count, leaving, metric) in events {
        for _ in 0..*count {
            let mut one = BatchBuilder::new();
            one.push(&NewEvent {
                time: Some(Timestamp::from_secs(now)),
                metric: Some((*metric).into()),
                ..NewEvent::default()
            });
            builder.copy(&one.event(0), tidegate_event::FieldSet::ALL, |row: &mut Row| {
                row.slot = *slot;
                row.binding = binding(*slot);
                row.key = id(*slot);
                row.leaving = *leaving;
            });
        }
    }
    let mut batch = builder.finish();
    batch.header = Header { now: Timestamp::from_secs(now), ..batch.header };
    batch
}

fn id(slot: u32) -> u64 {
    0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(u64::from(slot) + 1)
}

/// A guest and its clock.
struct Stage {
    runner: Runner<Many>,
    now: i64,
}

impl Stage {
    fn new() -> Self {
        let mut runner = Runner::new();
        (0..2).for_each(|binding| runner.bind(binding, &[]).unwrap());
        Self { runner, now: 0 }
    }

    fn act(&mut self, act: &Act) -> Reply {
        let mut reply = Reply::default();
        match act {
            Act::Call(later, events) => {
                self.now += later;
                self.runner.call(&block(self.now, events).to_block(), &mut reply);
            }
            Act::Unbind(binding) => {
                self.runner.unbind(*binding);
                self.runner.bind(*binding, &[]).unwrap();
            }
        }
        reply
    }

    /// What all keys remember now, by slot.
    fn all(&mut self) -> BTreeMap<u32, KeyState> {
        let mut list = Vec::new();
        self.runner.pick(0..SLOTS, &mut list);
        by_slot(&list)
    }
}

fn by_slot(list: &[u8]) -> BTreeMap<u32, KeyState> {
    let mut keys = BTreeMap::new();
    for key in KeyStates::new(list) {
        let key = key.unwrap().to_owned();
        assert!(keys.insert(key.slot, key).is_none(), "a key is saved once");
    }
    keys
}

const SLOTS: u32 = 12;

fn any_act() -> impl Strategy<Value = Act> {
    let event = (0..SLOTS, 1u32..4, prop::bool::weighted(0.15), prop_oneof![-9.0..9.0, Just(f64::NAN)]);
    prop_oneof![
        12 => (0i64..4, prop::collection::vec(event, 0..6)).prop_map(|(later, events)| Act::Call(later, events)),
        1 => (0u32..2).prop_map(Act::Unbind),
    ]
}

fn any_acts(most: usize) -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(any_act(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_saved_is_what_stood_at_the_mark(
        before in any_acts(8),
        rounds in prop::collection::vec((prop::bool::weighted(0.3), any_acts(6), 1u32..5), 1..4),
    ) {
        let mut stage = Stage::new();
        before.iter().for_each(|act| drop(stage.act(act)));
        // A checkpoint: what was saved last of each key that there is.
        let mut kept: BTreeMap<u32, KeyState> = BTreeMap::new();
        for (round, (all, between, most)) in rounds.iter().enumerate() {
            let stood = stage.all();
            let marked = stage.runner.mark(*all || round == 0);
            let mut left = marked;
            let mut list = Vec::new();
            let mut acts = between.iter();
            while left > 0 {
                let before = KeyStates::new(&list).count() as u32;
                let now_left = stage.runner.save(*most, &mut list);
                let given = KeyStates::new(&list).count() as u32 - before;
                prop_assert!(given <= *most && given > 0);
                prop_assert_eq!(now_left, left - given);
                left = now_left;
                acts.next().into_iter().for_each(|act| drop(stage.act(act)));
            }
            let saved = by_slot(&list);
            for (slot, key) in &saved {
                prop_assert_eq!(Some(key), stood.get(slot));
            }
            if *all || round == 0 {
                prop_assert_eq!(saved.len(), stood.len());
            }
            kept.retain(|slot, _| stood.contains_key(slot));
            kept.extend(saved);
            prop_assert_eq!(&kept, &stood);
            acts.for_each(|act| drop(stage.act(act)));
        }
    }

    #[test]
    fn a_restored_guest_goes_on_as_the_one_that_was_saved(
        before in any_acts(12),
        elsewhere in any_acts(4),
        after in any_acts(12),
        slice in 1usize..20,
    ) {
        let mut stage = Stage::new();
        before.iter().for_each(|act| drop(stage.act(act)));
        let saved = stage.all();
        // Into a guest that was doing something else with the same slots.
        let mut other = Stage::new();
        elsewhere.iter().for_each(|act| drop(other.act(act)));
        (0..2).for_each(|binding| drop(other.act(&Act::Unbind(binding))));
        other.now = stage.now;
        let keys: Vec<&KeyState> = saved.values().collect();
        let mut next_wake = Timestamp::NEVER;
        for slice in keys.chunks(slice) {
            let mut list = Vec::new();
            slice.iter().for_each(|key| key.write(&mut list));
            next_wake = other.runner.restore(2, &list).unwrap();
        }
        let earliest = saved.values().filter_map(|key| key.wakes.first()).min().copied();
        prop_assert_eq!(next_wake, earliest.unwrap_or(Timestamp::NEVER));
        prop_assert_eq!(&other.all(), &saved);
        for act in &after {
            prop_assert_eq!(stage.act(act), other.act(act));
        }
        prop_assert_eq!(other.all(), stage.all());
    }
}

fn one(slot: u32, state: &impl Serialize) -> KeyState {
    let state = rmp_serde::to_vec_named(state).unwrap();
    KeyState { slot, binding: 0, key: 7, wakes: Vec::new(), state }
}

fn restore(stage: &mut Stage, schema: u32, keys: &[KeyState]) -> Result<Timestamp, NotRestored> {
    let mut list = Vec::new();
    keys.iter().for_each(|key| key.write(&mut list));
    stage.runner.restore(schema, &list)
}

fn many() -> Many {
    Many { seen: 3, last: None, window: Tumbling::every(Span::secs(5)), words: vec!["a".into()] }
}

#[test]
fn restored_keys_are_touched_and_saved_ones_are_not() {
    let mut stage = Stage::new();
    stage.act(&Act::Call(0, vec![(0, 1, false, 1.0), (1, 1, false, 1.0)]));
    assert_eq!(stage.runner.mark(false), 2, "at first all keys are touched");
    assert_eq!(stage.runner.save(9, &mut Vec::new()), 0);
    assert_eq!(stage.runner.mark(false), 0);
    restore(&mut stage, 2, &[one(4, &many()), one(0, &many())]).unwrap();
    assert_eq!(stage.runner.mark(false), 2);
    assert_eq!(stage.runner.mark(false), 3, "what was marked and not saved is marked again, with all else");
}

#[test]
fn a_restore_between_mark_and_save_does_not_change_what_is_saved() {
    let mut stage = Stage::new();
    stage.act(&Act::Call(0, vec![(0, 1, false, 1.0)]));
    let stood = stage.all();
    stage.runner.mark(true);
    restore(&mut stage, 2, &[one(0, &many())]).unwrap();
    let mut list = Vec::new();
    assert_eq!(stage.runner.save(9, &mut list), 0);
    assert_eq!(by_slot(&list), stood);
}

#[test]
fn another_schema_goes_through_migrate_and_all_or_nothing_is_restored() {
    #[derive(Serialize)]
    struct First {
        seen: u64,
        gone: bool,
    }
    let first = |slot, seen| one(slot, &First { seen, gone: true });
    let mut stage = Stage::new();
    restore(&mut stage, 1, &[first(0, 4)]).unwrap();
    assert_eq!(stage.runner.state(0).unwrap().seen, 400);
    let before = stage.all();
    let not = restore(&mut stage, 1, &[first(0, 5), first(2, 13), first(4, 6)]).unwrap_err();
    let reason = "saved with state_schema = 1, this version has 2: 13 cannot be carried over".to_owned();
    assert_eq!(not, NotRestored::Unfit { index: 1, reason });
    assert_eq!(stage.all(), before);
}

#[test]
fn a_host_that_breaks_the_contract_is_refused() {
    let mut stage = Stage::new();
    let refused = |not| match not {
        Err(NotRestored::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(stage.runner.restore(2, &[1, 2, 3])), "the bytes end within saved key 0");
    let far = one(SLOTS_MAX as u32, &many());
    assert!(
        refused(restore(&mut stage, 2, &[far])).starts_with("saved key 0 has slot 4194304: slots are dense")
    );
    let unbound = KeyState { binding: 7, ..one(0, &many()) };
    assert_eq!(
        refused(restore(&mut stage, 2, &[unbound])),
        "saved key 0 is for binding 7, which was never bound"
    );
    assert!(stage.all().is_empty());
}

#[test]
fn the_schema_is_that_of_the_manifest() {
    assert_eq!(Many::STATE_SCHEMA, 2);
    assert!(Many::MANIFEST.contains(r#""state_schema":2"#));
}
