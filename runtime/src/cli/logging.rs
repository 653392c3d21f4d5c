//! What the program says about itself while it runs: on standard error, as text for people, as JSON lines for machines.
//!
//! Where lines are JSON all of them are: also what a person would be told in passing, and a panic. Only why the program could
//! not start or go on is said as text at the very end, to whoever started it.

use super::failure::{Exit, Failure};
use super::screen::may_color;
use clap::ValueEnum;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Says what is logged: `info`, `debug`, `tidegate=trace,warn`, as in `env_logger`.
const VARIABLE: &str = "TIDEGATE_LOG";

/// Whether the end of each span is a line.
const SPANS: &str = "TIDEGATE_LOG_SPANS";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for a person.
    Text,
    /// An object per line.
    Json,
}

/// How people are told things that belong to no log.
#[derive(Clone, Copy, Debug)]
pub struct Talk(Format);

impl Talk {
    /// Something that is good to know.
    pub fn say(self, text: &str) {
        match self.0 {
            Format::Text => eprintln!("{text}"),
            Format::Json => tracing::info!("{text}"),
        }
    }

    /// Something that is worth a look; it may be drawn over several lines.
    pub fn warn(self, text: &str) {
        match self.0 {
            Format::Text => eprint!("{text}"),
            Format::Json => tracing::warn!("{}", text.trim_end()),
        }
    }
}

/// Starts logging. Without a format: text on a terminal, JSON elsewhere.
pub fn start(format: Option<Format>) -> Result<Talk, Failure> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| {
            Failure::say(Exit::Usage, format!("{VARIABLE}={text} is no filter: {error}; try `debug`"))
        })?,
        Err(_) => EnvFilter::new("info"),
    };
    let spans = match std::env::var(SPANS).as_deref() {
        Ok("true") => FmtSpan::CLOSE,
        Ok("false" | "") | Err(_) => FmtSpan::NONE,
        Ok(other) => {
            return Err(Failure::say(
                Exit::Usage,
                format!("{SPANS}: true or false was expected, found {other}"),
            ));
        }
    };
    let terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(spans)
        .with_writer(std::io::stderr);
    let format = format.unwrap_or(if terminal { Format::Text } else { Format::Json });
    match format {
        Format::Text => log.with_ansi(terminal && may_color()).with_target(false).init(),
        Format::Json => {
            log.json().flatten_event(true).init();
            std::panic::set_hook(Box::new(panicked));
        }
    }
    Ok(Talk(format))
}

/// A panic as a line like all others.
fn panicked(panic: &PanicHookInfo<'_>) {
    let said = panic.payload_as_str().unwrap_or("no words");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    tracing::error!(thread, "panicked at {place}: {said}");
}
