//! Yes-or-no questions: a query as text, or a table where the query language has no word.

use crate::func::{Func, Stop};
use crate::run::{Clock, Item};
use crate::tree::{Table, Tree, number, texts};
use crate::value::Value;
use tidegate_query::{Refused, Search, SmallMatcher};
use tidegate_sdk::Metric;
use tidegate_sdk::folds;

/// A question.
#[derive(Clone, Debug)]
pub enum Pred {
    Query(SmallMatcher),
    Always(bool),
    Not(Box<Pred>),
    All(Vec<Pred>),
    Any(Vec<Pred>),
    /// The value itself is neither null nor false.
    Truthy,
    /// By its state or its age.
    Expired,
    /// The value itself is this.
    Equals(Value),
    TaggedAll(Vec<String>),
    TaggedAny(Vec<String>),
    /// What a function makes of it.
    Of(Func, Test),
}

/// A question to what a function has made.
#[derive(Clone, Debug)]
pub enum Test {
    Equals(Value),
    Differs(Value),
    /// Neither null nor false.
    Truthy,
    In(Vec<Value>),
    Regex(regex_lite::Regex),
    Less(f64),
    More(f64),
    AtMost(f64),
    AtLeast(f64),
    Present(bool),
    Even,
    /// Fields of an event, all of which must fit.
    Fits(Vec<(Func, Test)>),
}

impl Pred {
    /// Text is a query.
    pub fn read(tree: &Tree, at: &str) -> Result<Self, String> {
        match tree {
            Tree::Text(text) => match SmallMatcher::parse(text) {
                Ok(matcher) => Ok(Self::Query(matcher)),
                Err(error) => Err(format!("{at}: {error}")),
            },
            Tree::Flag(flag) => Ok(Self::Always(*flag)),
            _ => Self::table(&Table::new(at.to_owned(), tree)?),
        }
    }

    fn list(tree: &Tree, at: &str) -> Result<Vec<Self>, String> {
        match tree {
            Tree::List(list) => list.iter().map(|tree| Self::read(tree, at)).collect(),
            other => Err(format!("{at}: a list of predicates was expected, found {}", other.kind())),
        }
    }

    fn table(table: &Table<'_>) -> Result<Self, String> {
        let found = table.keys().find(|name| !matches!(*name, "field" | "f"));
        let Some(kind) = found else {
            // A field alone: whether there is something in it.
            if let (Some(tree), 1) = (table.get("field").or(table.get("f")), table.keys().count()) {
                return Ok(Self::Of(Func::read(tree, &table.place("field"))?, Test::Truthy));
            }
            return Err(format!(
                "{}: a predicate was expected, like {{ field = \"state\", equals = \"ok\" }}",
                table.at
            ));
        };
        let argument = table.need(kind, "")?;
        let place = table.place(kind);
        let of = match (table.get("field"), table.get("f")) {
            (Some(tree), None) | (None, Some(tree)) => Some(Func::read(tree, &table.place("field"))?),
            (None, None) => None,
            _ => return Err(format!("{}: either `field` or `f` was expected, found both", table.at)),
        };
        let pred = match (kind, of) {
            ("and", None) => Self::All(Self::list(argument, &place)?),
            ("or", None) => Self::Any(Self::list(argument, &place)?),
            ("not", None) => Self::Not(Box::new(Self::read(argument, &place)?)),
            ("const", None) => match argument {
                Tree::Flag(flag) => Self::Always(*flag),
                Tree::Null => Self::Always(false),
                _ => Self::Always(true),
            },
            ("truthy" | "expired", None) => {
                let pred = if kind == "truthy" { Self::Truthy } else { Self::Expired };
                match argument {
                    Tree::Flag(true) => pred,
                    Tree::Flag(false) => Self::Not(Box::new(pred)),
                    other => {
                        return Err(format!("{place}: true or false was expected, found {}", other.kind()));
                    }
                }
            }
            ("equals" | "event_equals", None) => Self::Equals(argument.into()),
            ("tagged" | "tagged_all", None) => Self::TaggedAll(texts(argument, &place)?),
            ("tagged_any", None) => Self::TaggedAny(texts(argument, &place)?),
            (kind, Some(of)) => Self::Of(of, Test::read(kind, argument, &place)?),
            (kind, None) => {
                return Err(format!(
                    "{}: a predicate was expected (a query, or a table with and, or, not, const, truthy, expired, equals, \
                     tagged_all, tagged_any, or `field` and a test), found `{kind}`",
                    table.at
                ));
            }
        };
        table.finish()?;
        Ok(pred)
    }

    /// Whether it holds of what is passed on.
    pub fn holds(&self, item: &Item, clock: &Clock<'_, '_>) -> bool {
        match self {
            Self::Query(matcher) => clock.asks(matcher, item),
            Self::Always(known) => *known,
            Self::Not(inner) => !inner.holds(item, clock),
            Self::All(all) => all.iter().all(|pred| pred.holds(item, clock)),
            Self::Any(any) => any.iter().any(|pred| pred.holds(item, clock)),
            Self::Truthy => item.with(clock, truthy),
            Self::Expired => item.expired(clock),
            Self::Equals(wanted) => item.with(clock, |value| value == wanted),
            Self::TaggedAll(wanted) => item.is_event() && wanted.iter().all(|tag| item.tagged(tag, clock)),
            Self::TaggedAny(wanted) => wanted.iter().any(|tag| item.tagged(tag, clock)),
            // What has no such field has nothing there.
            Self::Of(func, test) => test.holds(&item.apply(func, clock).unwrap_or_default(), clock),
        }
    }
}

