//! Sends events over Riemann's protocol and over HTTP, several messages under way at once, and enters every answer into the
//! ledger.

use super::Clock;
use super::ledger::{Fate, Lane};
use crate::chaos::event::said;
use crate::chaos::http;
use crate::chaos::riemann::Connection;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Messages of a connection that wait for their answer at most.
const IN_FLIGHT: usize = 8;

/// A request over HTTP takes no longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is to be sent.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The node's Riemann port.
    pub riemann: String,
    /// Its HTTP port.
    pub http: String,
    /// Events a second of each lane.
    pub rate: u64,
    /// Events of a message.
    pub batch: usize,
}

/// Senders at work.
pub struct Load {
    halt: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Told>>,
}

/// What a sender has heard besides yes.
#[derive(Debug, Default)]
pub struct Told {
    /// Why events were refused, the last time.
    pub refused: Option<String>,
    /// Longest time between a message and its answer.
    pub slowest: Duration,
    /// Shortest time between a message and a yes.
    pub quickest: Option<Duration>,
}

impl Load {
    /// Begins to send: the last lane over HTTP, all others over Riemann's protocol.
    pub fn start(wish: &Wish, lanes: &[Arc<Mutex<Lane>>], clock: Clock) -> Self {
        let halt = Arc::new(AtomicBool::new(false));
        let senders = lanes.iter().enumerate().map(|(number, lane)| {
            let (wish, lane, halt) = (wish.clone(), lane.clone(), halt.clone());
            let over_http = number + 1 == lanes.len();
            std::thread::spawn(move || {
                let mut told = Told::default();
                let sender = Sender { wish: &wish, lane: &lane, halt: &halt, clock, began: Instant::now() };
                // The server's death ends it: what is under way stays unknown.
                let _ended = if over_http { sender.http(&mut told) } else { sender.riemann(&mut told) };
                told
            })
        });
        Self { senders: senders.collect(), halt }
    }

    /// Sends nothing more, waits for the answers to what was sent, and ends.
    pub fn stop(self) -> Vec<Told> {
        self.halt.store(true, Relaxed);
        self.senders.into_iter().map(|sender| sender.join().unwrap_or_default()).collect()
    }
}

struct Sender<'a> {
    wish: &'a Wish,
    lane: &'a Mutex<Lane>,
    halt: &'a AtomicBool,
    clock: Clock,
    began: Instant,
}

impl Sender<'_> {
    fn lane(&self) -> std::sync::MutexGuard<'_, Lane> {
        self.lane.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How long until the message after so many events is due.
    fn early(&self, sent: u64) -> Duration {
        let due = Duration::from_micros(sent * 1_000_000 / self.wish.rate.max(1));
        due.saturating_sub(self.began.elapsed())
    }

    fn settle(&self, told: &mut Told, ids: &std::ops::Range<u64>, sent: Instant, answer: Result<(), String>) {
        let took = sent.elapsed();
        told.slowest = told.slowest.max(took);
        match answer {
            Ok(()) => {
                told.quickest = Some(told.quickest.map_or(took, |quickest| quickest.min(took)));
                self.lane().settle(ids, Fate::Acked);
            }
            Err(why) => {
                told.refused = Some(why);
                self.lane().settle(ids, Fate::Refused);
                // Nobody asks at once again.
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn riemann(&self, told: &mut Told) -> Result<()> {
        let mut connection = Connection::open(&self.wish.riemann)?;
        let (mut waiting, mut sent) = (VecDeque::new(), 0);
        loop {
            let halt = self.halt.load(Relaxed);
            let early = self.early(sent);
            if !halt && waiting.len() < IN_FLIGHT && early.is_zero() {
                let ids = self.lane().issue(self.wish.batch, self.clock.now());
                waiting.push_back((ids.clone(), Instant::now()));
                sent += self.wish.batch as u64;
                connection.send(ids.map(|id| said(id, self.clock.epoch)))?;
            } else if let Some((ids, at)) = waiting.front() {
                let answer = connection.answer()?;
                self.settle(told, ids, *at, answer);
                waiting.pop_front();
            } else if halt {
                return Ok(());
            } else {
                std::thread::sleep(early.min(Duration::from_millis(5)));
            }
        }
    }

    fn http(&self, told: &mut Told) -> Result<()> {
        let mut sent = 0;
        while !self.halt.load(Relaxed) {
            let early = self.early(sent);
            if !early.is_zero() {
                std::thread::sleep(early.min(Duration::from_millis(5)));
                continue;
            }
            let ids = self.lane().issue(self.wish.batch, self.clock.now());
            sent += self.wish.batch as u64;
            let events: Vec<Value> = ids.clone().map(|id| said(id, self.clock.epoch).json()).collect();
            let (body, at) = (serde_json::to_vec(&events)?, Instant::now());
            let answer =
                http::ask(&self.wish.http, "POST", "/api/v1/events", "application/json", &body, PATIENCE)?;
            let answer = match answer.status {
                200 => Ok(()),
                _ => Err(String::from_utf8_lossy(&answer.body).into_owned()),
            };
            self.settle(told, &ids, at, answer);
        }
        Ok(())
    }
}

/// Sends one message of events and waits for the answer.
pub fn once(
    riemann: &str,
    lane: &Mutex<Lane>,
    count: usize,
    clock: Clock,
) -> Result<std::result::Result<(), String>> {
    let mut connection = Connection::open(riemann).context("a fresh connection")?;
    let ids = lane.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).issue(count, clock.now());
    connection.send(ids.clone().map(|id| said(id, clock.epoch)))?;
    let answer = connection.answer()?;
    let fate = if answer.is_ok() { Fate::Acked } else { Fate::Refused };
    lane.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).settle(&ids, fate);
    Ok(answer)
}
