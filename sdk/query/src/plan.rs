//! Query to plan: decides everything that does not depend on an event.
//!
//! A field is text, a number or the list of tags, whatever the event, so most comparisons of the wrong kind are decided
//! here: `host > 5` is false, `tags = "x"` too. What is left is flat (no `and` directly within an `and`), free of
//! constants, and in the order of what it costs to look at.
//!
//! Not here: looking at events (`matcher.rs`).

use super::QueryError;
use super::ast::{Expr, Op, Query, Value};
use super::number::Number;
use super::pattern::{Patterns, Wildcard};
use super::search::Search;
use std::fmt;
use tidegate_event::{Field, FieldSet};

/// What has to be looked at to answer a query. It prints as a tree in prefix form. `R` is what regular expressions are
/// compiled to.
#[derive(Clone, Debug)]
pub struct Planned<R> {
    pub(super) text: String,
    pub(super) root: Clause<R>,
    /// What must hold of the host and the service alone: the same answer for every event of a stream.
    pub(super) of_stream: Vec<Clause<R>>,
    /// What must hold besides.
    pub(super) of_event: Vec<Clause<R>>,
    fields: FieldSet,
}

/// One question to an event.
#[derive(Clone, Debug)]
pub(super) enum Clause<R> {
    /// The answer is known.
    Always(bool),
    All(Vec<Clause<R>>),
    Any(Vec<Clause<R>>),
    Not(Box<Clause<R>>),
    /// The field is there.
    Present(Slot),
    /// The field is there and is this text.
    Is(Source, String),
    /// The field is there and stands so to this number.
    Order(Quantity, Op, Number),
    /// Both fields are the same, or both are absent.
    Same(Slot, Slot),
    Like(Source, Wildcard),
    Search(Source, R),
    Tagged(String),
}

/// A field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Slot {
    Text(Source),
    Number(Quantity),
    Tags,
}

/// A field that is text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    Host,
    Service,
    State,
    Description,
    Attribute(String),
}

/// A field that is a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Quantity {
    Metric,
    /// Seconds since 1970.
    Time,
    /// Seconds, in single precision.
    Ttl,
}

/// What is known of the host or service of every event that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'p> {
    /// It is this, or absent.
    Exactly(Option<&'p str>),
    /// It begins so.
    Prefix(&'p str),
    /// It can be any, or absent.
    Nothing,
}

impl<R: Search> Planned<R> {
    /// Decides what can be decided. The error is a pattern's.
    pub fn new(query: &Query) -> Result<Self, QueryError> {
        let root = clause(&query.root, &mut Patterns::new(&query.text))?;
        let mut fields = FieldSet::NONE;
        read(&root, &mut fields);
        let (of_stream, of_event) = conjuncts(&root).iter().cloned().partition(|clause| {
            let mut fields = FieldSet::NONE;
            read(clause, &mut fields);
            fields.0 & !FieldSet::NONE.with(Field::Host).with(Field::Service).0 == 0
        });
        Ok(Self { text: query.text.clone(), root, of_stream, of_event, fields })
    }

    /// The fields that are looked at.
    pub fn fields(&self) -> FieldSet {
        self.fields
    }

    /// What is known of the host.
    pub fn host(&self) -> Known<'_> {
        self.known(&Source::Host)
    }

    /// What is known of the service.
    pub fn service(&self) -> Known<'_> {
        self.known(&Source::Service)
    }

    fn known(&self, source: &Source) -> Known<'_> {
        let known = || conjuncts(&self.root).iter().map(|clause| clause.known(source));
        let exact = known().find(|known| matches!(known, Known::Exactly(_)));
        exact.or_else(|| known().find(|known| *known != Known::Nothing)).unwrap_or(Known::Nothing)
    }
}

/// What must hold, each on its own, for the whole to hold.
fn conjuncts<R>(root: &Clause<R>) -> &[Clause<R>] {
    match root {
        Clause::All(all) => all,
        one => std::slice::from_ref(one),
    }
}

