//! Links between the pages of this repository: the file is there, and so is the heading.

use super::{Tree, Untidy};

pub fn check(tree: &Tree) -> Vec<Untidy> {
    let mut untidy = Vec::new();
    for (path, text) in tree.ending(".md") {
        for (line, target) in targets(text) {
            if target.contains("://") || target.starts_with("mailto:") || target.starts_with('<') {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let resolved = if file.is_empty() { Some(path.to_owned()) } else { resolve(path, file) };
            let place = format!("{path}:{line}");
            match resolved {
                Some(found) if found.is_empty() || tree.has(&found) => {
                    let page = tree.files.get(&found).filter(|_| found.ends_with(".md"));
                    if !heading.is_empty()
                        && page.is_some_and(|page| !headings(page).any(|name| name == heading))
                    {
                        untidy.push(Untidy::new(
                            place,
                            format!("`{found}` has no heading `#{heading}`"),
                            "headings are lower case with `-` for spaces",
                        ));
                    }
                }
                _ => untidy.push(Untidy::new(
                    place,
                    format!("links to `{target}`, which is not there"),
                    "links are relative to the file they stand in",
                )),
            }
        }
    }
    untidy
}

/// The targets of all links, with their lines; listings are not looked at.
pub fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut listing = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            listing = !listing;
        }
        if listing {
            continue;
        }
        // What stands between backticks is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        let mut rest = prose.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let end = rest.find([')', ' ']).unwrap_or(rest.len());
            found.push((number + 1, rest[..end].to_owned()));
        }
    }
    found
}

/// A path relative to a file's folder as one in the repository; `None` when it leads out of it.
pub fn resolve(from: &str, to: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in to.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The names of all headings, as links spell them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    })
}
