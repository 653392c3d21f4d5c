//! For the chaos driver: remembers all that each stream has said, so that one event missed, doubled or swapped shows.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// Whether the number after each event is emitted, so that the index has it.
    #[param(default = true)]
    echo: bool,
    /// Whether each event is forwarded.
    #[param(default = false)]
    copy: bool,
    /// How long a window is.
    #[param(default = "200ms")]
    every: Span,
    /// Receives windows and copies.
    sink: Output,
}

/// What one stream has said.
#[derive(Serialize, Deserialize)]
pub struct Keeper {
    digest: u64,
    count: u64,
    window: Tumbling<Count>,
}

#[rule(query = r#"service = "chaos" and state != "expired""#, per = Stream, reads(metric, description))]
impl Rule for Keeper {
    type Params = Settings;

    fn first_seen(_: &Event, settings: &Settings) -> Self {
        Self { digest: 0, count: 0, window: Tumbling::every(settings.every) }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let said = event.metric().unwrap_or_default() as u64;
        self.digest = self.digest.wrapping_mul(31).wrapping_add(said);
        self.count += 1;
        out.wake_at(self.window.add(out.now(), ()));
        if settings.copy {
            out.to(settings.sink).send();
        }
        if settings.echo {
            // A metric holds whole numbers to the last bit.
            out.emit().service("chaos digest").metric(self.digest as i64).send();
        }
    }

    fn on_wake(&mut self, settings: &Settings, out: &mut Out) {
        let Some(count) = self.window.close(out.time()) else { return };
        out.to(settings.sink).service("chaos window").metric(count.get()).send();
    }
}
