//! Checks what the compiler does not: who imports whom, headers, fences, links, that every page is in the book, and that
//! every dependency has its reason.
//!
//! Each check is a function from a [`Tree`] to what is wrong in it. They run as an ordinary test, and as `cargo xtask tidy`.
//! A message names the rule and the way out.

mod layers;
pub mod links;
mod manifests;
mod sources;
mod summary;
mod text;

#[cfg(test)]
mod tests;

use crate::program;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

/// The text files of a repository, by their paths in it, and the paths of the others.
pub struct Tree {
    files: BTreeMap<String, String>,
    others: BTreeSet<String>,
}

/// Something that is wrong, and what to do about it.
#[derive(Debug)]
pub struct Untidy {
    /// The file, with a line where that helps.
    place: String,
    /// What is wrong.
    what: String,
    /// The way out.
    way_out: String,
}

impl Untidy {
    fn new(place: impl Into<String>, what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), way_out: way_out.into() }
    }
}

impl fmt::Display for Untidy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    {}", self.place, self.what, self.way_out)
    }
}

impl Tree {
    /// Everything that git knows or would add. Of what is not text only the name is known.
    pub fn read(root: &Path) -> Result<Self> {
        let listed = program::command("git", &["ls-files", "--cached", "--others", "--exclude-standard"]);
        let (mut files, mut others) = (BTreeMap::new(), BTreeSet::new());
        for path in program::output(listed).context("the files of the repository")?.lines() {
            // A file may be deleted here and not yet in git.
            match std::fs::read_to_string(root.join(path)) {
                Ok(text) => drop(files.insert(path.to_owned(), text)),
                Err(error) if error.kind() == ErrorKind::InvalidData => drop(others.insert(path.to_owned())),
                Err(_) => {}
            }
        }
        Ok(Self { files, others })
    }

    /// The files whose names end like this.
    fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(end))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Whether there is a file, or a folder with files.
    fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        self.files.contains_key(path)
            || self.others.contains(path)
            || self.files.keys().any(|file| file.starts_with(&folder))
    }
}

/// Everything that is wrong in a tree.
fn check(tree: &Tree) -> Vec<Untidy> {
    let checks: [fn(&Tree) -> Vec<Untidy>; 5] =
        [layers::check, sources::check, manifests::check, links::check, summary::check];
    checks.iter().flat_map(|check| check(tree)).collect()
}

/// `cargo xtask tidy`
pub fn run() -> Result<()> {
    let tree = Tree::read(&program::root())?;
    let untidy = check(&tree);
    for each in &untidy {
        eprintln!("{each}");
    }
    if !untidy.is_empty() {
        bail!("{} untidy places", untidy.len());
    }
    println!("{} files are tidy", tree.files.len());
    Ok(())
}
