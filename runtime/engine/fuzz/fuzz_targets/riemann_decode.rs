//! Any bytes are a message or an error; what was decoded lies within the batch, and survives being encoded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_engine::codec::Limits;
use tidegate_engine::codec::riemann::{decode_copy, encode_message};
use tidegate_event::{BatchBuilder, BatchRef, Timestamp};

fuzz_target!(|message: &[u8]| {
    let mut builder = BatchBuilder::new();
    match decode_copy(&mut builder, message, &Limits::default()) {
        Err(_) => assert!(builder.is_empty()),
        Ok(request) => {
            assert_eq!(request.events, builder.len());
            builder.stamp(1, Timestamp(7));
            let batch = builder.finish();
            BatchRef::check(&batch.to_block())
                .expect("every string of a decoded event is text within the batch");
            let mut written = Vec::new();
            encode_message(&mut written, batch.events());
            let mut again = BatchBuilder::new();
            decode_copy(&mut again, &written, &Limits::default()).expect("what we write we read");
            for (row, event) in batch.events().enumerate() {
                assert_eq!(format!("{event:?}"), format!("{:?}", again.event(row)));
            }
        }
    }
});
