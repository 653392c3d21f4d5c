//! The contract of an output: what rules forward arrives here, waits in a bounded queue, and leaves in batches.
//!
//! ```text
//! sequencer ── forward ──► Queue (bytes, number, policy) ──► runner ── send ──► Sink
//!                            │ keeper                          │ retries with back-off, keeps the books
//!                            ▼                                 ▼ gives up
//!                          Spool (with a data directory)     dead letters
//! ```
//!
//! An output delays nobody: [`Outputs::forward`] never waits, and every output has a queue and a task of its own. What is
//! sent may be sent twice, never silently lost: each event is delivered, dropped by the queue's policy, or in the dead
//! letters, and counted as such.
//!
//! After a restart the log is read again, rules forward the same events again, and all of them come here again
//! ([`Outputs::replay`]): the spool knows which of them it has seen. So what was delivered is not repeated, and what had
//! not reached the spool is not lost.
//!
//! The output `live` always exists: a ring in memory from which the page and its subscribers read.

pub mod alertmanager;
pub mod alerts;
pub mod amqp;
mod breaker;
pub mod console;
pub mod dashing;
pub mod elasticsearch;
mod encode;
pub mod file;
pub mod grafana;
pub mod graphite;
pub mod http;
pub mod influxdb;
mod json;
mod keeper;
mod key;
mod kinds;
pub mod labels;
mod lines;
pub mod loki;
pub mod mail;
pub mod nats;
pub mod notice;
pub mod opentsdb;
mod outcomes;
pub mod pagerduty;
pub mod payload;
pub mod postgres;
pub mod prometheus;
mod queue;
mod recent;
pub mod remote_write;
pub mod riemann;
mod runner;
#[cfg(test)]
mod samples;
pub mod slack;
mod spool;
pub mod statsd;
pub mod stream;
pub mod syslog;
pub mod template;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod webhook;
mod wording;
mod words;

pub use breaker::State as Breaker;
pub use console::Console;
pub use key::Keys;
pub use kinds::{Kind, OutputKind, Place};
pub use queue::{Queue, Taken};
pub use runner::run;

