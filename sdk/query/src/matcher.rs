//! One query, one event, yes or no: the definition of what a query means.
//!
//! It looks at bytes and allocates nothing.

use super::QueryError;
use super::ast::{Op, Query};
use super::number::compare;
use super::plan::{Clause, Known, Planned, Quantity, Slot, Source};
use super::search::Search;
use super::subject::Subject;
use std::fmt;
use std::sync::Arc;
use tidegate_event::{FieldSet, Metric};

/// A query, ready to be asked of events. Cheap to copy; copies share what they hold.
pub struct Matching<R>(Arc<Planned<R>>);

impl<R> Clone for Matching<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Search> Matching<R> {
    /// Ready to ask what a plan asks.
    pub fn new(plan: Planned<R>) -> Self {
        Self(Arc::new(plan))
    }

    /// Reads a query, plans it and makes it ready.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        Ok(Self::new(Planned::new(&Query::parse(text)?)?))
    }

    /// Plans a query that was read and makes it ready.
    pub fn of(query: &Query) -> Result<Self, QueryError> {
        Ok(Self::new(Planned::new(query)?))
    }

    /// The query as it was written.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What is looked at.
    pub fn plan(&self) -> &Planned<R> {
        &self.0
    }

    /// Whether the event is one of those that the query asks for.
    #[inline]
    pub fn matches(&self, event: &impl Subject) -> bool {
        holds(&self.0.root, event)
    }

    /// Whether it asks for any event of the stream that this one is of: the part of the answer that depends on the host
    /// and the service alone, and so needs to be found only once for a stream. With
    /// [`matches_within`](Self::matches_within) it is the whole answer.
    pub fn wants_stream(&self, event: &impl Subject) -> bool {
        self.0.of_stream.iter().all(|clause| holds(clause, event))
    }

    /// Whether it asks for the event, of which the stream is known to be wanted.
    #[inline]
    pub fn matches_within(&self, event: &impl Subject) -> bool {
        self.0.of_event.iter().all(|clause| holds(clause, event))
    }

    /// Whether it asks for every event of a stream that is wanted at all.
    pub fn wants_all_within(&self) -> bool {
        self.0.of_event.iter().all(|clause| matches!(clause, Clause::Always(true)))
    }

    /// The fields that it looks at.
    pub fn fields(&self) -> FieldSet {
        self.0.fields()
    }

    /// The host and service of the one stream whose events can match, if that is known. Its events need not match.
    pub fn exact(&self) -> Option<(Option<&str>, Option<&str>)> {
        match (self.0.host(), self.0.service()) {
            (Known::Exactly(host), Known::Exactly(service)) => Some((host, service)),
            _ => None,
        }
    }

    /// Whether it is known to ask for every event.
    pub fn wants_all(&self) -> bool {
        matches!(self.0.root, Clause::Always(true))
    }

    /// Whether it is known to ask for none.
    pub fn wants_nothing(&self) -> bool {
        matches!(self.0.root, Clause::Always(false))
    }
}

impl<R: Search> fmt::Debug for Matching<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Matcher").field(&self.text()).finish()
    }
}

/// Nested as deep as the query's text, which has a bound.
fn holds<R: Search>(clause: &Clause<R>, event: &impl Subject) -> bool {
    match clause {
        Clause::Always(known) => *known,
        Clause::All(all) => all.iter().all(|clause| holds(clause, event)),
        Clause::Any(any) => any.iter().any(|clause| holds(clause, event)),
        Clause::Not(inner) => !holds(inner, event),
        Clause::Present(Slot::Text(source)) => text(source, event).is_some(),
        Clause::Present(Slot::Number(quantity)) => number(*quantity, event).is_some(),
        Clause::Present(Slot::Tags) => event.has_tags(),
        Clause::Is(source, wanted) => text(source, event) == Some(wanted.as_bytes()),
        Clause::Order(quantity, op, literal) => {
            number(*quantity, event).is_some_and(|found| op.holds(literal.compare_to(found)))
        }
        Clause::Same(Slot::Text(a), Slot::Text(b)) => text(a, event) == text(b, event),
        Clause::Same(Slot::Number(a), Slot::Number(b)) => match (number(*a, event), number(*b, event)) {
            (Some(a), Some(b)) => Op::Equal.holds(compare(a, b)),
            (a, b) => a.is_none() && b.is_none(),
        },
        // Tags are the same as themselves, and fields of two sorts are not compared: the plan knows both answers.
        Clause::Same(..) => false,
        Clause::Like(source, wildcard) => text(source, event).is_some_and(|text| wildcard.matches(text)),
        Clause::Search(source, regex) => text(source, event).is_some_and(|text| regex.finds(text)),
        Clause::Tagged(tag) => event.tagged(tag.as_bytes()),
    }
}

#[inline]
fn text<'e>(source: &Source, event: &'e impl Subject) -> Option<&'e [u8]> {
    match source {
        Source::Host => event.host(),
        Source::Service => event.service(),
        Source::State => event.state(),
        Source::Description => event.description(),
        Source::Attribute(name) => event.attribute(name.as_bytes()),
    }
}

#[inline]
fn number(quantity: Quantity, event: &impl Subject) -> Option<Metric> {
    match quantity {
        Quantity::Metric => event.metric(),
        Quantity::Time => Some(Metric::Float(event.time().secs_f64())),
        Quantity::Ttl => event.ttl().map(|ttl| Metric::Float(ttl.into())),
    }
}
