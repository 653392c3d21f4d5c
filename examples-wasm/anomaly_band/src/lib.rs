//! Learns in which band a value usually moves, and tells when it leaves it: further from its moving average than so many
//! standard deviations. A control chart, with both as exponentially weighted averages.
//!
//! What lies outside the band moves it only as far as its edge would, so that an outage does not become the new normal at
//! once. A lasting change does: the band grows with each value that is outside, until it holds them.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// So many standard deviations from the average is strange.
    #[param(default = 4.0)]
    sigmas: f64,
    /// How much a new value weighs, between 0 and 1.
    #[param(default = 0.05)]
    weight: f64,
    /// The band reaches at least so far to either side, in the unit of the metric.
    #[param(default = 0.0)]
    least: f64,
    /// So many values are learned from before anything is told.
    #[param(default = 30)]
    warm_up: u32,
    /// After an alarm, so many values in a row have to be inside before there is another.
    #[param(default = 5)]
    calm: u32,
    /// Receives the alarms.
    pager: Output,
}

/// What we remember about one stream.
#[derive(Serialize, Deserialize)]
pub struct AnomalyBand {
    mean: f64,
    variance: f64,
    values: u32,
    alarm: Quiet,
}

impl AnomalyBand {
    /// Both averages at once (Finch, *Incremental calculation of weighted mean and variance*, 2009).
    fn learn(&mut self, value: f64, weight: f64) {
        let far = value - self.mean;
        let step = weight * far;
        self.mean += step;
        self.variance = (1.0 - weight) * (self.variance + far * step);
        self.values = self.values.saturating_add(1);
    }
}

#[rule(query = r#"metric != nil and state != "expired""#, per = Stream, reads(metric))]
impl Rule for AnomalyBand {
    type Params = Settings;

    fn first_seen(event: &Event, settings: &Settings) -> Self {
        let mean = event.metric().filter(|value| value.is_finite()).unwrap_or_default();
        Self { mean, variance: 0.0, values: 0, alarm: Quiet::until_calm_for(settings.calm) }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let Some(value) = event.metric().filter(|value| value.is_finite()) else { return };
        if self.values < settings.warm_up {
            return self.learn(value, settings.weight);
        }
        let reach = (settings.sigmas * self.variance.sqrt()).max(settings.least);
        let (low, high) = (self.mean - reach, self.mean + reach);
        if self.alarm.sample(value < low || high < value) {
            out.to(settings.pager)
                .state(State::Warning)
                .describe(format_args!("{value:.1} is outside {low:.1} to {high:.1}"))
                .send();
        }
        // Of a series that has never moved nothing is known: a band without width would stay so.
        let edge = if reach > 0.0 { value.max(low).min(high) } else { value };
        self.learn(edge, settings.weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn what_moves_as_usual_is_nothing_and_what_leaves_the_band_is_told_once() {
        let usual: String = (0..40).map(|at| format!("{at}s web1 load {}\n", 100 + at % 5)).collect();
        Scene::<AnomalyBand>::with("pager = 'pager'")
            .play(&format!(
                "
                at   host  service  metric
                {usual}
                40s  web1  load        104
                41s  web1  load        160
                42s  web1  load        170
                43s  web1  load        102
                44s  web1  load         20
                "
            ))
            .leaves(expect![[r#"
                41s  pager  web1 load  warning  160  160.0 is outside 95.8 to 108.1
            "#]]);
    }

    #[test]
    fn what_never_moved_learns_to() {
        let usual: String = (0..5).map(|at| format!("{at}s web1 load 10\n")).collect();
        let moving: String = (5..30).map(|at| format!("{at}s web1 load {}\n", 10 + at % 3)).collect();
        Scene::<AnomalyBand>::with("warm_up = 3, calm = 3, pager = 'pager'")
            .play(&format!("at host service metric\n{usual}{moving}30s web1 load 99\n"))
            .leaves(expect![[r#"
                5s   pager  web1 load  warning  12  12.0 is outside 10.0 to 10.0
                30s  pager  web1 load  warning  99  99.0 is outside 7.4 to 14.1
            "#]]);
    }

    #[test]
    fn nothing_is_told_before_it_is_warm() {
        Scene::<AnomalyBand>::with("warm_up = 3, least = 5, pager = 'pager'")
            .play(
                "
                at   host  service  metric
                0s   web1  load         10
                1s   web1  load        500
                2s   web1  load         10
                3s   web2  load         10
                4s   web2  load         10
                5s   web2  load         10
                6s   web2  load         14
                7s   web2  load         16
                ",
            )
            .leaves(expect![[r#"
                7s  pager  web2 load  warning  16  16.0 is outside 5.2 to 15.2
            "#]]);
    }
}
