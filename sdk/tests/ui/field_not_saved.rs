use tidegate_sdk::prelude::*;

struct Seen {
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct Slow {
    seen: Seen,
}

#[rule(query = "true", per = Stream)]
impl Rule for Slow {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Slow { seen: Seen { count: 0 } }
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {
        self.seen.count += 1;
    }
}

fn main() {}
