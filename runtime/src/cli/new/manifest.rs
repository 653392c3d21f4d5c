//! A package's manifest, made to stand alone: what it took from our workspace is written out, and the SDK is found by
//! path.

use super::{Files, sdk};
use crate::cli::failure::{Exit, Failure};
use std::path::Path;
use toml::{Table, Value};

/// The sections of a manifest in the order in which people expect them.
const ORDER: [&str; 5] = ["package", "lib", "features", "dependencies", "dev-dependencies"];

/// Rewrites the project's manifest, which is written as that of a member of our workspace.
pub fn adopt(project: &mut Files, name: &str, root: &Path) -> Result<(), Failure> {
    let bug = |message: &str| Failure::say(Exit::Bug, message);
    let text = project.get("Cargo.toml").ok_or_else(|| bug("the project has no Cargo.toml"))?;
    let mut manifest: Table =
        text.parse().map_err(|error: toml::de::Error| Failure::new(Exit::Bug, error))?;
    let ours = sdk::ours()?;
    let workspace = ours.get("workspace").and_then(Value::as_table);
    let workspace = workspace.ok_or_else(|| bug("the workspace's manifest has no [workspace]"))?;
    let shared = |section: &str, key: &str| workspace.get(section).and_then(|table| table.get(key)).cloned();

    let package = manifest.get_mut("package").and_then(Value::as_table_mut);
    let package = package.ok_or_else(|| bug("the project's Cargo.toml has no [package]"))?;
    package.retain(|key, _| key != "repository" && key != "license");
    for (key, value) in package.iter_mut() {
        if is_shared(value) {
            *value = shared("package", key)
                .ok_or_else(|| bug(&format!("package.{key} is not in the workspace")))?;
        }
    }
    package.insert("name".into(), name.into());
    package.insert("publish".into(), false.into());

    for section in ["dependencies", "dev-dependencies"] {
        let Some(dependencies) = manifest.get_mut(section).and_then(Value::as_table_mut) else { continue };
        for (key, value) in dependencies.iter_mut() {
            if is_shared(value) {
                let base = shared("dependencies", key);
                let base = base.ok_or_else(|| bug(&format!("dependency {key} is not in the workspace")))?;
                *value = dependency(base, value, root);
            }
        }
    }
    let text = print(&manifest);
    project.insert("Cargo.toml".into(), text);
    project.insert("Cargo.lock".into(), sdk::LOCK.to_owned());
    Ok(())
}

/// Whether a value is taken from the workspace.
fn is_shared(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// A dependency of the workspace with what the package adds to it; one of ours is found below `root`.
fn dependency(base: Value, added: &Value, root: &Path) -> Value {
    let mut table = match base {
        Value::Table(table) => table,
        version => Table::from_iter([("version".to_owned(), version)]),
    };
    if let Some(path) = table.get("path").and_then(Value::as_str) {
        let path = root.join(path).display().to_string();
        table = Table::from_iter([("path".to_owned(), path.into())]);
    }
    for (key, value) in added.as_table().into_iter().flatten() {
        match (&key[..], table.get_mut(key)) {
            ("workspace", _) => {}
            ("features", Some(Value::Array(features))) => {
                features.extend(value.as_array().into_iter().flatten().cloned())
            }
            _ => drop(table.insert(key.clone(), value.clone())),
        }
    }
    Value::Table(table)
}

fn print(manifest: &Table) -> String {
    let mut text = String::new();
    for section in ORDER {
        let Some(table) = manifest.get(section).and_then(Value::as_table) else { continue };
        text += &format!("[{section}]\n");
        // Names first, as everywhere.
        let (first, rest): (Vec<_>, Vec<_>) =
            table.iter().partition(|(key, _)| section == "package" && *key == "name");
        for (key, value) in first.into_iter().chain(rest) {
            text += &format!("{key} = {value}\n");
        }
        text.push('\n');
    }
    text + "# A workspace of its own, wherever this folder lies.\n[workspace]\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_the_workspace_is_written_out() {
        let manifest = "
            [package]
            name = \"old\"
            version.workspace = true
            license.workspace = true
            [lints]
            workspace = true
            [lib]
            crate-type = [\"cdylib\"]
            [dependencies]
            tidegate-sdk.workspace = true
            serde = { workspace = true, features = [\"rc\"] }
            other = \"2\"
        ";
        let mut project = Files::from([("Cargo.toml".into(), manifest.into())]);
        adopt(&mut project, "new", Path::new("/x \"y\"")).unwrap();
        let text = &project["Cargo.toml"];
        let read: Table = text.parse().unwrap();
        assert_eq!(read["package"]["name"].as_str(), Some("new"));
        assert_eq!(read["package"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(read["dependencies"]["tidegate-sdk"]["path"].as_str(), Some("/x \"y\"/sdk"));
        assert_eq!(read["dependencies"]["serde"]["features"].as_array().map(Vec::len), Some(2));
        assert_eq!(read["dependencies"]["other"].as_str(), Some("2"));
        assert!(read.contains_key("workspace") && !read.contains_key("lints"), "{text}");
        assert!(text.starts_with("[package]\nname = \"new\"\n"), "{text}");
    }
}
