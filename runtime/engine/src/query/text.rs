//! Text to query: a lexer and a parser by precedence, with errors that point.
//!
//! Tightest first: parentheses, comparison, `not`, `and`, `or`. Names may hold nearly anything, as in Riemann, but an
//! operator ends them: `metric>2` is a comparison.

use super::QueryError;
use super::ast::{Op, Query, Value};
use std::ops::Range;

/// The longest query, in bytes.
const TEXT_MAX: usize = 16 << 10;
/// How deep parentheses and `not` may nest.
const DEPTH_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Tagged,
    Op(Op),
    Value(Value),
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

/// Reads a query.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    if text.len() > TEXT_MAX {
        let message =
            format!("a query of at most {TEXT_MAX} bytes was expected, this one has {}", text.len());
        return Err(QueryError { message, span: 0..0, help: None, text: text.chars().take(60).collect() });
    }
    let tokens = Lexer { text, at: 0 }.tokens()?;
    let mut parser = Parser { text, tokens, at: 0, depth: 0 };
    let query = parser.or()?;
    match parser.tokens.get(parser.at) {
        None => Ok(query),
        Some((token, span)) => {
            let help = match token {
                Token::Value(Value::Field(name)) if matches!(name.as_str(), "AND" | "OR" | "NOT") => {
                    Some(format!("keywords are lower case: `{}`", name.to_lowercase()))
                }
                Token::Value(Value::Field(name)) if name == "&&" => Some("write `and`".into()),
                Token::Value(Value::Field(name)) if name == "||" => Some("write `or`".into()),
                Token::Op(_) => Some("comparisons do not chain: join two with `and`".into()),
                _ => Some("join predicates with `and` or `or`".into()),
            };
            let found = &text[span.clone()];
            Err(parser.error(
                format!("the end of the query was expected, found `{found}`"),
                span.clone(),
                help,
            ))
        }
    }
}

