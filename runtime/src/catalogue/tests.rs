//! What the catalogue remembers: earlier deployments and how they ended, trials, and all of it in the head of a segment.

use super::*;
use tidegate_engine::guest::{Fault, FaultKind};
use tidegate_engine::rule::{Limits, Origin, Width};

fn spec(generation: u64, back_to: Option<u64>) -> Box<RuleSpec> {
    Box::new(RuleSpec {
        name: "slow".into(),
        generation,
        module: format!("module-{generation}"),
        version: "0.1.0".into(),
        query: "true".into(),
        per: Width::Stream,
        fields: 0,
        settings: Vec::new(),
        set: Vec::new(),
        outputs: Vec::new(),
        limits: Limits::default(),
        paused: false,
        schema: 1,
        reset_state: false,
        backfill: None,
        origin: Origin { back_to, reason: "too slow".into(), ..Origin::default() },
    })
}

fn trial(generation: u64) -> Control {
    Control::Try { spec: spec(generation, None), share: 50 }
}

fn abandon() -> Control {
    Control::Abandon { name: "slow".into(), reason: "faults".into() }
}

fn promote() -> Control {
    Control::Promote { name: "slow".into() }
}

/// A catalogue after these changes, at positions 1, 2, 3 …, a second apart.
fn after(changes: &[Control]) -> Catalogue {
    let catalogue = Catalogue::new(Arc::default());
    for (n, control) in (1u64..).zip(changes) {
        catalogue.change(control, n, Timestamp::from_secs(n as i64));
    }
    catalogue
}

fn past(catalogue: &Catalogue) -> Vec<(u64, How)> {
    let entry = catalogue.get("slow").expect("it is deployed");
    entry.past.iter().map(|past| (past.spec.generation, past.how.clone())).collect()
}

#[test]
fn every_deployment_leaves_how_it_ended_and_the_last_ten_are_kept() {
    let deploy = |generation| Control::Deploy(spec(generation, None));
    let catalogue = after(&[deploy(1), deploy(2), Control::Deploy(spec(3, Some(1)))]);
    let rolled_back = How::RolledBack { reason: "too slow".into() };
    assert_eq!(past(&catalogue), [(1, How::Replaced), (2, rolled_back)]);
    let entry = catalogue.get("slow").expect("it is deployed");
    let first = entry.earlier(1).expect("it is kept");
    assert_eq!((first.deployed, first.ended, first.ended_at), (1, 2, 2_000_000));
    assert_eq!(entry.previous().map(|past| past.spec.generation), Some(1), "2 was found bad");
    let many: Vec<Control> = (1..20).map(deploy).collect();
    let generations: Vec<u64> = past(&after(&many)).into_iter().map(|(generation, _)| generation).collect();
    assert_eq!(generations, (9..19).collect::<Vec<u64>>());
}

#[test]
fn a_trial_ends_in_promotion_or_is_remembered_as_given_up() {
    let deploy = |generation| Control::Deploy(spec(generation, None));
    let given_up = || How::Abandoned { reason: "faults".into() };
    let catalogue = after(&[deploy(1), trial(2), abandon(), trial(3), promote()]);
    assert_eq!(past(&catalogue), [(2, given_up()), (1, How::Replaced)]);
    let entry = catalogue.get("slow").expect("it is deployed");
    assert_eq!((entry.spec.generation, entry.deployed, entry.at), (3, 4, Timestamp::from_secs(5)));
    assert!(entry.trial.is_none());
    assert_eq!(catalogue.next_generation("slow"), 4);
    let catalogue = after(&[deploy(1), trial(2), trial(3), deploy(4)]);
    let because = |reason: &str| How::Abandoned { reason: reason.into() };
    assert_eq!(
        past(&catalogue),
        [
            (2, because("generation 3 is tried")),
            (3, because("generation 4 was deployed")),
            (1, How::Replaced)
        ]
    );
}

