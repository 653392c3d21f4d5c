//! `GET /api/v1/stream`: everything a page shows, in frames that a browser can keep up with.
//!
//! A node may see a million events a second, and a page can show five pictures a second. So events wait here for the next
//! frame, and of each stream only the latest waits: the cost of a page follows the number of streams that change and not
//! the number of events. Changes are held back until the snapshot is through, since they are newer than anything in it.
//!
//! A page that has missed something is sent a fresh snapshot once it has caught up, so that what it shows is true again.

use crate::clock;
use crate::output::Delivery;
use crate::web::App;
use crate::web::answer::Failure;
use crate::web::params::Params;
use crate::web::reader::{Heard, Reader};
use crate::web::sse::{Frames, PULSE, Wire};
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_engine::codec::json::encode_event;
use tidegate_engine::query::Matcher;
use tidegate_event::{Batch, Event, Kept, stream_key};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// The time between two frames.
const FRAME: Duration = Duration::from_millis(200);

/// How many streams may wait for the next frame; changes to more are skipped and counted.
const CHANGES: usize = 10_000;

/// How many events of a snapshot may wait before we stop asking for more.
const SNAPSHOT: usize = 10_000;

/// How many forwarded events go into one frame.
const FORWARDED: usize = 100;

/// The least time between two snapshots to one page.
const AFRESH: Duration = Duration::from_secs(10);

/// `GET /api/v1/stream`
pub async fn open(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let matcher = params.matcher()?;
    params.finish("`q`")?;
    let reader = Reader::ask(&app, &matcher, true)?;
    let (wire, response) = Wire::open();
    tokio::spawn(Page::new(app, matcher).run(reader, wire));
    Ok(response)
}

/// What waits for the next frame.
struct Page {
    app: App,
    matcher: Matcher,
    held: Vec<Arc<Batch>>,
    held_events: usize,
    /// The next snapshot frame replaces what the page has.
    afresh: bool,
    /// The snapshot is through; changes may go out.
    whole: bool,
    asked: Instant,
    missed: bool,
    changes: Changes,
    overview: watch::Receiver<Bytes>,
    rules: watch::Receiver<Bytes>,
    live: broadcast::Receiver<Arc<Delivery>>,
}

impl Page {
    fn new(app: App, matcher: Matcher) -> Self {
        let (mut overview, mut rules) = (app.pulse.overview(), app.pulse.rules());
        // What is there now may be from the last time that anybody looked.
        overview.borrow_and_update();
        rules.borrow_and_update();
        Self {
            held: Vec::new(),
            held_events: 0,
            afresh: true,
            whole: false,
            asked: clock::start(),
            missed: false,
            changes: Changes::default(),
            overview,
            rules,
            live: (app.live)(),
            app,
            matcher,
        }
    }

    async fn run(mut self, mut reader: Reader, wire: Wire) {
        let mut frames = Frames::default();
        let mut tick = tokio::time::interval(FRAME);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = clock::start();
        let mut spoken = clock::start();
        loop {
            tokio::select! {
                () = self.app.stop.cancelled() => return,
                () = wire.gone() => return,
                heard = reader.hear(), if self.held_events < SNAPSHOT => match heard {
                    Heard::Held(batch, last) => {
                        self.held_events += batch.len();
                        self.held.push(batch);
                        self.whole |= last;
                    }
                    Heard::New(batch) => batch.events().for_each(|event| self.changes.add(&event)),
                    Heard::Missed(events) => {
                        self.changes.skipped += events;
                        self.missed = true;
                    }
                    Heard::End => return,
                },
                _ = tick.tick() => {
                    if self.missed && reader.has_caught_up() && self.asked.elapsed() >= AFRESH {
                        if reader.ask_again(&self.app, &self.matcher).is_err() {
                            return;
                        }
                        self.ask_afresh();
                    }
                    let silent = spoken.elapsed() >= PULSE;
                    let sent = wire.offer(&mut frames, |frames| {
                        self.write(frames);
                        if frames.is_empty() && silent {
                            frames.heartbeat();
                        }
                        if !frames.is_empty() {
                            spoken = clock::start();
                        }
                    });
                    match sent {
                        Ok(true) => taken = clock::start(),
                        Ok(false) if taken.elapsed() < self.app.limits.stall => {}
                        _ => return,
                    }
                }
            }
        }
    }

