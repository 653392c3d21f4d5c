//! A query's text as tokens.
//!
//! Names are Riemann's: nearly any run of characters that does not begin with a digit. One thing is different: `=`, `<`
//! and `>` end a name, and so does `!` before `=`. So `metric>2` is a comparison and not the name of a field.

use super::QueryError;
use super::ast::{Op, Value};
use super::error::quoted;
use super::number::{Big, Number};
use std::ops::Range;

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Open,
    Close,
    And,
    Or,
    Not,
    Tagged,
    Compare(Op),
    Like,
    Search,
    Value(Value),
    /// Behind the last.
    End,
}

/// All tokens, with an end behind them.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let start = lexer.at;
        let kind = lexer.next()?;
        let is_last = kind == Kind::End;
        tokens.push(Token { kind, span: start..lexer.at });
        if is_last {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

/// Characters that no name has.
const NEVER: &str = ",^`'\"#~@:/%()[]{}<>=";

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// A comma is white space.
    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\n', '\r', '\t', ',']).len();
    }

    fn error<T>(&self, message: impl Into<String>, span: Range<usize>, help: &str) -> Result<T, QueryError> {
        let help = (!help.is_empty()).then(|| help.to_owned());
        Err(QueryError { message: message.into(), span, help, text: self.text.to_owned() })
    }

    fn next(&mut self) -> Result<Kind, QueryError> {
        let rest = self.rest();
        let start = self.at;
        for (wrong, help) in [
            ("==", "equality is `=`"),
            ("<>", "`!=` is inequality"),
            ("=<", "at most is `<=`"),
            ("=>", "at least is `>=`"),
            ("!~", "`not` goes before the whole comparison: `not host ~= \"a\"`"),
        ] {
            if rest.starts_with(wrong) {
                let message = format!("an operator was expected, found `{wrong}`");
                return self.error(message, start..start + wrong.len(), help);
            }
        }
        for (operator, kind) in [
            ("=~", Kind::Like),
            ("~=", Kind::Search),
            ("!=", Kind::Compare(Op::NotEqual)),
            ("<=", Kind::Compare(Op::AtMost)),
            (">=", Kind::Compare(Op::AtLeast)),
            ("=", Kind::Compare(Op::Equal)),
            ("<", Kind::Compare(Op::Less)),
            (">", Kind::Compare(Op::Greater)),
            ("(", Kind::Open),
            (")", Kind::Close),
        ] {
            if rest.starts_with(operator) {
                self.at += operator.len();
                return Ok(kind);
            }
        }
        let Some(first) = rest.chars().next() else { return Ok(Kind::End) };
        let unsigned = rest.strip_prefix('-').unwrap_or(rest);
        match first {
            '"' | '\'' => self.string(first),
            _ if unsigned.starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            _ if name_len(rest) > 0 => self.name(),
            _ => {
                let help = match first {
                    '`' => "text stands in quotes, double or single",
                    '%' => "a pattern stands in quotes: `host =~ \"web%\"`",
                    '~' => "a regular expression is `~=`, a pattern with `%` is `=~`",
                    c if c.is_whitespace() => {
                        "white space is the space, the tab, the line's end and the comma"
                    }
                    _ => "",
                };
                let shown = quoted(&rest[..first.len_utf8()]);
                self.error(
                    format!("a query was expected, found {shown}, with which nothing begins"),
                    start..start + first.len_utf8(),
                    help,
                )
            }
        }
    }

    fn name(&mut self) -> Result<Kind, QueryError> {
        let rest = self.rest();
        let name = &rest[..name_len(rest)];
        let start = self.at;
        self.at += name.len();
        Ok(match name {
            "and" => Kind::And,
            "or" => Kind::Or,
            "not" => Kind::Not,
            "tagged" => Kind::Tagged,
            "true" => Kind::Value(Value::Bool(true)),
            "false" => Kind::Value(Value::Bool(false)),
            "nil" | "null" => Kind::Value(Value::Nil),
            "Infinity" => float(f64::INFINITY),
            "-Infinity" => float(f64::NEG_INFINITY),
            "NaN" | "-NaN" => float(f64::NAN),
            name => {
                match ["and", "or", "not", "tagged"].into_iter().find(|word| word.eq_ignore_ascii_case(name))
                {
                    Some(word) => {
                        let message = format!("`{word}` was expected, found `{name}`");
                        return self.error(message, start..self.at, "keywords are lower case");
                    }
                    None => Kind::Value(Value::Field(name.to_owned())),
                }
            }
        })
    }

    fn number(&mut self) -> Result<Kind, QueryError> {
        let rest = self.rest();
        let digits = |from: usize| from + rest[from..].bytes().take_while(u8::is_ascii_digit).count();
        let whole = digits(usize::from(rest.starts_with('-')));
        let mut end = whole;
        if rest[end..].starts_with('.') && digits(end + 1) > end + 1 {
            end = digits(end + 1);
        }
        if rest[end..].starts_with(['e', 'E']) {
            let exponent = end + 1 + usize::from(rest[end + 1..].starts_with('-'));
            if digits(exponent) > exponent {
                end = digits(exponent);
            }
        }
        let number = &rest[..end];
        let is_whole = end == whole;
        let is_big = is_whole && rest[end..].starts_with(['n', 'N']);
        if is_big {
            end += 1;
        }
        // What runs on behind a number belongs to a mistake, not to the next token.
        let run = end + rest[end..].find(|c| !is_name(c) && !c.is_ascii_digit()).unwrap_or(rest.len() - end);
        let span = self.at..self.at + run;
        if run > end && !rest[end..].starts_with("!=") {
            let help = match &rest[end..run] {
                "l" | "L" => "whole numbers have no suffix",
                tail if tail.starts_with('.') => "digits stand on both sides of the point",
                tail if tail.starts_with("e+") || tail.starts_with("E+") => "an exponent has no plus: `1e5`",
                tail if number == "0" && tail.starts_with(['x', 'X']) => "numbers are decimal",
                _ => "a space was left out, or the quotes around text",
            };
            return self.error(format!("a number was expected, found {}", quoted(&rest[..run])), span, help);
        }
        self.at += end;
        let value = match (is_whole, number.parse::<i64>(), Big::parse(number)) {
            (false, ..) => number.parse().ok().map(Number::Float),
            (true, Ok(int), _) => Some(Number::Int(int)),
            (true, Err(_), big) if is_big => big.map(Number::Big),
            (true, Err(_), _) => None,
        };
        match value {
            Some(number) => Ok(Kind::Value(Value::Number(number))),
            None => {
                let help = "a larger number ends in `n`";
                self.error(
                    format!("a whole number of 64 bits was expected, found {}", quoted(number)),
                    span,
                    help,
                )
            }
        }
    }

    /// Text up to the quote it began with; single ones need no escape in a shell or in Rust.
    fn string(&mut self, quote: char) -> Result<Kind, QueryError> {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            let rest = self.rest();
            let plain = rest.find([quote, '\\']).unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.rest().chars().next() {
                None => {
                    return self.error(
                        "a closing quote was expected, found the end",
                        start..start + 1,
                        "this text is still open",
                    );
                }
                Some(c) if c == quote => {
                    self.at += 1;
                    return Ok(Kind::Value(Value::Text(text)));
                }
                Some(_) => {
                    let (c, len) = self.escape()?;
                    text.push(c);
                    self.at += len;
                }
            }
        }
    }

    /// The character that the escape here stands for, and the escape's length.
    fn escape(&self) -> Result<(char, usize), QueryError> {
        let rest = &self.rest()[1..];
        let Some(first) = rest.chars().next() else {
            return self.error("an escape was expected, found the end", self.at..self.text.len(), "");
        };
        let octal = rest.bytes().take(3).take_while(|digit| (b'0'..=b'7').contains(digit)).count();
        let plain = match first {
            't' => '\t',
            'r' => '\r',
            'n' => '\n',
            'b' => '\u{8}',
            'f' => '\u{c}',
            '"' | '\'' | '\\' => first,
            'u' => return self.unicode(),
            _ if octal > 0 => {
                // At most 0o777, which is a character.
                let code = u32::from_str_radix(&rest[..octal], 8).unwrap_or_default();
                return Ok((char::from_u32(code).unwrap_or_default(), 1 + octal));
            }
            other => {
                let span = self.at..self.at + 1 + other.len_utf8();
                return self.error(
                    format!("an escape was expected, found {}", quoted(&self.text[span.clone()])),
                    span,
                    "a backslash is written twice; the escapes are \\t \\r \\n \\b \\f \\\" \\' \\\\ \\u0041 \\101",
                );
            }
        };
        Ok((plain, 2))
    }

    /// Four digits; a character beyond them takes two such escapes, as in Java and JSON.
    fn unicode(&self) -> Result<(char, usize), QueryError> {
        let unit = |from: usize| {
            let text = self.rest().get(from..)?.strip_prefix("\\u")?;
            let digits = text.get(..4).filter(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()))?;
            u16::from_str_radix(digits, 16).ok()
        };
        let units = [unit(0), unit(6)];
        let first = units[0].and_then(|unit| char::from_u32(u32::from(unit)));
        let pair = char::decode_utf16(units.into_iter().map_while(|unit| unit)).next().and_then(Result::ok);
        match (first, pair) {
            (Some(c), _) => Ok((c, 6)),
            (None, Some(c)) => Ok((c, 12)),
            (None, None) => {
                let len = self.rest().char_indices().nth(6).map_or(self.rest().len(), |(at, _)| at);
                let help = "four hexadecimal digits follow \\u; a character beyond them is two escapes";
                self.error("a character was expected, found half of one", self.at..self.at + len, help)
            }
        }
    }
}

fn float(value: f64) -> Kind {
    Kind::Value(Value::Number(Number::Float(value)))
}

/// Whether a name may have this character; digits may follow the first, and so may a colon before another part.
fn is_name(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !c.is_ascii_digit() && !NEVER.contains(c)
}

/// Bytes of the name that the text begins with.
fn name_len(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    let mut end = 0;
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let goes_on = match c {
            '!' => next != Some('='),
            ':' => at > 0 && next.is_some_and(|next| is_name(next) || next.is_ascii_digit()),
            c => is_name(c) || (at > 0 && c.is_ascii_digit()),
        };
        if !goes_on {
            break;
        }
        end = at + c.len_utf8();
    }
    end
}
