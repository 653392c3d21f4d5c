//! What the program says about itself while it runs: on standard error, as text for people, as JSON lines for machines.

use super::failure::{Exit, Failure};
use super::screen::may_color;
use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Says what is logged: `info`, `debug`, `tidegate=trace,warn`, as in `env_logger`.
const VARIABLE: &str = "TIDEGATE_LOG";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for a person.
    Text,
    /// An object per line.
    Json,
}

/// Starts logging. Without a format: text on a terminal, JSON elsewhere.
pub fn start(format: Option<Format>) -> Result<(), Failure> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| {
            Failure::say(Exit::Usage, format!("{VARIABLE}={text} is no filter: {error}; try `debug`"))
        })?,
        Err(_) => EnvFilter::new("info"),
    };
    let terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format.unwrap_or(if terminal { Format::Text } else { Format::Json }) {
        Format::Text => log.with_ansi(terminal && may_color()).with_target(false).init(),
        Format::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
