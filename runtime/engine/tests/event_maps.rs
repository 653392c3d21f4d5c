//! Events as JSON and MessagePack: one meaning in both, all or nothing, and no bytes that hurt.

use proptest::prelude::*;
use serde_json::json;
use tidegate_engine::codec::{EventError, json, msgpack};
use tidegate_event::{Batch, BatchBuilder, Event, Metric, NewEvent, State, Timestamp};

fn read(text: &str) -> Result<Batch, EventError> {
    let mut builder = BatchBuilder::new();
    let outcome = json::decode_events(&mut builder, text.as_bytes());
    if outcome.is_err() {
        assert!(builder.is_empty(), "after an error no row is left behind");
    }
    outcome.map(|count| {
        let batch = builder.finish();
        assert_eq!(batch.len(), count);
        batch
    })
}

fn write(event: &Event<'_>) -> String {
    let mut to = Vec::new();
    json::encode_event(&mut to, event);
    String::from_utf8(to).unwrap()
}

/// What an event written as JSON reads as when it is written again.
fn again(text: &str) -> String {
    write(&read(text).unwrap().event(0))
}

fn error(text: &str) -> String {
    let error = read(text).unwrap_err();
    let prefix = format!("event {}: ", error.at);
    assert!(error.message.starts_with(&prefix), "{error}");
    error.message
}

