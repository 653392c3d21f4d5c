//! For benches: lets about one event in a hundred through, by its service and its metric.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// Events above this pass.
    #[param(default = 225)]
    limit: f64,
    /// Receives them.
    board: Output,
}

/// Nothing is remembered.
#[derive(Serialize, Deserialize)]
pub struct Filter;

#[rule(query = "metric != nil", per = Whole, reads(service, metric))]
impl Rule for Filter {
    type Params = Settings;

    fn first_seen(_: &Event, _: &Settings) -> Self {
        Self
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let wanted = event.service_bytes().is_some_and(|service| service.starts_with(b"http."));
        if wanted && event.metric().is_some_and(|value| value > settings.limit) {
            out.to(settings.board).send();
        }
    }
}
