//! Says when a stream goes above its limit, and when it comes back.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Limits {
    /// A metric above this is critical.
    limit: f64,
    /// Hears of every crossing.
    pager: Output,
}

/// What is remembered about one stream: one host and one service.
#[derive(Serialize, Deserialize)]
pub struct {{Name}} {
    state: Changed<State>,
}

#[rule(query = "metric != nil", per = Stream, reads(metric))]
impl Rule for {{Name}} {
    type Params = Limits;

    fn first_seen(_: &Event, _: &Limits) -> Self {
        Self { state: Changed::starting(State::Ok) }
    }

    fn on_event(&mut self, event: &Event, limits: &Limits, out: &mut Out) {
        let Some(metric) = event.metric() else { return };
        let state = State::critical_if(metric > limits.limit);
        if self.state.set(state).is_some() {
            out.to(limits.pager).state(state).metric(metric).send();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn speaks_once_on_the_way_up_and_once_on_the_way_down() {
        Scene::<{{Name}}>::with("limit = 100, pager = 'pager'")
            .play(
                "
                at  host  service  metric
                0s  web1  queue         10
                1s  web1  queue        180
                2s  web1  queue        200
                3s  web1  queue         20
                ",
            )
            .leaves(expect![["
                1s  pager  web1 queue  critical  180
                3s  pager  web1 queue  ok         20
            "]]);
    }

    #[test]
    fn of_what_was_recorded_only_the_queue_that_grew_is_told() {
        Scene::<{{Name}}>::with("limit = 100, pager = 'pager'")
            .replay(include_str!("../fixtures/queue.ndjson"))
            .leaves(expect![["
                10s  pager  web1 queue  critical  140
                30s  pager  web1 queue  ok         15
            "]]);
    }
}
