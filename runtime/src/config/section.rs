//! Reads a section key by key: each with its type, its default and its bounds. What nobody asked for is an unknown key.

use super::problem::{Problem, Spot};
use super::written::{Node, Table, Value};
use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;
use tidegate_event::Span;

/// What stands where a secret was.
pub const HIDDEN: &str = "***";

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for whoever must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Everything found wrong or worth a warning so far, and every key that was asked for.
#[derive(Debug, Default)]
pub struct Findings {
    pub(super) errors: RefCell<Vec<Problem>>,
    pub(super) warnings: RefCell<Vec<Problem>>,
    pub(super) asked: RefCell<Vec<String>>,
}

impl Findings {
    pub(super) fn error(&self, problem: Problem) {
        self.errors.borrow_mut().push(problem);
    }

    pub(super) fn warn(&self, problem: Problem) {
        self.warnings.borrow_mut().push(problem);
    }
}

/// A section being read.
pub struct Section<'a> {
    /// Its name as the operator wrote it.
    path: String,
    /// The same with `*` for names of the operator's choice.
    shape: String,
    table: Option<&'a Table>,
    spot: Spot,
    known: Vec<&'static str>,
    shown: toml::Table,
    findings: &'a Findings,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub fn root(
        table: &'a Table,
        findings: &'a Findings,
        variable: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let spot = Spot::BuiltIn;
        let (path, shape) = (String::new(), String::new());
        let (known, shown) = (Vec::new(), toml::Table::new());
        Self { path, shape, table: Some(table), spot, known, shown, findings, variable }
    }

    /// Where the section begins.
    pub fn spot(&self) -> Spot {
        self.spot.clone()
    }

    /// Where a key's value stands, or the section where the key is not given.
    pub fn spot_of(&self, key: &str) -> Spot {
        let entry = self.table.and_then(|table| table.0.get(key));
        entry.map_or_else(|| self.spot(), |entry| entry.node.spot.clone())
    }

    /// Reports a mistake.
    pub fn error(&self, problem: Problem) {
        self.findings.error(problem);
    }

    /// Reports what is allowed but worth a look.
    pub fn warn(&self, problem: Problem) {
        self.findings.warn(problem);
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.findings.asked.borrow_mut().push(join(&self.shape, key));
        self.table.and_then(|table| table.0.get(key)).map(|entry| &entry.node)
    }

    /// Notes the value in force, for `tidegate check --print`.
    pub fn show(&mut self, key: &str, value: impl Into<toml::Value>) {
        self.shown.insert(key.to_owned(), value.into());
    }

    fn wrong(&self, node: &Node, key: &str, expected: &str, example: &str) {
        let found = match &node.value {
            Value::Text(text) => format!("\"{}\"", text.escape_debug()),
            Value::Whole(number) => number.to_string(),
            Value::Fraction(number) => number.to_string(),
            other => other.noun().to_owned(),
        };
        let problem = Problem::new(node.spot.clone(), format!("`{key}` is {found}, {expected} was expected"));
        self.error(problem.hint(format!("such as {example}")));
    }

    fn value<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        example: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let node = self.take(key)?;
        let value = read(&node.value);
        if value.is_none() {
            self.wrong(node, key, expected, example);
        }
        value
    }

    /// A section within.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        let node = self.take(key);
        self.child(key, key, node)
    }

    fn child(&self, name: &str, shape: &str, node: Option<&'a Node>) -> Section<'a> {
        let (path, shape) = (join(&self.path, name), join(&self.shape, shape));
        let table = match node.map(|node| (&node.value, node)) {
            Some((Value::Table(table), _)) => Some(table),
            Some((_, node)) => {
                self.wrong(node, name, "a section", &format!("[{path}]"));
                None
            }
            None => None,
        };
        let spot = node.map_or(Spot::BuiltIn, |node| node.spot.clone());
        Section {
            path,
            shape,
            table,
            spot,
            known: Vec::new(),
            shown: toml::Table::new(),
            findings: self.findings,
            variable: self.variable,
        }
    }

    /// All sections within a section of names that the operator chose.
    pub fn named(&mut self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let section = self.section(key);
        let Some(table) = section.table else { return Vec::new() };
        let mut all = Vec::new();
        for (name, entry) in &table.0 {
            if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name) {
                let message = format!("`{name}` is no name: 1 to 64 of a-z 0-9 . _ - were expected");
                self.error(Problem::new(entry.name.clone(), message));
                continue;
            }
            all.push((name.clone(), section.child(name, "*", Some(&entry.node))));
        }
        all
    }

    /// Free text.
    pub fn text(&mut self, key: &'static str, example: &str) -> Option<String> {
        let text = self.value(key, "text", example, |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })?;
        self.show(key, text.clone());
        Some(text)
    }

    /// Free text with a default.
    pub fn text_or(&mut self, key: &'static str, default: &str) -> String {
        let text = self.text(key, &format!("\"{default}\"")).unwrap_or_else(|| default.to_owned());
        self.show(key, text.clone());
        text
    }

    /// Texts by names of the operator's choice.
    pub fn pairs(&mut self, key: &'static str, example: &str) -> Vec<(String, String)> {
        let pairs = self.value(key, "a table of texts", example, |value| match value {
            Value::Table(table) => table
                .0
                .iter()
                .map(|(name, entry)| match &entry.node.value {
                    Value::Text(text) => Some((name.clone(), text.clone())),
                    _ => None,
                })
                .collect(),
            _ => None,
        });
        let pairs: Vec<(String, String)> = pairs.unwrap_or_default();
        let shown = pairs.iter().map(|(name, text)| (name.clone(), text.as_str().into()));
        self.show(key, shown.collect::<toml::Table>());
        pairs
    }

    /// Text that must be there.
    pub fn required(&mut self, key: &'static str, example: &str) -> Option<String> {
        let text = self.text(key, example);
        self.demand(key, example);
        text
    }

    fn demand(&self, key: &'static str, example: &str) {
        if self.table.is_some_and(|table| !table.0.contains_key(key)) {
            let problem = Problem::new(self.spot(), format!("`{key}` is missing in [{}]", self.path));
            self.error(problem.hint(format!("such as {key} = {example}")));
        }
    }

    /// `true` or `false`.
    pub fn switch(&mut self, key: &'static str, default: bool) -> bool {
        let switch = self.value(key, "true or false", "true", |value| match value {
            Value::Switch(switch) => Some(*switch),
            _ => None,
        });
        let switch = switch.unwrap_or(default);
        self.show(key, switch);
        switch
    }

    /// A whole number within bounds.
    pub fn count(&mut self, key: &'static str, bounds: RangeInclusive<u64>, default: u64) -> u64 {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let count = self.value(key, &expected, &default.to_string(), |value| match value {
            Value::Whole(number) => u64::try_from(*number).ok().filter(|number| bounds.contains(number)),
            _ => None,
        });
        let count = count.unwrap_or(default);
        self.show(key, i64::try_from(count).unwrap_or(i64::MAX));
        count
    }

    /// A length of time within bounds.
    pub fn time(&mut self, key: &'static str, bounds: (&str, &str), default: &str) -> Duration {
        let (low, high) = (duration(bounds.0), duration(bounds.1));
        let expected = format!("a length of time from {} to {}", bounds.0, bounds.1);
        let read = self.value(key, &expected, &format!("\"{default}\""), |value| match value {
            Value::Text(text) => Span::parse(text)
                .and_then(|span| u64::try_from(span.0).ok())
                .map(Duration::from_micros)
                .filter(|time| Some(*time) >= low && Some(*time) <= high),
            _ => None,
        });
        let time = read.unwrap_or_else(|| duration(default).expect("defaults are written well"));
        self.show(key, time_text(time));
        time
    }

    /// A number of bytes within bounds.
    pub fn size(&mut self, key: &'static str, bounds: (&str, &str), default: &str) -> u64 {
        let (low, high) = (bytes(bounds.0), bytes(bounds.1));
        let expected = format!("a size from {} to {}", bounds.0, bounds.1);
        let read = self.value(key, &expected, &format!("\"{default}\""), |value| match value {
            Value::Text(text) => bytes(text).filter(|size| Some(*size) >= low && Some(*size) <= high),
            _ => None,
        });
        let size = read.unwrap_or_else(|| bytes(default).expect("defaults are written well"));
        self.show(key, size_text(size));
        size
    }

    /// A number of bytes within bounds, if it is given.
    pub fn size_if_given(&mut self, key: &'static str, bounds: (&str, &str)) -> Option<u64> {
        let given = self.has(key);
        let size = self.size(key, bounds, bounds.0);
        if !given {
            self.shown.remove(key);
        }
        given.then_some(size)
    }

    /// An address to listen on, if it is given.
    pub fn listener(&mut self, key: &'static str, example: &str) -> Option<SocketAddr> {
        let address: SocketAddr =
            self.value(key, "an IP address and a port", &format!("\"{example}\""), |value| match value {
                Value::Text(text) => text.parse().ok(),
                _ => None,
            })?;
        self.show(key, address.to_string());
        Some(address)
    }

    /// An address to connect to: a name or IP address, a colon, a port. It must be there.
    pub fn target(&mut self, key: &'static str, example: &str) -> Option<String> {
        let example = format!("\"{example}\"");
        let target = self.value(key, "a host and a port", &example, |value| match value {
            Value::Text(text) => {
                let (host, port) = text.rsplit_once(':')?;
                let port: u16 = port.parse().ok()?;
                (!host.is_empty() && port != 0).then(|| text.clone())
            }
            _ => None,
        });
        self.demand(key, &example);
        if let Some(target) = &target {
            self.show(key, target.clone());
        }
        target
    }

    /// A list of texts that are neither empty nor too long, and not too many of them, or this one.
    pub fn texts_or(
        &mut self,
        key: &'static str,
        most: usize,
        default: &[&str],
        example: &str,
    ) -> Vec<String> {
        let expected = format!("a list of at most {most} texts");
        let texts: Option<Vec<String>> = self.value(key, &expected, example, |value| match value {
            Value::List(items) if items.len() <= most => items
                .iter()
                .map(|item| match &item.value {
                    Value::Text(text) if !text.is_empty() && text.len() <= 1024 => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            _ => None,
        });
        let texts = texts.unwrap_or_else(|| default.iter().copied().map(str::to_owned).collect());
        self.show(key, texts.iter().map(|text| toml::Value::from(text.as_str())).collect::<Vec<_>>());
        texts
    }

    /// The sections of a list of them, `[[section.key]]`, in their order.
    pub fn list(&mut self, key: &'static str, most: usize) -> Vec<Section<'a>> {
        let Some(node) = self.take(key) else {
            // Their keys belong to the reference all the same.
            return Vec::new();
        };
        let Value::List(items) = &node.value else {
            self.wrong(node, key, "a list of sections", &format!("[[{}]]", join(&self.path, key)));
            return Vec::new();
        };
        if items.len() > most {
            let message = format!("`{key}` has {} sections, at most {most} were expected", items.len());
            self.error(Problem::new(node.spot.clone(), message));
        }
        items.iter().take(most).map(|item| self.child(key, key, Some(item))).collect()
    }

    /// A length of time within bounds, or nothing where the key is not given.
    pub fn time_if(&mut self, key: &'static str, bounds: (&str, &str), example: &str) -> Option<Duration> {
        let given = self.has(key);
        let time = self.time(key, bounds, example);
        if !given {
            self.shown.remove(key);
        }
        given.then_some(time)
    }

    /// Whether the key is given.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.0.contains_key(key))
    }

    /// Reports a word that is missing.
    pub fn required_word<T>(&self, key: &'static str, words: &[(&'static str, T)]) {
        self.demand(key, &format!("\"{}\"", words[0].0));
    }

    /// One of a few words, with what each means to the program.
    pub fn word<T: Copy + PartialEq>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        default: T,
    ) -> T {
        let all: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let expected = format!("one of {}", all.join(", "));
        let read = self.value(key, &expected, &all[0], |value| match value {
            Value::Text(text) => words.iter().find(|(word, _)| word == text).map(|(_, meaning)| *meaning),
            _ => None,
        });
        let given = self.table.and_then(|table| table.0.get(key)).map(|entry| &entry.node.value);
        let word = match (given, read) {
            (Some(Value::Text(text)), Some(_)) => Some(text.clone()),
            _ => words.iter().find(|(_, meaning)| *meaning == default).map(|(word, _)| (*word).to_owned()),
        };
        if let Some(word) = word {
            self.show(key, word);
        }
        read.unwrap_or(default)
    }

    /// A text that is never printed: as it is, or `{ env = "NAME" }`, or `{ file = "path" }`.
    fn reveal(&self, key: &str, node: &Node) -> Option<Secret> {
        let fail = |message: String| {
            self.error(Problem::new(node.spot.clone(), message));
            None
        };
        let table = match &node.value {
            Value::Text(text) => return Some(Secret(text.clone())),
            Value::Table(table) => table,
            _ => {
                self.wrong(node, key, "text, { env = … } or { file = … }", "{ env = \"TOKEN\" }");
                return None;
            }
        };
        let mut entries = table.0.iter();
        let (Some((kind, entry)), None) = (entries.next(), entries.next()) else {
            return fail(format!("`{key}` takes one of env and file, found {} keys", table.0.len()));
        };
        let Value::Text(name) = &entry.node.value else {
            return fail(format!("`{kind}` is {}, text was expected", entry.node.value.noun()));
        };
        match kind.as_str() {
            "env" => match (self.variable)(name) {
                Some(text) => Some(Secret(text)),
                None => fail(format!("the environment variable {name} is not set")),
            },
            "file" => match std::fs::read_to_string(name) {
                Ok(text) => Some(Secret(text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(error) => fail(format!("the file {name} cannot be read: {error}")),
            },
            other => fail(format!("`{other}` is unknown here, env or file was expected")),
        }
    }

    /// Where a secret stands: where it is typed out, its line is not shown.
    pub fn secret_spot(&self, key: &str) -> Spot {
        match self.table.and_then(|table| table.0.get(key)).map(|entry| &entry.node) {
            Some(Node { value: Value::Text(_), spot: Spot::File(range) }) => Spot::Secret(range.clone()),
            _ => self.spot_of(key),
        }
    }

    /// A secret that must be there.
    pub fn secret(&mut self, key: &'static str, example: &str) -> Option<Secret> {
        let node = self.take(key);
        self.demand(key, example);
        node.and_then(|node| self.hide(key, node))
    }

    /// A secret, if it is given.
    pub fn secret_if_given(&mut self, key: &'static str) -> Option<Secret> {
        let node = self.take(key)?;
        self.hide(key, node)
    }

    fn hide(&mut self, key: &'static str, node: &Node) -> Option<Secret> {
        let secret = self.reveal(key, node)?;
        self.show(key, HIDDEN);
        Some(secret)
    }

    /// Secrets by names of the operator's choice.
    pub fn secrets(&mut self, key: &'static str) -> Vec<(String, Secret)> {
        let section = self.section(key);
        let Some(table) = section.table else { return Vec::new() };
        let entries = table.0.iter();
        let secrets: Vec<_> = entries
            .filter_map(|(name, entry)| Some((name.clone(), self.reveal(name, &entry.node)?)))
            .collect();
        let shown = secrets.iter().map(|(name, _)| (name.clone(), HIDDEN.into()));
        self.show(key, shown.collect::<toml::Table>());
        secrets
    }

    /// Reports every key that nobody asked for. Returns what is in force, secrets hidden.
    pub fn finish(self) -> toml::Table {
        let Some(table) = self.table else { return self.shown };
        for (name, entry) in &table.0 {
            if self.known.contains(&name.as_str()) {
                continue;
            }
            let place = if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.path) };
            let problem = Problem::new(entry.name.clone(), format!("unknown key `{name}`{place}"));
            let near = nearest(name, &self.known);
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            self.error(problem.hint(hint));
        }
        self.shown
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn is_name(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
}

/// The known word that was probably meant.
pub(super) fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let close = known.iter().map(|known| (distance(word, known), *known)).min()?;
    (close.0 <= 1 + word.len() / 4).then_some(close.1)
}

/// How many letters must be changed, added or removed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let change = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[other.len()]
}

fn duration(text: &str) -> Option<Duration> {
    Span::parse(text).and_then(|span| u64::try_from(span.0).ok()).map(Duration::from_micros)
}

/// Reads `64MiB`, `1GiB`, `16KiB`, `100kB`, `512B`. A unit is needed.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.trim().parse().ok()?;
    let unit: u64 = match unit {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    let size = number * unit as f64;
    (0.0..9e15).contains(&size).then_some(size as u64)
}

/// Bytes in the largest unit that divides them.
pub fn size_text(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "B")];
    let fits = |&&(shift, _): &&(u32, &str)| bytes >> shift << shift == bytes && bytes >> shift > 0;
    let (shift, unit) = units.iter().find(fits).copied().unwrap_or((0, "B"));
    format!("{}{unit}", bytes >> shift)
}

/// A span in the largest unit that divides it.
pub fn time_text(span: Duration) -> String {
    let millis = span.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let fits = |&&(unit, _): &&(u128, &str)| millis.is_multiple_of(unit) && millis >= unit;
    let (unit, name) = units.iter().find(fits).copied().unwrap_or((1, "ms"));
    format!("{}{name}", millis / unit)
}
