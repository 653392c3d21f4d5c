//! `GET /api/v1/explain`: what the rules made of one event, and why.
//!
//! Where there is no log, an event is known only if a tap has shown it with its place: the last few thousand of those are
//! remembered. Then it is told which rules of now want it.

use crate::explain::{self, Explained, Saw};
use crate::web::App;
use crate::web::answer::{self, Failure};
use crate::web::params::Params;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_event::{Event, Kept};
use tokio::sync::oneshot;

/// Events that are remembered because somebody was shown them.
const SEEN: usize = 4096;
/// Guests run on this stack: 512 KiB of it are theirs.
const STACK: usize = 8 << 20;

/// Events that taps have shown with their places, the latest.
#[derive(Debug, Default)]
pub struct Seen(Mutex<VecDeque<(u64, u32, Kept)>>);

impl Seen {
    /// Remembers one.
    pub fn note(&self, position: u64, event: &Event<'_>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() == SEEN {
            seen.pop_front();
        }
        seen.push_back((position, event.slot(), Kept::new(event)));
    }

    fn find(&self, position: u64, row: u32) -> Option<Kept> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter()
            .rev()
            .find(|(at, slot, _)| (*at, *slot) == (position, row))
            .map(|(.., event)| event.clone())
    }
}

/// Tells whoever works that nobody waits any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// `GET /api/v1/explain`
pub async fn show(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let mut number = |name: &str| -> Result<u64, Failure> {
        let text = params.take(name)?.unwrap_or_default();
        text.parse().map_err(|_| {
            Failure::bad(format!("parameter `{name}`: a number as `/api/v1/tap?positions=true` tells it was expected, found `{text}`"))
        })
    };
    let position = number("position")?;
    let row = u32::try_from(number("row")?).unwrap_or(u32::MAX);
    params.finish("`position` and `row`")?;
    let unknown = match &app.archive {
        None => "there is no log".to_owned(),
        Some(archive) => {
            let place = archive.place().ok_or_else(|| {
                let message = "the log is being read for others already: ask again in a moment";
                Failure::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(1)
            })?;
            let (archive, stop) = (archive.clone(), Stop(Arc::default()));
            let (tell, answer) = oneshot::channel();
            let stopped = stop.0.clone();
            let thread = std::thread::Builder::new().name("explain".into()).stack_size(STACK);
            let thread = thread.spawn(move || {
                let explained = explain::explain(&archive, position, row, &stopped);
                // Whoever has the answer may ask again at once.
                drop(place);
                let _ = tell.send(explained);
            });
            thread.map_err(|error| busy(&error.to_string()))?;
            match answer.await {
                Ok(Ok(explained)) => return Ok(answer::json(&explained)),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => return Err(busy("it failed: see the node's log")),
            }
        }
    };
    let Some(event) = app.seen.find(position, row) else {
        let message = format!("nothing is known of row {row} of position {position}: {unknown}");
        return Err(Failure::new(StatusCode::NOT_FOUND, message));
    };
    let note = format!("{unknown}: what is told follows from the queries of now alone");
    let explained: Explained = explain::without_log(&event.event(), position, row, rules(&app), &note);
    Ok(answer::json(&explained))
}

fn busy(why: &str) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, format!("the event cannot be explained: {why}"))
        .retry_after(5)
}

/// The rules of now.
fn rules(app: &App) -> Vec<Saw> {
    let mut names: Vec<String> = app.control.names().into_iter().map(|(name, _)| name).collect();
    names.sort();
    let rules = names.iter().filter_map(|name| app.control.rule(name));
    rules
        .map(|rule| Saw {
            name: rule.name,
            generation: rule.generation,
            version: rule.version,
            query: rule.query,
            per: rule.per,
            ..Saw::default()
        })
        .collect()
}
