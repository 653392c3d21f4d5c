//! Alerts: what stands between rules and people. A rule that forwards to an output of `type = "alerts"` says how things are;
//! the desk of that output makes one alert of all events with the same key, and tells people what they have to know, once.
//!
//! ```text
//! rules ── forward ──► queue and spool of the output ──► desk: key, group, silence, limit ──► outbox
//!                                                          │                                  │  │
//!                                                       journal ◄────── what was sent ────────┘  │
//!                                                                                                ▼
//!                                     notices into the queues of other outputs, and events into the stream
//! ```
//!
//! A change is written to the journal before what it brings about leaves, and what it brings about stays in the journal
//! until it is safe in the queues and in the log. So after a crash nothing is lost, and at most what was on its way between
//! the two is sent again, under the same id. What rules forward again when the log is read at start does not reach the desk:
//! the spool before it knows what it has seen, and the desk knows the last deliveries that the spool gave it.
//!
//! [`desk`] and [`board`] are pure: they are given the moment. This file gives them a clock and a journal.

mod alert;
mod board;
mod desk;
mod doings;
mod journal;
mod settings;
mod shown;
mod silence;
#[cfg(test)]
mod tests;
mod worker;

pub use alert::{About, Alert, At, Kind, Status};
pub use desk::{Objection, SERVICE};
pub use settings::{Settings, Step};
pub use shown::{Counts, Page, Show, Wanted};
pub use silence::Silence;
pub use worker::{Hands, input, start};

use super::{Delivery, SendError, Sink, Verdict, Which};
use crate::clock;
use crate::telemetry::AlertStats;
use board::{Board, NoSilence};
use desk::Full;
use doings::Doings;
use journal::Journal;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tidegate_engine::query::QueryError;
use tokio::sync::{Notify, watch};

/// Tells what is known of a rule.
pub type Ask = Arc<dyn Fn(&str) -> About + Send + Sync>;

/// The alerts of a node.
pub struct Alerts {
    /// Whoever changes something holds this from the change until it is written, so that the journal has the order of the
    /// changes. Whoever only looks needs the board alone, and does not wait for the disk.
    journal: Mutex<Option<Journal>>,
    board: Mutex<Board>,
    changed: watch::Sender<u64>,
    /// There is something in the outbox.
    wake: Notify,
    /// The number of the last notice that was handed to outputs by this process.
    handed: Mutex<u64>,
    ask: OnceLock<Ask>,
    /// Whether the log has been read, and all outputs are there.
    started: watch::Sender<bool>,
    stats: Arc<AlertStats>,
}

impl std::fmt::Debug for Alerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alerts").finish_non_exhaustive()
    }
}

/// Why a silence was not made.
#[derive(Debug, thiserror::Error)]
pub enum SilenceError {
    /// Its query is none.
    #[error("{}", .0.message)]
    Query(QueryError),
    /// There are too many.
    #[error("there are {most} silences that have not ended: remove one first", most = silence::MOST)]
    Full,
}

