//! The node at a glance, and the pulse: once a second the counters are read and the overview and the list of rules are
//! written down once, for however many pages look at them.

use crate::clock;
use crate::output::Breaker;
use crate::output::alerts::{Counts, Wanted};
use crate::telemetry::{InputStats, OutputStats, Process, ShardStats, Telemetry};
use crate::web::answer;
use crate::web::control::RuleState;
use crate::web::ranking::{self, Order};
use crate::web::rates::{InputRate, Rate, Rates};
use crate::web::{App, Shared};
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use std::sync::Mutex;
use std::time::Duration;
use tidegate_event::{State as Code, Timestamp};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// The overview as JSON.
#[derive(Debug, Serialize)]
struct Overview<'a> {
    version: &'a str,
    uptime_s: u64,
    now: String,
    events_total: u64,
    events_per_second: f64,
    index_size: u64,
    states: States,
    position: u64,
    door: Door,
    process: Resources,
    shards: Vec<Shard>,
    log: Log,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    alerts: Alerts,
    banners: Vec<Banner>,
}

/// How many alerts are open, and the one that has been firing for longest.
#[derive(Debug, Serialize)]
struct Alerts {
    firing: usize,
    acknowledged: usize,
    silenced: usize,
    oldest: Option<Value>,
}

/// Something that everybody who looks should know.
#[derive(Debug, Serialize)]
struct Banner {
    level: &'static str,
    text: String,
}

/// What waits before the shards.
#[derive(Debug, Serialize)]
struct Door {
    waiting: usize,
    in_flight: usize,
    in_flight_limit: usize,
}

/// How the log is.
#[derive(Debug, Serialize)]
struct Log {
    segments: u64,
    bytes: u64,
    gaps: u64,
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct Resources {
    memory: Option<u64>,
    cpu: f64,
}

#[derive(Debug, Serialize)]
struct Shard {
    number: usize,
    events_per_second: f64,
    ns_per_event: Option<f64>,
    busy: f64,
    queued: u64,
    streams: u64,
    refused: u64,
    rule_memory: u64,
    rule_faults: u64,
}

#[derive(Debug, Default, Serialize)]
struct States {
    ok: u64,
    warning: u64,
    critical: u64,
    unknown: u64,
    expired: u64,
    other: u64,
}

#[derive(Debug, Serialize)]
struct Input {
    name: String,
    kind: &'static str,
    address: String,
    level: &'static str,
    received: u64,
    accepted: u64,
    rejected: u64,
    shed: u64,
    connections: u64,
    per_second: f64,
    messages_per_second: f64,
    bytes_per_second: f64,
    latency_ms: Option<Latency>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
}

#[derive(Debug, Serialize)]
struct Output {
    name: String,
    kind: &'static str,
    status: &'static str,
    queued: u64,
    capacity: u64,
    queued_bytes: u64,
    per_second: f64,
    delivered: u64,
    dropped: u64,
    failed: u64,
    breaker: &'static str,
    spool_bytes: u64,
    last_error: Option<String>,
}

/// Alerts that a page is shown, and how often it may be shown them anew.
const ALERTS: usize = 200;
const ALERTS_EVERY: Duration = Duration::from_millis(500);

/// Banners of a kind; of more, the number is told.
const BANNERS: usize = 3;

/// The rules that a page is shown each second.
const SHOWN: ranking::Wanted =
    ranking::Wanted { order: Order::Activity, limit: 100, after: None, find: None };

/// What is known once a second.
#[derive(Debug)]
pub struct Pulse {
    rates: Mutex<Rates>,
    overview: watch::Sender<Bytes>,
    rules: watch::Sender<Bytes>,
    alerts: watch::Sender<Bytes>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            rates: Mutex::default(),
            overview: watch::Sender::new(Bytes::new()),
            rules: watch::Sender::new(Bytes::new()),
            alerts: watch::Sender::new(Bytes::new()),
        }
    }
}

impl Pulse {
    /// The overview, each time it is new.
    pub fn overview(&self) -> watch::Receiver<Bytes> {
        self.overview.subscribe()
    }

    /// The list of rules, each time it is new.
    pub fn rules(&self) -> watch::Receiver<Bytes> {
        self.rules.subscribe()
    }

