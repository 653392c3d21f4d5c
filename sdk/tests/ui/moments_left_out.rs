use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Slow;

#[rule(query = "true", per = Stream)]
impl Rule for Slow {
    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

fn main() {}
