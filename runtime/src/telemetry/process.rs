//! What the system says about a process: memory, processor time, open files. Read from `/proc` on Linux; elsewhere
//! nothing is said.

use std::path::Path;
use std::time::Duration;

/// The kernel counts processor time for programs in hundredths of a second, on every machine that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// A process, as far as the system tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Bytes in memory.
    pub resident: Option<u64>,
    /// Bytes of address space; most of it is reserved and not used.
    pub virtual_size: Option<u64>,
    /// Processor time used, of programs and of the system for them.
    pub cpu: Option<Duration>,
    /// Threads there are.
    pub threads: Option<u64>,
    /// Files and sockets open.
    pub open_files: Option<u64>,
    /// How many there may be.
    pub max_files: Option<u64>,
    /// When it began, in seconds since 1970.
    pub began: Option<f64>,
}

impl Process {
    /// Looks at this process.
    pub fn look() -> Self {
        Self::all(Path::new("/proc"))
    }

    /// Looks at what it costs little to know: memory, threads and processor time.
    pub fn glance() -> Self {
        Self::some(Path::new("/proc/self"))
    }

    /// The same of any process of this machine, if there is one with that number and the system tells.
    pub fn of(pid: u32) -> Option<Self> {
        let process = Self::some(&Path::new("/proc").join(pid.to_string()));
        process.cpu.map(|_| process)
    }

    fn some(own: &Path) -> Self {
        let mut process = Self::default();
        for line in read(own, "status").lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let number = || value.split_ascii_whitespace().next()?.parse::<u64>().ok();
            match name {
                "VmRSS" => process.resident = number().map(|kib| kib << 10),
                "VmSize" => process.virtual_size = number().map(|kib| kib << 10),
                "Threads" => process.threads = number(),
                _ => {}
            }
        }
        let stat = read(own, "stat");
        process.cpu = ticks(&stat, 14).zip(ticks(&stat, 15)).map(|(own, system)| own + system);
        process
    }

    fn all(proc: &Path) -> Self {
        let boot =
            read(proc, "stat").lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        let since_boot = ticks(&read(proc, "self/stat"), 22);
        let max_files = read(proc, "self/limits").lines().find_map(|line| {
            line.strip_prefix("Max open files")?.split_ascii_whitespace().next()?.parse().ok()
        });
        let files = std::fs::read_dir(proc.join("self/fd")).ok();
        Self {
            began: boot.zip(since_boot).map(|(boot, since): (f64, _)| boot + since.as_secs_f64()),
            max_files,
            // One of them is the folder that is being read.
            open_files: files.map(|files| (files.count() as u64).saturating_sub(1)),
            ..Self::some(&proc.join("self"))
        }
    }
}

fn read(proc: &Path, name: &str) -> String {
    std::fs::read_to_string(proc.join(name)).unwrap_or_default()
}

/// A field of `stat` that is a time, numbered as in its manual. The second is the name of the program, which may hold
/// anything: fields are counted from its end.
fn ticks(stat: &str, field: usize) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(field - 3)?.parse().ok().map(|ticks: u32| TICK * ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("self");
        std::fs::create_dir_all(own.join("fd")).unwrap();
        for file in ["0", "1", "2", "3"] {
            std::fs::write(own.join("fd").join(file), "").unwrap();
        }
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("self/status", "Name:\ta b\nVmSize:\t    2048 kB\nVmRSS:\t      10 kB\nThreads:\t7\n");
        let stat = "42 (a) b) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 7 0 1000 2 3";
        write("self/stat", stat);
        write("stat", "cpu 1 2 3\nbtime 1700000000\n");
        write(
            "self/limits",
            "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024    4096    files\n",
        );
        let expected = Process {
            resident: Some(10 << 10),
            virtual_size: Some(2 << 20),
            cpu: Some(Duration::from_secs(3)),
            threads: Some(7),
            open_files: Some(3),
            max_files: Some(1024),
            began: Some(1_700_000_010.0),
        };
        assert_eq!(Process::all(folder.path()), expected);
        assert_eq!(Process::all(&folder.path().join("nowhere")), Process::default());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_seen() {
        let process = Process::look();
        assert!(process.resident > Some(1 << 20) && process.threads >= Some(1), "{process:?}");
        assert!(process.open_files >= Some(3) && process.began > Some(1e9), "{process:?}");
        let glance = Process::glance();
        assert!(glance.resident > Some(1 << 20) && glance.cpu.is_some() && glance.open_files.is_none());
        assert!(Process::of(std::process::id()).is_some_and(|same| same.resident > Some(1 << 20)));
        assert_eq!(Process::of(u32::MAX), None);
    }
}
