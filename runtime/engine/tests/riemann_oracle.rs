//! Riemann's messages against a general protobuf implementation: what it makes of random messages, read by Riemann's
//! rules, is what our decoder makes of them; what we encode, it reads back; and bytes of any kind are an answer or an
//! error, never a panic.
//!
//! On bytes that are not a message the two differ on purpose: we refuse a length of more than five bytes and groups
//! nested deeper than 32 (prost: 10 and 100), and more than the limits allow. Whatever we accept, prost accepts.

use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;
use tidegate_engine::codec::Limits;
use tidegate_engine::codec::riemann::{
    DecodeError, Request, decode, decode_copy, encode_error, encode_events, encode_message, encode_ok,
};
use tidegate_event::{BatchBuilder, Event, Metric, NewEvent, State, Timestamp};

#[derive(Clone, PartialEq, Message)]
struct PMsg {
    #[prost(bool, optional, tag = "2")]
    ok: Option<bool>,
    #[prost(string, optional, tag = "3")]
    error: Option<String>,
    #[prost(message, repeated, tag = "4")]
    states: Vec<PState>,
    #[prost(message, optional, tag = "5")]
    query: Option<PQuery>,
    #[prost(message, repeated, tag = "6")]
    events: Vec<PEvent>,
}

#[derive(Clone, PartialEq, Message)]
struct PState {
    #[prost(int64, optional, tag = "1")]
    time: Option<i64>,
    #[prost(string, optional, tag = "2")]
    state: Option<String>,
    #[prost(bool, optional, tag = "6")]
    once: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct PQuery {
    #[prost(string, optional, tag = "1")]
    string: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct PAttribute {
    #[prost(string, required, tag = "1")]
    key: String,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct PEvent {
    #[prost(int64, optional, tag = "1")]
    time: Option<i64>,
    #[prost(string, optional, tag = "2")]
    state: Option<String>,
    #[prost(string, optional, tag = "3")]
    service: Option<String>,
    #[prost(string, optional, tag = "4")]
    host: Option<String>,
    #[prost(string, optional, tag = "5")]
    description: Option<String>,
    #[prost(string, repeated, tag = "7")]
    tags: Vec<String>,
    #[prost(float, optional, tag = "8")]
    ttl: Option<f32>,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<PAttribute>,
    #[prost(int64, optional, tag = "10")]
    time_micros: Option<i64>,
    #[prost(sint64, optional, tag = "13")]
    metric_sint64: Option<i64>,
    #[prost(double, optional, tag = "14")]
    metric_d: Option<f64>,
    #[prost(float, optional, tag = "15")]
    metric_f: Option<f32>,
}

/// An event as plain values, floats as bits: NaN is a metric too.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plain {
    time: Option<i64>,
    host: Option<String>,
    service: Option<String>,
    state: Option<String>,
    description: Option<String>,
    metric: Option<(bool, u64)>,
    ttl: Option<u32>,
    tags: Vec<String>,
    attributes: BTreeMap<String, String>,
}

/// By Riemann's rules.
fn expected(event: &PEvent) -> Plain {
    let mut plain = Plain {
        time: event.time_micros.or(event.time.map(|seconds| seconds.saturating_mul(1_000_000))),
        host: event.host.clone(),
        service: event.service.clone(),
        state: event.state.clone(),
        description: event.description.clone(),
        metric: match (event.metric_sint64, event.metric_d, event.metric_f) {
            (Some(whole), _, _) => Some((true, whole as u64)),
            (None, Some(double), _) => Some((false, double.to_bits())),
            (None, None, float) => float.map(|float| (false, f64::from(float).to_bits())),
        },
        ttl: event.ttl.map(f32::to_bits),
        tags: event.tags.clone(),
        attributes: BTreeMap::new(),
    };
    for PAttribute { key, value } in &event.attributes {
        let value = value.clone().unwrap_or_default();
        match key.as_str() {
            "host" => plain.host = Some(value),
            "service" => plain.service = Some(value),
            "state" => plain.state = Some(value),
            "description" => plain.description = Some(value),
            "tags" | "time" | "ttl" | "metric" => {}
            key => drop(plain.attributes.insert(key.to_owned(), value)),
        }
    }
    plain
}

fn found(event: &Event<'_>) -> Plain {
    let row = event.row();
    let own = |text: Option<&str>| text.map(str::to_owned);
    assert_eq!(row.state_code, State::of(event.state_bytes().unwrap_or_default()));
    Plain {
        time: (!row.untimed).then_some(row.time.0),
        host: own(event.host()),
        service: own(event.service()),
        state: own(event.state()),
        description: own(event.description()),
        metric: event.number().map(|metric| match metric {
            Metric::Int(whole) => (true, whole as u64),
            Metric::Float(float) => (false, float.to_bits()),
        }),
        ttl: event.ttl().map(f32::to_bits),
        tags: event.tags().map(str::to_owned).collect(),
        attributes: event.attributes().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
    }
}

fn read(message: &[u8]) -> Result<(Request, Vec<Plain>), DecodeError> {
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent { host: Some("before"), ..NewEvent::default() });
    let request = decode_copy(&mut builder, message, &Limits::default());
    let plain: Vec<Plain> = (1..builder.len()).map(|row| found(&builder.event(row))).collect();
    if request.is_err() {
        assert!(plain.is_empty(), "after an error no row is left behind");
    }
    assert_eq!(builder.event(0).host(), Some("before"));
    request.map(|request| (request, plain))
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z .%]{0,12}",
        1 => prop::sample::select(vec!["ok", "critical", "expired", "host", "state", "time", "metric", ""]).prop_map(str::to_owned),
        1 => "\\PC{0,4}",
        1 => "x{120,200}",
    ]
}

