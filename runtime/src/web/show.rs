//! A show: one standing question and its frames, for all pages that ask the same.
//!
//! ```text
//! shards ── events ──► Show: latest of each stream ── every 200 ms one frame, written once ──► page, page, page …
//!                        └── ledger: what changed when, as it was written ──► whoever was away, or is slow
//! ```
//!
//! A page that has the frame before takes the new one as it is. One that was away for a while gets of each stream that has
//! changed since only the latest, from the ledger. When the ledger does not go back so far, or the show itself has missed
//! something, only a fresh snapshot helps, which is the page's business.
//!
//! A show goes on for a while after its last page has gone, so that one that comes back finds what it missed.

use crate::clock;
use crate::ingest::{LEFT, Subscription};
use crate::web::App;
use crate::web::answer::Failure;
use crate::web::reader::{Heard, Reader};
use crate::web::stream::list;
use axum::http::StatusCode;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tidegate_engine::codec::json::encode_event;
use tidegate_engine::query::Matcher;
use tidegate_event::{Event, Kept, stream_key};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// The time between two frames.
pub const FRAME: Duration = Duration::from_millis(200);

/// How many streams may wait for the next frame; changes to more are skipped and counted.
const CHANGES: usize = 10_000;

/// Streams in a ledger at most.
const LEDGER: usize = 20_000;

/// Bytes in a ledger at most.
const LEDGER_BYTES: usize = 16 << 20;

/// All shows, by query.
#[derive(Debug, Default)]
pub struct Shows(Mutex<HashMap<String, Weak<Show>>>);

/// One show.
#[derive(Debug)]
pub struct Show {
    /// Tells its frames from those of every other show.
    tag: String,
    ledger: Mutex<Ledger>,
    /// The number of the last frame.
    news: watch::Sender<u64>,
}

/// A page's way in.
#[derive(Debug)]
pub struct Seat {
    show: Arc<Show>,
    news: watch::Receiver<u64>,
    /// The last frame that the page has.
    at: u64,
}

/// What a page lacks.
#[derive(Debug)]
pub enum Lack {
    /// Nothing.
    Nothing,
    /// One frame, as it was written.
    Frame(Bytes),
    /// The latest of each stream that has changed: a list of events, and how many were skipped.
    Events(Vec<u8>, u64),
    /// More than is known.
    Everything,
}

impl Shows {
    /// Takes a seat in the show of a query, which begins if there is none.
    pub fn attend(&self, app: &App, matcher: &Matcher) -> Result<Seat, Failure> {
        let mut shows = self.lock();
        let show = match shows.get(matcher.text()).and_then(Weak::upgrade) {
            Some(show) => show,
            None => {
                shows.retain(|_, show| show.strong_count() > 0);
                if shows.len() >= app.limits.readers {
                    let message = format!("{} different queries are being watched already", shows.len());
                    return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(15));
                }
                let subscription = app.ingest.follow(matcher)?;
                let show = Arc::new(Show {
                    tag: format!("{:08x}", fastrand::u32(..)),
                    ledger: Mutex::default(),
                    news: watch::Sender::new(0),
                });
                shows.insert(matcher.text().to_owned(), Arc::downgrade(&show));
                tokio::spawn(show.clone().run(app.clone(), subscription));
                show
            }
        };
        let news = show.news.subscribe();
        let at = show.ledger().number;
        Ok(Seat { show, news, at })
    }

    /// Whether the show may end: nobody came in between.
    fn end(&self, show: &Show) -> bool {
        let mut shows = self.lock();
        let ends = show.news.receiver_count() == 0;
        if ends {
            shows.retain(|_, other| !std::ptr::eq(other.as_ptr(), show));
        }
        ends
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<Show>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Show {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, app: App, subscription: Subscription) {
        let mut reader = Reader::listen(subscription);
        let mut tick = tokio::time::interval(FRAME);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = Changes::default();
        let mut attended = clock::start();
        loop {
            tokio::select! {
                () = app.stop.cancelled() => return,
                heard = reader.hear() => match heard {
                    Heard::New(batch) => batch.events().for_each(|event| changes.add(&event)),
                    Heard::Missed(events) => {
                        changes.skipped += events;
                        changes.missed = true;
                    }
                    Heard::Held(..) => {}
                    Heard::End => return,
                },
                _ = tick.tick() => {
                    if self.news.receiver_count() > 0 {
                        attended = clock::start();
                    } else if attended.elapsed() >= app.limits.linger && app.shows.end(&self) {
                        return;
                    }
                    let caught_up = reader.has_caught_up();
                    let number = self.ledger().take(&self.tag, &mut changes, caught_up);
                    if let Some(number) = number {
                        self.news.send_replace(number);
                    }
                }
            }
        }
    }
}

impl Seat {
    /// The id of the last frame that the page has.
    pub fn id(&self) -> String {
        format!("{}.{}", self.show.tag, self.at)
    }

    /// The page says that it has everything up to the frame with that id. Whether what it lacks is known.
    pub fn resume(&mut self, id: &str) -> bool {
        let number =
            id.split_once('.').filter(|(tag, _)| *tag == self.show.tag).map(|(_, number)| number.parse());
        let Some(Ok(number)) = number else { return false };
        let known = self.show.ledger().knows(number);
        if known {
            self.at = number;
        }
        known
    }

