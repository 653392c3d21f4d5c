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
