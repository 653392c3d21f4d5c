//! The two kinds of pattern: `=~`, in which `%` stands for any run of characters, and `~=`, a regular expression.
//!
//! Both take time linear in the text, whatever the pattern: it may come from anybody who can reach a socket.

use super::search::{Refused, Search};
use super::{PATTERN, PATTERNS, QueryError};
use std::ops::Range;

/// A pattern of `=~`: it spans the whole text, but for one line end at its end. `%` does not run across line ends.
#[derive(Clone, Debug)]
pub(super) struct Wildcard {
    pattern: String,
    shape: Shape,
}

/// What is left to do for a pattern, without its `%`.
#[derive(Clone, Debug)]
enum Shape {
    /// No `%`.
    Whole,
    /// One `%`: the text begins and ends so.
    Ends(Range<usize>, Range<usize>),
    /// More of them.
    Parts,
}

/// Compiles the patterns of one query and counts them.
pub(super) struct Patterns<'q> {
    text: &'q str,
    compiled: usize,
}

impl<'q> Patterns<'q> {
    /// For the query with this text.
    pub fn new(text: &'q str) -> Self {
        Self { text, compiled: 0 }
    }

    fn error<T>(&self, message: String, span: &Range<usize>, help: &str) -> Result<T, QueryError> {
        let help = (!help.is_empty()).then(|| help.to_owned());
        Err(QueryError { message, span: span.clone(), help, text: self.text.to_owned() })
    }

    fn check_length(&self, pattern: &str, span: &Range<usize>) -> Result<(), QueryError> {
        let found = pattern.len();
        if found > PATTERN {
            let message = format!("a pattern of at most {PATTERN} bytes was expected, found one of {found}");
            return self.error(message, span, "");
        }
        Ok(())
    }

    fn compile<R: Search>(&mut self, pattern: &str, span: &Range<usize>) -> Result<R, QueryError> {
        self.compiled += 1;
        if self.compiled > PATTERNS {
            let message =
                format!("at most {PATTERNS} regular expressions in a query were expected, found more");
            return self.error(message, span, "several for one field can be one: `host ~= \"a|b\"`");
        }
        R::build(pattern).or_else(|refused| match refused {
            Refused::TooBig(limit) => self.error(
                format!(
                    "a regular expression of at most {} KiB when compiled was expected, found a larger one",
                    limit >> 10
                ),
                span,
                "repeat fewer times, or write `[a-z]` for `\\\\w`",
            ),
            Refused::Wrong(reason) => self.error(
                format!("a regular expression was expected: {reason}"),
                span,
                "it is read in linear time: no look-around, no references back",
            ),
        })
    }

    /// A pattern of `=~`.
    pub fn wildcard(&mut self, pattern: &str, span: &Range<usize>) -> Result<Wildcard, QueryError> {
        self.check_length(pattern, span)?;
        let mut runs = pattern.match_indices('%').map(|(at, _)| at);
        let shape = match (runs.next(), runs.next()) {
            (None, _) => Shape::Whole,
            (Some(at), None) => Shape::Ends(0..at, at + 1..pattern.len()),
            _ => Shape::Parts,
        };
        Ok(Wildcard { pattern: pattern.to_owned(), shape })
    }

    /// A pattern of `~=`.
    pub fn regex<R: Search>(&mut self, pattern: &str, span: &Range<usize>) -> Result<R, QueryError> {
        self.check_length(pattern, span)?;
        if let Some((found, help)) = only_in_java(pattern) {
            let message =
                format!("a regular expression that can be read in linear time was expected, found {found}");
            return self.error(message, span, help);
        }
        self.compile(pattern, span)
    }
}

impl Wildcard {
    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// What every text that fits begins with.
    pub fn prefix(&self) -> &str {
        self.pattern.split('%').next().unwrap_or_default()
    }

    /// Whether the text fits.
    #[inline]
    pub fn matches(&self, text: &[u8]) -> bool {
        self.fits(text) || without_line_end(text).is_some_and(|text| self.fits(text))
    }

    #[inline]
    fn fits(&self, text: &[u8]) -> bool {
        match &self.shape {
            Shape::Whole => text == self.pattern.as_bytes(),
            Shape::Ends(first, last) => {
                let pattern = self.pattern.as_bytes();
                text.strip_prefix(&pattern[first.clone()])
                    .and_then(|rest| rest.strip_suffix(&pattern[last.clone()]))
                    .is_some_and(|run| !has_line_end(run))
            }
            Shape::Parts => std::str::from_utf8(text).is_ok_and(|text| self.fits_parts(text)),
        }
    }
}

impl Wildcard {
    /// Takes each part where it first occurs. That is never wrong: a later place leaves less of the text, and to get there
    /// the run before it has to cross whatever line end the part itself would have stepped over.
    fn fits_parts(&self, text: &str) -> bool {
        let mut parts = self.pattern.split('%');
        let (Some(first), Some(last)) = (parts.next(), parts.next_back()) else { return false };
        let Some(mut rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
            return false;
        };
        for part in parts {
            match rest.split_once(part) {
                Some((run, after)) if !has_line_end(run.as_bytes()) => rest = after,
                _ => return false,
            }
        }
        !has_line_end(rest.as_bytes())
    }
}

/// The line ends of Java: LF, CR, CR LF, next line, line separator, paragraph separator.
fn has_line_end(text: &[u8]) -> bool {
    text.iter().enumerate().any(|(i, byte)| match byte {
        b'\n' | b'\r' => true,
        0xc2 => text[i + 1..].starts_with(&[0x85]),
        0xe2 => text[i + 1..].starts_with(&[0x80, 0xa8]) || text[i + 1..].starts_with(&[0x80, 0xa9]),
        _ => false,
    })
}

