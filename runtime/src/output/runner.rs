//! What all outputs do alike: take a batch, send it, try again later, give up at last, and keep the books.

use super::{Delivery, Queue, Sink, Verdict, Which};
use crate::clock;
use crate::config::Common;
use crate::telemetry::OutputStats;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The longest wait before the first repetition; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest wait at all, unless the other side asks for more.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Sends what waits in the queue until it is closed and empty.
pub async fn run<S: Sink>(mut sink: S, queue: Arc<Queue>, common: Common) {
    let mut health = Health { stats: queue.stats().clone() };
    while let Some(batch) = queue.take(common.batch).await {
        deliver(&mut sink, &queue, &mut health, common.give_up_after, &batch).await;
    }
}

/// Says of each event of the batch what became of it.
async fn deliver<S: Sink>(
    sink: &mut S,
    queue: &Queue,
    health: &mut Health,
    give_up_after: Duration,
    batch: &[Delivery],
) {
    let mut rest = batch;
    let mut at_once = batch.len();
    let mut since = clock::start();
    let mut failures = 0;
    while !rest.is_empty() {
        let now = &rest[..at_once.min(rest.len())];
        let Err(error) = sink.send(now).await else {
            queue.delivered(now.len());
            rest = &rest[now.len()..];
            (since, failures) = (clock::start(), 0);
            health.up();
            continue;
        };
        let arrived = error.delivered.min(now.len());
        queue.delivered(arrived);
        rest = &rest[arrived..];
        if arrived > 0 {
            (since, failures) = (clock::start(), 0);
        }
        let left = now.len() - arrived;
        let lost = match error.verdict {
            _ if left == 0 => 0,
            Verdict::Refused(Which::First) => {
                health.note(&error.message);
                1
            }
            Verdict::Refused(Which::Some) if left == 1 => {
                health.note(&error.message);
                1
            }
            Verdict::Refused(Which::Some) => {
                at_once = 1;
                0
            }
            Verdict::Refused(Which::All) => {
                health.down(&error.message);
                left
            }
            Verdict::Later(_) if since.elapsed() >= give_up_after => {
                health.down(&format!("given up on {left} events: {}", error.message));
                since = clock::start();
                left
            }
            Verdict::Later(after) => {
                health.down(&error.message);
                queue.stats().retries.add(1);
                let patience = give_up_after.saturating_sub(since.elapsed());
                tokio::time::sleep(wait(failures).max(after).min(patience)).await;
                failures += 1;
                0
            }
        };
        queue.failed(lost);
        rest = &rest[lost..];
    }
}

/// How long to wait after so many failures in a row: anything up to a bound that doubles, so that many senders that failed
/// together do not come back together.
fn wait(failures: u32) -> Duration {
    let bound = FIRST_WAIT.saturating_mul(1 << failures.min(10)).min(LONGEST_WAIT);
    bound.mul_f64(fastrand::f64())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_half_a_minute_and_are_never_the_same_for_all() {
        for (failures, bound) in [(0, 250), (1, 500), (6, 16_000), (7, 30_000), (4_000_000, 30_000)] {
            let waits: Vec<_> = (0..100).map(|_| wait(failures)).collect();
            assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(bound)), "{failures}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "{failures}");
        }
    }
}
