//! The contract of an output: what rules forward arrives here, waits in a bounded queue, and leaves in batches.
//!
//! ```text
//! shard ── forward ──► Queue (bytes, number, policy) ──► runner ── send ──► Sink
//!                                                          │ retries with back-off, gives up, keeps the books
//! ```
//!
//! An output delays nobody: [`Outputs::forward`] never waits, and every output has a queue and a task of its own. What is
//! sent may be sent twice, never silently lost: each event is delivered, dropped by the queue's policy, or given up on,
//! and counted as such.
//!
//! The output `live` always exists: a ring in memory from which the page and its subscribers read.

mod connection;
mod console;
mod file;
mod graphite;
mod json;
mod queue;
pub(crate) mod riemann;
mod runner;
mod webhook;

pub use console::Console;
pub use file::File;
pub use graphite::Graphite;
pub use queue::Queue;
pub use riemann::Riemann;
pub use runner::run;
pub use webhook::Webhook;

use crate::config::{self, LIVE, OutputKind};
use crate::ingest::{Ingest, Update};
use crate::telemetry::{OutputStats, Telemetry};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_engine::query::Matcher;
use tidegate_event::{Batch, BatchBuilder, Event, FieldSet};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// One event that a rule forwarded to an output.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The rule.
    pub rule: Arc<str>,
    /// The name under which the rule declares the output.
    pub declared: Arc<str>,
    /// The log position of the batch that caused it. With `n` and the rule it names this effect for ever.
    pub position: u64,
    /// Counts the rule's effects at that position.
    pub n: u32,
    /// The event: a batch of one.
    pub batch: Batch,
}

impl Delivery {
    /// The event.
    pub fn event(&self) -> Event<'_> {
        self.batch.event(0)
    }

    /// Names this effect for ever, also when it is sent twice.
    pub fn id(&self) -> String {
        format!("{}:{}:{}", self.position, self.rule, self.n)
    }
}

/// Turns events into requests to the other side.
pub trait Sink: Send + 'static {
    /// Sends these events, in order, and returns when the other side has them. May be called again with the same events
    /// after a failure; whatever connection there was is then made anew.
    fn send(&mut self, batch: &[Delivery]) -> impl Future<Output = Result<(), SendError>> + Send;
}

/// Why events have not arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    /// What to do with those that have not.
    pub verdict: Verdict,
    /// How many of the batch, from its front, have arrived all the same.
    pub delivered: usize,
    /// What happened.
    pub message: String,
}

impl SendError {
    /// Nothing arrived; try again.
    pub fn later(message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Later(Duration::ZERO), delivered: 0, message: message.into() }
    }

    /// Nothing arrived, and some of it never will.
    pub fn refused(which: Which, message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Refused(which), delivered: 0, message: message.into() }
    }
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again, not before so long.
    Later(Duration),
    /// Do not try again: refused for good.
    Refused(Which),
}

/// What was refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The first event that has not arrived.
    First,
    /// All of them, whatever they are: the other side does not want us.
    All,
    /// Some: the other side does not say which. They are tried one by one.
    Some,
}

/// How many events the page may be behind before it misses some.
const LIVE_EVENTS: usize = 4096;

/// How long to wait before a query is asked again whose answers have ended.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// All outputs by name.
#[derive(Clone, Debug)]
pub struct Outputs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queues: BTreeMap<String, Arc<Queue>>,
    live: broadcast::Sender<Arc<Delivery>>,
    live_stats: Arc<OutputStats>,
    filters: Vec<(String, Matcher)>,
    senders: Mutex<Vec<JoinHandle<()>>>,
    followers: Mutex<Vec<JoinHandle<()>>>,
}

/// Why the outputs could not be started.
#[derive(Debug, thiserror::Error)]
#[error("output {output}: {message}")]
pub struct StartError {
    /// Its name.
    pub output: String,
    /// What is wrong with it.
    pub message: String,
}

