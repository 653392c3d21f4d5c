//! The example rules inside this program, as starting points: every folder of `examples-wasm`, without a list of them.

use super::{Files, common, manifest};
use crate::cli::failure::{Exit, Failure};
use rust_embed::RustEmbed;
use std::collections::BTreeSet;
use std::path::Path;

#[derive(RustEmbed)]
#[folder = "../examples-wasm"]
struct Examples;

/// The names of all examples.
pub fn names() -> BTreeSet<String> {
    let manifests = Examples::iter().filter_map(|path| path.strip_suffix("/Cargo.toml").map(str::to_owned));
    manifests.filter(|folder| !folder.contains('/')).collect()
}

/// A project that starts as a copy of an example.
pub fn project(example: &str, name: &str, root: &Path) -> Result<Files, Failure> {
    let names = names();
    let same = |text: &str| text.replace('-', "_");
    let Some(folder) = names.iter().find(|known| same(known) == same(example)) else {
        return Err(Failure::say(Exit::Usage, format!("there is no example {example:?}{}", list())));
    };
    let mut project = common(name);
    for path in Examples::iter() {
        let Some(inner) = path.strip_prefix(folder.as_str()).and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        if !is_source(inner) {
            continue;
        }
        let bytes = Examples::get(&path).map(|file| file.data.into_owned()).unwrap_or_default();
        let text = String::from_utf8(bytes).map_err(|error| Failure::new(Exit::Bug, error))?;
        project.insert(inner.to_owned(), text);
    }
    manifest::adopt(&mut project, name, root)?;
    Ok(project)
}

/// All examples and what they do, one in a line.
fn list() -> String {
    let about = |name: &str| {
        let manifest = Examples::get(&format!("{name}/Cargo.toml"))?;
        let manifest: toml::Table = std::str::from_utf8(&manifest.data).ok()?.parse().ok()?;
        Some(manifest.get("package")?.get("description")?.as_str()?.to_owned())
    };
    let names = names();
    let width = names.iter().map(String::len).max().unwrap_or_default();
    let lines = names.iter().map(|name| {
        let line = format!("\n  {:width$}  {}", name.replace('_', "-"), about(name).unwrap_or_default());
        line.trim_end().to_owned()
    });
    format!("; there are{}", lines.collect::<String>())
}

/// Whether a file of an example is part of it, and not what somebody built of it.
fn is_source(inner: &str) -> bool {
    !inner.starts_with("target/") && !matches!(inner, "Cargo.lock" | "README.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_becomes_a_project_that_depends_on_nothing_of_ours_but_the_sdk() {
        assert!(!names().is_empty());
        for example in names() {
            let project = project(&example, "mine", Path::new("/the root")).unwrap();
            let manifest = &project["Cargo.toml"];
            assert!(manifest.contains("name = \"mine\""), "{manifest}");
            assert!(manifest.contains("/the root/sdk"), "{manifest}");
            assert!(!manifest.contains("workspace = true"), "{manifest}");
            assert!(project.contains_key("src/lib.rs"));
        }
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        let failure = project("nothing", "mine", Path::new("/")).unwrap_err().to_string();
        assert!(failure.starts_with("error: there is no example \"nothing\"; there are\n"), "{failure}");
        for example in names() {
            let name = example.replace('_', "-");
            let line = failure.lines().find(|line| line.split_whitespace().next() == Some(name.as_str()));
            assert!(line.is_some_and(|line| line.trim().len() > name.len() + 5), "{name}: {failure}");
        }
    }

    #[test]
    fn every_folder_of_examples_is_one() {
        let folders = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples-wasm")).unwrap();
        let folders = folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        let folders: BTreeSet<String> =
            folders.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(names(), folders);
    }

    #[test]
    fn all_files_of_an_example_come_along_but_not_what_was_built() {
        for file in ["src/lib.rs", "src/deep/er.rs", "Cargo.toml", "fixtures/a.ndjson", "tests/b.rs"] {
            assert!(is_source(file), "{file}");
        }
        for file in ["target/tidegate/x.wasm", "Cargo.lock", "README.md"] {
            assert!(!is_source(file), "{file}");
        }
    }
}
