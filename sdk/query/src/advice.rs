//! Says what a query means where that is hardly what its author meant.

use super::Warning;
use super::ast::{Op, Value};
use std::ops::Range;
use tidegate_event::Field;

/// What a field can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Text: the four standard ones and every attribute.
    Text,
    /// A number.
    Number,
    /// A list.
    Tags,
}

impl Sort {
    /// Of the field with this name.
    pub fn of(name: &str) -> Self {
        match Field::named(name) {
            Some(Field::Time | Field::Metric | Field::Ttl) => Self::Number,
            Some(Field::Tags) => Self::Tags,
            _ => Self::Text,
        }
    }
}

/// A name that looks like something else.
pub(super) fn advise_name(value: &Value, span: &Range<usize>) -> Option<Warning> {
    let Value::Field(name) = value else { return None };
    let warning = |message: String| Some(Warning { message, span: span.clone() });
    let bare = name.trim_start_matches(['+', '-', '.']);
    if bare.len() < name.len() && bare.starts_with(|c: char| c.is_ascii_digit()) {
        return warning(format!(
            "`{name}` is the name of a field: a number has no plus, and a digit before its point"
        ));
    }
    if let Some(word) =
        ["true", "false", "nil", "null"].into_iter().find(|word| name.eq_ignore_ascii_case(word))
    {
        return warning(format!("`{name}` is the name of a field: `{word}` is lower case"));
    }
    if matches!(name.as_str(), "metric_f" | "metric_d" | "metric_sint64") {
        return warning(format!("`{name}` is the name of an attribute: an event's number is `metric`"));
    }
    None
}

/// A comparison that is always the same, or one of two fields where the right one is nothing that events have.
pub(super) fn advise(
    op: Op,
    left: &Value,
    left_span: Range<usize>,
    right: &Value,
    right_span: Range<usize>,
) -> Option<Warning> {
    match (left, right) {
        (Value::Field(_), Value::Field(name)) if Field::named(name).is_none() => Some(Warning {
            message: format!("`{name}` is the name of a field: text stands in quotes"),
            span: right_span,
        }),
        (Value::Field(name), other) | (other, Value::Field(name)) => {
            let span = if matches!(left, Value::Field(_)) { left_span } else { right_span };
            let has = match (Sort::of(name), other) {
                (Sort::Text, Value::Number(_)) => "text, which is never a number: write it in quotes",
                (Sort::Text, Value::Bool(_)) => "text, which is neither true nor false",
                (Sort::Number, Value::Text(_)) => "a number, which is never text: leave the quotes out",
                (Sort::Number, Value::Bool(_)) => "a number, which is neither true nor false",
                (_, Value::Field(_) | Value::Nil) => return None,
                (Sort::Tags, _) => "a list: ask with `tagged`",
                (Sort::Text, _) | (Sort::Number, _) => return None,
            };
            let always = if op == Op::NotEqual { "always" } else { "never" };
            Some(Warning { message: format!("this is {always} true: `{name}` is {has}"), span })
        }
        _ => None,
    }
}
