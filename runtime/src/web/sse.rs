//! Server-sent events: frames of text over one long answer, and a bound on what waits for a slow reader.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Chunks that may wait for the socket to take them.
const WAITING: usize = 2;

/// A comment, by which both sides notice that the other is gone.
const HEARTBEAT: &[u8] = b": \n\n";

/// How often there is a heartbeat when there is nothing else.
pub const PULSE: Duration = Duration::from_secs(5);

/// Frames, put together until they are sent.
#[derive(Debug, Default)]
pub struct Frames {
    /// What is ready, before the text.
    ready: Vec<Bytes>,
    text: Vec<u8>,
    number: u64,
}

impl Frames {
    /// Writes a named and numbered frame; `data` writes JSON, which has no line breaks.
    pub fn named(&mut self, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
        self.number += 1;
        self.text.extend_from_slice(format!("id: {}\nevent: {name}\ndata: ", self.number).as_bytes());
        data(&mut self.text);
        self.text.extend_from_slice(b"\n\n");
    }

    /// Writes a named frame with an id of its own, or none.
    pub fn marked(&mut self, name: &str, id: Option<&str>, data: impl FnOnce(&mut Vec<u8>)) {
        if let Some(id) = id {
            self.text.extend_from_slice(format!("id: {id}\n").as_bytes());
        }
        self.text.extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
        data(&mut self.text);
        self.text.extend_from_slice(b"\n\n");
    }

    /// Adds a frame that was written before, for several readers.
    pub fn shared(&mut self, frame: Bytes) {
        if !self.text.is_empty() {
            self.ready.push(std::mem::take(&mut self.text).into());
        }
        self.ready.push(frame);
    }

    /// Writes a numbered frame without a name.
    pub fn plain(&mut self, data: impl FnOnce(&mut Vec<u8>)) {
        self.number += 1;
        self.text.extend_from_slice(format!("id: {}\n", self.number).as_bytes());
        self.bare(data);
    }

    /// Writes a frame with nothing but its data, as Riemann does.
    pub fn bare(&mut self, data: impl FnOnce(&mut Vec<u8>)) {
        self.text.extend_from_slice(b"data: ");
        data(&mut self.text);
        self.text.extend_from_slice(b"\n\n");
    }

    /// Writes a heartbeat.
    pub fn heartbeat(&mut self) {
        self.text.extend_from_slice(HEARTBEAT);
    }

    /// Bytes that have been put together.
    pub fn len(&self) -> usize {
        self.ready.iter().map(Bytes::len).sum::<usize>() + self.text.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.text.is_empty()
    }

    fn take(&mut self) -> Vec<Bytes> {
        let mut chunks = std::mem::take(&mut self.ready);
        if !self.text.is_empty() {
            chunks.push(std::mem::take(&mut self.text).into());
        }
        chunks
    }
}

/// The way to one reader.
#[derive(Debug)]
pub struct Wire(mpsc::Sender<Vec<Bytes>>);

/// The reader is gone, or takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl Wire {
    /// A wire, and the answer at the other end of it.
    pub fn open() -> (Self, Response) {
        let (sender, receiver) = mpsc::channel::<Vec<Bytes>>(WAITING);
        let begin = (receiver, Vec::new().into_iter());
        let chunks = futures_util::stream::unfold(begin, async |(mut receiver, mut chunks)| {
            loop {
                if let Some(chunk) = chunks.next() {
                    return Some((Ok::<Bytes, Infallible>(chunk), (receiver, chunks)));
                }
                chunks = receiver.recv().await?.into_iter();
            }
        });
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            // Proxies that would otherwise hold frames back until they have a page of them.
            (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        ];
        (Self(sender), (headers, Body::from_stream(chunks)).into_response())
    }

    /// Resolves when the reader is gone.
    pub async fn gone(&self) {
        self.0.closed().await;
    }

    /// Puts frames together and sends them, if the reader is ready for more; says whether it was.
    pub fn offer(&self, frames: &mut Frames, fill: impl FnOnce(&mut Frames)) -> Result<bool, Gone> {
        match self.0.try_reserve() {
            Ok(place) => {
                fill(frames);
                if !frames.is_empty() {
                    place.send(frames.take());
                }
                Ok(true)
            }
            Err(TrySendError::Full(())) => Ok(false),
            Err(TrySendError::Closed(())) => Err(Gone),
        }
    }

    /// Sends what has been put together, and waits for the reader no longer than `patience`.
    pub async fn send(&self, frames: &mut Frames, patience: Duration) -> Result<(), Gone> {
        if frames.is_empty() {
            return Ok(());
        }
        let sent = tokio::time::timeout(patience, self.0.send(frames.take())).await;
        sent.map_err(|_| Gone)?.map_err(|_| Gone)
    }
}
