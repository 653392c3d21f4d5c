//! Stages that remember nothing: they drop an item, change it, or make several of it.

use crate::func::{Func, Stop};
use crate::run::{Clock, Item, Pass};
use crate::tree::{Tree, VALUE_DEPTH};
use crate::value::{Fact, Name, Value};
use tidegate_sdk::Metric;

/// A stage without memory.
#[derive(Clone, Debug)]
pub enum Map {
    /// Passes what has more; what has less.
    Over(f64),
    Under(f64),
    /// Passes what is expired, or what is not.
    Expired(bool),
    /// What a function makes of it; null only if that is wanted.
    Smap {
        f: Func,
        null: bool,
    },
    Smapcat(Func),
    Flatten,
    With(Vec<(Name, Value)>),
    Default(Vec<(Name, Value)>),
    Adjust(Name, Func),
    Scale(f64),
    Tag(Vec<String>),
    Untag(Vec<String>),
    /// The JSON in an attribute takes the event's place.
    Parse(Name),
}

impl Map {
    pub fn step(&self, item: Item, clock: &Clock<'_, '_>, pass: &mut Pass) -> Result<(), Stop> {
        match self {
            Self::Over(limit) => {
                if item.metric(clock).is_some_and(|metric| metric.as_f64() > *limit) {
                    pass.on(item);
                }
            }
            Self::Under(limit) => {
                if item.metric(clock).is_some_and(|metric| metric.as_f64() < *limit) {
                    pass.on(item);
                }
            }
            Self::Expired(wanted) => {
                if item.expired(clock) == *wanted {
                    pass.on(item);
                }
            }
            Self::Smap { f, null } => {
                let value = f.apply(&item.own(clock), clock.now)?;
                if *null || !value.is_null() {
                    pass.value(value);
                }
            }
            Self::Smapcat(f) => match f.apply(&item.own(clock), clock.now)? {
                Value::List(list) => list.into_iter().for_each(|value| pass.value(value)),
                Value::Null => {}
                _ => return Err("a list was expected"),
            },
            Self::Flatten => match item.own(clock) {
                Value::List(list) => list.into_iter().for_each(|value| pass.value(value)),
                Value::Null => {}
                _ => return Err("a list was expected"),
            },
            Self::With(fields) => {
                let value = each(item.own(clock), &|fact| {
                    fields.iter().try_for_each(|(name, value)| fact.set(name, value.clone()))
                })?;
                pass.value(value);
            }
            Self::Default(fields) => {
                let value = each(item.own(clock), &|fact| {
                    fields
                        .iter()
                        .filter(|(name, _)| fact.get(name).is_null())
                        .cloned()
                        .collect::<Vec<_>>()
                        .into_iter()
                        .try_for_each(|(name, value)| fact.set(&name, value))
                })?;
                pass.value(value);
            }
            Self::Adjust(name, f) => {
                let value = each(item.own(clock), &|fact| {
                    let value = f.apply(&fact.get(name), clock.now)?;
                    fact.set(name, value)
                })?;
                pass.value(value);
            }
            Self::Scale(factor) => {
                let metric = item.metric(clock).map(|metric| times(metric, *factor));
                pass.on(item.set_metric(metric)?);
            }
            Self::Tag(tags) => {
                let value = each(item.own(clock), &|fact| {
                    let mut all = tags.clone();
                    all.extend(fact.tags.take().unwrap_or_default());
                    let mut seen = Vec::with_capacity(all.len());
                    for tag in all {
                        if !seen.contains(&tag) {
                            seen.push(tag);
                        }
                    }
                    fact.tags = Some(seen);
                    Ok(())
                })?;
                pass.value(value);
            }
            Self::Untag(tags) => {
                let value = each(item.own(clock), &|fact| {
                    fact.tags.get_or_insert_default().retain(|tag| !tags.contains(tag));
                    Ok(())
                })?;
                pass.value(value);
            }
            Self::Parse(name) => {
                let json = item.with(clock, |value| match value {
                    Value::Fact(fact) => fact.get(name).to_text(),
                    _ => None,
                });
                let json = json.ok_or("an event with that attribute was expected")?;
                let tree = Tree::json(&json).map_err(|_| "JSON in that attribute was expected")?;
                if tree.depth() > VALUE_DEPTH {
                    return Err("JSON at most 16 deep was expected");
                }
                pass.value((&tree).into());
            }
        }
        Ok(())
    }
}

/// Changes an event, or each of a list of them.
fn each(value: Value, change: &dyn Fn(&mut Fact) -> Result<(), Stop>) -> Result<Value, Stop> {
    Ok(match value {
        Value::Fact(mut fact) => {
            change(&mut fact)?;
            Value::Fact(fact)
        }
        Value::List(list) => {
            Value::List(list.into_iter().map(|value| each(value, change)).collect::<Result<_, _>>()?)
        }
        _ => return Err("an event was expected"),
    })
}

/// Whole numbers times whole numbers stay whole as long as they fit.
fn times(metric: Metric, factor: f64) -> Metric {
    match metric {
        Metric::Int(value) if factor.fract() == 0.0 && factor.abs() < 9e15 => {
            value.checked_mul(factor as i64).map_or(Metric::Float(value as f64 * factor), Metric::Int)
        }
        metric => Metric::Float(metric.as_f64() * factor),
    }
}
