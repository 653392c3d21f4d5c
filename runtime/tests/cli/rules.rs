//! From an empty folder to a module: `new`, `build` and `test`, with the real compiler.

use crate::has;
use crate::scratch::{Outcome, Scratch};
use serde_json::Value;

#[test]
fn a_new_project_stands_alone() {
    let scratch = Scratch::new();
    scratch.run(["new", "slow-api"]).fine();
    let manifest: toml::Table = scratch.read("slow-api/Cargo.toml").parse().unwrap();
    assert_eq!(manifest["package"]["name"].as_str(), Some("slow-api"));
    assert!(manifest.contains_key("workspace"), "it is no member of whatever lies above it");
    let sdk = manifest["dependencies"]["tidegate-sdk"]["path"].as_str().unwrap();
    for file in
        ["Cargo.toml", "src/lib.rs", "event/src/lib.rs", "macros/src/lib.rs", "../runtime/engine/src/lib.rs"]
    {
        assert!(std::path::Path::new(sdk).join(file).is_file(), "{sdk}/{file}");
    }
    has(&scratch.read("slow-api/src/lib.rs"), "pub struct SlowApi");
    has(&scratch.read("slow-api/.gitignore"), "/target");

    let said = scratch.run(["new", "slow-api"]).fails(1);
    has(&said, "slow-api is there already");
    let made: Value =
        serde_json::from_str(&scratch.run(["new", "other", "--dir", "deep/er", "--json"]).fine()).unwrap();
    assert_eq!(made["folder"], "deep/er");
    assert!(scratch.path("deep/er/src/lib.rs").is_file());
}

#[test]
fn two_at_once_unpack_one_sdk() {
    let scratch = Scratch::new();
    std::thread::scope(|scope| {
        for name in ["one", "two", "three", "four"] {
            let scratch = &scratch;
            scope.spawn(move || scratch.run(["new", name]).fine());
        }
    });
    let folders: Vec<_> =
        std::fs::read_dir(scratch.path("home/sdk")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    let manifests = ["one", "two", "three", "four"].map(|name| scratch.read(&format!("{name}/Cargo.toml")));
    assert!(
        manifests.iter().all(|manifest| manifest.contains(&folders[0].display().to_string())),
        "{manifests:?}"
    );
}

#[test]
fn one_name_is_given_once() {
    let scratch = Scratch::new();
    let outcomes = std::thread::scope(|scope| {
        let all = [(); 4].map(|()| scope.spawn(|| scratch.run(["new", "same"]).code));
        all.map(|one| one.join().unwrap())
    });
    assert_eq!(outcomes.iter().filter(|code| **code == Some(0)).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|code| **code == Some(1)).count(), 3, "{outcomes:?}");
    assert!(scratch.path("same/src/lib.rs").is_file());
}

#[test]
fn a_new_rule_is_built_and_tested_both_ways_and_a_dishonest_one_is_caught() {
    let scratch = Scratch::that_builds();
    scratch.run(["new", "slow-api"]).fine();
    let built: Value = serde_json::from_str(&scratch.run(["build", "slow-api", "--json"]).fine()).unwrap();
    assert_eq!(built["file"], "slow-api/target/tidegate/slow-api.wasm");
    assert_eq!(built["manifest"]["name"], "slow-api");
    assert_eq!(built["names"], true, "faults can name functions");
    let wasm = std::fs::read(scratch.path("slow-api/target/tidegate/slow-api.wasm")).unwrap();
    assert_eq!(built["bytes"], wasm.len());
    assert!(wasm.len() < 80 << 10, "{} bytes", wasm.len());
    let holds = |text: &str| wasm.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds("producers") && !holds("Dlmalloc"), "what no node reads is stripped");
    assert_eq!(built["debug"]["file"], "slow-api/target/tidegate/slow-api.debug.wasm");
    let whole = std::fs::read(scratch.path("slow-api/target/tidegate/slow-api.debug.wasm")).unwrap();
    assert_eq!(built["debug"]["bytes"], whole.len());
    assert!(whole.windows(8).any(|window| window == b"Dlmalloc"), "the names of all are kept aside");
    assert!(!holds(env!("CARGO_TARGET_TMPDIR")), "where the SDK lay is nobody's concern");

    let said = scratch.run(["test", "slow-api"]).fine();
    assert!(said.starts_with("2 passed (native ") && said.contains(" ms for 2 scenes)\n"), "{said}");
    let told = |outcome: Outcome| -> Value { serde_json::from_str(&outcome.fine()).unwrap() };
    let counted = told(scratch.run(["test", "slow-api", "--json"]))["instructions"].clone();
    let scenes = counted.as_array().unwrap();
    assert!(scenes.len() == 2 && scenes.iter().all(|scene| scene["total"].as_u64() > Some(0)), "{counted}");
    let most = scenes.iter().map(|scene| scene["per_event"].as_u64().unwrap()).max().unwrap();
    has(&said, &format!("  {most}\n"));
    let limited =
        |most: u64| scratch.run(["test", "slow-api", "--json", "--max-instructions", &most.to_string()]);
    assert_eq!(told(limited(most))["instructions"], counted, "the same module takes the same again");
    let over = limited(most - 1).fails(1);
    has(&over, &format!("{most} instructions per event, at most {} are allowed", most - 1));
    has(&over, &format!("over --max-instructions {}", most - 1));

    let honest = scratch.read("slow-api/src/lib.rs");
    let line = "out.to(limits.pager).state(state).metric(metric)";
    has(&honest, line);
    let cheat = "metric + f64::from(u8::from(cfg!(target_arch = \"wasm32\")))";
    scratch
        .write("slow-api/src/lib.rs", honest.replace(line, &line.replace("(metric)", &format!("({cheat})"))));
    let outcome = scratch.run(["test", "slow-api"]);
    let said = outcome.fails(1);
    has(&said, "tests::speaks_once_on_the_way_up_and_once_on_the_way_down: call ");
    has(&said, "natively ");
    has(&said, "181");
    has(&said, "error: 2 of the scenes end in wasm otherwise than natively");

    // What goes wrong in the sandbox alone is told with the place that an author can look up.
    let wrong = |what: &str| {
        let line = "let Some(metric) = event.metric() else { return };";
        has(&honest, line);
        let only_there = format!("if cfg!(target_arch = \"wasm32\") {{ {what} }}");
        let deeper =
            "#[inline(never)]\nfn deeper(n: u64) -> u64 {\n    1 + std::hint::black_box(deeper(n + 1))\n}";
        let deeper = format!("#[allow(unconditional_recursion)]\n{deeper}\n");
        let source = honest.replace(line, &format!("{line} {only_there}"));
        let source = source.replace("#[cfg(test)]", &format!("{deeper}\n#[cfg(test)]"));
        scratch.write("slow-api/src/lib.rs", source);
        scratch.run(["test", "slow-api"]).fails(1)
    };
    let number = honest.lines().position(|line| line.contains("let Some(metric)")).unwrap() + 1;
    let said = wrong("panic!(\"{metric} is too much\")");
    has(&said, &format!("panicked at src/lib.rs:{number}:"));
    has(&said, ": 10 is too much");
    let said = wrong("deeper(0);");
    has(&said, "used up its stack, in `slow_api::deeper`, called by ");

    scratch.write("slow-api/src/lib.rs", honest.replace("critical_if", "critcal_if"));
    let said = scratch.run(["build", "slow-api"]).fails(1);
    has(&said, "critcal_if");
    has(&said, "error: the rule does not build: see above");
}
