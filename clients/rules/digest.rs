//! Remembers all that a stream has said in one number: one event missed, doubled or swapped, and it is another number.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// Receives the number after each event.
    sink: Output,
}

/// What one stream has said.
#[derive(Serialize, Deserialize)]
pub struct Digest {
    number: u64,
}

#[rule(query = r#"service = "turn""#, per = Stream, reads(metric))]
impl Rule for Digest {
    type Params = Settings;

    fn first_seen(_: &Event, _: &Settings) -> Self {
        Self { number: 0 }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let said = event.metric().unwrap_or_default() as u64;
        self.number = self.number.wrapping_mul(31).wrapping_add(said);
        out.to(settings.sink).metric(self.number as i64).send();
        out.emit().service("turn digest").metric(self.number as i64).send();
    }
}
