use std::collections::BTreeMap;
use tidegate_sdk::prelude::*;

#[derive(Params)]
struct Limits {
    /// Not a type that can be given on a command line.
    limits: BTreeMap<String, f64>,
    /// Not a length of time.
    #[param(default = "5 parsecs")]
    every: Span,
    /// Never left out.
    #[param(default = 3)]
    count: Option<u32>,
    /// Always there.
    board: Option<Output>,
    /// There is no such thing.
    #[param(range = 3)]
    share: f64,
}

#[derive(Params)]
struct Tuple(f64);

fn main() {}
