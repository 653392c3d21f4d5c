//! What a process has used: CPU time and resident memory, as Linux tells in `/proc`.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// CPU time is told in ticks of this many milliseconds, on every machine that Linux runs on today.
const TICK_MS: u64 = 10;

/// A process to look at.
#[derive(Clone, Debug)]
pub struct Process {
    folder: PathBuf,
}

impl Process {
    /// The process of that number, if there is one and this system tells.
    pub fn of(pid: u32) -> Option<Self> {
        let process = Self { folder: Path::new("/proc").join(pid.to_string()) };
        process.cpu().map(|_| process)
    }

    /// Ourselves.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// CPU time so far, in user and in system mode, of all its threads.
    pub fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(self.folder.join("stat")).ok()?;
        ticks(&stat).map(|ticks| Duration::from_millis(ticks * TICK_MS))
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> Option<u64> {
        resident(&std::fs::read_to_string(self.folder.join("status")).ok()?)
    }
}

/// Fields 14 and 15; the second is a name that may contain anything, so what counts comes after its last parenthesis.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 3 0 99";
        assert_eq!(ticks(stat), Some(300));
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmHWM:\t  200 kB\nVmRSS:\t  16612 kB\n"), Some(16_612 * 1024));
        assert_eq!(resident("Name:\tx\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn we_are_a_process_ourselves() {
        let own = Process::own().unwrap();
        assert!(own.resident().unwrap() > 100_000);
        assert!(Process::of(u32::MAX).is_none());
    }
}
