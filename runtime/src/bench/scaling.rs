//! One shard thread against several: each has a shard of its own and reads the same batches, as in a node.
//!
//! Batches are decoded beforehand, since a node does that on the threads of its inputs. Every thread sees every batch and
//! handles the streams that are its own; what counts is how fast the slowest gets through.

use super::round;
use super::rules::{Counted, built_in};
use super::stages::{SEED, StageArgs, deployed};
use super::workload::START;
use anyhow::anyhow;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidegate_engine::guest::Guests;
use tidegate_engine::rule::RuleSpec;
use tidegate_engine::shard::{Settings, Shard};
use tidegate_event::{Batch, Span};

/// Runs of each number of threads, in turns, of which the median counts.
const RUNS: usize = 3;

/// Events a second with one thread and with as many as were asked for.
pub fn shards(args: &StageArgs) -> anyhow::Result<Value> {
    let (spec, host) = built_in(&args.rule)?;
    let (guests, events) = Counted::new(host);
    let guests: Arc<dyn Guests> = guests;
    let batches = args.batches();
    let span = args.span() / (2 * RUNS as u32);
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        one.push(speed(args, 1, &guests, &spec, &batches, span)?);
        many.push(speed(args, args.shards, &guests, &spec, &batches, span)?);
    }
    let (one, many) = (median(one), median(many));
    Ok(json!({
        "bench": "shard",
        "workload": args.workload.name(),
        "streams": args.streams,
        "rules": args.rules,
        "matching": args.matching.min(args.rules),
        "rule": args.rule,
        "shards": args.shards,
        "events_per_second_one_thread": one.round(),
        "events_per_second": many.round(),
        "times_as_fast": round(many / one),
        "events_to_rules": events.load(Ordering::Relaxed),
    }))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How many events a second pass through that many shards.
fn speed(
    args: &StageArgs,
    shards: usize,
    guests: &Arc<dyn Guests>,
    spec: &RuleSpec,
    batches: &[Batch],
    span: Duration,
) -> anyhow::Result<f64> {
    let mut threads = Vec::new();
    for number in 0..shards {
        let settings = Settings { number, shards, seed: SEED, ..Settings::default() };
        threads.push(deployed(settings, args, guests.clone(), spec)?.0);
    }
    let together = Barrier::new(shards);
    let speeds = std::thread::scope(|scope| {
        let start = |shard| scope.spawn(|| consume(shard, batches, &together, span));
        let running: Vec<_> = threads.into_iter().map(start).collect();
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a shard's thread panicked"))?)
            .collect::<anyhow::Result<Vec<f64>>>()
    })?;
    Ok(speeds.into_iter().fold(f64::INFINITY, f64::min))
}

/// Steps through the batches round and round; returns events a second. The first round fills the index and is not counted.
fn consume(mut shard: Shard, batches: &[Batch], together: &Barrier, span: Duration) -> anyhow::Result<f64> {
    let (mut events, mut steps) = (0u64, 0);
    let mut started = crate::clock::start();
    let mut round = 0;
    while round == 0 || started.elapsed() < span {
        if round == 1 {
            together.wait();
            started = crate::clock::start();
        }
        // The batches are shared and stay as they are, so time moves between two rounds.
        let mut time = Batch::default();
        time.header.now = START + Span::millis(round);
        shard.step(&time);
        for batch in batches {
            let step = shard.step(batch);
            if let Some(trouble) = step.troubled.first() {
                return Err(anyhow!("{}", trouble.fault));
            }
            events += if round > 0 { batch.len() as u64 } else { 0 };
            steps += 1;
            if round > 0 && steps % 16 == 0 && started.elapsed() >= span {
                break;
            }
        }
        round += 1;
    }
    Ok(events as f64 / started.elapsed().as_secs_f64())
}
