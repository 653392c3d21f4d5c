//! What benches, the load generator and tests send: a fleet of hosts and services, the same for the same numbers.
//!
//! Nothing here is random in a way that another run would not repeat, and nothing uses floating point functions that
//! differ between machines.

use tidegate_engine::codec::riemann;
use tidegate_event::{Batch, BatchBuilder, Metric, NewEvent, Span, Timestamp};

/// Which kind of fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Each stream speaks once before any speaks again.
    #[default]
    Steady,
    /// A few streams speak most: the n-th about n times less often than the first.
    Skewed,
    /// Streams speak in runs of 1 to 64 events.
    Bursty,
    /// New names all the time: no stream speaks twice before every other has spoken.
    Churn,
    /// Long names, a description, tags and attributes: about 1 KiB an event.
    Long,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Steady, Self::Skewed, Self::Bursty, Self::Churn, Self::Long];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Skewed => "skewed",
            Self::Bursty => "bursty",
            Self::Churn => "churn",
            Self::Long => "long",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("one of {} was expected", Self::ALL.map(Self::name).join(", ")))
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(self.name())
    }
}

/// A fleet that speaks: so many streams, each host with ten services, metrics that wander.
#[derive(Clone, Debug)]
pub struct Fleet {
    kind: Kind,
    streams: u64,
    /// Streams are visited in steps of so many: a fixed but scattered order, as a fleet would.
    stride: u64,
    start: Timestamp,
    next: u64,
    noise: u64,
    /// What is left of a run of one stream, and which.
    run: (u64, u64),
    host: String,
}

/// The time at which a workload starts: 2026-01-01 UTC.
pub const START: Timestamp = Timestamp::from_secs(1_767_225_600);

/// Where the number stands in the host's name of a fleet that churns, and how wide it is.
pub const NUMBER: std::ops::Range<usize> = 4..12;

const SERVICES: [&str; 10] = [
    "http.requests",
    "http.errors",
    "http.get latency",
    "http.post latency",
    "cpu",
    "memory",
    "load",
    "disk /",
    "queue depth",
    "gc pause",
];

const DESCRIPTION: &str = "The mean over the last minute left the range that was agreed on for this class of \
machine; see the runbook of the team that owns it, chapter four, before anybody is called. Taken from the local agent \
in its usual interval, without any smoothing; the raw samples are kept for two days on the machine itself and can be \
asked for there. If more than a third of the rack says the same at once, look at the rack first.";
const TAGS: [&str; 6] =
    ["production", "region-eu-central-1", "rack-17", "tier-1", "team-storage", "kernel-6.18"];