    /// The open alerts, each time they are new; empty before anybody has looked.
    pub fn alerts(&self) -> watch::Receiver<Bytes> {
        self.alerts.subscribe()
    }

    /// Looks at the rates.
    pub fn rates<T>(&self, look: impl FnOnce(&mut Rates) -> T) -> T {
        look(&mut self.rates.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

/// Beats once a second until the node stops.
pub async fn beat(app: App) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = clock::start();
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let seconds = last.elapsed().as_secs_f64().max(0.001);
        last = clock::start();
        let process = Process::glance();
        app.pulse.rates(|rates| rates.look(&app.telemetry, &process, seconds));
        if app.pulse.overview.receiver_count() > 0 {
            app.pulse.overview.send_replace(written(&overview(&app)));
        }
        if app.pulse.rules.receiver_count() > 0 {
            app.pulse.rules.send_replace(written(&ranking::rank(&app, &SHOWN)));
        }
    }
}

/// Writes the open alerts down when they have changed, at most twice a second, while somebody looks.
pub async fn follow_alerts(app: App) {
    let changes = app.alerts.changed();
    let mut tick = tokio::time::interval(ALERTS_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written_at = None;
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if app.pulse.alerts.receiver_count() == 0 {
            if written_at.take().is_some() {
                app.pulse.alerts.send_replace(Bytes::new());
            }
            continue;
        }
        let now = *changes.borrow();
        if written_at != Some(now) {
            written_at = Some(now);
            let open = Wanted { limit: ALERTS, ..Wanted::default() };
            app.pulse.alerts.send_replace(written(&app.alerts.list(&open).json()));
        }
    }
}

fn written(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// `GET /api/v1/overview`
pub async fn show(State(app): State<App>) -> Response {
    answer::json(&overview(&app))
}

fn overview(app: &Shared) -> Overview<'_> {
    let telemetry = &app.telemetry;
    let (mut states, mut index_size, mut position) = (States::default(), 0, None);
    let shards = telemetry.shards();
    for shard in shards.values() {
        index_size += natural(shard.streams.get());
        // A search at this position would find everything before it: the slowest shard decides.
        let reached = natural(shard.position.get());
        position = Some(position.map_or(reached, |least: u64| least.min(reached)));
        for (code, gauge) in shard.states.iter().enumerate() {
            *match Code::from_code(code as u8) {
                Code::Ok => &mut states.ok,
                Code::Warning => &mut states.warning,
                Code::Critical => &mut states.critical,
                Code::Unknown => &mut states.unknown,
                Code::Expired => &mut states.expired,
                Code::Other => &mut states.other,
            } += natural(gauge.get());
        }
    }
    let (used, limit) = app.ingest.in_flight();
    let banners = banners(app, used, limit);
    let Counts { firing, acknowledged, silenced, oldest, .. } = app.alerts.counts();
    app.pulse.rates(|rates| Overview {
        version: &app.version,
        uptime_s: app.started.elapsed().as_secs(),
        now: iso(clock::now()),
        events_total: telemetry.events.get(),
        events_per_second: rounded(rates.events.per_second()),
        index_size,
        states,
        position: position.unwrap_or(0),
        door: Door { waiting: app.ingest.waiting(), in_flight: used, in_flight_limit: limit },
        process: Resources {
            memory: Process::glance().resident,
            cpu: (rates.cpu.per_second() / 1e6).round() / 1e3,
        },
        shards: shards.iter().map(|(number, stats)| shard(telemetry, rates, *number, stats)).collect(),
        log: Log {
            segments: natural(telemetry.log.segments.get()),
            bytes: natural(telemetry.log.size.get()),
            gaps: telemetry.log.gaps.get(),
            trouble: telemetry.log.trouble(),
        },
        inputs: telemetry.inputs().into_iter().map(|(name, stats)| input(rates, name, &stats)).collect(),
        outputs: telemetry.outputs().into_iter().map(|(name, stats)| output(rates, name, &stats)).collect(),
        alerts: Alerts { firing, acknowledged, silenced, oldest },
        banners,
    })
}

/// What is wrong with the node itself, the worst first.
fn banners(app: &Shared, used: usize, limit: usize) -> Vec<Banner> {
    let telemetry = &app.telemetry;
    let mut banners = Vec::new();
    let mut tell = |level, text: String| banners.push(Banner { level, text });
    if let Some(trouble) = telemetry.log.trouble() {
        tell("critical", format!("nothing is taken in: {trouble}"));
    }
    if used > limit / 10 * 9 {
        tell("critical", "overloaded: events wait for room or are refused".into());
    }
    let gaps = telemetry.log.gaps.get();
    if gaps > 0 {
        let bytes = telemetry.log.damaged.get();
        let gaps = noun(gaps as usize, "gap");
        tell("warning", format!("the log has {gaps}: {bytes} bytes of it could not be read"));
    }
    let outputs = telemetry.outputs().into_iter();
    let down: Vec<String> =
        outputs.filter(|(_, stats)| stats.healthy.get() == 0).map(|(name, _)| name).collect();
    if !down.is_empty() {
        tell("warning", format!("{} failing: {}", noun(down.len(), "output"), several(&down)));
    }
    let names = app.control.names().into_iter();
    let mut left_out: Vec<String> =
        names.filter(|(_, state)| *state == RuleState::Quarantined).map(|(name, _)| name).collect();
    if !left_out.is_empty() {
        left_out.sort();
        tell("warning", format!("{} in quarantine: {}", noun(left_out.len(), "rule"), several(&left_out)));
    }
    banners
}

fn noun(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

/// The first of some names, and how many more there are.
fn several(names: &[String]) -> String {
    let shown = names[..names.len().min(BANNERS)].join(", ");
    match names.len().saturating_sub(BANNERS) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn shard(telemetry: &Telemetry, rates: &Rates, number: usize, stats: &ShardStats) -> Shard {
    let rate = rates.shards.get(&number).copied().unwrap_or_default();
    Shard {
        number,
        events_per_second: rounded(rate.events.per_second()),
        ns_per_event: rate.ns_per_event().map(rounded),
        busy: (rate.nanos.per_second() / 1e6).round() / 1e3,
        queued: telemetry.waiting(stats),
        streams: natural(stats.streams.get()),
        refused: natural(stats.refused.get()),
        rule_memory: natural(stats.memory.get()),
        rule_faults: stats.faults.get(),
    }
}

fn input(rates: &Rates, name: String, stats: &InputStats) -> Input {
    let rate = rates.inputs.get(&name);
    let per_second = |of: fn(&InputRate) -> &Rate| rounded(rate.map_or(0.0, |rate| of(rate).per_second()));
    Input {
        name,
        kind: stats.kind,
        address: stats.address.clone(),
        level: stats.level.name(),
        received: stats.received.get(),
        accepted: stats.accepted.get(),
        rejected: stats.rejected.total(),
        shed: stats.shed.total(),
        connections: natural(stats.connections.get()),
        per_second: per_second(|rate| &rate.events),
        messages_per_second: per_second(|rate| &rate.messages),
        bytes_per_second: per_second(|rate| &rate.bytes),
        latency_ms: rate.and_then(InputRate::latency).map(|(p50, p99)| Latency { p50, p99 }),
    }
}

fn output(rates: &Rates, name: String, stats: &OutputStats) -> Output {
    Output {
        per_second: rounded(rates.outputs.get(&name).map_or(0.0, Rate::per_second)),
        name,
        kind: stats.kind,
        status: match stats.healthy.get() {
            1 => "ok",
            0 => "failing",
            _ => "idle",
        },
        queued: natural(stats.queued.get()),
        capacity: natural(stats.capacity.get()),
        queued_bytes: natural(stats.queued_bytes.get()),
        delivered: stats.delivered.get(),
        dropped: stats.dropped.get(),
        failed: stats.failed.get(),
        breaker: Breaker::name(stats.breaker.get()),
        spool_bytes: natural(stats.spool_bytes.get()),
        last_error: stats.last_error.lock().map_or(None, |error| error.clone()),
    }
}

/// A moment as ISO 8601 in UTC with milliseconds.
fn iso(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn natural(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// With one place behind the point.
pub fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}
