//! Whatever bytes come in, reading them does not panic; what was written reads back; old layouts stay what they were.

use proptest::prelude::*;
use tidegate_event::*;

fn sample() -> Batch {
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent {
        time: Some(Timestamp(1_700_000_000_250_000)),
        host: Some("web1"),
        service: Some("http.get"),
        state: Some("critical"),
        metric: Some(Metric::Float(0.25)),
        ttl: Some(60.0),
        description: Some("p99 880 ms — too slow"),
        tags: &["prod", "eu"],
        attributes: &[("team", "core"), ("empty", "")],
        hops: 2,
    });
    builder.push(&NewEvent { service: Some(""), metric: Some(Metric::Int(i64::MIN)), ..NewEvent::default() });
    builder.push(&NewEvent { state: Some("on fire"), ..NewEvent::default() });
    builder.stamp(42, Timestamp(1_700_000_000_000_000));
    let mut batch = builder.finish();
    batch.header.position = 7;
    batch.header.now = Timestamp(1_700_000_000_500_000);
    batch
}

fn touch(batch: &BatchRef<'_>) -> usize {
    batch.events().map(|event| format!("{event:?} {:?}", event.row()).len()).sum()
}

/// The bytes of layout version 1. If this fails, the layout changed: that needs a new version, not a new file.
#[test]
fn version_1_is_what_it_was() {
    let golden = include_bytes!("golden/batch-1.bin");
    let batch = sample();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write("tests/golden/batch-1.bin", batch.to_block()).unwrap();
        return;
    }
    assert_eq!(golden[..], batch.to_block());
    let read = BatchRef::check(golden).unwrap();
    assert_eq!(read.header.position, 7);
    assert_eq!(read.to_batch(), batch);
    let event = read.event(0).unwrap();
    assert_eq!(event.host(), Some("web1"));
    assert_eq!(event.attribute("empty"), Some(""));
    assert_eq!(event.tags().collect::<Vec<_>>(), ["prod", "eu"]);
    assert_eq!(event.hops(), 2);
    let event = read.event(1).unwrap();
    assert_eq!((event.host(), event.service()), (None, Some("")));
    assert_eq!(event.number(), Some(Metric::Int(i64::MIN)));
    assert_eq!(event.time(), Timestamp(1_700_000_000_000_000));
    assert_eq!(read.event(2).unwrap().state(), Some("on fire"));
}

fn saved_keys() -> Vec<KeyState> {
    let moments = |at: &[i64]| at.iter().map(|at| Timestamp(*at)).collect();
    vec![
        KeyState {
            slot: 3,
            binding: 1,
            key: 0x0123_4567_89ab_cdef,
            wakes: moments(&[i64::MIN, 5, i64::MAX - 1]),
            state: b"\x81\xa4seen\x02".to_vec(),
        },
        KeyState::default(),
        KeyState { slot: 70_000, state: vec![0xc0], ..KeyState::default() },
    ]
}

fn list(keys: &[KeyState]) -> Vec<u8> {
    let mut bytes = Vec::new();
    keys.iter().for_each(|key| key.write(&mut bytes));
    bytes
}

fn read_list(bytes: &[u8]) -> Result<Vec<KeyState>, KeyStateError> {
    KeyStates::new(bytes).map(|key| key.map(|key| key.to_owned())).collect()
}

/// The bytes of saved keys of version 1, on the same terms.
#[test]
fn saved_keys_version_1_are_what_they_were() {
    let bytes = list(&saved_keys());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write("tests/golden/keys-1.bin", bytes).unwrap();
        return;
    }
    assert_eq!(include_bytes!("golden/keys-1.bin")[..], bytes);
    assert_eq!(read_list(&bytes).unwrap(), saved_keys());
}

#[test]
fn damage_to_saved_keys_is_named() {
    let bytes = list(&saved_keys());
    let keys = saved_keys();
    let ends: Vec<usize> = (0..=keys.len()).map(|n| list(&keys[..n]).len()).collect();
    for cut in 0..bytes.len() {
        let read = read_list(&bytes[..cut]);
        match ends.iter().position(|end| *end == cut) {
            Some(whole) => assert_eq!(read.unwrap(), keys[..whole]),
            None => assert!(matches!(read, Err(KeyStateError::Short { .. })), "{cut}: {read:?}"),
        }
    }
    let of = |wakes: &[i64]| {
        let wakes = wakes.iter().map(|at| Timestamp(*at)).collect();
        read_list(&list(&[KeyState::default(), KeyState { wakes, ..KeyState::default() }]))
            .map_err(|error| error.to_string())
    };
    assert_eq!(of(&[1; 17]).unwrap_err(), "saved key 1 waits for 17 moments, a key has at most 16");
    for wrong in [&[2, 1][..], &[1, 1], &[i64::MAX]] {
        assert_eq!(of(wrong).unwrap_err(), "the moments that saved key 1 waits for are not in order");
    }
}

/// The bytes of reply version 1, on the same terms.
#[test]
fn reply_version_1_is_what_it_was() {
    let mut reply = Reply::default();
    reply.push(&Record {
        base: Base::Row(0),
        action: Action::Forward,
        metric: Spot::Set(Metric::Float(880.0)),
        time: Timestamp(5_000_000),
        target: 1,
        overrides: 0,
    });
    reply.push_override(Field::State, false, b"", b"critical");
    reply.push_override(Field::Attributes, false, b"team", b"core");
    reply.push(&Record {
        base: Base::Slot(3),
        action: Action::Emit,
        metric: Spot::Clear,
        time: Timestamp(6_000_000),
        target: 0,
        overrides: 0,
    });
    let bytes = [reply.record_bytes(), reply.string_bytes()].concat();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write("tests/golden/reply-1.bin", bytes).unwrap();
        return;
    }
    assert_eq!(include_bytes!("golden/reply-1.bin")[..], bytes);
}

