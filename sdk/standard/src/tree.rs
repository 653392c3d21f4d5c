//! A pipeline's text, TOML or JSON, as a tree that remembers where each thing stands, so that errors can say it.

use crate::value::Value;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::cell::RefCell;
use std::fmt;
use tidegate_sdk::Span;

/// What TOML and JSON have in common.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Null,
    Flag(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// Reads JSON if it begins with a brace, TOML if not.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            return Self::json(text);
        }
        if nests_deeper(text, NESTING_MAX) {
            return Err(format!("it is nested more than {NESTING_MAX} deep"));
        }
        basic_toml::from_str(text).map_err(|error| format!("it is not TOML: {error}"))
    }

    /// Reads JSON.
    pub fn json(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))
    }

    /// A number for what is written: the same wherever it stands.
    pub fn hash(&self, seed: u64) -> u64 {
        let of = |kind: u64, bytes: &[u8]| tidegate_sdk::hash_bytes(seed ^ kind, bytes);
        match self {
            Self::Null => of(1, &[]),
            Self::Flag(flag) => of(2, &[u8::from(*flag)]),
            Self::Int(value) => of(3, &value.to_le_bytes()),
            Self::Float(value) => of(4, &value.to_le_bytes()),
            Self::Text(text) => of(5, text.as_bytes()),
            // With their lengths: else what ends one list could begin the next.
            Self::List(list) => {
                list.iter().fold(of(6, &list.len().to_le_bytes()), |seed, value| value.hash(seed))
            }
            Self::Map(map) => map.iter().fold(of(7, &map.len().to_le_bytes()), |seed, (name, value)| {
                value.hash(tidegate_sdk::hash_bytes(seed, name.as_bytes()))
            }),
        }
    }

    /// How many lists and tables there are around its innermost value.
    pub fn depth(&self) -> usize {
        match self {
            Self::List(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::Map(map) => 1 + map.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// What it is, in words, for a message.
    pub fn kind(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Flag(flag) => flag.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => format!("{value:?}"),
            Self::Text(text) => format!("{text:?}"),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a table".to_owned(),
        }
    }
}

/// TOML may be nested so deep: its reader has no limit of its own, and calls itself. That of JSON has this one.
const NESTING_MAX: usize = 128;

/// Whether brackets and the dots of keys outside of text and comments are nested deeper than that.
fn nests_deeper(toml: &str, limit: usize) -> bool {
    // Each bracket counts with the dots of the key before it, which makes as many tables.
    let (mut around, mut depth, mut dots, mut rest) = (Vec::new(), 0, 0, toml);
    while let Some(at) = rest.find(['[', ']', '{', '}', '.', ',', '\n', '#', '"', '\'']) {
        let mark = rest.as_bytes()[at];
        rest = &rest[at..];
        let taken = match mark {
            b'#' => rest.find('\n').unwrap_or(rest.len()),
            b'"' | b'\'' => text_length(rest, mark),
            _ => 1,
        };
        match mark {
            b'[' | b'{' => {
                around.push(dots + 1);
                (depth, dots) = (depth + dots + 1, 0);
            }
            b']' | b'}' => (depth, dots) = (depth - around.pop().unwrap_or(0), 0),
            b'.' => dots += 1,
            b',' | b'\n' => dots = 0,
            _ => {}
        }
        if depth + dots > limit {
            return true;
        }
        rest = &rest[taken..];
    }
    false
}

/// How long the text in quotes is that TOML begins with.
fn text_length(toml: &str, quote: u8) -> usize {
    let bytes = toml.as_bytes();
    let quotes = if bytes.starts_with(&[quote; 3]) { 3 } else { 1 };
    let mut at = quotes;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' => at += 2,
            byte if byte == quote && bytes[at..].starts_with(&[quote; 3][..quotes]) => return at + quotes,
            b'\n' if quotes == 1 => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Tree;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Tree, E> {
                Ok(Tree::Flag(flag))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Int(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(i64::try_from(value).map_or(Tree::Float(value as f64), Tree::Int))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree::Float(value))
            }
            fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
                Ok(Tree::Text(text.to_owned()))
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Tree::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Tree::Map(map))
            }
        }
        from.deserialize_any(Any)
    }
}

/// A table that is being read, and where it stands. Whoever reads it takes each key that it knows; what is left over is an
/// error.
pub struct Table<'t> {
    pub at: String,
    map: &'t [(String, Tree)],
    taken: RefCell<Vec<&'t str>>,
}

