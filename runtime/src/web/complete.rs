//! `GET /api/v1/complete`: what could stand at a place in a query that is being typed.
//!
//! What stands before the place decides the kind: a name, an operator, a value, or what joins two comparisons. Values are
//! those that events have at the moment. The text need not be a query, and hardly ever is one.

use crate::web::App;
use crate::web::answer::{self, Failure};
use crate::web::params::Params;
use crate::web::vocabulary::{Counted, Words};
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;
use std::cmp::Reverse;
use tidegate_engine::query::TEXT;

/// Items in an answer at most.
const ITEMS: usize = 50;

/// Fields of an event, and what each is.
const FIELDS: [(&str, &str); 7] = [
    ("host", "who it is about"),
    ("service", "what it is about"),
    ("state", "ok, warning, critical, …"),
    ("metric", "a number"),
    ("description", "text for people"),
    ("time", "seconds since 1970"),
    ("ttl", "seconds for which it is valid"),
];

/// Operators, and what each asks.
const OPERATORS: [(&str, &str); 8] = [
    ("=", "is the same"),
    ("!=", "is not the same"),
    ("=~", "fits a pattern, in which % is anything"),
    ("~=", "fits a regular expression"),
    (">", "is greater"),
    ("<", "is less"),
    (">=", "is at least"),
    ("<=", "is at most"),
];

/// One proposal.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Item {
    text: String,
    kind: &'static str,
    detail: String,
}

/// The answer: what would be replaced, in bytes, and by what.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Completion {
    from: usize,
    to: usize,
    items: Vec<Item>,
}

/// `GET /api/v1/complete`
pub async fn show(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let text = params.take("q")?.unwrap_or_default();
    if text.len() > TEXT {
        return Err(Failure::bad(format!(
            "a query of up to {TEXT} bytes was expected, found {}",
            text.len()
        )));
    }
    let at = match params.take("at")? {
        None => text.len(),
        Some(at) => at.parse().ok().filter(|at| text.is_char_boundary(*at)).ok_or_else(|| {
            let most = text.len();
            Failure::bad(format!(
                "parameter `at`: a byte from 0 to {most} between two characters was expected, found `{at}`"
            ))
        })?,
    };
    params.finish("`q` and `at`")?;
    let words = app.vocabulary.words(&app).await?;
    Ok(answer::json(&complete(&text, at, &words)))
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// A name, a number, or `and`, `or`, `not`, `tagged`.
    Word,
    /// Text in quotes, closed or not.
    Text,
    Operator,
    Open,
    Close,
}

/// The pieces with their places. What is nothing of the kind is passed over.
fn pieces(text: &str) -> Vec<(Piece, usize, usize)> {
    let bytes = text.as_bytes();
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let from = at;
        let piece = match bytes[at] {
            b'"' | b'\'' => {
                let quote = bytes[at];
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(bytes.len());
                Piece::Text
            }
            b'(' => {
                at += 1;
                Piece::Open
            }
            b')' => {
                at += 1;
                Piece::Close
            }
            c if is_operator(c) => {
                while at < bytes.len() && is_operator(bytes[at]) {
                    at += 1;
                }
                Piece::Operator
            }
            c if is_name(c) => {
                while at < bytes.len() && is_name(bytes[at]) {
                    at += 1;
                }
                Piece::Word
            }
            _ => {
                at += 1;
                continue;
            }
        };
        pieces.push((piece, from, at));
    }
    pieces
}

fn is_operator(c: u8) -> bool {
    b"=<>~!".contains(&c)
}

fn is_name(c: u8) -> bool {
    !c.is_ascii_whitespace() && !b",^`'\"#~@:/%()[]{}<>=!".contains(&c)
}

/// What could stand at a place.
#[derive(Debug, PartialEq, Eq)]
enum Wanted<'a> {
    /// The beginning of a comparison.
    Start,
    /// An operator, behind a name.
    Operator,
    /// A value of this field.
    Value(&'a str),
    Tag,
    /// What joins two comparisons.
    Join,
}

