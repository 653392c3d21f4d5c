//! What one call of a guest may spend: memory, time, effects.
//!
//! **Time** is wall time, because a shard stands still meanwhile, with one exception. On a busy machine the operating
//! system may let the shard's thread wait for a core for longer than the whole deadline, and a rule must not be blamed
//! for that. So the first look comes after a millisecond, which nearly no call lives to see, and notes how long the
//! thread has waited in its life; when the deadline comes, it is moved by what the thread has waited since. A guest is
//! thus never stopped early, sometimes a little late, and at the latest after [`PATIENCE`] times its deadline and the
//! time of the last wait. Where the system does not tell, wall time alone counts.

use crate::engine::MEMORY_MAX;
use crate::inspect::TABLE_MAX;
use tidegate_engine::rule::Limits;
use tidegate_event::abi::Descriptor;
use wasmtime::{ResourceLimiter, UpdateDeadline};

/// How many times its deadline a call may take at most, waits for a core included.
const PATIENCE: u64 = 10;

/// Ticks to the first look: at least one millisecond.
pub(crate) const FIRST_LOOK: u64 = 2;

/// Holds an instance to its limits during a call.
pub(crate) struct Meter {
    memory: usize,
    refused: Option<u64>,
    watch: Watch,
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Self {
        let memory = limits.memory.min(MEMORY_MAX) as usize;
        Self { memory, refused: None, watch: Watch::new(limits.deadline_ms) }
    }

    /// Starts a call. The store's deadline is to be set to [`FIRST_LOOK`].
    pub(crate) fn start(&mut self) {
        self.refused = None;
        self.watch.look = Look::First;
    }

    /// The size of memory that was refused during the call, in bytes.
    pub(crate) fn refused(&self) -> Option<u64> {
        self.refused
    }

    /// The epoch has passed the store's deadline: how much longer?
    pub(crate) fn expire(&mut self) -> UpdateDeadline {
        match self.watch.expire(waited_ms()) {
            0 => UpdateDeadline::Interrupt,
            ticks => UpdateDeadline::Continue(ticks),
        }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let fine = desired <= self.memory && maximum.is_none_or(|maximum| desired <= maximum);
        if !fine {
            self.refused = Some(desired as u64);
        }
        Ok(fine)
    }

    fn table_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired as u64 <= TABLE_MAX && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }
}

/// Decides how long a call goes on; the ticks and waits are told.
struct Watch {
    deadline: u64,
    look: Look,
}

enum Look {
    First,
    /// What the thread had waited at the first look, and how much of it since has been made good for.
    Later {
        waited: Option<u64>,
        granted: u64,
    },
}

impl Watch {
    fn new(deadline_ms: u32) -> Self {
        Self { deadline: u64::from(deadline_ms).max(1), look: Look::First }
    }

    /// How many more ticks, given the milliseconds that the thread has waited for a core in its life; 0 for none.
    fn expire(&mut self, now: Option<u64>) -> u64 {
        match &mut self.look {
            Look::First => {
                self.look = Look::Later { waited: now, granted: 0 };
                // One tick more than milliseconds in all: the first may have come at once.
                (self.deadline + 1).saturating_sub(FIRST_LOOK).max(1)
            }
            Look::Later { waited, granted } => {
                let since = now.zip(*waited).map_or(0, |(now, then)| now.saturating_sub(then));
                let most = self.deadline.saturating_mul(PATIENCE - 1);
                let more = since.min(most).saturating_sub(*granted);
                *granted += more;
                more
            }
        }
    }
}

/// How long this thread has waited for a core while it could have run, in milliseconds, since it was started.
fn waited_ms() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(nanos / 1_000_000)
}

