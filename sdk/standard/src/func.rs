//! Functions of one value: `f` in stages that look at a part of an event or make something else of it.

use crate::tree::{Table, Tree, number};
use crate::value::{Fact, Name, Value};
use tidegate_sdk::folds::{self, NoNumber};
use tidegate_sdk::{Metric, Timestamp};

/// Why a function gives nothing: what was expected.
pub type Stop = &'static str;

/// A function of one value.
#[derive(Clone, Debug)]
pub enum Func {
    Identity,
    /// Always this.
    Const(Value),
    Field(Name),
    Add(Metric),
    Multiply(Metric),
    Duplicate(usize),
    Append(String),
    CountInto {
        of: Name,
        field: Name,
    },
    Fold(Fold),
}

/// A function of a list of events.
#[derive(Clone, Debug)]
pub enum Fold {
    Sum,
    Product,
    Difference,
    Quotient,
    QuotientSloppy,
    /// One of the first four, which stops at what is missing.
    Strict(Box<Fold>),
    Mean,
    Median,
    Mode,
    Modes,
    Minimum,
    Maximum,
    StdDev,
    Count,
    /// The last that is so compared to all before it; of equal ones the last, or the first.
    Extremum {
        least: bool,
        last: bool,
    },
    /// The metrics alone.
    Metrics,
    /// Percentiles: each part with what is put behind the service, if anything is.
    Samples(Vec<(f64, Option<String>)>),
}

/// The most copies that `duplicate` makes.
const COPIES_MAX: usize = 1_000;

const FOLDS: &str = "one of sum, product, difference, quotient, each also strict with a star behind, quotient-sloppy, \
                     mean, median, mode, modes, minimum, maximum, std-dev, count, extremum, non-nil-metrics, \
                     sorted-sample, sorted-sample-extract";

impl Func {
    /// A field's name, or a table that says which function.
    pub fn read(tree: &Tree, at: &str) -> Result<Self, String> {
        if let Tree::Text(name) = tree {
            return Ok(Self::Field(Name::of(name)));
        }
        let table = Table::new(at.to_owned(), tree)?;
        // Beside a fold stands what it is told.
        let Some(kind) = table.keys().find(|name| *name == "fold").or(table.keys().next()) else {
            return Err(format!("{at}: a function was expected, found an empty table"));
        };
        let argument = table.need(kind, "")?;
        let place = table.place(kind);
        let plain = |tree: &Tree| -> Result<Metric, String> {
            match tree {
                Tree::Int(value) => Ok(Metric::Int(*value)),
                other => number(other, &place).map(Metric::Float),
            }
        };
        let func = match kind {
            "identity" => Self::Identity,
            "const" => Self::Const(crate::tree::constant(argument, &place)?),
            "field" => match argument {
                Tree::Text(name) => Self::Field(Name::of(name)),
                other => return table.wrong(kind, "the name of a field", other),
            },
            "add" => Self::Add(plain(argument)?),
            "multiply" => Self::Multiply(plain(argument)?),
            "duplicate" => Self::Duplicate(crate::tree::count(argument, &place)?.min(COPIES_MAX)),
            "append" => match argument {
                Tree::Text(text) => Self::Append(text.clone()),
                other => return table.wrong(kind, "text", other),
            },
            "count_into" => {
                let inside = Table::new(place.clone(), argument)?;
                let of = inside.text("of")?.ok_or_else(|| format!("{place}: `of` is missing: a field"))?;
                let field =
                    inside.text("field")?.ok_or_else(|| format!("{place}: `field` is missing: a field"))?;
                inside.finish()?;
                Self::CountInto { of: Name::of(of), field: Name::of(field) }
            }
            "fold" => match argument {
                Tree::Text(name) => Self::Fold(Fold::read(name, &table)?),
                other => return table.wrong(kind, FOLDS, other),
            },
            "reduce" => match argument {
                Tree::Text(plus) if plus == "+" => Self::Fold(Fold::Sum),
                other => return table.wrong(kind, "\"+\"", other),
            },
            other => {
                return Err(format!(
                    "{at}: a function was expected (a field's name, or one of identity, const, field, add, multiply, \
                     duplicate, append, count_into, fold), found `{other}`"
                ));
            }
        };
        table.finish()?;
        Ok(func)
    }

