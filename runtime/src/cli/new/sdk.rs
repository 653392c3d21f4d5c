//! The SDK inside this program, unpacked as a workspace of its own that projects can point at.
//!
//! It is unpacked once into a folder that is named by the digest of what is in it. Whoever comes first moves the whole
//! folder into place; whoever else was at it at the same time throws its own away.

use crate::cli::failure::{Exit, Failure};
use crate::cli::home;
use anyhow::Context;
use rust_embed::RustEmbed;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

#[derive(RustEmbed)]
#[folder = "../sdk/src"]
struct Sdk;

#[derive(RustEmbed)]
#[folder = "../sdk/event/src"]
struct Event;

#[derive(RustEmbed)]
#[folder = "../sdk/query/src"]
struct Query;

#[derive(RustEmbed)]
#[folder = "../sdk/macros/src"]
struct Macros;

#[derive(RustEmbed)]
#[folder = "../sdk/testkit/src"]
struct Testkit;

#[derive(RustEmbed)]
#[folder = "engine/src"]
struct Engine;

/// The manifest of the workspace that this program was built from.
pub const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// The versions of dependencies that this program was built with.
pub const LOCK: &str = include_str!("../../../../Cargo.lock");

/// The packages of the SDK: their folders and manifests.
const PACKAGES: [(&str, &str); 6] = [
    ("sdk", include_str!("../../../../sdk/Cargo.toml")),
    ("sdk/event", include_str!("../../../../sdk/event/Cargo.toml")),
    ("sdk/query", include_str!("../../../../sdk/query/Cargo.toml")),
    ("sdk/macros", include_str!("../../../../sdk/macros/Cargo.toml")),
    ("sdk/testkit", include_str!("../../../../sdk/testkit/Cargo.toml")),
    ("runtime/engine", include_str!("../../../engine/Cargo.toml")),
];

/// The folder with the SDK in `sdk`, unpacked if it is not there yet.
pub fn unpacked() -> Result<PathBuf, Failure> {
    let files = files()?;
    let place = home::folder()?.join("sdk");
    let name = format!("{}-{}", env!("CARGO_PKG_VERSION"), digest(&files));
    Ok(unpack(&files, &place, &name).with_context(|| {
        format!(
            "the SDK cannot be unpacked into {}: set TIDEGATE_HOME to a folder of your own",
            place.display()
        )
    })?)
}

/// The folder above an SDK that somebody points at.
pub fn at(path: &Path) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(path)?;
    let candidates = [Some(path.as_path()), path.parent()];
    let is_root =
        |root: &&Path| root.join("sdk/Cargo.toml").is_file() && root.join("sdk/testkit/Cargo.toml").is_file();
    candidates.into_iter().flatten().find(is_root).map(Path::to_path_buf).ok_or_else(|| {
        let expected = "the folder `sdk` of Tidegate's sources was expected";
        Failure::say(Exit::Usage, format!("--sdk: {expected}, found {}", path.display()))
    })
}

fn unpack(files: &BTreeMap<String, Vec<u8>>, place: &Path, name: &str) -> std::io::Result<PathBuf> {
    let target = place.join(name);
    if target.is_dir() {
        return Ok(target);
    }
    fs::create_dir_all(place)?;
    let beside = tempfile::Builder::new().prefix(".unpacking-").tempdir_in(place)?;
    let root = beside.path().join("sdk");
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&root))?;
        fs::write(path, bytes)?;
    }
    match fs::rename(&root, &target) {
        Err(_) if target.is_dir() => Ok(target),
        outcome => outcome.map(|()| target),
    }
}

fn files() -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut files = BTreeMap::new();
    add::<Sdk>("sdk", &mut files);
    add::<Event>("sdk/event", &mut files);
    add::<Query>("sdk/query", &mut files);
    add::<Macros>("sdk/macros", &mut files);
    add::<Testkit>("sdk/testkit", &mut files);
    add::<Engine>("runtime/engine", &mut files);
    for (folder, manifest) in PACKAGES {
        files.insert(format!("{folder}/Cargo.toml"), manifest.as_bytes().to_vec());
    }
    files.insert("sdk/README.md".to_owned(), include_bytes!("../../../../sdk/README.md").to_vec());
    files.insert("Cargo.toml".to_owned(), workspace()?.to_string().into_bytes());
    Ok(files)
}

/// Adds a package's sources.
fn add<Sources: RustEmbed>(folder: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    let found =
        Sources::iter().filter_map(|name| Some((format!("{folder}/src/{name}"), Sources::get(&name)?)));
    files.extend(found.map(|(name, file)| (name, file.data.into_owned())));
}

/// Our workspace's manifest.
pub fn ours() -> Result<Table, Failure> {
    WORKSPACE.parse().map_err(|error: toml::de::Error| Failure::new(Exit::Bug, error))
}

/// Our workspace's manifest, with nothing left of what is not part of the SDK.
fn workspace() -> Result<Table, Failure> {
    let mut manifest = ours()?;
    let workspace = manifest.get_mut("workspace").and_then(Value::as_table_mut);
    let workspace =
        workspace.ok_or_else(|| Failure::say(Exit::Bug, "the workspace's manifest has no [workspace]"))?;
    let members = PACKAGES.map(|(folder, _)| Value::from(folder));
    workspace.insert("members".to_owned(), Value::Array(members.to_vec()));
    workspace.remove("default-members");
    workspace.remove("exclude");
    if let Some(dependencies) = workspace.get_mut("dependencies").and_then(Value::as_table_mut) {
        dependencies.retain(|_, dependency| {
            let path = dependency.get("path").and_then(Value::as_str);
            path.is_none_or(|path| PACKAGES.iter().any(|(folder, _)| *folder == path))
        });
    }
    Ok(manifest)
}

fn digest(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in files {
        for part in [name.as_bytes(), bytes] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize().to_hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_is_complete_and_nothing_else_is_in_it() {
        let files = files().unwrap();
        for (folder, _) in PACKAGES {
            assert!(files.contains_key(&format!("{folder}/Cargo.toml")));
            assert!(files.contains_key(&format!("{folder}/src/lib.rs")), "{folder}");
        }
        let odd: Vec<_> = files
            .keys()
            .filter(|name| {
                !name.ends_with(".rs") && !name.ends_with("Cargo.toml") && *name != "sdk/README.md"
            })
            .collect();
        assert!(odd.is_empty(), "{odd:?}");
        let workspace = workspace().unwrap().to_string();
        assert!(
            workspace.contains("tidegate-testkit") && !workspace.contains("tidegate-wasm"),
            "{workspace}"
        );
    }

    #[test]
    fn several_at_once_end_up_with_one_whole_copy() {
        let place = tempfile::tempdir().unwrap();
        let files: BTreeMap<String, Vec<u8>> =
            (0..50).map(|n| (format!("a/{n}/file"), vec![n; 1000])).collect();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let root = unpack(&files, place.path(), "1-abc").unwrap();
                    for (name, bytes) in &files {
                        assert_eq!(&fs::read(root.join(name)).unwrap(), bytes);
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_byte_is_another_digest() {
        let one =
            |name: &str, text: &str| digest(&BTreeMap::from([(name.to_owned(), text.as_bytes().to_vec())]));
        assert_ne!(one("a", "b"), one("a", "c"));
        assert_ne!(one("ab", "c"), one("a", "bc"));
    }
}
