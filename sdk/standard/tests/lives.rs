//! What outlives what: forks, keys, and a pipeline that takes another one's place.

use standard::Standard;
use standard::plan::Plan;
use tidegate_testkit::Scene;

/// The rule with a pipeline, whose outputs have the names that it has for them.
fn scene(pipeline: &str) -> Scene<Standard> {
    let plan = Plan::read(pipeline).unwrap();
    let scene = Scene::<Standard>::new().set("pipeline", pipeline);
    plan.outputs.iter().fold(scene, |scene, output| scene.to(output, output))
}

#[test]
fn a_fork_outlives_what_its_stages_hold_back() {
    let rollup = "[[stage]]\nby = 'host'\n[[stage]]\nrollup = 0\nevery = '3h'\n[[stage]]\nto = 'mail'\n";
    let plan = Plan::read(rollup).unwrap();
    assert_eq!(plan.forks[1].idle, Some(tidegate_sdk::Span::minutes(360)));
    let played = scene(rollup).play("at host service ttl\n0s web1 disk 5h\n4h -");
    assert!(played.transcript().contains("mail"), "{}", played.transcript());
}

#[test]
fn a_new_pipeline_takes_over_what_stages_written_the_same_remember() {
    let counter = "[[stage]]\nby = 'host'\n[[stage]]\ncounter = 0\n[[stage]]\nto = 'board'\n";
    let other = "[[stage]]\nwhere = 'metric > 0'\n[[stage]]\nby = 'host'\n[[stage]]\nthrottle = 9\nevery = '1s'\n\
                 [[stage]]\ncounter = 0\n[[stage]]\nto = 'board'\n";
    let table = |at: u32| format!("at host metric\n{at}s web1 1\n{at}s web2 10");
    let played = scene(counter).play(&table(0)).swap_for(scene(other)).play(&table(1));
    let numbers = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.split_whitespace().nth(3)).map(str::to_owned).collect()
    };
    assert_eq!(numbers(played.transcript()), ["1", "10", "2", "20"]);
    let played = played.swap_for(scene(&other.replace("counter = 0", "counter = 100"))).play(&table(2));
    assert_eq!(numbers(played.transcript())[4..], ["101", "110"]);
}

#[test]
fn a_key_that_ends_tells_what_its_stages_hold_back() {
    let pipeline = "[[stage]]\nwhere = 'state != \"expired\"'\n[[stage]]\nfixed-time-window = '1h'\n\
                    [[stage]]\nsmapcat = { identity = true }\n[[stage]]\nrollup = 0\nevery = '1h'\n[[stage]]\nto = 'mail'\n";
    let played = scene(pipeline).per("host").play("at host service\n0s web1 disk\n1s web1 disk\n3h -");
    let told: Vec<&str> = played.transcript().split_whitespace().take(5).collect();
    assert_eq!(told, ["62.000002s", "mail", "web1", "disk", "2"], "{}", played.transcript());
}

#[test]
fn the_goodbye_of_a_host_is_not_an_event_of_a_stream() {
    let pipeline = "[[stage]]\nexpired = true\n[[stage]]\nto = 'pager'\n";
    for per in ["stream", "host", "service", "whole"] {
        let played = scene(pipeline).per(per).play("at host service\n0s web1 disk\n0s web1 cpu\n1h -");
        let streams: Vec<&str> =
            played.transcript().lines().filter_map(|line| line.split_whitespace().nth(3)).collect();
        assert_eq!(streams.len(), 2, "{per}: {}", played.transcript());
        assert!(streams.contains(&"disk") && streams.contains(&"cpu"), "{per}: {}", played.transcript());
    }
}

#[test]
fn a_branch_goes_on_behind_as_many_stages_as_it_says() {
    let pipeline = |next: u32| {
        format!(
            "[[stage]]\neach = [[{{ where = 'metric > 5', else = [{{ with = {{ state = 'low' }} }}, {{ next = {next} }}] }}, \
             {{ tag = 'inner' }}, {{ next = true }}]]\n[[stage]]\nto = 'board'\n"
        )
    };
    let table = "at host metric\n0s web1 1\n1s web1 9";
    let played = |next| scene(&pipeline(next)).play(table).transcript().to_owned();
    assert_eq!(played(1), "0s  board  web1  low  1  #inner\n1s  board  web1       9  #inner\n");
    assert_eq!(played(2), "0s  board  web1  low  1\n1s  board  web1       9  #inner\n");
    let error = Plan::read(&pipeline(3)).unwrap_err();
    assert!(
        error.starts_with("stage[1].each[1][1].else[2].next: true, or how many branches to leave"),
        "{error}"
    );
}

#[test]
fn a_clock_that_runs_ahead_stops_nobody_else() {
    // An hour ahead, once.
    let table = "at time host state metric ttl\n0s 0s a ok 1 1h\n1s 3600s a ok 2 1h\n2s 2s a ok 3 1h\n13s 13s a ok 4 1h\n30s 30s - - - -";
    let told = |stage: &str| {
        let played = scene(&format!("[[stage]]\n{stage}\n[[stage]]\nto = 'board'\n"));
        let played = played.asking("host = 'a'").play(table);
        let metrics = played.transcript().lines().filter_map(|line| line.split_whitespace().nth(4));
        let mut metrics: Vec<&str> = metrics.collect();
        metrics.sort_unstable();
        metrics.join(" ")
    };
    assert_eq!(told("moving-time-window = '10s'\n[[stage]]\nsflatten = true"), "1 1 1 2 2 3 4");
    assert_eq!(told("fixed-time-window = '10s'\n[[stage]]\nsflatten = true"), "1 2 3 4");
    assert_eq!(told("stable = '10s'"), "1 2 3 4");
    let averages = scene("[[stage]]\newma = '1s'\n[[stage]]\nto = 'board'\n").play(table);
    assert!(averages.transcript().contains("  3.999"), "{}", averages.transcript());
}
