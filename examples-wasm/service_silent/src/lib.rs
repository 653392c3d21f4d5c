//! Says when a service has stopped speaking, once, and when it speaks again.
//!
//! How long a silence has to be is the sender's to say, with the ttl of its events. A stream that runs out is forgotten with
//! all that was known of it; so nobody can tell a return from a first visit, and the first event of every stream says `ok`.
//! That closes whatever was open, and closing what is not open does no harm. Where it does, `greet = false`.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// Whether the first event of a stream says ok.
    #[param(default = true)]
    greet: bool,
    /// Receives every silence and every return.
    tell: Output,
}

/// What we remember about one host and service.
#[derive(Serialize, Deserialize)]
pub struct Silent {
    /// When it last spoke, if it has.
    last: Option<Timestamp>,
}

#[rule(query = "true", per = Stream, reads(time))]
impl Rule for Silent {
    type Params = Settings;

    fn first_seen(_: &Event, _: &Settings) -> Self {
        Self { last: None }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        if self.last.is_none() && settings.greet {
            out.to(settings.tell).state(State::Ok).no_metric().describe("speaks").send();
        }
        self.last = self.last.max(Some(event.time()));
    }

    fn on_expire(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        // Without a last word before it, this is somebody else's word for a silence that has been told.
        let Some(last) = self.last else { return };
        out.to(settings.tell)
            .state(State::Critical)
            .no_metric()
            .describe(format_args!("silent for {} s", rounded((event.time() - last).secs_f64(), 0)))
            .send();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn a_silence_and_its_end_are_told_once_each() {
        Scene::<Silent>::with("tell = 'pager'")
            .play(
                "
                at   host  service  ttl
                0s   web1  cpu      10s
                0s   web1  disk     60s
                8s   web1  cpu      10s
                30s  web1  disk     60s
                31s  web1  cpu      10s
                32s  web1  cpu      10s
                ",
            )
            .leaves(expect![[r#"
                0s          pager  web1 cpu   ok        speaks  ttl=10
                0s          pager  web1 disk  ok        speaks  ttl=60
                18.000001s  pager  web1 cpu   critical  silent for 10 s  ttl=10
                31s         pager  web1 cpu   ok        speaks  ttl=10
            "#]]);
    }

    #[test]
    fn what_a_sender_calls_expired_is_silent_and_once_is_enough() {
        Scene::<Silent>::with("tell = 'pager', greet = false")
            .play(
                "
                at  host  service  state
                0s  web1  cpu      ok
                7s  web1  cpu      expired
                8s  web1  cpu      expired
                9s  web1  cpu      ok
                ",
            )
            .leaves(expect![[r#"
                7s  pager  web1 cpu  critical  silent for 7 s
            "#]]);
    }
}
