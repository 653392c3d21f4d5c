//! Each stage of the hot path by itself, and all of one shard together.

use super::limits::limits;
use super::rules::{Counted, Idle, Linked, built_in, find};
use super::workload::{Fleet, Kind, START};
use super::{Frames, Timing, round};
use crate::log::{Log, Retention};
use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidegate_engine::codec::{self, riemann};
use tidegate_engine::guest::{Guest, Guests};
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::{Control, RuleSpec};
use tidegate_engine::shard::{Settings, Shard, key_of};
use tidegate_event::{Batch, BatchBuilder, FieldSet, Reply, Span, Timestamp};

/// The seed of key ids, the same in every bench.
pub(super) const SEED: u64 = 42;

/// What a stage is measured with.
#[derive(Clone, Debug)]
pub struct StageArgs {
    /// Streams that speak.
    pub streams: usize,
    /// Which kind of fleet.
    pub workload: Kind,
    /// Rules that are deployed: the first few want every event, the others none.
    pub rules: usize,
    /// How many want every event.
    pub matching: usize,
    /// Events of a batch.
    pub batch: usize,
    /// How long to measure.
    pub seconds: f64,
    /// The rule that wants every event: one that is built in.
    pub rule: String,
    /// Shards, each on a thread of its own.
    pub shards: usize,
}

impl Default for StageArgs {
    fn default() -> Self {
        Self {
            streams: 1000,
            workload: Kind::Steady,
            rules: 1,
            matching: 1,
            batch: 256,
            seconds: 3.0,
            rule: "moving-average".into(),
            shards: 1,
        }
    }
}

impl StageArgs {
    pub(super) fn span(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.clamp(0.05, 600.0))
    }

    /// The same with a part of the time.
    fn part(&self, share: f64) -> Self {
        Self { seconds: self.seconds * share, ..self.clone() }
    }

    /// Enough batches that every stream speaks at least twice.
    fn rounds(&self) -> usize {
        (2 * self.streams).div_ceil(self.batch).clamp(16, 4096)
    }

    pub(super) fn messages(&self) -> Vec<Vec<u8>> {
        Fleet::of(self.workload, self.streams).messages(self.rounds(), self.batch)
    }

    pub(super) fn batches(&self) -> Vec<Batch> {
        let mut fleet = Fleet::of(self.workload, self.streams);
        (0..self.rounds()).map(|_| fleet.batch(self.batch, SEED)).collect()
    }

    fn figures(&self, bench: &str, timing: &Timing) -> Value {
        let mut out = json!({ "bench": bench, "workload": self.workload.name(), "streams": self.streams });
        for (name, value) in timing.json().as_object().into_iter().flatten() {
            out[name] = value.clone();
        }
        out
    }
}

/// Time as a shard sees it: it goes at the rate at which a million events a second would pass.
pub(super) fn moment(position: u64, batch: usize) -> Timestamp {
    START + Span((position * batch as u64) as i64)
}

/// Frames to batches: the decoder alone, strings left where they lie.
pub fn decode(args: &StageArgs) -> anyhow::Result<Value> {
    let messages = args.messages();
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
    if builder.len() != args.batch {
        bail!("a message of {} events was decoded to {}", args.batch, builder.len());
    }
    let mut out = args.figures("decode", &timing);
    out["bytes_per_event"] = json!(bytes);
    Ok(out)
}

/// Time of receipt and key id, for every event of a decoded batch.
fn stamp(args: &StageArgs) -> Timing {
    let mut builders = Fleet::of(args.workload, args.streams).events_in(args.rounds(), args.batch);
    let (mut next, count) = (0, builders.len());
    Timing::of(args.span(), args.batch, || {
        builders[next % count].stamp(SEED, START);
        next += 1;
    })
}

/// Every rule's plain matcher on every event: what a query means, without what makes many of them fast.
pub fn matching(args: &StageArgs) -> anyhow::Result<Value> {
    let batches = args.batches();
    let matchers: Vec<Matcher> = (0..args.rules)
        .map(|number| Matcher::parse(&query(number, args.matching)).map_err(|error| anyhow!("{error}")))
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
    let mut out = args.figures("match", &timing);
    out["rules"] = json!(args.rules);
    Ok(out)
}