fn attribute() -> impl Strategy<Value = PAttribute> {
    let key = prop_oneof![
        word(),
        prop::sample::select(vec![
            "host",
            "service",
            "state",
            "description",
            "tags",
            "time",
            "ttl",
            "metric",
            "rack"
        ])
        .prop_map(str::to_owned),
    ];
    (key, prop::option::of(word())).prop_map(|(key, value)| PAttribute { key, value })
}

prop_compose! {
    fn event()(
        texts in prop::array::uniform4(prop::option::of(word())),
        times in (prop::option::of(any::<i64>()), prop::option::of(any::<i64>())),
        tags in prop::collection::vec(word(), 0..4),
        ttl in prop::option::of(any::<f32>()),
        attributes in prop::collection::vec(attribute(), 0..5),
        metrics in (prop::option::of(any::<i64>()), prop::option::of(any::<f64>()), prop::option::of(any::<f32>())),
    ) -> PEvent {
        let [host, service, state, description] = texts;
        PEvent {
            time: times.0, time_micros: times.1, host, service, state, description, tags, ttl, attributes,
            metric_sint64: metrics.0, metric_d: metrics.1, metric_f: metrics.2,
        }
    }
}

prop_compose! {
    fn message()(
        ok in prop::option::of(any::<bool>()),
        error in prop::option::of(word()),
        states in prop::collection::vec(any::<i64>(), 0..2),
        query in prop::option::of(prop::option::of(word())),
        events in prop::collection::vec(event(), 0..5),
    ) -> PMsg {
        let states = states.into_iter().map(|time| PState { time: Some(time), ..PState::default() }).collect();
        PMsg { ok, error, states, query: query.map(|string| PQuery { string }), events }
    }
}

