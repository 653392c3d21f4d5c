//! Says once when a stream's moving average crosses a limit, and once when it comes back. The smallest rule with a memory.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// An average above this is critical.
    limit: f64,
    /// How much a new value weighs, between 0 and 1.
    #[param(default = 0.1)]
    weight: f64,
    /// Receives the crossings.
    pager: Output,
}

/// What we remember about one stream.
#[derive(Serialize, Deserialize)]
pub struct MovingAverage {
    average: Ewma,
    state: Changed<State>,
}

#[rule(query = "metric != nil", per = Stream, reads(metric))]
impl Rule for MovingAverage {
    type Params = Settings;

    fn first_seen(_: &Event, settings: &Settings) -> Self {
        Self { average: Ewma::weighing(settings.weight), state: Changed::starting(State::Ok) }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let Some(value) = event.metric() else { return };
        let average = self.average.add(value);
        let state = State::critical_if(average > settings.limit);
        if let Some(was) = self.state.set(state) {
            out.to(settings.pager)
                .state(state)
                .metric(average)
                .describe(format_args!("average {}, was {was}", rounded(average, 1)))
                .send();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn a_single_peak_is_nothing_and_a_rise_is_told_once() {
        Scene::<MovingAverage>::with("limit = 50, weight = 0.5, pager = 'pager'")
            .play(
                "
                at  host  service  metric
                0s  web1  load         10
                1s  web1  load         80
                2s  web1  load         10
                3s  web1  load         80
                4s  web1  load         80
                5s  web1  load         80
                6s  web1  load         10
                7s  web1  load         10
                ",
            )
            .leaves(expect![[r#"
                3s  pager  web1 load  critical     53.75  average 53.8, was ok
                6s  pager  web1 load  ok        41.71875  average 41.7, was critical
            "#]]);
    }
}
