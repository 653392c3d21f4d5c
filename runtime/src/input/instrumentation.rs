//! The node itself as an input: what it does and what that costs, as events under the names that Riemann uses for the same,
//! so that boards and alerts made for Riemann find them. What Riemann has no name for begins with `tidegate`.
//!
//! The list of names, with units, is in `docs/operating.md`. All events carry the tags `riemann` and `tidegate` and are valid
//! for twice the interval. Rates and quantiles are of the time since the last look, as long as that really was; a quantile
//! of nothing is not reported.
//!
//! The bound: of the rules that ran, only the [`RULES`] that took most time are reported. One that was reported stays until
//! another takes [`STAY`] times as long, or names would come and go with every look where many rules do the same.

mod reading;

use crate::config::INSTRUMENTATION;
use crate::ingest::Ingest;
use crate::telemetry::{InputStats, Level, Telemetry, Times};
use reading::{InputReading, OutputReading, Reading, RuleReading, ShardReading};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tidegate_event::{BatchBuilder, Metric, NewEvent};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// Rules that are reported at once.
const RULES: usize = 50;

/// How much more weight the time of a rule has that was reported last time.
const STAY: u64 = 4;

/// Riemann's quantiles, as it writes them.
const QUANTILES: [(&str, f64); 5] =
    [("0.0", 0.0), ("0.5", 0.5), ("0.95", 0.95), ("0.99", 0.99), ("0.999", 0.999)];

/// Above this share of its room a queue is in state `warning`.
const WARNING: f64 = 0.5;

/// And above this one in state `critical`.
const CRITICAL: f64 = 0.75;

/// Reports on the node it belongs to.
#[derive(Debug)]
pub struct Instrumentation {
    interval: Duration,
    host: Arc<str>,
    ingest: Ingest,
    telemetry: Arc<Telemetry>,
    stats: Arc<InputStats>,
}

impl Instrumentation {
    /// An input that reports as this host.
    pub fn new(interval: Duration, host: &Arc<str>, ingest: Ingest, telemetry: &Arc<Telemetry>) -> Self {
        let stats = telemetry.add_input(INSTRUMENTATION, "instrumentation", "this node", Level::None);
        Self { interval, host: host.clone(), ingest, telemetry: telemetry.clone(), stats }
    }

    /// Its counters.
    pub fn stats(&self) -> &Arc<InputStats> {
        &self.stats
    }

    /// Reports at each interval until told to stop, the first time after one: a rate needs two looks.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Reading::take(&self.telemetry, &self.ingest);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            // With thousands of rules a look takes milliseconds, which sockets should not wait for.
            let (telemetry, ingest) = (self.telemetry.clone(), self.ingest.clone());
            let (host, ttl) = (self.host.clone(), self.interval.as_secs_f32() * 2.0);
            let stats = self.stats.clone();
            let look = tokio::task::spawn_blocking(move || {
                let mut now = Reading::take(&telemetry, &ingest);
                let events = report(&host, ttl, &before, &mut now);
                // What looking costs is counted where other inputs count what a message takes.
                stats.latency.note(now.at.elapsed(), 1);
                (events, now)
            });
            let Ok((events, now)) = look.await else {
                return tracing::error!("the node failed to look at itself: it reports no more");
            };
            before = now;
            // Whatever becomes of them is counted behind the door; the next look comes anyway.
            let _ = self.ingest.offer(&self.stats, events);
        }
    }
}

/// All events of one look; it notes which rules it reported.
fn report(host: &str, ttl: f32, before: &Reading, now: &mut Reading) -> BatchBuilder {
    let seconds = now.at.saturating_duration_since(before.at).as_secs_f64().max(1e-3);
    let mut report = Report { host, ttl, seconds, events: BatchBuilder::new() };
    report.node(before, now);
    for (name, input) in &now.inputs {
        report.input(name, before.inputs.get(name).unwrap_or(&InputReading::default()), input);
    }
    for (name, output) in &now.outputs {
        report.output(name, before.outputs.get(name).unwrap_or(&OutputReading::default()), output);
    }
    for (number, shard) in &now.shards {
        report.shard(*number, before.shards.get(number).unwrap_or(&ShardReading::default()), shard);
    }
    now.reported = report.rules(before, now);
    report.events
}

/// The events of one look.
struct Report<'a> {
    host: &'a str,
    ttl: f32,
    /// How long it is since the last look.
    seconds: f64,
    events: BatchBuilder,
}

