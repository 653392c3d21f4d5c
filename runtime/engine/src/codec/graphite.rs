//! Graphite's lines: a path, a value, a time.

use std::io::Write;
use tidegate_event::Event;

/// Appends the line of an event: the host's labels in reverse, then the service with dots for spaces. Whatever a path
/// cannot hold becomes `_`. An event without a finite metric has no line: then nothing is appended and the answer is no.
pub fn encode_line(to: &mut Vec<u8>, prefix: &str, event: &Event<'_>) -> bool {
    let Some(metric) = event.number().filter(|metric| metric.as_f64().is_finite()) else { return false };
    to.extend_from_slice(prefix.as_bytes());
    let start = to.len();
    for label in event.host().unwrap_or_default().rsplit('.') {
        segment(to, start, label);
    }
    for word in event.service().unwrap_or_default().split([' ', '.']) {
        segment(to, start, word);
    }
    if to.len() == start {
        to.push(b'_');
    }
    // Writing to memory does not fail.
    let _ = writeln!(to, " {metric} {}", event.time().secs());
    true
}

fn segment(to: &mut Vec<u8>, start: usize, text: &str) {
    if text.is_empty() {
        return;
    }
    if to.len() > start {
        to.push(b'.');
    }
    to.extend(text.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() || "-_:+%@#".contains(c) => c as u8,
        _ => b'_',
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::{BatchBuilder, Metric, NewEvent, Timestamp};

    fn line(host: Option<&str>, service: Option<&str>, metric: Option<Metric>) -> Option<String> {
        let mut builder = BatchBuilder::new();
        builder.push(&NewEvent {
            host,
            service,
            metric,
            time: Some(Timestamp(5_900_000)),
            ..NewEvent::default()
        });
        let mut to = Vec::new();
        encode_line(&mut to, "tg.", &builder.finish().event(0)).then(|| String::from_utf8(to).unwrap())
    }

    #[test]
    fn paths_are_the_host_reversed_and_the_service_with_dots() {
        let line = |host, service| line(host, service, Some(Metric::Float(0.5))).unwrap();
        assert_eq!(
            line(Some("web1.eu.example"), Some("http get p99")),
            "tg.example.eu.web1.http.get.p99 0.5 5\n"
        );
        assert_eq!(line(Some("a\nb 1 1"), Some("disk /")), "tg.a_b_1_1.disk._ 0.5 5\n");
        assert_eq!(line(None, Some("..")), "tg._ 0.5 5\n");
    }

    #[test]
    fn what_is_no_number_has_no_line() {
        assert_eq!(line(None, Some("a"), None), None);
        assert_eq!(line(None, Some("a"), Some(Metric::Float(f64::NAN))), None);
        assert_eq!(line(None, Some("a"), Some(Metric::Int(-3))).unwrap(), "tg.a -3 5\n");
    }
}