    /// Resolves when there is a new frame; `false` when the show is over.
    pub async fn next(&mut self) -> bool {
        self.news.changed().await.is_ok()
    }

    /// What the page lacks; afterwards it has it.
    pub fn lack(&mut self) -> Lack {
        let ledger = self.show.ledger();
        let lack = ledger.since(self.at);
        self.at = ledger.number;
        lack
    }

    /// Whether the show has missed something since a frame, and is no longer behind: then a snapshot would be whole.
    pub fn has_missed(&self, since: u64) -> bool {
        let ledger = self.show.ledger();
        ledger.missed > since && ledger.caught_up
    }

    /// The number of the last frame that the page has.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The number of the last frame that there is.
    pub fn newest(&self) -> u64 {
        self.show.ledger().number
    }
}

/// What was shown, as far as it is remembered.
#[derive(Debug, Default)]
struct Ledger {
    /// The number of the last frame.
    number: u64,
    frame: Bytes,
    /// Every change, the oldest first; only the last of a stream counts.
    changes: VecDeque<(u64, u64, Box<[u8]>)>,
    /// In which frame a stream changed last.
    last: HashMap<u64, u64>,
    bytes: usize,
    /// Frames up to this one are forgotten, in part at least.
    floor: u64,
    /// The frame in which something was missed last.
    missed: u64,
    /// Skipped in all.
    skipped: u64,
    /// The same by frame, of the last ones.
    skips: VecDeque<(u64, u64)>,
    caught_up: bool,
}

impl Ledger {
    /// Makes the next frame of what has changed, if something has.
    fn take(&mut self, tag: &str, changes: &mut Changes, caught_up: bool) -> Option<u64> {
        self.caught_up = caught_up;
        if changes.is_empty() {
            return None;
        }
        self.number += 1;
        let number = self.number;
        if changes.missed {
            self.missed = number;
        }
        if changes.skipped > 0 {
            self.skipped += changes.skipped;
            self.skips.push_back((number, changes.skipped));
        }
        let mut frame = format!("id: {tag}.{number}\nevent: delta\ndata: {{\"events\":[").into_bytes();
        for (n, (key, kept)) in changes.latest.iter().enumerate() {
            if n > 0 {
                frame.push(b',');
            }
            let from = frame.len();
            let event = kept.event();
            encode_event(&mut frame, &event);
            if event.slot() == LEFT {
                // An event is never empty: its own fields are written even where they are null.
                frame.pop();
                frame.extend_from_slice(b",\"left\":true}");
            }
            let text: Box<[u8]> = frame[from..].into();
            self.bytes += text.len();
            self.changes.push_back((number, *key, text));
            self.last.insert(*key, number);
        }
        frame.extend_from_slice(format!("],\"skipped\":{}}}\n\n", changes.skipped).as_bytes());
        self.frame = frame.into();
        changes.clear();
        self.tidy();
        Some(number)
    }

    fn tidy(&mut self) {
        if self.changes.len() > 2 * self.last.len() + 1024 {
            let last = &self.last;
            self.changes.retain(|(number, key, _)| last.get(key) == Some(number));
            self.bytes = self.changes.iter().map(|(_, _, text)| text.len()).sum();
        }
        while self.last.len() > LEDGER || self.bytes > LEDGER_BYTES {
            let Some((number, key, text)) = self.changes.pop_front() else { break };
            self.bytes -= text.len();
            if self.last.get(&key) == Some(&number) {
                self.last.remove(&key);
                self.floor = number;
            }
        }
        while self.skips.len() > 1024 {
            self.floor = self.floor.max(self.skips.pop_front().map_or(0, |(number, _)| number));
        }
    }

    /// Whether it is known what came after a frame.
    fn knows(&self, number: u64) -> bool {
        number >= self.floor && number <= self.number && self.missed <= number
    }

    fn since(&self, number: u64) -> Lack {
        if number == self.number {
            return Lack::Nothing;
        }
        if number + 1 == self.number {
            return Lack::Frame(self.frame.clone());
        }
        if number < self.floor || number > self.number {
            return Lack::Everything;
        }
        let from = self.changes.partition_point(|(at, ..)| *at <= number);
        let current = self.changes.range(from..).filter(|(at, key, _)| self.last.get(key) == Some(at));
        let mut events = Vec::new();
        list(&mut events, current, |events, (_, _, text)| events.extend_from_slice(text));
        let skipped = self.skips.iter().filter(|(at, _)| *at > number).map(|(_, n)| n).sum();
        Lack::Events(events, skipped)
    }
}

/// The latest event of each stream that has changed, in the order in which they first did.
#[derive(Debug, Default)]
struct Changes {
    places: HashMap<u64, usize>,
    latest: Vec<(u64, Kept)>,
    skipped: u64,
    missed: bool,
}

