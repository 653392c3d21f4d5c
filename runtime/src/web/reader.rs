//! Whoever asks a standing question: one of a limited number, and not allowed to stay behind for ever.

use crate::clock;
use crate::ingest::{Subscription, Update};
use crate::web::App;
use crate::web::answer::Failure;
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_engine::query::Matcher;
use tidegate_event::Batch;
use tokio::sync::OwnedSemaphorePermit;

/// One reader. The shards count readers and what they miss; here they only take up a place.
#[derive(Debug)]
pub struct Reader {
    subscription: Subscription,
    behind: Option<Instant>,
    _place: Option<OwnedSemaphorePermit>,
}

/// What a reader hears.
#[derive(Debug)]
pub enum Heard {
    /// What the index held; `last` when that was all.
    Held(Arc<Batch>, bool),
    /// What has just happened.
    New(Arc<Batch>),
    /// So many events were missed here.
    Missed(u64),
    /// There will be no more: the node is stopping.
    End,
}

/// A place for one more reader.
pub fn place(app: &App) -> Result<OwnedSemaphorePermit, Failure> {
    app.readers.clone().try_acquire_owned().map_err(|_| {
        let message =
            format!("{} readers are connected already: close one, or try again later", app.limits.readers);
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(5)
    })
}

impl Reader {
    /// Asks, if there is room for one more reader.
    pub fn ask(app: &App, matcher: &Matcher, snapshot: bool) -> Result<Self, Failure> {
        let place = place(app)?;
        let subscription = app.ingest.subscribe(matcher, snapshot)?;
        Ok(Self { subscription, behind: None, _place: Some(place) })
    }

    /// Asks what there is, for somebody who has a place.
    pub fn snapshot(app: &App, matcher: &Matcher) -> Result<Self, Failure> {
        Ok(Self::listen(app.ingest.subscribe(matcher, true)?))
    }

    /// Listens for somebody who needs no place.
    pub fn listen(subscription: Subscription) -> Self {
        Self { subscription, behind: None, _place: None }
    }

    /// What comes next.
    pub async fn hear(&mut self) -> Heard {
        let heard = self.subscription.updates.recv().await;
        match heard {
            None => Heard::End,
            Some(Update::Snapshot { batch, last }) => Heard::Held(batch, last),
            Some(Update::Events(batch)) => Heard::New(batch),
            Some(Update::Skipped(missed)) => {
                self.behind.get_or_insert_with(clock::start);
                Heard::Missed(missed)
            }
        }
    }

    /// Whether the reader has missed something and has not caught up for so long.
    pub fn is_behind(&mut self, patience: Duration) -> bool {
        if self.has_caught_up() {
            self.behind = None;
        }
        self.behind.is_some_and(|since| since.elapsed() >= patience)
    }

    /// Whether nothing waits for it.
    pub fn has_caught_up(&self) -> bool {
        self.subscription.updates.is_empty()
    }
}
