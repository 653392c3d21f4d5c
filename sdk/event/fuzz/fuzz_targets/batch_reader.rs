//! Any bytes are a batch or an error. What only parses can be looked at without a panic; what checks can be copied event by
//! event and checks again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_event::{BatchBuilder, BatchRef, Event, FieldSet, Header, Kept, ROW, State, Timestamp};

fn look(event: &Event<'_>) -> usize {
    let texts = [event.host_bytes(), event.service_bytes(), event.state_bytes(), event.description_bytes()];
    let own: usize = event.attribute_bytes().take(1_000).map(|(name, value)| name.len() + value.len()).sum();
    let tags: usize = event.tag_bytes().take(1_000).map(<[u8]>::len).sum();
    let _ = (event.row(), event.number(), event.ttl(), event.state_code(), event.attribute("rack"));
    texts.into_iter().flatten().map(<[u8]>::len).sum::<usize>() + own + tags
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // The same behind a header that fits, since one is hardly found by chance: so many rows, and the rest are strings.
    let Some((&rows, rest)) = bytes.split_first() else { return };
    let rows = usize::from(rows % 8).min(rest.len() / ROW);
    let (rows_bytes, strings) = rest.split_at(rows * ROW);
    let header = Header { fields: FieldSet::ALL, ..Header::default() };
    read(&[&header.write(rows, strings.len() + 1)[..], rows_bytes, &[0], strings].concat());
});

fn read(block: &[u8]) {
    let Ok(parsed) = BatchRef::parse(block) else {
        assert!(BatchRef::check(block).is_err());
        return;
    };
    for row in 0..=parsed.len().min(100) {
        let _ = parsed.event(row).map(|event| look(&event));
    }
    let Ok(checked) = BatchRef::check(block) else { return };
    let mut builder = BatchBuilder::new();
    for event in checked.events().take(100) {
        // A block of strings may be pointed at by many rows, so that copies can be larger than the block.
        if look(&event) > 1 << 20 {
            continue;
        }
        // A code and a word that disagree are no harm to memory; a copy then has the code's word.
        if State::of(event.state_bytes().unwrap_or_default()) == event.state_code() {
            assert_eq!(look(&Kept::new(&event).event()), look(&event));
        }
        builder.copy(&event, FieldSet::ALL, |_| ());
    }
    builder.stamp(1, Timestamp(5));
    BatchRef::check(&builder.finish().to_block()).expect("a copy of checked events checks");
}
