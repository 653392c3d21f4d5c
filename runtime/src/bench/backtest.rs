//! A backtest from end to end: a log as a node writes it, at a steady rate, and how fast a rule gets through it.

use super::rules::find;
use super::stages::SEED;
use super::workload::{Fleet, Kind, START};
use crate::backtest::{Candidate, Past, Plan, Progress, Range, Source, Wishes};
use crate::clock;
use crate::log::{Log, Retention};
use crate::telemetry::Process;
use anyhow::{Context, anyhow, ensure};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tidegate_event::{Batch, Span, Timestamp};

/// What is recorded, and how it is tried.
#[derive(Clone, Debug)]
pub struct BacktestArgs {
    /// Events in the log; about 140 bytes each.
    pub events: u64,
    /// Events a second of the log's own time.
    pub rate: u64,
    /// Events of a batch.
    pub batch: usize,
    /// Streams that speak.
    pub streams: usize,
    /// Which kind of fleet.
    pub workload: Kind,
    /// Shards.
    pub shards: usize,
    /// How often.
    pub runs: usize,
    /// The rule: one that is built in.
    pub rule: String,
    /// Events over which instructions are counted.
    pub instructions: u64,
}

impl BacktestArgs {
    /// Writes the log, and says how many bytes it has.
    fn record(&self, folder: &std::path::Path) -> anyhow::Result<u64> {
        let retention = Retention { keep_bytes: u64::MAX, ..Retention::default() };
        let (mut log, _) = Log::open(folder, retention, Arc::default())?;
        let mut fleet = Fleet::of(self.workload, self.streams);
        let (mut written, mut position, mut bytes) = (0, 0, 0);
        while written < self.events {
            let rows = self.batch.min((self.events - written) as usize);
            position += 1;
            let now = START + Span((written as f64 / self.rate as f64 * 1e6) as i64);
            let mut batch: Batch = fleet.batch(rows, SEED);
            (batch.header.position, batch.header.now) = (position, now);
            bytes += batch.block_len() as u64;
            log.batch(&batch);
            log.write(Vec::new).context("the log could not be written")?;
            written += rows as u64;
        }
        Ok(bytes)
    }
}

/// CPU seconds that this process has used.
fn cpu() -> f64 {
    Process::glance().cpu.unwrap_or_default().as_secs_f64()
}

/// Records, tries, and tells how fast that was.
pub fn backtest(args: &BacktestArgs) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let bytes = args.record(folder.path())?;
    let rule = find(&args.rule)?;
    let set = rule.example.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let wishes = Wishes { set, ..Wishes::default() };
    let past = Past { folder: folder.path().to_owned(), seed: Some(SEED), without: Vec::new() };
    let plan = Plan {
        rule: Candidate::of_module(rule.wasm.to_vec(), &wishes, true)?,
        against: None,
        source: Source::Log(past),
        range: Range { from: Timestamp(i64::MIN), to: Timestamp::NEVER },
        warm_up: Span::ZERO,
        shards: args.shards,
        instructions: args.instructions,
        default_ttl: Span::secs(60),
        max_streams: 1_000_000,
    };
    let (mut runs, mut first) = (Vec::new(), None);
    for _ in 0..args.runs {
        let (started, before, progress) = (clock::start(), cpu(), Progress::default());
        let report = plan.run(&progress)?;
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu() - before);
        ensure!(progress.events.load(Relaxed) == args.events, "not every event of the log was read");
        let text = serde_json::to_string(&report)?;
        ensure!(*first.get_or_insert_with(|| text.clone()) == text, "two runs gave different reports");
        runs.push((seconds, cpu));
    }
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let &(seconds, cpu) = runs.get(runs.len() / 2).ok_or_else(|| anyhow!("no run was asked for"))?;
    let events = args.events as f64;
    Ok(json!({
        "bench": "backtest",
        "workload": args.workload.name(),
        "streams": args.streams,
        "shards": args.shards,
        "events": args.events,
        "log_bytes": bytes,
        "runs": args.runs,
        "seconds": (seconds * 1e3).round() / 1e3,
        "cpu_seconds": (cpu * 1e3).round() / 1e3,
        "events_per_second": (events / seconds).round(),
        "events_per_cpu_second": (events / cpu.max(1e-3)).round(),
        "same_report": true,
    }))
}