proptest! {
    #[test]
    fn a_message_means_what_prost_and_riemanns_rules_make_of_it(message in message()) {
        let (request, events) = read(&message.encode_to_vec()).unwrap();
        prop_assert_eq!(request.events, message.events.len());
        let query = message.query.map(|query| query.string.unwrap_or_default());
        prop_assert_eq!(request.query, query);
        prop_assert_eq!(events, message.events.iter().map(expected).collect::<Vec<_>>());
    }

    #[test]
    fn two_messages_one_after_the_other_merge(first in message(), second in message()) {
        let bytes = [first.encode_to_vec(), second.encode_to_vec()].concat();
        let merged = PMsg::decode(&bytes[..]).unwrap();
        let (request, events) = read(&bytes).unwrap();
        prop_assert_eq!(request.query, merged.query.map(|query| query.string.unwrap_or_default()));
        prop_assert_eq!(events, merged.events.iter().map(expected).collect::<Vec<_>>());
    }

    #[test]
    fn an_event_written_twice_in_one_frame_takes_the_last_of_each_field(first in event(), second in event()) {
        let inner = [first.encode_to_vec(), second.encode_to_vec()].concat();
        let merged = PEvent::decode(&inner[..]).unwrap();
        let mut bytes = vec![6 << 3 | 2];
        prost::encode_length_delimiter(inner.len(), &mut bytes).unwrap();
        bytes.extend(inner);
        prop_assert_eq!(read(&bytes).unwrap().1, [expected(&merged)]);
    }

    #[test]
    fn what_we_write_prost_reads_and_means_the_same(message in message()) {
        let mut builder = BatchBuilder::new();
        decode_copy(&mut builder, &message.encode_to_vec(), &Limits::default()).unwrap();
        builder.stamp(1, Timestamp(77));
        let batch = builder.finish();
        let mut bytes = Vec::new();
        encode_events(&mut bytes, batch.events());
        let back = PMsg::decode(&bytes[..]).unwrap();
        prop_assert_eq!(back.ok, Some(true));
        prop_assert_eq!(back.events.len(), batch.len());
        for (event, written) in batch.events().zip(&back.events) {
            let timed = Plain { time: Some(event.time().0), ..found(&event) };
            prop_assert_eq!(expected(written), timed);
            prop_assert_eq!(written.time, Some(event.time().secs()));
            let fits = |value: f64| !value.is_finite() || (value as f32).is_finite();
            let single = event.metric().filter(|value| fits(*value)).map(|value| (value as f32).to_bits());
            prop_assert_eq!(written.metric_f.map(f32::to_bits), single);
        }
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if read(&bytes).is_ok() {
            // Only what we do not read may still displease prost.
            let mut known = PMsg::decode(&bytes[..]).map(|_| ());
            if known.is_err() {
                known = ignoring_what_we_ignore(&bytes);
            }
            prop_assert!(known.is_ok(), "{known:?}");
        }
    }

    #[test]
    fn a_message_with_a_few_bytes_changed_is_an_answer_or_an_error(
        message in message(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = message.encode_to_vec();
        for (at, to) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = to;
            }
        }
        let _ = read(&bytes);
    }

    #[test]
    fn a_message_cut_anywhere_is_the_events_before_or_an_error(message in message()) {
        let bytes = message.encode_to_vec();
        for cut in 0..bytes.len() {
            match (read(&bytes[..cut]), PMsg::decode(&bytes[..cut])) {
                (Ok((_, events)), Ok(prost)) => {
                    prop_assert_eq!(events, prost.events.iter().map(expected).collect::<Vec<_>>());
                }
                (Err(_), Err(_)) => {}
                (ours, prost) => prop_assert!(false, "cut at {}: {:?} but {:?}", cut, ours, prost),
            }
        }
    }
}

/// A message without the three fields that we pass over: their bytes may be anything that has the right length.
fn ignoring_what_we_ignore(bytes: &[u8]) -> Result<(), prost::DecodeError> {
    #[derive(Clone, PartialEq, Message)]
    struct Narrow {
        #[prost(message, optional, tag = "5")]
        query: Option<PQuery>,
        #[prost(message, repeated, tag = "6")]
        events: Vec<PEvent>,
    }
    Narrow::decode(bytes).map(|_| ())
}

/// An event's bytes inside a message.
fn framed(event: &[u8]) -> Vec<u8> {
    let mut bytes = vec![6 << 3 | 2, event.len() as u8];
    bytes.extend(event);
    bytes
}

fn one(event: &[u8]) -> Plain {
    read(&framed(event)).unwrap().1.remove(0)
}

fn error(message: &[u8]) -> String {
    read(message).unwrap_err().to_string()
}

#[test]
fn of_three_metrics_the_most_exact_counts_whatever_their_order() {
    let f = &[15 << 3 | 5, 0, 0, 0x20, 0x41][..]; // 10.0
    let d = &[14 << 3 | 1, 0, 0, 0, 0, 0, 0, 0x34, 0x40][..]; // 20.0
    let s = &[13 << 3, 60][..]; // 30
    for (event, metric) in [
        (f.to_vec(), (false, 10.0_f64.to_bits())),
        ([d, f].concat(), (false, 20.0_f64.to_bits())),
        ([f, d].concat(), (false, 20.0_f64.to_bits())),
        ([f, s, d].concat(), (true, 30)),
        ([s, d, f].concat(), (true, 30)),
    ] {
        assert_eq!(one(&event).metric, Some(metric));
    }
    assert_eq!(one(&[]).metric, None);
}