#[test]
fn an_event_is_written_as_riemann_writes_it() {
    let whole = r#"{"host":"a","service":"b \"c\"","state":"ok","description":"é\n","metric":1.5,"tags":["x","y"],"time":"2013-04-15T18:06:58.123Z","ttl":0.1,"rack":"7"}"#;
    assert_eq!(again(whole), whole);
    assert_eq!(
        again(r#"{"time": 1366049218}"#),
        r#"{"host":null,"service":null,"state":null,"description":null,"metric":null,"tags":null,"time":"2013-04-15T18:06:58.000Z","ttl":null}"#
    );
}

#[test]
fn numbers_keep_their_kind() {
    for (text, metric) in [
        ("3", Metric::Int(3)),
        ("-3", Metric::Int(-3)),
        ("3.0", Metric::Float(3.0)),
        ("3e2", Metric::Float(300.0)),
        ("9223372036854775807", Metric::Int(i64::MAX)),
        ("9223372036854775808", Metric::Float(9_223_372_036_854_775_808.0)),
    ] {
        let batch =
            read(&format!(r#"{{"metric": {text}, "ttl": {}}}"#, text.trim_start_matches('-'))).unwrap();
        assert_eq!(batch.event(0).number(), Some(metric), "{text}");
        assert!(batch.event(0).ttl().unwrap() >= 3.0);
    }
    assert!(again(r#"{"metric": 3}"#).contains("\"metric\":3,"));
    assert!(again(r#"{"metric": 3.0}"#).contains("\"metric\":3.0,"));
}

#[test]
fn a_time_is_text_with_or_without_offset_or_a_number_of_seconds() {
    for (time, micros) in [
        (json!("2013-04-15T18:06:58.000Z"), 1_366_049_218_000_000),
        (json!("2013-04-15T18:06:58Z"), 1_366_049_218_000_000),
        (json!("2013-04-15T20:06:58.25+02:00"), 1_366_049_218_250_000),
        (json!("2013-04-15T18:06:58.123456"), 1_366_049_218_123_456),
        (json!("2013-04-15"), 1_365_984_000_000_000),
        (json!(1_366_049_218), 1_366_049_218_000_000),
        (json!(1_366_049_218.3), 1_366_049_218_300_000),
        (json!(-1.5), -1_500_000),
        (json!(i64::MAX), i64::MAX),
    ] {
        let batch = read(&json!({ "time": time }).to_string()).unwrap();
        assert_eq!(batch.event(0).time(), Timestamp(micros), "{time}");
        assert!(!batch.event(0).row().untimed);
    }
    for untimed in ["{}", r#"{"time": null}"#] {
        assert!(read(untimed).unwrap().event(0).row().untimed, "{untimed}");
    }
}

#[test]
fn times_are_written_to_the_millisecond_and_stay_within_the_calendar() {
    let time = |micros| {
        let mut builder = BatchBuilder::new();
        builder.push(&NewEvent { time: Some(Timestamp(micros)), ..NewEvent::default() });
        let value: serde_json::Value = serde_json::from_str(&write(&builder.event(0))).unwrap();
        value["time"].as_str().unwrap().to_owned()
    };
    assert_eq!(time(1_366_049_218_999_999), "2013-04-15T18:06:58.999Z");
    assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(time(-1), "1969-12-31T23:59:59.999Z");
    assert!(time(i64::MAX).starts_with("9999-12-30"), "{}", time(i64::MAX));
    assert!(time(i64::MIN).starts_with("-009999"), "{}", time(i64::MIN));
}

#[test]
fn what_is_no_field_is_an_attribute_as_text() {
    let batch = read(
        r#"{"n": 5, "f": 1.5, "big": 1e300, "yes": true, "no": false, "gone": null, "text": "x",
            "attributes": {"team": "core", "level": 3, "gone": null, "host": "web", "state": "ok", "ttl": "9"}}"#,
    )
    .unwrap();
    let event = batch.event(0);
    let all: Vec<_> = event.attributes().collect();
    let expected = [
        ("n", "5"),
        ("f", "1.5"),
        ("big", "1e300"),
        ("yes", "true"),
        ("no", "false"),
        ("text", "x"),
        ("team", "core"),
        ("level", "3"),
    ];
    assert_eq!(all, expected);
    assert_eq!(
        (event.host(), event.state_code(), event.ttl()),
        (Some("web"), State::Ok, None),
        "as on Riemann's wire"
    );
    assert_eq!(read(r#"{"attributes": "x"}"#).unwrap().event(0).attribute("attributes"), Some("x"));
}

#[test]
fn of_two_values_for_one_name_the_last_counts() {
    let batch = read(r#"{"host": "a", "host": "b", "state": "ok", "state": null, "tags": ["x"], "tags": ["y"], "r": "1", "r": "2"}"#).unwrap();
    let event = batch.event(0);
    assert_eq!((event.host(), event.state(), event.state_code()), (Some("b"), None, State::Other));
    assert_eq!((event.tags().collect::<Vec<_>>(), event.attribute("r")), (vec!["y"], Some("2")));
    assert_eq!(write(&event).matches("\"r\"").count(), 1);
}

#[test]
fn what_json_cannot_say_is_null_and_no_name_is_written_twice() {
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent {
        metric: Some(Metric::Float(f64::NAN)),
        ttl: Some(f32::INFINITY),
        attributes: &[("host", "no"), ("time", "no"), ("a", "1"), ("a", "2")],
        ..NewEvent::default()
    });
    let text = write(&builder.event(0));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["metric"], &value["ttl"], &value["host"]), (&json!(null), &json!(null), &json!(null)));
    assert_eq!(value["a"], "2");
    assert_eq!(text.matches("\":").count(), value.as_object().unwrap().len(), "{text}");
}

#[test]
fn mistakes_name_the_event_and_the_field() {
    for (text, expected) in [
        (r#"[{}, {"metric": "x"}]"#, "event 1: invalid type: string \"x\", expected a number for `metric`"),
        (
            r#"[{"time": "noon"}]"#,
            "event 0: invalid value: string \"noon\", expected ISO 8601 text or a number of seconds since 1970 for `time`",
        ),
        (
            r#"{"rack": [1]}"#,
            "event 0: invalid type: sequence, expected text, a number or a boolean for `rack`",
        ),
        (
            r#"{"attributes": {"rack": {}}}"#,
            "event 0: invalid type: map, expected text, a number or a boolean for `rack`",
        ),
        (r#"{"host": 5}"#, "event 0: invalid type: integer `5`, expected text for `host`"),
        (r#"{"tags": "x"}"#, "event 0: invalid type: string \"x\", expected a list of texts for `tags`"),
        (r#"{"tags": [["x"]]}"#, "event 0: invalid type: sequence, expected text for `tags`"),
        (r#"{"ttl": true}"#, "event 0: invalid type: boolean `true`, expected a number for `ttl`"),
        (
            "7",
            "event 0: invalid type: integer `7`, expected an event, which is a map of names to values, or a list of events",
        ),
        ("[[]]", "event 0: invalid type: sequence, expected an event, which is a map of names to values"),
        (r#"{"host": "a"} {}"#, "event 1: trailing characters"),
        (r#"{"host": "a""#, "event 0: EOF while parsing an object"),
        ("", "event 0: EOF while parsing a value"),
    ] {
        let said = error(text);
        let (words, column) = said.rsplit_once(" at line 1 column ").unwrap();
        assert_eq!(words, expected, "{text}");
        assert!(column.parse::<usize>().unwrap() <= text.len(), "{said}");
    }
    let mut builder = BatchBuilder::new();
    let single = json::decode_event(&mut builder, r#"{"ttl": "x"}"#).unwrap_err();
    assert_eq!(single.message, "invalid type: string \"x\", expected a number for `ttl` at line 1 column 11");
    assert!(json::decode_event(&mut builder, "[]").is_err() && builder.is_empty());
}

#[test]
fn lines_are_counted_from_one_and_blank_ones_passed_over() {
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent::default());
    let error = json::decode_lines(&mut builder, b"{}\r\n\n{\"ttl\": true}\n").unwrap_err();
    assert_eq!((error.at, builder.len()), (3, 1));
    assert_eq!(
        error.message,
        "line 3: invalid type: boolean `true`, expected a number for `ttl` at column 12"
    );
    assert_eq!(json::decode_lines(&mut builder, b"{}\n \n{\"host\": \"a\"}"), Ok(2));
    assert_eq!(json::decode_lines(&mut builder, b"\n\n"), Ok(0));
    assert_eq!(json::decode_lines(&mut builder, b"[{}]").unwrap_err().at, 1);
}

#[test]
fn what_is_beyond_the_limits_is_refused() {
    let many = |count: usize| (0..count).map(|i| format!("\"a{i}\":\"\"")).collect::<Vec<_>>().join(",");
    assert!(read(&format!("{{{}}}", many(256))).is_ok());
    assert!(error(&format!("{{{}}}", many(257))).contains("at most 256 attributes are allowed"));
    assert!(error(&json!({ "tags": vec!["x"; 129] }).to_string()).contains("at most 128 tags are allowed"));
    assert!(
        error(&json!({ "x".repeat(257): "" }).to_string())
            .contains("at most 256 bytes are allowed, found 257")
    );
    for (field, limit) in [("host", 65_536), ("rack", 65_536), ("description", 1 << 20)] {
        assert!(read(&json!({ field: "x".repeat(limit) }).to_string()).is_ok());
        let said = error(&json!({ field: "x".repeat(limit + 1) }).to_string());
        assert!(said.contains(&format!("`{field}`: at most {limit} bytes are allowed")), "{said}");
    }
    assert!(error(&format!("[{}{{}}]", "{},".repeat(100_000))).contains("at most 100000 events are allowed"));
    assert!(error(&"[".repeat(100_000)).contains("expected an event"));
}

fn pack(value: &serde_json::Value) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

fn unpack(bytes: &[u8]) -> Result<Batch, EventError> {
    let mut builder = BatchBuilder::new();
    let outcome = msgpack::decode_events(&mut builder, bytes);
    if outcome.is_err() {
        assert!(builder.is_empty(), "after an error no row is left behind");
    }
    outcome.map(|_| builder.finish())
}

#[test]
fn a_map_a_list_and_a_row_of_either_are_read() {
    let one =
        pack(&json!({ "host": "a", "metric": -3, "tags": ["x"], "rack": 7, "time": 1.5, "gone": null }));
    let many =
        pack(&json!([{ "host": "b" }, { "host": "c", "metric": 0.5, "attributes": { "team": true } }]));
    let batch = unpack(&[one, many.clone(), many].concat()).unwrap();
    assert_eq!(batch.len(), 5);
    let event = batch.event(0);
    assert_eq!((event.number(), event.attribute("rack")), (Some(Metric::Int(-3)), Some("7")));
    assert_eq!((event.time(), event.tagged("x")), (Timestamp(1_500_000), true));
    assert_eq!((batch.event(4).host(), batch.event(4).attribute("team")), (Some("c"), Some("true")));
    assert_eq!(unpack(&[]).unwrap().len(), 0);
}

#[test]
fn single_precision_and_infinity_arrive() {
    let batch = unpack(&[
        0x82, 0xa6, b'm', b'e', b't', b'r', b'i', b'c', 0xca, 0x3d, 0xcc, 0xcc, 0xcd, 0xa3, b't', b't', b'l',
        0xca, 0x7f, 0x80, 0, 0,
    ])
    .unwrap();
    assert_eq!(batch.event(0).number(), Some(Metric::Float(f64::from(0.1_f32))));
    assert_eq!(batch.event(0).ttl(), Some(f32::INFINITY));
}

#[test]
fn hostile_bytes_are_refused_at_once() {
    for bytes in [
        &[0xdd, 0xff, 0xff, 0xff, 0xff][..], // a list of 2³² − 1, and nothing
        &[0xdf, 0xff, 0xff, 0xff, 0xff],     // a map of as many
        &[0x81, 0xa4, b't', b'a', b'g', b's', 0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0x81, 0xdb, 0xff, 0xff, 0xff, 0xff, b'a'], // a name of as many bytes
        &[0x81, 0xa4, b'h', b'o', b's', b't', 0xa1, 0xff], // text that is none
        &[0x81, 0xa4, b'h', b'o', b's', b't', 0xc4, 1, b'a'], // bytes instead of text
        &[0x81, 0xa4, b't', b'i', b'm', b'e', 0xd6, 0xff, 0, 0, 0, 0], // MessagePack's own time
        &[0x81, 0x01, 0x01],                         // a number for a name
        &[0x91; 100_000],                            // lists within lists
        &[0xc1],
        &[0x05],
    ] {
        let error = unpack(bytes).unwrap_err();
        assert!(error.message.starts_with("event 0: "), "{error}");
    }
    let good = pack(&json!({ "host": "a" }));
    let error = unpack(&[&good[..], &good, &[0x81, 0xa3, b't', b't', b'l', 0xa0]].concat()).unwrap_err();
    assert_eq!(error.at, 2);
    assert_eq!(error.message, "event 2: invalid type: string \"\", expected a number for `ttl`");
}

fn scalar() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        (-1e15..1e15_f64).prop_map(|value| json!(value)),
        "\\PC{0,12}".prop_map(|value| json!(value)),
    ]
}

fn map() -> impl Strategy<Value = serde_json::Value> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "host",
            "service",
            "state",
            "description",
            "metric",
            "tags",
            "time",
            "ttl",
            "attributes"
        ])
        .prop_map(str::to_owned),
        "[a-c]{1,2}",
    ];
    let value = prop_oneof![
        4 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(|list| json!(list)),
        1 => prop::collection::btree_map("[a-c]{1,2}|host|ttl", scalar(), 0..3).prop_map(|map| json!(map)),
    ];
    prop::collection::btree_map(name, value, 0..6).prop_map(|map| json!(map))
}

proptest! {
    #[test]
    fn json_and_messagepack_mean_the_same(events in prop::collection::vec(map(), 0..4)) {
        let list = json!(events);
        match (read(&list.to_string()), unpack(&pack(&list))) {
            (Ok(json), Ok(packed)) => {
                let both = json.events().zip(packed.events());
                for (a, b) in both {
                    prop_assert_eq!(format!("{:?}", a), format!("{:?}", b));
                }
                prop_assert_eq!(json.len(), packed.len());
            }
            (Err(json), Err(packed)) => prop_assert_eq!(json.at, packed.at),
            (json, packed) => prop_assert!(false, "{:?} but {:?}", json, packed),
        }
    }

    #[test]
    fn what_we_write_we_read_back(
        texts in prop::array::uniform4(prop::option::of("\\PC{0,12}|ok|expired")),
        metric in prop::option::of(prop_oneof![
            any::<i64>().prop_map(Metric::Int),
            (-1e300..1e300_f64).prop_map(Metric::Float),
        ]),
        ttl in prop::option::of(0.0..1e9_f32),
        millis in -1_000_000_000_000_i64..4_000_000_000_000,
        tags in prop::collection::vec("\\PC{0,6}", 0..3),
        rack in prop::option::of("\\PC{0,6}"),
    ) {
        let [host, service, state, description] = texts.each_ref().map(Option::as_deref);
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let attributes: Vec<(&str, &str)> = rack.iter().map(|rack| ("rack", rack.as_str())).collect();
        let time = Some(Timestamp(millis * 1_000));
        let mut builder = BatchBuilder::new();
        builder.push(&NewEvent {
            host, service, state, description, metric, ttl, time, tags: &tags, attributes: &attributes, hops: 0,
        });
        let text = write(&builder.event(0));
        let back = read(&text).unwrap();
        prop_assert_eq!(format!("{:?}", back.event(0)), format!("{:?}", builder.event(0)), "{}", text);
        prop_assert_eq!(back.event(0).number(), metric);
        prop_assert_eq!(back.event(0).state_code(), builder.event(0).state_code());
    }

    #[test]
    fn any_bytes_are_events_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = unpack(&bytes);
        let mut builder = BatchBuilder::new();
        let _ = json::decode_events(&mut builder, &bytes);
        let _ = json::decode_lines(&mut builder, &bytes);
    }

    #[test]
    fn messagepack_cut_anywhere_is_an_error(event in map(), cut in any::<prop::sample::Index>()) {
        let bytes = pack(&event);
        let cut = cut.index(bytes.len());
        prop_assert!(cut == 0 || unpack(&bytes[..cut]).is_err());
    }
}
