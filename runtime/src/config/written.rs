//! The configuration as it was typed: a tree of values, each of which knows where it stands. Nothing is checked here but
//! the grammar.
//!
//! The tree is read by hand and not by `serde`, because `serde` stops at the first mistake, and whoever wrote the file
//! wants to hear of all of them.

use super::problem::{Problem, Spot};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// What was typed.
    pub value: Value,
    /// Where.
    pub spot: Spot,
}

/// What can be typed.
#[derive(Clone, Debug)]
pub enum Value {
    /// `"text"`, and dates.
    Text(String),
    /// `5`
    Whole(i64),
    /// `5.5`
    Fraction(f64),
    /// `true`
    Switch(bool),
    /// `[1, 2]` and `[[section]]`
    List(Vec<Node>),
    /// `[section]` and `{ key = value }`
    Table(Table),
}

impl Value {
    /// A word for what was found.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Whole(_) => "a whole number",
            Self::Fraction(_) => "a fraction",
            Self::Switch(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Values by name, in alphabetical order.
#[derive(Clone, Debug, Default)]
pub struct Table(pub BTreeMap<String, Entry>);

/// One line of a table.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the name stands.
    pub name: Spot,
    /// What stands behind it.
    pub node: Node,
}

impl Table {
    /// Reads a file. What can be read is returned even where something else cannot.
    pub fn parse(text: &str) -> (Self, Vec<Problem>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let problems = errors
            .iter()
            .map(|error| {
                Problem::new(Spot::File(error.span().unwrap_or(0..0)), error.message().trim().to_owned())
            })
            .collect();
        (Self::of(table.get_ref()), problems)
    }

    fn of(table: &DeTable<'_>) -> Self {
        let entries = table.iter().map(|(name, value)| {
            let entry = Entry { name: Spot::File(name.span()), node: node(value) };
            (name.get_ref().to_string(), entry)
        });
        Self(entries.collect())
    }

    /// The same values, marked as built in.
    pub fn built_in(text: &str) -> Self {
        fn mark(table: &mut Table) {
            for entry in table.0.values_mut() {
                entry.name = Spot::BuiltIn;
                entry.node.spot = Spot::BuiltIn;
                if let Value::Table(table) = &mut entry.node.value {
                    mark(table);
                }
            }
        }
        let (mut table, problems) = Self::parse(text);
        assert!(problems.is_empty(), "the built-in configuration parses: {problems:?}");
        mark(&mut table);
        table
    }

    /// Lays one environment variable over the file: `SECTION__KEY` without the prefix. Case and the difference between
    /// `_`, `-` and `.` do not matter where the file has the name already.
    pub fn overlay(&mut self, variable: &str, path: &str, value: &str) -> Result<(), Problem> {
        let spot = Spot::Variable(variable.into());
        let parts: Vec<&str> = path.split("__").collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(Problem::new(spot, "a name such as TIDEGATE__HTTP__ADDRESS was expected".into()));
        }
        let mut table = self;
        let (last, sections) = parts.split_last().expect("split yields at least one part");
        for part in sections {
            let name = table.spelling(part);
            let empty = Entry {
                name: spot.clone(),
                node: Node { value: Value::Table(Self::default()), spot: spot.clone() },
            };
            let entry = table.0.entry(name).or_insert(empty);
            table = match &mut entry.node.value {
                Value::Table(table) => table,
                other => {
                    let found = other.noun();
                    return Err(Problem::new(spot, format!("`{part}` is {found}, a section was expected")));
                }
            };
        }
        let name = table.spelling(last);
        let node = Node { value: scalar(value), spot: spot.clone() };
        table.0.insert(name, Entry { name: spot, node });
        Ok(())
    }

    fn spelling(&self, part: &str) -> String {
        let plain = |name: &str| name.to_lowercase().replace(['-', '.'], "_");
        let wanted = plain(part);
        self.0.keys().find(|name| plain(name) == wanted).cloned().unwrap_or_else(|| part.to_lowercase())
    }
}

fn node(value: &Spanned<DeValue<'_>>) -> Node {
    let spot = Spot::File(value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix()).map_or(Value::Fraction(f64::INFINITY), Value::Whole)
        }
        DeValue::Float(number) => {
            Value::Fraction(number.as_str().replace('_', "").parse().unwrap_or(f64::NAN))
        }
        DeValue::Boolean(switch) => Value::Switch(*switch),
        DeValue::Datetime(date) => Value::Text(date.to_string()),
        DeValue::Array(values) => Value::List(values.iter().map(node).collect()),
        DeValue::Table(table) => Value::Table(Table::of(table)),
    };
    Node { value, spot }
}

/// Numbers and switches are recognised; all else is text, also without quotes.
fn scalar(text: &str) -> Value {
    if let Ok(switch) = text.parse() {
        return Value::Switch(switch);
    }
    if let Ok(number) = text.replace('_', "").parse() {
        return Value::Whole(number);
    }
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    Value::Text(quoted.unwrap_or(text).to_owned())
}
