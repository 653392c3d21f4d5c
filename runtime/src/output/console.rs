//! Lines for a person on standard output.

use super::kinds::{Kind, Place};
use super::{Delivery, SendError, Sink, Which};
use crate::config::Section;
use std::fmt::Write as _;
use std::io::{self, Stdout, Write};
use std::sync::Arc;

/// `type = "console"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings;

impl Kind for Settings {
    type Sink = Console;

    fn read(_: &mut Section<'_>) -> Option<Self> {
        Some(Self)
    }

    fn sink(&self, _: &Place) -> Result<Console, String> {
        Ok(Console::stdout())
    }
}

/// Writes a line per event. Whoever reads them may be slow, so they are written off the async threads.
#[derive(Debug)]
pub struct Console<W = Stdout> {
    to: Option<W>,
}

impl Console {
    /// On standard output.
    pub fn stdout() -> Self {
        Self::new(io::stdout())
    }
}

impl<W: Write + Send + 'static> Console<W> {
    /// On anything else.
    pub fn new(to: W) -> Self {
        Self { to: Some(to) }
    }
}

impl<W: Write + Send + 'static> Sink for Console<W> {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let lines: String = batch.iter().map(|delivery| line(delivery)).collect();
        let Some(mut to) = self.to.take() else {
            return Err(SendError::refused(Which::All, "standard output was lost in a panic"));
        };
        let writing = tokio::task::spawn_blocking(move || {
            let written = to.write_all(lines.as_bytes()).and_then(|()| to.flush());
            (to, written)
        });
        let (to, written) = writing.await.map_err(|error| SendError::later(error.to_string()))?;
        self.to = Some(to);
        written.map_err(|error| SendError::later(format!("standard output: {error}")))
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        Ok(batch.iter().map(|delivery| line(delivery)).collect())
    }
}

/// Time, rule, host, service, state, metric, description. Control characters are spelled out: what a sender wrote does not
/// steer a terminal.
fn line(delivery: &Delivery) -> String {
    let event = delivery.event();
    let time = jiff::Timestamp::from_microsecond(event.time().0)
        .map_or_else(|_| event.time().to_string(), |time| format!("{time:.3}"));
    let mut line = format!("{time}  {}", delivery.rule);
    for text in [event.host(), event.service(), event.state()] {
        line += "  ";
        line.extend(text.unwrap_or("-").chars().flat_map(visible));
    }
    if let Some(metric) = event.number() {
        let _ = write!(line, "  {metric}");
    }
    if let Some(text) = event.description().filter(|text| !text.is_empty()) {
        line += "  ";
        line.extend(text.chars().flat_map(visible));
    }
    line.push('\n');
    line
}

fn visible(c: char) -> Box<dyn Iterator<Item = char>> {
    if c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    {
        Box::new(c.escape_default())
    } else {
        Box::new(std::iter::once(c))
    }
}