fn clause<R: Search>(expr: &Expr, patterns: &mut Patterns<'_>) -> Result<Clause<R>, QueryError> {
    Ok(match expr {
        Expr::And(all) => join(all, patterns, false)?,
        Expr::Or(any) => join(any, patterns, true)?,
        Expr::Not(inner) => not(clause(inner, patterns)?),
        Expr::Tagged(tag) => Clause::Tagged(tag.clone()),
        Expr::Truth(value) => match value {
            Value::Field(name) => not(absent(Slot::named(name))),
            value => Clause::Always(!matches!(value, Value::Nil | Value::Bool(false))),
        },
        Expr::Compare { op: Op::Equal, left, right } => same(left, right),
        Expr::Compare { op: Op::NotEqual, left, right } => not(same(left, right)),
        Expr::Compare { op, left, right } => match (left, right) {
            (Value::Number(left), Value::Number(right)) => Clause::Always(op.holds(left.compare(right))),
            (Value::Field(name), Value::Number(right)) => order(name, *op, right),
            _ => Clause::Always(false),
        },
        Expr::Like { left, pattern, span } => {
            let wildcard = patterns.wildcard(pattern, span)?;
            match subject(left) {
                Subject::Field(source) => Clause::Like(source, wildcard),
                Subject::Text(text) => Clause::Always(wildcard.matches(text.as_bytes())),
                Subject::Never => Clause::Always(false),
            }
        }
        Expr::Search { left, pattern, span } => {
            let regex: R = patterns.regex(pattern, span)?;
            match subject(left) {
                Subject::Field(source) => Clause::Search(source, regex),
                Subject::Text(text) => Clause::Always(regex.finds(text.as_bytes())),
                Subject::Never => Clause::Always(false),
            }
        }
    })
}

/// What a pattern is held against.
enum Subject<'q> {
    Field(Source),
    Text(&'q str),
    /// Nothing that is text.
    Never,
}

fn subject(value: &Value) -> Subject<'_> {
    match value {
        Value::Text(text) => Subject::Text(text),
        Value::Field(name) => match Slot::named(name) {
            Slot::Text(source) => Subject::Field(source),
            _ => Subject::Never,
        },
        _ => Subject::Never,
    }
}

fn not<R>(clause: Clause<R>) -> Clause<R> {
    match clause {
        Clause::Always(known) => Clause::Always(!known),
        Clause::Not(inner) => *inner,
        other => Clause::Not(Box::new(other)),
    }
}

/// `and`, where one false part decides, or `or`, where one true part does.
fn join<R: Search>(
    parts: &[Expr],
    patterns: &mut Patterns<'_>,
    decides: bool,
) -> Result<Clause<R>, QueryError> {
    let mut joined = Vec::new();
    let mut decided = false;
    for part in parts {
        match (clause(part, patterns)?, decides) {
            (Clause::Always(known), _) => decided |= known == decides,
            (Clause::All(all), false) => joined.extend(all),
            (Clause::Any(any), true) => joined.extend(any),
            (one, _) => joined.push(one),
        }
    }
    if decided {
        return Ok(Clause::Always(decides));
    }
    // Nothing that is asked has an effect, so the order is free: the cheapest first, else as written.
    joined.sort_by_key(Clause::cost);
    Ok(match joined.pop() {
        None => Clause::Always(!decides),
        Some(one) if joined.is_empty() => one,
        Some(last) => {
            joined.push(last);
            if decides { Clause::Any(joined) } else { Clause::All(joined) }
        }
    })
}

/// `=`
fn same<R>(left: &Value, right: &Value) -> Clause<R> {
    match (left, right) {
        (Value::Field(a), Value::Field(b)) => {
            let (a, b) = (Slot::named(a), Slot::named(b));
            let same_sort = matches!(
                (&a, &b),
                (Slot::Text(_), Slot::Text(_))
                    | (Slot::Number(_), Slot::Number(_))
                    | (Slot::Tags, Slot::Tags)
            );
            match (same_sort, a == b) {
                // A number may be NaN, which is not even itself; text is.
                (true, true) if !matches!(a, Slot::Number(_)) => Clause::Always(true),
                (true, _) => Clause::Same(a, b),
                (false, _) => {
                    let neither = [absent(a), absent(b)];
                    if neither.iter().any(|clause| matches!(clause, Clause::Always(false))) {
                        return Clause::Always(false);
                    }
                    Clause::All(neither.into())
                }
            }
        }
        (Value::Field(name), value) | (value, Value::Field(name)) => match (Slot::named(name), value) {
            (slot, Value::Nil) => absent(slot),
            (Slot::Text(source), Value::Text(text)) => Clause::Is(source, text.clone()),
            (Slot::Number(_), Value::Number(number)) => order(name, Op::Equal, number),
            _ => Clause::Always(false),
        },
        (Value::Number(a), Value::Number(b)) => Clause::Always(Op::Equal.holds(a.compare(b))),
        (a, b) => Clause::Always(a == b),
    }
}

