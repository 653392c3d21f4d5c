use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Slow<T>(T);

#[rule(query = "true", per = Host)]
impl Rule for Slow<u32> {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Slow(0)
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

fn main() {}
