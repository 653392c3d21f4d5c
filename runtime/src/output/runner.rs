//! What all outputs do alike: take a batch, send it, try again later, give up at last, and keep the books. What is given up
//! on goes to the dead letters before it counts as settled.

use super::breaker::Breaker;
use super::{Delivery, Queue, Sink, Taken, Verdict, Which};
use crate::clock;
use crate::config::Common;
use crate::dead_letters::{DeadLetters, Letter, Sender};
use crate::telemetry::OutputStats;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Sends what waits in the queue until it is closed and empty.
pub async fn run<S: Sink>(mut sink: S, queue: Arc<Queue>, common: Common, letters: Arc<DeadLetters>) {
    let stats = queue.stats().clone();
    let mut runner = Runner {
        queue: &queue,
        letters,
        health: Health { stats: stats.clone() },
        breaker: Breaker::new(stats),
        give_up_after: common.give_up_after,
    };
    while let Some(taken) = queue.take(common.batch).await {
        match taken {
            Taken::Events(batch) => runner.deliver(&mut sink, &batch).await,
            Taken::Lost { first, events } => runner.lose(first, events).await,
        }
    }
}

struct Runner<'a> {
    queue: &'a Queue,
    letters: Arc<DeadLetters>,
    health: Health,
    breaker: Breaker,
    give_up_after: Duration,
}

impl Runner<'_> {
    /// Says of each event of the batch what became of it.
    async fn deliver<S: Sink>(&mut self, sink: &mut S, batch: &[Arc<Delivery>]) {
        let mut rest = batch;
        let mut at_once = batch.len();
        let mut since = clock::start();
        while !rest.is_empty() {
            let now = &rest[..at_once.min(rest.len())];
            let Err(error) = sink.send(now).await else {
                self.queue.delivered(now.len());
                rest = &rest[now.len()..];
                since = clock::start();
                self.breaker.close();
                self.health.up();
                continue;
            };
            let arrived = error.delivered.min(now.len());
            self.queue.delivered(arrived);
            rest = &rest[arrived..];
            if arrived > 0 {
                since = clock::start();
                self.breaker.close();
            }
            let left = now.len() - arrived;
            let lost = match error.verdict {
                _ if left == 0 => 0,
                Verdict::Refused(Which::First) => {
                    self.health.note(&error.message);
                    1
                }
                Verdict::Refused(Which::Some) if left == 1 => {
                    self.health.note(&error.message);
                    1
                }
                Verdict::Refused(Which::Some) => {
                    at_once = 1;
                    0
                }
                Verdict::Refused(Which::All) => {
                    self.health.down(&error.message);
                    left
                }
                Verdict::Later(_) if since.elapsed() >= self.give_up_after => {
                    self.health.down(&format!("given up on {left} events: {}", error.message));
                    since = clock::start();
                    left
                }
                Verdict::Later(after) => {
                    self.health.down(&error.message);
                    self.queue.stats().retries.add(1);
                    let patience = self.give_up_after.saturating_sub(since.elapsed());
                    tokio::time::sleep(self.breaker.fail(after).min(patience)).await;
                    self.breaker.try_again();
                    0
                }
            };
            let dead = rest[..lost].iter().map(|event| self.letter(event, &error.message)).collect();
            self.bury(dead).await;
            rest = &rest[lost..];
        }
    }

    /// Events of which nothing is left but their numbers.
    async fn lose(&self, first: u64, events: usize) {
        let output = &self.queue.stats().name;
        tracing::error!(%output, first, events, "events cannot be read back from the spool");
        self.letters.store(vec![gone(output, &first.to_string(), events as u64)]).await;
        self.queue.failed(events);
    }

    fn letter(&self, event: &Delivery, message: &str) -> Letter {
        let output = self.queue.stats().name.clone();
        Letter {
            id: format!("{}@{output}", event.id()),
            from: Sender::Output {
                output,
                rule: event.rule.to_string(),
                declared: event.declared.to_string(),
                n: event.n,
            },
            message: message.to_owned(),
            position: event.position,
            at: clock::now(),
            event: Some(event.batch.clone()),
        }
    }

    async fn bury(&self, dead: Vec<Letter>) {
        let events = dead.len();
        if events > 0 {
            self.letters.store(dead).await;
            self.queue.failed(events);
        }
    }
}

/// A letter for events of which nothing is left: one for all, since there is nothing to tell them apart by.
pub fn gone(output: &str, which: &str, events: u64) -> Letter {
    let from = Sender::Output { output: output.to_owned(), rule: "-".into(), declared: String::new(), n: 0 };
    let message = format!("nothing is left of {events} events: their part of the spool cannot be read");
    let id = format!("{output}:spool:{which}");
    Letter { id, from, message, position: 0, at: clock::now(), event: None }
}

/// Says once that an output is down, and once that it is back.
struct Health {
    stats: Arc<OutputStats>,
}

impl Health {
    fn up(&mut self) {
        if self.stats.healthy.get() == 0 {
            tracing::info!(output = %self.stats.name, "output is back");
        }
        self.stats.healthy.set(1);
    }

    fn down(&mut self, message: &str) {
        if self.stats.healthy.get() != 0 {
            let output = &self.stats.name;
            tracing::warn!(%output, error = %message, "output is down; its events wait in its queue");
        }
        self.stats.healthy.set(0);
        self.remember(message);
    }

    /// The other side is well, but did not want an event.
    fn note(&mut self, message: &str) {
        tracing::debug!(output = %self.stats.name, reason = %message, "event refused");
        self.remember(message);
    }

    fn remember(&mut self, message: &str) {
        let mut last = self.stats.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(message.to_owned());
    }
}
