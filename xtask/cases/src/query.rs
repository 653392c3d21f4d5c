//! Plays one query case: the parser and the matcher that rules, searches and subscriptions use.

use crate::Verdict;
use serde_json::{Value, json};
use tidegate_engine::codec::json;
use tidegate_engine::query::ast::{Expr, Value as Literal};
use tidegate_engine::query::{Matcher, Number, Query};
use tidegate_event::{BatchBuilder, Field};

pub fn check(case: &Value) -> Verdict {
    let text = case["query"].as_str().unwrap_or_default();
    let parsed = Matcher::parse(text);
    if case["parse_error"] == json!(true) {
        return match parsed {
            Err(_) => Verdict::Passed,
            Ok(_) => Verdict::Failed("  expected  an error\n  got       a query".to_owned()),
        };
    }
    let matcher = match parsed {
        Ok(matcher) => matcher,
        Err(error) => {
            return Verdict::Failed(format!("  expected  {}\n  got       {error}", case["matches"]));
        }
    };
    let mut builder = BatchBuilder::new();
    let event = on_the_wire(&case["event"]).to_string();
    if let Err(error) = json::decode_event(&mut builder, &event) {
        return Verdict::Unsupported(format!("an event that the wire cannot carry: {error}"));
    }
    let got = matcher.matches(&builder.event(0));
    let note =
        if asks_for_others(text, &case["event"]) { "\n  an attribute of the event is not text" } else { "" };
    match case["matches"] == json!(got) {
        true => Verdict::Passed,
        false => Verdict::Failed(format!("  expected  {}\n  got       {got}{note}", case["matches"])),
    }
}

/// A number's place has a number or nothing in it.
fn on_the_wire(event: &Value) -> Value {
    let mut event = crate::compare::normal(event);
    if let Value::Object(map) = &mut event {
        map.retain(|name, value| !matches!(name.as_str(), "metric" | "time" | "ttl") || value.is_number());
    }
    event
}

/// Whether a query asks for an attribute that is a number or a boolean, which none is on the wire.
fn asks_for_others(query: &str, event: &Value) -> bool {
    let asked = Query::parse(query).map_or_else(|_| String::new(), |query| expr(query.root()).to_string());
    event
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, value)| Field::named(name).is_none() && !value.is_string() && !value.is_null())
        .any(|(name, _)| asked.contains(&json!({ "field": name }).to_string()))
}

/// The tree that a query is read as.
pub fn tree(case: &Value) -> Verdict {
    let text = case["query"].as_str().unwrap_or_default();
    let got = match Query::parse(text) {
        Ok(query) => expr(query.root()),
        Err(error) => return Verdict::Failed(format!("  expected  {}\n  got       {error}", case["ast"])),
    };
    match same(&case["ast"], &got) {
        true => Verdict::Passed,
        false => Verdict::Failed(format!("  expected  {}\n  got       {got}", case["ast"])),
    }
}

fn same(wanted: &Value, got: &Value) -> bool {
    match (wanted, got) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

fn expr(expr: &Expr) -> Value {
    let list = |op: &str, parts: &[Expr]| {
        let mut all = vec![json!(op)];
        all.extend(parts.iter().map(self::expr));
        Value::Array(all)
    };
    match expr {
        Expr::And(all) => list("and", all),
        Expr::Or(any) => list("or", any),
        Expr::Not(inner) => json!(["not", self::expr(inner)]),
        Expr::Tagged(tag) => json!(["tagged", tag]),
        Expr::Compare { op, left, right } => json!([op.text(), literal(left), literal(right)]),
        Expr::Like { left, pattern, .. } => json!(["=~", literal(left), pattern]),
        Expr::Search { left, pattern, .. } => json!(["~=", literal(left), pattern]),
        Expr::Truth(value) => literal(value),
    }
}

fn literal(value: &Literal) -> Value {
    match value {
        Literal::Nil => Value::Null,
        Literal::Bool(flag) => json!(flag),
        Literal::Number(Number::Int(value)) => json!(value),
        Literal::Number(Number::Float(value)) => json!(value),
        Literal::Number(big) => {
            serde_json::from_str(big.to_string().trim_end_matches(['n', 'N'])).unwrap_or_default()
        }
        Literal::Text(text) => json!(text),
        Literal::Field(name) => json!({ "field": name }),
    }
}