/// Whether a reply of that size is within its budget; the error says what was asked for and what there is. Each of the
/// rules that the guest serves brings its own base.
pub(crate) fn check_output(
    limits: &Limits,
    rows: usize,
    rules: u32,
    claimed: &Descriptor,
) -> Result<(), String> {
    let base = u64::from(limits.effects_base) * u64::from(rules);
    // As many as it may have keys; how many it has, the shard knows.
    let woken = u64::from(claimed.woken).min(u64::from(limits.keys) * u64::from(rules));
    let allowed = u64::from(limits.effects_per_row) * (rows as u64 + woken) + base;
    if u64::from(claimed.record_count) > allowed {
        return Err(format!(
            "asked for {} effects, {rows} rows and {woken} wakes may have {allowed}: forward or emit less often, or raise \
             effects_per_row",
            claimed.record_count
        ));
    }
    if claimed.byte_count > limits.effect_bytes {
        return Err(format!(
            "its effects have {} bytes of text, they may have {}: shorten descriptions and attributes, or raise \
             effect_bytes",
            claimed.byte_count, limits.effect_bytes
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ticks of a call that never ends, on a thread that has waited so long at each look.
    fn ticks(deadline_ms: u32, waits: &[Option<u64>]) -> Vec<u64> {
        let mut watch = Watch::new(deadline_ms);
        waits.iter().map(|waited| watch.expire(*waited)).collect()
    }

    #[test]
    fn a_thread_that_never_waits_gets_its_deadline_and_no_more() {
        // With the two ticks to the first look, one more than ten.
        assert_eq!(ticks(10, &[Some(500), Some(500)]), [9, 0]);
        assert_eq!(ticks(1, &[Some(500), Some(500)]), [1, 0]);
        assert_eq!(ticks(0, &[Some(500), Some(500)]), [1, 0]);
    }

    #[test]
    fn what_the_thread_has_waited_does_not_count() {
        assert_eq!(ticks(10, &[Some(500), Some(507), Some(509), Some(509)]), [9, 7, 2, 0]);
    }

    #[test]
    fn waiting_has_an_end() {
        assert_eq!(ticks(10, &[Some(0), Some(50), Some(1_000), Some(9_000)]), [9, 50, 40, 0]);
    }

    #[test]
    fn without_an_answer_from_the_system_wall_time_counts() {
        assert_eq!(ticks(10, &[None, None]), [9, 0]);
        assert_eq!(ticks(10, &[None, Some(7)]), [9, 0]);
        assert_eq!(ticks(10, &[Some(7), None]), [9, 0]);
        assert_eq!(ticks(10, &[Some(7), Some(0)]), [9, 0]);
    }

    #[test]
    fn what_a_reply_may_hold_grows_with_the_rows_and_the_rules() {
        let limits = Limits { effects_per_row: 4, effects_base: 100, ..Limits::default() };
        let fits = |records, rows, rules| {
            let claimed = Descriptor { record_count: records, ..Descriptor::default() };
            check_output(&limits, rows, rules, &claimed).is_ok()
        };
        assert!(fits(100, 0, 1) && !fits(101, 0, 1));
        assert!(fits(140, 10, 1) && !fits(141, 10, 1));
        assert!(fits(340, 10, 3) && !fits(341, 10, 3));
        let woken = |records, woken| {
            let claimed = Descriptor { record_count: records, woken, ..Descriptor::default() };
            check_output(&Limits { keys: 50, ..limits }, 10, 1, &claimed).is_ok()
        };
        assert!(woken(220, 20) && !woken(221, 20), "four for each key that is woken");
        assert!(woken(340, 50) && !woken(341, u32::MAX), "it cannot wake more keys than it may have");
        let claimed = Descriptor { byte_count: limits.effect_bytes + 1, ..Descriptor::default() };
        assert!(check_output(&limits, 10, 3, &claimed).unwrap_err().contains("bytes of text"));
    }

    #[test]
    fn each_call_starts_anew() {
        let mut meter = Meter::new(&Limits { memory: 16 << 20, ..Limits::default() });
        assert!(!meter.memory_growing(0, 17 << 20, None).unwrap());
        assert_eq!(meter.refused(), Some(17 << 20));
        meter.watch.expire(Some(1));
        meter.start();
        assert_eq!(meter.refused(), None);
        assert_eq!(meter.watch.expire(Some(1)), 9);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_how_long_a_thread_has_waited() {
        assert!(waited_ms().is_some());
    }
}
