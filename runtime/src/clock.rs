//! The only file that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tidegate_event::Timestamp;

/// The time of day.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// A point from which to measure how long something takes; unlike [`now`] it never jumps.
pub fn start() -> Instant {
    Instant::now()
}

/// A moment as people write it, in UTC with milliseconds: `2013-04-15T18:06:58.250Z`.
pub fn iso8601(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
