//! Rules that are linked in, and batches as a shard gathers them: what the counted stages work on.
//!
//! The workload is the one that `tidegate bench` uses, taken in by its file, so that wasmtime need not be built for it.

#[path = "../../../runtime/src/bench/workload.rs"]
pub mod workload;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use tidegate_engine::guest::{Fault, FaultKind, Guest, Guests, Native, Spent};
use tidegate_engine::manifest::Manifest;
use tidegate_engine::rule::RuleSpec;
use tidegate_engine::shard::key_of;
use tidegate_event::{Batch, BatchBuilder, FieldSet, Reply};
use tidegate_sdk::Rule;
use tidegate_sdk::rt::{RuleManifest, Runner};
use workload::Fleet;

/// Streams that speak.
pub const STREAMS: usize = 1_000;

/// Events of a batch.
pub const BATCH: usize = 256;

/// The seed of key ids.
pub const SEED: u64 = 42;

/// Batches in which each stream speaks at least twice.
pub fn batches() -> Vec<Batch> {
    let mut fleet = Fleet::new(STREAMS);
    (0..(2 * STREAMS).div_ceil(BATCH)).map(|_| fleet.batch(BATCH, SEED)).collect()
}

/// The same as a guest of that rule gets them: its fields only, with slots.
pub fn gathered(spec: &RuleSpec) -> Vec<Batch> {
    let mut slots: BTreeMap<u64, u32> = BTreeMap::new();
    let mut gather = |batch: &Batch| {
        let mut gathered = BatchBuilder::new();
        for event in batch.events() {
            let key = key_of(&spec.per, &event, SEED);
            let next = slots.len() as u32;
            let slot = *slots.entry(key).or_insert(next);
            gathered.copy(&event, FieldSet(spec.fields), |row| (row.key, row.slot) = (key, slot));
        }
        let mut gathered = gathered.finish();
        gathered.header = batch.header;
        gathered
    };
    batches().iter().map(&mut gather).collect()
}

/// A rule with what its settings are where nobody says more than they must.
pub fn resting<R: RuleManifest>() -> RuleSpec {
    let manifest = Manifest::from_json(R::MANIFEST.as_bytes()).expect("the rule has a manifest");
    let must = BTreeMap::from([("limit", "1000000"), ("limit_ms", "250")]);
    let set = manifest.params.iter().filter_map(|param| {
        must.get(param.name.as_str()).map(|value| (param.name.clone(), (*value).to_owned()))
    });
    let resolved =
        manifest.resolve(&set.collect(), &BTreeMap::new()).expect("the settings are what they must be");
    manifest.rule(&manifest.name, resolved)
}

/// A rule as a plain function.
pub struct Linked<R>(PhantomData<fn() -> R>);

impl<R> Default for Linked<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<R: Rule + RuleManifest> Guests for Linked<R> {
    fn start(&self, rule: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        let mut runner = Runner::<R>::new();
        runner.bind(0, &rule.settings).map_err(|error| Fault::new(FaultKind::Start, error))?;
        Ok(Box::new(Native::linked(runner)))
    }
}

/// Guests that do nothing: what is left is the shard's own work.
pub struct Idle;

impl Guests for Idle {
    fn start(&self, _: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        Ok(Box::new(Idle))
    }
}

impl Guest for Idle {
    fn call(&mut self, _: &Batch, reply: &mut Reply) -> Result<Spent, Fault> {
        reply.clear();
        Ok(Spent::default())
    }
}
