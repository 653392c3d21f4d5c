//! A simulated fleet as an input: many hosts with a daily wave, noise and incidents, for demonstrations and for trying rules.
//!
//! | service | metric | warning | critical |
//! |---|---|---|---|
//! | `cpu`, `memory`, `disk /` | share in use, 0 to 1 | 0.9 | 0.95 |
//! | `load` | load for each core | 3 | 8 |
//! | `net eth0 rx`, `net eth0 tx` | bytes in a second | | |
//! | `http.requests` | requests in a second | | |
//! | `http.errors` | requests in a second that failed | 5 % | 15 % of the requests |
//! | `http.get latency`, `http.post latency`, `db.query latency` | milliseconds | 250 | 500 |
//! | `queue depth` | jobs that wait | 100 | 400 |
//!
//! Everything is a function of the seed and the number of the round: the same seed tells the same story, and a round can be
//! told without those before it. The day of this fleet takes [`DAY`]. There is at most one incident at a time: in turn,
//! requests become slow on some hosts, requests fail on some hosts, and one host falls silent and comes back.

use crate::config;
use crate::ingest::Ingest;
use crate::telemetry::{InputStats, Level, Telemetry};
use std::sync::Arc;
use std::time::Duration;
use tidegate_event::{BatchBuilder, Metric, NewEvent, hash_bytes};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Every service there is; a fleet with fewer has the first ones.
pub const SERVICES: [&str; 12] = [
    "http.requests",
    "http.errors",
    "http.get latency",
    "cpu",
    "memory",
    "disk /",
    "queue depth",
    "load",
    "http.post latency",
    "db.query latency",
    "net eth0 rx",
    "net eth0 tx",
];

/// How long the fleet's day is: short enough to see its tide come and go.
const DAY: Duration = Duration::from_secs(600);

/// What hosts are for; part of their names.
const ROLES: [&str; 4] = ["web", "api", "worker", "db"];

/// Where hosts are.
const ZONES: [&str; 3] = ["a", "b", "c"];

/// A fleet that reports.
#[derive(Debug)]
pub struct Fleet {
    settings: config::Fleet,
    ingest: Ingest,
    stats: Arc<InputStats>,
}

impl Fleet {
    /// An input of this name.
    pub fn new(name: &str, settings: &config::Fleet, ingest: Ingest, telemetry: &Telemetry) -> Self {
        let stats = telemetry.add_input(name, "fleet", "a simulated fleet", Level::None);
        Self { settings: settings.clone(), ingest, stats }
    }

    /// Its counters.
    pub fn stats(&self) -> &Arc<InputStats> {
        &self.stats
    }

    /// Tells one round after the other until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let Self { settings, ingest, stats } = self;
        let story = Story::new(&settings);
        let mut ticks = interval(settings.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for round in 0.. {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            // Whatever becomes of them is counted behind the door; the next round comes anyway.
            let _ = ingest.offer(&stats, story.round(round));
        }
    }
}

/// What happens to a fleet, all of it.
struct Story {
    seed: u64,
    every: f64,
    incidents: f64,
    hosts: Vec<Host>,
    services: usize,
}

struct Host {
    name: String,
    role: &'static str,
    zone: &'static str,
}

/// Something goes wrong, on these hosts, in these rounds' time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Incident {
    what: What,
    from: f64,
    until: f64,
    first: usize,
    hosts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Slow,
    Failing,
    Silent,
}

impl Story {
    fn new(settings: &config::Fleet) -> Self {
        let host = |number: usize| {
            let role = ROLES[number % ROLES.len()];
            let zone = ZONES[number % ZONES.len()];
            Host { name: format!("{role}-{:02}", number / ROLES.len() + 1), role, zone }
        };
        Self {
            seed: settings.seed,
            every: settings.every.as_secs_f64(),
            incidents: settings.incidents.as_secs_f64(),
            hosts: (0..settings.hosts).map(host).collect(),
            services: settings.services.min(SERVICES.len()),
        }
    }

