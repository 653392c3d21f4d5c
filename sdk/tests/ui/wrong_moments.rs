use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Slow;

#[rule(query = "true", per = Stream)]
impl Rule for Slow {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Slow
    }

    fn on_event(&mut self, event: Event, _: &(), _: &mut Out) {
        let _ = event;
    }

    fn on_wake(&mut self, out: &mut Out) {
        out.emit().send();
    }

    fn on_timer(&mut self, _: &(), _: &mut Out) {}
}

fn main() {}
