//! Ten thousand rules: what each costs in memory, how long a deployment takes, and what they do to events that they want
//! and events that they do not.

use super::rules::{Counted, built_in_for};
use super::stages::{SEED, StageArgs, moment};
use super::workload::{Fleet, START};
use super::{Timing, round};
use crate::telemetry::Process;
use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidegate_engine::rule::{Control, RuleSpec};
use tidegate_engine::shard::{Settings, Shard};
use tidegate_event::{Batch, BatchBuilder, Metric, NewEvent};

/// The few rules that many are compared with.
const FEW: usize = 10;

/// A shard with rules, each of which wants one service.
struct Node {
    shard: Shard,
    position: u64,
    batch: usize,
}

impl Node {
    fn step(&mut self, batch: &mut Batch) -> anyhow::Result<()> {
        self.position += 1;
        batch.header.position = self.position;
        batch.header.now = moment(self.position, self.batch);
        match self.shard.step(batch).troubled.first() {
            Some(trouble) => bail!("{}", trouble.fault),
            None => Ok(()),
        }
    }

    /// Deploys rules of a module that is compiled, and says how long each deployment held up the shard.
    fn deploy(&mut self, spec: &RuleSpec, numbers: std::ops::Range<usize>) -> anyhow::Result<Vec<Duration>> {
        let mut pauses = Vec::new();
        for number in numbers {
            let rule = RuleSpec {
                name: format!("rule-{number}"),
                query: format!("service = \"{}\" and metric != nil", service(number)),
                ..spec.clone()
            };
            self.position += 1;
            let control = Control::Deploy(Box::new(rule));
            let started = crate::clock::start();
            let step = self.shard.control(&control, self.position, moment(self.position, self.batch));
            pauses.push(started.elapsed());
            if let Some(trouble) = step.troubled.first() {
                bail!("rule {number}: {}", trouble.fault);
            }
        }
        Ok(pauses)
    }

    fn time(&mut self, span: Duration, batches: &mut [Batch]) -> anyhow::Result<f64> {
        let (mut next, mut failed, count, size) = (0, None, batches.len(), self.batch);
        let timing = Timing::of(span, size, || {
            failed = self.step(&mut batches[next % count]).err().or(failed.take());
            next += 1;
        });
        failed.map_or(Ok(timing.quantile(0.5)), Err)
    }
}

fn service(number: usize) -> String {
    format!("service number {number}")
}

/// Batches of events, each for one of the rules of these numbers; from so many hosts.
fn for_rules(numbers: usize, hosts: usize, batch: usize) -> Vec<Batch> {
    let batches = (numbers * hosts).div_ceil(batch);
    let event = |n: usize, builder: &mut BatchBuilder| {
        let (host, service) = (format!("web{:05}.fleet.example", n / numbers % hosts), service(n % numbers));
        builder.push(&NewEvent {
            time: Some(START),
            host: Some(&host),
            service: Some(&service),
            state: Some("ok"),
            metric: Some(Metric::Float((n % 100) as f64)),
            ttl: Some(600.0),
            ..NewEvent::default()
        });
    };
    let batch_of = |number: usize| {
        let mut builder = BatchBuilder::new();
        (number * batch..(number + 1) * batch).for_each(|n| event(n, &mut builder));
        builder.stamp(SEED, START);
        builder.finish()
    };
    (0..batches).map(batch_of).collect()
}

/// Memory, deployments and speed with many rules, and the same with few.
pub fn many(args: &StageArgs) -> anyhow::Result<Value> {
    let count = args.rules.max(FEW);
    // One is for the check before a deployment.
    let (spec, host) = built_in_for(&args.rule, count + 1)?;
    let (guests, events) = Counted::new(host);
    let resident = || {
        Process::glance().resident.context("resident memory is read from /proc/self/status: this takes Linux")
    };
    let settings = Settings { seed: SEED, ..Settings::default() };
    let mut node = Node { shard: Shard::new(settings, guests), position: 0, batch: args.batch };
    let span = args.span() / 4;
    // Streams that no rule wants; streams of which each belongs to one of the few rules; one stream for every rule.
    let mut others: Vec<Batch> = {
        let mut fleet = Fleet::new(args.streams);
        (0..args.streams.div_ceil(args.batch)).map(|_| fleet.batch(args.batch, SEED)).collect()
    };
    let mut wanted = for_rules(FEW, args.streams.div_ceil(FEW), args.batch);
    let mut each = for_rules(count, 1, args.batch);

    // All streams are in the index before memory is looked at: what it holds is not the rules'.
    node.deploy(&spec, 0..FEW)?;
    for batch in each.iter_mut().chain(&mut wanted).chain(&mut others) {
        node.step(batch)?;
    }
    let few = (node.time(span, &mut others)?, node.time(span, &mut wanted)?);
    let before = resident()?;
    let started = crate::clock::start();
    let mut pauses = node.deploy(&spec, FEW..count)?;
    let deploying = started.elapsed();
    let idle = resident()?;
    let seen = events.load(Ordering::Relaxed);
    for batch in &mut each {
        node.step(batch)?;
    }
    let run = resident()?;
    let given = (events.load(Ordering::Relaxed) - seen) as usize;
    if given < count {
        return Err(anyhow!("{count} rules were given {given} events; each wants one of them"));
    }
    let all = (node.time(span, &mut others)?, node.time(span, &mut wanted)?);

    pauses.sort_unstable();
    let more = (count - FEW).max(1) as f64;
    let pause = |share: f64| {
        let at = ((pauses.len() as f64 * share) as usize).min(pauses.len().saturating_sub(1));
        round(pauses.get(at).map_or(f64::NAN, |pause| pause.as_secs_f64() * 1e6))
    };
    let kib = |from: u64, to: u64| round(to.saturating_sub(from) as f64 / 1024.0 / more);
    Ok(json!({
        "bench": "rules",
        "rule": args.rule,
        "rules": count,
        "streams": args.streams,
        "resident_kib_per_idle_rule": kib(before, idle),
        "resident_kib_per_rule_that_has_run": kib(before, run),
        "resident_bytes": run,
        "deploy_us": { "p50": pause(0.5), "p99": pause(0.99), "max": pause(1.0) },
        "deploy_all_seconds": round(deploying.as_secs_f64()),
        "unwanted_ns_per_event": { "few_rules": round(few.0), "all_rules": round(all.0), "times": round(all.0 / few.0) },
        "wanted_ns_per_event": { "few_rules": round(few.1), "all_rules": round(all.1), "times": round(all.1 / few.1) },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_rule_is_given_an_event() {
        let args = StageArgs { rules: 25, streams: 100, seconds: 0.2, ..StageArgs::default() };
        let figures = many(&args).unwrap();
        assert_eq!(figures["rules"], 25);
        assert!(figures["wanted_ns_per_event"]["all_rules"].as_f64().unwrap() > 0.0);
    }

    #[test]
    fn events_for_rules_name_each_of_them() {
        let services: BTreeSet<String> = for_rules(30, 2, 16)
            .iter()
            .flat_map(|batch| {
                batch.events().filter_map(|e| e.service().map(str::to_owned)).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(services.len(), 30);
    }
}
