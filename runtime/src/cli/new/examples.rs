//! The example rules inside this program, as starting points.

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
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let message = format!("there is no example {example:?}; there are {}", names.join(", "));
        return Err(Failure::say(Exit::Usage, message));
    };
    let mut project = common(name);
    for path in Examples::iter() {
        let Some(inner) = path.strip_prefix(folder.as_str()).and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        if inner != "Cargo.toml" && !inner.starts_with("src/") {
            continue;
        }
        let bytes = Examples::get(&path).map(|file| file.data.into_owned()).unwrap_or_default();
        let text = String::from_utf8(bytes).map_err(|error| Failure::new(Exit::Bug, error))?;
        project.insert(inner.to_owned(), text);
    }
    manifest::adopt(&mut project, name, root)?;
    Ok(project)
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
        assert!(failure.starts_with("error: there is no example \"nothing\"; there are "), "{failure}");
    }
}
