//! Copies of stages behind a `by`: when they are let go, what happens when there are too many, and what survives a change of
//! the pipeline.

use standard::Standard;
use standard::plan::Plan;
use tidegate_sdk::Span;
use tidegate_testkit::{Scene, expect};

fn scene(pipeline: &str) -> Scene<Standard> {
    Scene::with(&format!("pipeline = '{pipeline}'"))
}

#[test]
fn an_idle_fork_is_let_go_with_its_timers() {
    scene(
        r#"{"stage": [{"by": "host", "idle": "30s"}, {"fill-in-last": "20s", "set": {"state": "silent"}}, {"counter": 0}, {"to": "main"}]}"#,
    )
    .play(
        "
        at    host  metric
        0s    web1  1
        0s    web2  1
        10s   web2  1
        20s   web2  1
        29s   web2  1
        100s  web1  1
        ",
    )
    .leaves(expect![[r#"
        0s          live  web1           1
        0s          live  web2           1
        10s         live  web2           2
        20s         live  web1  silent   2
        20s         live  web2           3
        29s         live  web2           4
        49s         live  web2  silent   5
        60.000001s  live  web1  expired  1
        89.000001s  live  web2  expired  1
        100s        live  web1           1
    "#]]);
}

#[test]
fn a_fork_that_is_never_let_go_remembers() {
    scene(r#"{"stage": [{"by": "host", "idle": "never"}, {"counter": 0}, {"to": "main"}]}"#)
        .play("at host metric\n0s a 1\n1000h a 1\n1001h b 1")
        .leaves(expect![[r#"
            0s               live  a           1
            60.000001s       live  a  expired  2
            3600000s         live  a           3
            3600060.000001s  live  a  expired  4
            3603600s         live  b           1
        "#]]);
}

#[test]
fn forks_beyond_the_cap_share_one() {
    scene(r#"{"stage": [{"by": "host", "forks": 2}, {"counter": 0}, {"to": "main"}]}"#)
        .play("at host metric\n0s a 1\n1s b 10\n2s c 100\n3s d 100\n4s a 1\n5s c 100")
        .leaves(expect![[r#"
            0s  live  a    1
            1s  live  b   10
            2s  live  c  100
            3s  live  d  200
            4s  live  a    2
            5s  live  c  300
        "#]]);
}

#[test]
fn a_fork_within_a_fork_goes_with_it() {
    scene(
        r#"{"stage": [{"by": "host", "idle": "30s"}, {"by": "service", "idle": "never"}, {"counter": 0}, {"to": "main"}]}"#,
    )
    .play("at host service metric\n0s a x 1\n1s a y 1\n20s a x 1\n45s a y 1\n90s a y 1\n91s a x 1")
    .leaves(expect![[r#"
        0s          live  a x           1
        1s          live  a y           1
        20s         live  a x           2
        45s         live  a y           2
        80.000001s  live  a x  expired  1
        90s         live  a y           1
        91s         live  a x           2
    "#]]);
}

#[test]
fn after_a_change_stages_that_are_written_as_before_remember() {
    scene(r#"{"stage": [{"by": "host"}, {"counter": 0}, {"batch": 3, "every": "1h"}, {"to": "main"}]}"#)
        .play("at host metric\n0s a 1\n1s b 10\n2s a 1")
        .swap_for(scene(
            r#"{"stage": [{"over": 0}, {"by": "host"}, {"tag": "new"}, {"counter": 0}, {"batch": 2, "every": "1h"}, {"to": "main"}]}"#,
        ))
        .play("at host metric\n3s a 1\n4s a 1\n5s b 10\n6s b 10")
        .leaves(expect![[r#"
            4s  live  a  2  a  3
            a  4  events=[{"host":"a","tags":["new"],"time":3,"metric":3},{"host":"a","tags":["new"],"time":4,"metric":4}]
            6s  live  b  2  b  20
            b  30  events=[{"host":"b","tags":["new"],"time":5,"metric":20},{"host":"b","tags":["new"],"time":6,"metric":30}]
        "#]]);
}

#[test]
fn a_window_that_a_change_leaves_alone_closes_on_time() {
    scene(r#"{"stage": [{"fixed-time-window": "10s"}, {"to": "main"}]}"#)
        .play("at host metric\n1s a 1\n2s a 2")
        .swap_for(scene(
            r#"{"stage": [{"where": "metric > 1"}, {"fixed-time-window": "10s"}, {"to": "main"}]}"#,
        ))
        .play("at host metric\n3s a 1\n4s a 3\n20s - -")
        .leaves(expect![[r#"
            10s  live  a  3  a  1
            a  2
            a  3  events=[{"host":"a","time":1,"metric":1},{"host":"a","time":2,"metric":2},{"host":"a","time":4,"metric":3}]
        "#]]);
}

#[test]
fn a_fork_that_is_let_go_tells_what_those_within_it_hold_back() {
    scene(
        r#"{"stage": [{"by": "host", "idle": "30s"}, {"fixed-time-window": "1h"}, {"sflatten": true},
            {"by": "service", "idle": "never"}, {"rollup": 0, "every": "2h"}, {"to": "main"}]}"#,
    )
    .play("at host service metric ttl\n0s a x 1 1h\n1s a y 2 1h\n2s a x 3 1h\n60s b x 4 1h")
    .leaves(expect![[r#"
        32s  live  a x  2  a  x  1
        a  x  3  events=[{"host":"a","service":"x","ttl":3600,"time":0,"metric":1},{"host":"a","service":"x","ttl":3600,"time":2,"metric":3}]
        32s  live  a y  1  a  y  2  events=[{"host":"a","service":"y","ttl":3600,"time":1,"metric":2}]
    "#]]);
}

#[test]
fn a_fork_is_kept_as_long_as_those_within_it() {
    let idle = |inner: &str| {
        let plan = Plan::read(&format!(
            r#"{{"stage": [{{"by": "host"}}, {{"by": "service"{inner}}}, {{"counter": 0}}]}}"#
        ));
        plan.unwrap().forks[1].idle
    };
    assert_eq!(idle(""), Some(Span::minutes(60)));
    assert_eq!(idle(r#", "idle": "3h""#), Some(Span::minutes(180)));
    assert_eq!(idle(r#", "idle": "never""#), None);
}

#[test]
fn the_fork_that_all_share_takes_no_room() {
    scene(r#"{"stage": [{"by": "host", "forks": 1, "idle": "20s"}, {"counter": 0}, {"to": "main"}]}"#)
        .play(
            "at host metric ttl\n0s a 1 1h\n1s b 10 1h\n21s b 10 1h\n22s c 100 1h\n23s c 100 1h\n24s b 10 1h",
        )
        .leaves(expect![[r#"
            0s   live  a    1  ttl=3600
            1s   live  b   10  ttl=3600
            21s  live  b   10  ttl=3600
            22s  live  c  100  ttl=3600
            23s  live  c  200  ttl=3600
            24s  live  b   20  ttl=3600
        "#]]);
}

#[test]
fn a_stage_that_means_something_else_now_begins_anew() {
    let with = |semantics: &str| {
        scene(&format!(
            r#"{{"semantics": "{semantics}", "stage": [{{"ewma-timeless": 0.5}}, {{"to": "main"}}]}}"#
        ))
    };
    with("tidegate")
        .play("at host metric\n0s a 8\n1s a 8")
        .swap_for(with("riemann"))
        .play("at host metric\n2s a 8")
        .leaves(expect![[r#"
            0s  live  a  8
            1s  live  a  8
            2s  live  a  4
        "#]]);
}

#[test]
fn stages_that_differ_in_nesting_alone_are_not_the_same() {
    let id = |value: &str| {
        Plan::read(&format!(r#"{{"stage": [{{"changed": {{"const": {value}}}}}]}}"#)).unwrap().nodes[0].id
    };
    assert_ne!(id("[[1], 2]"), id("[[1, 2]]"));
    assert_ne!(id(r#"{"a": {"b": 1}}"#), id(r#"{"a": {}, "b": 1}"#));
    assert_eq!(id("[[1], 2]"), id("[ [1],2 ]"));
}
