use tidegate_sdk::prelude::*;

struct Limits {
    limit: f64,
}

#[derive(Serialize, Deserialize)]
struct Slow;

#[rule(query = "true", per = Stream)]
impl Rule for Slow {
    type Params = Limits;

    fn first_seen(_: &Event, _: &Limits) -> Self {
        Slow
    }

    fn on_event(&mut self, event: &Event, limits: &Limits, out: &mut Out) {
        if event.metric() > Some(limits.limit) {
            out.emit().send();
        }
    }
}

fn main() {}