#[test]
fn the_head_of_a_segment_holds_history_and_trials() {
    let deploy = |generation| Control::Deploy(spec(generation, None));
    let before = after(&[deploy(1), deploy(2), trial(3)]);
    let compared = Compared { same: 3, ..Compared::default() };
    before.compared(&[("slow".into(), compared.clone())]);
    let standing = before.standing();
    let bytes = rmp_serde::to_vec_named(&standing).expect("it can be written");
    let read: Vec<Standing> = rmp_serde::from_slice(&bytes).expect("and read");
    assert_eq!(read, standing);
    let catalogue = Catalogue::new(Arc::default());
    read.iter().for_each(|standing| catalogue.stand(standing));
    assert_eq!(catalogue.standing(), standing);
    assert_eq!(catalogue.next_generation("slow"), 4);
    let tried = catalogue.get("slow").and_then(|entry| entry.trial).expect("it is tried");
    assert_eq!((tried.name(), tried.trial.compared), ("slow@3".to_owned(), compared));
    let changes: Vec<u64> = read.into_iter().flat_map(Standing::changes).map(|(at, ..)| at).collect();
    assert_eq!(changes, [2, 3]);
}

#[test]
fn a_candidate_fails_in_its_own_name() {
    let catalogue = after(&[Control::Deploy(spec(1, None)), trial(2)]);
    let trouble = |rule: &str| Troubled {
        rule: rule.into(),
        fault: Fault::new(FaultKind::Trap, "no"),
        event: None,
        at: Timestamp::from_secs(3),
        quarantined_until: Some(Timestamp::from_secs(4)),
    };
    catalogue.troubled(7, &[trouble("slow@2"), trouble("slow@1"), trouble("other")]);
    let entry = catalogue.get("slow").expect("it is deployed");
    assert!(entry.last_fault.is_none() && entry.quarantined_until.is_none());
    let tried = entry.trial.expect("it is tried");
    assert!(tried.last_fault.is_some() && tried.quarantined_until == Some(Timestamp::from_secs(4)));
    catalogue.troubled(8, &[trouble("slow")]);
    assert!(catalogue.get("slow").is_some_and(|entry| entry.last_fault.is_some()));
}

#[test]
fn lines_and_faults_are_kept_in_order_and_what_is_left_out_is_counted() {
    let catalogue = after(&[Control::Deploy(spec(1, None)), trial(2)]);
    let line = |rule: &str, n: u64| {
        let text = format!("line {n}");
        let logged = tidegate_engine::shard::Logged { rule: rule.into(), level: 2, text, about: None };
        catalogue.line(&logged, n, Timestamp::from_secs(n as i64));
    };
    (0..300).for_each(|n| line("slow", n));
    line("slow@2", 300);
    let trouble = Troubled {
        rule: "slow".into(),
        fault: Fault::new(FaultKind::Trap, "panicked at src/lib.rs:17:5: no"),
        event: None,
        at: Timestamp::from_secs(301),
        quarantined_until: None,
    };
    catalogue.troubled(301, &[trouble]);
    line("other", 1);
    let (lines, missed) = catalogue.journal("slow", 3);
    let told: Vec<_> = lines.iter().map(|line| (&*line.rule, line.position, line.text.as_str())).collect();
    let fault = "trap: panicked at src/lib.rs:17:5: no";
    assert_eq!(told, [("slow", 299, "line 299"), ("slow@2", 300, "line 300"), ("slow", 301, fault)]);
    assert_eq!((missed, lines[2].level), (299, 0));
    let (lines, missed) = catalogue.journal("slow", 1000);
    assert_eq!((lines.len() as u64 + missed, lines[0].position), (302, 102));
    assert_eq!(catalogue.journal("other", 10), (Vec::new(), 0));
    catalogue.change(&Control::Remove { name: "slow".into() }, 302, Timestamp::from_secs(302));
    assert_eq!(catalogue.journal("slow", 10), (Vec::new(), 0));
}
