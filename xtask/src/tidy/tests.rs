//! That the repository is tidy, and that each check finds what it is there to find.

use super::*;

fn tree(files: &[(&str, &str)]) -> Tree {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Tree { files, others: ["docs/picture.png".to_owned()].into() }
}

/// What is wrong in a tree of these files, a line for each.
fn wrong(files: &[(&str, &str)]) -> Vec<String> {
    check(&tree(files)).iter().map(|untidy| format!("{}: {}", untidy.place, untidy.what)).collect()
}

#[test]
fn the_repository_is_tidy() {
    let tree = Tree::read(&program::root()).unwrap();
    assert!(tree.has("xtask/src/tidy/tests.rs"), "the tree is the repository's");
    let untidy: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();
    assert!(untidy.is_empty(), "\n{}", untidy.join("\n"));
}

#[test]
fn an_import_that_climbs_is_found_with_its_line() {
    let files = [("runtime/engine/src/codec/text.rs", "//! Text.\nuse crate::shard::Shard;\n")];
    assert_eq!(
        wrong(&files),
        [
            "runtime/engine/src/codec/text.rs:2: layer `codec` (floor 0) imports `shard` (floor 3), which is above it: imports go down"
        ]
    );
}

#[test]
fn an_import_from_beside_is_found_also_through_super_and_groups() {
    for line in
        ["use super::save::Plan;", "use crate::{index::X, save::Plan};", "fn x() { crate::save::x() }"]
    {
        let text = format!("//! Codec.\n{line}\n");
        let found = wrong(&[("runtime/engine/src/codec.rs", &text)]);
        assert!(
            found.iter().any(|what| what.contains("imports `save`") && what.contains("beside it")),
            "{line}: {found:?}"
        );
    }
}

#[test]
fn imports_that_go_down_are_fine_and_tests_may_look_up() {
    let files = [
        (
            "runtime/src/output/live.rs",
            "//! Live.\nuse crate::telemetry::Counter;\nuse super::Queue; // crate::node\n",
        ),
        ("runtime/src/config.rs", "//! Config.\n#[cfg(test)]\nmod tests {\n use crate::node::Node; }\n"),
        ("runtime/src/log/tests.rs", "//! Tests.\nuse crate::node::Node;\n"),
    ];
    assert_eq!(wrong(&files), [""; 0]);
}

#[test]
fn a_module_without_a_place_must_be_given_one() {
    let found = wrong(&[("runtime/src/helpers.rs", "//! Things.\n")]);
    assert_eq!(found, ["runtime/src/helpers.rs: module `helpers` has no place in the layers"]);
}

#[test]
fn walls_between_crates_hold() {
    for (path, line) in [
        ("runtime/src/input/udp.rs", "use tidegate_engine::shard::Shard;"),
        ("runtime/src/output.rs", "use tidegate_engine::{query::Matcher, guest::Fault};"),
        ("runtime/wasm/src/host.rs", "fn x() { tidegate_engine::shard::merge(&[]) }"),
    ] {
        let found = wrong(&[(path, &format!("//! X.\n{line}\n"))]);
        assert!(found.len() == 1 && found[0].contains("must not know"), "{path}: {found:?}");
    }
}

#[test]
fn unsafe_code_stays_in_the_fences() {
    let code = "//! Unsafe.\n#![allow(unsafe_code)]\n// unsafe\nfn x() { unsafe { y() } }\n";
    assert_eq!(wrong(&[("sdk/src/out.rs", code)]), ["sdk/src/out.rs:4: unsafe code outside the fences"]);
    assert_eq!(wrong(&[("sdk/src/sys.rs", code)]), [""; 0]);
}

#[test]
fn headers_length_and_promises_are_checked() {
    let found = wrong(&[("benches/src/lib.rs", concat!("fn x() { to", "do!() }\n"))]);
    assert_eq!(
        found,
        [
            "benches/src/lib.rs: the first line is not a `//!` sentence",
            "benches/src/lib.rs:1: `todo!` is here"
        ]
    );
    let long = format!("//! Long.\n{}", "\n".repeat(900));
    assert_eq!(wrong(&[("benches/src/lib.rs", &long)]), ["benches/src/lib.rs: 901 lines are more than 900"]);
    assert_eq!(
        wrong(&[("benches/src/lib.rs", "//! \"todo!\"\nconst X: &str = \"dbg!\"; // todo!\n")]),
        [""; 0]
    );
}

