//! Sees to it that the dashboard is there before it is put into the binary, and that what is put in is what is there.

use std::path::Path;

/// Folders whose files are in the binary, besides the dashboard: the SDK and the examples, for `tidegate new`.
const EMBEDDED: [&str; 7] = [
    "engine/src",
    "../sdk/src",
    "../sdk/event/src",
    "../sdk/query/src",
    "../sdk/macros/src",
    "../sdk/testkit/src",
    "../examples-wasm",
];

fn main() {
    // Otherwise they are read when they are wanted, and a change needs no new build.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        for folder in EMBEDDED {
            println!("cargo::rerun-if-changed={folder}");
        }
    }
    let bundle = Path::new("dashboard/dist");
    println!("cargo::rerun-if-changed={}", bundle.display());
    if !bundle.join("index.html").is_file() {
        println!(
            "cargo::error=the dashboard's bundle is missing: expected runtime/dashboard/dist/index.html; restore it with \
             `git checkout -- runtime/dashboard/dist`, or build it with `cd runtime/dashboard && npm ci && npm run build`"
        );
    }
}
