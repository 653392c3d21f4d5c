//! Tells each change of a stream's state, unless it changes all the time: then it says so once, is silent, and says once
//! where the stream has settled.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// It begins to flap when so many per cent of its last 20 steps were changes; the latest weigh most.
    #[param(default = 20.0)]
    high: f64,
    /// It has settled when no more than so many were.
    #[param(default = 5.0)]
    low: f64,
    /// Receives what is told.
    pager: Output,
}

/// What we remember about one stream.
#[derive(Serialize, Deserialize)]
pub struct FlapDamping {
    flapping: Flapping<State>,
    /// What was told last.
    told: Changed<State>,
}

#[rule(query = r#"state != nil and state != "expired""#, per = Stream, reads(state))]
impl Rule for FlapDamping {
    type Params = Settings;

    fn first_seen(_: &Event, settings: &Settings) -> Self {
        Self {
            flapping: Flapping::starting(State::Ok, settings.low, settings.high),
            told: Changed::starting(State::Ok),
        }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let state = event.state_code();
        match self.flapping.set(state) {
            Some(true) => {
                let percent = self.flapping.percent();
                out.to(settings.pager)
                    .state(State::Warning)
                    .describe(format_args!("flaps: {percent:.0} % of its steps are changes"))
                    .send();
            }
            Some(false) => {
                self.told = Changed::starting(state);
                out.to(settings.pager).describe(format_args!("has settled on {state}")).send();
            }
            None if self.flapping.is_flapping() => {}
            None => {
                if let Some(was) = self.told.set(state) {
                    out.to(settings.pager).describe(format_args!("was {was}")).send();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn a_change_is_told_and_flapping_is_told_once() {
        let calm: String = (20..40).map(|at| format!("{at}s web1 disk ok\n")).collect();
        Scene::<FlapDamping>::with("pager = 'pager'")
            .play(&format!(
                "
                at   host  service  state
                0s   web1  disk     ok
                1s   web1  disk     critical
                2s   web1  disk     critical
                3s   web1  disk     ok
                4s   web1  disk     critical
                5s   web1  disk     ok
                6s   web1  disk     critical
                7s   web1  disk     ok
                {calm}
                50s  web1  disk     critical
                "
            ))
            .leaves(expect![[r#"
                1s   pager  web1 disk  critical  was ok
                3s   pager  web1 disk  ok        was critical
                4s   pager  web1 disk  critical  was ok
                5s   pager  web1 disk  warning   flaps: 24 % of its steps are changes
                38s  pager  web1 disk  ok        has settled on ok
                50s  pager  web1 disk  critical  was ok
            "#]]);
    }
}
