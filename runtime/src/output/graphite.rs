//! Lines for Carbon over TCP: `path value seconds`.
//!
//! Carbon says nothing back. Lines that were written while it went away may be lost without anybody being told; a
//! connection that has ended is noticed before the next batch is written.

use super::encode::{Encoded, encode};
use super::kinds::{Kind, Place};
use super::stream::{self, Protocol, Wire};
use super::{Delivery, SendError, Sink};
use crate::config::Section;
use std::sync::Arc;
use tidegate_engine::codec;

/// `type = "graphite"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub wire: stream::Settings,
    /// What stands before each path.
    pub prefix: String,
}

impl Kind for Settings {
    type Sink = Graphite;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let prefix = at.text_or("prefix", "");
        Some(Self { wire: stream::read(at, "127.0.0.1:2003", &[("tcp", Protocol::Tcp)])?, prefix })
    }

    fn sink(&self, _: &Place) -> Result<Graphite, String> {
        Ok(Graphite { wire: Wire::new(&self.wire)?, prefix: self.prefix.clone() })
    }
}

/// Writes lines to a Carbon.
#[derive(Debug)]
pub struct Graphite {
    wire: Wire,
    prefix: String,
}

impl Graphite {
    fn lines(&self, batch: &[Arc<Delivery>]) -> Encoded {
        encode(batch, |lines, delivery| {
            match codec::graphite::encode_line(lines, &self.prefix, &delivery.event()) {
                true => Ok(()),
                false => Err("an event without a finite metric has no line".into()),
            }
        })
    }
}

impl Sink for Graphite {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let lines = self.lines(batch);
        if !lines.body.is_empty() {
            self.wire.write(&lines.body).await.map_err(SendError::later)?;
        }
        lines.sent()
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        self.lines(batch).preview()
    }
}
