//! What a scene shows of the engine: keys, emitted events that come back, and rules that fail.

use tidegate_sdk::prelude::*;
use tidegate_testkit::{Scene, expect};

/// Counts what comes for each data centre, and answers every event with another, until one is poison.
#[derive(Serialize, Deserialize)]
struct Chain {
    seen: u32,
}

#[derive(Params)]
struct Settings {
    /// How many answers there are to an event.
    #[param(default = 1)]
    answers: i64,
}

#[rule(query = "metric != nil", per = Attribute("dc"))]
impl Rule for Chain {
    type Params = Settings;

    fn first_seen(_: &Event<'_>, _: &Settings) -> Self {
        Self { seen: 0 }
    }

    fn on_event(&mut self, event: &Event<'_>, settings: &Settings, out: &mut Out<'_>) {
        self.seen += 1;
        let round = event.metric().unwrap_or_default() as i64;
        assert!(round != 13, "thirteen in {}", event.attribute("dc").unwrap_or("no data centre"));
        if round < settings.answers {
            out.emit().service("answer").metric(round + 1).tag("again").send();
        } else {
            log!(out, Level::Debug, "{} seen", self.seen);
        }
    }
}

#[test]
fn what_is_emitted_comes_back_at_the_same_moment_to_the_same_key() {
    Scene::<Chain>::with("answers = 2")
        .play(
            "
            at  host  service  metric  dc
            3s  web1  ask           0  ams
            4s  web2  ask           2  fra
            4s  web3  ask           2  ams
            ",
        )
        .leaves(expect![[r#"
            3s  emit       web1 answer  1  #again  dc=ams
            3s  emit       web1 answer  2  #again  dc=ams
            3s  log:debug  web1 answer     3 seen
            4s  log:debug  web2 ask        1 seen
            4s  log:debug  web3 ask        4 seen
        "#]]);
}

#[test]
fn an_endless_answer_ends_with_the_eighth() {
    let played = Scene::<Chain>::with("answers = 12").play("at host metric\n0s web1 0");
    let last = played.transcript().lines().last().unwrap().to_owned();
    assert!(last.contains("answer  8"), "{last}");
}

#[test]
#[should_panic(
    expected = "the rule failed at 2s over Event { time: \"2s\", host: \"web1\", metric: Int(13), \
                           attributes: [(\"dc\", \"ams\")] }: trap: thirteen in ams"
)]
fn a_rule_that_panics_fails_the_scene_and_names_the_event() {
    let _ = Scene::<Chain>::new().play(
        "
        at  host  metric  dc
        1s  web1       1  ams
        2s  web1      13  ams
        ",
    );
}

#[test]
#[should_panic(expected = "parameter answers:")]
fn settings_that_a_deployment_would_refuse_fail_the_scene() {
    let _ = Scene::<Chain>::with("answers = many").play("at\n0s");
}

#[test]
fn a_deployment_may_ask_for_other_events() {
    Scene::<Chain>::new()
        .asking(r#"host = "web2" and metric != nil"#)
        .play(
            "
            at  host  metric
            0s  web1       5
            0s  web2       5
            ",
        )
        .leaves(expect![[r#"
            0s  log:debug  web2  1 seen
        "#]]);
}
