//! What is written reads back to the last bit, as another reader and writer of MessagePack see it too; what does not fit is
//! named; no bytes are a panic.

use super::*;
use crate::prelude::*;
use crate::{
    Align, Apdex, Batches, Counter, Decaying, EveryN, FixedTime, Forecast, LastN, Latest, Leaders,
    MovingTime, Rollup, Runs, Silence, Slope, Stable, Steady, Ticker,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One of each kind of value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Zoo {
    flag: bool,
    small: (u8, i8, u16, i16),
    whole: (u32, i32, u64, i64),
    huge: (u128, i128),
    float: f64,
    short: f32,
    letter: char,
    text: String,
    list: Vec<Kind>,
    map: BTreeMap<String, Option<u64>>,
    numbers: BTreeMap<i32, ()>,
    nothing: Nothing,
    wrapped: Wrapped,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    One(f64),
    Two(i64, String),
    Named { at: Timestamp, state: Option<State> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Nothing;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(Box<Option<Vec<u8>>>);

fn any_kind() -> impl Strategy<Value = Kind> {
    let state = prop_oneof![Just(None), Just(Some(State::Critical)), Just(Some(State::Other))];
    prop_oneof![
        Just(Kind::Plain),
        any::<f64>().prop_map(Kind::One),
        (any::<i64>(), ".{0,40}").prop_map(|(number, text)| Kind::Two(number, text)),
        (any::<i64>(), state).prop_map(|(at, state)| Kind::Named { at: Timestamp(at), state }),
    ]
}

/// Numbers of every length.
fn any_whole() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..64).prop_map(|(number, less)| number >> less)
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        any::<u64>().prop_map(f64::from_bits),
        prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0)],
        -100.0..100.0,
    ]
}

prop_compose! {
    fn any_zoo()(
        flag: bool,
        (a, b) in (any_whole(), any_whole()),
        huge: (u128, i128),
        float in any_float(),
        short: f32,
        letter: char,
        text in prop_oneof![40 => ".{0,40}", 4 => "[a-z]{250,270}", 1 => "[a-z]{65530,65540}"],
        list in prop::collection::vec(any_kind(), 0..20),
        map in prop::collection::btree_map(".{0,5}", prop::option::of(any_whole()), 0..20),
        numbers in prop::collection::btree_map(any::<i32>(), Just(()), 0..20),
        bytes in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
    ) -> Zoo {
        let (i, j) = (a as i64, (b as i64).wrapping_neg());
        Zoo {
            flag,
            small: (a as u8, i as i8, b as u16, j as i16),
            whole: (a as u32, j as i32, b, j),
            huge,
            float,
            short,
            letter,
            text,
            list,
            map,
            numbers,
            nothing: Nothing,
            wrapped: Wrapped(Box::new(bytes)),
        }
    }
}

fn written<T: Remembered>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(value, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn values_read_back_and_are_what_others_read_and_write(zoo in any_zoo()) {
        let bytes = written(&zoo);
        prop_assert_eq!(&rmp_serde::to_vec_named(&zoo).unwrap(), &bytes);
        // Compared as bytes: a NaN is not equal to itself.
        let back: Zoo = read(&bytes).unwrap();
        prop_assert_eq!(written(&back), bytes.clone());
        prop_assert_eq!(back.float.to_bits(), zoo.float.to_bits());
        let theirs: Zoo = rmp_serde::from_slice(&bytes).unwrap();
        prop_assert_eq!(written(&theirs), bytes);
    }

    #[test]
    fn whatever_is_cut_or_changed_is_read_or_refused(zoo in any_zoo(), at: prop::sample::Index, byte: u8, cut: bool) {
        prop_assume!(zoo.text.len() < 1000);
        let mut bytes = written(&zoo);
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
            prop_assert!(read::<Zoo>(&bytes).is_err());
        } else {
            bytes[at] = byte;
            let _ = read::<Zoo>(&bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read::<Zoo>(&bytes);
        let _ = read::<Parts>(&bytes);
        let _ = read::<serde_json::Value>(&bytes);
    }
}

/// One of each part that rules are made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Parts {
    count: Count,
    sum: Sum,
    mean: Mean,
    min: Min,
    max: Max,
    rate: Rate,
    ewma: Ewma,
    decaying: Decaying,
    quantiles: Quantiles,
    top: Top<4>,
    changed: Changed<Option<State>>,
    steady: Steady<State>,
    throttle: Throttle,
    window: Tumbling<Mean>,
    percentiles: Tumbling<Quantiles>,
    late: Watermarked<Mean>,
    session: Session<Count>,
    distinct: Distinct<16>,
    burn: Burn,
    quiet: Quiet,
    hysteresis: Hysteresis,
    flapping: Flapping<State>,
    suppress: Suppress<3>,
    heartbeat: Heartbeat,
    kept: KeptParts,
    clocks: ClockParts,
}

