//! The oracle: a process of its own that sends events, keeps the ledger of what was acked, receives what rules forward, and
//! compares the log with all that. It outlives every server it talks to.
//!
//! The driver gives orders as lines of JSON on its standard input and reads one line of JSON for each. It ends with its
//! standard input.

mod book;
mod ledger;
mod load;
mod sink;

use super::log;
use anyhow::{Context, Result, bail};
use book::Book;
use ledger::{Fate, Lane, Moment};
use load::Load;
use serde_json::{Value, json};
use sink::{MANNERS, Sink};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The hidden word that makes this program the oracle.
pub const WORD: &str = "chaos-oracle";

/// What the copy of this program is called, which lies beside the program under test.
pub const ORACLE: &str = "oracle";

/// Connections: the last of them speaks HTTP, all others Riemann's protocol. One more is for fresh events.
const LANES: u64 = 4;

/// The driver's end.
pub struct Oracle {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Where it receives what rules forward.
    pub url: String,
}

impl Oracle {
    /// Starts the process: this copy of our own program.
    pub fn start(program: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        let mut child = command.arg(WORD).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("its standard output was piped")?);
        let mut oracle = Self { child, orders, answers, url: String::new() };
        oracle.url = oracle.ask(json!({ "do": "begin" }))?["url"].as_str().unwrap_or_default().to_owned();
        Ok(oracle)
    }

    /// Gives an order and reads the answer.
    pub fn ask(&mut self, order: Value) -> Result<Value> {
        let mut orders = self.orders.as_ref().context("the oracle has been told to end")?;
        writeln!(orders, "{order}").context("the oracle has ended: see above")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the oracle has ended: see above");
        }
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("the oracle said {line:?}"))?;
        match answer["error"].as_str() {
            Some(error) => bail!("the oracle: {error}"),
            None => Ok(answer),
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.child.wait();
    }
}

/// When the run began.
#[derive(Clone, Copy)]
struct Clock {
    /// In milliseconds since 1970; the times of all events follow from it.
    epoch: i64,
    began: Instant,
}

impl Clock {
    fn now(self) -> Moment {
        (self.began.elapsed().as_micros() / 100) as Moment
    }
}

/// The process itself.
pub fn run() -> Result<()> {
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?.as_millis() as i64;
    let clock = Clock { epoch, began: Instant::now() };
    let lanes = (0..=LANES).map(|number| Arc::new(Mutex::new(Lane::new(number)))).collect();
    let mut work = Work { clock, lanes, load: None, book: Book::default(), sink: Sink::start(clock)? };
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let answer = work.order(&serde_json::from_str(&line?)?);
        let answer = answer.unwrap_or_else(|error| json!({ "error": format!("{error:#}") }));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

struct Work {
    clock: Clock,
    lanes: Vec<Arc<Mutex<Lane>>>,
    load: Option<Load>,
    book: Book,
    sink: Sink,
}

impl Work {
    fn order(&mut self, order: &Value) -> Result<Value> {
        let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
        match text("do").as_str() {
            "begin" => Ok(json!({ "url": self.sink.url })),
            "load" => {
                let wish = load::Wish {
                    riemann: text("riemann"),
                    http: text("http"),
                    rate: order["rate"].as_u64().context("rate")?,
                    batch: order["batch"].as_u64().context("batch")? as usize,
                };
                let lanes = &self.lanes[..LANES as usize];
                self.load = Some(Load::start(&wish, lanes, self.clock));
                Ok(json!({}))
            }
            "halt" => {
                let told = self.load.take().map(Load::stop).unwrap_or_default();
                let refused = told.iter().filter_map(|told| told.refused.clone()).next();
                let slowest = told.iter().map(|told| told.slowest).max().unwrap_or_default();
                let quickest = told.iter().filter_map(|told| told.quickest).min();
                let mut counts = self.counts();
                counts["reason"] = json!(refused);
                counts["slowest_ms"] = json!(slowest.as_millis());
                counts["quickest_us"] = json!(quickest.map(|quickest| quickest.as_micros()));
                Ok(counts)
            }
            "counts" => Ok(self.counts()),
            "fresh" => {
                let fresh = self.lanes.last().context("a lane for fresh events")?;
                let count = order["count"].as_u64().unwrap_or(1) as usize;
                let now =
                    || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
                let from = now();
                let answer = load::once(&text("riemann"), fresh, count, self.clock)?;
                let (acked, reason) = (answer.is_ok(), answer.err());
                Ok(json!({ "acked": acked, "reason": reason, "from": from, "to": now() }))
            }
            "check" => {
                let verdict =
                    self.book.read(log::read(Path::new(&text("log")))?, &self.lanes, self.clock.epoch);
                Ok(verdict.json())
            }
            "streams" => {
                let streams = self.book.streams().iter();
                let two = |stream: &book::Stream| {
                    [stream.all, stream.wholesome].map(|kept| json!([kept.digest as i64, kept.count]))
                };
                Ok(streams.map(|(host, stream)| (host.clone(), json!(two(stream)))).collect())
            }
            "sink" => {
                let name = text("manner");
                let manner = MANNERS.iter().find(|(known, _)| *known == name);
                self.sink.behave(manner.with_context(|| format!("{name:?} is no manner"))?.1);
                Ok(json!({}))
            }
            "now" => Ok(json!(self.clock.now())),
            "latency" => {
                let moment = |name: &str| order[name].as_u64().unwrap_or_default() as Moment;
                Ok(self.latency(moment("from")..moment("to")))
            }
            "received" => Ok(self.sink.report()),
            "undelivered" => Ok(self.undelivered()),
            other => bail!("{other:?} is not an order"),
        }
    }

    fn counts(&self) -> Value {
        let count = |fate| {
            let lanes = self.lanes.iter();
            lanes
                .map(|lane| lane.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).count(fate))
                .sum::<usize>()
        };
        let (acked, refused, unknown) = (count(Fate::Acked), count(Fate::Refused), count(Fate::Unknown));
        json!({ "acked": acked, "refused": refused, "unknown": unknown })
    }

    /// How long events of this time took from being sent to being received, in milliseconds.
    fn latency(&self, during: std::ops::Range<Moment>) -> Value {
        let mut took = Vec::new();
        for lane in &self.lanes {
            let lane = lane.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let sent = lane.sent(during.clone());
            took.extend(sent.filter_map(|(id, sent)| Some(self.sink.came(id)?.saturating_sub(sent))));
        }
        took.sort_unstable();
        let quantile = |share: usize| took.get(took.len() * share / 1000).map(|took| f64::from(*took) / 10.0);
        json!({ "events": took.len(), "p50": quantile(500), "p99": quantile(990), "max": took.last().map(|took| f64::from(*took) / 10.0) })
    }

    /// Events that the log has and the receiver has not, and those that came as two different effects.
    fn undelivered(&self) -> Value {
        let mut missing = Vec::new();
        for lane in &self.lanes {
            let lane = lane.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            missing.extend(lane.logged().filter(|id| !self.sink.has(*id)));
        }
        let twice = self.sink.twice();
        json!({
            "missing": missing.len(), "first_missing": missing.iter().take(5).collect::<Vec<_>>(),
            "twice": twice.len(), "first_twice": twice.iter().take(5).collect::<Vec<_>>(),
        })
    }
}

/// So long the oracle and the driver wait for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(20);
