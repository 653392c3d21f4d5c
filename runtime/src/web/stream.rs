//! `GET /api/v1/stream`: everything a page shows, in frames that a browser can keep up with.
//!
//! A node may see a million events a second, and a page can show five pictures a second. So events wait for the next frame,
//! and of each stream only the latest waits: what a page costs follows the number of streams that change and not the
//! number of events. Frames are written once for all pages that ask the same ([`Show`](super::show)); what a page has of
//! its own is its snapshot. Changes are held back until that is through, since they are newer than anything in it.
//!
//! A page that has missed something is sent a fresh snapshot once the show has caught up, so that what it shows is true
//! again. One that comes back and says which frame it had last is sent what has changed since.

use crate::clock;
use crate::web::App;
use crate::web::answer::Failure;
use crate::web::board::Look;
use crate::web::params::Params;
use crate::web::reader::{self, Heard, Reader};
use crate::web::show::{FRAME, Lack, Seat};
use crate::web::sse::{Frames, PULSE, Wire};
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_engine::codec::json::encode_event;
use tidegate_engine::query::Matcher;
use tidegate_event::Batch;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::MissedTickBehavior;

/// How many events of a snapshot may wait before we stop asking for more.
const SNAPSHOT: usize = 10_000;

/// The least time between two snapshots to one page.
const AFRESH: Duration = Duration::from_secs(10);

/// Kinds of frames that can be chosen.
const KINDS: [&str; 6] = ["snapshot", "delta", "overview", "rules", "forwarded", "alerts"];

/// `GET /api/v1/stream`
pub async fn open(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let matcher = params.matcher()?;
    let kinds = kinds(params.take("frames")?.as_deref())?;
    params.finish("`q` and `frames`")?;
    let place = reader::place(&app)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let page = Page::new(app, matcher, &kinds, last, place)?;
    let (wire, response) = Wire::open();
    tokio::spawn(page.run(wire));
    Ok(response)
}

fn kinds(wanted: Option<&str>) -> Result<Vec<&'static str>, Failure> {
    let Some(wanted) = wanted else { return Ok(KINDS.to_vec()) };
    let known = |name: &str| {
        KINDS.into_iter().find(|kind| *kind == name.trim()).ok_or_else(|| {
            let message =
                format!("parameter `frames`: some of {} were expected, found `{name}`", KINDS.join(", "));
            Failure::bad(message)
        })
    };
    wanted.split(',').map(known).collect()
}

/// One page.
struct Page {
    app: App,
    matcher: Matcher,
    events: Option<Events>,
    /// What changes for all pages alike, once a second or so.
    news: Vec<(&'static str, watch::Receiver<Bytes>)>,
    forwarded: Option<Look>,
    _place: OwnedSemaphorePermit,
}

/// The events that a page shows.
struct Events {
    seat: Seat,
    /// Whether changes are sent, or only what there was.
    follows: bool,
    /// The snapshot that is on its way.
    snapshot: Option<Reader>,
    held: Vec<Arc<Batch>>,
    held_events: usize,
    /// The next snapshot frame replaces what the page has.
    afresh: bool,
    /// The page has been told what changed since it was last here.
    resumed: bool,
    /// The snapshot is through; changes may go out.
    whole: bool,
    asked: Instant,
    /// The frame as of which what the page has is whole.
    since: u64,
    /// More was missed than is known.
    lost: bool,
}

impl Events {
    fn new(
        app: &App,
        matcher: &Matcher,
        kinds: &[&str],
        last: Option<&str>,
    ) -> Result<Option<Self>, Failure> {
        let (begins, follows) = (kinds.contains(&"snapshot"), kinds.contains(&"delta"));
        if !begins && !follows {
            return Ok(None);
        }
        let mut seat = app.shows.attend(app, matcher)?;
        let resumed = last.is_some_and(|last| seat.resume(last));
        let snapshot = (begins && !resumed).then(|| Reader::snapshot(app, matcher)).transpose()?;
        Ok(Some(Self {
            since: seat.at(),
            seat,
            follows,
            whole: snapshot.is_none(),
            snapshot,
            held: Vec::new(),
            held_events: 0,
            afresh: true,
            resumed,
            asked: clock::start(),
            lost: false,
        }))
    }

    /// Waits for what is next: a piece of the snapshot, or the next frame of the show. Says whether there is more to come.
    async fn next(&mut self) -> bool {
        let Some(reader) = &mut self.snapshot else { return self.seat.next().await };
        if self.held_events >= SNAPSHOT {
            return std::future::pending().await;
        }
        match reader.hear().await {
            Heard::Held(batch, last) => {
                self.held_events += batch.len();
                self.held.push(batch);
                if last {
                    (self.whole, self.snapshot) = (true, None);
                }
            }
            // They come with the show, too.
            Heard::New(_) => {}
            // It may have been a piece of the snapshot.
            Heard::Missed(_) => self.lost = true,
            Heard::End => return false,
        }
        true
    }