/// One of each part that keeps what came.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptParts {
    last: LastN<u64>,
    every: EveryN<u64>,
    moving: MovingTime<u64>,
    fixed: FixedTime<u64>,
    riemann: FixedTime<u64>,
    batches: Batches<u64>,
    latest: Latest<String, u64>,
    leaders: Leaders<String, u64>,
    stable: Stable<bool, u64>,
    rollup: Rollup<u64>,
}

impl KeptParts {
    fn new() -> Self {
        let (short, long) = (Span::secs(3), Span::secs(8));
        Self {
            last: LastN::new(3),
            every: EveryN::new(2),
            moving: MovingTime::new(long),
            fixed: FixedTime::new(short, Align::First),
            riemann: FixedTime::new(short, Align::At(Timestamp::from_secs(2))).open_end(),
            batches: Batches::new(3, long, Align::Epoch),
            latest: Latest::default(),
            leaders: Leaders::of(2),
            stable: Stable::lasting(short),
            rollup: Rollup::new(1, short, Align::First),
        }
    }

    fn take(&mut self, at: Timestamp, value: f64) -> String {
        let (bits, name) = (value.to_bits(), format!("name {}", value as i64 % 7));
        let time = (value < 9.0).then(|| at - Span::secs(value as i64 % 5));
        self.latest.put(name.clone(), at + Span::secs(4), bits);
        self.latest.expire(at);
        let said = (
            (self.last.push(bits).clone(), self.every.push(bits)),
            (self.moving.push(time, bits), self.moving.left_out()),
            (self.fixed.wake(at), self.fixed.push(time, bits), self.riemann.push(time, bits)),
            (self.batches.wake(at), self.batches.push(at, bits), self.batches.edges()),
            self.leaders.put(name, value, bits),
            (self.stable.wake(at), self.stable.push(at, value > 0.0, bits)),
            (self.rollup.wake(at), self.rollup.push(at, bits)),
        );
        let kept: (Vec<&u64>, Vec<&u64>) = (self.moving.values().collect(), self.latest.values().collect());
        format!("{said:?} {kept:?}")
    }
}

/// One of each part that follows a number or a clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ClockParts {
    counter: Counter,
    slope: Slope,
    forecast: Forecast,
    apdex: Apdex,
    runs: Runs<bool>,
    ticker: Ticker,
    silence: Silence,
}

impl ClockParts {
    fn new() -> Self {
        Self {
            counter: Counter::starting(Metric::Int(i64::MAX - 20)),
            slope: Slope::default(),
            forecast: Forecast::over(4),
            apdex: Apdex::default(),
            runs: Runs::of(2),
            ticker: Ticker::new(Span::secs(2), Align::Epoch),
            silence: Silence::of(Span::secs(1)),
        }
    }

    fn take(&mut self, at: Timestamp, value: f64) -> String {
        self.forecast.add(at, value);
        match value as i64 % 3 {
            0 => self.apdex.satisfied(),
            1 => self.apdex.tolerated(),
            _ => self.apdex.frustrated(),
        }
        let counted = if value > 9.0 { Metric::Float(value) } else { Metric::Int(1) };
        let said = (
            self.counter.add(counted),
            (self.slope.add(at, value), self.forecast.at(at + Span::secs(9))),
            (self.apdex.get(), self.runs.add(value > 0.0)),
            (self.ticker.tick(at), self.ticker.alive(at, at + Span::secs(3)), self.ticker.due()),
            (self.silence.tick(at), self.silence.heard(at), self.silence.due()),
        );
        format!("{said:?}")
    }
}

impl Parts {
    fn new() -> Self {
        Self {
            count: Count::default(),
            sum: Sum::default(),
            mean: Mean::default(),
            min: Min::default(),
            max: Max::default(),
            rate: Rate::default(),
            ewma: Ewma::weighing(0.2),
            decaying: Decaying::half_life(Span::secs(10)),
            quantiles: Quantiles::default(),
            top: Top::default(),
            changed: Changed::starting(None),
            steady: Steady::starting(State::Ok, Span::secs(3)),
            throttle: Throttle::new(2, Span::secs(5)),
            window: Tumbling::every(Span::secs(5)).grace(Span::secs(1)),
            percentiles: Tumbling::every(Span::secs(7)),
            late: Watermarked::every(Span::secs(5)).allowed_lateness(Span::secs(9)),
            session: Session::gap(Span::secs(2)).longest(Span::secs(9)),
            distinct: Distinct::default(),
            burn: Burn::of(0.9, Span::secs(20), Span::secs(4)),
            quiet: Quiet::until_calm_for(3),
            hysteresis: Hysteresis::above(1.0, -1.0),
            flapping: Flapping::starting(State::Ok, 5.0, 20.0),
            suppress: Suppress::lasting(Span::secs(5)),
            heartbeat: Heartbeat::every(Span::secs(2)),
            kept: KeptParts::new(),
            clocks: ClockParts::new(),
        }
    }

