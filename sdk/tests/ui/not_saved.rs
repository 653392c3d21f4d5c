use tidegate_sdk::prelude::*;

struct Slow;

#[rule(query = "true", per = Stream)]
impl Rule for Slow {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Slow
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

fn main() {}
