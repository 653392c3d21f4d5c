//! Text to query: a parser by precedence, with errors that point.
//!
//! ```text
//! or         := and ( 'or' and )*
//! and        := not ( 'and' not )*
//! not        := 'not' not | primary
//! primary    := '(' or ')' | 'tagged' TEXT | value | value comparison
//! comparison := ( '=' | '!=' ) value | ( '<' | '>' | '<=' | '>=' ) NUMBER | ( '=~' | '~=' ) TEXT
//! ```
//!
//! Not here: what a query means (`plan.rs`).

use super::advice::{advise, advise_name};
use super::ast::{Expr, Op, Query, Value};
use super::error::quoted;
use super::token::{Kind, Token, tokens};
use super::{DEPTH, QueryError, TEXT, Warning};
use std::ops::Range;

/// Reads a query.
pub(super) fn parse(text: &str) -> Result<Query, QueryError> {
    if text.len() > TEXT {
        let message = format!("a query of at most {TEXT} bytes was expected, found one of {}", text.len());
        let text = text.chars().take(40).collect();
        return Err(QueryError { message, span: 0..0, help: None, text });
    }
    let mut parser = Parser { text, tokens: tokens(text)?, at: 0, depth: 0, warnings: Vec::new() };
    let root = parser.or()?;
    parser.end()?;
    Ok(Query { text: text.to_owned(), root, warnings: parser.warnings })
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    warnings: Vec<Warning>,
}

impl Parser<'_> {
    /// The next token; the last is an end, which is never passed.
    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn eat(&mut self, kind: &Kind) -> bool {
        let found = self.peek().kind == *kind;
        self.at += usize::from(found);
        found
    }

    fn error<T>(&self, message: String, span: Range<usize>, help: Option<&str>) -> Result<T, QueryError> {
        Err(QueryError { message, span, help: help.map(str::to_owned), text: self.text.to_owned() })
    }

    fn expected<T>(&self, what: &str, help: Option<&str>) -> Result<T, QueryError> {
        let span = self.peek().span.clone();
        let found = match self.peek().kind {
            Kind::End => "the end".to_owned(),
            _ => quoted(&self.text[span.clone()]),
        };
        self.error(format!("{what} was expected, found {found}"), span, help)
    }

    /// Riemann stops at the first complete predicate and never looks at what follows.
    fn end(&self) -> Result<(), QueryError> {
        let help = match &self.peek().kind {
            Kind::End => return Ok(()),
            Kind::Close => "no parenthesis is open here",
            Kind::Compare(_) | Kind::Like | Kind::Search => "join comparisons with `and`",
            Kind::Value(Value::Field(name)) => match name.as_str() {
                "&&" | "&" => "`and` is a word",
                "||" | "|" => "`or` is a word",
                _ => "Riemann would pass over the rest of the query",
            },
            _ => "Riemann would pass over the rest of the query",
        };
        self.expected("`and`, `or` or the end", Some(help))
    }

    fn or(&mut self) -> Result<Expr, QueryError> {
        let first = self.and()?;
        if self.peek().kind != Kind::Or {
            return Ok(first);
        }
        let mut any = vec![first];
        while self.eat(&Kind::Or) {
            any.push(self.and()?);
        }
        Ok(Expr::Or(any))
    }

    fn and(&mut self) -> Result<Expr, QueryError> {
        let first = self.not()?;
        if self.peek().kind != Kind::And {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.eat(&Kind::And) {
            all.push(self.not()?);
        }
        Ok(Expr::And(all))
    }

    fn nested(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<Expr, QueryError>,
    ) -> Result<Expr, QueryError> {
        if self.depth == DEPTH {
            let message =
                format!("at most {DEPTH} parentheses and `not` within each other were expected, found more");
            return self.error(message, self.peek().span.clone(), None);
        }
        self.depth += 1;
        let expr = inner(self);
        self.depth -= 1;
        expr
    }

    fn not(&mut self) -> Result<Expr, QueryError> {
        if self.eat(&Kind::Not) {
            return Ok(Expr::Not(Box::new(self.nested(Self::not)?)));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Expr, QueryError> {
        if self.eat(&Kind::Open) {
            let inner = self.nested(Self::or)?;
            return if self.eat(&Kind::Close) {
                Ok(inner)
            } else {
                self.expected("`)`, `and` or `or`", None)
            };
        }
        if self.eat(&Kind::Tagged) {
            let (tag, _) = self.text_after("`tagged`", "a tag", "like `tagged \"web\"`")?;
            return Ok(Expr::Tagged(tag));
        }
        let (left, left_span) = self.value("a predicate", None)?;
        let kind = self.peek().kind.clone();
        match kind {
            Kind::Compare(op) => {
                self.at += 1;
                self.compare(op, left, left_span)
            }
            Kind::Like => {
                self.at += 1;
                let (pattern, span) = self.text_after("`=~`", "a pattern", "like `\"web%\"`")?;
                Ok(Expr::Like { left, pattern, span })
            }
            Kind::Search => {
                self.at += 1;
                let (pattern, span) =
                    self.text_after("`~=`", "a regular expression", "like `\"^web[0-9]\"`")?;
                Ok(Expr::Search { left, pattern, span })
            }
            _ => Ok(Expr::Truth(left)),
        }
    }

    fn compare(&mut self, op: Op, left: Value, left_span: Range<usize>) -> Result<Expr, QueryError> {
        if !op.is_equality() && !matches!(self.peek().kind, Kind::Value(Value::Number(_))) {
            let help = "the number goes on the right; text and fields are compared with `=` and `!=`";
            return self.expected(&format!("a number after `{}`", op.text()), Some(help));
        }
        let help = "text stands in quotes";
        let (right, right_span) = self.value(&format!("a value after `{}`", op.text()), Some(help))?;
        self.warnings.extend(advise(op, &left, left_span, &right, right_span));
        Ok(Expr::Compare { op, left, right })
    }

    fn value(&mut self, what: &str, help: Option<&str>) -> Result<(Value, Range<usize>), QueryError> {
        let Token { kind: Kind::Value(value), span } = self.peek().clone() else {
            return self.expected(what, help);
        };
        self.at += 1;
        self.warnings.extend(advise_name(&value, &span));
        Ok((value, span))
    }

    fn text_after(
        &mut self,
        operator: &str,
        what: &str,
        help: &str,
    ) -> Result<(String, Range<usize>), QueryError> {
        let Token { kind: Kind::Value(Value::Text(text)), span } = self.peek().clone() else {
            return self.expected(&format!("{what} in quotes after {operator}"), Some(help));
        };
        self.at += 1;
        Ok((text, span))
    }
}