    /// Gives a value to all of them, and tells all that they say.
    fn take(&mut self, at: i64, value: f64) -> String {
        let at = Timestamp::from_secs(at);
        let state = State::critical_if(value > 0.0);
        self.count.add();
        self.sum.add(value);
        self.mean.add(value);
        self.min.add(value);
        self.max.add(value);
        self.rate.add(value);
        self.quantiles.add(value);
        self.top.add(&format!("name {}", value as i64 % 7), 1);
        let said = (
            self.ewma.add(value).to_bits(),
            self.decaying.add(at, value).to_bits(),
            self.changed.set(Some(state)),
            (self.steady.set(at, state), self.steady.settled(at)),
            (self.throttle.allow(at), self.throttle.take_held_back()),
            (self.window.add(at, value), self.window.close(at)),
            (self.percentiles.add(at, value), self.percentiles.close(at)),
            (self.count, self.sum, self.mean, self.min, self.max),
            (self.rate.per_second(Span::secs(3)), self.quantiles.quantile(0.9)),
            format!("{:?}", self.top.most(9)),
            (self.take_more(at, value), self.kept.take(at, value), self.clocks.take(at, value)),
        );
        format!("{said:?}")
    }

    fn take_more(&mut self, at: Timestamp, value: f64) -> String {
        let name = format!("name {}", value as i64 % 7);
        let before = at - Span::secs(value as i64 % 20);
        let triggered = value > 0.0;
        self.distinct.add(&name);
        self.suppress.down(&name, at);
        let said = (
            (self.late.add(at, before, value), self.late.close(at), self.late.wake(at)),
            (self.session.add(at, before, value), self.session.close(at), self.session.left_out()),
            (self.distinct.estimate(), self.suppress.hides("name 1", at), self.suppress.forgotten()),
            (self.burn.add(at, 1.0, f64::from(u8::from(triggered))), self.burn.rates(at)),
            (self.quiet.sample(triggered), self.hysteresis.set(value)),
            self.flapping.set(State::critical_if(triggered)),
            (self.heartbeat.missed(at), self.heartbeat.beat(before)),
        );
        format!("{said:?}")
    }
}

proptest! {
    #[test]
    fn a_part_that_was_restored_goes_on_as_if_it_had_not_been(
        before in prop::collection::vec((0i64..3, any_float()), 0..40),
        after in prop::collection::vec((0i64..3, any_float()), 0..40),
    ) {
        let mut parts = Parts::new();
        let mut at = 0;
        for (later, value) in before {
            at += later;
            parts.take(at, value);
        }
        let bytes = written(&parts);
        let mut restored: Parts = read(&bytes).unwrap();
        prop_assert_eq!(written(&restored), bytes);
        for (later, value) in after {
            at += later;
            prop_assert_eq!(parts.take(at, value), restored.take(at, value));
        }
        prop_assert_eq!(written(&restored), written(&parts));
    }
}

/// What is said when one struct is read from what another was saved as.
fn misfit<T: serde::de::DeserializeOwned>(saved: &impl Serialize) -> String {
    match read::<T>(&rmp_serde::to_vec_named(saved).unwrap()) {
        Ok(_) => "it fits".to_owned(),
        Err(reason) => reason,
    }
}

