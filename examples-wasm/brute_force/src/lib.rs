//! Tells when one source fails to log in too often within a window, and, what matters more, when it then gets in.
//!
//! Each event is an attempt: service `login`, state `ok` or any other, the attributes `source` (an address) and `user`. Give
//! the events a ttl as long as the longer of window and pause, so that a source is not forgotten in between.

use std::collections::VecDeque;
use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// So many failures are too many; at most 1000.
    #[param(default = 10)]
    failures: u16,
    /// Within so long.
    #[param(default = "5m")]
    within: Span,
    /// How long a source that was told is not told again, unless it gets in.
    #[param(default = "1h")]
    pause: Span,
    /// Receives what is told.
    security: Output,
}

/// What we remember about one source.
#[derive(Serialize, Deserialize)]
pub struct BruteForce {
    /// When the last failures were; as many as are too many.
    failures: VecDeque<Timestamp>,
    users: Distinct<64>,
    pace: Throttle,
}

impl BruteForce {
    /// Whether the last so many failures all lie within the window that ends now.
    fn too_many(&self, time: Timestamp, settings: &Settings) -> bool {
        let first = self.failures.len().checked_sub(settings.limit()).and_then(|at| self.failures.get(at));
        first.is_some_and(|first| time - *first <= settings.within)
    }
}

impl Settings {
    fn limit(&self) -> usize {
        usize::from(self.failures.clamp(1, 1000))
    }
}

#[rule(
    query = r#"service = "login" and source != nil and state != "expired""#,
    per = Attribute("source"),
    reads(state, time, attributes)
)]
impl Rule for BruteForce {
    type Params = Settings;

    fn first_seen(_: &Event, settings: &Settings) -> Self {
        Self { failures: VecDeque::new(), users: Distinct::default(), pace: Throttle::new(1, settings.pause) }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let (time, source) = (event.time(), event.attribute("source").unwrap_or_default());
        let user = event.attribute("user").unwrap_or("somebody");
        if event.state_code() == State::Ok {
            if self.too_many(time, settings) {
                let tries = self.failures.len();
                out.to(settings.security)
                    .state(State::Critical)
                    .describe(format_args!("{source} got in as {user} after {tries} failures"))
                    .send();
            }
            self.failures.clear();
            return;
        }
        while self.failures.len() >= settings.limit() {
            self.failures.pop_front();
        }
        self.failures.push_back(time);
        self.users.add(user);
        if self.too_many(time, settings) && self.pace.allow(out.now()) {
            let (tries, users) = (self.failures.len(), self.users.estimate());
            out.to(settings.security)
                .state(State::Warning)
                .metric(tries as u64)
                .describe(format_args!("{source} has failed {tries} times, as about {users} users so far"))
                .send();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn a_flood_of_failures_is_told_once_and_a_success_after_it_too() {
        Scene::<BruteForce>::with("failures = 3, within = 10s, security = 'soc'")
            .play(
                "
                at   host  service  state   source     user
                0s   web1  login    failed  192.0.2.7  root
                1s   web1  login    failed  192.0.2.7  admin
                2s   web2  login    failed  192.0.2.9  ann
                3s   web2  login    failed  192.0.2.7  ann
                4s   web2  login    failed  192.0.2.7  bob
                5s   web2  login    ok      192.0.2.9  ann
                6s   web1  login    ok      192.0.2.7  bob
                7s   web1  login    ok      192.0.2.7  bob
                ",
            )
            .leaves(expect![[r#"
                3s  soc  web2 login  warning   3  192.0.2.7 has failed 3 times, as about 3 users so far  source=192.0.2.7  user=ann
                6s  soc  web1 login  critical     192.0.2.7 got in as bob after 3 failures  source=192.0.2.7  user=bob
            "#]]);
    }

    #[test]
    fn with_a_lower_limit_it_goes_on_from_what_it_knows() {
        let with = |failures: u32| {
            Scene::<BruteForce>::with(&format!("failures = {failures}, within = 10s, security = 'soc'"))
        };
        with(5)
            .play(
                "
                at   host  service  state   source     user
                0s   web1  login    failed  192.0.2.7  ann
                1s   web1  login    failed  192.0.2.7  ann
                2s   web1  login    failed  192.0.2.7  ann
                3s   web1  login    failed  192.0.2.7  ann
                ",
            )
            .swap_for(with(2))
            .play(
                "
                at   host  service  state   source     user
                4s   web1  login    failed  192.0.2.7  ann
                5s   web1  login    ok      192.0.2.7  ann
                ",
            )
            .leaves(expect![[r#"
                4s  soc  web1 login  warning   2  192.0.2.7 has failed 2 times, as about 1 users so far  source=192.0.2.7  user=ann
                5s  soc  web1 login  critical     192.0.2.7 got in as ann after 2 failures  source=192.0.2.7  user=ann
            "#]]);
    }

    #[test]
    fn now_and_then_a_failure_is_human() {
        Scene::<BruteForce>::with("failures = 3, within = 10s, security = 'soc'")
            .play(
                "
                at   host  service  state   source     user
                0s   web1  login    failed  192.0.2.7  ann
                9s   web1  login    failed  192.0.2.7  ann
                18s  web1  login    failed  192.0.2.7  ann
                19s  web1  login    ok      192.0.2.7  ann
                ",
            )
            .leaves(expect![[""]]);
    }
}