/// What the pieces before the place ask for.
fn wanted<'a>(text: &'a str, before: &[(Piece, usize, usize)]) -> Wanted<'a> {
    let slice = |(_, from, to): &(Piece, usize, usize)| &text[*from..*to];
    let Some(last) = before.last() else { return Wanted::Start };
    match last.0 {
        Piece::Open => Wanted::Start,
        Piece::Close => Wanted::Join,
        Piece::Operator => match before.len().checked_sub(2).map(|at| &before[at]) {
            Some(field) if field.0 == Piece::Word => Wanted::Value(slice(field)),
            _ => Wanted::Value(""),
        },
        Piece::Text => Wanted::Join,
        Piece::Word => match slice(last) {
            "and" | "or" | "not" => Wanted::Start,
            "tagged" => Wanted::Tag,
            // Behind an operator it was a value.
            _ if before.len() > 1 && before[before.len() - 2].0 == Piece::Operator => Wanted::Join,
            "true" | "false" | "nil" => Wanted::Join,
            _ => Wanted::Operator,
        },
    }
}

fn complete(text: &str, at: usize, words: &Words) -> Completion {
    let pieces = pieces(text);
    let inside = |(piece, from, to): &(Piece, usize, usize)| {
        let is_closed =
            *piece == Piece::Text && *to - *from > 1 && text.as_bytes()[*from] == text.as_bytes()[*to - 1];
        let last = if is_closed { at < *to } else { at <= *to };
        *from < at && last && matches!(piece, Piece::Word | Piece::Text | Piece::Operator)
    };
    let found = pieces.iter().position(inside);
    let count = found.unwrap_or_else(|| pieces.iter().filter(|(_, _, to)| *to <= at).count());
    let (from, to) = found.map_or((at, at), |n| (pieces[n].1, pieces[n].2));
    let typed = &text[from..at];
    let mut items = Items { typed: typed.trim_start_matches(['"', '\'']).to_lowercase(), found: Vec::new() };
    match wanted(text, &pieces[..count]) {
        Wanted::Start => {
            for (name, detail) in FIELDS {
                items.offer(name, "field", detail, 3);
            }
            items.offer("tagged", "word", "has a tag", 2);
            items.offer("not", "word", "what follows does not hold", 2);
            items.offer("true", "word", "every event", 2);
            items.words(&words.attributes, "attribute", 1, plain);
        }
        Wanted::Operator => {
            OPERATORS.iter().for_each(|(text, detail)| items.offer(text, "operator", detail, 1))
        }
        Wanted::Join => {
            for (word, detail) in [("and", "both hold"), ("or", "one of them holds")] {
                items.offer(word, "word", detail, 1);
            }
        }
        Wanted::Tag => items.words(&words.tags, "tag", 1, quoted),
        Wanted::Value(field) => {
            let kind = match field {
                "host" => "host",
                "service" => "service",
                "state" => "state",
                _ => "attribute",
            };
            if let Some(values) = words.values.get(field) {
                items.words(values, kind, 1, quoted);
            }
            items.offer("nil", "word", "nothing", 0);
        }
    }
    Completion { from, to, items: items.finish() }
}

/// Proposals with their rank.
struct Items {
    typed: String,
    found: Vec<(Reverse<u8>, Reverse<usize>, Item)>,
}

impl Items {
    fn offer(&mut self, text: &str, kind: &'static str, detail: &str, weight: usize) {
        let Some(rank) = self.rank(text) else { return };
        let item = Item { text: text.to_owned(), kind, detail: detail.to_owned() };
        self.found.push((Reverse(rank), Reverse(weight * 1_000_000), item));
    }

