//! Sees to it that the dashboard is there before it is put into the binary.

use std::path::Path;

fn main() {
    let bundle = Path::new("dashboard/dist");
    println!("cargo::rerun-if-changed={}", bundle.display());
    if !bundle.join("index.html").is_file() {
        println!(
            "cargo::error=the dashboard's bundle is missing: expected runtime/dashboard/dist/index.html; restore it with \
             `git checkout -- runtime/dashboard/dist`, or build it with `cd runtime/dashboard && npm ci && npm run build`"
        );
    }
}