impl Changes {
    fn add(&mut self, event: &Event<'_>) {
        let key = stream_key(0, event.host_bytes(), event.service_bytes());
        if let Some(&place) = self.places.get(&key) {
            self.latest[place].1.set(event);
        } else if self.latest.len() < CHANGES {
            self.places.insert(key, self.latest.len());
            self.latest.push((key, Kept::new(event)));
        } else {
            self.skipped += 1;
            // There will be no further word of it.
            self.missed |= event.slot() == LEFT;
        }
    }

    fn is_empty(&self) -> bool {
        self.latest.is_empty() && self.skipped == 0
    }

    fn clear(&mut self) {
        self.places.clear();
        self.latest.clear();
        (self.skipped, self.missed) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::{BatchBuilder, NewEvent};

    fn change(changes: &mut Changes, host: &str, metric: i64) {
        let mut builder = BatchBuilder::new();
        builder.push(&NewEvent { host: Some(host), metric: Some(metric.into()), ..NewEvent::default() });
        changes.add(&builder.finish().event(0));
    }

    fn ledger(frames: &[&[(&str, i64)]]) -> Ledger {
        let (mut ledger, mut changes) = (Ledger::default(), Changes::default());
        for frame in frames {
            frame.iter().for_each(|(host, metric)| change(&mut changes, host, *metric));
            ledger.take("t", &mut changes, true);
        }
        ledger
    }

    /// The host and the metric of each event that a page lacks.
    fn lacks(ledger: &Ledger, since: u64) -> String {
        let of = |text: &str| {
            let frame: serde_json::Value = serde_json::from_str(text).unwrap();
            let events = frame["events"].as_array().unwrap().iter();
            let told = events.map(|event| format!("{}{}", event["host"].as_str().unwrap(), event["metric"]));
            told.collect::<Vec<_>>().join(" ")
        };
        match ledger.since(since) {
            Lack::Nothing => "nothing".into(),
            Lack::Everything => "everything".into(),
            Lack::Frame(frame) => {
                let text = String::from_utf8(frame.to_vec()).unwrap();
                format!("frame {}", of(text.split_once("data: ").unwrap().1))
            }
            Lack::Events(events, _) => {
                of(&format!("{{\"events\":[{}]}}", String::from_utf8(events).unwrap()))
            }
        }
    }

    #[test]
    fn of_each_stream_only_the_latest_waits() {
        let mut changes = Changes::default();
        for (host, metric) in [("a", 1), ("b", 2), ("a", 3)] {
            change(&mut changes, host, metric);
        }
        let seen = changes.latest.iter().map(|(_, kept)| (kept.event().host(), kept.event().metric()));
        assert_eq!(seen.collect::<Vec<_>>(), [(Some("a"), Some(3.0)), (Some("b"), Some(2.0))]);
        assert_eq!(changes.skipped, 0);
    }

    #[test]
    fn changes_beyond_the_bound_are_skipped_and_counted() {
        let mut changes = Changes::default();
        for n in 0..CHANGES + 7 {
            change(&mut changes, &n.to_string(), 1);
        }
        change(&mut changes, "3", 2);
        assert_eq!((changes.latest.len(), changes.skipped), (CHANGES, 7));
        assert_eq!(changes.latest[3].1.event().metric(), Some(2.0));
    }

    #[test]
    fn whoever_was_away_gets_the_latest_of_what_has_changed_since() {
        let ledger = ledger(&[&[("a", 1), ("b", 1)], &[("a", 2)], &[("c", 3)], &[("a", 4)]]);
        assert_eq!(lacks(&ledger, 4), "nothing");
        assert_eq!(lacks(&ledger, 3), "frame a4");
        assert_eq!(lacks(&ledger, 2), "c3 a4");
        assert_eq!(lacks(&ledger, 0), "b1 c3 a4");
        assert_eq!(lacks(&ledger, 5), "everything");
    }

    #[test]
    fn a_ledger_is_bounded_and_knows_how_far_back_it_goes() {
        let (mut ledger, mut changes) = (Ledger::default(), Changes::default());
        for n in 0..LEDGER as i64 + 500 {
            change(&mut changes, &format!("h{n}"), n);
            if n % 100 == 99 {
                ledger.take("t", &mut changes, true);
            }
        }
        assert!(ledger.last.len() <= LEDGER && ledger.floor == 5, "{} {}", ledger.last.len(), ledger.floor);
        assert!(!ledger.knows(4) && ledger.knows(5));
        assert_eq!(lacks(&ledger, 4), "everything");
        for n in 0..100_000 {
            change(&mut changes, "same", n);
            ledger.take("t", &mut changes, true);
        }
        assert!(ledger.changes.len() <= 2 * ledger.last.len() + 1024);
        assert_eq!(lacks(&ledger, ledger.number - 2), "same99999");
    }

    #[test]
    fn what_the_show_missed_nobody_can_resume_over() {
        let mut ledger = ledger(&[&[("a", 1)], &[("b", 2)]]);
        let mut changes = Changes { skipped: 5, missed: true, ..Changes::default() };
        ledger.take("t", &mut changes, false);
        assert!(!ledger.knows(2) && ledger.knows(3));
        assert!(matches!(ledger.since(1), Lack::Events(_, 5)));
    }
}