fn absent<R>(slot: Slot) -> Clause<R> {
    not(match slot {
        // Every event has a time.
        Slot::Number(Quantity::Time) => Clause::Always(true),
        slot => Clause::Present(slot),
    })
}

fn order<R>(name: &str, op: Op, number: &Number) -> Clause<R> {
    match Slot::named(name) {
        Slot::Number(Quantity::Ttl) => Clause::Order(Quantity::Ttl, op, number.to_single()),
        Slot::Number(quantity) => Clause::Order(quantity, op, number.clone()),
        _ => Clause::Always(false),
    }
}

/// Adds the fields that a clause looks at.
fn read<R>(clause: &Clause<R>, fields: &mut FieldSet) {
    let mut add = |field| *fields = fields.with(field);
    match clause {
        Clause::Always(_) => {}
        Clause::All(parts) | Clause::Any(parts) => parts.iter().for_each(|part| read(part, fields)),
        Clause::Not(inner) => read(inner, fields),
        Clause::Present(slot) => add(slot.field()),
        Clause::Same(a, b) => {
            add(a.field());
            add(b.field());
        }
        Clause::Is(source, _) | Clause::Like(source, _) | Clause::Search(source, _) => add(source.field()),
        Clause::Order(quantity, ..) => add(quantity.field()),
        Clause::Tagged(_) => add(Field::Tags),
    }
}

impl<R> Clause<R> {
    /// What this alone says of a field.
    fn known(&self, source: &Source) -> Known<'_> {
        match self {
            Self::Is(found, text) if found == source => Known::Exactly(Some(text)),
            Self::Not(inner) => match &**inner {
                Self::Present(Slot::Text(found)) if found == source => Known::Exactly(None),
                _ => Known::Nothing,
            },
            Self::Like(found, wildcard) if found == source && !wildcard.prefix().is_empty() => {
                Known::Prefix(wildcard.prefix())
            }
            _ => Known::Nothing,
        }
    }

    /// Roughly, in comparisons of a word.
    fn cost(&self) -> u32 {
        let of = |source: &Source| if matches!(source, Source::Attribute(_)) { 8 } else { 2 };
        match self {
            Self::Always(_) => 0,
            Self::Order(..) => 1,
            Self::Present(Slot::Text(source)) | Self::Is(source, _) => of(source),
            Self::Present(_) => 1,
            Self::Same(..) => 8,
            Self::Tagged(_) => 6,
            Self::Like(source, _) => 4 + of(source),
            Self::Search(source, _) => 64 + of(source),
            Self::Not(inner) => inner.cost(),
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::cost).sum(),
        }
    }
}

impl Slot {
    fn named(name: &str) -> Self {
        match Field::named(name) {
            Some(Field::Metric) => Self::Number(Quantity::Metric),
            Some(Field::Time) => Self::Number(Quantity::Time),
            Some(Field::Ttl) => Self::Number(Quantity::Ttl),
            Some(Field::Tags) => Self::Tags,
            Some(Field::Host) => Self::Text(Source::Host),
            Some(Field::Service) => Self::Text(Source::Service),
            Some(Field::State) => Self::Text(Source::State),
            Some(Field::Description) => Self::Text(Source::Description),
            // Events have no field of this name that a query could look at.
            Some(Field::Attributes) | None => Self::Text(Source::Attribute(name.to_owned())),
        }
    }

    fn field(&self) -> Field {
        match self {
            Self::Text(source) => source.field(),
            Self::Number(quantity) => quantity.field(),
            Self::Tags => Field::Tags,
        }
    }
}

impl Source {
    fn field(&self) -> Field {
        match self {
            Self::Host => Field::Host,
            Self::Service => Field::Service,
            Self::State => Field::State,
            Self::Description => Field::Description,
            Self::Attribute(_) => Field::Attributes,
        }
    }
}

