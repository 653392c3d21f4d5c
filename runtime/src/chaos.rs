//! Moments at which a test lets the process die, and bugs that a test plants. Both exist only in a program that was built
//! with the feature `chaos`, and in unit tests; without it nothing of this file is left.
//!
//! - `TIDEGATE_FAIL=log.roll:kill@3,recover.record:kill@100` ends the process when it comes to `log.roll` for the third
//!   time, or to `recover.record` for the hundredth. It ends at once, as by `kill -9`: nothing is flushed, nothing unwinds.
//! - `TIDEGATE_PLANT=ack-before-write` turns on one bug. `cargo xtask chaos --planted` must find each of them.
//!
//! While `TIDEGATE_FAIL` is set, if only to nothing, the first visit to each moment is told on standard error, so that a
//! series of crashes can count which moments it has reached.

pub use inner::{failpoint, failpoint_after, planted};

#[cfg(any(test, feature = "chaos"))]
mod inner {
    use std::collections::BTreeMap;
    use std::sync::{LazyLock, Mutex};

    /// What `TIDEGATE_FAIL` says: at which visit to which moment to end. None without the variable.
    static ENDS: LazyLock<Option<BTreeMap<String, u64>>> = LazyLock::new(|| {
        let wish = std::env::var("TIDEGATE_FAIL").ok()?;
        Some(wish.split(',').filter(|point| !point.is_empty()).map(parse).collect())
    });

    /// How often each moment was visited.
    static VISITS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

    /// What `TIDEGATE_PLANT` says.
    static PLANTED: LazyLock<String> = LazyLock::new(|| std::env::var("TIDEGATE_PLANT").unwrap_or_default());

    /// `NAME:kill@N`. A wish that is not understood ends the process: a test that waits for nothing would pass.
    fn parse(point: &str) -> (String, u64) {
        let parts = point.split_once(':').and_then(|(name, action)| {
            let visit = action.strip_prefix("kill@")?.parse().ok()?;
            Some((name.to_owned(), visit))
        });
        parts.unwrap_or_else(|| {
            eprintln!("TIDEGATE_FAIL: NAME:kill@N was expected, found {point:?}");
            std::process::exit(2)
        })
    }

    /// A moment between two effects that last. Ends the process here if a test has asked for that.
    pub fn failpoint(name: &'static str) {
        failpoint_after(name, || ());
    }

    /// The same, and does this before: half of something, so that the other half is missing.
    pub fn failpoint_after(name: &'static str, half: impl FnOnce()) {
        let Some(ends) = &*ENDS else { return };
        let visit = {
            let mut visits = VISITS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let visit = visits.entry(name).or_default();
            *visit += 1;
            *visit
        };
        if visit == 1 {
            eprintln!("chaos: reached {name}");
        }
        if ends.get(name) == Some(&visit) {
            half();
            // Others do what they can do meanwhile: an ack that was sent too early gets out.
            std::thread::sleep(std::time::Duration::from_millis(2));
            eprintln!("chaos: ends at {name}, visit {visit}");
            std::process::abort();
        }
    }

    /// Whether a test has asked for this bug.
    pub fn planted(bug: &str) -> bool {
        *PLANTED == bug
    }
}

#[cfg(not(any(test, feature = "chaos")))]
mod inner {
    /// A moment between two effects that last. Nothing happens here in this build.
    #[inline(always)]
    pub const fn failpoint(_: &'static str) {}

    /// The same, and would do this before.
    #[inline(always)]
    pub fn failpoint_after(_: &'static str, _: impl FnOnce()) {}

    /// Whether a test has asked for this bug: never in this build.
    #[inline(always)]
    pub const fn planted(_: &str) -> bool {
        false
    }
}
