//! This machine as an input: processor, load, memory, swap, disks and networks, under the names that riemann-tools uses.
//!
//! | service | metric | warning | critical |
//! |---|---|---|---|
//! | `cpu`, `memory`, `swap`, `disk MOUNT` | share in use, 0 to 1 | 0.9 | 0.95 |
//! | `load` | load of the last minute for each core | 3 | 8 |
//! | `net NAME rx`, `net NAME tx` | bytes in a second | | |
//!
//! Each event is valid for twice the interval. What vanishes, a disk or a network, is said to be `expired` at once.

use crate::clock;
use crate::config;
use crate::ingest::Ingest;
use crate::telemetry::{InputStats, Level, Telemetry};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use sysinfo::{Disks, Networks, System};
use tidegate_event::{BatchBuilder, Metric, NewEvent};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Disks and networks looked at, so that a machine with thousands of containers stays readable.
const MOST: usize = 256;

/// What it measures about this machine.
#[derive(Debug)]
pub struct Host {
    settings: config::Host,
    ingest: Ingest,
    stats: Arc<InputStats>,
}

impl Host {
    /// An input of this name.
    pub fn new(name: &str, settings: &config::Host, ingest: Ingest, telemetry: &Telemetry) -> Self {
        let stats = telemetry.add_input(name, "host", "this machine", Level::None);
        Self { settings: settings.clone(), ingest, stats }
    }

    /// Its counters.
    pub fn stats(&self) -> &Arc<InputStats> {
        &self.stats
    }

    /// Looks at the machine at each interval until told to stop. A look may block, so it happens off the async threads.
    pub async fn run(self, stop: CancellationToken) {
        let Self { settings, ingest, stats } = self;
        let mut ticks = interval(settings.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sampler = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let (mut now, settings) = match sampler.take() {
                Some(sampler) => (sampler, settings.clone()),
                None => (Sampler::new(&settings), settings.clone()),
            };
            let look = tokio::task::spawn_blocking(move || {
                let events = now.look(settings.every);
                (now, events)
            });
            let Ok((looked, events)) = look.await else {
                tracing::warn!(input = %stats.name, "looking at this machine failed; it is tried again");
                continue;
            };
            sampler = Some(looked);
            // Whatever becomes of them is counted behind the door; the next look comes anyway.
            let _ = ingest.offer(&stats, events);
        }
    }
}

/// Knows what it saw last: shares of time and rates need two looks.
struct Sampler {
    host: String,
    /// `None`, like the next two, where the system does not say.
    system: Option<System>,
    disks: Option<Disks>,
    networks: Option<Networks>,
    looked: Instant,
    services: BTreeSet<String>,
    first: bool,
}

impl Sampler {
    fn new(settings: &config::Host) -> Self {
        let host =
            settings.host.clone().or_else(|| System::host_name().ok()).unwrap_or_else(|| "localhost".into());
        Self {
            host,
            system: System::new().ok(),
            disks: Disks::new().ok(),
            networks: Networks::new().ok(),
            looked: clock::start(),
            services: BTreeSet::new(),
            first: true,
        }
    }

    fn look(&mut self, every: Duration) -> BatchBuilder {
        let since = std::mem::replace(&mut self.looked, clock::start()).elapsed().as_secs_f64();
        let mut report = Report {
            host: &self.host,
            ttl: every.as_secs_f32() * 2.0,
            events: BatchBuilder::new(),
            services: BTreeSet::new(),
        };
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory();
            report.system(system, self.first);
        }
        if let Some(disks) = &mut self.disks {
            disks.refresh(true);
            for disk in disks.iter().filter(|disk| disk.total_space() > 0).take(MOST) {
                let (total, free) = (disk.total_space(), disk.available_space());
                let service = format!("disk {}", disk.mount_point().display());
                report.share(&service, total.saturating_sub(free), total);
            }
        }
        if let Some(networks) = &mut self.networks {
            networks.refresh(true);
            // The first look at a counter says nothing about a rate.
            let rates = !self.first && since > 0.0;
            for (name, network) in networks.iter().filter(|_| rates).take(MOST) {
                let name = name.display();
                let (rx, tx) = (network.received() as f64 / since, network.transmitted() as f64 / since);
                report.rate(&format!("net {name} rx"), rx, network.errors_on_received());
                report.rate(&format!("net {name} tx"), tx, network.errors_on_transmitted());
            }
        }
        self.first = false;
        let Report { mut events, services, .. } = report;
        for gone in self.services.difference(&services) {
            let (host, service) = (Some(self.host.as_str()), Some(gone.as_str()));
            events.push(&NewEvent { host, service, state: Some("expired"), ..NewEvent::default() });
        }
        self.services = services;
        events
    }
}

