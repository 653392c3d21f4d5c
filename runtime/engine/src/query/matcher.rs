//! One query, one event, yes or no: the definition of what a query means.

use super::QueryError;
use super::ast::{Op, Query, Value};
use super::wildcard::Wildcard;
use regex::bytes::{Regex, RegexBuilder};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use tidegate_event::{Event, Field, FieldSet, Metric};

/// The longest regular expression, in bytes, and the most memory one may take compiled.
const REGEX_MAX: usize = 1024;
const REGEX_MEMORY: usize = 1 << 20;

/// A query, ready to be asked of events. Cheap to copy.
#[derive(Clone)]
pub struct Matcher(Arc<Inner>);

struct Inner {
    text: String,
    query: Query,
    test: Test,
    fields: FieldSet,
}

enum Test {
    Always(bool),
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Tagged(Vec<u8>),
    Same(Term, Term),
    Order(Term, Op, f64, Option<i64>),
    Like(Term, Wildcard),
    Regex(Term, Regex),
    Truth(Term),
}

/// A value that is known, or where in the event it is found.
enum Term {
    Known(Known),
    Host,
    Service,
    State,
    Description,
    Time,
    Ttl,
    Metric,
    Tags,
    Attribute(Vec<u8>),
}

enum Known {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Vec<u8>),
}

/// A value while it is looked at.
#[derive(Clone, Copy)]
enum Seen<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a [u8]),
    /// A list of tags: equal to nothing that a query can write.
    List,
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matcher({:?})", self.0.text)
    }
}

impl Matcher {
    /// Reads a query and makes it ready.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let query = Query::parse(text)?;
        let mut fields = FieldSet::NONE;
        let test = test(&query, text, &mut fields)?;
        Ok(Self(Arc::new(Inner { text: text.to_owned(), query, test, fields })))
    }

    /// The query as it was written.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether the event is one of those that the query asks for.
    #[inline]
    pub fn matches(&self, event: &Event<'_>) -> bool {
        self.0.test.holds(event)
    }

    /// The fields that it looks at.
    pub fn fields(&self) -> FieldSet {
        self.0.fields
    }

    /// The one stream that it asks for, if it is `host = x and service = y` and nothing else.
    pub fn exact(&self) -> Option<(Option<&str>, Option<&str>)> {
        let Query::And(parts) = &self.0.query else { return None };
        let [Query::Compare(Op::Equal, Value::Field(a), x), Query::Compare(Op::Equal, Value::Field(b), y)] =
            &parts[..]
        else {
            return None;
        };
        let text = |value| match value {
            &Value::Text(ref text) => Some(Some(text.as_str())),
            Value::Nil => Some(None),
            _ => None,
        };
        match (a.as_str(), b.as_str()) {
            ("host", "service") => Some((text(x)?, text(y)?)),
            ("service", "host") => Some((text(y)?, text(x)?)),
            _ => None,
        }
    }

    /// Whether it asks for every event.
    pub fn wants_all(&self) -> bool {
        matches!(self.0.test, Test::Always(true))
    }

    /// Whether it asks for none.
    pub fn wants_nothing(&self) -> bool {
        matches!(self.0.test, Test::Always(false))
    }
}

fn test(query: &Query, text: &str, fields: &mut FieldSet) -> Result<Test, QueryError> {
    Ok(match query {
        Query::And(all) => {
            Test::All(all.iter().map(|query| test(query, text, fields)).collect::<Result<_, _>>()?)
        }
        Query::Or(any) => {
            Test::Any(any.iter().map(|query| test(query, text, fields)).collect::<Result<_, _>>()?)
        }
        Query::Not(inner) => match test(inner, text, fields)? {
            Test::Always(known) => Test::Always(!known),
            inner => Test::Not(Box::new(inner)),
        },
        Query::Tagged(tag) => {
            *fields = fields.with(Field::Tags);
            Test::Tagged(tag.as_bytes().to_vec())
        }
        Query::Truth(value) => match term(value, fields) {
            Term::Known(known) => Test::Always(known.seen().is_true()),
            term => Test::Truth(term),
        },
        Query::Compare(op, left, right) => {
            let left = term(left, fields);
            match (op, right) {
                (Op::Equal, right) => Test::Same(left, term(right, fields)),
                (Op::NotEqual, right) => Test::Not(Box::new(Test::Same(left, term(right, fields)))),
                (Op::Like, Value::Text(pattern)) => Test::Like(left, Wildcard::new(pattern)),
                (Op::Regex, Value::Text(pattern)) => Test::Regex(left, regex(pattern, text)?),
                (op, Value::Int(value)) => Test::Order(left, *op, *value as f64, Some(*value)),
                (op, Value::Float(value) | Value::Big(value)) => Test::Order(left, *op, *value, None),
                _ => Test::Always(false),
            }
        }
    })
}

fn regex(pattern: &str, text: &str) -> Result<Regex, QueryError> {
    let wrong = |message: String| {
        let start = text.find("~=").map_or(0, |at| at + 2);
        let help =
            "patterns are those of Rust's regex crate: linear time, so no look-around and no back-references";
        QueryError { message, span: start..text.len(), help: Some(help.into()), text: text.to_owned() }
    };
    if pattern.len() > REGEX_MAX {
        return Err(wrong(format!("a regular expression of at most {REGEX_MAX} bytes was expected")));
    }
    RegexBuilder::new(pattern).size_limit(REGEX_MEMORY).build().map_err(|error| {
        let last = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        wrong(format!("the regular expression cannot be read: {}", last.trim_start_matches("error: ")))
    })
}

