//! An event as a line for Carbon: `path value seconds`.
//!
//! The path is Riemann's: the labels of the host in reverse, then the words of the service, where a last word of `0.95`
//! becomes `95`. Carbon makes folders of the path and its front end has a syntax of its own, so ASCII letters, digits and
//! `- _ : + % @ #` stay, all else becomes `_`, and empty segments are left out.

use std::io::Write;
use tidegate_event::{Event, Metric};

/// Appends the event's line, its path behind `prefix`. An event without a finite metric has no line: then nothing is
/// appended and the answer is no. One without any name is called `_`.
pub fn encode_line(to: &mut Vec<u8>, prefix: &str, event: &Event<'_>) -> bool {
    let Some(metric) = event.number().filter(|metric| metric.as_f64().is_finite()) else { return false };
    to.extend_from_slice(prefix.as_bytes());
    encode_path(to, event.host(), event.service());
    let seconds = event.time().secs();
    match metric {
        Metric::Int(value) => writeln!(to, " {value} {seconds}"),
        Metric::Float(value) => writeln!(to, " {value:?} {seconds}"),
    }
    .expect("memory takes every line");
    true
}

/// Appends the path of a host's service. Without any name it is `_`.
pub fn encode_path(to: &mut Vec<u8>, host: Option<&str>, service: Option<&str>) {
    let path = to.len();
    for label in host.unwrap_or_default().rsplit('.') {
        segment(to, path, label);
    }
    let service = service.unwrap_or_default();
    let (name, quantile) = match service.rsplit_once(" 0.") {
        Some((name, digits)) if is_digits(digits) => (name, digits),
        _ => (service, ""),
    };
    for word in name.split([' ', '.']) {
        segment(to, path, word);
    }
    segment(to, path, quantile);
    if to.len() == path {
        to.push(b'_');
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn segment(to: &mut Vec<u8>, path: usize, text: &str) {
    if text.is_empty() {
        return;
    }
    if to.len() > path {
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
    use tidegate_event::{BatchBuilder, NewEvent, Timestamp};

    fn line(host: Option<&str>, service: Option<&str>, metric: Option<Metric>) -> Option<String> {
        let mut builder = BatchBuilder::new();
        let time = Some(Timestamp(1_700_000_000_999_999));
        builder.push(&NewEvent { host, service, metric, time, ..NewEvent::default() });
        let mut to = b"before\n".to_vec();
        let written = encode_line(&mut to, "tg.", &builder.event(0));
        let text = String::from_utf8(to).unwrap().strip_prefix("before\n").unwrap().to_owned();
        assert_eq!(written, !text.is_empty());
        written.then(|| text.strip_suffix(" 1700000000\n").unwrap().to_owned())
    }

    #[test]
    fn paths_are_riemanns_and_values_keep_their_kind() {
        for (host, service, metric, expected) in [
            (Some("web1.example.com"), Some("api req"), Metric::Int(3), "tg.com.example.web1.api.req 3"),
            (Some("web1"), Some("latency 0.95"), Metric::Float(0.25), "tg.web1.latency.95 0.25"),
            (Some("web1"), Some("rel 1.0.95"), Metric::Float(2.0), "tg.web1.rel.1.0.95 2.0"),
            (None, Some("cpu"), Metric::Int(-1), "tg.cpu -1"),
            (Some("web1"), None, Metric::Float(1e300), "tg.web1 1e300"),
        ] {
            assert_eq!(line(host, service, Some(metric)).as_deref(), Some(expected));
        }
    }

    #[test]
    fn no_name_can_end_a_line_split_a_field_or_climb_a_folder() {
        let line = |host, service| line(host, service, Some(Metric::Int(1))).unwrap();
        assert_eq!(
            line(Some("..a\nb 1 1."), Some("disk /../etc\tx [*] é")),
            "tg.a_b_1_1.disk._._etc_x.___._ 1"
        );
        assert_eq!(line(None, Some("..")), "tg._ 1");
    }

    #[test]
    fn what_is_no_number_is_no_line() {
        for metric in [None, Some(Metric::Float(f64::NAN)), Some(Metric::Float(f64::NEG_INFINITY))] {
            assert_eq!(line(Some("a"), Some("b"), metric), None);
        }
    }
}
