//! What the manifests promise: every dependency once, with the reason it is here; crates that depend downwards only; and a
//! core that cannot reach the outside because nothing that could is in its manifest.

use super::{Tree, Untidy};
use std::collections::{BTreeMap, BTreeSet};

/// What a crate may depend on, outside its tests.
struct Allowed {
    manifest: &'static str,
    crates: &'static [&'static str],
    reason: &'static str,
}

const ALLOWED: &[Allowed] = &[
    Allowed {
        manifest: "sdk/event/Cargo.toml",
        crates: &["serde"],
        reason: "both sides of the wasm line agree on it: it stands on nothing, but for serde where that is asked for",
    },
    Allowed {
        manifest: "sdk/query/Cargo.toml",
        crates: &["tidegate-event", "regex", "regex-lite"],
        reason: "both sides of the wasm line ask queries",
    },
    Allowed {
        manifest: "sdk/Cargo.toml",
        crates: &["tidegate-event", "tidegate-sdk-macros", "serde", "libm"],
        reason: "all of it ends up in every rule's module",
    },
    Allowed {
        manifest: "sdk/macros/Cargo.toml",
        crates: &["syn", "quote", "proc-macro2"],
        reason: "macros are compiled for every author",
    },
    Allowed {
        manifest: "runtime/engine/Cargo.toml",
        crates: &[
            "tidegate-event",
            "tidegate-query",
            "hashbrown",
            "smallvec",
            "thiserror",
            "serde",
            "serde_json",
            "rmp",
            "rmp-serde",
            "jiff",
        ],
        reason: "the engine is a pure function: no async runtime, no wasm engine, no sockets, no clock, no randomness",
    },
];

/// Crates of ours that may know a crate of ours, outside their tests.
const OURS: &[(&str, &[&str])] = &[
    ("tidegate-event", &[]),
    ("tidegate-query", &["tidegate-event"]),
    ("tidegate-sdk-macros", &[]),
    ("tidegate-sdk", &["tidegate-event", "tidegate-sdk-macros"]),
    ("tidegate-engine", &["tidegate-event", "tidegate-query"]),
    ("tidegate-wasm", &["tidegate-event", "tidegate-engine"]),
    ("tidegate-testkit", &["tidegate-event", "tidegate-sdk", "tidegate-engine"]),
    // The program carries the example rules, for the benches that compare, and plays scenes, for `tidegate test`.
    ("tidegate", &["tidegate-event", "tidegate-engine", "tidegate-wasm", "tidegate-sdk", "tidegate-testkit"]),
];

/// The only crates that may know wasmtime and its tools.
const WASM_ENGINE: (&str, &[&str]) = ("wasmtime", &["runtime/wasm/Cargo.toml"]);

pub fn check(tree: &Tree) -> Vec<Untidy> {
    let mut untidy = Vec::new();
    let mut used = BTreeSet::new();
    for (path, text) in tree.ending("Cargo.toml") {
        let Ok(manifest) = text.parse::<toml::Table>() else {
            untidy.push(Untidy::new(path, "is not TOML", "cargo says where"));
            continue;
        };
        if manifest.contains_key("workspace") && path == "Cargo.toml" {
            continue;
        }
        let Some(package) = manifest.get("package").and_then(|package| package.get("name")?.as_str()) else {
            continue;
        };
        let depends = dependencies(&manifest);
        used.extend(depends.values().flatten().cloned());
        let ships = depends.get("dependencies").cloned().unwrap_or_default();
        outside_workspace(path, &manifest, &mut untidy);
        if let Some(allowed) = ALLOWED.iter().find(|allowed| allowed.manifest == path) {
            for name in ships.iter().filter(|name| !allowed.crates.contains(&name.as_str())) {
                untidy.push(Untidy::new(
                    path,
                    format!("`{package}` depends on `{name}`: {}", allowed.reason),
                    "do it in a crate above, or list the dependency in xtask/src/tidy/manifests.rs and say why it is harmless",
                ));
            }
        }
        if let Some((_, below)) = OURS.iter().find(|(name, _)| *name == package) {
            for name in ships.iter().filter(|name| OURS.iter().any(|(ours, _)| ours == name)) {
                if !below.contains(&name.as_str()) {
                    untidy.push(Untidy::new(
                        path,
                        format!("`{package}` depends on `{name}`, which is not below it"),
                        "move what both need down, or hand it in as a value or a trait",
                    ));
                }
            }
        }
        let (engine, homes) = WASM_ENGINE;
        if ships.contains(engine) && !homes.contains(&path) {
            untidy.push(Untidy::new(
                path,
                format!("`{package}` depends on `{engine}`"),
                "only tidegate-wasm knows the wasm engine: use what it offers",
            ));
        }
    }
    if let Some(text) = tree.files.get("Cargo.toml") {
        workspace(text, &used, &mut untidy);
    }
    untidy
}

/// The names of the dependencies by their section.
fn dependencies(manifest: &toml::Table) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut tables = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    for table in tables {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let names =
                table.get(section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
            all.entry(section.to_owned()).or_default().extend(names.cloned());
        }
    }
    all
}

/// Versions stand in the root manifest, once.
fn outside_workspace(path: &str, manifest: &toml::Table, untidy: &mut Vec<Untidy>) {
    // Fuzz targets and templates are packages of their own.
    if path.contains("/fuzz/") || path.starts_with("benches/instructions/") || path.contains("/templates/") {
        return;
    }
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let entries = manifest.get(section).and_then(toml::Value::as_table).into_iter().flatten();
        for (name, value) in entries {
            if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                untidy.push(Untidy::new(
                    path,
                    format!("`{name}` has a version of its own"),
                    format!("write `{name}.workspace = true`, and the version with its reason in the root Cargo.toml"),
                ));
            }
        }
    }
}

/// Every dependency of the workspace says why it is here, and is used.
fn workspace(text: &str, used: &BTreeSet<String>, untidy: &mut Vec<Untidy>) {
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim() == "[workspace.dependencies]";
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| inside && !line.starts_with('#')) else {
            continue;
        };
        let name = name.trim();
        let place = format!("Cargo.toml:{}", number + 1);
        let ours = value.contains("path =");
        if !ours && value.rsplit_once('#').is_none_or(|(_, reason)| reason.trim().is_empty()) {
            untidy.push(Untidy::new(
                place.clone(),
                format!("`{name}` does not say why it is here"),
                "add the reason as a comment on the same line",
            ));
        }
        if !ours && !used.contains(name) {
            untidy.push(Untidy::new(place, format!("`{name}` is used by no crate"), "take the line out"));
        }
    }
}
