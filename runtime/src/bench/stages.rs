//! Decode, match, guest, shard: each stage of the hot path by itself, and all of one shard together.

use super::Timing;
use super::workload::{Fleet, START};
use crate::rules;
use anyhow::{Context, anyhow};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::codec::{self, riemann};
use tidegate_engine::guest::{Guest, Guests};
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::{Control, RuleSpec};
use tidegate_engine::shard::{Settings, Shard, key_of};
use tidegate_event::{Batch, BatchBuilder, FieldSet, Reply, Span};
use tidegate_wasm::{Host, HostOptions};

/// What a stage is measured with.
#[derive(Clone, Debug)]
pub struct StageArgs {
    /// Streams that speak.
    pub streams: usize,
    /// Rules that are deployed; one of them wants every event, the others none.
    pub rules: usize,
    /// Events of a batch.
    pub batch: usize,
    /// How long to measure.
    pub seconds: f64,
    /// The rule that wants every event: one that is built in.
    pub rule: String,
}

impl Default for StageArgs {
    fn default() -> Self {
        Self { streams: 1000, rules: 1, batch: 256, seconds: 3.0, rule: "moving-average".into() }
    }
}

impl StageArgs {
    fn span(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.clamp(0.05, 600.0))
    }

    /// Enough batches that every stream speaks at least twice.
    fn batches(&self) -> usize {
        (2 * self.streams).div_ceil(self.batch).clamp(16, 4096)
    }
}

/// Frames to batches: the decoder alone, strings left where they lie.
pub fn decode(args: &StageArgs) -> anyhow::Result<Value> {
    let messages = Fleet::new(args.streams).messages(args.batches(), args.batch);
    let limits = codec::Limits::default();
    let bytes: usize = messages.iter().map(Vec::len).sum::<usize>() / messages.len() / args.batch;
    let mut next = 0;
    let mut builder = BatchBuilder::new();
    let timing = Timing::of(args.span(), args.batch, || {
        let message = &messages[next % messages.len()];
        next += 1;
        builder = std::mem::take(&mut builder).finish().into_builder();
        riemann::decode_copy(&mut builder, message, &limits).ok();
        std::hint::black_box(builder.len());
    });
    let mut out = timing.json();
    out["bench"] = json!("decode");
    out["bytes_per_event"] = json!(bytes);
    Ok(out)
}

/// Every rule's plain matcher on every event.
pub fn matching(args: &StageArgs) -> anyhow::Result<Value> {
    let batches = batches(args, 0);
    let matchers: Vec<Matcher> = (0..args.rules)
        .map(|number| Matcher::parse(&query(number)).map_err(|error| anyhow!("{error}")))
        .collect::<Result<_, _>>()?;
    let mut next = 0;
    let timing = Timing::of(args.span(), args.batch, || {
        let batch = &batches[next % batches.len()];
        next += 1;
        let hits: usize = batch
            .events()
            .map(|event| matchers.iter().filter(|matcher| matcher.matches(&event)).count())
            .sum();
        std::hint::black_box(hits);
    });
    let mut out = timing.json();
    out["bench"] = json!("match");
    out["rules"] = json!(args.rules);
    Ok(out)
}

/// One guest's call, as wasm and natively, on the same bytes.
pub fn guest(args: &StageArgs) -> anyhow::Result<Value> {
    let rule = rules::find(&args.rule)?;
    let (spec, host) = built_in(&args.rule)?;
    let mut wasm = host.guest(&spec).map_err(|fault| anyhow!("{fault}"))?;
    let mut native = (rule.native)(&spec.settings).map_err(|error| anyhow!("{error}"))?;
    let batches = guest_batches(args, &spec);
    let time = |guest: &mut dyn Guest| -> anyhow::Result<Timing> {
        let (mut next, mut reply, mut failed) = (0, Reply::default(), None);
        let timing = Timing::of(args.span() / 2, args.batch, || {
            failed = guest.call(&batches[next % batches.len()], &mut reply).err().or(failed.take());
            next += 1;
        });
        failed.map_or(Ok(timing), |fault| Err(anyhow!("{fault}")))
    };
    let (wasm, native) = (time(&mut wasm)?, time(&mut *native)?);
    let mut out = wasm.json();
    out["bench"] = json!("guest");
    out["rule"] = json!(args.rule);
    out["native_ns_per_event"] = json!(super::round(native.quantile(0.5)));
    out["wasm_over_native"] = json!(super::round(wasm.quantile(0.5) / native.quantile(0.5)));
    Ok(out)
}

