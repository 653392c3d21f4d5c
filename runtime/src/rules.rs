//! The rules inside the binary: ready to deploy for the demo and the benches, the same modules that `examples-wasm` builds.
//!
//! `cargo xtask rules` builds them again and CI fails when they differ from what is committed, as with the page's bundle.

use anyhow::anyhow;
use tidegate_engine::guest::{Guest, Native};
use tidegate_sdk::Rule;
use tidegate_sdk::rt::{RuleManifest, Runner};

/// A rule inside the binary.
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// The module.
    pub wasm: &'static [u8],
    /// Settings that show something on any fleet.
    pub example: &'static [(&'static str, &'static str)],
    /// The same rule linked in, for comparison.
    pub native: fn(&[u8]) -> Linked,
}

/// A rule linked in as a guest, its settings taken; or why they were not.
pub type Linked = Result<Box<dyn Guest>, String>;

/// Links a rule in.
pub fn native<R: Rule + RuleManifest>(settings: &[u8]) -> Linked {
    let mut runner = Runner::<R>::new();
    runner.bind(0, settings)?;
    Ok(Box::new(Native::linked(runner)))
}

/// All of them.
pub const ALL: &[BuiltIn] = &[
    BuiltIn {
        name: "moving-average",
        about: "says when a stream's moving average crosses a limit",
        wasm: include_bytes!("../rules/moving_average.wasm"),
        example: &[("limit", "1000000")],
        native: native::<moving_average::MovingAverage>,
    },
    BuiltIn {
        name: "latency-state",
        about: "percentiles of a latency over a window, and when they cross a limit",
        wasm: include_bytes!("../rules/latency_state.wasm"),
        example: &[("limit_ms", "250")],
        native: native::<latency_state::Latency>,
    },
    BuiltIn {
        name: "service-silent",
        about: "says when a service has stopped speaking",
        wasm: include_bytes!("../rules/service_silent.wasm"),
        example: &[],
        native: native::<service_silent::Silent>,
    },
    BuiltIn {
        name: "error-ratio",
        about: "errors to requests, one answer for each host",
        wasm: include_bytes!("../rules/error_ratio.wasm"),
        example: &[],
        native: native::<error_ratio::ErrorRatio>,
    },
    BuiltIn {
        name: "top-talkers",
        about: "who sends most, over everything",
        wasm: include_bytes!("../rules/top_talkers.wasm"),
        example: &[],
        native: native::<top_talkers::TopTalkers>,
    },
    BuiltIn {
        name: "standard",
        about: "a pipeline of Riemann's streams, described by a parameter",
        wasm: include_bytes!("../rules/standard.wasm"),
        example: &[("pipeline", PIPELINE)],
        native: native::<standard::Standard>,
    },
];

/// A rate for each service.
const PIPELINE: &str = "[[stage]]\nby = 'service'\n[[stage]]\nrate = '5s'\n[[stage]]\nto = 'main'\n";

/// The rule of that name.
pub fn find(name: &str) -> anyhow::Result<&'static BuiltIn> {
    ALL.iter().find(|rule| rule.name == name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|rule| rule.name).collect();
        anyhow!("there is no built-in rule {name:?}; there are {}", names.join(", "))
    })
}

/// The module with that digest.
pub fn by_digest(digest: &str) -> Option<&'static [u8]> {
    ALL.iter().map(|rule| rule.wasm).find(|wasm| tidegate_wasm::digest(wasm) == digest)
}
