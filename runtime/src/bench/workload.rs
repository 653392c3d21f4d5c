//! What benches, the load generator and tests send: a fleet of hosts and services, the same for the same numbers.

use tidegate_engine::codec::riemann;
use tidegate_event::{Batch, BatchBuilder, Metric, NewEvent, Timestamp};

/// A steady fleet: so many streams, each host with ten services, metrics that wander.
#[derive(Clone, Debug)]
pub struct Fleet {
    streams: usize,
    start: Timestamp,
    next: usize,
    noise: u64,
}

/// The time at which a workload starts: 2026-01-01 UTC.
pub const START: Timestamp = Timestamp::from_secs(1_767_225_600);

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

impl Fleet {
    /// A fleet of so many streams.
    pub fn new(streams: usize) -> Self {
        Self { streams: streams.max(1), start: START, next: 0, noise: 0x9e37_79b9_7f4a_7c15 }
    }

    /// The same from that moment on: what is sent to a live server must not be long past.
    #[must_use]
    pub fn starting(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// The next events as a batch under construction; each stream speaks once before any speaks again.
    pub fn events(&mut self, count: usize) -> BatchBuilder {
        let mut builder = BatchBuilder::new();
        for _ in 0..count {
            self.push(&mut builder);
        }
        builder
    }

    fn push(&mut self, builder: &mut BatchBuilder) {
        // Streams are visited in a fixed but scattered order, as a fleet would.
        let stream = (self.next.wrapping_mul(7919)) % self.streams;
        self.next += 1;
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        let metric = 100.0 + (self.noise >> 44) as f64 / 8192.0;
        let host = format!("web{:05}.fleet.example", stream / SERVICES.len());
        builder.push(&NewEvent {
            time: Some(self.start + tidegate_event::Span::millis(self.next as i64 / 1000)),
            host: Some(&host),
            service: Some(SERVICES[stream % SERVICES.len()]),
            state: Some(if metric > 220.0 { "warning" } else { "ok" }),
            metric: Some(Metric::Float(metric)),
            ttl: Some(600.0),
            ..NewEvent::default()
        });
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
