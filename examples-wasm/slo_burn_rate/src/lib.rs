//! Pages when a service burns its error budget too fast: over an hour, so that a moment's errors wake nobody, and also over
//! the last five minutes, so that it is over when the errors are.
//!
//! Each event is a request: `ok` is good, any other state is bad. Which rate over which windows, the table at
//! `tidegate_sdk::Burn` says; deploy the rule once for each line of it. Give the events a ttl as long as the long window: what
//! is known of a service is forgotten with its last stream.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// The part of requests that should be good, between 0 and 1.
    #[param(default = 0.999)]
    objective: f64,
    /// The long window.
    #[param(default = "1h")]
    long: Span,
    /// The short window, a twelfth of the long one.
    #[param(default = "5m")]
    short: Span,
    /// Pages when both windows burn so many times as fast as the budget allows.
    #[param(default = 14.4)]
    rate: f64,
    /// Fewer requests than this in the long window say nothing.
    #[param(default = 100)]
    at_least: u32,
    /// Receives the beginning and the end.
    pager: Output,
}

/// What we remember about one service, on all hosts.
#[derive(Serialize, Deserialize)]
pub struct SloBurnRate {
    burn: Burn,
    state: Changed<State>,
}

#[rule(
    query = r#"service =~ "http.%" and state != nil and state != "expired""#,
    per = Service,
    reads(state)
)]
impl Rule for SloBurnRate {
    type Params = Settings;

    fn first_seen(_: &Event, settings: &Settings) -> Self {
        Self {
            burn: Burn::of(settings.objective, settings.long, settings.short),
            state: Changed::starting(State::Ok),
        }
    }

    fn on_event(&mut self, event: &Event, _: &Settings, out: &mut Out) {
        let good = event.state_code() == State::Ok;
        let (good, bad) = if good { (1.0, 0.0) } else { (0.0, 1.0) };
        out.wake_at(self.burn.add(out.now(), good, bad));
    }

    fn on_wake(&mut self, settings: &Settings, out: &mut Out) {
        // The moment at which a bucket ends belongs to the next; what counts is what came before it.
        let now = out.time() - Span(1);
        let (good, bad) = self.burn.seen(now);
        let (long, short) = self.burn.rates(now);
        let enough = good + bad >= f64::from(settings.at_least);
        let state = State::critical_if(enough && self.burn.is_at(settings.rate, now));
        if self.state.set(state).is_some() {
            out.to(settings.pager)
                .state(state)
                .metric(long)
                .describe(format_args!(
                    "burns {long:.1} times too fast, lately {short:.1}; {bad} bad of {}",
                    good + bad
                ))
                .send();
        }
        if state == State::Critical {
            out.wake_in(self.burn.bucket()); // It has to end, also when nothing comes any more.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    const SETTINGS: &str =
        "objective = 0.75, long = 60s, short = 5s, rate = 1.5, at_least = 4, pager = 'pager'";

    #[test]
    fn a_fast_burn_is_told_once_and_so_is_its_end() {
        Scene::<SloBurnRate>::with(SETTINGS)
            .play(
                "
                at   host  service   state     ttl
                0s   web1  http.get  ok        90s
                1s   web2  http.get  ok        90s
                2s   web1  http.get  ok        90s
                10s  web1  http.get  critical  90s
                11s  web2  http.get  critical  90s
                12s  web1  http.get  critical  90s
                30s  web1  http.get  ok        90s
                60s  -
                ",
            )
            .leaves(expect![[r#"
                12s  pager  http.get  critical  1.6  burns 1.6 times too fast, lately 4.0; 2 bad of 5
                18s  pager  http.get  ok          2  burns 2.0 times too fast, lately 0.0; 3 bad of 6
            "#]]);
    }

    #[test]
    fn a_moment_of_errors_in_a_good_hour_is_nothing() {
        Scene::<SloBurnRate>::with(SETTINGS)
            .play(
                "
                at   host  service   state     ttl
                0s   web1  http.get  ok        90s
                1s   web1  http.get  ok        90s
                2s   web1  http.get  ok        90s
                3s   web1  http.get  ok        90s
                20s  web1  http.get  critical  90s
                40s  -
                ",
            )
            .leaves(expect![[""]]);
    }
}
