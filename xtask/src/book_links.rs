//! `mdbook` asks this on its way (`docs/book.toml`): links that leave the book lead to the repository's files instead.
//!
//! A preprocessor of mdbook reads `[context, book]` as JSON and writes the book back; `supports html` is asked before. Chapters
//! are whatever has a `content` and a `path`, wherever the version at hand keeps them.

use crate::tidy::links::{resolve, targets};
use anyhow::{Context, Result};
use serde_json::Value;

/// Where the repository's files are shown.
const FILES: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main");
const FOLDER: &str = "docs";

/// `cargo xtask book-links [supports RENDERER]`
pub fn run(words: &[String]) -> Result<()> {
    if words.first().is_some_and(|word| word == "supports") {
        return Ok(());
    }
    let mut given: Value =
        serde_json::from_reader(std::io::stdin()).context("mdbook's context and book were expected")?;
    let mut book = given.get_mut(1).map(Value::take).context("the book was expected behind the context")?;
    chapters(&mut book);
    println!("{book}");
    Ok(())
}

fn chapters(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(chapters),
        Value::Object(map) => {
            let path = map.get("path").and_then(Value::as_str).map(|path| format!("{FOLDER}/{path}"));
            if let (Some(path), Some(Value::String(content))) = (path, map.get_mut("content")) {
                *content = lead_out(&path, content);
            }
            map.values_mut().for_each(chapters);
        }
        _ => {}
    }
}

/// A page, with the links to what is not in the book as addresses, and those to folders' first pages as mdbook calls them.
fn lead_out(page: &str, text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (line, target) in targets(text) {
        let file = target.split('#').next().unwrap_or_default();
        if target.contains("://") || file.is_empty() {
            continue;
        }
        let Some(found) = resolve(page, file) else { continue };
        let heading = &target[file.len()..];
        let there = if !found.starts_with(&format!("{FOLDER}/")) || found.ends_with("SUMMARY.md") {
            format!("{FILES}/{found}{heading}")
        } else if let Some(folder) = file.strip_suffix("README.md") {
            format!("{folder}index.md{heading}")
        } else {
            continue;
        };
        let line = &mut lines[line - 1];
        *line = line.replace(&format!("]({target}"), &format!("]({there}"));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn links_that_leave_the_book_lead_to_the_repository_and_others_stay() {
        let text = "[a](../../sdk/src/lib.rs), [b](parts.md#x), [c](https://c.example), `[d](../../d.rs)`\n[e](#f) [g](../../g.md#h) [i](../README.md#j)";
        let mut book = json!({ "items": [{ "Chapter": { "content": text, "path": "rules/x.md", "sub_items": [] } }, "Separator"] });
        chapters(&mut book);
        let expected = format!(
            "[a]({FILES}/sdk/src/lib.rs), [b](parts.md#x), [c](https://c.example), `[d](../../d.rs)`\n[e](#f) [g]({FILES}/g.md#h) [i](../index.md#j)\n"
        );
        assert_eq!(book["items"][0]["Chapter"]["content"], expected);
    }
}