impl Quantity {
    fn field(self) -> Field {
        match self {
            Self::Metric => Field::Metric,
            Self::Time => Field::Time,
            Self::Ttl => Field::Ttl,
        }
    }
}

impl<R: Search> fmt::Display for Planned<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)
    }
}

impl<R: Search> fmt::Display for Clause<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, word: &str, list: &[Self]| {
            write!(f, "({word}")?;
            list.iter().try_for_each(|clause| write!(f, " {clause}"))?;
            f.write_str(")")
        };
        match self {
            Self::Always(known) => write!(f, "{known}"),
            Self::All(all) => list(f, "and", all),
            Self::Any(any) => list(f, "or", any),
            Self::Not(inner) => write!(f, "(not {inner})"),
            Self::Present(slot) => write!(f, "{slot}"),
            Self::Is(source, text) => write!(f, "(= {source} {text:?})"),
            Self::Order(quantity, op, number) => {
                write!(f, "({} {} {number})", op.text(), quantity.field().name())
            }
            Self::Same(a, b) => write!(f, "(= {a} {b})"),
            Self::Like(source, wildcard) => write!(f, "(=~ {source} {:?})", wildcard.pattern()),
            Self::Search(source, regex) => write!(f, "(~= {source} {:?})", regex.pattern()),
            Self::Tagged(tag) => write!(f, "(tagged {tag:?})"),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(source) => write!(f, "{source}"),
            other => f.write_str(other.field().name()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(name) => f.write_str(name),
            other => f.write_str(other.field().name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;

    fn plan(text: &str) -> Plan {
        Plan::new(&Query::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn constants_are_gone_and_like_is_joined_with_like() {
        for (text, expected) in [
            ("true", "true"),
            ("host = 1", "false"),
            ("not host = 1 and service = \"a\"", "(= service \"a\")"),
            ("metric > 1 and 2 > 1", "(> metric 1)"),
            ("state = \"a\" or 0", "true"),
            ("1 = 1.0 and nil = null and \"a\" != \"b\"", "true"),
            ("time = nil or tags = \"x\"", "false"),
            ("not not host", "host"),
            ("host != nil", "host"),
            (
                "(host = \"a\" and (service and state)) and metric < 5",
                "(and (< metric 5) (= host \"a\") service state)",
            ),
            (
                "host =~ \"a%\" or tagged \"x\" or metric = 1",
                "(or (= metric 1) (=~ host \"a%\") (tagged \"x\"))",
            ),
            ("ttl = 0.1", "(= ttl 0.10000000149011612)"),
            ("host = metric", "(and (not host) (not metric))"),
            ("host = time", "false"),
            ("host = host", "true"),
            ("metric = metric", "(= metric metric)"),
            ("\"web1\" =~ \"web%\" and 5 ~= \"5\"", "false"),
        ] {
            assert_eq!(plan(text).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_known_of_host_and_service_is_found_beside_anything_else() {
        let known = |text: &str| {
            let plan = plan(text);
            format!("{:?} {:?}", plan.host(), plan.service())
        };
        assert_eq!(
            known("host = \"a\" and (metric > 1 and service =~ \"api %\")"),
            "Exactly(Some(\"a\")) Prefix(\"api \")"
        );
        assert_eq!(known("host = nil and service = \"b\""), "Exactly(None) Exactly(Some(\"b\"))");
        assert_eq!(known("host = \"a\" or service = \"b\""), "Nothing Nothing");
        assert_eq!(known("not host = \"a\" and service =~ \"%b\""), "Nothing Nothing");
        assert_eq!(known("host =~ \"a%\" and host = \"ab\""), "Exactly(Some(\"ab\")) Nothing");
    }

    #[test]
    fn fields_are_those_that_are_left_to_look_at() {
        let fields = |text: &str, expected: &[Field]| {
            assert_eq!(plan(text).fields(), expected.iter().copied().collect(), "{text}");
        };
        fields("true", &[]);
        fields("host = 1 or metric > 2", &[Field::Metric]);
        fields(
            "tagged \"a\" and rack = state and not ttl",
            &[Field::Tags, Field::Attributes, Field::State, Field::Ttl],
        );
    }
}