#[test]
fn what_does_not_fit_is_named_with_its_field_and_what_was_expected_and_found() {
    #[derive(Serialize, Deserialize)]
    struct Outer<A, B> {
        name: String,
        inner: Vec<(u8, Inner<A>)>,
        last: B,
    }
    #[derive(Serialize, Deserialize)]
    struct Inner<A> {
        limit: A,
    }
    #[derive(Serialize, Deserialize)]
    struct More {
        limit: u8,
        more: u8,
    }
    #[derive(Serialize, Deserialize)]
    struct Short {
        name: String,
    }
    #[derive(Serialize, Deserialize)]
    #[serde(try_from = "u8")]
    struct Even(u8);
    impl TryFrom<u8> for Even {
        type Error = String;
        fn try_from(number: u8) -> Result<Self, String> {
            if number.is_multiple_of(2) { Ok(Self(number)) } else { Err(format!("{number} is odd")) }
        }
    }
    let saved = Outer {
        name: "x".to_owned(),
        inner: vec![(1, Inner { limit: 2.5 }), (2, Inner { limit: 7.0 })],
        last: 7u8,
    };
    type As<A, B> = Outer<A, B>;
    assert_eq!(misfit::<As<f64, u8>>(&saved), "it fits");
    assert_eq!(
        misfit::<As<u64, u8>>(&saved),
        "field `inner[0][1].limit`: invalid type: floating point near `2`, expected u64"
    );
    assert_eq!(
        misfit::<As<f64, String>>(&saved),
        "field `last`: invalid type: integer `7`, expected a string"
    );
    assert_eq!(
        misfit::<As<f64, State>>(&saved),
        "field `last`: invalid type: integer `7`, expected a string"
    );
    assert_eq!(misfit::<As<f64, Even>>(&saved), "field `last`: 7 is odd");
    assert_eq!(
        misfit::<As<More, u8>>(&saved),
        "field `inner[0][1].limit`: invalid type: floating point near `2`, expected struct More"
    );
    let nested = Outer {
        name: "x".to_owned(),
        inner: vec![(1, Inner { limit: Short { name: "y".into() } })],
        last: 7,
    };
    assert_eq!(misfit::<As<More, u8>>(&nested), "field `inner[0][1].limit`: missing field `limit`");
    assert_eq!(misfit::<More>(&Short { name: "y".into() }), "missing field `limit`");
    assert_eq!(misfit::<Short>(&saved), "it fits");
    assert_eq!(misfit::<u8>(&saved), "invalid type: map, expected u8");
    assert_eq!(misfit::<(u8, u8)>(&(1, 2, 3)), "1 values more than expected");
    assert_eq!(misfit::<(u8, u8)>(&(1,)), "invalid length 1, expected a tuple of size 2");
    assert_eq!(misfit::<u8>(&300), "invalid value: integer `300`, expected u8");
    assert_eq!(
        misfit::<Kind>(&"Plane"),
        "unknown variant `Plane`, expected one of `Plain`, `One`, `Two`, `Named`"
    );
    assert_eq!(misfit::<Kind>(&"One"), "invalid type: unit variant, expected a variant with a value");
    assert_eq!(
        misfit::<Kind>(&BTreeMap::from([("One", "x")])),
        "field `One`: invalid type: string `x`, expected f64"
    );
    assert_eq!(read::<u8>(&[1, 2]).unwrap_err(), "1 bytes were left over after it");
    assert_eq!(read::<String>(&[0xa2, b'x']).unwrap_err(), "what was saved is cut short");
    assert_eq!(read::<u8>(&[0xc1]).unwrap_err(), "no rule saves what begins with byte 0xc1");
}

#[test]
fn what_is_nested_without_end_is_neither_read_nor_saved() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Nest(Vec<Nest>);
    let nest = |levels| (0..levels).fold(Nest(Vec::new()), |nest, _| Nest(vec![nest]));
    let bytes = written(&nest(DEPTH_MAX - 1));
    assert!(read::<Nest>(&bytes).is_ok());
    let deeper = vec![0x91; 100_000];
    assert!(read::<Nest>(&deeper).unwrap_err().ends_with("it is nested more than 128 levels deep"));
    let refused = std::panic::catch_unwind(|| written(&nest(DEPTH_MAX)));
    assert!(refused.is_err());
}

#[test]
fn structs_that_are_flattened_or_tagged_are_saved_too() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        name: String,
        #[serde(flatten)]
        rest: BTreeMap<String, u64>,
        kind: Tagged,
        either: Untagged,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        none: Option<u8>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        A { x: i64 },
        B { y: f64 },
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(f64),
        Text(String),
    }
    let flat = Flat {
        name: "x".into(),
        rest: BTreeMap::from([("a".into(), 1), ("b".into(), u64::MAX)]),
        kind: Tagged::B { y: -0.5 },
        either: Untagged::Text("t".into()),
        none: None,
    };
    let bytes = written(&flat);
    assert_eq!(read::<Flat>(&bytes).unwrap(), flat);
    assert_eq!(rmp_serde::from_slice::<Flat>(&bytes).unwrap(), flat);
    assert_ne!(Tagged::A { x: 1 }, flat.kind);
    assert_ne!(Untagged::Number(1.0), flat.either);
}
