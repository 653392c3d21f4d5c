//! Copies of stages behind a `by`: when they are let go, what happens when there are too many, and what survives a change of
//! the pipeline.

use standard::Standard;
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