    /// What it makes of a value.
    pub fn apply(&self, value: &Value, now: Timestamp) -> Result<Value, Stop> {
        Ok(match self {
            Self::Identity => value.clone(),
            Self::Const(value) => value.clone(),
            Self::Field(name) => match value {
                Value::Fact(fact) => fact.get(name),
                Value::Null => Value::Null,
                _ => return Err("an event was expected"),
            },
            Self::Add(amount) => {
                let numbers = [Some(value.number().ok_or("a number was expected")?), Some(*amount)];
                crate::value::number(folds::sum(&numbers))
            }
            Self::Multiply(factor) => {
                let numbers = [Some(value.number().ok_or("a number was expected")?), Some(*factor)];
                crate::value::number(folds::product(&numbers))
            }
            Self::Duplicate(copies) => Value::List(vec![value.clone(); *copies]),
            Self::Append(text) => Value::Text(value.to_text().unwrap_or_default() + text),
            Self::CountInto { of, field } => {
                let Value::Fact(fact) = value else { return Err("an event was expected") };
                let count = match fact.get(of) {
                    Value::Null => 0,
                    Value::List(list) => list.len() as i64,
                    Value::Text(text) => text.chars().count() as i64,
                    _ => return Err("a list or text was expected"),
                };
                let mut fact = fact.clone();
                fact.set(field, Value::Int(count))?;
                Value::Fact(fact)
            }
            Self::Fold(fold) => match value {
                Value::List(list) => fold.apply(list, now)?,
                Value::Null => fold.apply(&[], now)?,
                _ => return Err("a list was expected"),
            },
        })
    }
}

impl Fold {
    /// Whether it makes a list of a list.
    pub fn gives_list(&self) -> bool {
        matches!(self, Self::Modes | Self::Metrics | Self::Samples(_))
    }

    /// By its name; percentiles take their `points` or `named_points` from beside it.
    pub fn read(name: &str, table: &Table<'_>) -> Result<Self, String> {
        Ok(match name {
            "sum*" => Self::Strict(Box::new(Self::Sum)),
            "product*" => Self::Strict(Box::new(Self::Product)),
            "difference*" => Self::Strict(Box::new(Self::Difference)),
            "quotient*" => Self::Strict(Box::new(Self::Quotient)),
            "sum" => Self::Sum,
            "product" => Self::Product,
            "difference" => Self::Difference,
            "quotient" => Self::Quotient,
            "quotient-sloppy" => Self::QuotientSloppy,
            "mean" => Self::Mean,
            "median" => Self::Median,
            "mode" => Self::Mode,
            "modes" => Self::Modes,
            "minimum" => Self::Minimum,
            "maximum" => Self::Maximum,
            "std-dev" => Self::StdDev,
            "count" => Self::Count,
            "non-nil-metrics" => Self::Metrics,
            "extremum" => match table.text("comparison")? {
                Some("<") => Self::Extremum { least: true, last: false },
                Some("<=") => Self::Extremum { least: true, last: true },
                Some(">") => Self::Extremum { least: false, last: false },
                Some(">=") => Self::Extremum { least: false, last: true },
                _ => return Err(format!("{}: `comparison` was expected, one of <, <=, >, >=", table.at)),
            },
            "sorted-sample" => Self::Samples(points(table)?),
            "sorted-sample-extract" => {
                Self::Samples(points(table)?.into_iter().map(|(part, _)| (part, None)).collect())
            }
            other => return Err(format!("{}: a fold was expected, {FOLDS}; found `{other}`", table.at)),
        })
    }