impl Report<'_> {
    fn node(&mut self, before: &Reading, now: &Reading) {
        self.rate("riemann streams rate", before.events, now.events);
        let (mut times, mut index) = (Times::default(), 0);
        for (number, shard) in &now.shards {
            times.add(&match before.shards.get(number) {
                Some(before) => shard.times.since(&before.times),
                None => shard.times.clone(),
            });
            index += shard.streams;
        }
        self.quantiles("riemann streams latency", &times);
        self.whole("riemann index size", index);
        self.whole("riemann netty event-executor threads active", now.threads as i64);
        self.whole("riemann netty event-executor queue size", now.waiting as i64);
        let (used, room) = now.in_flight;
        self.share("tidegate in-flight used", used as f64, room as f64);
        if let Some(resident) = now.process.resident {
            self.whole("tidegate process memory", resident as i64);
        }
        if let Some((before, now)) = before.process.cpu.zip(now.process.cpu) {
            let busy = now.saturating_sub(before).as_secs_f64();
            self.number("tidegate process cpu", busy / self.seconds, "ok");
        }
    }

    fn input(&mut self, name: &str, before: &InputReading, now: &InputReading) {
        let times = now.times.since(&before.times);
        let messages = times.count() as f64 / self.seconds;
        if let Some(protocol) = now.protocol {
            let server = format!("riemann server {protocol} {}", now.address);
            if protocol != "udp" {
                self.whole(&format!("{server} conns"), now.connections);
            }
            if protocol == "ws" {
                self.rate(&format!("{server} out rate"), before.sent, now.sent);
            }
            self.number(&format!("{server} in rate"), messages, "ok");
            self.quantiles(&format!("{server} in latency"), &times);
        }
        self.rate(&format!("tidegate input {name} rate"), before.accepted, now.accepted);
        let lost = now.lost.saturating_sub(before.lost);
        self.state_if(&format!("tidegate input {name} lost"), lost as f64, "warning", lost > 0);
    }

    fn output(&mut self, name: &str, before: &OutputReading, now: &OutputReading) {
        let executor = format!("riemann executor {name}");
        self.rate(&format!("{executor} accepted rate"), before.taken, now.taken);
        self.rate(&format!("{executor} completed rate"), before.delivered, now.delivered);
        let rejected = now.lost.saturating_sub(before.lost) as f64 / self.seconds;
        self.state_if(&format!("{executor} rejected rate"), rejected, "warning", rejected > 0.0);
        // The page's own output keeps nobody waiting and so has no queue.
        if now.capacity > 0 {
            self.whole(&format!("{executor} queue capacity"), now.capacity);
            let used = (now.queued as f64 / now.capacity as f64)
                .max(now.queued_bytes as f64 / now.capacity_bytes.max(1) as f64);
            self.number(&format!("{executor} queue size"), now.queued as f64, fullness(used));
            self.number(&format!("{executor} queue used"), used, fullness(used));
            self.whole(&format!("{executor} threads active"), i64::from(now.queued > 0));
            self.whole(&format!("{executor} threads alive"), 1);
        }
    }

    fn shard(&mut self, number: usize, before: &ShardReading, now: &ShardReading) {
        let shard = format!("tidegate shard {number}");
        let events = now.events.saturating_sub(before.events);
        self.rate(&format!("{shard} rate"), before.events, now.events);
        if events > 0 {
            let nanos = now.nanos.saturating_sub(before.nanos) as f64;
            self.number(&format!("{shard} ns"), nanos / events as f64, "ok");
        }
        self.whole(&format!("{shard} queue"), now.waiting as i64);
    }

    /// Those that ran, or failed, and took most time. Returns their names.
    fn rules(&mut self, before: &Reading, now: &Reading) -> HashSet<Arc<str>> {
        let reported = &before.reported;
        let nothing = RuleReading::default();
        let mut ran: Vec<_> = now
            .rules
            .iter()
            .map(|(name, rule)| (name, before.rules.get(name).unwrap_or(&nothing), rule))
            .filter(|(_, before, now)| now.calls != before.calls || now.faults != before.faults)
            .map(|(name, before, now)| {
                let weight = if reported.contains(name) { STAY } else { 1 };
                let took = now.nanos.saturating_sub(before.nanos);
                ((Reverse(took.saturating_mul(weight)), name), before, now)
            })
            .collect();
        if ran.len() > RULES {
            ran.select_nth_unstable_by(RULES, |(one, ..), (other, ..)| one.cmp(other));
            ran.truncate(RULES);
        }
        for ((_, name), before, now) in &ran {
            let rule = format!("tidegate rule {name}");
            self.rate(&format!("{rule} rate"), before.events, now.events);
            let events = now.events.saturating_sub(before.events);
            if events > 0 {
                let nanos = now.nanos.saturating_sub(before.nanos) as f64;
                self.number(&format!("{rule} ns"), nanos / events as f64, "ok");
            }
            self.whole(&format!("{rule} memory"), now.memory);
            self.whole(&format!("{rule} keys"), now.keys);
            let faults = now.faults.saturating_sub(before.faults);
            let state = match (now.quarantined, faults) {
                (true, _) => "critical",
                (false, 1..) => "warning",
                (false, 0) => "ok",
            };
            self.number(&format!("{rule} faults"), faults as f64, state);
        }
        ran.into_iter().map(|((_, name), ..)| name.clone()).collect()
    }

    fn quantiles(&mut self, service: &str, times: &Times) {
        for (name, share) in QUANTILES {
            if let Some(nanos) = times.quantile(share) {
                self.number(&format!("{service} {name}"), nanos / 1e6, "ok");
            }
        }
    }

    fn rate(&mut self, service: &str, before: u64, now: u64) {
        self.number(service, now.saturating_sub(before) as f64 / self.seconds, "ok");
    }

    fn share(&mut self, service: &str, used: f64, room: f64) {
        let share = if room > 0.0 { used / room } else { 0.0 };
        self.number(service, share, fullness(share));
    }

    fn state_if(&mut self, service: &str, metric: f64, state: &str, bad: bool) {
        self.number(service, metric, if bad { state } else { "ok" });
    }

    fn whole(&mut self, service: &str, metric: i64) {
        self.push(service, Metric::Int(metric), "ok");
    }

    fn number(&mut self, service: &str, metric: f64, state: &str) {
        self.push(service, Metric::Float(metric), state);
    }

    fn push(&mut self, service: &str, metric: Metric, state: &str) {
        self.events.push(&NewEvent {
            host: Some(self.host),
            service: Some(service),
            state: Some(state),
            metric: Some(metric),
            ttl: Some(self.ttl),
            tags: &["riemann", "tidegate"],
            ..NewEvent::default()
        });
    }
}

/// The state of a queue of which this share is used.
fn fullness(share: f64) -> &'static str {
    match share {
        share if share > CRITICAL => "critical",
        share if share > WARNING => "warning",
        _ => "ok",
    }
}

#[cfg(test)]
mod tests;
