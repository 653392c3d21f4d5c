//! The desks in virtual time: what people hear of what happened, and that nothing is told twice or kept without bound.

use super::alert::{About, At, Kind, Status};
use super::board::Board;
use super::doings::{Act, Doings};
use super::journal::Journal;
use super::settings::{Settings, Step};
use super::{Alerts, Wanted};
use crate::output::Delivery;
use crate::output::notice::Notice;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidegate_event::{BatchBuilder, Metric, NewEvent, Timestamp};

const START: i64 = 1_700_000_000;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn delivery(n: u32, at: u64, host: &str, service: &str, state: &str) -> Delivery {
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent {
        time: Some(Timestamp::from_secs(START + at as i64)),
        host: Some(host),
        service: Some(service),
        state: Some(state),
        metric: Some(Metric::Int(n.into())),
        description: Some("it is so"),
        ..NewEvent::default()
    });
    let batch = builder.finish();
    Delivery { rule: "slow".into(), declared: "pager".into(), position: u64::from(n) + 1, n: 0, batch }
}

/// A board with one desk called `pager`, and a clock that moves when it is told.
struct Scene {
    board: Board,
    now: At,
    n: u32,
    /// What every output was sent, in order.
    heard: BTreeMap<String, Vec<Notice>>,
    /// What was said in the stream.
    said: Vec<String>,
}

impl Scene {
    fn new(settings: Settings) -> Self {
        let board = Board::new([("pager", &settings)].into_iter());
        let now = At(START * 1_000_000);
        Self { board, now, n: 0, heard: BTreeMap::new(), said: Vec::new() }
    }

    fn plain() -> Self {
        Self::new(to_slack())
    }

    fn seconds(&self) -> u64 {
        (self.now.0 / 1_000_000 - START) as u64
    }

    fn change<T>(&mut self, how: impl FnOnce(&mut Board, At, &mut Doings) -> T) -> T {
        let mut doings = self.board.begin();
        let answer = how(&mut self.board, self.now, &mut doings);
        self.board.commit(doings);
        let acts: Vec<(u64, Act)> = self.board.outbox(0).map(|(number, act)| (number, act.clone())).collect();
        for (number, act) in acts {
            match &act {
                Act::Event(kept) => {
                    let event = kept.event();
                    let what =
                        event.attributes().find(|(name, _)| *name == "alert.what").unwrap().1.to_owned();
                    self.said.push(what);
                }
                Act::Notice { .. } => {
                    let (to, delivery) = act.delivery().unwrap();
                    for output in to {
                        self.heard.entry(output.clone()).or_default().push(Notice::read(&delivery));
                    }
                }
            }
            self.board.sent(&[number]);
        }
        answer
    }

    fn event(&mut self, host: &str, service: &str, state: &str) {
        self.n += 1;
        let delivery = delivery(self.n, self.seconds(), host, service, state);
        self.take(&delivery);
    }

    fn take(&mut self, delivery: &Delivery) {
        let about = About { version: Some("1.2.3".into()), generation: Some(4) };
        self.change(|board, now, out| board.fold(now, "pager", delivery, &about, out))
            .expect("there is room");
    }

    /// Lets time pass, a second at a time.
    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.plus(secs(1));
            self.change(|board, now, out| board.tick(now, out));
        }
    }

    /// What an output has heard, in words: `firing web1/cpu=critical`.
    fn heard(&self, output: &str) -> Vec<String> {
        let words = |notice: &Notice| {
            let items: Vec<String> = notice
                .items
                .iter()
                .map(|item| {
                    let (host, service) = (item.host.as_deref(), item.service.as_deref());
                    format!("{}/{}={}", host.unwrap(), service.unwrap(), item.state.as_deref().unwrap())
                })
                .collect();
            format!("{} {}", notice.kind.word(), items.join(" "))
        };
        self.heard.get(output).into_iter().flatten().map(words).collect()
    }

    fn id(&self) -> String {
        self.board.alerts().next().expect("there is an alert").id.clone()
    }

    fn status(&self) -> Status {
        self.board.alerts().next().expect("there is an alert").status()
    }
}

fn to_slack() -> Settings {
    Settings { to: vec!["slack".into()], ..Settings::default() }
}