    /// Asks for a fresh snapshot when one is needed and would be whole.
    fn mend(&mut self, app: &App, matcher: &Matcher) -> Result<(), Failure> {
        let missed = self.lost || self.seat.has_missed(self.since);
        if missed && self.whole && self.afresh_is_due() {
            self.since = self.seat.newest();
            self.snapshot = Some(Reader::snapshot(app, matcher)?);
            self.held.clear();
            self.held_events = 0;
            (self.afresh, self.whole, self.lost) = (true, false, false);
            self.asked = clock::start();
        }
        Ok(())
    }

    fn afresh_is_due(&self) -> bool {
        self.asked.elapsed() >= AFRESH
    }

    fn write(&mut self, frames: &mut Frames) {
        if std::mem::take(&mut self.resumed) {
            let events = match self.seat.lack() {
                Lack::Events(events, _) => events,
                Lack::Frame(frame) => events_of(&frame),
                Lack::Nothing | Lack::Everything => Vec::new(),
            };
            frames.marked("snapshot", Some(&self.seat.id()), |text| {
                text.extend_from_slice(b"{\"events\":[");
                text.extend_from_slice(&events);
                text.extend_from_slice(b"],\"reset\":false}");
            });
        }
        if !self.held.is_empty() {
            // Only the last piece makes it whole: whoever comes back before that begins again.
            let id = self.whole.then(|| self.seat.id());
            let (held, afresh) = (std::mem::take(&mut self.held), std::mem::take(&mut self.afresh));
            frames.marked("snapshot", id.as_deref(), |text| {
                text.extend_from_slice(b"{\"events\":[");
                list(text, held.iter().flat_map(|batch| batch.events()), |text, event| {
                    encode_event(text, &event);
                });
                text.extend_from_slice(format!("],\"reset\":{afresh}}}").as_bytes());
            });
            self.held_events = 0;
        }
        if !self.whole || !self.follows {
            return;
        }
        match self.seat.lack() {
            Lack::Nothing => {}
            Lack::Frame(frame) => frames.shared(frame),
            Lack::Events(events, skipped) => frames.marked("delta", Some(&self.seat.id()), |text| {
                text.extend_from_slice(b"{\"events\":[");
                text.extend_from_slice(&events);
                text.extend_from_slice(format!("],\"skipped\":{skipped}}}").as_bytes());
            }),
            Lack::Everything => self.lost = true,
        }
    }
}

/// The list of events in a frame of the show.
fn events_of(frame: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(frame);
    let list = text.split_once("{\"events\":[").and_then(|(_, rest)| rest.rsplit_once("],\"skipped\":"));
    list.map(|(events, _)| events.as_bytes().to_vec()).unwrap_or_default()
}

impl Page {
    fn new(
        app: App,
        matcher: Matcher,
        kinds: &[&'static str],
        last: Option<&str>,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, Failure> {
        let events = Events::new(&app, &matcher, kinds, last)?;
        let all = [
            ("overview", app.pulse.overview()),
            ("rules", app.pulse.rules()),
            ("alerts", app.pulse.alerts()),
        ];
        let mut news: Vec<_> = all.into_iter().filter(|(name, _)| kinds.contains(name)).collect();
        // What is there now may be from the last time that anybody looked.
        news.iter_mut().for_each(|(_, news)| drop(news.borrow_and_update()));
        // Alerts are written only when something has changed: what is there is as they are.
        news.iter_mut().filter(|(name, _)| *name == "alerts").for_each(|(_, news)| news.mark_changed());
        let forwarded = kinds.contains(&"forwarded").then(|| app.board.look(&app));
        Ok(Self { events, news, forwarded, app, matcher, _place: place })
    }

    async fn run(mut self, wire: Wire) {
        let mut frames = Frames::default();
        let mut tick = tokio::time::interval(FRAME);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = clock::start();
        let mut spoken = clock::start();
        let stop = self.app.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = wire.gone() => return,
                goes_on = next(&mut self.events) => match goes_on {
                    false => return,
                    // Pieces of a snapshot are put together until the next tick.
                    true if self.events.as_ref().is_some_and(|events| !events.whole) => continue,
                    true => {}
                },
                _ = tick.tick() => {}
            }
            if let Some(events) = &mut self.events
                && events.mend(&self.app, &self.matcher).is_err()
            {
                return;
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

    fn write(&mut self, frames: &mut Frames) {
        if let Some(events) = &mut self.events {
            events.write(frames);
        }
        for (name, news) in &mut self.news {
            if news.has_changed().unwrap_or(false) {
                let news = news.borrow_and_update();
                if news.is_empty() {
                    continue;
                }
                frames.marked(name, None, |text| text.extend_from_slice(&news));
            }
        }
        while let Some((items, skipped)) = self.forwarded.as_mut().and_then(Look::next) {
            frames.marked("forwarded", None, |text| {
                text.extend_from_slice(b"{\"items\":[");
                text.extend_from_slice(&items);
                text.extend_from_slice(format!("],\"skipped\":{skipped}}}").as_bytes());
            });
        }
    }
}

/// What is next for the events of a page; for ever nothing for one that shows none.
async fn next(events: &mut Option<Events>) -> bool {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
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
