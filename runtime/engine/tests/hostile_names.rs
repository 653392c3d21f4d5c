//! Names come from strangers: millions of them cost no more than the caps allow, and leave what is established alone.

use std::sync::Arc;
use tidegate_engine::guest::{Fault, Guest, Guests, Native};
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::{Control, Limits, Origin, RuleSpec, Width};
use tidegate_engine::shard::{Settings, Shard};
use tidegate_event::{BatchBuilder, BatchRef, FieldSet, NewEvent, Reply, Timestamp, stream_key};

/// A guest that notes how many slots it was given.
struct Slots;

impl Guests for Slots {
    fn start(&self, _: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        let mut most = 0;
        Ok(Box::new(Native::new(move |block: &[u8], reply: &mut Reply| {
            let batch = BatchRef::parse(block).expect("a shard writes batches");
            most = batch.events().map(|event| event.slot() + 1).max().unwrap_or(0).max(most);
            reply.keys = most;
            assert!(most <= 1_001, "{most} slots for 1,000 streams and the overflow key");
        })))
    }
}

fn feed(shard: &mut Shard, position: u64, names: impl Iterator<Item = String>) -> u64 {
    let mut builder = BatchBuilder::new();
    for name in names {
        builder.push(&NewEvent { host: Some(&name), metric: Some(1.into()), ..NewEvent::default() });
    }
    builder.stamp(9, Timestamp::from_secs(1));
    let mut batch = builder.finish();
    (batch.header.position, batch.header.now) = (position, Timestamp::from_secs(1));
    let step = shard.step(&batch);
    assert!(step.troubled.is_empty(), "{:?}", step.troubled);
    step.counts.iter().map(|(_, count)| count.over).sum()
}

#[test]
fn a_million_strange_names_find_no_room_and_change_nothing_for_those_that_have() {
    let settings = Settings { seed: 9, max_streams: 1_000, ..Settings::default() };
    let mut shard = Shard::new(settings, Arc::new(Slots));
    for (position, per) in [(1, Width::Stream), (2, Width::Host)] {
        let limits = Limits { keys: 1_000, ..Limits::default() };
        let rule = RuleSpec {
            name: format!("by-{per}"),
            generation: 1,
            module: format!("{per}"),
            version: "0".into(),
            query: "metric".into(),
            per,
            fields: FieldSet::ALL.0,
            settings: Vec::new(),
            set: Vec::new(),
            outputs: Vec::new(),
            limits,
            paused: false,
            schema: 1,
            reset_state: false,
            backfill: None,
            origin: Origin::default(),
        };
        shard.control(&Control::Deploy(Box::new(rule)), position, Timestamp::EPOCH);
    }
    let established = || (0..1_000).map(|n| format!("web{n}"));
    assert_eq!(feed(&mut shard, 3, established()), 0);
    let strangers = 1_000_000;
    for batch in 0..strangers / 1_000 {
        let names = (0..1_000).map(|n| format!("stranger {}", batch * 1_000 + n));
        assert_eq!(
            feed(&mut shard, 4 + batch, names),
            2_000,
            "each counts under the overflow key of both rules"
        );
    }
    assert_eq!((shard.streams().0, shard.refused()), (1_000, strangers));
    assert_eq!(feed(&mut shard, 9_999_999, established()), 0, "those that have room keep it");
    let mut found = BatchBuilder::new();
    let all = Matcher::parse("host =~ \"web%\"").expect("a query");
    shard.search(&all, 0, usize::MAX, usize::MAX, &mut found);
    assert_eq!(found.len(), 1_000);
}

/// Whoever knew one node's seed could choose names that crowd there; on any other they are spread like all names.
#[test]
fn names_that_collide_under_one_seed_are_spread_under_another() {
    let low = |seed: u64, name: &str| stream_key(seed, Some(name.as_bytes()), None) & 0xfff;
    let names = (0..2_000_000u32).map(|n| format!("{n:x}")).filter(|name| low(1, name) == 77);
    let names: Vec<String> = names.take(400).collect();
    assert_eq!(names.len(), 400);
    let mut places: Vec<u64> = names.iter().map(|name| low(2, name)).collect();
    places.sort_unstable();
    places.dedup();
    assert!(places.len() > 360, "{} places of 4,096 for 400 names", places.len());
}