#[test]
fn the_same_state_again_is_told_once_and_every_change_and_the_end_as_well() {
    let mut scene = Scene::plain();
    for state in ["ok", "warning", "warning", "critical", "critical", "ok", "ok"] {
        scene.event("web1", "cpu", state);
        scene.wait(1);
    }
    assert_eq!(
        scene.heard("slack"),
        ["firing web1/cpu=warning", "changed web1/cpu=critical", "resolved web1/cpu=ok"]
    );
    assert_eq!(scene.said, ["firing", "changed", "resolved"]);
    assert_eq!(scene.status(), Status::Resolved);
}

#[test]
fn a_notice_says_which_rule_why_and_since_when() {
    let mut scene = Scene::plain();
    scene.event("web1", "cpu", "warning");
    scene.wait(5);
    scene.event("web1", "cpu", "critical");
    let notice = scene.heard["slack"].last().unwrap();
    let item = notice.first();
    assert_eq!(
        (item.rule.as_str(), item.version.as_deref(), item.generation),
        ("slow", Some("1.2.3"), Some(4))
    );
    assert_eq!((item.before.as_deref(), item.state.as_deref()), (Some("warning"), Some("critical")));
    assert_eq!((item.since.as_str(), item.count), ("2023-11-14T22:13:20.000Z", 2));
    assert_eq!(item.metric, Some(2.0));
    assert_eq!(item.key, "slow|web1|cpu");
    let (_, delivery) = {
        let mut doings = scene.board.begin();
        let delivery = delivery(9, scene.seconds(), "web1", "cpu", "fatal");
        scene.board.fold(scene.now, "pager", &delivery, &About::default(), &mut doings).unwrap();
        let act =
            doings.acts.into_iter().find_map(|(_, act)| act.delivery().map(|(to, one)| (to.to_vec(), one)));
        act.unwrap()
    };
    let event = delivery.event();
    let attribute = |wanted: &str| event.attributes().find(|(name, _)| *name == wanted).unwrap().1;
    let events: serde_json::Value = serde_json::from_str(attribute("alert.events")).unwrap();
    let states: Vec<&str> =
        events.as_array().unwrap().iter().map(|event| event["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["warning", "critical", "fatal"]);
    assert_eq!((attribute("alert.before"), attribute("alert.after")), ("critical", "fatal"));
    assert_eq!((event.host(), event.state()), (Some("web1"), Some("fatal")));
}

#[test]
fn what_comes_twice_counts_once_and_the_same_place_with_another_event_counts() {
    let mut scene = Scene::plain();
    let first = delivery(1, 0, "web1", "cpu", "critical");
    scene.take(&first);
    scene.take(&first);
    assert_eq!(scene.board.alerts().next().unwrap().events, 1);
    // A power cut took the end of the log, and the position is used again.
    scene.take(&delivery(1, 3, "web1", "cpu", "critical"));
    assert_eq!(scene.board.alerts().next().unwrap().events, 2);
    assert_eq!(scene.heard("slack"), ["firing web1/cpu=critical"]);
}

#[test]
fn a_group_waits_for_more_and_is_told_of_in_one_notice() {
    let settings = Settings {
        group_by: vec!["service".into()],
        group_wait: secs(30),
        group_interval: secs(300),
        ..to_slack()
    };
    let mut scene = Scene::new(settings);
    scene.event("web1", "cpu", "critical");
    scene.event("web2", "cpu", "critical");
    scene.wait(29);
    assert!(scene.heard("slack").is_empty());
    scene.wait(1);
    assert_eq!(scene.heard("slack"), ["firing web1/cpu=critical web2/cpu=critical"]);
    // What is new in the group waits for the interval, and what came and went meanwhile is told to nobody.
    scene.event("web3", "cpu", "critical");
    scene.event("web4", "cpu", "critical");
    scene.event("web4", "cpu", "ok");
    scene.event("db1", "disk", "critical");
    scene.wait(30);
    assert_eq!(scene.heard("slack")[1..], ["firing db1/disk=critical"]);
    scene.wait(270);
    assert_eq!(scene.heard("slack")[2..], ["firing web3/cpu=critical"]);
}

#[test]
fn what_is_over_the_limit_is_told_in_one_notice_and_counted() {
    let mut scene = Scene::new(Settings { notices: 3, per: secs(60), ..to_slack() });
    for host in 0..10 {
        scene.event(&format!("web{host}"), "cpu", "critical");
    }
    assert_eq!(scene.heard("slack").len(), 3);
    scene.wait(59);
    assert_eq!(scene.heard("slack").len(), 3);
    scene.wait(1);
    assert_eq!(scene.heard("slack").len(), 4);
    let summary = scene.heard["slack"].last().unwrap();
    assert_eq!((summary.items.len(), summary.held), (7, 7));
    // The next one is told alone again.
    scene.event("web0", "cpu", "ok");
    assert_eq!(scene.heard("slack")[4..], ["resolved web0/cpu=ok"]);
}

#[test]
fn a_silence_keeps_quiet_until_it_ends_and_then_what_is_still_so_is_told() {
    let mut scene = Scene::plain();
    let until = scene.now.plus(secs(60));
    scene
        .change(|board, now, out| board.add_silence(now, "host = \"web1\"", "moving", "ann", until, out))
        .expect("it is a query");
    scene.event("web1", "cpu", "critical");
    scene.event("web1", "disk", "critical");
    scene.event("web2", "cpu", "critical");
    assert_eq!(scene.heard("slack"), ["firing web2/cpu=critical"]);
    scene.event("web1", "disk", "ok");
    scene.wait(59);
    assert_eq!(scene.heard("slack").len(), 1);
    assert_eq!(scene.board.silences().next().unwrap().matched, 2);
    scene.wait(1);
    assert_eq!(scene.heard("slack")[1..], ["firing web1/cpu=critical"]);
}

#[test]
fn a_silence_for_what_was_told_does_not_hide_its_end() {
    let mut scene = Scene::plain();
    scene.event("web1", "cpu", "critical");
    let until = scene.now.plus(secs(600));
    let silence = scene
        .change(|board, now, out| board.add_silence(now, "alert.rule = \"slow\"", "", "ann", until, out))
        .expect("it is a query");
    assert_eq!((scene.status(), silence.matched), (Status::Silenced, 1));
    scene.event("web1", "cpu", "warning");
    assert_eq!(scene.heard("slack").len(), 1);
    scene.event("web1", "cpu", "ok");
    assert_eq!(scene.heard("slack")[1..], ["resolved web1/cpu=ok"]);
}

#[test]
fn removing_a_silence_tells_at_once() {
    let mut scene = Scene::plain();
    let until = scene.now.plus(secs(600));
    let silence =
        scene.change(|board, now, out| board.add_silence(now, "true", "", "ann", until, out)).unwrap();
    scene.event("web1", "cpu", "critical");
    assert!(scene.heard("slack").is_empty());
    scene.change(|board, now, out| board.end_silence(now, &silence.id, "ann", out)).expect("it held");
    assert_eq!(scene.heard("slack"), ["firing web1/cpu=critical"]);
    assert!(scene.change(|board, now, out| board.end_silence(now, &silence.id, "ann", out)).is_none());
    assert_eq!(scene.said, ["silence-added", "firing", "silenced", "silence-removed", "unsilenced"]);
}

#[test]
fn what_nobody_acknowledges_goes_to_others_and_they_hear_of_its_end() {
    let escalate = vec![
        Step { after: secs(60), to: vec!["oncall".into()] },
        Step { after: secs(120), to: vec!["boss".into()] },
    ];
    let mut scene = Scene::new(Settings { escalate, ..to_slack() });
    scene.event("web1", "cpu", "critical");
    scene.wait(60);
    assert_eq!(scene.heard("oncall"), ["escalated web1/cpu=critical"]);
    let id = scene.id();
    scene
        .change(|board, now, out| board.change(&id, |desk| desk.acknowledge(now, &id, "ann", "on it", out)))
        .unwrap();
    assert_eq!(scene.status(), Status::Acknowledged);
    scene.wait(120);
    assert!(scene.heard("boss").is_empty());
    scene.event("web1", "cpu", "ok");
    assert_eq!(
        scene.heard("oncall"),
        ["escalated web1/cpu=critical", "acknowledged web1/cpu=critical", "resolved web1/cpu=ok"]
    );
    assert_eq!(
        scene.heard("slack"),
        ["firing web1/cpu=critical", "acknowledged web1/cpu=critical", "resolved web1/cpu=ok"]
    );
    let acknowledged = &scene.heard["slack"][1];
    assert_eq!(acknowledged.first().acknowledged.as_deref(), Some("ann"));
    assert_eq!(acknowledged.first().note.as_deref(), Some("on it"));
}

#[test]
fn nobody_is_called_in_before_somebody_has_been_told() {
    let escalate = vec![Step { after: secs(60), to: vec!["oncall".into()] }];
    let mut scene =
        Scene::new(Settings { escalate, group_by: vec!["host".into()], group_wait: secs(30), ..to_slack() });
    let until = scene.now.plus(secs(100));
    let made = scene.change(|board, now, out| board.add_silence(now, "true", "moving", "ann", until, out));
    made.unwrap();
    scene.event("web1", "cpu", "critical");
    scene.wait(110);
    assert_eq!(scene.status(), Status::Firing, "the silence has ended, and it waits for others of its group");
    assert!(scene.heard("oncall").is_empty());
    scene.event("web1", "cpu", "ok");
    scene.wait(200);
    assert!(scene.heard("slack").is_empty() && scene.heard("oncall").is_empty());

    scene.event("web1", "cpu", "critical");
    scene.wait(30);
    assert_eq!(scene.heard("slack"), ["firing web1/cpu=critical"]);
    scene.wait(59);
    assert!(scene.heard("oncall").is_empty());
    scene.wait(1);
    assert_eq!(scene.heard("oncall"), ["escalated web1/cpu=critical"]);
    scene.event("web1", "cpu", "ok");
    scene.wait(400);
    assert_eq!(scene.heard("oncall"), ["escalated web1/cpu=critical", "resolved web1/cpu=ok"]);
}

#[test]
fn taking_an_acknowledgement_back_lets_time_go_on() {
    let escalate = vec![Step { after: secs(60), to: vec!["oncall".into()] }];
    let mut scene = Scene::new(Settings { escalate, ..to_slack() });
    scene.event("web1", "cpu", "critical");
    let id = scene.id();
    let ack = |scene: &mut Scene| {
        scene.change(|board, now, out| board.change(&id, |desk| desk.acknowledge(now, &id, "ann", "", out)))
    };
    ack(&mut scene).unwrap();
    scene.wait(90);
    assert!(scene.heard("oncall").is_empty());
    scene
        .change(|board, now, out| board.change(&id, |desk| desk.unacknowledge(now, &id, "ann", out)))
        .unwrap();
    scene.wait(1);
    assert_eq!(scene.heard("oncall"), ["escalated web1/cpu=critical"]);
    scene.event("web1", "cpu", "ok");
    assert!(ack(&mut scene).is_err(), "it is over");
}

#[test]
fn reminders_go_on_until_somebody_cares() {
    let mut scene = Scene::new(Settings { repeat: Some(secs(100)), ..to_slack() });
    scene.event("web1", "cpu", "critical");
    scene.wait(250);
    assert_eq!(
        scene.heard("slack"),
        ["firing web1/cpu=critical", "repeated web1/cpu=critical", "repeated web1/cpu=critical"]
    );
    let id = scene.id();
    scene
        .change(|board, now, out| board.change(&id, |desk| desk.acknowledge(now, &id, "ann", "", out)))
        .unwrap();
    scene.wait(500);
    assert_eq!(scene.heard("slack").len(), 4);
}

#[test]
fn what_flaps_is_said_to_do_so_and_is_told_of_again_when_it_has_come_to_rest() {
    let mut scene = Scene::new(Settings { changes: 4, within: secs(100), ..to_slack() });
    for turn in 0..20 {
        scene.event("web1", "cpu", if turn % 2 == 0 { "critical" } else { "ok" });
        scene.wait(2);
    }
    let flapping: Vec<bool> = scene.heard["slack"].iter().map(|notice| notice.first().flapping).collect();
    // The fourth change is an end, and that it flaps; then people know that it is open and flaps.
    assert_eq!(flapping, [false, false, false, true, true], "{:?}", scene.heard("slack"));
    scene.wait(200);
    assert_eq!(scene.heard("slack")[5..], ["resolved web1/cpu=ok"]);
    assert!(!scene.board.alerts().next().unwrap().flapping);
}

#[test]
fn an_alert_of_which_nothing_is_heard_is_resolved_by_time_if_so_wished() {
    let mut scene = Scene::new(Settings { resolve_after: Some(secs(30)), ..to_slack() });
    scene.event("web1", "cpu", "critical");
    scene.wait(29);
    assert_eq!(scene.status(), Status::Firing);
    scene.wait(1);
    assert_eq!(scene.heard("slack")[1..], ["resolved web1/cpu=critical"]);
    let mut silent = Scene::plain();
    silent.event("web1", "cpu", "critical");
    silent.wait(3600);
    assert_eq!(silent.status(), Status::Firing);
}

#[test]
fn what_a_person_resolves_opens_again_when_it_is_heard_of() {
    let mut scene = Scene::plain();
    scene.event("web1", "cpu", "critical");
    let id = scene.id();
    scene
        .change(|board, now, out| board.change(&id, |desk| desk.resolve(now, &id, "ann", "fixed", out)))
        .unwrap();
    assert_eq!(scene.status(), Status::Resolved);
    scene.event("web1", "cpu", "critical");
    assert_eq!(scene.id(), id);
    assert_eq!(
        scene.heard("slack"),
        ["firing web1/cpu=critical", "resolved web1/cpu=critical", "firing web1/cpu=critical"]
    );
}

#[test]
fn events_about_alerts_make_no_alerts() {
    let mut scene = Scene::plain();
    scene.event("web1", "cpu", "critical");
    let mut doings = scene.board.begin();
    let about = About::default();
    let first = delivery(7, 0, "web1", "disk", "critical");
    scene.board.fold(scene.now, "pager", &first, &about, &mut doings).unwrap();
    let said = doings.acts.iter().find_map(|(_, act)| match act {
        Act::Event(kept) => Some(kept.clone()),
        Act::Notice { .. } => None,
    });
    scene.board.commit(doings);
    let told = Delivery { batch: (*said.unwrap().0).clone(), ..delivery(8, 0, "", "", "") };
    let before = scene.board.alerts().count();
    scene.take(&told);
    assert_eq!(scene.board.alerts().count(), before);
}

#[test]
fn when_there_is_no_room_what_is_over_goes_first_and_what_is_open_stays() {
    let mut scene = Scene::new(Settings { max_alerts: 2, ..to_slack() });
    scene.event("web1", "cpu", "critical");
    scene.event("web2", "cpu", "critical");
    let third = delivery(90, 0, "web3", "cpu", "critical");
    let refused = scene.change(|board, now, out| board.fold(now, "pager", &third, &About::default(), out));
    assert!(refused.is_err());
    scene.event("web1", "cpu", "ok");
    scene.take(&third);
    let hosts: Vec<String> =
        scene.board.alerts().map(|alert| alert.latest().event().host().unwrap().to_owned()).collect();
    assert_eq!(hosts.len(), 2);
    assert!(!hosts.contains(&"web1".to_owned()), "{hosts:?}");
}

#[test]
fn reminders_do_not_put_off_what_else_is_to_be_told_of_their_group() {
    let settings = Settings {
        group_by: vec!["service".into()],
        group_wait: secs(2),
        group_interval: secs(35),
        repeat: Some(secs(60)),
        ..to_slack()
    };
    let mut scene = Scene::new(settings);
    scene.event("web1", "cpu", "critical");
    scene.wait(19);
    scene.event("web2", "cpu", "critical");
    scene.event("web3", "cpu", "critical");
    scene.wait(26);
    assert_eq!(believed(&scene.heard["slack"]).len(), 3);
    // With its reminder a second later than usual, one of the first two is told again at least every 34 seconds.
    let until = scene.now.plus(secs(18));
    let silence = "host = \"web1\"";
    scene.change(|board, now, out| board.add_silence(now, silence, "", "ann", until, out)).unwrap();
    scene.event("web3", "cpu", "ok");
    scene.wait(60);
    assert_eq!(believed(&scene.heard["slack"]).len(), 2);
}

#[test]
fn what_is_over_is_forgotten_after_a_while() {
    let mut scene = Scene::new(Settings { keep: secs(100), ..to_slack() });
    scene.event("web1", "cpu", "critical");
    scene.event("web1", "cpu", "ok");
    scene.wait(99);
    assert_eq!(scene.board.alerts().count(), 1);
    scene.wait(1);
    assert_eq!(scene.board.alerts().count(), 0);
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step1 {
    Event { host: u8, state: u8 },
    Wait(u64),
    Acknowledge(u8),
    Resolve(u8),
    Silence { host: u8, seconds: u64 },
    EndSilences,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step1>> {
    let step = prop_oneof![
        6 => (0u8..4, 0u8..3).prop_map(|(host, state)| Step1::Event { host, state }),
        4 => (1u64..40).prop_map(Step1::Wait),
        1 => (0u8..4).prop_map(Step1::Acknowledge),
        1 => (0u8..4).prop_map(Step1::Resolve),
        1 => (0u8..4, 1u64..60).prop_map(|(host, seconds)| Step1::Silence { host, seconds }),
        1 => Just(Step1::EndSilences),
        1 => Just(Step1::Restart),
    ];
    proptest::collection::vec(step, 1..60)
}

fn any_settings() -> impl Strategy<Value = Settings> {
    (any::<bool>(), 0u64..20, 0u64..40, 1usize..6, any::<bool>(), 2usize..6).prop_map(
        |(grouped, wait, interval, notices, repeat, changes)| Settings {
            group_by: if grouped { vec!["service".into()] } else { Vec::new() },
            group_wait: secs(wait),
            group_interval: secs(interval),
            notices,
            per: secs(20),
            repeat: repeat.then(|| secs(60)),
            changes,
            within: secs(30),
            escalate: vec![Step { after: secs(45), to: vec!["oncall".into()] }],
            ..to_slack()
        },
    )
}

/// What people who read every notice in order believe to be open, and in which state.
fn believed(heard: &[Notice]) -> BTreeMap<String, Option<String>> {
    let mut open = BTreeMap::new();
    for item in heard.iter().flat_map(|notice| &notice.items) {
        match item.kind() {
            Kind::Resolved => _ = open.remove(&item.id),
            Kind::Acknowledged => {}
            _ => _ = open.insert(item.id.clone(), item.state.clone()),
        }
    }
    open
}

impl Scene {
    fn restart(&mut self, settings: &Settings) {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        let mut payloads = Vec::new();
        self.board.snapshot(|payload| payloads.push(payload));
        journal.renew(&payloads).unwrap();
        let (_, present) = Journal::open(folder.path()).unwrap();
        assert_eq!(present.damaged, 0);
        let mut board = Board::new([("pager", settings)].into_iter());
        present.entries().for_each(|entry| assert!(board.restore(entry)));
        assert!(board.alerts().eq(self.board.alerts()));
        self.board = board;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// Whatever happens, once all is quiet people know what is so, and neither the limit nor a number is ever broken.
    #[test]
    fn in_the_end_people_know_what_is_so(settings in any_settings(), steps in steps()) {
        let mut scene = Scene::new(settings.clone());
        let mut sent_at: Vec<u64> = Vec::new();
        // A node that starts does not know what it sent a moment ago.
        let starts = 1 + steps.iter().filter(|step| matches!(step, Step1::Restart)).count();
        for step in steps {
            let before = scene.heard("slack").len() + scene.heard("oncall").len();
            let mut by_person = false;
            match step {
                Step1::Event { host, state } => {
                    scene.event(&format!("web{host}"), "cpu", ["ok", "warning", "critical"][usize::from(state)]);
                }
                Step1::Wait(seconds) => {
                    for _ in 0..seconds {
                        let before = scene.heard("slack").len() + scene.heard("oncall").len();
                        scene.wait(1);
                        let more = scene.heard("slack").len() + scene.heard("oncall").len() - before;
                        sent_at.extend(std::iter::repeat_n(scene.seconds(), more));
                    }
                }
                Step1::Acknowledge(n) | Step1::Resolve(n) => {
                    by_person = true;
                    let ids: Vec<String> = scene.board.alerts().map(|alert| alert.id.clone()).collect();
                    if let Some(id) = ids.get(usize::from(n)) {
                        let acknowledge = matches!(step, Step1::Acknowledge(_));
                        let _ = scene.change(|board, now, out| {
                            board.change(id, |desk| match acknowledge {
                                true => desk.acknowledge(now, id, "ann", "", out),
                                false => desk.resolve(now, id, "ann", "", out),
                            })
                        });
                    }
                }
                Step1::Silence { host, seconds } => {
                    let until = scene.now.plus(secs(seconds));
                    let query = format!("host = \"web{host}\"");
                    let made = scene.change(|board, now, out| board.add_silence(now, &query, "", "ann", until, out));
                    prop_assert!(made.is_ok());
                }
                Step1::EndSilences => {
                    let ids: Vec<String> = scene.board.silences().map(|silence| silence.id.clone()).collect();
                    for id in ids {
                        scene.change(|board, now, out| board.end_silence(now, &id, "ann", out));
                    }
                }
                Step1::Restart => scene.restart(&settings),
            }
            if !matches!(step, Step1::Wait(_)) && !by_person {
                let more = scene.heard("slack").len() + scene.heard("oncall").len() - before;
                sent_at.extend(std::iter::repeat_n(scene.seconds(), more));
            }
        }
        // An escalation and a notice to an output more are of one decision each: three times the limit is never reached.
        for at in &sent_at {
            let within = sent_at.iter().filter(|other| **other <= *at && at - **other < 20).count();
            prop_assert!(within <= (settings.notices * 3 + 3) * starts, "{within} notices within 20 s");
        }
        scene.wait(400);
        let believed = believed(scene.heard.get("slack").map_or(&[], Vec::as_slice));
        let open: BTreeMap<String, Option<String>> = scene
            .board
            .alerts()
            .filter(|alert| alert.is_open())
            .map(|alert| (alert.id.clone(), alert.state.clone()))
            .collect();
        prop_assert_eq!(&believed, &open);
        // Whoever was called in knows as much of what they were called in for.
        for (id, state) in self::believed(scene.heard.get("oncall").map_or(&[], Vec::as_slice)) {
            prop_assert_eq!(Some(&state), open.get(&id));
        }
        let mut ids: Vec<&String> =
            scene.heard.get("slack").into_iter().flatten().map(|notice| &notice.id).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), all);
    }
}

#[test]
fn alerts_survive_a_restart_and_what_was_taken_is_not_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = to_slack();
    let open = || {
        let alerts =
            Alerts::open([("pager", &settings)].into_iter(), Some(folder.path()), Arc::default()).unwrap();
        alerts.start(Arc::new(|_| About::default()), None);
        alerts
    };
    let batch: Vec<Arc<Delivery>> =
        (0..5).map(|n| Arc::new(delivery(n, 0, &format!("web{n}"), "cpu", "critical"))).collect();
    let all = Wanted { limit: 10, ..Wanted::default() };
    let id = {
        let alerts = open();
        alerts.take("pager", &batch).unwrap();
        let id = alerts.list(&all).alerts[0]["id"].as_str().unwrap().to_owned();
        alerts.acknowledge(&id, "ann", "mine").unwrap();
        alerts.add_silence("host = \"web9\"", "", "ann", At(i64::MAX)).unwrap();
        id
    };
    let alerts = open();
    assert_eq!((alerts.counts().firing, alerts.counts().acknowledged), (4, 1));
    assert_eq!(alerts.get(&id).unwrap()["acknowledged"]["note"], "mine");
    assert_eq!(alerts.silences().len(), 1);
    // What was on its way is still there: five notices, the acknowledgement, seven events.
    assert_eq!(alerts.board().outbox(0).count(), 13);
    alerts.take("pager", &batch).unwrap();
    assert_eq!(alerts.stats().doubled.get(), 5);
    assert_eq!(alerts.board().outbox(0).count(), 13);
}

#[test]
fn half_a_record_at_the_end_costs_that_change_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = to_slack();
    let open =
        || Alerts::open([("pager", &settings)].into_iter(), Some(folder.path()), Arc::default()).unwrap();
    {
        let alerts = open();
        alerts.take("pager", &[Arc::new(delivery(1, 0, "web1", "cpu", "critical"))]).unwrap();
        alerts.take("pager", &[Arc::new(delivery(2, 0, "web2", "cpu", "critical"))]).unwrap();
    }
    let path = folder.path().join("alerts.journal");
    let bytes = std::fs::read(&path).unwrap();
    for cut in [1, 20, 200] {
        std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        let alerts = open();
        assert_eq!(alerts.counts().firing, 1, "{cut} bytes cut off");
        // The spool gives it again.
        alerts.take("pager", &[Arc::new(delivery(2, 0, "web2", "cpu", "critical"))]).unwrap();
        assert_eq!(alerts.counts().firing, 2);
        drop(alerts);
    }
}