fn term(value: &Value, fields: &mut FieldSet) -> Term {
    let mut reads = |field| *fields = fields.with(field);
    match value {
        Value::Nil => Term::Known(Known::Nil),
        Value::Bool(value) => Term::Known(Known::Bool(*value)),
        Value::Int(value) => Term::Known(Known::Int(*value)),
        Value::Float(value) | Value::Big(value) => Term::Known(Known::Float(*value)),
        Value::Text(text) => Term::Known(Known::Text(text.as_bytes().to_vec())),
        Value::Field(name) => {
            let known = Field::named(name).filter(|field| *field != Field::Attributes);
            reads(known.unwrap_or(Field::Attributes));
            match known {
                Some(Field::Host) => Term::Host,
                Some(Field::Service) => Term::Service,
                Some(Field::State) => Term::State,
                Some(Field::Description) => Term::Description,
                Some(Field::Time) => Term::Time,
                Some(Field::Ttl) => Term::Ttl,
                Some(Field::Metric) => Term::Metric,
                Some(Field::Tags) => Term::Tags,
                Some(Field::Attributes) | None => Term::Attribute(name.as_bytes().to_vec()),
            }
        }
    }
}

impl Known {
    fn seen(&self) -> Seen<'_> {
        match self {
            Self::Nil => Seen::Nil,
            Self::Bool(value) => Seen::Bool(*value),
            Self::Int(value) => Seen::Int(*value),
            Self::Float(value) => Seen::Float(*value),
            Self::Text(text) => Seen::Text(text),
        }
    }
}

impl Term {
    #[inline]
    fn seen<'a>(&'a self, event: &Event<'a>) -> Seen<'a> {
        let text = |text: Option<&'a [u8]>| text.map_or(Seen::Nil, Seen::Text);
        match self {
            Self::Known(known) => known.seen(),
            Self::Host => text(event.host_bytes()),
            Self::Service => text(event.service_bytes()),
            Self::State => text(event.state_bytes()),
            Self::Description => text(event.description_bytes()),
            Self::Time => match event.time().0 {
                micros if micros % 1_000_000 == 0 => Seen::Int(micros / 1_000_000),
                _ => Seen::Float(event.time().secs_f64()),
            },
            // The wire has single precision: 0.1 there is not 0.1 here, so the number is read as it prints.
            Self::Ttl => event
                .ttl()
                .map_or(Seen::Nil, |ttl| Seen::Float(ttl.to_string().parse().unwrap_or(ttl.into()))),
            Self::Metric => match event.number() {
                None => Seen::Nil,
                Some(Metric::Int(value)) => Seen::Int(value),
                Some(Metric::Float(value)) => Seen::Float(value),
            },
            Self::Tags => {
                if event.tag_bytes().next().is_some() {
                    Seen::List
                } else {
                    Seen::Nil
                }
            }
            Self::Attribute(name) => text(event.attribute_value(name)),
        }
    }
}

impl Seen<'_> {
    fn is_true(self) -> bool {
        !matches!(self, Seen::Nil | Seen::Bool(false))
    }

    fn same(self, other: Seen<'_>) -> bool {
        match (self, other) {
            (Seen::Nil, Seen::Nil) => true,
            (Seen::Bool(a), Seen::Bool(b)) => a == b,
            (Seen::Text(a), Seen::Text(b)) => a == b,
            (Seen::Int(a), Seen::Int(b)) => a == b,
            (Seen::Float(a), Seen::Float(b)) => a == b,
            (Seen::Int(int), Seen::Float(float)) | (Seen::Float(float), Seen::Int(int)) => {
                compare(int, float) == Some(Ordering::Equal)
            }
            _ => false,
        }
    }
}

/// A whole number and a float, compared without rounding either; nothing compares with NaN.
fn compare(int: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float >= 9_223_372_036_854_775_808.0 {
        return Some(Ordering::Less);
    }
    if float < -9_223_372_036_854_775_808.0 {
        return Some(Ordering::Greater);
    }
    let floor = float.floor();
    Some(int.cmp(&(floor as i64)).then(if float > floor { Ordering::Less } else { Ordering::Equal }))
}

impl Test {
    fn holds(&self, event: &Event<'_>) -> bool {
        match self {
            Self::Always(known) => *known,
            Self::All(all) => all.iter().all(|test| test.holds(event)),
            Self::Any(any) => any.iter().any(|test| test.holds(event)),
            Self::Not(inner) => !inner.holds(event),
            Self::Tagged(tag) => event.tag_bytes().any(|found| found == tag),
            Self::Same(a, b) => a.seen(event).same(b.seen(event)),
            Self::Order(term, op, float, int) => {
                let order = match (term.seen(event), int) {
                    (Seen::Int(a), Some(b)) => Some(a.cmp(b)),
                    (Seen::Int(a), None) => compare(a, *float),
                    (Seen::Float(a), Some(b)) => compare(*b, a).map(Ordering::reverse),
                    (Seen::Float(a), None) => a.partial_cmp(float),
                    _ => None,
                };
                order.is_some_and(|order| match op {
                    Op::Less => order.is_lt(),
                    Op::Greater => order.is_gt(),
                    Op::AtMost => order.is_le(),
                    Op::AtLeast => order.is_ge(),
                    _ => false,
                })
            }
            Self::Like(term, pattern) => match term.seen(event) {
                Seen::Text(text) => pattern.matches(text),
                _ => false,
            },
            Self::Regex(term, regex) => match term.seen(event) {
                Seen::Text(text) => regex.is_match(text),
                _ => false,
            },
            Self::Truth(term) => term.seen(event).is_true(),
        }
    }
}
