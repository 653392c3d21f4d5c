//! Says once when a service has stopped speaking, and once when it speaks again; and when a whole host has gone.
//!
//! A stream that stops is forgotten with all that was known of it, so a rule for each stream could not tell a return from a
//! first visit. This one keeps a list for each host: the index tells it of every service that runs out, and the list
//! lives as long as anything on the host speaks. A host that has gone altogether is new when it returns.
//!
//! How long a silence has to be is the sender's to say, with the ttl of its events.

use std::collections::BTreeMap;
use tidegate_sdk::prelude::*;

/// So many silent services of a host are remembered; what falls silent beyond that is told, but not its return.
const SILENT_MAX: usize = 1_000;

#[derive(Params)]
pub struct Settings {
    /// Receives every silence and every return.
    tell: Output,
}

/// What we remember about one host.
#[derive(Serialize, Deserialize)]
pub struct Silent {
    /// The services that have stopped, and since when we know.
    since: BTreeMap<String, Timestamp>,
}

#[rule(query = "true", per = Host, reads(host, service, state, time))]
impl Rule for Silent {
    type Params = Settings;

    fn first_seen(_: &Event, _: &Settings) -> Self {
        Self { since: BTreeMap::new() }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let service = event.service().unwrap_or_default();
        if event.is_expired() {
            if self.since.contains_key(service) {
                return;
            }
            if self.since.len() < SILENT_MAX {
                self.since.insert(service.to_owned(), event.time());
            }
            out.to(settings.tell).state(State::Critical).describe("has fallen silent").send();
        } else if let Some(since) = self.since.remove(service) {
            out.to(settings.tell)
                .state(State::Ok)
                .describe(format_args!("speaks again after {}", event.time() - since))
                .send();
        }
    }

    fn on_expire(&mut self, _: &Event, settings: &Settings, out: &mut Out) {
        out.to(settings.tell)
            .service("host")
            .state(State::Critical)
            .describe("nothing on this host speaks any more")
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
                18.000001s  pager  web1 cpu  critical  has fallen silent  ttl=10
                31s         pager  web1 cpu  ok        speaks again after 12.999999s  ttl=10
            "#]]);
    }

    #[test]
    fn what_a_sender_calls_expired_is_silent_too() {
        Scene::<Silent>::with("tell = 'pager'")
            .play(
                "
                at  host  service  state
                0s  web1  cpu      ok
                1s  web1  cpu      expired
                2s  web1  cpu      expired
                3s  web1  cpu      ok
                ",
            )
            .leaves(expect![[r#"
                1s  pager  web1 cpu  critical  has fallen silent
                3s  pager  web1 cpu  ok        speaks again after 2s
            "#]]);
    }

    #[test]
    fn a_host_that_has_gone_is_told_last() {
        Scene::<Silent>::with("tell = 'pager'")
            .play(
                "
                at    host  service  ttl
                0s    web1  cpu      10s
                0s    web2  cpu      10s
                5s    web2  cpu      1000s
                200s  -
                ",
            )
            .leaves(expect![[r#"
                10.000001s  pager  web1 host  critical  nothing on this host speaks any more
                10.000001s  pager  web1 cpu   critical  has fallen silent  ttl=10
                20.000002s  pager  web1 host  critical  nothing on this host speaks any more
            "#]]);
    }
}
