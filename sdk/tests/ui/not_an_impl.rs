use tidegate_sdk::prelude::*;

#[rule(query = "true", per = Stream)]
struct Silent;

fn main() {}
