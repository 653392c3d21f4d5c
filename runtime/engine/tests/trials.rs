//! Trials: a shadow changes nothing of what comes out, a canary speaks for the same keys wherever and whenever, promotion
//! keeps what the candidate's keys remember, and a candidate that is abandoned leaves no trace.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_engine::guest::{Fault, Guest, Guests, Native};
use tidegate_engine::rule::{Compared, Control, Limits, Origin, RuleSpec, Width};
use tidegate_engine::shard::{Engine, Settings, in_share, key_of};
use tidegate_event::{
    Action, Base, BatchBuilder, BatchRef, FieldSet, Metric, NewEvent, Record, Reply, Spot, Timestamp,
};

/// Rules that count the events of a key and say how many, times a factor: their module's name.
struct Counters;

impl Guests for Counters {
    fn start(&self, rule: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        let factor: i64 = rule.module.parse().expect("a module is a factor");
        let mut counts: BTreeMap<u32, i64> = BTreeMap::new();
        Ok(Box::new(Native::new(move |block: &[u8], reply: &mut Reply| {
            let batch = BatchRef::check(block).expect("a shard hands over whole blocks");
            for (row, event) in batch.events().enumerate() {
                reply.row = row as u32;
                assert!(factor != 13 || event.state() != Some("poison"), "unlucky");
                let count = counts.entry(event.slot()).or_default();
                *count += 1;
                let metric = Spot::Set(Metric::Int(*count * factor));
                let record = Record {
                    base: Base::Row(row as u32),
                    action: Action::Forward,
                    metric,
                    time: event.time(),
                    target: 0,
                    overrides: 0,
                };
                reply.push(&record);
                // Every other event goes back into the stream, too, for as long as the hop limit allows.
                if *count % 2 == 0 {
                    reply.push(&Record { action: Action::Emit, ..record });
                }
                if event.is_leaving() {
                    counts.remove(&event.slot());
                }
            }
        })))
    }
}

fn spec(factor: i64, generation: u64, per: Width) -> Box<RuleSpec> {
    Box::new(RuleSpec {
        name: "count".into(),
        generation,
        module: factor.to_string(),
        version: "0".into(),
        query: "not state = \"other\"".into(),
        per,
        fields: FieldSet::ALL.0,
        settings: Vec::new(),
        set: Vec::new(),
        outputs: vec![("out".into(), "live".into())],
        limits: Limits::default(),
        paused: false,
        schema: 1,
        // These guests keep nothing that could be copied.
        reset_state: true,
        backfill: None,
        origin: Origin::default(),
    })
}

fn deploy(factor: i64, generation: u64, per: Width) -> Control {
    Control::Deploy(spec(factor, generation, per))
}

fn trial(factor: i64, share: u32, per: Width) -> Control {
    Control::Try { spec: spec(factor, 2, per), share }
}

fn promote() -> Control {
    Control::Promote { name: "count".into() }
}

fn abandon() -> Control {
    Control::Abandon { name: "count".into(), reason: "a test".into() }
}

const SEED: u64 = 11;

struct Play {
    engine: Engine,
    /// What came out: rule, host, service and count of each forwarded event.
    out: Vec<String>,
    /// What the log would hold: every batch that was fed or emitted.
    batches: Vec<Vec<u8>>,
    compared: Compared,
    /// Who did something.
    counted: BTreeSet<String>,
    troubled: Vec<String>,
}

impl Play {
    fn new(shards: usize) -> Self {
        let guests: Arc<dyn Guests> = Arc::new(Counters);
        let settings = Settings { seed: SEED, ..Settings::default() };
        Self {
            engine: Engine::new(shards, &settings, &guests),
            out: Vec::new(),
            batches: Vec::new(),
            compared: Compared::default(),
            counted: BTreeSet::new(),
            troubled: Vec::new(),
        }
    }

    fn with(mut self, control: &Control) -> Self {
        self.control(control);
        self
    }

    fn control(&mut self, control: &Control) {
        self.engine.control(control, Timestamp::EPOCH);
    }

