//! Says once when a service's p99 latency crosses its limit, and once when it comes back.
//! Every window, each host and service also reports its p99 to a board.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Limits {
    /// A p99 above this many milliseconds is critical.
    limit_ms: f64,
    /// How long a window is.
    #[param(default = "5s")]
    every: Span,
    /// Receives every p99.
    board: Output,
    /// Receives only the crossings.
    pager: Output,
}

/// What we remember about one host and service.
#[derive(Serialize, Deserialize)]
pub struct Latency {
    window: Tumbling<Quantiles>,
    state: Changed<State>,
}

#[rule(query = r#"service =~ "http.%" and metric != nil"#, per = Stream, reads(metric, time))]
impl Rule for Latency {
    type Params = Limits;

    fn first_seen(_: &Event, limits: &Limits) -> Self {
        Self { window: Tumbling::every(limits.every), state: Changed::starting(State::Ok) }
    }

    fn on_event(&mut self, event: &Event, _: &Limits, out: &mut Out) {
        if let Some(ms) = event.metric() {
            out.wake_at(self.window.add(event.time(), ms));
        }
    }

    fn on_wake(&mut self, limits: &Limits, out: &mut Out) {
        let Some(window) = self.window.close(out.time()) else { return };
        let p99 = window.quantile(0.99);
        out.to(limits.board).metric(p99).send();

        let state = State::critical_if(p99 > limits.limit_ms);
        if let Some(was) = self.state.set(state) {
            out.to(limits.pager)
                .state(state)
                .metric(p99)
                .describe(format_args!("p99 {} ms, was {was}", rounded(p99, 0)))
                .send();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn speaks_once_on_the_way_up_and_once_on_the_way_down() {
        Scene::<Latency>::with("limit_ms = 250, board = 'board', pager = 'pager'")
            .play(
                "
                at   host  service   metric
                0s   web1  http.get     120
                1s   web1  http.get     900
                6s   web1  http.get     880
                12s  web1  http.get     110
                20s  -
                ",
            )
            .leaves(expect![["
                5s   board  web1 http.get            900
                5s   pager  web1 http.get  critical  900  p99 900 ms, was ok
                10s  board  web1 http.get            880
                15s  board  web1 http.get            110
                15s  pager  web1 http.get  ok        110  p99 110 ms, was critical
            "]]);
    }
}