impl Alerts {
    /// The desks of these outputs. With a folder they go on where they were, and everything is kept there; without one they
    /// live as long as the process. Nothing is taken before [`Alerts::start`].
    pub fn open<'a>(
        outputs: impl Iterator<Item = (&'a str, &'a Settings)>,
        folder: Option<&Path>,
        stats: Arc<AlertStats>,
    ) -> io::Result<Self> {
        let mut board = Board::new(outputs);
        let journal = match folder {
            // Whoever has no desk and never had one needs no file.
            Some(folder) if !board.desks().is_empty() || folder.exists() => {
                let (journal, present) = Journal::open(folder)?;
                if present.damaged > 0 {
                    tracing::error!(
                        parts = present.damaged,
                        "some of what is known of alerts cannot be read"
                    );
                    stats.journal_errors.add(present.damaged);
                }
                let homeless =
                    present.entries().filter_map(|entry| (!board.restore(entry)).then_some(())).count();
                if homeless > 0 {
                    tracing::warn!(
                        alerts = homeless,
                        "alerts of outputs that are not configured any more are let go"
                    );
                }
                Some(journal)
            }
            _ => None,
        };
        let alerts = Self {
            journal: Mutex::new(journal),
            board: Mutex::new(board),
            changed: watch::Sender::new(0),
            wake: Notify::new(),
            handed: Mutex::new(0),
            ask: OnceLock::new(),
            started: watch::Sender::new(false),
            stats,
        };
        alerts.renew(&mut lock(&alerts.journal))?;
        alerts.gauge(&lock(&alerts.board));
        Ok(alerts)
    }

    /// No desks at all.
    pub fn none() -> Self {
        Self::open(std::iter::empty(), None, Arc::default()).expect("nothing is opened")
    }

    /// Begins to take what rules forward. `ask` tells what is known of a rule, `base` is where people find the page.
    pub fn start(&self, ask: Ask, base: Option<&str>) {
        let _ = self.ask.set(ask);
        self.board().found_at(base);
        self.started.send_replace(true);
    }

    /// Whether there are desks.
    pub fn has_desks(&self) -> bool {
        !self.board().desks().is_empty()
    }

    /// Of each desk the outputs that it tells.
    pub fn told(&self) -> Vec<(String, BTreeSet<String>)> {
        let board = self.board();
        let desks = board.desks().iter();
        desks.map(|(name, desk)| (name.clone(), desk.tells().map(str::to_owned).collect())).collect()
    }

    /// Grows whenever something has changed.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The counters.
    pub fn stats(&self) -> &Arc<AlertStats> {
        &self.stats
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    fn renew(&self, journal: &mut Option<Journal>) -> io::Result<()> {
        let Some(journal) = journal else { return Ok(()) };
        let mut payloads = Vec::new();
        self.board().snapshot(|payload| payloads.push(payload));
        let renewed = journal.renew(&payloads);
        self.stats.journal_bytes.set(journal.bytes() as i64);
        renewed
    }

    /// Changes something, and writes it before anybody sees what it brings about. What cannot be written is done all the
    /// same, and written with the next change: people hear of alerts also while a disk is full.
    fn change<T>(&self, how: impl FnOnce(&mut Board, &mut Doings) -> T) -> (T, io::Result<()>) {
        let mut journal = lock(&self.journal);
        let (answer, left) = {
            let mut board = self.board();
            let mut doings = board.begin();
            let answer = how(&mut board, &mut doings);
            let stats = &self.stats;
            stats.events.add(doings.folded);
            stats.ignored.add(doings.ignored);
            stats.doubled.add(doings.doubled);
            stats.held.add(doings.held);
            stats.notices.add(doings.notices());
            stats.transitions.add(doings.transitions());
            let left = board.commit(doings);
            stats.lost.add(left.lost);
            self.gauge(&board);
            (answer, left)
        };
        let written = self.write(&mut journal, &left.payload, true);
        drop(journal);
        if !left.payload.is_empty() {
            self.changed.send_modify(|changes| *changes += 1);
        }
        if left.weighty {
            self.wake.notify_one();
        }
        (answer, written)
    }

    fn write(&self, journal: &mut Option<Journal>, payload: &[u8], sync: bool) -> io::Result<()> {
        let Some(open) = journal.as_mut() else { return Ok(()) };
        let written = if open.is_stale() {
            self.renew(journal)
        } else if payload.is_empty() {
            Ok(())
        } else {
            let written = open.append(payload, sync);
            self.stats.journal_bytes.set(open.bytes() as i64);
            written
        };
        written.inspect_err(|error| {
            tracing::error!(%error, "alerts cannot be written: what is known of them is in memory alone");
            self.stats.journal_errors.add(1);
        })
    }

    /// These have been sent.
    fn sent(&self, numbers: &[u64]) {
        let mut journal = lock(&self.journal);
        let payload = self.board().sent(numbers);
        // Without a sync: what a power cut takes of it is sent twice.
        let _ = self.write(&mut journal, &payload, false);
    }

    fn gauge(&self, board: &Board) {
        let mut open = [0; 4];
        board.alerts().for_each(|alert| open[alert.status() as usize] += 1);
        let [firing, acknowledged, silenced, resolved] = open;
        let stats = &self.stats;
        stats.firing.set(firing);
        stats.acknowledged.set(acknowledged);
        stats.silenced.set(silenced);
        stats.resolved.set(resolved);
        stats.silences.set(board.silences().count() as i64);
        stats.outbox.set(board.outbox(0).count() as i64);
    }

    /// Takes what rules forwarded to an output. Blocks for the disk.
    pub fn take(&self, output: &str, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let abouts: Vec<About> = batch
            .iter()
            .map(|delivery| self.ask.get().map_or_else(About::default, |ask| ask(&delivery.rule)))
            .collect();
        let now = At::from(clock::now());
        let (taken, written) = self.change(|board, out| {
            for (n, (delivery, about)) in batch.iter().zip(&abouts).enumerate() {
                if let Err(full) = board.fold(now, output, delivery, about, out) {
                    return Err((n, full));
                }
            }
            Ok(())
        });
        // What is only in memory is not taken yet: it comes again, and is known by then.
        written.map_err(|error| SendError::later(format!("the journal of the alerts: {error}")))?;
        taken.map_err(|(delivered, Full(most))| {
            self.stats.refused.add(1);
            let message = format!("there are {most} open alerts already, as many as `max_alerts` allows");
            SendError { verdict: Verdict::Refused(Which::First), delivered, message }
        })
    }

    /// What time alone brings about. Blocks for the disk when it is something.
    fn tick(&self) {
        let now = At::from(clock::now());
        let _ = self.change(|board, out| board.tick(now, out));
    }

    /// Somebody cares for an alert. Blocks for the disk.
    pub fn acknowledge(&self, id: &str, by: &str, note: &str) -> Result<(), Objection> {
        let now = At::from(clock::now());
        self.change(|board, out| board.change(id, |desk| desk.acknowledge(now, id, by, note, out))).0
    }

    /// Nobody cares for it any more. Blocks for the disk.
    pub fn unacknowledge(&self, id: &str, by: &str) -> Result<(), Objection> {
        let now = At::from(clock::now());
        self.change(|board, out| board.change(id, |desk| desk.unacknowledge(now, id, by, out))).0
    }

    /// Somebody says that it is over. Blocks for the disk.
    pub fn resolve(&self, id: &str, by: &str, note: &str) -> Result<(), Objection> {
        let now = At::from(clock::now());
        self.change(|board, out| board.change(id, |desk| desk.resolve(now, id, by, note, out))).0
    }

    /// Makes a silence. Blocks for the disk.
    pub fn add_silence(
        &self,
        query: &str,
        reason: &str,
        by: &str,
        until: At,
    ) -> Result<Silence, SilenceError> {
        let now = At::from(clock::now());
        let made = self.change(|board, out| board.add_silence(now, query, reason, by, until, out)).0;
        made.map_err(|error| match error {
            NoSilence::Query(error) => SilenceError::Query(error),
            NoSilence::Full => SilenceError::Full,
        })
    }

    /// Ends a silence; `None` when there is none that has not ended. Blocks for the disk.
    pub fn end_silence(&self, id: &str, by: &str) -> Option<Silence> {
        let now = At::from(clock::now());
        self.change(|board, out| board.end_silence(now, id, by, out)).0
    }
}

