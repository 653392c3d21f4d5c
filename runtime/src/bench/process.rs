//! What the load generator asks of the system for its own threads.

use std::path::Path;

/// Lets the timers of the calling thread fire when they are due; usually Linux may be late by 50 µs, to save power.
/// Says whether it worked.
pub fn sleep_exactly() -> bool {
    // A thread has a folder of its own under its number, which its entry here names.
    let thread = std::fs::read_link("/proc/thread-self").ok();
    let number = thread.as_deref().and_then(Path::file_name);
    number.is_some_and(|number| {
        std::fs::write(Path::new("/proc").join(number).join("timerslack_ns"), "1").is_ok()
    })
}
