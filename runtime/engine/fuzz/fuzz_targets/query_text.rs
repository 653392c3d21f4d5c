//! Any text is a query or an error that can be drawn; a query answers, and reads the same a second time.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_engine::query::{Matcher, Query};
use tidegate_event::{BatchBuilder, Metric, NewEvent};

fuzz_target!(|text: &str| {
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent {
        host: Some("web1"),
        service: Some("api latency"),
        state: Some("ok"),
        metric: Some(Metric::Int(5)),
        ttl: Some(60.0),
        tags: &["a"],
        attributes: &[("rack", "7")],
        ..NewEvent::default()
    });
    builder.push(&NewEvent::default());
    match Matcher::parse(text) {
        Ok(matcher) => {
            let again = Matcher::parse(matcher.text()).expect("a query is one twice");
            for row in 0..builder.len() {
                let matches = matcher.matches(&builder.event(row));
                assert_eq!(matches, again.matches(&builder.event(row)));
                assert!(matches || !matcher.wants_all());
                assert!(!matches || !matcher.wants_nothing());
            }
            let query = Query::parse(text).expect("a matcher's text is a query");
            assert!(query.warnings().iter().all(|warning| text.get(warning.span.clone()).is_some()));
        }
        Err(error) => {
            assert!(error.text.get(error.span.clone()).is_some());
            assert!(error.to_string().contains('^'));
        }
    }
});
