//! Any bytes are events or an error, as JSON, as lines and as MessagePack; what was read is written as JSON with no name
//! twice, and read back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_engine::codec::{json, msgpack};
use tidegate_event::{BatchBuilder, BatchRef};

fuzz_target!(|bytes: &[u8]| {
    for decode in [json::decode_events, json::decode_lines, msgpack::decode_events] {
        let mut builder = BatchBuilder::new();
        if decode(&mut builder, bytes).is_err() {
            assert!(builder.is_empty());
            continue;
        }
        let batch = builder.finish();
        BatchRef::check(&batch.to_block()).expect("every string of a decoded event is text within the batch");
        for event in batch.events() {
            let mut text = Vec::new();
            json::encode_event(&mut text, &event);
            let mut again = BatchBuilder::new();
            assert_eq!(json::decode_events(&mut again, &text), Ok(1));
            let mut twice = Vec::new();
            json::encode_event(&mut twice, &again.event(0));
            assert_eq!(text, twice);
        }
    }
});