use crate::config::{self, LIVE};
use crate::data;
use crate::dead_letters::{DeadLetters, Keep};
use crate::ingest::{Ingest, Update};
use crate::telemetry::{InputStats, OutputStats, Telemetry};
use alerts::{Alerts, DeskSink, Hands};
use keeper::Keeper;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_engine::query::Matcher;
use tidegate_event::{Batch, BatchBuilder, Event, FieldSet};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::Instant;

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
    fn send(&mut self, batch: &[Arc<Delivery>]) -> impl Future<Output = Result<(), SendError>> + Send;

    /// What would be sent, as a person reads it. Nothing is sent, and nothing secret is shown. An error says what is wrong
    /// with the first event that has no form on this wire, and how many before it have.
    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError>;
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
    letters: Arc<DeadLetters>,
    alerts: Arc<Alerts>,
    /// Where the desks of the alerts say what happens.
    said: Arc<InputStats>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    /// What waits for the desks, and who takes it to them.
    desks: Mutex<Vec<(Arc<Queue>, JoinHandle<()>)>>,
    keeper: Option<Keeper>,
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
    /// Outputs whose queues live as long as the process.
    pub fn start(configured: &[config::Output], telemetry: &Telemetry) -> Result<Self, StartError> {
        let letters = Arc::new(DeadLetters::memory(Keep::default(), telemetry.letters.clone()));
        Self::open(configured, telemetry, None, letters)
    }

    /// Starts a task for each output that is configured, and `live`; their spools are in this folder, if there is one.
    /// Nothing is connected before the first event comes. Must be called within a tokio runtime.
    pub fn open(
        configured: &[config::Output],
        telemetry: &Telemetry,
        folder: Option<&Path>,
        letters: Arc<DeadLetters>,
    ) -> Result<Self, StartError> {
        let alerts = Arc::new(desks(configured, telemetry, folder)?);
        let said =
            if alerts.has_desks() { alerts::input(telemetry, folder.is_some()) } else { Arc::default() };
        let mut inner = Inner {
            queues: BTreeMap::new(),
            live: broadcast::Sender::new(LIVE_EVENTS),
            live_stats: telemetry.add_output(LIVE, "live"),
            filters: Vec::new(),
            letters: letters.clone(),
            alerts: alerts.clone(),
            said,
            workers: Mutex::default(),
            desks: Mutex::default(),
            keeper: None,
            senders: Mutex::default(),
            followers: Mutex::default(),
        };
        inner.live_stats.healthy.set(1);
        // The data directory's own seed; what has no data directory is another node each time.
        let seed = folder.and_then(Path::parent).and_then(data::seed_of).unwrap_or_else(data::draw_seed);
        let keys = Keys::new(seed);
        let (mut senders, mut desks) = (Vec::new(), Vec::new());
        for output in configured {
            let failed = |message: String| StartError { output: output.name.clone(), message };
            let stats = telemetry.add_output(&output.name, output.kind.word());
            let queue = Arc::new(match folder {
                None => Queue::new(&output.common, stats.clone()),
                // A name of its own kind: `..` is a name that an output may have.
                Some(folder) => Queue::on_disk(
                    &output.common,
                    stats.clone(),
                    folder.join(format!("{}.spool", output.name)),
                )
                .map_err(|error| failed(format!("its spool cannot be opened: {error}")))?,
            });
            if let Some(query) = &output.common.filter {
                let matcher = Matcher::parse(query).map_err(|error| failed(error.to_string()))?;
                let _ = stats.asks.set(query.clone());
                inner.filters.push((output.name.clone(), matcher));
            }
            let streams = telemetry.streams.clone();
            let place = Place { batch: output.common.batch, stats, streams, keys };
            let (waiting, common, letters) = (queue.clone(), output.common.clone(), letters.clone());
            if let OutputKind::Alerts(settings) = &output.kind {
                let desk = DeskSink::new(&inner.alerts, &output.name, settings.clone());
                desks.push((queue.clone(), tokio::spawn(run(desk, waiting, common, letters))));
            } else {
                senders.push(output.kind.start(&place, waiting, common, letters).map_err(failed)?);
            }
            inner.queues.insert(output.name.clone(), queue);
        }
        if let Some(folder) = folder {
            tell_of_strangers(folder, configured);
            let keeper = Keeper::start(inner.queues.values().cloned().collect());
            let failed = |error: io::Error| StartError {
                output: inner.queues.keys().next().cloned().unwrap_or_default(),
                message: format!("the thread of the spools does not start: {error}"),
            };
            inner.keeper = Some(keeper.map_err(failed)?);
        }
        inner.senders = Mutex::new(senders);
        inner.desks = Mutex::new(desks);
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

    /// Hands over what a replay of the log forwards again: an output with a spool takes what it has not seen. `live` gets
    /// nothing, and without a spool nobody knows what was sent: nothing is sent again. May wait for the disk.
    pub fn replay(&self, output: &str, delivery: Delivery) {
        if let Some(queue) = self.0.queues.get(output).filter(|_| self.0.keeper.is_some()) {
            queue.push_replayed(delivery);
        }
    }

    /// The log has been read, up to this position: what comes now is new.
    pub fn begin(&self, position: u64) {
        self.0.letters.begin(position);
        for (name, queue) in &self.0.queues {
            let gone = queue.begin(position);
            if gone > 0 {
                tracing::error!(output = %name, events = gone, "the end of the spool cannot be read");
                self.0.letters.keep(vec![runner::gone(name, &format!("end-{position}"), gone)]);
            }
        }
    }

    /// The log position up to which every output with a spool has on disk what was forwarded, or knows what became of it;
    /// `u64::MAX` when that is so for everything that was handed over. Recovery may begin behind it, and not later.
    pub fn settled(&self) -> u64 {
        self.0.queues.values().map(|queue| queue.settled()).min().unwrap_or(u64::MAX)
    }

    /// Waits until everything that was forwarded so far is in the spools and survives a power cut. Blocks the thread.
    pub fn sync(&self) -> io::Result<()> {
        self.0.keeper.as_ref().map_or(Ok(()), Keeper::sync)
    }

    /// The alerts.
    pub fn alerts(&self) -> &Arc<Alerts> {
        &self.0.alerts
    }

    /// The dead letters.
    pub fn letters(&self) -> &Arc<DeadLetters> {
        &self.0.letters
    }

    /// Puts an event that was given up on back into line, and waits until the spool has it; `false` when there is no such
    /// output, or no room. It may arrive after others that came later.
    pub async fn send_again(&self, output: &str, delivery: Delivery) -> bool {
        let Some(queue) = self.0.queues.get(output) else { return false };
        let Some(number) = queue.push_loose(delivery) else { return false };
        let this = self.clone();
        let safe = tokio::task::spawn_blocking(move || this.sync()).await;
        matches!(safe, Ok(Ok(()))) && queue.has_saved(number)
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
        if self.0.alerts.has_desks() {
            let hands = Arc::new(self.clone());
            let workers = alerts::start(&self.0.alerts, hands, ingest.clone(), self.0.said.clone());
            lock(&self.0.workers).extend(workers);
        }
    }

    /// Lets nothing more in and waits until all is sent, but not longer than this. What then still waits stays counted as
    /// queued, and stays in the spools. Returns whether everything was sent.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        for follower in std::mem::take(&mut *lock(&self.0.followers)) {
            follower.abort();
        }
        let until = Instant::now() + deadline;
        self.shut_desks(until).await;
        for queue in self.0.queues.values() {
            queue.close();
        }
        let mut senders = std::mem::take(&mut *lock(&self.0.senders));
        let all = async {
            for sender in &mut senders {
                let _ = sender.await;
            }
        };
        let drained = tokio::time::timeout_at(until, all).await.is_ok();
        senders.iter().for_each(JoinHandle::abort);
        let this = self.0.clone();
        let kept = tokio::task::spawn_blocking(move || this.keeper.as_ref().map(Keeper::stop)).await;
        if kept.is_err() {
            tracing::error!("the spools were not closed in order");
        }
        drained
    }
}

