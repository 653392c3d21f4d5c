//! For benches: one answer to each event, the same with another metric.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// What the metric is multiplied by.
    #[param(default = 0.001)]
    factor: f64,
    /// Receives the answers.
    board: Output,
}

/// Nothing is remembered.
#[derive(Serialize, Deserialize)]
pub struct Map;

#[rule(query = "metric != nil", per = Whole, reads(metric))]
impl Rule for Map {
    type Params = Settings;

    fn first_seen(_: &Event, _: &Settings) -> Self {
        Self
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        if let Some(value) = event.metric() {
            out.to(settings.board).metric(value * settings.factor).send();
        }
    }
}
