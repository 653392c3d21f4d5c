use std::time::Duration;
use tidegate_sdk::prelude::*;

#[derive(Params)]
struct Limits {
    /// Floats are f64.
    limit: f32,
    /// A number whose size depends on the machine.
    count: usize,
    /// Text that nobody owns.
    name: &'static str,
    /// The wrong length of time.
    every: Duration,
    /// Absent twice over.
    share: Option<Option<f64>>,
    /// More than one.
    hosts: Vec<String>,
}

fn main() {}