/// The sink of an output of type `alerts`.
#[derive(Debug)]
pub struct DeskSink {
    /// None where there is no node: there is nothing to be told to whom.
    alerts: Option<Arc<Alerts>>,
    output: String,
    settings: Settings,
}

impl DeskSink {
    /// One that only says what it would do.
    pub fn alone(output: &str, settings: Settings) -> Self {
        Self { alerts: None, output: output.to_owned(), settings }
    }

    /// The sink of this output.
    pub fn new(alerts: &Arc<Alerts>, output: &str, settings: Settings) -> Self {
        Self { alerts: Some(alerts.clone()), ..Self::alone(output, settings) }
    }
}

impl Sink for DeskSink {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let Some(alerts) = self.alerts.clone() else {
            let message = "alerts belong to a running node: use --dry-run";
            return Err(SendError::refused(Which::All, message));
        };
        let (output, batch) = (self.output.clone(), batch.to_vec());
        // Whoever holds the sink holds the sender.
        let _ = alerts.started.subscribe().wait_for(|started| *started).await;
        let taken = tokio::task::spawn_blocking(move || alerts.take(&output, &batch)).await;
        taken.unwrap_or_else(|_| Err(SendError::later("the desk of the alerts failed")))
    }

    /// What a desk without alerts would do with these events, one after the other.
    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let mut board = Board::new([(self.output.as_str(), &self.settings)].into_iter());
        let mut text = String::new();
        let now = At::from(clock::now());
        for delivery in batch {
            let mut out = board.begin();
            let folded = board.fold(now, &self.output, delivery, &About::default(), &mut out);
            let event = delivery.event();
            let names = [event.host(), event.service(), event.state()].map(Option::unwrap_or_default);
            text += &format!("{}:", names.join(" "));
            match (&folded, out.touched.first()) {
                (Err(Full(most)), _) => text += &format!(" refused: {most} alerts are open"),
                (Ok(()), None) => text += " nothing to say",
                (Ok(()), Some((output, id))) => {
                    if let Some(alert) = board.desks().get(output).and_then(|desk| desk.alerts().get(id)) {
                        text += &format!(" alert {id}, key {}, {}", alert.key_text(), alert.status().word());
                    }
                }
            }
            let told = out.acts.iter().filter_map(|(_, act)| act.delivery());
            for (to, notice) in told {
                let notice = super::notice::Notice::read(&notice);
                text += &format!("; {} to {}", notice.kind.word(), to.join(", "));
            }
            text.push('\n');
            board.commit(out);
        }
        Ok(text)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