impl Outputs {
    /// What waits for the desks goes there first, and their notices into the queues of the others while these are open.
    async fn shut_desks(&self, until: Instant) {
        let desks = std::mem::take(&mut *lock(&self.0.desks));
        desks.iter().for_each(|(queue, _)| queue.close());
        for (_, mut desk) in desks {
            if tokio::time::timeout_at(until, &mut desk).await.is_err() {
                desk.abort();
            }
        }
        let workers = std::mem::take(&mut *lock(&self.0.workers));
        for worker in workers {
            worker.abort();
            let _ = worker.await;
        }
        if self.0.alerts.has_desks() {
            let this = self.clone();
            let handed = tokio::task::spawn_blocking(move || this.0.alerts.hand_out(&this)).await;
            if handed.is_err() {
                tracing::error!("notices were not handed out");
            }
        }
    }
}

impl Hands for Outputs {
    fn hand(&self, output: &str, notice: Delivery) -> bool {
        // What is too much for the queue is dropped by its policy, and counted there.
        let Some(queue) = self.0.queues.get(output) else { return true };
        if queue.is_closed() {
            return false;
        }
        queue.push_loose(notice);
        true
    }

    fn secure(&self) -> bool {
        self.sync().is_ok()
    }
}

/// The desks of the alerts; what they keep lies beside the spools.
fn desks(
    configured: &[config::Output],
    telemetry: &Telemetry,
    folder: Option<&Path>,
) -> Result<Alerts, StartError> {
    let desks = configured.iter().filter_map(|output| match &output.kind {
        OutputKind::Alerts(settings) => Some((output.name.as_str(), settings)),
        _ => None,
    });
    let folder = folder.map(|folder| folder.with_file_name("alerts"));
    Alerts::open(desks, folder.as_deref(), telemetry.alerts.clone()).map_err(|error| StartError {
        output: configured.first().map(|output| output.name.clone()).unwrap_or_default(),
        message: format!("what is known of alerts cannot be read: {error}"),
    })
}

/// Says which spools belong to no output any more: what waits there waits until there is one of that name.
fn tell_of_strangers(folder: &Path, configured: &[config::Output]) {
    let paths: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    for path in paths {
        let name =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".spool"));
        if name.is_some_and(|name| configured.iter().all(|output| output.name != name)) {
            tracing::warn!(spool = %path.display(), "no output has this spool: remove it, or bring the output back");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
                        queue.push_loose(Delivery {
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
