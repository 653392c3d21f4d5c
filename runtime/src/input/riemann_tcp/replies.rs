//! The answers of a connection: in the order of the requests, bounded in number and bytes, written as they fall due.

use crate::ingest::{Accepted, Refused};
use crate::telemetry::InputStats;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_engine::codec;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Answers that may wait; one may stand for many messages.
const ANSWERS: usize = 1024;

/// Bytes of answers that may wait, unless a single answer is larger.
const BYTES: usize = 256 << 10;

/// Tells when a batch is in the log.
pub type Acked = oneshot::Receiver<Result<Accepted, Refused>>;

/// An answer on its way.
#[derive(Debug)]
struct Reply {
    what: What,
    /// When its messages were taken up, and how many they are.
    began: Instant,
    messages: usize,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum What {
    Ready(Vec<u8>),
    Logged(Acked),
}

/// Where a connection puts its answers.
#[derive(Debug)]
pub struct Replies {
    answers: mpsc::Sender<Reply>,
    room: Arc<Semaphore>,
}

/// The other end, which writes them.
#[derive(Debug)]
pub struct Writer {
    answers: mpsc::Receiver<Reply>,
    unread: Duration,
    stats: Arc<InputStats>,
}

/// The peer is gone, or does not read.
#[derive(Debug, PartialEq, Eq)]
pub enum Lost {
    /// It reads nothing.
    Unread,
    /// The connection is broken.
    Broken,
}

/// A queue of answers for a peer that may leave them unread for so long. How long each message took is counted here.
pub fn replies(unread: Duration, stats: Arc<InputStats>) -> (Replies, Writer) {
    let (sender, answers) = mpsc::channel(ANSWERS);
    let replies = Replies { answers: sender, room: Arc::new(Semaphore::new(BYTES)) };
    (replies, Writer { answers, unread, stats })
}

impl Replies {
    async fn put(&self, bytes: usize, what: What, messages: usize, began: Instant) {
        let bytes = bytes.clamp(1, BYTES) as u32;
        let Ok(room) = self.room.clone().acquire_many_owned(bytes).await else { return };
        // When the writer is gone the connection is being dropped.
        let _ = self.answers.send(Reply { what, began, messages, _room: room }).await;
    }

    /// Answers so many messages, taken up at this moment, when their batch is in the log.
    pub async fn when_logged(&self, acked: Acked, messages: usize, began: Instant) {
        self.put(messages * ok(1).len(), What::Logged(acked), messages, began).await;
    }

    /// Answers so many messages now.
    pub async fn now(&self, frames: Vec<u8>, messages: usize, began: Instant) {
        self.put(frames.len(), What::Ready(frames), messages, began).await;
    }
}

impl Writer {
    /// Writes all answers; ends when the connection takes no more requests and everything is answered.
    pub async fn run(mut self, to: &mut (impl AsyncWrite + Unpin)) -> Result<(), Lost> {
        while let Some(reply) = self.answers.recv().await {
            let frames = match reply.what {
                What::Ready(frames) => frames,
                What::Logged(acked) => outcome(acked, reply.messages).await,
            };
            self.write(to, &frames).await?;
            self.stats.latency.note(reply.began.elapsed(), reply.messages as u64);
        }
        Ok(())
    }

    async fn write(&self, to: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8]) -> Result<(), Lost> {
        while !bytes.is_empty() {
            match timeout(self.unread, to.write(bytes)).await {
                Err(_) => return Err(Lost::Unread),
                Ok(Ok(0)) | Ok(Err(_)) => return Err(Lost::Broken),
                Ok(Ok(written)) => bytes = &bytes[written..],
            }
        }
        Ok(())
    }
}

/// What to say to so many messages of a batch.
pub async fn outcome(acked: Acked, messages: usize) -> Vec<u8> {
    match acked.await.unwrap_or(Err(Refused::Stopping)) {
        Ok(_) => ok(messages),
        Err(refused) => error(messages, &refused.to_string()),
    }
}

/// So many times yes.
pub fn ok(messages: usize) -> Vec<u8> {
    frame(codec::riemann::encode_ok).repeat(messages)
}

/// So many times no.
pub fn error(messages: usize, reason: &str) -> Vec<u8> {
    frame(|to| codec::riemann::encode_error(to, reason)).repeat(messages)
}

/// A frame around what `write` appends.
pub fn frame(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = vec![0; 4];
    write(&mut frame);
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}
