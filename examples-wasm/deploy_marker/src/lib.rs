//! Passes alerts on, but not for a while after a deploy of the same app: then it counts them, and says afterwards how many
//! there were.
//!
//! Deploys are events of the service `deploy`; they and the alerts carry the attribute `app`. Give a deploy a ttl as long as
//! the silence, so that it is not forgotten before. An alert that goes on will be repeated by whoever sends it, and passes
//! then. For one silence over everything, write `per = Whole` and leave the app out of the query.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// How long alerts are held back after a deploy.
    #[param(default = "5m")]
    silence: Span,
    /// Receives the alerts, and the count of those that were held back.
    pager: Output,
}

/// What we remember about one app.
#[derive(Serialize, Deserialize)]
pub struct DeployMarker {
    /// When the silence after the last deploy ends.
    until: Timestamp,
    held_back: u64,
    app: String,
}

#[rule(
    query = r#"app != nil and (service = "deploy" or state = "critical") and state != "expired""#,
    per = Attribute("app"),
    reads(service, attributes)
)]
impl Rule for DeployMarker {
    type Params = Settings;

    fn first_seen(event: &Event, _: &Settings) -> Self {
        let app = event.attribute("app").unwrap_or_default().to_owned();
        Self { until: Timestamp::EPOCH, held_back: 0, app }
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        if event.service() == Some("deploy") {
            self.until = out.now() + settings.silence;
            out.wake_at(self.until);
        } else if out.now() < self.until {
            self.held_back += 1;
        } else {
            out.to(settings.pager).send();
        }
    }

    fn on_wake(&mut self, settings: &Settings, out: &mut Out) {
        // A second deploy has moved the end: it will be told then.
        if out.time() < self.until || self.held_back == 0 {
            return;
        }
        let held_back = std::mem::take(&mut self.held_back);
        out.to(settings.pager)
            .service("deploy")
            .state(State::Warning)
            .metric(held_back)
            .attribute("app", &self.app)
            .describe(format_args!("{held_back} alerts were held back after a deploy"))
            .send();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn alerts_after_a_deploy_are_counted_and_those_of_other_apps_pass() {
        Scene::<DeployMarker>::with("silence = 60s, pager = 'pager'")
            .play(
                "
                at    host  service  state     app   ttl
                0s    ci    deploy   ok        shop  100s
                5s    web1  http     critical  shop  100s
                6s    web2  http     critical  mail  100s
                30s   web1  http     critical  shop  100s
                59s   web1  http     ok        shop  100s
                61s   web1  http     critical  shop  100s
                ",
            )
            .leaves(expect![[r#"
                6s   pager  web2 http    critical     ttl=100  app=mail
                60s  pager       deploy  warning   2  2 alerts were held back after a deploy  app=shop
                61s  pager  web1 http    critical     ttl=100  app=shop
            "#]]);
    }

    #[test]
    fn a_second_deploy_makes_the_silence_longer() {
        Scene::<DeployMarker>::with("silence = 60s, pager = 'pager'")
            .play(
                "
                at    host  service  state     app   ttl
                0s    ci    deploy   ok        shop  100s
                5s    web1  http     critical  shop  100s
                40s   ci    deploy   ok        shop  100s
                70s   web1  http     critical  shop  100s
                120s  -
                ",
            )
            .leaves(expect![[r#"
                100s  pager  deploy  warning  2  2 alerts were held back after a deploy  app=shop
            "#]]);
    }
}
