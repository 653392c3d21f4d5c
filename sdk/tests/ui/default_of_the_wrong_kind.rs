use tidegate_sdk::prelude::*;

#[derive(Params)]
struct Limits {
    /// No number.
    #[param(default = "abc")]
    limit: f64,
    /// No whole number.
    #[param(default = 2.5)]
    count: u32,
    /// Too large for its type.
    #[param(default = 300)]
    level: u8,
    /// Below zero.
    #[param(default = -1)]
    most: u64,
    /// Neither true nor false.
    #[param(default = "yes")]
    quiet: bool,
    /// Without a unit that is known.
    #[param(default = "5 weeks")]
    every: Span,
    /// Not a value at all.
    #[param(default)]
    share: f64,
    /// Not a literal.
    #[param(default = LIMIT)]
    least: f64,
    /// Twice.
    #[param(default = 1, default = 2)]
    often: i64,
}

fn main() {}