    /// Feeds an event of each host, with a state.
    fn feed(&mut self, state: &str, hosts: &[u16]) {
        let mut events = BatchBuilder::new();
        for host in hosts {
            let host = format!("h{host}");
            events.push(&NewEvent {
                host: Some(&host),
                service: Some("s"),
                state: Some(state),
                ..NewEvent::default()
            });
        }
        let Self { engine, out, batches, compared, counted, troubled } = self;
        engine.feed(events, Timestamp::from_secs(1), |batch, steps, merged| {
            batches.push([batch.row_bytes(), batch.string_bytes()].concat());
            for forwarded in &merged.forwarded {
                let event = forwarded.batch.event(0);
                let count = event.metric().expect("counts are numbers");
                out.push(format!("{} {} {count}", forwarded.rule, event.host().expect("all have a host")));
            }
            for (name, later) in &merged.compared {
                assert_eq!(&**name, "count");
                compared.add(later, 10);
            }
            for step in steps {
                counted.extend(step.counts.iter().map(|(name, _)| name.to_string()));
                troubled.extend(step.troubled.iter().map(|trouble| trouble.rule.to_string()));
            }
        });
    }
}

fn widths() -> impl Strategy<Value = Width> {
    prop::sample::select(vec![Width::Stream, Width::Host, Width::Service, Width::Whole])
}

fn feeds() -> impl Strategy<Value = Vec<(bool, Vec<u16>)>> {
    prop::collection::vec((any::<bool>(), prop::collection::vec(0u16..12, 0..8)), 1..12)
}

const fn state(expired: bool) -> &'static str {
    if expired { "expired" } else { "ok" }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn a_shadow_changes_nothing_of_what_comes_out_and_abandoned_leaves_no_trace(
        per in widths(), shards in 1usize..4, feeds in feeds(), from in 0usize..6, length in 1usize..6,
    ) {
        let mut plain = Play::new(shards).with(&deploy(1, 1, per.clone()));
        let mut tried = Play::new(shards).with(&deploy(1, 1, per.clone()));
        for (n, (expired, hosts)) in feeds.iter().enumerate() {
            // A change has a position of its own, so both have one.
            if n == from || n == from + length {
                tried.control(&if n == from { trial(3, 0, per.clone()) } else { abandon() });
                plain.control(&abandon());
            }
            plain.feed(state(*expired), hosts);
            tried.feed(state(*expired), hosts);
        }
        prop_assert_eq!(&tried.out, &plain.out);
        prop_assert_eq!(&tried.batches, &plain.batches);
        if from + length < feeds.len() {
            prop_assert_eq!(tried.engine.shards()[0].rules().count(), 1);
        }
    }

    #[test]
    fn a_trial_ends_alike_on_any_number_of_shards(
        per in widths(), share in 0u32..1001, feeds in feeds(), promoted: bool,
    ) {
        let run = |shards| {
            let mut play = Play::new(shards).with(&deploy(1, 1, per.clone()));
            for (n, (expired, hosts)) in feeds.iter().enumerate() {
                if n == 1 {
                    play.control(&trial(if share % 2 == 0 { 1 } else { 3 }, share, per.clone()));
                } else if n == 8 {
                    play.control(&if promoted { promote() } else { abandon() });
                }
                play.feed(state(*expired), hosts);
            }
            (play.out, play.batches, play.compared)
        };
        let one = run(1);
        for shards in 2..4 {
            prop_assert_eq!(&run(shards), &one);
        }
    }
}

/// The count in a line and whether the candidate spoke: incumbents count in thousands here.
fn spoken(line: &str) -> (String, bool) {
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], "count", "both speak in the rule's name");
    let count: i64 = words[2].parse().expect("a number");
    (words[1].to_owned(), count % 1000 != 0)
}

#[test]
fn a_canary_speaks_for_the_same_keys_wherever_and_whenever() {
    let hosts: Vec<u16> = (0..1000).collect();
    for per in [Width::Stream, Width::Host] {
        let chosen: BTreeSet<String> = hosts
            .iter()
            .map(|host| format!("h{host}"))
            .filter(|host| {
                let mut one = BatchBuilder::new();
                one.push(&NewEvent { host: Some(host), service: Some("s"), ..NewEvent::default() });
                one.stamp(SEED, Timestamp::EPOCH);
                in_share(key_of(&per, &one.finish().event(0), SEED), 100)
            })
            .collect();
        assert!((70..130).contains(&chosen.len()), "{} of 1000 keys are in a share of 10 %", chosen.len());
        for shards in [1, 2, 3] {
            let mut play =
                Play::new(shards).with(&deploy(1000, 1, per.clone())).with(&trial(7, 100, per.clone()));
            let mut times: BTreeMap<String, u32> = BTreeMap::new();
            for _ in 0..3 {
                play.feed("ok", &hosts);
            }
            for line in &play.out {
                let (host, candidate) = spoken(line);
                assert_eq!(candidate, chosen.contains(&host), "{line}");
                *times.entry(host).or_default() += 1;
            }
            // Three rounds, and the event that comes back after the second and is the fourth and last.
            assert_eq!(times.len(), 1000);
            let counts: BTreeSet<u32> = times.values().copied().collect();
            assert_eq!(counts.len(), 1, "every key is spoken for as often as any other: {counts:?}");
        }
    }
}

