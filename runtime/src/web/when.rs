//! Moments in a request: `-15m`, ISO 8601, or seconds since 1970.

use crate::clock;
use crate::web::answer::Failure;
use crate::web::params::Params;
use tidegate_event::{Span, Timestamp};

/// A moment as people write it; `-15m` is so long before `now`.
pub fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(before) = text.strip_prefix('-') {
        return Span::parse(before).filter(|span| *span >= Span::ZERO).map(|span| now - span);
    }
    let at = text.parse::<jiff::Timestamp>().map(|at| Timestamp(at.as_microsecond())).ok();
    at.or_else(|| text.parse::<f64>().ok().filter(|at| *at >= 0.0).map(Timestamp::from_secs_f64))
}

/// The moment of a parameter.
pub fn parameter(params: &mut Params, name: &str, default: Timestamp) -> Result<Timestamp, Failure> {
    let Some(text) = params.take(name)? else { return Ok(default) };
    moment(&text, clock::now()).ok_or_else(|| wrong(&format!("parameter `{name}`"), &text))
}

/// What a moment is not.
pub fn wrong(what: &str, found: &str) -> Failure {
    Failure::bad(format!(
        "{what}: -15m, 2026-01-31T08:00:00Z or seconds since 1970 was expected, found `{found}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now = Timestamp::from_secs(1_366_049_218);
        let read = |text: &str| moment(text, now);
        assert_eq!(read("-15m"), Some(now - Span::minutes(15)));
        assert_eq!(read("2013-04-15T18:06:58Z"), Some(now));
        assert_eq!(read("1366049218"), Some(now));
        for bad in ["", "-", "--1m", "15m", "yesterday", "-x"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
