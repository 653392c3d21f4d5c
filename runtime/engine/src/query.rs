//! The query language: Riemann's, and the one way in which anything here asks for events.
//!
//! Text becomes a [`Query`] ([`text`]), and that a [`Matcher`]: one query, one event, yes or no. The matcher defines what
//! a query means; whatever is faster has to agree with it. `docs/query-language.md` is the specification.

pub mod ast;
mod matcher;
mod text;
mod wildcard;

pub use ast::{Op, Query, Value};
pub use matcher::Matcher;

use std::fmt;
use std::ops::Range;

/// Why a text is not a query, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// What was expected and found.
    pub message: String,
    /// The bytes of the text that it is about.
    pub span: Range<usize>,
    /// What to do.
    pub help: Option<String>,
    /// The text.
    pub text: String,
}

impl fmt::Display for QueryError {
    /// The message, the line, a caret under each character that it is about, the help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.text[..self.span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[self.span.start..].find('\n').map_or(self.text.len(), |at| self.span.start + at);
        let before = self.text[start..self.span.start].chars().count();
        let under =
            self.text[self.span.start..self.span.end.clamp(self.span.start, end)].chars().count().max(1);
        writeln!(f, "{}", self.message)?;
        writeln!(f, "  {}", &self.text[start..end])?;
        write!(f, "  {}{}", " ".repeat(before), "^".repeat(under))?;
        if let Some(help) = &self.help {
            write!(f, "\n  {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for QueryError {}
