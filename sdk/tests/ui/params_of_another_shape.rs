use tidegate_sdk::prelude::*;

#[derive(Params)]
enum Mode {
    Fast,
    Slow,
}

#[derive(Params)]
struct Limits<T> {
    /// A metric above this is critical.
    limit: T,
}

#[derive(Params)]
struct Nothing;

fn main() {}
