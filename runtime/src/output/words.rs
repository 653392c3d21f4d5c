//! An event as a person reads it, and the pieces of it that go into tags and labels.

use super::Delivery;
use std::fmt::Write as _;

/// `web1 api latency is critical at 412.5: too slow`, with what is there of it.
pub fn sentence(delivery: &Delivery) -> String {
    let event = delivery.event();
    let mut text = String::new();
    for name in [event.host(), event.service()].into_iter().flatten().filter(|name| !name.is_empty()) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(name);
    }
    if text.is_empty() {
        text.push_str("an event without a name");
    }
    if let Some(state) = event.state() {
        let _ = write!(text, " is {state}");
    }
    if let Some(metric) = event.number() {
        let _ = write!(text, " at {metric}");
    }
    if let Some(description) = event.description().filter(|text| !text.is_empty()) {
        let _ = write!(text, ": {description}");
    }
    text
}

/// At most so many bytes of a text, without a character in two.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The time of an event for whoever reads years of four digits: what lies outside is at the nearest end.
pub fn moment(micros: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(micros).unwrap_or(match micros < 0 {
        true => jiff::Timestamp::MIN,
        false => jiff::Timestamp::MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{described, named};

    #[test]
    fn a_sentence_says_what_is_there() {
        assert_eq!(sentence(&named("web1", "api", "critical")), "web1 api is critical at 0");
        assert_eq!(
            sentence(&described("web1", "api", "ok", "fine\nagain")),
            "web1 api is ok at 0: fine\nagain"
        );
        assert_eq!(sentence(&named("", "", "ok")), "an event without a name is ok at 0");
    }

    #[test]
    fn a_cut_goes_through_no_character() {
        assert_eq!((cut("aé", 1), cut("aé", 2), cut("aé", 3), cut("aé", 9)), ("a", "a", "aé", "aé"));
    }

    #[test]
    fn a_time_that_has_no_year_of_four_digits_is_at_the_nearest_end() {
        assert_eq!(moment(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(moment(i64::MAX).strftime("%Y").to_string(), "9999");
        assert_eq!(moment(i64::MIN), jiff::Timestamp::MIN);
    }
}