#[test]
fn microseconds_count_before_seconds_and_without_either_the_event_is_untimed() {
    assert_eq!(one(&[8, 5]).time, Some(5_000_000));
    assert_eq!(one(&[80, 7, 8, 5]).time, Some(7));
    assert_eq!(one(&[8, 5, 80, 7]).time, Some(7));
    assert_eq!(one(&[]).time, None);
    let far = [&[8][..], &[0xff; 8], &[0x7f]].concat();
    assert_eq!(one(&far).time, Some(i64::MAX), "seconds beyond what microseconds hold stay at the end");
}

#[test]
fn attributes_with_a_fields_name_override_it_or_are_ignored() {
    let attribute =
        |key: &str, value: Option<&str>| PAttribute { key: key.into(), value: value.map(str::to_owned) };
    let event = PEvent {
        host: Some("h".into()),
        state: Some("ok".into()),
        ttl: Some(5.0),
        attributes: vec![
            attribute("state", Some("critical")),
            attribute("host", None),
            attribute("ttl", Some("9")),
            attribute("metric", Some("9")),
            attribute("a", Some("1")),
            attribute("a", None),
        ],
        ..PEvent::default()
    };
    let (_, events) = read(&PMsg { events: vec![event], ..PMsg::default() }.encode_to_vec()).unwrap();
    let plain = &events[0];
    assert_eq!((plain.host.as_deref(), plain.state.as_deref()), (Some(""), Some("critical")));
    assert_eq!((plain.ttl, plain.metric), (Some(5.0_f32.to_bits()), None));
    assert_eq!(plain.attributes, BTreeMap::from([("a".to_owned(), String::new())]));
}

