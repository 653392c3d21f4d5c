//! What a rule drags into its module. All of it is compiled for every author, so a new line here needs a reason.

use expect_test::expect;
use std::process::Command;

#[test]
fn a_rule_depends_on_little() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "tidegate-sdk", "--edges", "normal,no-proc-macro"])
        .args(["--target", "wasm32-unknown-unknown", "--prefix", "none", "--format", "{lib}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let mut names: Vec<String> = String::from_utf8(tree.stdout)
        .unwrap()
        .lines()
        .map(|line| line.trim_end_matches("(*)").trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    names.dedup();
    expect![[r#"
        libm
        serde
        serde_core
        tidegate_event
        tidegate_sdk
    "#]]
    .assert_eq(&(names.join("\n") + "\n"));
}
