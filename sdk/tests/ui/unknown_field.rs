use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Slow;

#[rule(query = "true", per = Host, reads(metric, hostname))]
impl Rule for Slow {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Slow
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

fn main() {}
