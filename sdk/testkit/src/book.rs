//! Every page with listings in Rust, so that they are compiled and run as tests.

#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../docs/rules/first-rule.md")]
    struct FirstRule;
    #[doc = include_str!("../../../docs/rules/state-and-time.md")]
    struct StateAndTime;
    #[doc = include_str!("../../../docs/rules/parts.md")]
    struct Parts;
    #[doc = include_str!("../../../docs/rules/new-version.md")]
    struct NewVersion;
    #[doc = include_str!("../../../docs/rules/testing.md")]
    struct Testing;
    #[doc = include_str!("../../../docs/coming-from-riemann.md")]
    struct ComingFromRiemann;
    #[doc = include_str!("../../README.md")]
    struct Sdk;
}
