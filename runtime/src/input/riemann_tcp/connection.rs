//! One connection: reads messages, appends their events, puts answers in order.

use super::replies::{self, Lost, Replies};
use crate::clock;
use crate::config;
use crate::ingest::{Ingest, Refused};
use crate::input::frames::{Cut, Frames};
use crate::telemetry::InputStats;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_engine::codec::{self, Limits};
use tidegate_engine::query::Matcher;
use tidegate_event::BatchBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Events that an answer to a query holds at most.
const ROWS: usize = 10_000;

/// A message that arrives slower than so many bytes in a second, after its first seconds, stands still.
const SLOWEST: usize = 1024;

/// How long a peer that is being closed is listened to, so that it can read why.
const LINGER: Duration = Duration::from_secs(1);

/// How long answers are waited for when the node stops.
const FAREWELL: Duration = Duration::from_secs(10);

/// What a connection needs.
#[derive(Debug)]
pub struct Connection {
    settings: Arc<config::Riemann>,
    limits: Limits,
    ingest: Ingest,
    stats: Arc<InputStats>,
    stop: CancellationToken,
}

/// Why no more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer has said all it wanted to say, or is gone.
    Theirs,
    /// We will not read on; the peer is told.
    Refused(&'static str),
    /// We will not read on; there is nothing to tell.
    Silent(&'static str),
}

impl Connection {
    /// A connection of this input.
    pub fn new(
        settings: Arc<config::Riemann>,
        ingest: Ingest,
        stats: Arc<InputStats>,
        stop: CancellationToken,
    ) -> Self {
        Self { settings, limits: Limits::default(), ingest, stats, stop }
    }

    /// Serves the peer until one of both has enough.
    pub async fn serve(self, stream: TcpStream) {
        self.stats.connections.add(1);
        let _open = Open(self.stats.clone());
        // Answers are small and awaited: none should wait for the next.
        let _ = stream.set_nodelay(true);
        let (mut from, mut to) = stream.into_split();
        let (replies, writer) = replies::replies(self.settings.unread, self.stats.clone());
        let mut writing = std::pin::pin!(async move { (writer.run(&mut to).await, to) });
        let reading = self.read(&mut from, replies);
        let end = tokio::select! {
            end = reading => end,
            (lost, _) = &mut writing => return self.lost(lost),
        };
        // Nothing more is read: the queue of answers ends with those that are still due.
        let Ok((written, mut to)) = timeout(FAREWELL.max(self.settings.unread), writing).await else {
            return self.stats.closed.add("unanswered", 1);
        };
        if written.is_err() {
            return self.lost(written);
        }
        match end {
            End::Theirs => {}
            End::Silent(reason) => self.stats.closed.add(reason, 1),
            End::Refused(reason) => {
                self.stats.closed.add(reason, 1);
                // Closing on unread bytes would throw away the answer on its way.
                let _ = to.shutdown().await;
                let _ = timeout(LINGER, discard(&mut from, self.settings.max_frame)).await;
            }
        }
    }

    fn lost(&self, lost: Result<(), Lost>) {
        if lost == Err(Lost::Unread) {
            self.stats.closed.add("unread_replies", 1);
        }
    }

    /// Reads until the end. Answers in the order of the messages.
    async fn read(&self, from: &mut OwnedReadHalf, replies: Replies) -> End {
        let mut frames = Frames::new(self.settings.max_frame);
        // How long this message has been waited for, the time we were busy with others not counted.
        let mut waited = Duration::ZERO;
        loop {
            let partial = frames.partial();
            let patience = if partial == 0 {
                self.settings.idle
            } else {
                let earned = Duration::from_millis((partial * 1000 / SLOWEST) as u64);
                (self.settings.stall + earned).saturating_sub(waited)
            };
            let began = clock::start();
            let read = tokio::select! {
                biased;
                () = self.stop.cancelled() => return End::Silent("stopping"),
                read = timeout(patience, from.read_buf(frames.buffer())) => read,
            };
            let count = match read {
                Err(_) if partial == 0 => return End::Silent("idle"),
                Err(_) => return End::Refused("stalled"),
                Ok(Err(_)) | Ok(Ok(0)) => return End::Theirs,
                Ok(Ok(count)) => count,
            };
            self.stats.bytes.add(count as u64);
            frames.was_read(count);
            waited = if partial == 0 { Duration::ZERO } else { waited + began.elapsed() };
            while let Some(cut) = frames.cut() {
                waited = Duration::ZERO;
                if let Err(reason) = self.take(cut, &replies).await {
                    return End::Refused(reason);
                }
            }
        }
    }

    /// Appends the events of all these messages and answers each. `Err` when the connection cannot go on.
    async fn take(&self, cut: Cut, replies: &Replies) -> Result<(), &'static str> {
        let Cut { bytes, messages, too_long } = cut;
        let began = clock::start();
        let mut events = BatchBuilder::over(bytes);
        // Messages whose answer is that the batch is logged.
        let mut waiting = 0;
        // Bytes that were left behind with earlier batches.
        let mut gone = 0;
        for message in messages {
            let message = message.start - gone..message.end - gone;
            let end = message.end;
            let rows = events.len();
            match codec::riemann::decode(&mut events, message, &self.limits) {
                Err(error) => {
                    events.truncate(rows);
                    self.append(events, waiting, replies, began).await;
                    self.reject("undecodable");
                    replies.now(replies::error(1, &error.to_string()), 1, began).await;
                    return Err("undecodable");
                }
                Ok(request) => match request.query {
                    None => waiting += 1,
                    Some(query) => {
                        let asked = if events.is_empty() {
                            BatchBuilder::new()
                        } else {
                            // What follows must not be logged before the question is asked.
                            let rest = [&[0], &events.bytes()[end..]].concat();
                            gone += end - 1;
                            std::mem::replace(&mut events, BatchBuilder::over(rest))
                        };
                        self.ask(asked, std::mem::take(&mut waiting), &query, replies, began).await;
                    }
                },
            }
        }
        self.append(events, waiting, replies, began).await;
        if let Some(length) = too_long {
            self.reject("too_large");
            let most = self.settings.max_frame;
            let reason =
                format!("a message of {length} bytes was announced, {most} are allowed: send smaller ones");
            replies.now(replies::error(1, &reason), 1, began).await;
            return Err("too_large");
        }
        Ok(())
    }

    /// A message that could not be read counts as one event.
    fn reject(&self, reason: &'static str) {
        self.stats.received.add(1);
        self.stats.rejected.add(reason, 1);
    }

    /// Appends the events of so many messages; they are answered when it is done, and we go on before.
    async fn append(&self, events: BatchBuilder, messages: usize, replies: &Replies, began: Instant) {
        if messages == 0 {
            return;
        }
        if events.is_empty() {
            return replies.now(replies::ok(messages), messages, began).await;
        }
        match self.ingest.append(&self.stats, events).await {
            Ok(acked) => replies.when_logged(acked, messages, began).await,
            Err(refused) => {
                replies.now(replies::error(messages, &refused.to_string()), messages, began).await;
            }
        }
    }

    /// Appends the events of `before` messages and of the one that asks; then answers all of them, the question last.
    async fn ask(&self, events: BatchBuilder, before: usize, query: &str, replies: &Replies, began: Instant) {
        let logged = if events.is_empty() {
            Ok(())
        } else {
            match self.ingest.append(&self.stats, events).await {
                Ok(acked) => acked.await.unwrap_or(Err(Refused::Stopping)).map(|_| ()),
                Err(refused) => Err(refused),
            }
        };
        if let Err(refused) = logged {
            return replies.now(replies::error(before + 1, &refused.to_string()), before + 1, began).await;
        }
        if before > 0 {
            replies.now(replies::ok(before), before, began).await;
        }
        let answer = self.search(query).await.unwrap_or_else(|reason| replies::error(1, &reason));
        replies.now(answer, 1, began).await;
    }

    async fn search(&self, query: &str) -> Result<Vec<u8>, String> {
        let matcher = Matcher::parse(query).map_err(|error| error.to_string())?;
        let found = self.ingest.search(&matcher, ROWS).await.map_err(|refused| refused.to_string())?;
        if found.truncated {
            return Err(format!("more than {ROWS} events match: ask a narrower question"));
        }
        let answer = replies::frame(|to| codec::riemann::encode_events(to, found.events()));
        let most = self.settings.max_frame;
        if answer.len() > most {
            let length = answer.len();
            return Err(format!(
                "the answer has {length} bytes, more than max_frame ({most}): ask a narrower question"
            ));
        }
        Ok(answer)
    }
}

/// Reads and forgets, up to a bound.
async fn discard(from: &mut OwnedReadHalf, mut most: usize) {
    let mut scratch = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut scratch).await {
        most = most.saturating_sub(count);
        if most == 0 {
            return;
        }
    }
}

/// Counts the connection as open while it lives, however it ends.
struct Open(Arc<InputStats>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.add(-1);
    }
}