#[test]
fn strings_stay_where_they_lie() {
    let event = PEvent { host: Some("web1".into()), tags: vec!["a".into()], ..PEvent::default() };
    let frame = PMsg { events: vec![event], ..PMsg::default() }.encode_to_vec();
    let buffer = [&[0, 0, 0, 0, frame.len() as u8][..], &frame].concat();
    let (start, end) = (5, buffer.len());
    let mut builder = BatchBuilder::over(buffer);
    decode(&mut builder, start..end, &Limits::default()).unwrap();
    let host = builder.event(0).row().host.unwrap() as usize;
    assert!((start..end).contains(&host), "the ref points into the frame");
    assert_eq!(builder.bytes().len(), end + 5, "only the list of tags is new");
    assert_eq!(builder.event(0).tags().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn unknown_fields_and_groups_are_passed_over() {
    let unknown = [
        &[11 << 3, 0x96, 1][..],                                     // a varint
        &[12 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8],                      // eight bytes
        &[6 << 3 | 5, 1, 2, 3, 4],                                   // four bytes
        &[11 << 3 | 2, 2, 0xff, 0xff],                               // bytes, which need not be text
        &[11 << 3 | 3, 12 << 3 | 3, 8, 1, 12 << 3 | 4, 11 << 3 | 4], // groups
        &[4 << 3 | 2, 1, b'h'],
    ]
    .concat();
    assert_eq!(one(&unknown).host.as_deref(), Some("h"));
    let outside = [&[1 << 3, 1, 7 << 3 | 3, 7 << 3 | 4][..], &framed(&[])].concat();
    assert_eq!(read(&outside).unwrap().0.events, 1);
}

#[test]
fn errors_say_which_event_which_field_and_what() {
    let deep = [vec![11 << 3 | 3; 100], vec![11 << 3 | 4; 100]].concat();
    for (message, expected) in [
        (vec![6 << 3 | 2, 5, 0], "event 0: 5 more bytes were expected, 1 are left"),
        (framed(&[4 << 3 | 2, 3, b'a']), "event 0, host: 3 more bytes were expected, 1 are left"),
        (
            [framed(&[]), framed(&[3 << 3 | 2, 1, 0xff])].concat(),
            "event 1, service: UTF-8 was expected, found something else at byte 0 of the text",
        ),
        (framed(&[8 << 3, 1]), "event 0, ttl: four bytes was expected, found a varint"),
        (framed(&[1 << 3 | 2, 0]), "event 0, time: a varint was expected, found a length and bytes"),
        (
            framed(&[9 << 3 | 2, 2, 2 << 3 | 2, 0]),
            "event 0, attributes: an attribute without a key was found",
        ),
        (
            framed(&[2 << 3 | 2, 0x80, 0x80, 0x80, 0x80, 0x80, 0]),
            "event 0, state: a number of at most 5 bytes was expected, found a longer one",
        ),
        (
            framed(&[&[8][..], &[0xff; 10], &[0]].concat()),
            "event 0, time: a number of at most 10 bytes was expected, found a longer one",
        ),
        (
            framed(&[&[8][..], &[0xff; 9], &[2]].concat()),
            "event 0, time: a number of at most 10 bytes was expected, found a longer one",
        ),
        (framed(&[0]), "event 0: a field's key was expected, found 0"),
        (framed(&[7]), "event 0: a field's key was expected, found 7"),
        (framed(&[11 << 3 | 7]), "event 0: a field's key was expected, found 95"),
        (framed(&[11 << 3 | 4]), "event 0: the groups do not pair up"),
        (framed(&[11 << 3 | 3, 12 << 3 | 4]), "event 0: the groups do not pair up"),
        (framed(&[11 << 3 | 3]), "event 0: the groups do not pair up"),
        (deep, "message: groups are nested deeper than 32"),
        (vec![5 << 3, 1], "message, query: a length and bytes was expected, found a varint"),
        (vec![6 << 3, 1], "event 0: a length and bytes was expected, found a varint"),
    ] {
        assert_eq!(error(&message), expected);
    }
}

#[test]
fn what_is_beyond_the_limits_is_refused_with_the_number() {
    let limits = Limits { events: 2, attributes: 1, tags: 1, name: 3, value: 4, description: 6 };
    let attribute = |key: &str, value: &str| PAttribute { key: key.into(), value: Some(value.into()) };
    let event = PEvent::default;
    let text = |len: usize| Some("x".repeat(len));
    for (events, expected) in [
        (vec![event(), event()], Ok(())),
        (vec![event(), event(), event()], Err("event 2: at most 2 events are allowed, found 3")),
        (vec![PEvent { host: text(4), description: text(6), ..event() }], Ok(())),
        (
            vec![PEvent { host: text(5), ..event() }],
            Err("event 0, host: at most 4 bytes are allowed, found 5"),
        ),
        (
            vec![PEvent { description: text(7), ..event() }],
            Err("event 0, description: at most 6 bytes are allowed, found 7"),
        ),
        (
            vec![PEvent { tags: vec!["a".into(), "b".into()], ..event() }],
            Err("event 0, tags: at most 1 tags are allowed, found 2"),
        ),
        (
            vec![PEvent { attributes: vec![attribute("a", ""), attribute("b", "")], ..event() }],
            Err("event 0, attributes: at most 1 attributes are allowed, found 2"),
        ),
        (
            vec![PEvent { attributes: vec![attribute("long", "")], ..event() }],
            Err("event 0, attribute's key: at most 3 bytes are allowed, found 4"),
        ),
        (
            vec![PEvent { attributes: vec![attribute("a", "12345")], ..event() }],
            Err("event 0, attribute's value: at most 4 bytes are allowed, found 5"),
        ),
    ] {
        let bytes = PMsg { events, ..PMsg::default() }.encode_to_vec();
        let mut builder = BatchBuilder::new();
        let outcome = decode_copy(&mut builder, &bytes, &limits);
        let found = outcome.map(|_| ()).map_err(|error| (error.reason(), error.to_string()));
        assert_eq!(found, expected.map_err(|words| ("limit", words.to_owned())));
    }
}

#[test]
fn answers_are_what_a_client_reads() {
    let write = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut to = Vec::new();
        write(&mut to);
        PMsg::decode(&to[..]).unwrap()
    };
    assert_eq!(write(&encode_ok), PMsg { ok: Some(true), ..PMsg::default() });
    let refused = write(&|to| encode_error(to, "no index"));
    assert_eq!(refused, PMsg { ok: Some(false), error: Some("no index".into()), ..PMsg::default() });
    assert_eq!(write(&|to| encode_message(to, [].into_iter())), PMsg::default());
    assert_eq!(read(&[]).unwrap().0, Request::default());
}

#[test]
fn an_attribute_that_would_be_taken_for_a_field_is_not_written() {
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent {
        host: Some("a"),
        attributes: &[("host", "b"), ("ttl", "1"), ("rack", "7")],
        ..NewEvent::default()
    });
    let mut bytes = Vec::new();
    encode_message(&mut bytes, builder.finish().events());
    let attributes = &PMsg::decode(&bytes[..]).unwrap().events[0].attributes;
    assert_eq!(attributes, &[PAttribute { key: "rack".into(), value: Some("7".into()) }]);
}
