//! `tidegate new`: a crate with a rule, scenes that test it and a fixture that one of them plays, without a network.
//!
//! The project depends on the SDK by path: on the copy that is inside this program and is unpacked for it ([`sdk`]), so
//! that program and SDK always speak the same version. Examples become projects in the same way ([`manifest`]).

pub mod examples;
mod manifest;
pub mod sdk;

use super::failure::{Exit, Failure};
use super::screen::Screen;
use anyhow::Context;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tidegate_engine::rule::RuleSpec;

/// What is started, and where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rule's name, like slow-api.
    name: String,
    /// Start from one of the examples instead of the template; a wrong name is answered with all of them.
    #[arg(long, value_name = "EXAMPLE")]
    from: Option<String>,
    /// Use the SDK in this folder instead of the one inside this program.
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
    /// The folder to make; one of the rule's name, here, if left out.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The files of a project by their paths in it.
type Files = BTreeMap<String, String>;

/// Names that a crate cannot have, or that would hide one that it needs.
const TAKEN: [&str; 14] = [
    "alloc",
    "build",
    "core",
    "libm",
    "proc_macro",
    "self",
    "serde",
    "std",
    "super",
    "test",
    "tidegate_event",
    "tidegate_sdk",
    "tidegate_sdk_macros",
    "tidegate_testkit",
];

/// Words of Rust; a crate of such a name could not be named.
const WORDS: &str = " abstract as async await become box break const continue crate do dyn else enum extern false final fn \
                     for gen if impl in let loop macro match mod move mut override priv pub ref return static struct trait \
                     true try type typeof unsafe unsized use virtual where while yield ";

/// Makes the project.
pub fn go(args: &Args, screen: &Screen) -> Result<(), Failure> {
    check_name(&args.name)?;
    let folder = args.dir.clone().unwrap_or_else(|| args.name.clone().into());
    if folder.exists() {
        return Err(exists(&folder));
    }
    let root = match &args.sdk {
        Some(path) => sdk::at(path)?,
        None => sdk::unpacked()?,
    };
    let files = match &args.from {
        Some(example) => examples::project(example, &args.name, &root)?,
        None => template(&args.name, &root)?,
    };
    write(&folder, &files)?;
    if screen.json {
        let names: Vec<&String> = files.keys().collect();
        return screen.value(&json!({ "name": args.name, "folder": folder, "files": names, "sdk": root }));
    }
    for name in files.keys() {
        screen.line(folder.join(name).display())?;
    }
    let (folder, name) = (folder.display(), &args.name);
    eprintln!(
        "next: cd {folder} && tidegate test && tidegate build && tidegate deploy target/tidegate/{name}.wasm"
    );
    Ok(())
}

/// A name must do for a rule, for a package and for a crate.
fn check_name(name: &str) -> Result<(), Failure> {
    let usage = |message: String| Err(Failure::say(Exit::Usage, message));
    if let Err(message) = RuleSpec::check_name(name) {
        return usage(message);
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.contains('.') {
        return usage(format!("a new rule's name starts with a letter and has no dots, found {name:?}"));
    }
    let krate = name.replace('-', "_");
    if TAKEN.contains(&krate.as_str()) || WORDS.contains(&format!(" {krate} ")) {
        return usage(format!("{name:?} means something else to Rust: choose another name"));
    }
    Ok(())
}

fn exists(folder: &Path) -> Failure {
    Failure::say(
        Exit::Failed,
        format!("{} is there already: choose another name, or a folder with --dir", folder.display()),
    )
}

/// The project of the template.
fn template(name: &str, root: &Path) -> Result<Files, Failure> {
    let files = [
        ("src/lib.rs", include_str!("../../templates/rule/src/lib.rs")),
        ("fixtures/queue.ndjson", include_str!("../../templates/rule/fixtures/queue.ndjson")),
        ("Cargo.toml", include_str!("../../templates/rule/Cargo.toml.in")),
    ];
    let mut project = common(name);
    for (path, text) in files {
        project.insert(path.to_owned(), filled(text, name));
    }
    manifest::adopt(&mut project, name, root)?;
    Ok(project)
}

/// What every project has, whatever it starts from.
fn common(name: &str) -> Files {
    let files = [
        (".gitignore", include_str!("../../templates/rule/gitignore")),
        ("README.md", include_str!("../../templates/rule/README.md")),
    ];
    files.into_iter().map(|(path, text)| (path.to_owned(), filled(text, name))).collect()
}

/// Puts the name in, as it is and as a type.
fn filled(text: &str, name: &str) -> String {
    let title = |word: &str| word[..1].to_uppercase() + &word[1..];
    let camel: String = name.split(['-', '_']).filter(|word| !word.is_empty()).map(title).collect();
    text.replace("{{name}}", name).replace("{{Name}}", &camel)
}

/// Writes the project beside its place and moves it there: it is there as a whole or not at all.
fn write(folder: &Path, files: &Files) -> Result<(), Failure> {
    let folder = std::path::absolute(folder)?;
    let parent = folder.parent().unwrap_or(&folder);
    fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
    let beside = tempfile::Builder::new().prefix(".tidegate-new-").tempdir_in(parent)?;
    // The temporary folder is for our eyes only, the project is not.
    let project = beside.path().join("project");
    for (name, text) in files {
        let path = project.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&project))?;
        fs::write(path, text)?;
    }
    match fs::rename(&project, &folder) {
        Err(_) if folder.exists() => Err(exists(&folder)),
        outcome => Ok(outcome.with_context(|| format!("{} cannot be made", folder.display()))?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_for_rules_packages_and_crates() {
        for fine in ["slow-api", "a", "p99_http"] {
            check_name(fine).unwrap();
        }
        for wrong in ["", "Slow", "9p", "a.b", "test", "match", "tidegate-sdk", "-a", "a b"] {
            check_name(wrong).unwrap_err();
        }
    }

    #[test]
    fn the_name_is_put_in_as_it_is_and_as_a_type() {
        assert_eq!(filled("{{name}} {{Name}}", "slow-http_api"), "slow-http_api SlowHttpApi");
    }

    #[test]
    fn nothing_of_a_template_is_left_open() {
        for (path, text) in template("slow-api", Path::new("/sdk")).unwrap() {
            assert!(!text.contains("{{"), "{path}: {text}");
        }
    }

    #[test]
    fn a_folder_that_is_there_is_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("deep/rule");
        let files = Files::from([("src/lib.rs".to_owned(), "one".to_owned())]);
        write(&folder, &files).unwrap();
        let other = Files::from([("src/lib.rs".to_owned(), "two".to_owned())]);
        assert!(write(&folder, &other).unwrap_err().to_string().contains("is there already"));
        assert_eq!(fs::read_to_string(folder.join("src/lib.rs")).unwrap(), "one");
        assert_eq!(fs::read_dir(scratch.path().join("deep")).unwrap().count(), 1);
    }
}