/// A whole shard: decode, stamp, index, match, call.
pub fn shard(args: &StageArgs) -> anyhow::Result<Value> {
    let seed = 42;
    let messages = Fleet::new(args.streams).messages(args.batches(), args.batch);
    let (spec, host) = built_in(&args.rule)?;
    let host = Arc::new(host);
    let mut shard = Shard::new(Settings { seed, ..Settings::default() }, host.clone());
    for number in 0..args.rules {
        let spec = RuleSpec { name: format!("{}-{number}", spec.name), query: query(number), ..spec.clone() };
        let step = shard.control(&Control::Deploy(Box::new(spec)), number as u64 + 1, START);
        if let Some(trouble) = step.troubled.first() {
            return Err(anyhow!("{}", trouble.fault));
        }
    }
    let limits = codec::Limits::default();
    let (mut position, mut events, mut troubled) = (args.rules as u64, 0u64, None);
    let mut builder = BatchBuilder::new();
    let timing = Timing::of(args.span(), args.batch, || {
        let message = &messages[position as usize % messages.len()];
        position += 1;
        riemann::decode_copy(&mut builder, message, &limits).ok();
        builder.stamp(seed, START);
        let mut batch = std::mem::take(&mut builder).finish();
        batch.header.position = position;
        // Time goes at the rate at which a million events a second would pass.
        batch.header.now = START + Span((position * args.batch as u64) as i64);
        let step = shard.step(&batch);
        troubled = step.troubled.into_iter().next().or(troubled.take());
        events += step.counts.iter().map(|(_, count)| count.events).sum::<u64>();
        builder = batch.into_builder();
    });
    if let Some(trouble) = troubled {
        return Err(anyhow!("{}", trouble.fault));
    }
    let mut out = timing.json();
    out["bench"] = json!("shard");
    out["streams"] = json!(shard.streams().0);
    out["rules"] = json!(args.rules);
    out["rule"] = json!(args.rule);
    out["events_to_rules"] = json!(events);
    Ok(out)
}

/// The first rule wants everything; the others each a service that nobody has.
fn query(number: usize) -> String {
    if number == 0 { "metric != nil".into() } else { format!("service = \"nobody has {number}\"") }
}

fn batches(args: &StageArgs, seed: u64) -> Vec<Batch> {
    let mut fleet = Fleet::new(args.streams);
    (0..args.batches()).map(|_| fleet.batch(args.batch, seed)).collect()
}

/// Batches as a shard gathers them for a rule: its fields only, with slots.
fn guest_batches(args: &StageArgs, spec: &RuleSpec) -> Vec<Batch> {
    let mut slots: BTreeMap<u64, u32> = BTreeMap::new();
    let gather = |batch: &Batch| {
        let mut gathered = BatchBuilder::new();
        for event in batch.events() {
            let key = key_of(&spec.per, &event, 1);
            let next = slots.len() as u32;
            let slot = *slots.entry(key).or_insert(next);
            gathered.copy(&event, FieldSet(spec.fields), |row| (row.key, row.slot) = (key, slot));
        }
        let mut gathered = gathered.finish();
        gathered.header = batch.header;
        gathered
    };
    batches(args, 1).iter().map(gather).collect()
}

/// A built-in rule with its example settings, and a host that has its module.
pub fn built_in(name: &str) -> anyhow::Result<(RuleSpec, Host)> {
    let rule = rules::find(name)?;
    let store = Arc::new(|digest: &str| rules::by_digest(digest).map(<[u8]>::to_vec));
    let host = Host::new(&HostOptions::default(), store)?;
    let compiled = host.compile(rule.wasm).map_err(|refusal| anyhow!("{refusal}"))?;
    let manifest = &compiled.inspected.manifest;
    let set = rule.example.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let resolved = manifest.resolve(&set, &BTreeMap::new()).map_err(|error| anyhow!(error))?;
    let spec = RuleSpec {
        name: name.to_owned(),
        generation: 1,
        module: compiled.inspected.digest.clone(),
        version: manifest.version.clone(),
        query: manifest.query.clone(),
        per: manifest.per.clone(),
        fields: manifest.fields().0,
        settings: resolved.settings,
        set: resolved.set,
        outputs: resolved.outputs,
        limits: manifest.limits(),
        paused: false,
    };
    host.start(&spec).map_err(|fault| anyhow!("{fault}")).context("the built-in rule does not start")?;
    Ok((spec, host))
}
