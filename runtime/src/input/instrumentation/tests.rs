//! What is reported, event by event.

use super::*;
use std::collections::BTreeMap;

/// A node that has worked for ten seconds between two looks.
struct Looked {
    telemetry: Arc<Telemetry>,
    ingest: Ingest,
}

impl Looked {
    fn new() -> Self {
        Self { telemetry: Arc::default(), ingest: Ingest::new(Arc::default(), 1 << 20, 0, 1) }
    }

    fn reading(&self) -> Reading {
        Reading::take(&self.telemetry, &self.ingest)
    }

    /// Does the work and tells what is reported of it: service to metric and state.
    fn report(&self, work: impl FnOnce()) -> BTreeMap<String, (f64, String)> {
        self.report_after(&self.reading(), work).0
    }

    /// The same since an earlier look, with the look that was taken now.
    fn report_after(
        &self,
        before: &Reading,
        work: impl FnOnce(),
    ) -> (BTreeMap<String, (f64, String)>, Reading) {
        work();
        let mut now = self.reading();
        now.at = before.at + Duration::from_secs(10);
        let batch = report("node1", 20.0, before, &mut now).finish();
        let mut all = BTreeMap::new();
        for event in batch.events() {
            assert_eq!((event.host(), event.ttl()), (Some("node1"), Some(20.0)));
            assert_eq!(event.tags().collect::<Vec<_>>(), ["riemann", "tidegate"]);
            let what = (event.metric().unwrap(), event.state().unwrap().to_owned());
            assert!(all.insert(event.service().unwrap().to_owned(), what).is_none(), "twice: {event:?}");
        }
        (all, now)
    }
}

fn check(all: &BTreeMap<String, (f64, String)>, service: &str, metric: f64, state: &str) {
    let found = all.get(service).unwrap_or_else(|| panic!("{service} is not in {all:#?}"));
    assert!((found.0 - metric).abs() <= metric.abs() / 8.0, "{service}: {found:?}, {metric} was expected");
    assert_eq!(found.1, state, "{service}");
}

#[test]
fn riemanns_names_are_used_where_it_has_one() {
    let looked = Looked::new();
    let telemetry = &looked.telemetry;
    let tcp = telemetry.add_input("riemann/tcp", "riemann_tcp", "127.0.0.1:5555", Level::Logged);
    let udp = telemetry.add_input("riemann/udp", "riemann_udp", "127.0.0.1:5555", Level::Logged);
    let ws = telemetry.add_input("riemann-ws", "riemann-ws", "127.0.0.1:5556", Level::Logged);
    let all = looked.report(|| {
        telemetry.events.add(1_000);
        telemetry.position.set(7);
        let shard = telemetry.shard(0);
        shard.events.add(1_000);
        shard.nanos.add(250_000);
        shard.latency.note_nanos(250, 1_000);
        shard.streams.set(42);
        shard.position.set(5);
        tcp.connections.add(3);
        tcp.accepted.add(1_000);
        tcp.latency.note(Duration::from_millis(4), 100);
        udp.latency.note(Duration::from_micros(10), 50);
        udp.shed.add("overloaded", 5);
        ws.sent.add(200);
    });
    for (service, metric, state) in [
        ("riemann streams rate", 100.0, "ok"),
        ("riemann streams latency 0.999", 0.00025, "ok"),
        ("riemann index size", 42.0, "ok"),
        ("riemann netty event-executor queue size", 0.0, "ok"),
        ("riemann server tcp 127.0.0.1:5555 conns", 3.0, "ok"),
        ("riemann server tcp 127.0.0.1:5555 in rate", 10.0, "ok"),
        ("riemann server tcp 127.0.0.1:5555 in latency 0.0", 4.0, "ok"),
        ("riemann server tcp 127.0.0.1:5555 in latency 0.99", 4.0, "ok"),
        ("riemann server udp 127.0.0.1:5555 in rate", 5.0, "ok"),
        ("riemann server udp 127.0.0.1:5555 in latency 0.5", 0.01, "ok"),
        ("riemann server ws 127.0.0.1:5556 conns", 0.0, "ok"),
        ("riemann server ws 127.0.0.1:5556 out rate", 20.0, "ok"),
        ("riemann server ws 127.0.0.1:5556 in rate", 0.0, "ok"),
        ("tidegate input riemann/tcp rate", 100.0, "ok"),
        ("tidegate input riemann/tcp lost", 0.0, "ok"),
        ("tidegate input riemann/udp lost", 5.0, "warning"),
        ("tidegate shard 0 rate", 100.0, "ok"),
        ("tidegate shard 0 ns", 250.0, "ok"),
        ("tidegate shard 0 queue", 2.0, "ok"),
    ] {
        check(&all, service, metric, state);
    }
    let silent = "riemann server ws 127.0.0.1:5556 in latency 0.5";
    assert!(!all.contains_key(silent), "there is no quantile of nothing");
    assert!(!all.contains_key("riemann server udp 127.0.0.1:5555 conns"));
}

