//! Whether what came is what was expected, by the rules of the case.

use crate::play::Played;
use serde_json::{Map, Value, json};

/// How a case wants to be compared.
pub struct Compare<'c> {
    how: &'c str,
    tolerance: f64,
}

impl<'c> Compare<'c> {
    pub fn of(case: &'c Value) -> Self {
        Self {
            how: case["compare"].as_str().unwrap_or("exact"),
            tolerance: case["tolerance"].as_f64().unwrap_or(1e-9),
        }
    }

    /// Compares all outputs of a case.
    pub fn check(&self, case: &Value, played: &Played) -> Result<(), String> {
        if let Some(tail) = case.get("expected_tail") {
            let main = Map::from_iter([("main".to_owned(), tail.clone())]);
            for (name, tail) in tail.as_object().unwrap_or(&main) {
                let (tail, got) = (normal(tail), of(played, name));
                let from = got.len().saturating_sub(as_list(&tail).len());
                self.list(as_list(&tail), &got[from..])
                    .map_err(|how| told(name, &tail, &got.into(), &how))?;
            }
            return Ok(());
        }
        let expected = &case["expected"];
        if let Some(forks) = expected.get("forks").and_then(Value::as_array) {
            return self.forks(case, forks, played);
        }
        let main = Map::from_iter([("main".to_owned(), expected.clone())]);
        let wanted = if expected.is_array() { &main } else { expected.as_object().unwrap_or(&main) };
        let ignored: Vec<&str> =
            case["ignore_outputs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, list) in wanted.iter().filter(|(name, _)| !ignored.contains(&name.as_str())) {
            let got = of(played, name);
            let list: Vec<Value> = list.as_array().into_iter().flatten().map(normal).collect();
            self.list(&list, &got)
                .map_err(|how| told(name, &list.clone().into(), &got.clone().into(), &how))?;
        }
        match played
            .outputs
            .iter()
            .find(|(name, _)| !wanted.contains_key(name) && !ignored.contains(&name.as_str()))
        {
            Some((name, value)) => Err(format!("  nothing was expected at {name}, got {value}")),
            None => Ok(()),
        }
    }

    /// Each fork by the values of its fields, in the order in which they first came.
    fn forks(&self, case: &Value, forks: &[Value], played: &Played) -> Result<(), String> {
        let fields = fields(case);
        let mut found: Vec<(String, Value, Vec<Value>)> = Vec::new();
        for (name, event) in &played.outputs {
            // A list is of the fork that its events are of.
            let of = event.get(0).unwrap_or(event);
            let values: Vec<Value> =
                fields.iter().map(|field| of.get(field).cloned().unwrap_or_default()).collect();
            let key = if let [one] = &values[..] { one.clone() } else { values.into() };
            match found.iter_mut().find(|(other, of, _)| other == name && *of == key) {
                Some((_, _, events)) => events.push(event.clone()),
                None => found.push((name.clone(), key, vec![event.clone()])),
            }
        }
        // The copies of one fork follow each other.
        let mut order: Vec<Value> = Vec::new();
        for (_, key, _) in &found {
            if !order.contains(key) {
                order.push(key.clone());
            }
        }
        found.sort_by_key(|(name, key, _)| (order.iter().position(|other| other == key), name.clone()));
        let got: Vec<Value> =
            found.iter().map(|(_, key, events)| json!({ "key": key, "events": events })).collect();
        let forks: Vec<Value> = forks.iter().map(|fork| normal_fork(fork, &fields)).collect();
        let same = forks.len() == got.len()
            && forks.iter().zip(&got).all(|(wanted, got)| {
                self.same(&wanted["key"], &got["key"])
                    && self.list(as_list(&wanted["events"]), as_list(&got["events"])).is_ok()
            });
        if same { Ok(()) } else { Err(told("forks", &forks.into(), &got.into(), "they differ")) }
    }

    fn list(&self, wanted: &[Value], got: &[Value]) -> Result<(), String> {
        if self.how == "set" {
            return if self.as_sets(wanted, got) { Ok(()) } else { Err("as a set they differ".to_owned()) };
        }
        if wanted.len() != got.len() {
            return Err(format!("{} were expected, {} came", wanted.len(), got.len()));
        }
        for (number, (wanted, got)) in wanted.iter().zip(got).enumerate() {
            let same = match self.how {
                "sets" => self.as_sets(as_list(wanted), as_list(got)),
                _ => self.same(wanted, got),
            };
            if !same {
                return Err(format!("number {} differs", number + 1));
            }
        }
        Ok(())
    }

    /// Whether two lists hold the same, in any order.
    pub fn as_sets(&self, wanted: &[Value], got: &[Value]) -> bool {
        let mut left: Vec<&Value> = got.iter().collect();
        wanted.len() == got.len()
            && wanted.iter().all(|wanted| match left.iter().position(|got| self.same(wanted, got)) {
                Some(at) => {
                    left.swap_remove(at);
                    true
                }
                None => false,
            })
    }

    /// Numbers by value, a missing field as null.
    pub fn same(&self, wanted: &Value, got: &Value) -> bool {
        match (wanted, got) {
            (Value::Number(a), Value::Number(b)) => {
                let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
                a == b || (a - b).abs() <= self.tolerance * a.abs().max(b.abs())
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                let of = |map: &Map<String, Value>, name: &str| map.get(name).cloned().unwrap_or_default();
                let named = |name: &String| self.same(&of(a, name), &of(b, name));
                a.keys().all(named) && (self.how == "subset" || b.keys().all(named))
            }
            (a, b) => a == b,
        }
    }
}

fn as_list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn of(played: &Played, output: &str) -> Vec<Value> {
    played.outputs.iter().filter(|(name, _)| name == output).map(|(_, value)| value.clone()).collect()
}

fn told(output: &str, wanted: &Value, got: &Value, how: &str) -> String {
    format!("  output {output}: {how}\n  expected  {wanted}\n  got       {got}")
}

/// Hosts, services, states and descriptions are text on the wire: numbers and booleans in their place become text, in lists as well.
pub fn normal(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(normal).collect::<Vec<_>>().into(),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(name, value)| match (name.as_str(), value) {
                    ("host" | "service" | "state" | "description", Value::Number(_) | Value::Bool(_)) => {
                        (name.clone(), value.to_string().into())
                    }
                    (_, value) => (name.clone(), value.clone()),
                })
                .collect(),
        ),
        other => other.clone(),
    }
}

fn normal_fork(fork: &Value, fields: &[String]) -> Value {
    let part = |field: &String, value: &Value| normal(&json!({ field: value }))[field].take();
    let key = match (fields, &fork["key"]) {
        ([field], one) => part(field, one),
        (_, Value::Array(parts)) => {
            fields.iter().zip(parts).map(|(field, value)| part(field, value)).collect()
        }
        (_, other) => other.clone(),
    };
    json!({ "key": key, "events": normal(&fork["events"]) })
}

/// The fields of the first `by` in a case.
fn fields(spec: &Value) -> Vec<String> {
    let name = |field: &Value| field.as_str().or(field["field"].as_str()).unwrap_or_default().to_owned();
    if matches!(spec["stream"].as_str(), Some("by" | "by-builder")) {
        let params = &spec["params"];
        return match params.get("fields").or(params.get("field")) {
            Some(Value::Array(fields)) => fields.iter().map(name).collect(),
            Some(one) => vec![name(one)],
            None => Vec::new(),
        };
    }
    let inside: Vec<&Value> = match spec {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    };
    inside.into_iter().map(fields).find(|fields| !fields.is_empty()).unwrap_or_default()
}