    /// A number from 0 to 1 that belongs to these three.
    fn draw(&self, a: u64, b: u64, c: u64) -> f64 {
        let mut bytes = [0; 24];
        for (at, part) in [a, b, c].into_iter().enumerate() {
            bytes[at * 8..][..8].copy_from_slice(&part.to_le_bytes());
        }
        (hash_bytes(self.seed, &bytes) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Noise around 0, of width 1, with most of it in the middle.
    fn noise(&self, host: u64, service: u64, round: u64) -> f64 {
        let sum: f64 = (0..3).map(|part| self.draw(host, service * 4 + part, round)).sum();
        sum / 1.5 - 1.0
    }

    /// The incident whose turn it is at this time, if it is going on.
    fn incident(&self, time: f64) -> Option<Incident> {
        let number = (time / self.incidents) as u64;
        let turn = number as f64 * self.incidents;
        let draw = |part| self.draw(u64::MAX, part, number);
        let what = [What::Slow, What::Failing, What::Silent][(number % 3) as usize];
        let from = turn + self.incidents * (0.1 + 0.15 * draw(0));
        let until = from + self.incidents * (0.4 + 0.25 * draw(1));
        let hosts = if what == What::Silent { 1 } else { 2 + (draw(2) * 4.0) as usize };
        let first = (draw(3) * self.hosts.len() as f64) as usize;
        (from <= time && time < until).then_some(Incident { what, from, until, first, hosts })
    }

    /// How hard an incident hits a host: 0 not at all, up to 1 when it has risen.
    fn hit(&self, incident: Option<Incident>, what: What, host: usize, time: f64) -> f64 {
        let Some(incident) = incident.filter(|incident| incident.what == what) else { return 0.0 };
        let distance = (host + self.hosts.len() - incident.first) % self.hosts.len();
        if distance >= incident.hosts {
            return 0.0;
        }
        let rising = (incident.until - incident.from) / 6.0;
        ((time - incident.from) / rising).clamp(0.1, 1.0)
    }

    fn round(&self, round: u64) -> BatchBuilder {
        let time = round as f64 * self.every;
        let incident = self.incident(time);
        let mut events = BatchBuilder::new();
        for (number, host) in self.hosts.iter().enumerate() {
            if self.hit(incident, What::Silent, number, time) > 0.0 {
                continue;
            }
            let now = self.now(number, round, time, incident);
            let attributes = [("role", host.role), ("zone", host.zone)];
            for service in &SERVICES[..self.services] {
                let (metric, state, description) = now.tell(service);
                events.push(&NewEvent {
                    host: Some(&host.name),
                    service: Some(service),
                    state: Some(state),
                    metric: Some(metric),
                    ttl: Some((self.every * 3.0) as f32),
                    description: description.as_deref(),
                    tags: &["fleet"],
                    attributes: &attributes,
                    ..NewEvent::default()
                });
            }
        }
        events
    }

    fn now(&self, host: usize, round: u64, time: f64, incident: Option<Incident>) -> Now {
        let id = host as u64;
        // Each host is a little different, and its noon comes a little earlier or later.
        let own = self.draw(id, u64::MAX, 0);
        let noon = std::f64::consts::TAU * (time / DAY.as_secs_f64() + 0.05 * own);
        let tide = 0.6 + 0.4 * noon.sin();
        let slow = self.hit(incident, What::Slow, host, time);
        let failing = self.hit(incident, What::Failing, host, time);
        let noise = |service: u64| self.noise(id, service, round);
        let requests = (300.0 + 200.0 * own) * tide * (1.0 + 0.1 * noise(0));
        let errors = requests * (0.004 + 0.003 * noise(1) + 0.25 * failing);
        let latency = |base: f64, service: u64| {
            base * (0.8 + 0.4 * tide) * (1.0 + 0.25 * noise(service)) * (1.0 + 9.0 * slow)
        };
        // A disk fills during a day and is cleared at its end.
        let days = time / DAY.as_secs_f64() + own;
        Now {
            requests,
            errors: errors.max(0.0),
            get: latency(60.0, 2),
            post: latency(85.0, 8),
            query: latency(18.0, 9),
            cpu: (0.15 + 0.45 * tide + 0.08 * noise(3) + 0.25 * slow).clamp(0.01, 1.0),
            memory: (0.5 + 0.2 * own + 0.1 * tide + 0.02 * noise(4)).clamp(0.01, 1.0),
            disk: 0.3 + 0.25 * own + 0.2 * days.fract(),
            queue: ((8.0 * tide) * (1.0 + 0.5 * noise(6)) + 600.0 * slow + 150.0 * failing).max(0.0),
            load: (0.9 * tide + 0.2 * noise(7) + 4.0 * slow).max(0.0),
            received: requests * 2_000.0 * (1.0 + 0.1 * noise(10)),
            sent: requests * 14_000.0 * (1.0 + 0.1 * noise(11)),
        }
    }
}

/// How a host is in one round.
struct Now {
    requests: f64,
    errors: f64,
    get: f64,
    post: f64,
    query: f64,
    cpu: f64,
    memory: f64,
    disk: f64,
    queue: f64,
    load: f64,
    received: f64,
    sent: f64,
}

impl Now {
    fn tell(&self, service: &str) -> (Metric, &'static str, Option<String>) {
        let share =
            |value: f64| (value, state(value, 0.9, 0.95), Some(format!("{:.1} % in use", value * 100.0)));
        let wait = |value: f64| (value, state(value, 250.0, 500.0), Some(format!("{value:.0} ms")));
        // As a person would report it: counts are whole, the rest has three digits.
        let whole = |value: f64| Metric::Int(value.round() as i64);
        let digits = |value: f64| Metric::Float((value * 1000.0).round() / 1000.0);
        let (value, state, description) = match service {
            "http.requests" => return (whole(self.requests), "ok", None),
            "http.errors" => {
                let text = format!("{:.0} of {:.0} requests failed", self.errors, self.requests);
                let state = state(self.errors, self.requests * 0.05, self.requests * 0.15);
                return (whole(self.errors), state, Some(text));
            }
            "http.get latency" => wait(self.get),
            "http.post latency" => wait(self.post),
            "db.query latency" => wait(self.query),
            "cpu" => share(self.cpu),
            "memory" => share(self.memory),
            "disk /" => share(self.disk),
            "queue depth" => {
                let text = format!("{:.0} jobs wait", self.queue);
                return (whole(self.queue), state(self.queue, 100.0, 400.0), Some(text));
            }
            "load" => (self.load, state(self.load, 3.0, 8.0), None),
            "net eth0 rx" => return (whole(self.received), "ok", None),
            _ => return (whole(self.sent), "ok", None),
        };
        (digits(value), state, description)
    }
}

fn state(value: f64, warning: f64, critical: f64) -> &'static str {
    match value {
        value if value > critical => "critical",
        value if value > warning => "warning",
        _ => "ok",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use tidegate_event::Batch;

    fn settings(seed: u64) -> config::Fleet {
        config::Fleet {
            hosts: 40,
            services: 12,
            every: Duration::from_secs(1),
            incidents: Duration::from_secs(60),
            seed,
        }
    }

    fn tell(story: &Story, round: u64) -> Batch {
        story.round(round).finish()
    }

    #[test]
    fn the_same_seed_tells_the_same_story_and_another_seed_another() {
        let [one, same, other] = [1, 1, 2].map(|seed| Story::new(&settings(seed)));
        for round in [0, 17, 5_000] {
            assert_eq!(tell(&one, round).to_block(), tell(&same, round).to_block());
            assert_ne!(tell(&one, round).to_block(), tell(&other, round).to_block());
        }
    }

    #[test]
    fn every_host_reports_every_service_once_in_a_round() {
        let batch = tell(&Story::new(&settings(1)), 0);
        let streams: BTreeSet<_> = batch.events().map(|event| (event.host(), event.service())).collect();
        assert_eq!((batch.len(), streams.len()), (40 * 12, 40 * 12));
        for event in batch.events() {
            assert!(event.metric().is_some_and(|metric| metric.is_finite() && metric >= 0.0), "{event:?}");
            assert!(event.tagged("fleet") && event.attribute("role").is_some(), "{event:?}");
            assert_eq!(event.ttl(), Some(3.0));
        }
    }

    #[test]
    fn most_is_well_and_each_kind_of_incident_is_seen_and_passes() {
        let story = Story::new(&settings(7));
        let mut critical = BTreeMap::<String, u64>::new();
        let (mut silent, mut all, mut well) = (0, 0, 0);
        for round in 0..180 {
            let batch = tell(&story, round);
            silent += 40 - batch.len() / 12;
            for event in batch.events() {
                all += 1;
                match event.state() {
                    Some("ok") => well += 1,
                    Some("critical") => *critical.entry(event.service().unwrap().into()).or_default() += 1,
                    _ => {}
                }
            }
        }
        assert!(well * 100 > all * 95, "{well} of {all}");
        assert!((20..60).contains(&silent), "one host for a part of one minute, not {silent} rounds");
        for service in ["http.errors", "http.get latency", "queue depth"] {
            assert!(critical.get(service).is_some_and(|count| *count > 20), "{service} in {critical:?}");
        }
        assert!((0..180).any(|round| story.incident(round as f64).is_none()), "calm between incidents");
    }

    #[test]
    fn a_fleet_of_one_host_and_one_service_is_one_stream() {
        let small = config::Fleet { hosts: 1, services: 1, ..settings(1) };
        let story = Story::new(&small);
        for round in 0..200 {
            assert!(story.round(round).len() <= 1);
        }
    }
}
