//! What is wrong with a query, drawn under the place where it is wrong.

use std::fmt;
use std::ops::Range;

/// Why a text is not a query, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// What was expected and what was found.
    pub message: String,
    /// The bytes of the text that it is about; empty at the end.
    pub span: Range<usize>,
    /// What to do.
    pub help: Option<String>,
    /// The text.
    pub text: String,
}

/// Something in a query that is allowed and yet hardly meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it means, and what may have been meant.
    pub message: String,
    /// The bytes of the text that it is about.
    pub span: Range<usize>,
}

/// How many characters of a long line are shown on either side.
const SHOWN: usize = 60;

impl fmt::Display for QueryError {
    /// The message, the line, a caret under each character that it is about, the help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.message)?;
        let start = floor(&self.text, self.span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let end = floor(&self.text, self.span.end).clamp(start, line_end);
        let (before, under, after) =
            (&self.text[line_start..start], &self.text[start..end], &self.text[end..line_end]);
        let cut_before = before.chars().count().saturating_sub(SHOWN);
        let before: String = before.chars().skip(cut_before).map(visible).collect();
        let before = if cut_before > 0 { format!("…{before}") } else { before };
        let under: String = under.chars().take(SHOWN).map(visible).collect();
        let after: String = after.chars().take(SHOWN).map(visible).collect();
        let (indent, width) = (before.chars().count(), under.chars().count().max(1));
        writeln!(f, "{}", format!("  {before}{under}{after}").trim_end())?;
        write!(f, "  {}{}", " ".repeat(indent), "^".repeat(width))?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for QueryError {}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A part of a query as a message quotes it: on one line, and not all of what is long.
pub(super) fn quoted(part: &str) -> String {
    let mut chars = part.chars();
    let mut shown = String::from("`");
    for c in chars.by_ref().take(SHOWN) {
        match c {
            ' ' => shown.push(c),
            c if c.is_control() || c.is_whitespace() => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown.push_str(if chars.next().is_some() { "…`" } else { "`" });
    shown
}

/// The start of the character that a byte belongs to.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// What takes one column on a terminal and moves nothing.
fn visible(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}