/// One guest's call, as wasm and natively, on the same bytes.
pub fn guest(args: &StageArgs) -> anyhow::Result<Value> {
    let rule = find(&args.rule)?;
    let (spec, host) = built_in(&args.rule)?;
    let mut wasm = host.guest(&spec).map_err(|fault| anyhow!("{fault}"))?;
    let mut native = (rule.native)(&spec.settings).map_err(|error| anyhow!("{error}"))?;
    let batches = gathered(&args.batches(), &spec);
    // In turns, so that a busy moment of the machine falls on both.
    let (mut of_wasm, mut of_native) = (Timing::default(), Timing::default());
    let span = args.span() / 12;
    for _ in 0..6 {
        of_wasm.join(time(span, &mut wasm, &batches)?);
        of_native.join(time(span, &mut *native, &batches)?);
    }
    let mut out = args.figures("guest", &of_wasm);
    out["rule"] = json!(args.rule);
    out["native_ns_per_event"] = json!(round(of_native.quantile(0.5)));
    out["wasm_over_native"] = json!(round(of_wasm.quantile(0.5) / of_native.quantile(0.5)));
    Ok(out)
}

fn time(span: Duration, guest: &mut dyn Guest, batches: &[Batch]) -> anyhow::Result<Timing> {
    let (mut next, mut reply, mut failed) = (0, Reply::default(), None);
    let events = batches.first().map_or(1, Batch::len);
    let timing = Timing::of(span, events, || {
        failed = guest.call(&batches[next % batches.len()], &mut reply).err().or(failed.take());
        next += 1;
    });
    failed.map_or(Ok(timing), |fault| Err(anyhow!("{fault}")))
}

/// A whole shard: decode, stamp, index, match, call.
pub fn shard(args: &StageArgs) -> anyhow::Result<Value> {
    if args.shards > 1 {
        return super::scaling::shards(args);
    }
    let (spec, host) = built_in(&args.rule)?;
    let (guests, events) = Counted::new(host);
    let timing = whole(args, guests, &spec)?;
    let mut out = args.figures("shard", &timing);
    out["rules"] = json!(args.rules);
    out["matching"] = json!(args.matching.min(args.rules));
    out["rule"] = json!(args.rule);
    out["events_to_rules"] = json!(events.load(Ordering::Relaxed));
    Ok(out)
}

fn whole(args: &StageArgs, guests: Arc<dyn Guests>, spec: &RuleSpec) -> anyhow::Result<Timing> {
    let (mut shard, mut position) =
        deployed(Settings { seed: SEED, ..Settings::default() }, args, guests, spec)?;
    // Names of a fleet that churns are too many to be prepared: they are written into the message just before it is used.
    let mut frames = match args.workload {
        Kind::Churn => Some(Frames::new(args.workload, args.streams, args.batch, START)?),
        _ => None,
    };
    let messages = if frames.is_some() { Vec::new() } else { args.messages() };
    let limits = codec::Limits::default();
    let mut builder = BatchBuilder::new();
    let mut troubled = None;
    let timing = Timing::of(args.span(), args.batch, || {
        position += 1;
        let now = moment(position, args.batch);
        let message = match &mut frames {
            Some(frames) => frames.next(now).get(4..).unwrap_or_default(),
            None => &messages[position as usize % messages.len()],
        };
        riemann::decode_copy(&mut builder, message, &limits).ok();
        builder.stamp(SEED, now);
        let mut batch = std::mem::take(&mut builder).finish();
        batch.header.position = position;
        batch.header.now = now;
        let step = shard.step(&batch);
        troubled = step.troubled.into_iter().next().or(troubled.take());
        builder = batch.into_builder();
    });
    troubled.map_or(Ok(timing), |trouble| Err(anyhow!("{}", trouble.fault)))
}

/// Batches that are decoded and stamped: a shard's step alone.
fn steps(args: &StageArgs, guests: Arc<dyn Guests>, spec: &RuleSpec) -> anyhow::Result<Timing> {
    let (mut shard, mut position) =
        deployed(Settings { seed: SEED, ..Settings::default() }, args, guests, spec)?;
    let mut batches = args.batches();
    let (mut troubled, count) = (None, batches.len());
    let timing = Timing::of(args.span(), args.batch, || {
        position += 1;
        let batch = &mut batches[position as usize % count];
        batch.header.position = position;
        batch.header.now = moment(position, args.batch);
        let step = shard.step(batch);
        troubled = step.troubled.into_iter().next().or(troubled.take());
    });
    troubled.map_or(Ok(timing), |trouble| Err(anyhow!("{}", trouble.fault)))
}

