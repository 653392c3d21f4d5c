//! Lines for a person on standard output.

use super::encode::{Encoded, encode};
use super::kinds::{Kind, Place};
use super::template::{self, Template};
use super::{Delivery, SendError, Sink, Which};
use crate::config::Section;
use std::fmt::Write as _;
use std::io::{self, Stdout, Write};
use std::sync::Arc;

/// `type = "console"`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// What a line says, if not the usual.
    pub template: Option<Template>,
}

impl Kind for Settings {
    type Sink = Console;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        Some(Self { template: template::read(at, "template", "\"{{ host }} {{ service }} {{ metric }}\"") })
    }

    fn sink(&self, _: &Place) -> Result<Console, String> {
        Ok(Console { to: Some(io::stdout()), template: self.template.clone() })
    }
}

/// Writes a line per event. Whoever reads them may be slow, so they are written off the async threads.
#[derive(Debug)]
pub struct Console<W = Stdout> {
    to: Option<W>,
    template: Option<Template>,
}

impl<W: Write + Send + 'static> Console<W> {
    /// On anything that can be written to.
    pub fn new(to: W) -> Self {
        Self { to: Some(to), template: None }
    }
}

impl<W> Console<W> {
    fn encode(&self, batch: &[Arc<Delivery>]) -> Encoded {
        encode(batch, |to, delivery| {
            let text = match &self.template {
                None => line(delivery),
                // The template's own line breaks are meant; what a sender wrote is made harmless all the same.
                Some(template) => {
                    let text = template.render(delivery)?;
                    let lines: Vec<String> = text
                        .trim_end_matches('\n')
                        .split('\n')
                        .map(|line| line.chars().flat_map(visible).collect())
                        .collect();
                    lines.join("\n") + "\n"
                }
            };
            to.extend_from_slice(text.as_bytes());
            Ok(())
        })
    }
}

impl<W: Write + Send + 'static> Sink for Console<W> {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let mut encoded = self.encode(batch);
        let lines = std::mem::take(&mut encoded.body);
        let Some(mut to) = self.to.take() else {
            return Err(SendError::refused(Which::All, "standard output was lost in a panic"));
        };
        let writing = tokio::task::spawn_blocking(move || {
            let written = to.write_all(&lines).and_then(|()| to.flush());
            (to, written)
        });
        let (to, written) = writing.await.map_err(|error| SendError::later(error.to_string()))?;
        self.to = Some(to);
        written.map_err(|error| SendError::later(format!("standard output: {error}")))?;
        encoded.sent()
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        self.encode(batch).preview()
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
