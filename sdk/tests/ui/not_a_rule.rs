use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Slow;

#[rule(query = "true", per = Stream)]
impl Slow {
    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[rule(query = "true", per = Stream)]
fn on_event(_: &Event) {}

fn main() {}