#[test]
fn rows_of_a_newer_and_wider_layout_are_read() {
    let batch = sample();
    let mut block = batch.header_bytes().to_vec();
    block[12..16].copy_from_slice(&80u32.to_le_bytes());
    for row in batch.row_bytes().chunks(ROW) {
        block.extend_from_slice(row);
        block.extend_from_slice(&[0xee; 16]);
    }
    block.extend_from_slice(batch.string_bytes());
    assert_eq!(BatchRef::check(&block).unwrap().to_batch(), batch);
}

#[test]
fn damage_is_named() {
    let block = sample().to_block();
    assert_eq!(BatchRef::check(&block[..60]).unwrap_err(), BatchError::Short { need: 64, have: 60 });
    assert_eq!(
        BatchRef::check(&block[..block.len() - 1]).unwrap_err(),
        BatchError::Short { need: block.len() as u64, have: block.len() - 1 }
    );
    let with = |at: usize, bytes: &[u8]| {
        let mut block = block.clone();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        block
    };
    assert_eq!(BatchRef::check(&with(4, &[9])).unwrap_err(), BatchError::Version(9));
    assert_eq!(BatchRef::check(&with(12, &[63])).unwrap_err(), BatchError::Stride(63));
    let host = with(Header::SIZE + 32, &[0xff; 4]);
    assert_eq!(BatchRef::check(&host).unwrap_err(), BatchError::Row { row: 0, field: Field::Host });
    assert_eq!(BatchRef::parse(&host).unwrap().event(0).unwrap().host(), None);
    let tags = with(Header::SIZE + 48, &[1, 0, 0, 0]);
    assert_eq!(BatchRef::check(&tags).unwrap_err(), BatchError::Row { row: 0, field: Field::Tags });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_saved_keys_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200), small in any::<bool>()) {
        if small {
            // Lengths that have a chance.
            for at in (16..bytes.len()).step_by(24) {
                bytes[at..].iter_mut().take(8).enumerate().for_each(|(i, byte)| *byte = if i % 4 == 0 { *byte % 20 } else { 0 });
            }
        }
        if let Ok(keys) = read_list(&bytes) {
            prop_assert_eq!(list(&keys), bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(batch) = BatchRef::parse(&bytes) {
            touch(&batch);
        }
        let _ = BatchRef::check(&bytes);
    }

    #[test]
    fn any_damage_is_read_without_a_panic(edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..12)) {
        let mut block = sample().to_block();
        for (at, byte) in edits {
            let at = at as usize % block.len();
            block[at] = byte;
        }
        if let Ok(batch) = BatchRef::parse(&block) {
            touch(&batch);
            batch.to_batch();
        }
        if let Ok(batch) = BatchRef::check(&block) {
            for event in batch.events() {
                prop_assert!(event.host_bytes().is_none() || event.host().is_some());
                prop_assert!(event.tag_bytes().count() == event.tags().count());
            }
        }
    }

    #[test]
    fn any_reply_is_read_without_a_panic(
        records in proptest::collection::vec(any::<u8>(), 0..200),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        for effect in ReplyRef::new(&records, &bytes).effects().flatten() {
            effect.overrides().count();
        }
        let mut reply = Reply::default();
        reply.take(&records, &bytes, Timestamp::NEVER, 0);
        prop_assert!(reply.read().effects().count() <= reply.len());
    }

    #[test]
    fn what_is_written_reads_back(
        host in proptest::option::of(".{0,20}"), service in proptest::option::of(".{0,200}"),
        state in proptest::option::of("ok|expired|.{0,9}"), metric in any::<Option<f64>>(), int in any::<Option<i64>>(),
        ttl in any::<Option<f32>>(), time in any::<Option<i64>>(),
        tags in proptest::collection::vec(".{0,9}", 0..5),
        attributes in proptest::collection::vec((".{0,9}", ".{0,9}"), 0..5),
    ) {
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let attributes: Vec<(&str, &str)> = attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let event = NewEvent {
            time: time.map(Timestamp), host: host.as_deref(), service: service.as_deref(), state: state.as_deref(),
            metric: int.map(Metric::Int).or(metric.map(Metric::Float)), ttl, description: service.as_deref(),
            tags: &tags, attributes: &attributes, hops: 3,
        };
        let mut builder = BatchBuilder::new();
        builder.push(&event);
        builder.stamp(1, Timestamp(5));
        let first = builder.finish();
        let mut copy = BatchBuilder::new();
        copy.copy(&first.event(0), FieldSet::ALL, |_| ());
        for batch in [first, copy.finish()] {
            let block = batch.to_block();
            let checked = BatchRef::check(&block).unwrap();
            let read = checked.event(0).unwrap();
            prop_assert_eq!((read.host(), read.service(), read.state()), (event.host, event.service, event.state));
            prop_assert_eq!(read.description(), event.description);
            prop_assert_eq!(read.time(), event.time.unwrap_or(Timestamp(5)));
            prop_assert_eq!(read.ttl().map(f32::to_bits), ttl.map(f32::to_bits));
            prop_assert_eq!(format!("{:?}", read.number()), format!("{:?}", event.metric));
            prop_assert_eq!(read.tags().collect::<Vec<_>>(), &tags[..]);
            prop_assert_eq!(read.attributes().collect::<Vec<_>>(), &attributes[..]);
            prop_assert_eq!(read.hops(), 3);
            prop_assert_eq!(read.key(), stream_key(1, host.as_deref().map(str::as_bytes), service.as_deref().map(str::as_bytes)));
        }
    }
}
