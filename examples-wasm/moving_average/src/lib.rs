//! Says when a stream's moving average crosses a limit, and when it comes back.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Limits {
    /// An average above this is critical.
    limit: f64,
    /// How much each new value weighs, between 0 and 1.
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
    type Params = Limits;

    fn first_seen(_: &Event, limits: &Limits) -> Self {
        Self { average: Ewma::weighing(limits.weight), state: Changed::starting(State::Ok) }
    }

    fn on_event(&mut self, event: &Event, limits: &Limits, out: &mut Out) {
        let Some(metric) = event.metric() else { return };
        let average = self.average.add(metric);
        let state = State::critical_if(average > limits.limit);
        if self.state.set(state).is_some() {
            out.to(limits.pager).state(state).metric(average).send();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn one_spike_is_borne_a_lasting_rise_is_not() {
        Scene::<MovingAverage>::with("limit = 100, weight = 0.5, pager = 'pager'")
            .play(
                "
                at  host  service  metric
                0s  web1  queue         10
                1s  web1  queue        180
                2s  web1  queue         10
                3s  web1  queue        200
                4s  web1  queue        200
                5s  web1  queue          0
                ",
            )
            .leaves(expect![[""]]);
    }
}
