//! What regular expressions are compiled to: the fast engine where queries are asked of every event, a small one where the
//! size of a module matters.
//!
//! The small one knows the same expressions but for this: the classes `\w`, `\d`, `\s`, `\b` and `(?i)` are of ASCII alone, there
//! is no `\p{…}`, classes are joined but not cut (`&&`, `--`, `~~`), and nothing is found in what is not UTF-8. Of a pattern that
//! is too big it says that it is wrong.

use std::fmt;

/// A regular expression that can be looked for.
pub trait Search: Clone + fmt::Debug + Sized {
    /// Compiles it.
    fn build(pattern: &str) -> Result<Self, Refused>;
    /// Whether it occurs in the text.
    fn finds(&self, text: &[u8]) -> bool;
    /// As it was written.
    fn pattern(&self) -> &str;
}

/// Why a pattern was not compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It would take more than so many bytes.
    TooBig(usize),
    /// It is not one.
    Wrong(String),
}

/// Bytes that one compiled expression may take.
const PROGRAM: usize = 512 << 10;

#[cfg(feature = "full")]
impl Search for regex::bytes::Regex {
    fn build(pattern: &str) -> Result<Self, Refused> {
        let builder = &mut regex::bytes::RegexBuilder::new(pattern);
        builder.size_limit(PROGRAM).dfa_size_limit(PROGRAM).build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => Refused::TooBig(PROGRAM),
            error => Refused::Wrong(last_line(&error)),
        })
    }

    #[inline]
    fn finds(&self, text: &[u8]) -> bool {
        self.is_match(text)
    }

    fn pattern(&self) -> &str {
        self.as_str()
    }
}

#[cfg(feature = "lite")]
impl Search for regex_lite::Regex {
    fn build(pattern: &str) -> Result<Self, Refused> {
        let builder = &mut regex_lite::RegexBuilder::new(pattern);
        builder.size_limit(PROGRAM).build().map_err(|error| Refused::Wrong(last_line(&error)))
    }

    #[inline]
    fn finds(&self, text: &[u8]) -> bool {
        std::str::from_utf8(text).is_ok_and(|text| self.is_match(text))
    }

    fn pattern(&self) -> &str {
        self.as_str()
    }
}

#[cfg(any(feature = "full", feature = "lite"))]
fn last_line(error: &impl fmt::Display) -> String {
    let words = error.to_string();
    words.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
