//! A query as it was written.

use super::number::Number;
use super::{QueryError, Warning, text};
use std::fmt;
use std::ops::Range;

/// A query that has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub(super) text: String,
    pub(super) root: Expr,
    pub(super) warnings: Vec<Warning>,
}

/// A predicate over one event.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// All of these hold; two or more.
    And(Vec<Expr>),
    /// Any of these holds; two or more.
    Or(Vec<Expr>),
    /// This does not hold.
    Not(Box<Expr>),
    /// The event carries this tag.
    Tagged(String),
    /// Two values, compared.
    Compare {
        /// How.
        op: Op,
        /// The left one.
        left: Value,
        /// The right one; a number unless they are compared for equality.
        right: Value,
    },
    /// `=~`: the value fits a pattern in which `%` stands for any run of characters.
    Like {
        /// The value.
        left: Value,
        /// The pattern.
        pattern: String,
        /// Where the pattern stands in the text.
        span: Range<usize>,
    },
    /// `~=`: a regular expression is found in the value.
    Search {
        /// The value.
        left: Value,
        /// The regular expression.
        pattern: String,
        /// Where the expression stands in the text.
        span: Range<usize>,
    },
    /// A value by itself: it holds unless the value is nil or false.
    Truth(Value),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `>`
    Greater,
    /// `<=`
    AtMost,
    /// `>=`
    AtLeast,
}

/// A value in a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Nil,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    Text(String),
    /// What the event has under this name.
    Field(String),
}

impl Query {
    /// Reads a query.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        text::parse(text)
    }

    /// The query as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The predicate that it is. It prints as a tree in prefix form: `(and (= host "a") (tagged "b"))`.
    pub fn root(&self) -> &Expr {
        &self.root
    }

    /// The queries that all have to hold for this one to hold, each with its predicate in prefix form for a text.
    pub fn parts(&self) -> Vec<Self> {
        let part = |root: &Expr| Self { text: root.to_string(), root: root.clone(), warnings: Vec::new() };
        match &self.root {
            Expr::And(all) => all.iter().map(part).collect(),
            root => vec![part(root)],
        }
    }

    /// What is allowed and yet hardly meant.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl Op {
    /// As it is written.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::Greater => ">",
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
        }
    }

    /// Whether it asks for sameness rather than order.
    pub const fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    /// Whether two numbers that stand so satisfy it.
    #[inline]
    pub fn holds(self, order: Option<std::cmp::Ordering>) -> bool {
        match (self, order) {
            (Self::NotEqual, order) => order.is_none_or(|order| order.is_ne()),
            (_, None) => false,
            (Self::Equal, Some(order)) => order.is_eq(),
            (Self::Less, Some(order)) => order.is_lt(),
            (Self::Greater, Some(order)) => order.is_gt(),
            (Self::AtMost, Some(order)) => order.is_le(),
            (Self::AtLeast, Some(order)) => order.is_ge(),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, word: &str, list: &[Self]| {
            write!(f, "({word}")?;
            list.iter().try_for_each(|expr| write!(f, " {expr}"))?;
            f.write_str(")")
        };
        match self {
            Self::And(all) => list(f, "and", all),
            Self::Or(any) => list(f, "or", any),
            Self::Not(inner) => write!(f, "(not {inner})"),
            Self::Tagged(tag) => write!(f, "(tagged {tag:?})"),
            Self::Compare { op, left, right } => write!(f, "({} {left} {right})", op.text()),
            Self::Like { left, pattern, .. } => write!(f, "(=~ {left} {pattern:?})"),
            Self::Search { left, pattern, .. } => write!(f, "(~= {left} {pattern:?})"),
            Self::Truth(value) => write!(f, "{value}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Field(name) => f.write_str(name),
        }
    }
}