#[test]
fn a_word_about_the_machine_is_found_in_any_file() {
    let text = format!("see {}main", concat!("/wo", "rk/"));
    let found = wrong(&[("docs/x.md", &text)]);
    assert!(found.len() == 1 && found[0].starts_with("docs/x.md:1: names"), "{found:?}");
}

#[test]
fn the_engine_cannot_reach_the_outside() {
    let manifest = "[package]\nname = \"tidegate-engine\"\n[dependencies]\ntokio.workspace = true\nhashbrown.workspace = true\n\
                    [dev-dependencies]\nproptest.workspace = true\n";
    let found = wrong(&[("runtime/engine/Cargo.toml", manifest)]);
    assert!(
        found.len() == 1 && found[0].contains("depends on `tokio`: the engine is a pure function"),
        "{found:?}"
    );
}

#[test]
fn crates_depend_downwards_and_only_one_knows_wasmtime() {
    let manifest = "[package]\nname = \"tidegate-wasm\"\n[dependencies]\ntidegate.workspace = true\n";
    let found = wrong(&[("runtime/wasm/Cargo.toml", manifest)]);
    assert!(found.len() == 1 && found[0].contains("which is not below it"), "{found:?}");
    let manifest = "[package]\nname = \"tidegate\"\n[dependencies]\nwasmtime.workspace = true\n";
    let found = wrong(&[("runtime/Cargo.toml", manifest)]);
    assert!(found.len() == 1 && found[0].contains("depends on `wasmtime`"), "{found:?}");
}

#[test]
fn every_dependency_has_one_version_a_reason_and_a_user() {
    let root = "[workspace]\n[workspace.dependencies]\nused = \"1\" # as it should be\nours = { path = \"x\" }\nmute = \"1\"\nidle = \"1\" # nobody\n\
                [profile.dev]\nopt-level = 1\n";
    let member = "[package]\nname = \"x\"\n[dependencies]\nused.workspace = true\nmute = { workspace = true }\nwild = \"1\"\n";
    let found = wrong(&[("Cargo.toml", root), ("x/Cargo.toml", member)]);
    assert_eq!(
        found,
        [
            "x/Cargo.toml: `wild` has a version of its own",
            "Cargo.toml:5: `mute` does not say why it is here",
            "Cargo.toml:6: `idle` is used by no crate",
        ]
    );
}

#[test]
fn links_lead_somewhere() {
    let page = "# One two\n[a](other.md) [b](other.md#x-y) [c](#one-two) [d](../README.md) [e](sub) [f](https://example.com)\n\
                ![i](picture.png) `[g](no.md)`\n```\n[h](no.md)\n```\n";
    let files =
        [("docs/page.md", page), ("docs/other.md", "## X, y\n"), ("README.md", "x"), ("docs/sub/z.md", "z")];
    assert_eq!(wrong(&files), [""; 0]);
    let found = wrong(&[("docs/page.md", "[a](gone.md)\n[b](#gone) [c](../../up.md)\n")]);
    assert_eq!(
        found,
        [
            "docs/page.md:1: links to `gone.md`, which is not there",
            "docs/page.md:2: `docs/page.md` has no heading `#gone`",
            "docs/page.md:2: links to `../../up.md`, which is not there",
        ]
    );
}

#[test]
fn every_page_has_one_place_in_the_book() {
    let summary = "# Summary\n\n[a](a.md)\n- [b](in/b.md)\n  - [b](in/b.md)\n- [gone](gone.md)\n- [out](../README.md)\n";
    let files = [
        ("docs/SUMMARY.md", summary),
        ("docs/a.md", ""),
        ("docs/in/b.md", ""),
        ("docs/c.md", ""),
        ("README.md", ""),
    ];
    let found: Vec<String> = super::summary::check(&tree(&files))
        .iter()
        .map(|untidy| format!("{}: {}", untidy.place, untidy.what))
        .collect();
    assert_eq!(
        found,
        [
            "docs/SUMMARY.md:5: lists `in/b.md` again, after line 4",
            "docs/SUMMARY.md:6: lists `gone.md`, which is no page under `docs`",
            "docs/SUMMARY.md:7: lists `../README.md`, which is no page under `docs`",
            "docs/c.md: is not in the book",
        ]
    );
    assert_eq!(wrong(&[("docs/book.toml", "")]), ["docs/book.toml: is the book of no pages"]);
    assert_eq!(wrong(&[("docs/a.md", "")]), [""; 0]);
}
