//! Copies of events say what the events said: all of it, or the fields that were wanted, whatever the bytes are.

use proptest::prelude::*;
use tidegate_event::*;

/// An event as plain values, so that two can be compared wherever their strings stand.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    time: Timestamp,
    texts: [Option<Vec<u8>>; 4],
    metric: Option<(bool, u64)>,
    ttl: Option<u32>,
    tags: Vec<Vec<u8>>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    numbers: (u64, u32, u32, bool, u8, bool),
}

fn see(event: Event<'_>) -> Seen {
    let owned = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
    Seen {
        time: event.time(),
        texts: [event.host_bytes(), event.service_bytes(), event.state_bytes(), event.description_bytes()]
            .map(owned),
        metric: event.number().map(|metric| match metric {
            Metric::Int(value) => (true, value as u64),
            Metric::Float(value) => (false, value.to_bits()),
        }),
        ttl: event.ttl().map(f32::to_bits),
        tags: event.tag_bytes().map(<[u8]>::to_vec).collect(),
        attributes: event.attribute_bytes().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
        numbers: (
            event.key(),
            event.slot(),
            event.binding(),
            event.is_leaving(),
            event.hops(),
            event.row().untimed,
        ),
    }
}

/// What is left of an event in the form in which a guest gets it.
fn wanted(whole: &Seen, usual_state: bool, fields: FieldSet, numbers: (u64, u32, u32, bool)) -> Seen {
    let mut seen = whole.clone();
    for (text, field) in
        seen.texts.iter_mut().zip([Field::Host, Field::Service, Field::State, Field::Description])
    {
        let coded = field == Field::State && usual_state;
        if !(coded || fields.has(field)) {
            *text = None;
        }
    }
    if !fields.has(Field::Tags) {
        seen.tags.clear();
    }
    if !fields.has(Field::Attributes) {
        seen.attributes.clear();
    }
    if !fields.has(Field::Metric) {
        seen.metric = None;
    }
    let (key, slot, binding, leaving) = numbers;
    seen.numbers = (key, slot, binding, leaving, whole.numbers.4, whole.numbers.5);
    seen
}

