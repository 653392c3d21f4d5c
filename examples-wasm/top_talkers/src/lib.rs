//! Who sends most: the hosts with the most events in each window, out of any number of hosts, one answer for everything.

use tidegate_sdk::Entry;
use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// How many of them are told.
    #[param(default = 5)]
    tell: u8,
    /// How long a window is.
    #[param(default = "10s")]
    every: Span,
    /// Receives one event for each of them, the first first.
    board: Output,
}

/// What we remember, once for everything.
#[derive(Serialize, Deserialize)]
pub struct TopTalkers {
    window: Tumbling<Top<256>>,
}

#[rule(query = r#"host != nil and state != "expired""#, per = Whole, reads(host, time))]
impl Rule for TopTalkers {
    type Params = Settings;

    fn first_seen(_: &Event, settings: &Settings) -> Self {
        Self { window: Tumbling::every(settings.every) }
    }

    fn on_event(&mut self, event: &Event, _: &Settings, out: &mut Out) {
        if let Some(host) = event.host() {
            out.wake_at(self.window.add(event.time(), host));
        }
    }

    fn on_wake(&mut self, settings: &Settings, out: &mut Out) {
        let Some(top) = self.window.close(out.time()) else { return };
        let total = top.total();
        for (rank, talker) in top.most(settings.tell.into()).into_iter().enumerate() {
            let Entry { name, count, over } = talker;
            out.to(settings.board)
                .host(name)
                .service(&format!("top talker {}", rank + 1))
                .metric(count)
                .describe(format_args!("{} to {count} of {total} events", count - over))
                .send();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn the_most_talkative_are_told_in_order() {
        Scene::<TopTalkers>::with("tell = 2, board = 'board'")
            .play(
                "
                at   host  service
                0s   web1  cpu
                0s   web2  cpu
                1s   web2  disk
                2s   web3  cpu
                3s   web3  disk
                4s   web3  net
                11s  web1  cpu
                30s  -
                ",
            )
            .leaves(expect![[r#"
                10s  board  web3 top talker 1  3  3 to 3 of 6 events
                10s  board  web2 top talker 2  2  2 to 2 of 6 events
                20s  board  web1 top talker 1  1  1 to 1 of 1 events
            "#]]);
    }
}