impl Lexer<'_> {
    fn error<T>(&self, message: impl Into<String>, span: Range<usize>, help: &str) -> Result<T, QueryError> {
        let help = (!help.is_empty()).then(|| help.to_owned());
        Err(QueryError { message: message.into(), span, help, text: self.text.to_owned() })
    }

    fn tokens(mut self) -> Result<Vec<(Token, Range<usize>)>, QueryError> {
        let mut tokens = Vec::new();
        while let Some(next) = self.text[self.at..].chars().next() {
            let start = self.at;
            let rest = &self.text[start..];
            let token = match next {
                ' ' | '\n' | '\r' | '\t' | ',' => {
                    self.at += 1;
                    continue;
                }
                '(' => self.take(1, Token::Open),
                ')' => self.take(1, Token::Close),
                '"' | '\'' => self.string(next)?,
                '=' if rest.starts_with("==") => {
                    return self.error("an operator was expected, found `==`", start..start + 2, "write `=`");
                }
                '=' if rest.starts_with("=~") => self.take(2, Token::Op(Op::Like)),
                '=' => self.take(1, Token::Op(Op::Equal)),
                '~' if rest.starts_with("~=") => self.take(2, Token::Op(Op::Regex)),
                '!' if rest.starts_with("!=") => self.take(2, Token::Op(Op::NotEqual)),
                '<' if rest.starts_with("<=") => self.take(2, Token::Op(Op::AtMost)),
                '>' if rest.starts_with(">=") => self.take(2, Token::Op(Op::AtLeast)),
                '<' if rest.starts_with("<>") => {
                    return self.error(
                        "an operator was expected, found `<>`",
                        start..start + 2,
                        "write `!=`",
                    );
                }
                '<' => self.take(1, Token::Op(Op::Less)),
                '>' => self.take(1, Token::Op(Op::Greater)),
                c if c.is_ascii_digit() => self.number()?,
                '-' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number()?,
                c if is_name(c) => self.name(),
                c => return self.error(format!("`{c}` means nothing here"), start..start + c.len_utf8(), ""),
            };
            tokens.push((token, start..self.at));
        }
        Ok(tokens)
    }

    fn take(&mut self, len: usize, token: Token) -> Token {
        self.at += len;
        token
    }

    fn name(&mut self) -> Token {
        let rest = &self.text[self.at..];
        let mut end = rest.len();
        let mut before = None;
        for (at, c) in rest.char_indices() {
            let operator = matches!(c, '=' | '<' | '>') || (c == '!' && rest[at + 1..].starts_with('='));
            let colon = c == ':' && before.is_some();
            if at > 0 && operator || !(is_name(c) || c.is_ascii_digit() || colon) {
                end = at;
                break;
            }
            before = Some(c);
        }
        let name = &rest[..end];
        self.at += end;
        match name {
            "and" => Token::And,
            "or" => Token::Or,
            "not" => Token::Not,
            "tagged" => Token::Tagged,
            "true" => Token::Value(Value::Bool(true)),
            "false" => Token::Value(Value::Bool(false)),
            "nil" | "null" => Token::Value(Value::Nil),
            "Infinity" => Token::Value(Value::Float(f64::INFINITY)),
            "-Infinity" => Token::Value(Value::Float(f64::NEG_INFINITY)),
            "NaN" | "-NaN" => Token::Value(Value::Float(f64::NAN)),
            name => Token::Value(Value::Field(name.to_owned())),
        }
    }

    fn number(&mut self) -> Result<Token, QueryError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let whole = digits(start + usize::from(bytes[start] == b'-'));
        let mut end = whole;
        if bytes.get(end) == Some(&b'.') && digits(end + 1) > end + 1 {
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let exponent = end + 1 + usize::from(bytes.get(end + 1) == Some(&b'-'));
            if digits(exponent) > exponent {
                end = digits(exponent);
            }
        }
        let text = &self.text[start..end];
        let after = self.text[end..].chars().next();
        let value = match after {
            Some('n' | 'N') if end == whole => {
                end += 1;
                text.parse().map_or_else(|_| text.parse().ok().map(Value::Big), |int| Some(Value::Int(int)))
            }
            _ if end == whole => text.parse().ok().map(Value::Int),
            _ => text.parse().ok().map(Value::Float),
        };
        let odd = self.text[end..]
            .chars()
            .next()
            .filter(|c| (is_name(*c) && !"=<>!".contains(*c)) || c.is_ascii_digit());
        match (value, odd) {
            (Some(value), None) => {
                self.at = end;
                Ok(Token::Value(value))
            }
            (None, None) => self.error(
                format!("a whole number of 64 bits was expected, found `{text}`"),
                start..end,
                "write an `n` after it for a larger one",
            ),
            (_, Some(_)) => {
                let len = self.text[end..]
                    .find(|c: char| !(is_name(c) || c.is_ascii_digit()))
                    .unwrap_or(self.text.len() - end);
                let found = &self.text[start..end + len];
                let help = "digits on both sides of the point, an exponent without plus, no letters after it";
                self.error(format!("a number was expected, found `{found}`"), start..end + len, help)
            }
        }
    }

    /// Text in double quotes, or in single ones, which need no escaping in a shell or in Rust.
    fn string(&mut self, quote: char) -> Result<Token, QueryError> {
        let start = self.at;
        let mut out = String::new();
        let mut chars = self.text[start + 1..].char_indices();
        while let Some((at, c)) = chars.next() {
            let here = start + 1 + at;
            match c {
                c if c == quote => {
                    self.at = here + 1;
                    return Ok(Token::Value(Value::Text(out)));
                }
                '\\' => {
                    let rest = &self.text[here + 1..];
                    let (found, len) = escape(rest).ok_or(()).or_else(|()| {
                        let end = here + 1 + rest.chars().next().map_or(0, char::len_utf8);
                        let help = r#"known escapes: \t \r \n \b \f \" \\ \uXXXX and octal; a regex needs `\\` for each backslash"#;
                        self.error("this escape means nothing", here..end, help)
                    })?;
                    out.push(found);
                    chars.nth(rest[..len].chars().count() - 1);
                }
                c => out.push(c),
            }
        }
        self.error("a closing quote was expected, found the end of the query", start..self.text.len(), "")
    }
}

