//! What is wrong with a configuration, drawn so that it can be found and repaired: all mistakes at once, each with its
//! line.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    /// In the defaults of the program.
    BuiltIn,
    /// At these bytes of the file.
    File(Range<usize>),
    /// At these bytes of the file, in a line that is not to be shown.
    Secret(Range<usize>),
    /// In this environment variable.
    Variable(Box<str>),
}

/// One thing that is wrong, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub spot: Spot,
    /// What was expected and what was found.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(spot: Spot, message: String) -> Self {
        Self { spot, message, hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The text that problems point into. Its `Debug` leaves the text out: there may be secrets in it.
#[derive(Clone, Default)]
pub struct Source {
    /// The file, if there is one.
    pub path: Option<PathBuf>,
    /// What it holds.
    pub text: String,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Source {
    /// Draws a problem: what it is, where it is, the line, a caret under it.
    pub fn draw(&self, severity: &str, problem: &Problem) -> String {
        let mut out = format!("{severity}: {}\n", problem.message);
        let hint = problem.hint.as_deref().unwrap_or_default();
        let path = self.path.as_deref().unwrap_or(Path::new("configuration")).display();
        match &problem.spot {
            Spot::File(range) => {
                let (line, column, text) = self.line(range.start);
                let margin = " ".repeat(line.to_string().len());
                // A caret per character; to the end of the line where the spot runs over it.
                let width = self
                    .text
                    .get(range.clone())
                    .map_or(1, |part| part.lines().next().unwrap_or_default().chars().count().max(1));
                let before: String =
                    text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
                out += &format!("{margin}--> {path}:{line}:{column}\n");
                out +=
                    &format!("{margin} |\n{line} | {text}\n{margin} | {before}{} {hint}", "^".repeat(width));
                out.truncate(out.trim_end().len());
                out.push('\n');
            }
            Spot::Secret(range) => {
                let (line, column, _) = self.line(range.start);
                out += &format!(" --> {path}:{line}:{column}\n{}", note(hint));
            }
            Spot::Variable(name) => out += &format!(" --> environment variable {name}\n{}", note(hint)),
            Spot::BuiltIn => out += &note(hint),
        }
        out
    }

    fn line(&self, at: usize) -> (usize, usize, &str) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let number = self.text[..start].matches('\n').count() + 1;
        let text = self.text[start..].lines().next().unwrap_or_default();
        (number, self.text[start..at].chars().count() + 1, text)
    }
}

fn note(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("  = {hint}\n") }
}

/// Why a configuration cannot be used: everything that is wrong with it.
#[derive(Debug)]
pub struct ConfigError {
    pub(super) source: Source,
    pub(super) problems: Vec<Problem>,
}

impl ConfigError {
    /// All that is wrong, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{}", self.source.draw("error", problem))?;
        }
        match self.problems.len() {
            1 => write!(f, "1 error, nothing was changed"),
            n => write!(f, "{n} errors, nothing was changed"),
        }
    }
}

impl std::error::Error for ConfigError {}