/// The events of one look.
struct Report<'a> {
    host: &'a str,
    ttl: f32,
    events: BatchBuilder,
    services: BTreeSet<String>,
}

impl Report<'_> {
    fn system(&mut self, system: &System, first: bool) {
        if !first {
            let busy = f64::from(system.global_cpu_usage()) / 100.0;
            self.push("cpu", busy, Some((0.9, 0.95)), &format!("{:.1} % busy", busy * 100.0));
        }
        let cores = system.cpus().len().max(1) as f64;
        if let Ok(load) = System::load_average() {
            let text = format!("{} {} {} on {cores} cores", load.one, load.five, load.fifteen);
            self.push("load", load.one / cores, Some((3.0, 8.0)), &text);
        }
        let memory = system.total_memory();
        self.share("memory", memory.saturating_sub(system.available_memory()), memory);
        if system.total_swap() > 0 {
            self.share("swap", system.used_swap(), system.total_swap());
        }
    }

    fn share(&mut self, service: &str, used: u64, total: u64) {
        let share = if total == 0 { 0.0 } else { used as f64 / total as f64 };
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let text = format!("{:.1} % of {:.1} GiB used", share * 100.0, gib(total));
        self.push(service, share, Some((0.9, 0.95)), &text);
    }

    fn rate(&mut self, service: &str, rate: f64, errors: u64) {
        let text = if errors > 0 { format!("{errors} errors since the last look") } else { String::new() };
        self.push(service, rate, None, &text);
    }

    fn push(&mut self, service: &str, metric: f64, bounds: Option<(f64, f64)>, text: &str) {
        let state = match bounds {
            Some((_, critical)) if metric > critical => "critical",
            Some((warning, _)) if metric > warning => "warning",
            _ => "ok",
        };
        // One service for each name: the same disk may be mounted twice at one place.
        if !self.services.insert(service.to_owned()) {
            return;
        }
        self.events.push(&NewEvent {
            host: Some(self.host),
            service: Some(service),
            state: Some(state),
            metric: Some(Metric::Float(metric)),
            ttl: Some(self.ttl),
            description: Some(text).filter(|text| !text.is_empty()),
            ..NewEvent::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(sampler: &mut Sampler) -> tidegate_event::Batch {
        sampler.look(Duration::from_secs(5)).finish()
    }

    #[test]
    fn this_machine_has_processor_load_memory_and_networks() {
        let mut sampler =
            Sampler::new(&config::Host { every: Duration::from_secs(5), host: Some("here".into()) });
        let first = look(&mut sampler);
        assert!(
            first.events().all(|event| event.service() != Some("cpu")),
            "one look knows no share of time"
        );
        std::thread::sleep(Duration::from_millis(250));
        let second = look(&mut sampler);
        for service in ["cpu", "load", "memory"] {
            let event = second.events().find(|event| event.service() == Some(service));
            let event =
                event.unwrap_or_else(|| panic!("{service} in {:?}", second.events().collect::<Vec<_>>()));
            assert_eq!((event.host(), event.ttl()), (Some("here"), Some(10.0)));
            assert!(matches!(event.number(), Some(Metric::Float(share)) if share >= 0.0), "{event:?}");
            assert!(event.state().is_some() && event.description().is_some(), "{event:?}");
        }
        let memory =
            second.events().find(|event| event.service() == Some("memory")).and_then(|event| event.metric());
        assert!(memory.is_some_and(|share| share > 0.0 && share < 1.0), "{memory:?}");
        assert!(second.events().any(|event| event.service() == Some("net lo rx")), "{second:?}");
    }

    #[test]
    fn what_vanishes_is_said_to_be_expired() {
        let mut sampler =
            Sampler::new(&config::Host { every: Duration::from_secs(5), host: Some("here".into()) });
        sampler.services.insert("disk /gone".into());
        let batch = look(&mut sampler);
        let gone = batch.events().find(|event| event.service() == Some("disk /gone"));
        assert!(gone.is_some_and(|event| event.is_expired()), "{batch:?}");
        assert!(
            look(&mut sampler).events().all(|event| event.service() != Some("disk /gone")),
            "once is enough"
        );
    }

    #[test]
    fn states_follow_the_bounds() {
        let mut report =
            Report { host: "here", ttl: 10.0, events: BatchBuilder::new(), services: BTreeSet::new() };
        for (service, used) in [("a", 90), ("b", 91), ("c", 95), ("d", 96), ("e", 0)] {
            report.share(service, used, 100);
        }
        report.share("none", 0, 0);
        report.push("load", 3.5, Some((3.0, 8.0)), "");
        let batch = report.events.finish();
        let states: Vec<_> = batch.events().map(|event| event.state().unwrap().to_owned()).collect();
        assert_eq!(states, ["ok", "warning", "warning", "critical", "ok", "ok", "warning"]);
    }
}