fn batch() -> impl Strategy<Value = Batch> {
    let text = || {
        prop::option::of(
            prop_oneof![4 => ".{0,12}", 1 => "[a-z]{25,40}", 1 => "[a-z]{120,140}", 1 => "ok|expired"],
        )
    };
    let event = (
        (text(), text(), text(), text()),
        (any::<Option<f64>>(), any::<Option<i64>>(), any::<Option<f32>>(), any::<Option<i64>>(), 0u8..16),
        prop::collection::vec(".{0,9}", 0..4),
        prop::collection::vec((".{0,9}", ".{0,9}"), 0..4),
    );
    prop::collection::vec(event, 0..6).prop_map(|events| {
        let mut builder = BatchBuilder::new();
        for ((host, service, state, description), (float, int, ttl, time, hops), tags, attributes) in &events
        {
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            let attributes: Vec<(&str, &str)> =
                attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            builder.push(&NewEvent {
                time: time.map(Timestamp),
                host: host.as_deref(),
                service: service.as_deref(),
                state: state.as_deref(),
                metric: int.map(Metric::Int).or(float.map(Metric::Float)),
                ttl: *ttl,
                description: description.as_deref(),
                tags: &tags,
                attributes: &attributes,
                hops: *hops,
            });
        }
        builder.stamp(9, Timestamp(1));
        builder.finish()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_gathered_has_the_wanted_fields_and_the_guests_numbers(
        batch in batch(), fields in 0u32..0x400, key in any::<u64>(), slot in any::<u32>(), binding in any::<u32>(),
        leaving in any::<bool>(),
    ) {
        let fields = FieldSet(fields);
        let mut gathered = BatchBuilder::new();
        for event in batch.events() {
            gathered.gather(&event, fields, key, slot, binding, leaving);
        }
        let gathered = gathered.finish();
        BatchRef::check(&gathered.to_block()).unwrap();
        prop_assert_eq!(gathered.len(), batch.len());
        for (event, copy) in batch.events().zip(gathered.events()) {
            let usual = event.state_code() != State::Other;
            let expected = wanted(&see(event), usual, fields, (key, slot, binding, leaving));
            prop_assert_eq!(see(copy), expected);
        }
    }

    #[test]
    fn batches_that_are_joined_say_what_they_said(batches in prop::collection::vec(batch(), 0..4)) {
        let mut joined = BatchBuilder::new();
        batches.iter().for_each(|batch| joined.append(batch));
        let joined = joined.finish();
        BatchRef::check(&joined.to_block()).unwrap();
        let expected: Vec<Seen> = batches.iter().flat_map(|batch| batch.events().map(see)).collect();
        prop_assert_eq!(joined.events().map(see).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_kept_is_the_latest_event_of_the_stream(batch in batch(), host in ".{0,30}", service in "[a-z]{0,40}") {
        let mut kept: Option<Kept> = None;
        for event in batch.events() {
            // The same event of one stream.
            let mut one = BatchBuilder::new();
            let names = FieldSet::NONE.with(Field::Host).with(Field::Service);
            let (host, service) = (one.push_string(host.as_bytes()), one.push_string(service.as_bytes()));
            one.copy(&event, FieldSet(FieldSet::ALL.0 & !names.0), |row| {
                (row.host, row.service) = (Some(host), Some(service));
            });
            match &mut kept {
                Some(kept) => kept.set(&one.event(0)),
                None => kept = Some(Kept::new(&one.event(0))),
            }
            prop_assert_eq!(kept.as_ref().map(|kept| see(kept.event())), Some(see(one.event(0))));
        }
    }

    #[test]
    fn damaged_events_are_copied_as_they_read(
        batch in batch(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut block = batch.to_block();
        for (at, byte) in edits {
            let at = at.index(block.len());
            block[at] = byte;
        }
        let Ok(damaged) = BatchRef::parse(&block) else { return Ok(()) };
        let damaged = damaged.to_batch();
        let (mut gathered, mut copied, mut joined) = (BatchBuilder::new(), BatchBuilder::new(), BatchBuilder::new());
        for event in damaged.events() {
            gathered.gather(&event, FieldSet::ALL, event.key(), 1, 2, false);
            copied.copy(&event, FieldSet::ALL, |row| (row.slot, row.binding, row.leaving) = (1, 2, false));
        }
        let (gathered, copied) = (gathered.finish(), copied.finish());
        prop_assert!(gathered.events().map(see).eq(copied.events().map(see)));
        // What it says of damage is nobody's business, only that it is no panic.
        joined.append(&damaged);
        joined.append(&damaged);
        joined.finish().events().for_each(|event| drop(see(event)));
    }
}

#[test]
fn a_list_that_two_rows_share_is_joined_for_both() {
    let mut builder = BatchBuilder::new();
    let tag = builder.push_string(b"prod");
    let tags = builder.push_tags(&[tag]);
    (0..2).for_each(|_| builder.push_row(&Row { tags, ..Row::default() }));
    let batch = builder.finish();
    let mut joined = BatchBuilder::new();
    joined.push_string(b"something before");
    joined.append(&batch);
    for event in joined.finish().events() {
        assert_eq!(event.tags().collect::<Vec<_>>(), ["prod"]);
    }
}

#[test]
fn rows_written_in_place_are_the_rows_that_are_pushed() {
    let mut builder = BatchBuilder::new();
    let refs: Vec<u32> = ["web1", "http", "on fire", "too slow", "k", "v"]
        .iter()
        .map(|text| builder.push_string(text.as_bytes()))
        .collect();
    let (mut row, bytes) = builder.begin_row();
    assert!(bytes.len() > refs[5] as usize);
    row.metric(Metric::Int(3));
    row.metric(Metric::Float(2.5));
    row.state(0, State::Ok);
    row.state(refs[2], State::Other);
    row.host(refs[0]);
    row.service(refs[1]);
    row.description(refs[3]);
    row.ttl(60.0);
    row.time(Timestamp(7));
    row.untimed();
    row.finish();
    builder.push_lists(&refs[..1], &refs[4..]);
    let written = builder.event(0).row();
    let (tags, attributes) = (written.tags, written.attributes);
    assert_eq!(
        written,
        Row {
            time: Timestamp(7),
            metric: Some(Metric::Float(2.5)),
            ttl: Some(60.0),
            host: Some(refs[0]),
            service: Some(refs[1]),
            state: Some(refs[2]),
            description: Some(refs[3]),
            tags,
            attributes,
            untimed: true,
            ..Row::default()
        }
    );
    assert_eq!(builder.event(0).tags().collect::<Vec<_>>(), ["web1"]);
    assert_eq!(builder.event(0).attributes().collect::<Vec<_>>(), [("k", "v")]);
}
