//! For benches: adds up numbers. What a call costs when a rule does next to nothing with each event.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// Receives the sum when time has come.
    board: Output,
}

/// What we remember, once for everything.
#[derive(Serialize, Deserialize)]
pub struct Numeric {
    sum: f64,
    largest: f64,
}

#[rule(query = "metric != nil", per = Whole, reads(metric))]
impl Rule for Numeric {
    type Params = Settings;

    fn first_seen(_: &Event, _: &Settings) -> Self {
        Self { sum: 0.0, largest: f64::MIN }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let Some(value) = event.metric() else { return };
        self.sum += value;
        self.largest = self.largest.max(value);
        // Never so with the workloads there are, but the compiler cannot know.
        if value < 0.0 {
            out.to(settings.board).metric(self.sum / self.largest).send();
        }
    }
}