const ATTRIBUTES: [(&str, &str); 6] = [
    ("image", "registry.fleet.example/storage/frontend:2026.01.17-4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
    ("instance-type", "m7g.4xlarge"),
    ("runbook", "https://runbooks.fleet.example/storage/frontend/latency#what-to-look-at-first"),
    ("owner", "storage-frontend@fleet.example"),
    ("deployment", "storage-frontend-7c9d8b6f5d"),
    ("zone", "eu-central-1b"),
];

impl Fleet {
    /// A steady fleet of so many streams.
    pub fn new(streams: usize) -> Self {
        Self::of(Kind::Steady, streams)
    }

    /// A fleet of that kind.
    pub fn of(kind: Kind, streams: usize) -> Self {
        let streams = streams.max(1) as u64;
        // Every stream is visited only if the steps and the streams have no common divisor; these are primes.
        let stride = if streams.is_multiple_of(7919) { 7907 } else { 7919 };
        let noise = 0x9e37_79b9_7f4a_7c15;
        Self { kind, streams, stride, start: START, next: 0, noise, run: (0, 0), host: String::new() }
    }

    /// The same from that moment on: what is sent to a live server must not be long past.
    #[must_use]
    pub fn starting(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// The next events as a batch under construction.
    pub fn events(&mut self, count: usize) -> BatchBuilder {
        let mut builder = BatchBuilder::new();
        for _ in 0..count {
            self.push(&mut builder);
        }
        builder
    }

    /// So many of these.
    pub fn events_in(&mut self, batches: usize, count: usize) -> Vec<BatchBuilder> {
        (0..batches).map(|_| self.events(count)).collect()
    }

    fn random(&mut self) -> u64 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        self.noise
    }

    fn scattered(&self, number: u64) -> u64 {
        number.wrapping_mul(self.stride) % self.streams
    }

    /// Who speaks next.
    fn stream(&mut self) -> u64 {
        let turn = self.next;
        self.next += 1;
        match self.kind {
            Kind::Steady | Kind::Long => self.scattered(turn),
            Kind::Churn => turn % self.streams,
            Kind::Skewed => {
                // A power of two as likely as any other, and within it a rank as likely as any other: rank n is then
                // spoken to about 1/n of the time, as by Zipf's law, without a logarithm.
                let powers = u64::from(u64::BITS - self.streams.leading_zeros());
                let low = 1 << ((self.random() >> 32) % powers);
                let rank = low + (self.random() >> 16) % low;
                self.scattered((rank - 1) % self.streams)
            }
            Kind::Bursty => {
                if self.run.0 == 0 {
                    let length = 1 + (self.random() >> 32) % 64;
                    self.run = (length, self.scattered(self.run.1 + 1));
                }
                self.run.0 -= 1;
                self.run.1
            }
        }
    }

    fn push(&mut self, builder: &mut BatchBuilder) {
        use std::fmt::Write;
        let stream = self.stream();
        let metric = 100.0 + (self.random() >> 44) as f64 / 8192.0;
        let (machine, service) =
            (stream / SERVICES.len() as u64, SERVICES[(stream % SERVICES.len() as u64) as usize]);
        self.host.clear();
        let mut event = NewEvent {
            time: Some(self.start + Span::millis(self.next as i64 / 1000)),
            service: Some(service),
            state: Some(if metric > 220.0 { "warning" } else { "ok" }),
            metric: Some(Metric::Float(metric)),
            ttl: Some(600.0),
            ..NewEvent::default()
        };
        // Writing into a string cannot fail.
        let _ = match self.kind {
            Kind::Churn => {
                event.service = Some(SERVICES[0]);
                write!(self.host, "node{stream:08}.fleet.example")
            }
            Kind::Long => {
                (event.description, event.tags, event.attributes) = (Some(DESCRIPTION), &TAGS, &ATTRIBUTES);
                write!(
                    self.host,
                    "storage-frontend-{machine:08}.rack-17.eu-central-1b.production.fleet.example"
                )
            }
            Kind::Steady | Kind::Skewed | Kind::Bursty => write!(self.host, "web{machine:05}.fleet.example"),
        };
        builder.push(&NewEvent { host: Some(&self.host), ..event });
    }

    /// So many messages of so many events each, as they stand on the wire without their length.
    pub fn messages(&mut self, messages: usize, events: usize) -> Vec<Vec<u8>> {
        let message = |fleet: &mut Self| {
            let batch = fleet.batch(events, 0);
            let mut bytes = Vec::new();
            riemann::encode_message(&mut bytes, batch.events());
            bytes
        };
        (0..messages).map(|_| message(self)).collect()
    }

    /// A whole batch, stamped with a seed.
    pub fn batch(&mut self, count: usize, seed: u64) -> Batch {
        let mut builder = self.events(count);
        builder.stamp(seed, START);
        let mut batch = builder.finish();
        batch.header.now = START;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// How often each stream speaks.
    fn heard(kind: Kind, streams: usize, events: usize) -> BTreeMap<(String, String), usize> {
        let batch = Fleet::of(kind, streams).batch(events, 1);
        let mut heard = BTreeMap::new();
        for event in batch.events() {
            let name = |text: Option<&str>| text.unwrap_or_default().to_owned();
            *heard.entry((name(event.host()), name(event.service()))).or_default() += 1;
        }
        heard
    }

    #[test]
    fn the_same_numbers_give_the_same_events() {
        for kind in Kind::ALL {
            assert_eq!(Fleet::of(kind, 100).messages(3, 50), Fleet::of(kind, 100).messages(3, 50));
        }
    }

    #[test]
    fn every_stream_of_a_steady_or_churning_fleet_speaks_once_before_any_speaks_again() {
        for kind in [Kind::Steady, Kind::Churn, Kind::Long] {
            for streams in [1, 10, 1000, 7919, 15838] {
                let heard = heard(kind, streams, streams);
                assert_eq!(heard.len(), streams, "{kind:?}");
            }
        }
    }

    #[test]
    fn a_skewed_fleet_has_a_few_streams_that_speak_most_and_a_long_tail() {
        let heard = heard(Kind::Skewed, 1000, 20_000);
        let mut counts: Vec<_> = heard.values().copied().collect();
        counts.sort_unstable_by(|one, other| other.cmp(one));
        let top: usize = counts.iter().take(10).sum();
        assert!(top > 20_000 / 4, "the ten loudest of 1,000 speak {top} times");
        assert!(heard.len() > 900, "{} speak at all", heard.len());
    }

    #[test]
    fn a_bursty_fleet_speaks_in_runs() {
        let batch = Fleet::of(Kind::Bursty, 1000).batch(6400, 1);
        let hosts: Vec<_> = batch.events().map(|event| (event.host(), event.service())).collect();
        let changes = hosts.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!((100..400).contains(&changes), "{changes} changes of the speaker in 6,400 events");
    }

    #[test]
    fn names_of_a_churning_fleet_have_their_number_where_it_is_said_to_be() {
        let batch = Fleet::of(Kind::Churn, 5_000_000).batch(12, 1);
        let last = batch.events().last().and_then(|event| event.host()).unwrap();
        assert_eq!(&last[NUMBER], "00000011");
    }
}
