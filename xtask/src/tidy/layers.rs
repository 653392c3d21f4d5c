//! Who may import whom. Imports go downwards only, so that whoever reads a file need not know what stands above it.
//!
//! ```text
//! event → query → codec → index → rule → guest → shard        (the engine: what decides)
//!                                        └─ wasm             (implements guest, knows no shard)
//! clock, telemetry, config → ingest → input, output, log → web, control → node → cli
//! ```
//!
//! In the order of calls the wasm host stands below the shard; in the order of imports it is the other way round: a shard
//! knows the trait `Guest` alone. That is why simulations, benches and a rule's tests run the true shard without wasmtime.

use super::text::{code, without_tests};
use super::{Tree, Untidy};

/// The floors of one crate, lowest first. A module imports from lower floors and from itself.
struct House {
    /// Where its sources are.
    folder: &'static str,
    floors: &'static [&'static [&'static str]],
}

const HOUSES: &[House] = &[
    House {
        folder: "runtime/engine/src",
        floors: &[&["codec", "save"], &["index", "rule"], &["guest", "manifest"], &["shard"]],
    },
    House {
        folder: "runtime/src",
        floors: &[
            &["chaos", "clock", "telemetry", "framed", "rules"],
            &["dead_letters", "history"],
            &["config", "data"],
            &["ingest"],
            &["input", "output", "log", "modules"],
            &["catalogue", "checkpoint", "archive"],
            &["backtest"],
            &["explain"],
            &["web", "rebuild"],
            &["shard_thread"],
            &["sequencer", "control"],
            &["node"],
            &["bench"],
            &["cli"],
        ],
    },
];

/// A file that may look up, at one module, and why.
const WINDOWS: &[(&str, &str)] = &[
    // Each type of output reads its own keys, beside what it does with them; the configuration knows their list alone.
    ("runtime/src/config/outputs.rs", "output"),
];

/// What a module must never know about, though it lies in a crate below.
struct Wall {
    folder: &'static str,
    unknown: &'static [&'static str],
    reason: &'static str,
}

const WALLS: &[Wall] = &[
    Wall {
        folder: "runtime/src/input",
        unknown: &["tidegate_engine::shard", "tidegate_engine::guest", "tidegate_wasm"],
        reason: "an input turns bytes into batches and knows no rule: hand them to `ingest`",
    },
    Wall {
        folder: "runtime/src/output",
        unknown: &["tidegate_engine::shard", "tidegate_engine::guest", "tidegate_wasm"],
        reason: "an output turns effects into requests and knows no rule: take what it needs from the `Delivery`",
    },
    Wall {
        folder: "runtime/src/log",
        unknown: &["tidegate_engine::shard", "tidegate_engine::index", "tidegate_wasm"],
        reason: "the log keeps records and does not know what becomes of them",
    },
    Wall {
        folder: "runtime/wasm/src",
        unknown: &["tidegate_engine::shard", "tidegate_engine::index"],
        reason: "the wasm host implements `guest` and knows no shard: what both need goes into `guest` or `rule`",
    },
];

pub fn check(tree: &Tree) -> Vec<Untidy> {
    let mut untidy = Vec::new();
    for (path, source) in tree.ending(".rs") {
        // Tests may look at everything.
        if path.ends_with("/tests.rs") || path.contains("/tests/") {
            continue;
        }
        let all = code(source);
        let code = without_tests(&all);
        for house in HOUSES {
            if let Some(inside) = path.strip_prefix(house.folder).and_then(|inside| inside.strip_prefix('/'))
            {
                house.check(path, inside, code, &mut untidy);
            }
        }
        for wall in WALLS {
            let door = format!("{}.rs", wall.folder);
            if path == door || path.starts_with(&format!("{}/", wall.folder)) {
                wall.check(path, code, &mut untidy);
            }
        }
    }
    untidy
}

