//! `/pubsub/NAME`: what rules say, by the name of the output that they say it to.
//!
//! In Riemann the configuration publishes events to channels that it names as it likes. Here a rule declares the outputs that
//! it speaks to, and what goes to the output `live` can be heard: the channel is the name that the rule knows the output by.
//! As in Riemann a channel needs nobody who speaks on it, so any name will do.

use crate::clock;
use crate::output::Delivery;
use crate::web::App;
use crate::web::answer::Failure;
use crate::web::reader::{self, Heard};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_engine::query::Matcher;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

/// Somebody who listens to a channel.
pub struct Channel {
    name: String,
    matcher: Matcher,
    live: broadcast::Receiver<Arc<Delivery>>,
    behind: Option<Instant>,
    app: App,
    _place: OwnedSemaphorePermit,
}

impl Channel {
    /// Listens, if there is room for one more reader.
    pub fn open(app: &App, name: String, matcher: Matcher) -> Result<Self, Failure> {
        let place = reader::place(app)?;
        Ok(Self { name, matcher, live: (app.live)(), behind: None, app: app.clone(), _place: place })
    }

    /// What is said next.
    pub async fn hear(&mut self) -> Heard {
        loop {
            match self.live.recv().await {
                Ok(said) if *said.declared == *self.name && self.matcher.matches(&said.event()) => {
                    return Heard::New(Arc::new(said.batch.clone()));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => {
                    self.app.telemetry.skipped.add(missed);
                    self.behind.get_or_insert_with(clock::start);
                    return Heard::Missed(missed);
                }
                Err(RecvError::Closed) => return Heard::End,
            }
        }
    }

    /// Whether the listener has missed something and has not caught up for so long.
    pub fn is_behind(&mut self, patience: Duration) -> bool {
        if self.live.is_empty() {
            self.behind = None;
        }
        self.behind.is_some_and(|since| since.elapsed() >= patience)
    }
}