fn without_line_end(text: &[u8]) -> Option<&[u8]> {
    let ends: [&[u8]; 6] = [b"\r\n", b"\n", b"\r", &[0xc2, 0x85], &[0xe2, 0x80, 0xa8], &[0xe2, 0x80, 0xa9]];
    ends.into_iter().find_map(|end| text.strip_suffix(end))
}

/// What Java reads and we do not, or read as something else: what it is, and what to write instead.
fn only_in_java(pattern: &str) -> Option<(&'static str, &'static str)> {
    let mut chars = pattern.chars().peekable();
    // How many brackets are open, whether a brace is, and whether the last thing was a quantifier.
    let (mut class, mut brace, mut quantified) = (0_usize, false, false);
    while let Some(c) = chars.next() {
        let was_quantified = std::mem::take(&mut quantified);
        match c {
            '\\' => match chars.next() {
                Some('1'..='9' | 'k') => {
                    return Some(("a reference back", "a reference back needs a search without bound"));
                }
                Some('Q' | 'E') => return Some(("`\\Q…\\E`", "escape each character of its own")),
                Some('Z') => return Some(("`\\Z`", "`\\\\z` is the end of the text")),
                Some('G' | 'R' | 'X' | 'h' | 'H' | 'v' | 'V') => {
                    return Some(("a class that only Java has", "list its characters in brackets"));
                }
                Some('<' | '>') => return Some(("`\\<` or `\\>`", "the character needs no backslash")),
                _ => {}
            },
            '[' => {
                class += 1;
                // A bracket that closes at once stands for itself.
                chars.next_if_eq(&'^');
                chars.next_if_eq(&']');
            }
            ']' if class > 0 => class -= 1,
            _ if class > 0 => {}
            '(' if chars.next_if_eq(&'?').is_some() => match chars.next() {
                Some('=' | '!') => {
                    return Some(("look-ahead", "write what is to be found, or use `not` and `and`"));
                }
                Some('>') => return Some(("an atomic group", "write a plain group")),
                Some('<') if matches!(chars.peek(), Some('=' | '!')) => {
                    return Some(("look-behind", "write what is to be found, or use `not` and `and`"));
                }
                _ => {}
            },
            '+' if was_quantified => {
                return Some(("a possessive quantifier", "write the quantifier without the second `+`"));
            }
            '{' => brace = true,
            '}' if brace => (brace, quantified) = (false, true),
            '*' | '+' | '?' => quantified = true,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wildcard(pattern: &str) -> Wildcard {
        Patterns::new("").wildcard(pattern, &(0..0)).unwrap()
    }

    #[test]
    fn patterns_of_every_shape_agree_with_trying_everything() {
        fn fits(pattern: &[char], text: &[char]) -> bool {
            match pattern.split_first() {
                None => text.is_empty(),
                Some(('%', rest)) => {
                    let run = text.iter().take_while(|c| !"\n\r\u{85}\u{2028}\u{2029}".contains(**c)).count();
                    (0..=run).any(|len| fits(rest, &text[len..]))
                }
                Some((c, rest)) => text.first() == Some(c) && fits(rest, &text[1..]),
            }
        }
        fn obvious(pattern: &str, text: &str) -> bool {
            let pattern: Vec<char> = pattern.chars().collect();
            let fits = |text: &str| fits(&pattern, &text.chars().collect::<Vec<_>>());
            let ends = ["\r\n", "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"];
            fits(text) || ends.into_iter().find_map(|end| text.strip_suffix(end)).is_some_and(fits)
        }
        let mut texts = vec![String::new()];
        for _ in 0..4 {
            let longer = texts
                .iter()
                .flat_map(|text| ["a", "b", ".", "\n", "é", "\u{2028}"].map(|c| format!("{text}{c}")));
            texts = longer.chain([String::new(), "a\r\n".to_owned(), "ab\r\n\n".to_owned()]).collect();
            texts.sort();
            texts.dedup();
            for pattern in [
                "", "%", "%%", "a", "a%", "%a", "a%b", "%a%", "a%b%", "%.%", "é%", "%a%b%", "a\n", "a\n%",
                "%a\na%b%", "%\n%",
            ] {
                let wildcard = wildcard(pattern);
                for text in &texts {
                    assert_eq!(
                        wildcard.matches(text.as_bytes()),
                        obvious(pattern, text),
                        "{pattern:?} {text:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_hostile_pattern_on_a_hostile_text_is_answered() {
        let text = "a".repeat(1 << 20);
        assert!(wildcard(&"%a".repeat(500)).matches(text.as_bytes()));
        assert!(!wildcard(&format!("%{}b%", "a".repeat(1_000))).matches(text.as_bytes()));
        assert!(!wildcard(&format!("{}b%", "%aa".repeat(300))).matches(text.as_bytes()));
    }

    #[test]
    fn what_only_java_reads_is_known_from_what_it_looks_like() {
        for found in [
            "a++",
            "a*+",
            "a?+",
            "a{2,3}+",
            "(?>a)",
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<!a)",
            "(a)\\1",
            "\\k<a>",
            "\\Qa.b\\E",
            "a\\Z",
            "\\h",
            "\\<a",
            "[]]++",
        ] {
            assert!(only_in_java(found).is_some(), "{found}");
        }
        for fine in [
            "a+",
            "\\++",
            "[+]+",
            "[a+]+?",
            "a}+",
            "(?i)a",
            "(?<name>a)",
            "(?:a)?",
            "\\\\1",
            "[]+]+",
            "[^]+]",
            "\\d{2}",
        ] {
            assert!(only_in_java(fine).is_none(), "{fine}");
        }
    }
}