    /// What it makes of a list. Nulls may stand in it.
    pub fn apply(&self, list: &[Value], now: Timestamp) -> Result<Value, Stop> {
        let numbers: Vec<Option<Metric>> =
            list.iter().map(|value| value.fact().and_then(|fact| fact.metric)).collect();
        let first = list.iter().find_map(Value::fact);
        let with = |metric: Option<Metric>| {
            first.map_or(Value::Null, |fact| Value::Fact(Box::new(Fact { metric, ..fact.clone() })))
        };
        let place = |at: Option<usize>| at.map_or(Value::Null, |at| list[at].clone());
        let divided = |result: Result<Metric, NoNumber>| match list.first() {
            None | Some(Value::Null) => Value::Null,
            Some(_) => match (result, first) {
                (Ok(metric), _) => with(Some(metric)),
                (Err(why), Some(first)) => Value::Fact(Box::new(Fact {
                    metric: None,
                    description: Some(why.text().to_owned()),
                    ..first.clone()
                })),
                (Err(_), None) => Value::Null,
            },
        };
        Ok(match self {
            Self::Sum => with(Some(folds::sum(&numbers))),
            Self::Product => with(Some(folds::product(&numbers))),
            // There is nothing to do with one alone, not even if it has no metric.
            Self::Difference | Self::Quotient if numbers.len() == 1 => list[0].clone(),
            Self::Difference => divided(folds::difference(&numbers)),
            Self::Quotient => divided(folds::quotient(&numbers)),
            Self::QuotientSloppy => match list.first() {
                None | Some(Value::Null) => Value::Null,
                _ => with(Some(folds::quotient_sloppy(&numbers).map_err(NoNumber::text)?)),
            },
            Self::Strict(fold) => {
                if let [one] = numbers[..] {
                    let fact = || Fact { metric: one, ..Fact::default() };
                    return Ok(if first.is_some() { with(one) } else { Value::Fact(Box::new(fact())) });
                }
                if numbers.iter().any(Option::is_none) {
                    return Err(NoNumber::Missing.text());
                }
                let metric = match **fold {
                    Self::Sum => folds::sum(&numbers),
                    Self::Product => folds::product(&numbers),
                    Self::Difference => folds::difference(&numbers).map_err(NoNumber::text)?,
                    Self::Quotient => folds::quotient(&numbers).map_err(NoNumber::text)?,
                    ref other => return other.apply(list, now),
                };
                match first {
                    Some(_) => with(Some(metric)),
                    None => Value::Fact(Box::new(Fact { metric: Some(metric), ..Fact::default() })),
                }
            }
            Self::Mean => folds::mean(&numbers).map_or(Value::Null, |mean| with(Some(Metric::Float(mean)))),
            Self::StdDev if first.is_none() => Value::Null,
            Self::StdDev => {
                with(Some(Metric::Float(folds::std_dev(&numbers).ok_or(NoNumber::ZeroDivisor.text())?)))
            }
            Self::Median => place(folds::median(&numbers)),
            Self::Extremum { least, last } => {
                let place_of = |numbers: &[Option<Metric>]| match *least {
                    true => folds::minimum(numbers),
                    false => folds::maximum(numbers),
                };
                // Of equal ones the last; so the first is what is last the other way round.
                place(if *last {
                    place_of(&numbers)
                } else {
                    let turned: Vec<Option<Metric>> = numbers.iter().rev().copied().collect();
                    place_of(&turned).map(|at| numbers.len() - 1 - at)
                })
            }
            Self::Metrics => {
                Value::List(numbers.iter().flatten().map(|metric| crate::value::number(*metric)).collect())
            }
            Self::Minimum => place(folds::minimum(&numbers)),
            Self::Maximum => place(folds::maximum(&numbers)),
            Self::Mode => place(folds::modes(&numbers).first().copied()),
            Self::Modes => {
                Value::List(folds::modes(&numbers).into_iter().map(|at| list[at].clone()).collect())
            }
            Self::Count => {
                let count = list.iter().filter(|value| !value.is_null()).count();
                let metric = Some(Metric::Int(count as i64));
                let none = || Fact { time: Some(now), ..Fact::default() };
                Value::Fact(Box::new(Fact { metric, ..first.cloned().unwrap_or_else(none) }))
            }
            Self::Samples(points) => Value::List(samples(list, &numbers, points)),
        })
    }
}

/// The event at each part of the way up, by metric, with what is put behind its service.
pub fn samples(list: &[Value], numbers: &[Option<Metric>], points: &[(f64, Option<String>)]) -> Vec<Value> {
    let sorted = folds::sorted(numbers);
    points
        .iter()
        .filter_map(|(part, behind)| {
            let mut fact = list[folds::at_rank(&sorted, *part)?].fact()?.clone();
            if let Some(behind) = behind {
                fact.service = Some(fact.service.unwrap_or_default() + behind);
            }
            Some(Value::Fact(Box::new(fact)))
        })
        .collect()
}

/// `points = [0.5, 0.99]`, or `named_points = [[0.5, " median"]]`.
pub fn points(table: &Table<'_>) -> Result<Vec<(f64, Option<String>)>, String> {
    let wrong = |name: &str, found: &Tree| {
        table.wrong(name, "a list of parts between 0 and 1, or of pairs like [0.5, \" median\"],", found)
    };
    let (name, tree) = match (table.get("points"), table.get("named_points")) {
        (Some(tree), None) => ("points", tree),
        (None, Some(tree)) => ("named_points", tree),
        _ => return Err(format!("{}: either `points` or `named_points` was expected", table.at)),
    };
    read_points(tree, &table.place(name)).or_else(|_| wrong(name, tree))
}

/// The list of points itself.
pub fn read_points(tree: &Tree, at: &str) -> Result<Vec<(f64, Option<String>)>, String> {
    let pairs: Vec<Tree>;
    let list = match tree {
        Tree::List(list) => list,
        // A table of what is put behind the service, by the part.
        Tree::Map(map) => {
            let pair = |(part, behind): &(String, Tree)| {
                let part = part.parse().map_or_else(|_| Tree::Text(part.clone()), Tree::Float);
                Tree::List(vec![part, behind.clone()])
            };
            pairs = map.iter().map(pair).collect();
            &pairs
        }
        other => {
            return Err(format!(
                "{at}: a list of parts between 0 and 1 was expected, found {}",
                other.kind()
            ));
        }
    };
    let part = |tree: &Tree| {
        number(tree, at).and_then(|part| {
            if (0.0..=1.0).contains(&part) {
                Ok(part)
            } else {
                Err(format!("{at}: a part between 0 and 1 was expected, found {part}"))
            }
        })
    };
    list.iter()
        .map(|point| match point {
            Tree::List(pair) => match &pair[..] {
                [of, Tree::Text(behind)] => Ok((part(of)?, Some(behind.clone()))),
                _ => Err(format!("{at}: a pair like [0.5, \" median\"] was expected")),
            },
            // Behind the service it stands as it is written.
            of => part(of).map(|part| (part, Some(format!(" {}", of.kind())))),
        })
        .collect()
}