#[test]
fn promotion_keeps_what_the_candidate_remembers_and_its_name_is_the_rules() {
    for per in [Width::Stream, Width::Whole] {
        let mut play = Play::new(2).with(&deploy(1000, 1, per.clone()));
        play.feed("ok", &[1]);
        play.control(&trial(7, 0, per.clone()));
        for _ in 0..5 {
            play.feed("ok", &[1]);
        }
        assert!(play.out.iter().all(|line| !spoken(line).1));
        assert_eq!(play.counted, ["count", "count@2"].map(str::to_owned).into());
        let alone = play.compared.samples.iter().rfind(|sample| sample.candidate).expect("they differ");
        let event: serde_json::Value = serde_json::from_str(&alone.event).expect("a sample is JSON");
        assert_eq!(event["host"], "h1");
        play.out.clear();
        play.counted.clear();
        play.control(&promote());
        play.feed("ok", &[1]);
        let (_, candidate) = spoken(&play.out[0]);
        assert!(candidate);
        // Each event but the first was counted, as in the shadow: five and those that came back.
        let first: i64 = play.out[0].rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number");
        assert!(first > 5 * 7, "{first}: what the candidate remembered is lost");
        assert_eq!(play.counted, ["count".to_owned()].into());
        let rules: Vec<u64> = play.engine.shards()[0].rules().map(|rule| rule.generation).collect();
        assert_eq!(rules, [2]);
    }
}

#[test]
fn what_both_ask_for_is_the_same_and_differences_are_counted_on_both_sides() {
    let mut play = Play::new(2).with(&deploy(1, 1, Width::Stream));
    play.control(&trial(1, 0, Width::Stream));
    play.feed("ok", &[1, 2, 3]);
    assert_eq!((play.compared.same, play.compared.only_new, play.compared.only_old), (3, 0, 0));
    play.control(&trial(2, 0, Width::Stream));
    play.feed("ok", &[4]);
    assert_eq!((play.compared.same, play.compared.only_new, play.compared.only_old), (3, 1, 1));
    let said: Vec<(bool, &str)> =
        play.compared.samples.iter().map(|sample| (sample.candidate, sample.action.as_str())).collect();
    assert_eq!(said, [(false, "forward out"), (true, "forward out")]);
}

#[test]
fn a_candidate_that_is_quarantined_leaves_its_keys_to_the_incumbent() {
    let mut play = Play::new(1).with(&deploy(1000, 1, Width::Stream));
    play.control(&trial(13, 1000, Width::Stream));
    play.feed("ok", &[1]);
    assert!(spoken(&play.out[0]).1, "a canary of 100 % speaks for all");
    for _ in 0..5 {
        play.feed("poison", &[1]);
    }
    assert!(play.troubled.iter().all(|name| name == "count@2") && play.troubled.len() == 5);
    play.out.clear();
    play.feed("ok", &[1]);
    assert!(!spoken(&play.out[0]).1 && play.out.len() == 1, "{:?}", play.out);
}

#[test]
fn pausing_removing_and_deploying_mean_the_candidate_too() {
    let mut play = Play::new(1).with(&deploy(1000, 1, Width::Stream)).with(&trial(7, 500, Width::Stream));
    play.control(&Control::Pause { name: "count".into(), paused: true });
    play.feed("ok", &[1, 2, 3, 4]);
    assert!(play.out.is_empty() && play.compared == Compared::default());
    play.control(&Control::Pause { name: "count".into(), paused: false });
    play.feed("ok", &[1, 2, 3, 4]);
    assert_eq!(play.out.len(), 4);
    play.control(&deploy(1000, 3, Width::Stream));
    assert_eq!(play.engine.shards()[0].rules().map(|rule| rule.generation).collect::<Vec<_>>(), [3]);
    play.control(&trial(7, 500, Width::Stream));
    assert_eq!(play.engine.shards()[0].rules().count(), 2);
    play.control(&Control::Remove { name: "count".into() });
    assert_eq!(play.engine.shards()[0].rules().count(), 0);
    // Without a rule to be tried beside there is no trial.
    play.control(&trial(7, 500, Width::Stream));
    assert_eq!(play.engine.shards()[0].rules().count(), 0);
}
