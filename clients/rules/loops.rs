//! Never comes back from an event, on purpose.

use tidegate_sdk::prelude::*;

/// How far it has come.
#[derive(Serialize, Deserialize)]
pub struct Loops {
    round: u64,
}

#[rule(query = r#"service = "turn""#, per = Stream, reads(metric))]
impl Rule for Loops {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Self { round: 0 }
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {
        loop {
            self.round = std::hint::black_box(self.round.wrapping_add(1));
        }
    }
}
