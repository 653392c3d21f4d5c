//! Errors to requests: two services of a host, one answer. Every window each host reports its ratio to a board, and says
//! once when the ratio crosses its limit and once when it comes back.

use tidegate_sdk::Collect;
use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// A larger part of errors than this is critical.
    #[param(default = 0.05)]
    limit: f64,
    /// The service that counts errors; the others that the query lets through count requests.
    #[param(default = "http.errors")]
    errors: String,
    /// A window with fewer requests than this says nothing.
    #[param(default = 20)]
    at_least: u32,
    /// How long a window is.
    #[param(default = "10s")]
    every: Span,
    /// Receives every ratio.
    board: Output,
    /// Receives only the crossings.
    pager: Output,
}

/// What came together in one window.
#[derive(Default, Serialize, Deserialize)]
struct Seen {
    requests: f64,
    errors: f64,
}

enum Kind {
    Requests(f64),
    Errors(f64),
}

impl Collect<Kind> for Seen {
    fn collect(&mut self, kind: Kind) {
        match kind {
            Kind::Requests(more) => self.requests += more,
            Kind::Errors(more) => self.errors += more,
        }
    }
}

/// What we remember about one host.
#[derive(Serialize, Deserialize)]
pub struct ErrorRatio {
    window: Tumbling<Seen>,
    state: Changed<State>,
}

#[rule(
    query = r#"(service = "http.requests" or service = "http.errors") and metric != nil and state != "expired""#,
    per = Host,
    reads(service, metric, time)
)]
impl Rule for ErrorRatio {
    type Params = Settings;

    fn first_seen(_: &Event, settings: &Settings) -> Self {
        Self { window: Tumbling::every(settings.every), state: Changed::starting(State::Ok) }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let Some(count) = event.metric() else { return };
        let kind = match event.service() {
            Some(service) if service == settings.errors => Kind::Errors(count),
            _ => Kind::Requests(count),
        };
        out.wake_at(self.window.add(event.time(), kind));
    }

    fn on_wake(&mut self, settings: &Settings, out: &mut Out) {
        let Some(Seen { requests, errors }) = self.window.close(out.time()) else { return };
        if requests < f64::from(settings.at_least) {
            return;
        }
        let ratio = errors / requests;
        out.to(settings.board).service("http.error_ratio").metric(ratio).send();

        let state = State::critical_if(ratio > settings.limit);
        if self.state.set(state).is_some() {
            out.to(settings.pager)
                .service("http.error_ratio")
                .state(state)
                .metric(ratio)
                .describe(format_args!("{} errors in {} requests", rounded(errors, 0), rounded(requests, 0)))
                .send();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn two_services_give_one_answer_for_each_host() {
        Scene::<ErrorRatio>::with("board = 'board', pager = 'pager'")
            .play(
                "
                at   host  service        metric
                0s   web1  http.requests     200
                0s   web2  http.requests     100
                3s   web1  http.errors        25
                12s  web1  http.requests     300
                13s  web1  http.errors         3
                14s  web1  cpu                 1
                30s  -
                ",
            )
            .leaves(expect![[r#"
                10s  board  web2 http.error_ratio                0
                10s  board  web1 http.error_ratio            0.125
                10s  pager  web1 http.error_ratio  critical  0.125  25 errors in 200 requests
                20s  board  web1 http.error_ratio             0.01
                20s  pager  web1 http.error_ratio  ok         0.01  3 errors in 300 requests
            "#]]);
    }

    #[test]
    fn a_handful_of_requests_says_nothing() {
        Scene::<ErrorRatio>::new()
            .play(
                "
                at   host  service        metric
                0s   web1  http.requests       3
                1s   web1  http.errors         3
                20s  -
                ",
            )
            .leaves(expect![[""]]);
    }
}
