//! Text as it stands in JSON, and documentation as text.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// A JSON string with its quotes.
pub fn string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", c as u32)),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

/// The first paragraph of the documentation, on one line.
pub fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    paragraph(lines)
}

/// The first paragraph of these lines, on one line.
pub fn paragraph(lines: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    // A `#[doc = "…"]` may hold several lines, and an empty one has none according to `lines()`.
    let lines =
        lines.flat_map(|lines| lines.split('\n').map(|line| line.trim().to_owned()).collect::<Vec<_>>());
    for line in lines {
        match (line.is_empty(), text.is_empty()) {
            (true, true) => {}
            (true, false) => break,
            (false, first) => {
                if !first {
                    text.push(' ');
                }
                text.push_str(&line);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(string("a \"b\"\\\n\u{1}ü"), r#""a \"b\"\\\n\u0001ü""#);
    }

    #[test]
    fn documentation_is_its_first_paragraph() {
        let lines = ["", " One", " two. ", "", " Three."].map(str::to_owned);
        assert_eq!(paragraph(lines.into_iter()), "One two.");
    }
}
