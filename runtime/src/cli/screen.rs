//! Standard output: lines, tables and JSON, safe for a terminal and for a pipe that closes early.

use super::failure::Failure;
use serde_json::Value;
use std::fmt::Display;
use std::io::{IsTerminal, Write};

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Whether results are to be JSON.
    pub json: bool,
    color: bool,
}

impl Screen {
    /// Standard output. Colour only on a terminal, and not where `NO_COLOR` is set.
    pub fn new(json: bool) -> Self {
        Self { json, color: !json && std::io::stdout().is_terminal() && may_color() }
    }

    /// Prints a line, at once.
    pub fn line(&self, text: impl Display) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// Prints a value as JSON: for people with line breaks on a terminal, as one line elsewhere.
    pub fn value(&self, value: &Value) -> Result<(), Failure> {
        match std::io::stdout().is_terminal() {
            true => self.line(format_args!("{value:#}")),
            false => self.line(value),
        }
    }

    /// Prints rows in columns that are as wide as they must be. Columns without any text are left out.
    pub fn table(&self, head: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        for line in columns(head, rows) {
            self.line(self.tint(&line))?;
        }
        Ok(())
    }

    /// Colours a line as the state is coloured.
    pub fn paint(&self, state: &str, line: &str) -> String {
        let color = match state {
            _ if !self.color => None,
            "critical" => Some("31"),
            "warning" => Some("33"),
            _ => None,
        };
        color.map_or_else(|| line.to_owned(), |color| format!("\x1b[{color}m{line}\x1b[0m"))
    }

    /// Colours a line that speaks of a state that somebody should look at.
    pub fn tint(&self, line: &str) -> String {
        let has = |word: &str| line.split(' ').any(|found| found == word);
        match () {
            () if has("critical") || has("quarantined") => self.paint("critical", line),
            () if has("warning") || has("paused") => self.paint("warning", line),
            () => line.to_owned(),
        }
    }
}

/// Whether colour is welcome at all.
pub fn may_color() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Text from outside without anything that a terminal would obey.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A number of bytes for people.
pub fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{} KiB", n.div_ceil(1024)),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

/// A number of things for people: `1 rule`, `2 rules`.
pub fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn columns(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let cell = |row: &[String], column: usize| plain(row.get(column).map_or("", String::as_str));
    let shown: Vec<(usize, usize)> = (0..head.len())
        .filter_map(|column| {
            let widest = rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
            (widest > 0).then(|| (column, widest.max(head[column].len())))
        })
        .collect();
    let line = |text: &dyn Fn(usize) -> String| {
        let cells: Vec<String> =
            shown.iter().map(|&(column, width)| format!("{:width$}", text(column))).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&|column| head[column].to_owned())];
    lines.extend(rows.iter().map(|row| line(&|column| cell(row, column))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let lines =
            columns(&["host", "note", "state"], &rows(&[&["a", "", "ok"], &["web12", "", "critical"]]));
        assert_eq!(lines, ["host   state", "a      ok", "web12  critical"]);
    }

    #[test]
    fn nothing_in_a_cell_reaches_the_terminal_as_a_command() {
        assert_eq!(columns(&["x"], &rows(&[&["\x1b[2Jgone\n"]]))[1], "\u{fffd}[2Jgone\u{fffd}");
    }

    #[test]
    fn states_are_coloured_only_where_colour_is_wanted() {
        let screen = Screen { json: false, color: true };
        assert_eq!(screen.tint("web critical"), "\x1b[31mweb critical\x1b[0m");
        assert_eq!(screen.tint("web ok"), "web ok");
        assert_eq!(Screen { color: false, ..screen }.tint("web critical"), "web critical");
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!([0, 38_500, 5 << 20].map(bytes), ["0 B", "38 KiB", "5.0 MiB"]);
    }
}