/// A shard with that many rules, and the position of the last deployment.
pub(super) fn deployed(
    settings: Settings,
    args: &StageArgs,
    guests: Arc<dyn Guests>,
    spec: &RuleSpec,
) -> anyhow::Result<(Shard, u64)> {
    let mut shard = Shard::new(settings, guests);
    for number in 0..args.rules {
        let spec = RuleSpec {
            name: format!("{}-{number}", spec.name),
            query: query(number, args.matching),
            ..spec.clone()
        };
        let step = shard.control(&Control::Deploy(Box::new(spec)), number as u64 + 1, START);
        if let Some(trouble) = step.troubled.first() {
            bail!("{}", trouble.fault);
        }
    }
    Ok((shard, args.rules as u64))
}

/// Appending to the log and handing it to the operating system, as at level `logged`.
fn append(args: &StageArgs) -> anyhow::Result<Timing> {
    let folder = tempfile::tempdir()?;
    let retention = Retention { keep_bytes: 256 << 20, ..Retention::default() };
    let (mut log, _) = Log::open(folder.path(), retention, Arc::default())?;
    let mut batches = args.batches();
    let (mut position, count, mut failed) = (0, batches.len(), None);
    let timing = Timing::of(args.span(), args.batch, || {
        position += 1;
        let batch = &mut batches[position as usize % count];
        batch.header.position = position;
        log.batch(batch);
        failed = log.write(Vec::new).err().or(failed.take());
    });
    failed.map_or(Ok(timing), |error| Err(error).context("the log could not be written"))
}

/// Every stage by itself, and all of them together: where the time goes.
pub fn stages(args: &StageArgs) -> anyhow::Result<Value> {
    let args = args.part(1.0 / 15.0);
    let rule = find(&args.rule)?;
    let (spec, host) = built_in(&args.rule)?;
    let host = Arc::new(host);
    let gathered = gathered(&args.batches(), &spec);
    let none = StageArgs { rules: 0, ..args.clone() };

    let decode = decode(&args)?["ns_per_event"].as_f64().unwrap_or(f64::NAN);
    let stamp = stamp(&args).quantile(0.5);
    let index = steps(&none, Arc::new(Idle), &spec)?.quantile(0.5);
    let routed = steps(&args, Arc::new(Idle), &spec)?.quantile(0.5);
    let mut native = (rule.native)(&spec.settings).map_err(|error| anyhow!("{error}"))?;
    let native = time(args.span(), &mut *native, &gathered)?.quantile(0.5);
    let mut wasm = host.guest(&spec).map_err(|fault| anyhow!("{fault}"))?;
    let wasm = time(args.span(), &mut wasm, &gathered)?.quantile(0.5);
    let append = append(&args)?.quantile(0.5);
    let linked = whole(&args, Arc::new(Linked(rule)), &spec)?.quantile(0.5);
    let all = whole(&args, host, &spec)?.quantile(0.5);

    let limit = limits(&args)?;
    let row = |stage: &str, nanos: f64, limit: Option<f64>| {
        let limit = limit.map(round);
        json!({ "stage": stage, "ns_per_event": round(nanos), "share": round(nanos / all), "limit_ns": limit })
    };
    Ok(json!({
        "bench": "stages",
        "workload": args.workload.name(),
        "streams": args.streams,
        "rules": args.rules,
        "rule": args.rule,
        "stages": [
            row("decode", decode, Some(limit.decode)),
            row("stamp", stamp, Some(limit.stamp)),
            row("index", index, Some(limit.index)),
            row("match and gather", routed - index, Some(limit.gather)),
            row("call, wasm", wasm, Some(native)),
            row("sum of these", decode + stamp + routed + wasm, None),
            row("all together", all, None),
            row("all together, linked in", linked, None),
            row("log append, on top", append, Some(limit.append)),
            row("loopback socket alone", limit.loopback, None),
        ],
    }))
}

/// The first rules want everything; the others each a service that nobody has.
fn query(number: usize, matching: usize) -> String {
    if number < matching { "metric != nil".into() } else { format!("service = \"nobody has {number}\"") }
}

/// Batches as a shard gathers them for a rule: its fields only, with slots.
pub fn gathered(batches: &[Batch], spec: &RuleSpec) -> Vec<Batch> {
    let mut slots: BTreeMap<u64, u32> = BTreeMap::new();
    let gather = |batch: &Batch| {
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
    batches.iter().map(gather).collect()
}