#[test]
fn a_queue_warns_above_a_half_and_is_critical_above_three_quarters() {
    let looked = Looked::new();
    let names = ["half", "more", "most", "heavy", "live"];
    let outputs = names.map(|name| looked.telemetry.add_output(name, "console"));
    for output in &outputs[..4] {
        output.capacity.set(100);
        output.capacity_bytes.set(1_000);
    }
    let all = looked.report(|| {
        for (output, queued) in outputs.iter().zip([50, 51, 76, 1]) {
            output.taken.add(20);
            output.delivered.add(10);
            output.queued.set(queued);
        }
        outputs[3].queued_bytes.set(600);
        outputs[0].dropped.add(1);
        outputs[0].failed.add(1);
    });
    for (name, used, state) in [
        ("half", 0.5, "ok"),
        ("more", 0.51, "warning"),
        ("most", 0.76, "critical"),
        ("heavy", 0.6, "warning"),
    ] {
        check(&all, &format!("riemann executor {name} queue used"), used, state);
        assert_eq!(all[&format!("riemann executor {name} queue size")].1, state);
        check(&all, &format!("riemann executor {name} queue capacity"), 100.0, "ok");
        check(&all, &format!("riemann executor {name} accepted rate"), 2.0, "ok");
        check(&all, &format!("riemann executor {name} completed rate"), 1.0, "ok");
        check(&all, &format!("riemann executor {name} threads active"), 1.0, "ok");
    }
    check(&all, "riemann executor half rejected rate", 0.2, "warning");
    check(&all, "riemann executor more rejected rate", 0.0, "ok");
    assert!(all.contains_key("riemann executor live accepted rate"));
    assert!(!all.contains_key("riemann executor live queue size"), "the page's output has no queue");
}

#[test]
fn of_many_rules_those_that_took_most_time_are_reported() {
    let looked = Looked::new();
    let rules: Vec<_> = (0..200).map(|n| looked.telemetry.rule(&format!("r{n:03}"))).collect();
    rules.iter().for_each(|rule| rule.nanos.add(1_000_000_000));
    let all = looked.report(|| {
        for (n, rule) in rules.iter().enumerate().take(120) {
            rule.calls.add(1);
            rule.events.add(20);
            rule.nanos.add(100 * (n as u64 + 1));
        }
        rules[119].memory.set(65_536);
        rules[119].keys.set(9);
        rules[119].faults.add(2);
        rules[118].quarantined_until.set(i64::MAX);
    });
    let named = all.keys().filter(|service| service.starts_with("tidegate rule ")).count();
    assert_eq!(named, RULES * 5);
    assert!(!all.contains_key("tidegate rule r069 rate") && !all.contains_key("tidegate rule r120 rate"));
    for (service, metric, state) in [
        ("tidegate rule r070 rate", 2.0, "ok"),
        ("tidegate rule r119 ns", 600.0, "ok"),
        ("tidegate rule r119 memory", 65_536.0, "ok"),
        ("tidegate rule r119 keys", 9.0, "ok"),
        ("tidegate rule r119 faults", 2.0, "warning"),
        ("tidegate rule r118 faults", 0.0, "critical"),
        ("tidegate rule r117 faults", 0.0, "ok"),
    ] {
        check(&all, service, metric, state);
    }
    assert!(!looked.report(|| {}).keys().any(|service| service.starts_with("tidegate rule")), "none ran");
}

#[test]
fn where_many_rules_do_the_same_the_same_ones_stay_reported() {
    let looked = Looked::new();
    let rules: Vec<_> = (0..200).map(|n| looked.telemetry.rule(&format!("r{n:03}"))).collect();
    let names = |all: &BTreeMap<String, (f64, String)>| -> Vec<String> {
        all.keys()
            .filter(|service| service.ends_with(" rate") && service.contains(" rule "))
            .cloned()
            .collect()
    };
    let run = |least: usize, nanos: u64| {
        for (n, rule) in rules.iter().enumerate() {
            rule.calls.add(1);
            rule.nanos.add(if n < least { 100 } else { nanos });
        }
    };
    let (first, then) = looked.report_after(&looked.reading(), || run(200, 0));
    let (second, then) = looked.report_after(&then, || run(100, 399));
    assert_eq!(names(&first), names(&second), "others took longer, but not four times");
    let (third, _) = looked.report_after(&then, || run(199, 401));
    assert!(names(&third).contains(&"tidegate rule r199 rate".to_owned()), "{:?}", names(&third));
}
