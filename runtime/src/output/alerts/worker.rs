//! Carries out what the desks decide: notices go into the queues of outputs, events into the stream; and looks at the clock
//! for them.
//!
//! Both leave the outbox when they are safe where they went. An output whose queue is closed keeps its notices in the
//! outbox, and so in the journal, until the node starts again.

use super::doings::Act;
use super::{Alerts, lock};
use crate::ingest::Ingest;
use crate::output::Delivery;
use crate::telemetry::{InputStats, Level};
use std::sync::Arc;
use std::time::Duration;
use tidegate_event::{BatchBuilder, FieldSet};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How often a desk looks at the clock.
const TICK: Duration = Duration::from_millis(250);

/// How long to wait when the stream does not take an event.
const AGAIN: Duration = Duration::from_secs(1);

/// Events that are brought together.
const TOGETHER: usize = 500;

/// The counters' name of what comes from here.
const INPUT: &str = "alerts";

/// What the desks reach the outputs by.
pub trait Hands: Send + Sync + 'static {
    /// Puts a notice into an output's line; `false` when the line is closed.
    fn hand(&self, output: &str, notice: Delivery) -> bool;

    /// Waits until everything in line is safe. Blocks.
    fn secure(&self) -> bool;
}

/// Begins the work; the tasks end when they are aborted.
pub fn start(
    alerts: &Arc<Alerts>,
    hands: Arc<dyn Hands>,
    ingest: Ingest,
    input: Arc<InputStats>,
) -> Vec<JoinHandle<()>> {
    let ticks = {
        let alerts = alerts.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = alerts.wake.notified() => {}
                }
                let (desks, hands) = (alerts.clone(), hands.clone());
                let round = tokio::task::spawn_blocking(move || {
                    desks.tick();
                    desks.hand_out(&*hands);
                });
                match round.await {
                    Ok(()) => {}
                    Err(error) if error.is_cancelled() => return,
                    Err(_) => tracing::error!("a desk failed at its work: it goes on with the next round"),
                }
            }
        })
    };
    let stream = tokio::spawn(stream(alerts.clone(), ingest, input));
    vec![ticks, stream]
}

/// An input for what the desks say. Where there is a log, it must be there before it leaves the outbox.
pub fn input(telemetry: &crate::telemetry::Telemetry, logs: bool) -> Arc<InputStats> {
    let level = if logs { Level::Logged } else { Level::Accepted };
    telemetry.add_input(INPUT, INPUT, "the desks of the alerts", level)
}

impl Alerts {
    /// Hands out the notices that have not been handed out yet. Blocks.
    pub fn hand_out(&self, hands: &dyn Hands) {
        // One round at a time: the number is that of the last notice that was handed out.
        let mut handed = lock(&self.handed);
        let waiting: Vec<(u64, Act)> = {
            let board = lock(&self.board);
            let notices = board.outbox(*handed).filter(|(_, act)| matches!(act, Act::Notice { .. }));
            notices.map(|(number, act)| (number, act.clone())).collect()
        };
        let mut numbers = Vec::new();
        for (number, act) in waiting {
            let Some((to, delivery)) = act.delivery() else { continue };
            if !to.iter().all(|output| hands.hand(output, delivery.clone())) {
                break;
            }
            numbers.push(number);
            *handed = number;
        }
        if !numbers.is_empty() && hands.secure() {
            self.sent(&numbers);
        }
    }
}

/// Brings events about alerts into the stream, in order.
async fn stream(alerts: Arc<Alerts>, ingest: Ingest, input: Arc<InputStats>) {
    let mut changed = alerts.changed();
    loop {
        let (numbers, events) = {
            let board = lock(&alerts.board);
            let mut events = BatchBuilder::new();
            let mut numbers = Vec::new();
            for (number, act) in board.outbox(0) {
                if let Act::Event(kept) = act {
                    events.copy(&kept.event(), FieldSet::ALL, |_| {});
                    numbers.push(number);
                }
                if numbers.len() == TOGETHER {
                    break;
                }
            }
            (numbers, events)
        };
        if numbers.is_empty() {
            if changed.changed().await.is_err() {
                return;
            }
            continue;
        }
        let taken = match ingest.append(&input, events).await {
            Ok(acked) => matches!(acked.await, Ok(Ok(_))),
            Err(_) => false,
        };
        if taken {
            let desks = alerts.clone();
            let _ = tokio::task::spawn_blocking(move || desks.sent(&numbers)).await;
        } else {
            tokio::time::sleep(AGAIN).await;
        }
    }
}
