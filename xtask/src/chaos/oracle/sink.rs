//! The oracle as an output's other side: receives what rules forward, behaves as badly as it is told, and remembers every
//! effect that came.

use super::Clock;
use super::ledger::Moment;
use crate::chaos::event::{SERVICE, check};
use crate::chaos::http;
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How it behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// Takes everything.
    #[default]
    Fine,
    /// Answers 500 and takes nothing.
    Error,
    /// Reads and never answers; takes nothing.
    Hang,
    /// Takes everything, and closes the connection without an answer.
    Mute,
    /// Takes everything, a while later.
    Slow,
    /// Closes every connection at once.
    Dead,
}

/// All manners by their names.
pub const MANNERS: [(&str, Manner); 6] = [
    ("fine", Manner::Fine),
    ("error", Manner::Error),
    ("hang", Manner::Hang),
    ("mute", Manner::Mute),
    ("slow", Manner::Slow),
    ("dead", Manner::Dead),
];

/// How long an answer hangs at most, should nobody change the manner.
const HANG: Duration = Duration::from_secs(20);

/// What came.
#[derive(Default)]
struct Seen {
    manner: Manner,
    /// How often each effect came.
    effects: HashMap<String, u32>,
    /// How many different effects brought each event, and when the first came.
    events: HashMap<u64, (u32, Moment)>,
    /// The last event of each stream that came for the first time.
    last: HashMap<String, u64>,
    /// Sums of windows.
    windows: BTreeMap<String, f64>,
    requests: u64,
    doubled: u64,
    disorder: u64,
    wrong: Vec<String>,
}

/// A receiver.
#[derive(Clone)]
pub struct Sink {
    /// Where it listens.
    pub url: String,
    seen: Arc<Mutex<Seen>>,
}

impl Sink {
    /// Starts one on a free port.
    pub fn start(clock: Clock) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/", listener.local_addr()?);
        let sink = Self { url, seen: Arc::default() };
        let server = sink.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sink = server.clone();
                if sink.look().manner == Manner::Dead {
                    continue;
                }
                // The node has few connections to one output.
                std::thread::spawn(move || sink.serve(stream, clock));
            }
        });
        Ok(sink)
    }

    fn look(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Changes how it behaves.
    pub fn behave(&self, manner: Manner) {
        self.look().manner = manner;
    }

    fn serve(&self, stream: TcpStream, clock: Clock) -> Option<()> {
        let mut answers = stream.try_clone().ok()?;
        let mut from = BufReader::new(stream);
        while let Ok(Some((_, body))) = http::read(&mut from) {
            let manner = self.look().manner;
            if manner == Manner::Slow {
                std::thread::sleep(Duration::from_millis(150));
            }
            if matches!(manner, Manner::Fine | Manner::Slow | Manner::Mute) {
                self.take(&body, clock);
            }
            let answer: &[u8] = match manner {
                Manner::Fine | Manner::Slow => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                Manner::Error => b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
                Manner::Hang => {
                    let began = Instant::now();
                    while self.look().manner == Manner::Hang && began.elapsed() < HANG {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    return None;
                }
                Manner::Mute | Manner::Dead => return None,
            };
            answers.write_all(answer).ok()?;
        }
        None
    }

    fn take(&self, body: &[u8], clock: Clock) {
        let mut seen = self.look();
        seen.requests += 1;
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return seen.wrong.push("a body that is not JSON".to_owned());
        };
        for delivery in body["events"].as_array().into_iter().flatten() {
            seen.delivery(delivery, clock);
        }
    }

    /// What came so far.
    pub fn report(&self) -> Value {
        let seen = self.look();
        json!({
            "requests": seen.requests, "effects": seen.effects.len(), "events": seen.events.len(), "doubled": seen.doubled,
            "disorder": seen.disorder, "wrong": seen.wrong.len(), "said": seen.wrong.iter().take(5).collect::<Vec<_>>(),
            "windows": seen.windows,
        })
    }

    /// Whether this event came.
    pub fn has(&self, id: u64) -> bool {
        self.look().events.contains_key(&id)
    }

    /// When it came.
    pub fn came(&self, id: u64) -> Option<Moment> {
        self.look().events.get(&id).map(|(_, at)| *at)
    }

    /// Events that more than one effect brought: those of different ids, which nobody could tell apart.
    pub fn twice(&self) -> Vec<u64> {
        let seen = self.look();
        seen.events.iter().filter(|(_, (effects, _))| *effects > 1).map(|(id, _)| *id).collect()
    }
}

impl Seen {
    fn delivery(&mut self, delivery: &Value, clock: Clock) {
        let Some(effect) = delivery["id"].as_str() else {
            return self.wrong.push(format!("an effect without an id: {delivery}"));
        };
        let times = self.effects.entry(effect.to_owned()).or_default();
        *times += 1;
        if *times > 1 {
            self.doubled += 1;
            return;
        }
        let event = &delivery["event"];
        let host = event["host"].as_str().unwrap_or_default().to_owned();
        if event["service"] == "chaos window" {
            *self.windows.entry(host).or_default() += event["metric"].as_f64().unwrap_or_default();
        } else if event["service"] == SERVICE {
            match check(event, clock.epoch) {
                Ok(id) => {
                    self.events.entry(id).or_insert((0, clock.now())).0 += 1;
                    let last = self.last.entry(host).or_default();
                    self.disorder += u64::from(id < *last);
                    *last = id.max(*last);
                }
                Err(what) => self.wrong.push(format!("effect {effect}: {what}")),
            }
        }
    }
}
