//! For the chaos driver: the next version of the keeper, which remembers one thing more. What the first version
//! remembered must be carried over.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// Whether the number after each event is emitted, so that the index has it.
    #[param(default = true)]
    echo: bool,
    /// The service under which it is emitted.
    #[param(default = "chaos digest")]
    says: String,
    /// Whether one event in ten thousand is poison: the rule panics, having changed what it remembers.
    #[param(default = false)]
    poison: bool,
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
    /// New in this version: how many events it has seen itself.
    #[serde(default)]
    since: u64,
    window: Tumbling<Count>,
}

/// Spread so that two connections do not send one at the same moment.
fn is_poison(number: u64) -> bool {
    let (lane, n) = (number >> 40, number & ((1 << 40) - 1));
    (n + lane * 2_500) % 9_973 == 9_972
}

#[rule(query = r#"service = "chaos" and state != "expired""#, per = Stream, reads(metric, description))]
impl Rule for Keeper {
    type Params = Settings;

    fn first_seen(_: &Event, settings: &Settings) -> Self {
        Self { digest: 0, count: 0, since: 0, window: Tumbling::every(settings.every) }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let said = event.metric().unwrap_or_default() as u64;
        self.digest = self.digest.wrapping_mul(31).wrapping_add(said);
        self.count += 1;
        self.since += 1;
        if settings.poison && is_poison(said) {
            panic!("event {said} is poison");
        }
        out.wake_at(self.window.add(out.now(), ()));
        if settings.copy {
            out.to(settings.sink).send();
        }
        if settings.echo {
            // A metric holds whole numbers to the last bit.
            out.emit().service(&settings.says).metric(self.digest as i64).send();
        }
    }

    fn on_wake(&mut self, settings: &Settings, out: &mut Out) {
        let Some(count) = self.window.close(out.time()) else { return };
        out.to(settings.sink).service("chaos window").metric(count.get()).send();
    }
}
