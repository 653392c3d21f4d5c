//! Panics at each event, on purpose.

use tidegate_sdk::prelude::*;

/// Nothing worth remembering.
#[derive(Serialize, Deserialize)]
pub struct Panics {}

#[rule(query = r#"service = "turn""#, per = Stream, reads(metric))]
impl Rule for Panics {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Self {}
    }

    fn on_event(&mut self, event: &Event, _: &(), _: &mut Out) {
        panic!("on purpose, at {:?}", event.metric());
    }
}
