#![deny(unused_must_use)]

use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Slow(Tumbling<Mean>);

#[rule(query = "true", per = Stream)]
impl Rule for Slow {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Slow(Tumbling::every(Span::secs(5)))
    }

    fn on_event(&mut self, event: &Event, _: &(), out: &mut Out) {
        self.0.add(event.time(), 1.0);
        out.emit().metric(1.0);
    }
}

fn main() {}