    fn ask_afresh(&mut self) {
        self.held.clear();
        self.held_events = 0;
        (self.afresh, self.whole, self.missed) = (true, false, false);
        self.asked = clock::start();
    }

    fn write(&mut self, frames: &mut Frames) {
        if !self.held.is_empty() {
            frames.named("snapshot", |text| {
                text.extend_from_slice(b"{\"events\":[");
                list(text, self.held.iter().flat_map(|batch| batch.events()), |text, event| {
                    encode_event(text, &event);
                });
                text.extend_from_slice(format!("],\"reset\":{}}}", self.afresh).as_bytes());
            });
            self.held.clear();
            self.held_events = 0;
            self.afresh = false;
        }
        if self.whole && !self.changes.is_empty() {
            frames.named("delta", |text| {
                text.extend_from_slice(b"{\"events\":[");
                list(text, &self.changes.latest, |text, kept| encode_event(text, &kept.event()));
                text.extend_from_slice(format!("],\"skipped\":{}}}", self.changes.skipped).as_bytes());
            });
            self.changes.clear();
        }
        for (name, news) in [("overview", &mut self.overview), ("rules", &mut self.rules)] {
            if news.has_changed().unwrap_or(false) {
                let news = news.borrow_and_update();
                frames.named(name, |text| text.extend_from_slice(&news));
            }
        }
        self.write_forwarded(frames);
    }

    fn write_forwarded(&mut self, frames: &mut Frames) {
        let (mut items, mut skipped) = (Vec::new(), 0);
        while items.len() < FORWARDED {
            match self.live.try_recv() {
                Ok(delivery) => items.push(delivery),
                Err(TryRecvError::Lagged(missed)) => skipped += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if items.is_empty() && skipped == 0 {
            return;
        }
        frames.named("forwarded", |text| {
            text.extend_from_slice(b"{\"items\":[");
            list(text, &items, |text, delivery| {
                let names = serde_json::json!([&*delivery.rule, &*delivery.declared]);
                text.extend_from_slice(
                    format!("{{\"rule\":{},\"output\":{},\"event\":", names[0], names[1]).as_bytes(),
                );
                encode_event(text, &delivery.event());
                text.push(b'}');
            });
            text.extend_from_slice(format!("],\"skipped\":{skipped}}}").as_bytes());
        });
    }
}

/// Writes items with commas between them.
pub fn list<T>(
    text: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            text.push(b',');
        }
        write(text, item);
    }
}

/// The latest event of each stream that has changed, in the order in which they first did.
#[derive(Debug, Default)]
struct Changes {
    places: HashMap<u64, usize>,
    latest: Vec<Kept>,
    skipped: u64,
}

impl Changes {
    fn add(&mut self, event: &Event<'_>) {
        let key = stream_key(0, event.host_bytes(), event.service_bytes());
        if let Some(&place) = self.places.get(&key) {
            self.latest[place].set(event);
        } else if self.latest.len() < CHANGES {
            self.places.insert(key, self.latest.len());
            self.latest.push(Kept::new(event));
        } else {
            self.skipped += 1;
        }
    }

    fn is_empty(&self) -> bool {
        self.latest.is_empty() && self.skipped == 0
    }

    fn clear(&mut self) {
        self.places.clear();
        self.latest.clear();
        self.skipped = 0;
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

    #[test]
    fn of_each_stream_only_the_latest_waits() {
        let mut changes = Changes::default();
        for (host, metric) in [("a", 1), ("b", 2), ("a", 3)] {
            change(&mut changes, host, metric);
        }
        let seen = changes.latest.iter().map(|kept| (kept.event().host(), kept.event().metric()));
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
        assert_eq!(changes.latest[3].event().metric(), Some(2.0));
    }
}
