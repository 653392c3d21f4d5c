//! What every source file keeps to: a first sentence, a length that can be read, no unsafe code outside the fences, and no
//! word about the machine it was written on.

use super::text::code;
use super::{Tree, Untidy};

/// The only files with `unsafe` in their code, each with the reason.
const FENCES: &[(&str, &str)] = &[
    ("sdk/src/sys.rs", "the guest's side of the wasm line: exports, and the region that the host writes to"),
    ("runtime/wasm/src/artefact.rs", "loading machine code that we compiled ourselves"),
];

/// Longer than this is more than one idea.
const LINES: usize = 900;

/// Files that may be longer, each with the reason.
const LONG: &[(&str, &str)] = &[];

/// Files without a first sentence, by the ends of their names or a part of their path, each with the reason.
const HEADLESS: &[(&str, &str)] = &[
    ("/tests/ui/", "wrong rules: what stands in them is what an author would write"),
    ("/templates/", "becomes a file of somebody else's project"),
];

/// Macros that mean "not yet".
const NOT_YET: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];

/// Folders of the machines that this was written on: nothing here may depend on them.
const MACHINE: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp/ba", "sh_jobs"), concat!("/Us", "ers/")];

pub fn check(tree: &Tree) -> Vec<Untidy> {
    let mut untidy = Vec::new();
    for (path, source) in tree.ending(".rs") {
        let code = code(source);
        let headless = HEADLESS.iter().any(|(part, _)| path.contains(part));
        if !headless && !source.starts_with("//!") {
            untidy.push(Untidy::new(
                path,
                "the first line is not a `//!` sentence",
                "begin with what you would say to a colleague who asks what this file is for",
            ));
        }
        let fenced = FENCES.iter().any(|(fence, _)| *fence == path);
        for (number, line) in code.lines().enumerate() {
            let place = || format!("{path}:{}", number + 1);
            if !fenced && words(line).any(|word| word == "unsafe") {
                let fences: Vec<_> = FENCES.iter().map(|(fence, _)| *fence).collect();
                untidy.push(Untidy::new(
                    place(),
                    "unsafe code outside the fences",
                    format!("use what {} offer; another fence needs a decision record", fences.join(" and ")),
                ));
            }
            for macro_name in NOT_YET.iter().filter(|name| line.contains(*name)) {
                untidy.push(Untidy::new(
                    place(),
                    format!("`{macro_name}` is here"),
                    "write it, or leave the feature out and say so in the README",
                ));
            }
        }
        let lines = source.lines().count();
        if lines > LINES && !LONG.iter().any(|(long, _)| *long == path) {
            untidy.push(Untidy::new(
                path,
                format!("{lines} lines are more than {LINES}"),
                "give its second idea a file of its own, or list it with a reason in xtask/src/tidy/sources.rs",
            ));
        }
    }
    for (path, text) in &tree.files {
        for (number, line) in text.lines().enumerate() {
            if let Some(machine) = MACHINE.iter().find(|folder| line.contains(*folder)) {
                untidy.push(Untidy::new(
                    format!("{path}:{}", number + 1),
                    format!("names `{machine}`, a folder of the machine it was written on"),
                    "use a relative path, or one that is asked for",
                ));
            }
        }
    }
    for (fence, _) in FENCES.iter().chain(LONG) {
        if !tree.files.is_empty() && tree.has("xtask/src/tidy/sources.rs") && !tree.has(fence) {
            untidy.push(Untidy::new(
                "xtask/src/tidy/sources.rs",
                format!("names {fence}, which is not there"),
                "take it out of the list",
            ));
        }
    }
    untidy
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}
