//! One event about each session when it is over: how long it was, how many events it had, how many of them failed, and the
//! sum of their metrics. A session is what a user does without a long pause; for runs of a batch job, write its name in place
//! of the user's.
//!
//! Give the events a ttl longer than the pause. Where it is shorter, the user is forgotten first, and the session told then.

use tidegate_sdk::prelude::*;
use tidegate_sdk::{Collect, Ended};

#[derive(Params)]
pub struct Settings {
    /// A pause of this length ends a session.
    #[param(default = "30m")]
    pause: Span,
    /// What never pauses is told in pieces of this length.
    #[param(default = "12h")]
    longest: Span,
    /// Receives the summaries.
    board: Output,
}

/// What came together in one session.
#[derive(Default, Serialize, Deserialize)]
struct Seen {
    events: Count,
    failed: u64,
    bytes: Sum,
}

impl Collect<&Event<'_>> for Seen {
    fn collect(&mut self, event: &Event<'_>) {
        self.events.add();
        self.failed += u64::from(event.state_code() == State::Critical);
        self.bytes.add(event.metric().unwrap_or_default());
    }
}

/// What we remember about one user.
#[derive(Serialize, Deserialize)]
pub struct SessionSummary {
    session: Session<Seen>,
    user: String,
}

impl SessionSummary {
    fn tell(&self, ended: &Ended<Seen>, settings: &Settings, out: &mut Out) {
        let Seen { events, failed, bytes } = &ended.value;
        out.to(settings.board)
            .service("session")
            .state(State::warning_if(*failed > 0))
            .metric(ended.length().secs_f64())
            .attribute("user", &self.user)
            .describe(format_args!("{} events, {failed} failed, {} bytes", events.get(), bytes.get()))
            .send();
    }
}

#[rule(
    query = r#"service = "request" and user != nil and state != "expired""#,
    per = Attribute("user"),
    reads(state, metric, time, attributes)
)]
impl Rule for SessionSummary {
    type Params = Settings;

    fn first_seen(event: &Event, settings: &Settings) -> Self {
        let session = Session::gap(settings.pause).longest(settings.longest);
        Self { session, user: event.attribute("user").unwrap_or_default().to_owned() }
    }

    fn on_event(&mut self, event: &Event, _: &Settings, out: &mut Out) {
        out.wake_at(self.session.add(out.now(), event.time(), event));
    }

    fn on_wake(&mut self, settings: &Settings, out: &mut Out) {
        while let Some(ended) = self.session.close(out.time()) {
            self.tell(&ended, settings, out);
        }
        out.wake_at(self.session.wake());
    }

    fn on_expire(&mut self, _: &Event, settings: &Settings, out: &mut Out) {
        while let Some(ended) = self.session.close(Timestamp::NEVER) {
            self.tell(&ended, settings, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn a_session_is_told_after_its_pause_or_when_the_user_is_forgotten() {
        Scene::<SessionSummary>::with("pause = 30s, board = 'board'")
            .play(
                "
                at    host  service  state     metric  user  ttl
                0s    web1  request  ok           100  ann   60s
                10s   web2  request  critical     200  ann   60s
                20s   web1  request  ok            50  bob   5s
                35s   web1  request  ok           300  ann   60s
                90s   web1  request  ok             1  ann   60s
                200s  -
                ",
            )
            .leaves(expect![[r#"
                26.000001s  board  session  ok        0  1 events, 0 failed, 50 bytes  user=bob
                65s         board  session  warning  35  3 events, 1 failed, 600 bytes  user=ann
                120s        board  session  ok        0  1 events, 0 failed, 1 bytes  user=ann
            "#]]);
    }
}