/// The character that an escape stands for, and how many bytes it takes after the backslash.
fn escape(rest: &str) -> Option<(char, usize)> {
    let first = rest.chars().next()?;
    Some(match first {
        't' => ('\t', 1),
        'r' => ('\r', 1),
        'n' => ('\n', 1),
        'b' => ('\u{8}', 1),
        'f' => ('\u{c}', 1),
        '"' | '\'' | '\\' => (first, 1),
        'u' => {
            let hex = rest.get(1..5).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
            (char::from_u32(u32::from_str_radix(hex, 16).ok()?).unwrap_or(char::REPLACEMENT_CHARACTER), 5)
        }
        '0'..='7' => {
            let len = rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            let len = if len == 3 && first > '3' { 2 } else { len };
            (char::from_u32(u32::from_str_radix(&rest[..len], 8).ok()?)?, len)
        }
        _ => return None,
    })
}

fn is_name(c: char) -> bool {
    !c.is_whitespace()
        && !c.is_ascii_digit()
        && !",^`'\"#~@:/%()[]{}".contains(c)
        && !c.is_control()
        && c != '\\'
        && c != ';'
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn error(&self, message: impl Into<String>, span: Range<usize>, help: Option<String>) -> QueryError {
        QueryError { message: message.into(), span, help, text: self.text.to_owned() }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    /// Where the next token stands; at the end, just behind the last.
    fn span(&self) -> Range<usize> {
        self.tokens.get(self.at).map_or(self.text.len()..self.text.len(), |(_, span)| span.clone())
    }

    fn expected<T>(&self, what: &str) -> Result<T, QueryError> {
        let span = self.span();
        let found = match &self.text[span.clone()] {
            "" => "the end of the query".to_owned(),
            found => format!("`{found}`"),
        };
        Err(self.error(format!("{what} was expected, found {found}"), span, None))
    }

    fn or(&mut self) -> Result<Query, QueryError> {
        let mut any = vec![self.and()?];
        while self.eat(&Token::Or) {
            any.push(self.and()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Query::Or(any) })
    }

    fn and(&mut self) -> Result<Query, QueryError> {
        let mut all = vec![self.not()?];
        while self.eat(&Token::And) {
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Query::And(all) })
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, QueryError>) -> Result<T, QueryError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(format!("at most {DEPTH_MAX} levels may be nested"), self.span(), None));
        }
        let found = inner(self);
        self.depth -= 1;
        found
    }

    fn not(&mut self) -> Result<Query, QueryError> {
        if self.eat(&Token::Not) {
            return Ok(Query::Not(Box::new(self.nested(Self::not)?)));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Query, QueryError> {
        if self.eat(&Token::Open) {
            let query = self.nested(Self::or)?;
            return if self.eat(&Token::Close) { Ok(query) } else { self.expected("`)`") };
        }
        if self.eat(&Token::Tagged) {
            return match self.value("a tag in double quotes")? {
                (Value::Text(tag), _) => Ok(Query::Tagged(tag)),
                (_, span) => Err(self.error("a tag in double quotes was expected", span, None)),
            };
        }
        let (left, _) = self.value("a predicate")?;
        let Some(Token::Op(op)) = self.peek() else { return Ok(Query::Truth(left)) };
        let op = *op;
        self.at += 1;
        let (right, span) = self.value(&format!("a value after `{}`", op.text()))?;
        match (op, &right) {
            (
                Op::Less | Op::Greater | Op::AtMost | Op::AtLeast,
                Value::Int(_) | Value::Big(_) | Value::Float(_),
            )
            | (Op::Like | Op::Regex, Value::Text(_))
            | (Op::Equal | Op::NotEqual, _) => Ok(Query::Compare(op, left, right)),
            (Op::Like | Op::Regex, _) => Err(self.error(
                format!("text in double quotes was expected after `{}`", op.text()),
                span,
                None,
            )),
            _ => {
                let help = "the number stands on the right: `metric > 2`".to_owned();
                Err(self.error(format!("a number was expected after `{}`", op.text()), span, Some(help)))
            }
        }
    }

    fn value(&mut self, what: &str) -> Result<(Value, Range<usize>), QueryError> {
        match self.tokens.get(self.at) {
            Some((Token::Value(value), span)) => {
                let found = (value.clone(), span.clone());
                self.at += 1;
                Ok(found)
            }
            _ => self.expected(what),
        }
    }
}