impl<'t> Table<'t> {
    pub fn new(at: String, tree: &'t Tree) -> Result<Self, String> {
        match tree {
            Tree::Map(map) => Ok(Self { at, map, taken: RefCell::default() }),
            other => Err(format!("{at}: a table was expected, found {}", other.kind())),
        }
    }

    pub fn keys(&self) -> impl Iterator<Item = &'t str> + '_ {
        self.map.iter().map(|(name, _)| name.as_str())
    }

    /// What stands under a name.
    pub fn get(&self, name: &str) -> Option<&'t Tree> {
        let (name, tree) = self.map.iter().find(|(other, _)| other == name)?;
        self.taken.borrow_mut().push(name);
        Some(tree)
    }

    pub fn need(&self, name: &str, what: &str) -> Result<&'t Tree, String> {
        self.get(name).ok_or_else(|| format!("{}: `{name}` is missing: {what}", self.at))
    }

    /// Where something in it stands.
    pub fn place(&self, name: &str) -> String {
        format!("{}.{name}", self.at)
    }

    pub fn wrong<T>(&self, name: &str, expected: &str, found: &Tree) -> Result<T, String> {
        Err(format!("{}: {expected} was expected, found {}", self.place(name), found.kind()))
    }

    pub fn number(&self, name: &str) -> Result<Option<f64>, String> {
        self.get(name).map(|tree| number(tree, &self.place(name))).transpose()
    }

    pub fn count(&self, name: &str) -> Result<Option<usize>, String> {
        self.get(name).map(|tree| count(tree, &self.place(name))).transpose()
    }

    pub fn span(&self, name: &str) -> Result<Option<Span>, String> {
        self.get(name).map(|tree| span(tree, &self.place(name))).transpose()
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Tree::Flag(flag)) => Ok(Some(*flag)),
            Some(other) => self.wrong(name, "true or false", other),
        }
    }

    pub fn text(&self, name: &str) -> Result<Option<&'t str>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Tree::Text(text)) => Ok(Some(text)),
            Some(other) => self.wrong(name, "text", other),
        }
    }

    /// Says what it has that nobody took.
    pub fn finish(&self) -> Result<(), String> {
        let taken = self.taken.borrow();
        match self.keys().find(|name| !taken.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<&str> = taken.iter().copied().collect();
                Err(format!("{}: `{name}` means nothing here, beside {}", self.at, known.join(", ")))
            }
        }
    }
}

/// A value may hold lists and tables so deep: what is remembered has to be saved, and that has an end (see `plan::LISTS`).
pub const VALUE_DEPTH: usize = 16;

/// A value as it is written, for events to have.
pub fn constant(tree: &Tree, at: &str) -> Result<Value, String> {
    match tree.depth() {
        depth if depth > VALUE_DEPTH => {
            Err(format!("{at}: a value at most {VALUE_DEPTH} deep was expected, found {depth}"))
        }
        _ => Ok(tree.into()),
    }
}

pub fn number(tree: &Tree, at: &str) -> Result<f64, String> {
    match tree {
        Tree::Int(value) => Ok(*value as f64),
        Tree::Float(value) => Ok(*value),
        other => Err(format!("{at}: a number was expected, found {}", other.kind())),
    }
}

pub fn count(tree: &Tree, at: &str) -> Result<usize, String> {
    match tree {
        Tree::Int(value) if (0..=1 << 31).contains(value) => Ok(*value as usize),
        other => Err(format!("{at}: a whole number from 0 on was expected, found {}", other.kind())),
    }
}

/// Seconds as a number, or text like `5m`.
pub fn span(tree: &Tree, at: &str) -> Result<Span, String> {
    let span = match tree {
        Tree::Int(secs) => Some(Span::from_secs_f64(*secs as f64)),
        Tree::Float(secs) => Some(Span::from_secs_f64(*secs)),
        Tree::Text(text) => Span::parse(text),
        _ => None,
    };
    span.filter(|span| span.0 >= 0).ok_or_else(|| {
        format!(
            "{at}: a length of time was expected, like \"90s\", \"5m\" or a number of seconds, found {}",
            tree.kind()
        )
    })
}

/// One text, or a list of them.
pub fn texts(tree: &Tree, at: &str) -> Result<Vec<String>, String> {
    match tree {
        Tree::Text(text) => Ok(vec![text.clone()]),
        Tree::List(list) => list
            .iter()
            .map(|tree| match tree {
                Tree::Text(text) => Ok(text.clone()),
                other => Err(format!("{at}: text was expected, found {}", other.kind())),
            })
            .collect(),
        other => Err(format!("{at}: text or a list of texts was expected, found {}", other.kind())),
    }
}
