//! For benches: one part of the SDK at a time, in each stream.

use tidegate_sdk::Leaders;
use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// rate, changed, throttle, p99 or top.
    part: String,
    /// Receives what passes.
    board: Output,
}

/// What a stream remembers, by the part.
#[derive(Serialize, Deserialize)]
pub enum Parts {
    Rate(Tumbling<Rate>),
    Changed(Changed<bool>),
    Throttle(Throttle),
    P99(Tumbling<Quantiles>),
    Top(Leaders<u64, ()>),
}

const EVERY: Span = Span::secs(10);

#[rule(query = "metric != nil", per = Stream, reads(metric))]
impl Rule for Parts {
    type Params = Settings;

    fn first_seen(_: &Event, settings: &Settings) -> Self {
        match settings.part.as_str() {
            "rate" => Self::Rate(Tumbling::every(EVERY)),
            "changed" => Self::Changed(Changed::starting(false)),
            "p99" => Self::P99(Tumbling::every(EVERY)),
            "top" => Self::Top(Leaders::of(10)),
            _ => Self::Throttle(Throttle::new(1, EVERY)),
        }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let Some(value) = event.metric() else { return };
        match self {
            Self::Rate(window) => out.wake_at(window.add(event.time(), value)),
            Self::P99(window) => out.wake_at(window.add(event.time(), value)),
            Self::Changed(above) => {
                if above.set(value > 225.0).is_some() {
                    out.to(settings.board).send();
                }
            }
            Self::Throttle(pace) => {
                if pace.allow(out.now()) {
                    out.to(settings.board).send();
                }
            }
            Self::Top(leaders) => {
                leaders.put(value.to_bits() % 100, value, ());
            }
        }
    }

    fn on_wake(&mut self, settings: &Settings, out: &mut Out) {
        let now = out.time();
        match self {
            Self::Rate(window) => {
                while let Some(rate) = window.close(now) {
                    out.to(settings.board).metric(rate.per_second(EVERY)).send();
                }
            }
            Self::P99(window) => {
                while let Some(latency) = window.close(now) {
                    out.to(settings.board).metric(latency.quantile(0.99)).send();
                }
            }
            _ => {}
        }
    }
}