impl House {
    fn floor(&self, module: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&module))
    }

    fn check(&self, path: &str, inside: &str, code: &str, untidy: &mut Vec<Untidy>) {
        let module = inside.trim_end_matches(".rs").split('/').next().unwrap_or_default();
        // The doors assemble: they name everything there is.
        if matches!(module, "lib" | "main") {
            return;
        }
        let Some(own) = self.floor(module) else {
            untidy.push(Untidy::new(
                path,
                format!("module `{module}` has no place in the layers"),
                "give it one in HOUSES in xtask/src/tidy/layers.rs: above everything it imports, as low as it can be",
            ));
            return;
        };
        for (line, other) in imports(inside, code) {
            if other == module || WINDOWS.contains(&(path, &other)) {
                continue;
            }
            let Some(floor) = self.floor(&other) else { continue };
            if floor >= own {
                let relation = if floor == own { "beside it" } else { "above it" };
                untidy.push(Untidy::new(
                    format!("{path}:{line}"),
                    format!(
                        "layer `{module}` (floor {own}) imports `{other}` (floor {floor}), which is {relation}: imports go down"
                    ),
                    format!("move what both need below `{module}`, or have `{other}` hand it in as a value or a trait"),
                ));
            }
        }
    }
}

impl Wall {
    fn check(&self, path: &str, code: &str, untidy: &mut Vec<Untidy>) {
        let paths = paths(code);
        for unknown in self.unknown {
            let inside = format!("{unknown}::");
            for (line, found) in &paths {
                if found == unknown || found.starts_with(&inside) {
                    untidy.push(Untidy::new(
                        format!("{path}:{line}"),
                        format!("{} must not know `{unknown}`", self.folder),
                        self.reason,
                    ));
                }
            }
        }
    }
}

/// The modules at the root of its crate that a file names, with lines. Through `crate::` or enough of `super::`.
fn imports(inside: &str, code: &str) -> Vec<(usize, String)> {
    // `a.rs` is module a, at depth 1; `a/b.rs` is a::b, at depth 2.
    let depth = inside.split('/').count();
    let mut found = Vec::new();
    for (line, path) in paths(code) {
        let mut parts = path.split("::").peekable();
        let module = match parts.next() {
            Some("crate") => parts.next(),
            Some("super") => {
                let mut up = 1;
                while parts.next_if_eq(&"super").is_some() {
                    up += 1;
                }
                if up == depth { parts.next() } else { None }
            }
            _ => None,
        };
        if let Some(module) = module.filter(|module| !module.is_empty()) {
            found.push((line, module.to_owned()));
        }
    }
    found
}

/// Every path in the code, with its line; groups in braces are opened up.
fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let length = if c.is_alphabetic() || c == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        if c == '\n' {
            line += 1;
        } else if !c.is_whitespace() {
            tokens.push((line, &rest[..length]));
        }
        rest = &rest[length..];
    }
    let mut at = 0;
    while at < tokens.len() {
        let starts = matches!(tokens[at].1, "crate" | "super") || tokens[at].1.starts_with("tidegate_");
        if starts && tokens.get(at + 1).is_some_and(|(_, next)| *next == "::") {
            at = path(&tokens, at, "", &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path from `at`, and all that branch off it; returns where it ends.
fn path(tokens: &[(usize, &str)], mut at: usize, before: &str, found: &mut Vec<(usize, String)>) -> usize {
    let mut whole = before.to_owned();
    let line = tokens[at].0;
    while let Some((_, token)) = tokens.get(at) {
        if *token == "{" {
            at += 1;
            while let Some((_, token)) = tokens.get(at) {
                match *token {
                    "}" => return at + 1,
                    "," => at += 1,
                    _ => at = path(tokens, at, &whole, found).max(at + 1),
                }
            }
            return at;
        }
        let word = token.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
        if !word && *token != "*" {
            break;
        }
        if !whole.is_empty() {
            whole += "::";
        }
        whole += token;
        at += 1;
        if tokens.get(at).is_none_or(|(_, next)| *next != "::") {
            break;
        }
        at += 1;
    }
    // `self as other` and the like: the new name is nobody's path.
    if tokens.get(at).is_some_and(|(_, next)| *next == "as") {
        at += 2;
    }
    found.push((line, whole));
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_opened_and_super_is_resolved() {
        let code = "use crate::{a, b::{c, d as e}, f::*};\nuse super::super::g::H;\nfn x() { crate::i::j(); super::k() }";
        let named = |inside| imports(inside, code).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(named("m.rs"), ["a", "b", "b", "f", "i", "k"]);
        assert_eq!(named("m/n.rs"), ["a", "b", "b", "f", "g", "i"]);
    }

    #[test]
    fn lines_are_told() {
        assert_eq!(imports("m.rs", "\n\nuse crate::a;\n"), [(3, "a".to_owned())]);
    }
}