impl Outputs {
    /// Starts a task for each output that is configured, and `live`. Nothing is connected before the first event comes.
    /// Must be called within a tokio runtime.
    pub fn start(configured: &[config::Output], telemetry: &Telemetry) -> Result<Self, StartError> {
        let mut inner = Inner {
            queues: BTreeMap::new(),
            live: broadcast::Sender::new(LIVE_EVENTS),
            live_stats: telemetry.add_output(LIVE, "live"),
            filters: Vec::new(),
            senders: Mutex::default(),
            followers: Mutex::default(),
        };
        inner.live_stats.healthy.set(1);
        let mut senders = Vec::new();
        for output in configured {
            let failed = |message: String| StartError { output: output.name.clone(), message };
            let stats = telemetry.add_output(&output.name, kind(&output.kind));
            stats.capacity.set(output.common.queue_events as i64);
            stats.capacity_bytes.set(output.common.queue as i64);
            let queue = Arc::new(Queue::new(&output.common, stats));
            if let Some(query) = &output.common.filter {
                let matcher = Matcher::parse(query).map_err(|error| failed(error.to_string()))?;
                inner.filters.push((output.name.clone(), matcher));
            }
            let common = output.common.clone();
            let waiting = queue.clone();
            senders.push(match &output.kind {
                OutputKind::Console => tokio::spawn(run(Console::stdout(), waiting, common)),
                OutputKind::File { path } => tokio::spawn(run(File::new(path.clone()), waiting, common)),
                OutputKind::Webhook { url, headers, timeout } => {
                    let webhook = Webhook::new(url, headers, *timeout).map_err(failed)?;
                    tokio::spawn(run(webhook, waiting, common))
                }
                OutputKind::Graphite { address, prefix, timeout } => {
                    let graphite = Graphite::new(address.clone(), prefix.clone(), *timeout);
                    tokio::spawn(run(graphite, waiting, common))
                }
                OutputKind::Riemann { address, timeout } => {
                    tokio::spawn(run(Riemann::new(address.clone(), *timeout), waiting, common))
                }
            });
            inner.queues.insert(output.name.clone(), queue);
        }
        inner.senders = Mutex::new(senders);
        Ok(Self(Arc::new(inner)))
    }

    /// All names, `live` included.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.queues.keys().map(String::as_str).chain([LIVE]).collect();
        names.sort_unstable();
        names
    }

    /// Hands an event to an output; `false` when there is none of that name. Never waits, and may be called from any
    /// thread.
    pub fn forward(&self, output: &str, delivery: Delivery) -> bool {
        if output == LIVE {
            self.0.live_stats.taken.add(1);
            self.0.live_stats.delivered.add(1);
            // Nobody listening is fine.
            let _ = self.0.live.send(Arc::new(delivery));
            return true;
        }
        let Some(queue) = self.0.queues.get(output) else { return false };
        queue.push(delivery);
        true
    }

    /// What goes to `live` from now on. Whoever reads too slowly is told how many events were missed.
    pub fn live(&self) -> broadcast::Receiver<Arc<Delivery>> {
        self.0.live.subscribe()
    }

    /// Starts to send what the outputs' own queries (`where`) want, straight from the index.
    pub fn follow(&self, ingest: &Ingest) {
        let followers = self.0.filters.iter().filter_map(|(name, matcher)| {
            let queue = self.0.queues.get(name)?.clone();
            Some(tokio::spawn(follow(ingest.clone(), matcher.clone(), name.as_str().into(), queue)))
        });
        lock(&self.0.followers).extend(followers);
    }

    /// Lets nothing more in and waits until all is sent, but not longer than this. What then still waits stays counted as
    /// queued. Returns whether everything was sent.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        for follower in std::mem::take(&mut *lock(&self.0.followers)) {
            follower.abort();
        }
        for queue in self.0.queues.values() {
            queue.close();
        }
        let mut senders = std::mem::take(&mut *lock(&self.0.senders));
        let all = async {
            for sender in &mut senders {
                let _ = sender.await;
            }
        };
        let drained = tokio::time::timeout(deadline, all).await.is_ok();
        senders.iter().for_each(JoinHandle::abort);
        drained
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The word for a type, as in the configuration.
fn kind(kind: &OutputKind) -> &'static str {
    match kind {
        OutputKind::Console => "console",
        OutputKind::File { .. } => "file",
        OutputKind::Webhook { .. } => "webhook",
        OutputKind::Graphite { .. } => "graphite",
        OutputKind::Riemann { .. } => "riemann",
    }
}

/// Sends on what a query finds, until the node stops. These events come from no rule: their rule is called `-`, and their
/// ids are unique while the process lives.
async fn follow(ingest: Ingest, matcher: Matcher, output: Arc<str>, queue: Arc<Queue>) {
    let rule: Arc<str> = "-".into();
    let mut n = 0u32;
    while let Ok(mut subscription) = ingest.subscribe(&matcher, false) {
        while let Some(update) = subscription.updates.recv().await {
            match update {
                Update::Snapshot { .. } => {}
                Update::Skipped(events) => queue.missed(events),
                Update::Events(batch) => {
                    for event in batch.events() {
                        let mut one = BatchBuilder::new();
                        one.copy(&event, FieldSet::ALL, |_| {});
                        n = n.wrapping_add(1);
                        queue.push(Delivery {
                            rule: rule.clone(),
                            declared: output.clone(),
                            position: batch.header.position,
                            n,
                            batch: one.finish(),
                        });
                    }
                }
            }
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
