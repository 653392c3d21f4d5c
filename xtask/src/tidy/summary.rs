//! The book's table of contents: every page under `docs` stands in it once, and everything in it is such a page.

use super::links::{resolve, targets};
use super::{Tree, Untidy};
use std::collections::BTreeMap;

const SUMMARY: &str = "docs/SUMMARY.md";

pub fn check(tree: &Tree) -> Vec<Untidy> {
    let Some(summary) = tree.files.get(SUMMARY) else {
        let way_out = format!("`{SUMMARY}` lists the book's pages");
        return tree
            .has("docs/book.toml")
            .then(|| Untidy::new("docs/book.toml", "is the book of no pages", way_out))
            .into_iter()
            .collect();
    };
    let mut untidy = Vec::new();
    let mut listed = BTreeMap::new();
    for (line, target) in targets(summary) {
        let place = format!("{SUMMARY}:{line}");
        let page =
            resolve(SUMMARY, &target).filter(|page| page.starts_with("docs/") && page.ends_with(".md"));
        match page.filter(|page| tree.files.contains_key(page)) {
            None => untidy.push(Untidy::new(
                place,
                format!("lists `{target}`, which is no page under `docs`"),
                "take the line out, or write the page",
            )),
            Some(page) => {
                if let Some(before) = listed.insert(page, line) {
                    let what = format!("lists `{target}` again, after line {before}");
                    untidy.push(Untidy::new(place, what, "a page has one place in the book"));
                }
            }
        }
    }
    let pages = tree.ending(".md").map(|(path, _)| path).filter(|path| path.starts_with("docs/"));
    for page in pages.filter(|page| *page != SUMMARY && !listed.contains_key(*page)) {
        untidy.push(Untidy::new(page, "is not in the book", format!("give it a line in `{SUMMARY}`")));
    }
    untidy
}
