//! What rules forward to the live output, written once for all pages.

use crate::output::Delivery;
use crate::web::App;
use crate::web::show::FRAME;
use crate::web::stream::list;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_engine::codec::json::encode_event;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::MissedTickBehavior;

/// Forwarded events in one frame.
const FORWARDED: usize = 100;
/// Frames that a page may be behind before it misses some.
const WAITING: usize = 32;

/// One frame.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The items, as a list in JSON without its brackets.
    items: Bytes,
    skipped: u64,
    /// Items and skipped ones, in this frame.
    count: u64,
    /// The same in all frames so far.
    total: u64,
}

/// Where they are put up.
#[derive(Debug)]
pub struct Board {
    frames: broadcast::Sender<Shown>,
    /// How many were shown or skipped so far, and whether somebody writes.
    state: Mutex<(u64, bool)>,
}

impl Default for Board {
    fn default() -> Self {
        Self { frames: broadcast::Sender::new(WAITING), state: Mutex::default() }
    }
}

/// A page that looks.
#[derive(Debug)]
pub struct Look {
    frames: broadcast::Receiver<Shown>,
    total: u64,
}

impl Board {
    /// Looks from now on.
    pub fn look(&self, app: &App) -> Look {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let frames = self.frames.subscribe();
        if !std::mem::replace(&mut state.1, true) {
            tokio::spawn(write(app.clone(), (app.live)()));
        }
        Look { frames, total: state.0 }
    }

    fn put(&self, shown: Option<Shown>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut shown) = shown {
            state.0 += shown.count;
            shown.total = state.0;
            // Nobody may look at the moment.
            let _ = self.frames.send(shown);
        }
        state.1 = self.frames.receiver_count() > 0;
        state.1
    }
}

async fn write(app: App, mut live: broadcast::Receiver<Arc<Delivery>>) {
    let mut tick = tokio::time::interval(FRAME);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if !app.board.put(gather(&mut live)) {
            return;
        }
    }
}

fn gather(live: &mut broadcast::Receiver<Arc<Delivery>>) -> Option<Shown> {
    let (mut items, mut skipped) = (Vec::new(), 0);
    while items.len() < FORWARDED {
        match live.try_recv() {
            Ok(delivery) => items.push(delivery),
            Err(TryRecvError::Lagged(missed)) => skipped += missed,
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    let count = items.len() as u64 + skipped;
    let mut text = Vec::new();
    list(&mut text, &items, |text, delivery| {
        let names = serde_json::json!([&*delivery.rule, &*delivery.declared]);
        text.extend_from_slice(
            format!("{{\"rule\":{},\"output\":{},\"event\":", names[0], names[1]).as_bytes(),
        );
        encode_event(text, &delivery.event());
        text.push(b'}');
    });
    (count > 0).then(|| Shown { items: text.into(), skipped, count, total: 0 })
}

impl Look {
    /// The next frame, if there is one: its items, and how many are left out before the next.
    pub fn next(&mut self) -> Option<(Bytes, u64)> {
        loop {
            match self.frames.try_recv() {
                Ok(Shown { items, skipped, count, total }) => {
                    let missed = total - count - self.total;
                    self.total = total;
                    return Some((items, skipped + missed));
                }
                // What was missed shows in the next total.
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }
}
