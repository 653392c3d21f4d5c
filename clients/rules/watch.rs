//! Counts what it sees and says nothing: its counter shows how many events a rule was really handed.

use tidegate_sdk::prelude::*;

/// What one host has sent.
#[derive(Serialize, Deserialize)]
pub struct Watch {
    seen: u64,
}

#[rule(query = "true", per = Host, reads(metric))]
impl Rule for Watch {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Self { seen: 0 }
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {
        self.seen += 1;
    }
}