impl Test {
    fn read(kind: &str, tree: &Tree, at: &str) -> Result<Self, String> {
        Ok(match kind {
            "equals" | "=" => Self::Equals(tree.into()),
            "in" | "in_set" | "set" => match tree {
                Tree::List(list) => Self::In(list.iter().map(Value::from).collect()),
                other => return Err(format!("{at}: a list was expected, found {}", other.kind())),
            },
            "regex" => match tree {
                Tree::Text(text) => match <regex_lite::Regex as Search>::build(text) {
                    Ok(regex) => Self::Regex(regex),
                    Err(Refused::Wrong(why)) => {
                        return Err(format!("{at}: a regular expression was expected: {why}"));
                    }
                    Err(Refused::TooBig(limit)) => {
                        return Err(format!(
                            "{at}: a regular expression of at most {} KiB was expected",
                            limit >> 10
                        ));
                    }
                },
                other => {
                    return Err(format!("{at}: a regular expression was expected, found {}", other.kind()));
                }
            },
            "lt" | "<" => Self::Less(number(tree, at)?),
            "gt" | ">" => Self::More(number(tree, at)?),
            "le" | "<=" => Self::AtMost(number(tree, at)?),
            "ge" | ">=" => Self::AtLeast(number(tree, at)?),
            "present" => match tree {
                Tree::Flag(flag) => Self::Present(*flag),
                other => return Err(format!("{at}: true or false was expected, found {}", other.kind())),
            },
            "even" => match tree {
                Tree::Flag(true) => Self::Even,
                other => return Err(format!("{at}: true was expected, found {}", other.kind())),
            },
            "truthy" => match tree {
                Tree::Flag(true) => Self::Truthy,
                other => return Err(format!("{at}: true was expected, found {}", other.kind())),
            },
            "matches_fn" => match tree {
                Tree::Text(name) if name == "even" => Self::Even,
                other => return Err(format!("{at}: \"even\" was expected, found {}", other.kind())),
            },
            other => {
                return Err(format!(
                    "{at}: a test was expected (equals, in, regex, lt, gt, le, ge, present, truthy, even), found `{other}`"
                ));
            }
        })
    }

    /// A pattern as `match` takes it: a value, or a table with `regex`, `set` or `map`.
    pub fn pattern(tree: &Tree, at: &str) -> Result<Self, String> {
        let Tree::Map(map) = tree else { return Ok(Self::Equals(tree.into())) };
        match &map[..] {
            [(kind, argument)] if kind == "map" => {
                let Tree::Map(fields) = argument else {
                    return Err(format!(
                        "{at}.map: a table of fields was expected, found {}",
                        argument.kind()
                    ));
                };
                let fields = fields.iter().map(|(name, pattern)| {
                    let func = Func::Field(crate::value::Name::of(name));
                    Ok((func, Self::pattern(pattern, &format!("{at}.map.{name}"))?))
                });
                Ok(Self::Fits(fields.collect::<Result<_, String>>()?))
            }
            [(kind, argument)] => Self::read(kind, argument, &format!("{at}.{kind}")),
            _ => Err(format!("{at}: a value was expected, or a table with one of regex, set, map")),
        }
    }

    /// Whether a value passes.
    pub fn holds(&self, value: &Value, clock: &Clock<'_, '_>) -> bool {
        let order = |wanted: f64| value.number().map(|found| folds::order(found, Metric::Float(wanted)));
        match self {
            Self::Equals(wanted) => value == wanted,
            Self::Differs(wanted) => value != wanted,
            Self::Truthy => truthy(value),
            Self::In(wanted) => wanted.contains(value),
            Self::Regex(regex) => matches!(value, Value::Text(text) if regex.is_match(text)),
            Self::Less(wanted) => order(*wanted).is_some_and(std::cmp::Ordering::is_lt),
            Self::More(wanted) => order(*wanted).is_some_and(std::cmp::Ordering::is_gt),
            Self::AtMost(wanted) => order(*wanted).is_some_and(std::cmp::Ordering::is_le),
            Self::AtLeast(wanted) => order(*wanted).is_some_and(std::cmp::Ordering::is_ge),
            Self::Present(wanted) => value.is_null() != *wanted,
            Self::Even => matches!(value, Value::Int(value) if value % 2 == 0),
            Self::Fits(fields) => {
                let found = |func: &Func| -> Result<Value, Stop> { func.apply(value, clock.now) };
                fields.iter().all(|(func, test)| found(func).is_ok_and(|value| test.holds(&value, clock)))
            }
        }
    }
}

fn truthy(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Flag(false))
}
