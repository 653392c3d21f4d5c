//! A query as it was written.

use super::QueryError;

/// A query: a predicate over one event.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// All of these.
    And(Vec<Query>),
    /// Any of these.
    Or(Vec<Query>),
    /// Not this.
    Not(Box<Query>),
    /// The event carries this tag.
    Tagged(String),
    /// A comparison.
    Compare(Op, Value, Value),
    /// A value by itself: true unless it is nil or false.
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
    /// `=~`: a pattern in which `%` stands for anything.
    Like,
    /// `~=`: a regular expression, found anywhere.
    Regex,
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
            Self::Like => "=~",
            Self::Regex => "~=",
        }
    }
}

/// A value in a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Nil,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond what 64 bits hold, as the nearest float.
    Big(f64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// What the event has in that field.
    Field(String),
}

impl Query {
    /// Reads a query.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        super::text::parse(text)
    }
}