    fn words(
        &mut self,
        words: &Counted,
        kind: &'static str,
        weight: usize,
        write: fn(&str) -> Option<String>,
    ) {
        for (word, count) in words {
            let (Some(rank), Some(text)) = (self.rank(word), write(word)) else { continue };
            let detail = if *count == 1 { "1 stream".to_owned() } else { format!("{count} streams") };
            self.found.push((Reverse(rank), Reverse(weight * *count), Item { text, kind, detail }));
        }
    }

    /// What begins like what was typed comes first, what holds it second, and the rest does not come.
    fn rank(&self, text: &str) -> Option<u8> {
        let text = text.to_lowercase();
        match (text.starts_with(&self.typed), text.contains(&self.typed)) {
            (true, _) => Some(1),
            (false, true) => Some(0),
            (false, false) => None,
        }
    }

    fn finish(mut self) -> Vec<Item> {
        self.found.sort_by(|a, b| (a.0, a.1, &a.2.text).cmp(&(b.0, b.1, &b.2.text)));
        self.found.truncate(ITEMS);
        self.found.into_iter().map(|(_, _, item)| item).collect()
    }
}

/// A name that can stand in a query as it is.
fn plain(name: &str) -> Option<String> {
    let first = name.bytes().next().is_some_and(|c| !c.is_ascii_digit());
    (first && name.bytes().all(is_name)).then(|| name.to_owned())
}

/// Text as a query writes it.
fn quoted(text: &str) -> Option<String> {
    Some(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use tidegate_engine::query::Query;

    fn words() -> Words {
        let counted = |words: &[&str]| words.iter().map(|word| ((*word).to_owned(), 1)).collect::<Counted>();
        Words {
            values: [
                ("host".to_owned(), counted(&["web1", "web2", "db \"1\"\\"])),
                ("state".to_owned(), counted(&["ok", "critical"])),
                ("dc".to_owned(), counted(&["fra", "ams"])),
            ]
            .into(),
            tags: counted(&["edge", "canary"]),
            attributes: counted(&["dc", "a b"]),
        }
    }

    /// The place is where the bar stands.
    fn check(text: &str, expected: Expect) {
        let at = text.find('|').expect("a bar says where");
        let text = text.replace('|', "");
        let Completion { from, to, items } = complete(&text, at, &words());
        let items: Vec<_> = items.iter().map(|item| item.text.as_str()).collect();
        expected.assert_eq(&format!("{from}..{to} {}", items.join(" ")));
    }

    #[test]
    fn what_stands_before_decides_what_is_offered() {
        check("|", expect!["0..0 description host metric service state time ttl not tagged true dc"]);
        check("se|", expect!["0..2 service"]);
        check("host |", expect!["5..5 != < <= = =~ > >= ~="]);
        check("host =|", expect!["5..6 = =~ != <= >= ~="]);
        check("host = |", expect![[r#"7..7 "db \"1\"\\" "web1" "web2" nil"#]]);
        check("state = \"cr|", expect![[r#"8..11 "critical""#]]);
        check("state = \"cr|itical\" and", expect![[r#"8..18 "critical""#]]);
        check("state = \"ok\" |", expect!["13..13 and or"]);
        check("state = \"ok\" an|", expect!["13..15 and"]);
        check(
            "state = \"ok\" and |",
            expect!["17..17 description host metric service state time ttl not tagged true dc"],
        );
        check("(tagged |", expect![[r#"8..8 "canary" "edge""#]]);
        check("tagged 'ed|", expect![[r#"7..10 "edge""#]]);
        check("dc = \"f|", expect![[r#"5..7 "fra""#]]);
        check("not (ho|", expect!["5..7 host"]);
        check("metric > 5 |", expect!["11..11 and or"]);
        check("host = \"b1|", expect![[r#"7..10 "web1""#]]);
    }

    #[test]
    fn a_value_that_was_taken_makes_a_query() {
        for item in complete("host = ", 7, &words()).items {
            Query::parse(&format!("host = {}", item.text)).unwrap();
        }
    }
}
