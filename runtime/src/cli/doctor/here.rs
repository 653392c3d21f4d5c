//! What this machine says: the configuration, ports, the data directory, memory, open files, and Rust.

use super::{Finding, node::Seen};
use crate::cli::build::cargo;
use crate::cli::failure::Exit;
use crate::cli::screen::bytes;
use crate::config::{Config, ConfigError, InputKind};
use crate::telemetry::Process;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use sysinfo::{Disks, System};

/// With less room than this the log cannot be written for long.
const ROOM: u64 = 256 << 20;

/// A node with many senders, outputs and segments wants so many.
const FILES: u64 = 4096;

/// Whether the file is right, and what it warns of.
pub fn configuration(loaded: &Result<Config, ConfigError>) -> Vec<Finding> {
    match loaded {
        Err(error) => {
            let said = error.to_string();
            let first = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let more = match error.problems().len() {
                1 => String::new(),
                n => format!(", and {} more", n - 1),
            };
            vec![Finding::problem(format!("{first}{more}"), "tidegate check").ends_with(Exit::Invalid)]
        }
        Ok(config) => {
            let first = |warning: &String| {
                warning.lines().next().unwrap_or_default().trim_start_matches("warning: ").to_owned()
            };
            let warnings = config.warnings();
            warnings.iter().map(|warning| Finding::warning(first(warning), "tidegate check")).collect()
        }
    }
}

/// The addresses of a configuration: what for, where, and whether it is UDP.
fn listeners(config: &Config) -> Vec<(String, SocketAddr, bool)> {
    let mut all = vec![("http".to_owned(), config.http.address, false)];
    all.extend(config.websocket.enabled.then(|| ("websocket".to_owned(), config.websocket.address, false)));
    all.extend(config.sse.enabled.then(|| ("sse".to_owned(), config.sse.address, false)));
    for input in &config.inputs {
        if let InputKind::Riemann(riemann) = &input.kind {
            let name = |protocol: &str| format!("input {} {protocol}", input.name);
            all.extend(riemann.tcp.map(|address| (name("tcp"), address, false)));
            all.extend(riemann.udp.map(|address| (name("udp"), address, true)));
        }
    }
    all.retain(|(_, address, _)| address.port() != 0);
    all
}

/// Whether a node could listen where it is to listen.
pub fn ports(config: &Config, running: Option<&Seen>) -> Vec<Finding> {
    let ours = running.map(Seen::addresses).unwrap_or_default();
    let taken = listeners(config).into_iter().filter_map(|(name, address, udp)| {
        if ours.iter().any(|own| own.port() == address.port()) {
            return None;
        }
        let bound =
            if udp { UdpSocket::bind(address).map(drop) } else { TcpListener::bind(address).map(drop) };
        let error = bound.err()?;
        let flag = if udp { "u" } else { "t" };
        let who = format!("ss -l{flag}np 'sport = :{}'", address.port());
        Some(Finding::problem(format!("{name} cannot listen on {address}: {error}"), who))
    });
    taken.collect()
}

/// Whether the data directory can be written, has room, and lies where what is written stays.
pub fn data(config: &Config) -> Vec<Finding> {
    if !config.log.enabled {
        let text = "the log is switched off: nothing survives a stop";
        return vec![Finding::note(text, "set log.enabled = true")];
    }
    let folder = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    let there = existing(&folder);
    let mut findings = Vec::new();
    if let Err(error) = tempfile::NamedTempFile::new_in(&there) {
        let text = format!("{} cannot be written to: {error}", there.display());
        findings.push(Finding::problem(text, format!("sudo chown -R \"$USER\" '{}'", there.display())));
    }
    let disks = Disks::new_with_refreshed_list().ok();
    let mounted: Vec<Mount> = disks
        .iter()
        .flat_map(|disks| disks.iter())
        .map(|disk| Mount {
            at: disk.mount_point().to_owned(),
            kind: disk.file_system().to_string_lossy().into_owned(),
            free: disk.available_space(),
        })
        .collect();
    findings.extend(place(&folder, &there, used(&folder), config.log.keep_bytes, &mounted));
    findings
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> PathBuf {
    folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// A file system that is mounted.
struct Mount {
    at: PathBuf,
    kind: String,
    free: u64,
}

/// Bytes that the log has already.
fn used(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder.join("log")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

fn place(folder: &Path, there: &Path, used: u64, keep: u64, mounted: &[Mount]) -> Vec<Finding> {
    let real = there.canonicalize().unwrap_or_else(|_| there.to_owned());
    let holds = mounted.iter().filter(|mount| real.starts_with(&mount.at));
    let Some(mount) = holds.max_by_key(|mount| mount.at.as_os_str().len()) else { return Vec::new() };
    let at = folder.display();
    let mut findings = Vec::new();
    let grows = keep.saturating_sub(used);
    let look = format!("df -h '{}'", there.display());
    if mount.free < ROOM {
        let text = format!("{at} has {} left: events are refused when it is full", bytes(mount.free));
        findings.push(Finding::problem(text, look));
    } else if mount.free < grows {
        let text = format!(
            "{at} has {} left, and the log may grow by {} (log.keep_bytes)",
            bytes(mount.free),
            bytes(grows)
        );
        findings.push(Finding::warning(text, look));
    }
    let (stays, shared) = match mount.kind.as_str() {
        "tmpfs" | "ramfs" => (false, false),
        "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "ceph" | "glusterfs" => (true, true),
        kind => (true, kind.starts_with("fuse")),
    };
    let other = "tidegate run --data DIR";
    if !stays {
        let text = format!("{at} is in memory ({}): a restart of the machine forgets it", mount.kind);
        findings.push(Finding::warning(text, other));
    } else if shared {
        let text = format!("{at} is on {}: a sync there may not mean what it says", mount.kind);
        findings.push(Finding::warning(text, other));
    }
    findings
}

/// Whether there is memory left.
pub fn memory(running: Option<&Seen>) -> Vec<Finding> {
    // Where the system does not tell, there is nothing to judge.
    let Ok(mut system) = System::new() else { return Vec::new() };
    system.refresh_memory();
    judge_memory(system.total_memory(), system.available_memory(), running.and_then(Seen::memory))
}

fn judge_memory(total: u64, available: u64, node: Option<u64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if total > 0 && available < total / 20 {
        let text = format!("{} of {} memory is left", bytes(available), bytes(total));
        findings.push(Finding::warning(text, "ps aux --sort -rss | head"));
    }
    if let Some(node) = node.filter(|node| *node > total / 10 * 7) {
        let text = format!("the node uses {} of {} memory", bytes(node), bytes(total));
        findings.push(Finding::warning(text, "tidegate rules"));
    }
    findings
}

/// Whether there is room for connections: the node's own, else that of this shell.
pub fn open_files(running: Option<&Seen>) -> Vec<Finding> {
    let node = running.and_then(Seen::open_files);
    judge_files(node, Process::look().max_files)
}

fn judge_files(node: Option<(u64, u64)>, here: Option<u64>) -> Vec<Finding> {
    let raise = format!("ulimit -n {}", FILES * 16);
    match (node, here) {
        (Some((open, limit)), _) if open > limit / 5 * 4 => {
            let text = format!("the node has {open} of {limit} files open: beyond that nobody can connect");
            vec![Finding::problem(text, raise)]
        }
        (Some((_, limit)), _) if limit < FILES => {
            let text = format!("the node may open {limit} files and sockets only");
            vec![Finding::warning(text, raise)]
        }
        (None, Some(limit)) if limit < FILES => {
            let text = format!("a node started here may open {limit} files and sockets only");
            vec![Finding::warning(text, raise)]
        }
        _ => Vec::new(),
    }
}

/// Whether rules can be written here. A node needs none of it.
pub fn toolchain() -> Vec<Finding> {
    let folder = std::env::current_dir().unwrap_or_default();
    match cargo::has_target(&folder) {
        Ok(true) => Vec::new(),
        Ok(false) => vec![Finding::note(
            "rules cannot be built here: Rust's wasm target is missing (a node does not need it)",
            "rustup target add wasm32-unknown-unknown",
        )],
        Err(_) => vec![Finding::note(
            "rules cannot be built here: Rust is missing (a node does not need it)",
            "open https://rustup.rs",
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::config::{self, Environment, Source};

    fn levels(findings: &[Finding]) -> Vec<Level> {
        findings.iter().map(|finding| finding.level).collect()
    }

    fn config(text: &str) -> Result<Config, ConfigError> {
        config::parse(Source { path: None, text: text.into() }, &Environment::new())
    }

    #[test]
    fn a_wrong_configuration_is_the_worst_and_a_daring_one_a_warning() {
        let wrong = configuration(&config("[engine]\nshrads = 2\n[log]\nkeep_for = 5\n"));
        assert_eq!((wrong.len(), wrong[0].exit), (1, Exit::Invalid));
        assert!(wrong[0].text.starts_with("unknown key `shrads`") && wrong[0].text.ends_with("and 1 more"));
        let open = configuration(&config("[http]\naddress = \"0.0.0.0:1\"\nallow_remote = true\n"));
        assert_eq!(levels(&open), [Level::Warning]);
        assert!(configuration(&config("")).is_empty());
    }

    #[test]
    fn a_port_that_somebody_has_is_named() {
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let text = format!(
            "[http]\naddress = \"{}\"\n[websocket]\nenabled = false\n[inputs.a]\ntype = \"riemann\"\nudp = \"{}\"\n",
            tcp.local_addr().unwrap(),
            udp.local_addr().unwrap()
        );
        let config = config(&text).unwrap();
        let found = ports(&config, None);
        assert_eq!(levels(&found), [Level::Problem, Level::Problem]);
        assert!(found[0].text.starts_with("http cannot listen on") && found[0].fix.starts_with("ss -ltnp"));
        assert!(found[1].text.starts_with("input a udp cannot") && found[1].fix.starts_with("ss -lunp"));
        drop((tcp, udp));
        assert!(ports(&config, None).is_empty());
    }

    #[test]
    fn a_data_directory_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let mut config = config("").unwrap();
        config.data = folder.path().join("file/below");
        let found = data(&config);
        assert!(
            found.iter().any(|finding| finding.level == Level::Problem && finding.text.contains("file")),
            "{found:?}"
        );
        config.data = folder.path().join("not/there/yet");
        assert!(!levels(&data(&config)).contains(&Level::Problem), "it can be made");
        config.log.enabled = false;
        assert_eq!(levels(&data(&config)), [Level::Note]);
    }

    #[test]
    fn room_and_kind_of_the_file_system_are_judged() {
        let judge = |kind: &str, free: u64, used: u64| {
            let mount = |at: &str, kind: &str, free| Mount { at: at.into(), kind: kind.into(), free };
            let mounted = [mount("/", "ext4", 1 << 40), mount("/srv", kind, free)];
            let found = place(Path::new("/srv/x"), Path::new("/srv/none/such"), used, 1 << 30, &mounted);
            found.into_iter().map(|finding| (finding.level, finding.text)).collect::<Vec<_>>()
        };
        assert!(judge("xfs", 2 << 30, 0).is_empty());
        assert!(judge("xfs", 512 << 20, 600 << 20).is_empty(), "it needs no more than it has already");
        assert_eq!(judge("xfs", 512 << 20, 0)[0].0, Level::Warning);
        let (level, text) = judge("xfs", 1 << 20, 0).remove(0);
        assert_eq!(
            (level, text.as_str()),
            (Level::Problem, "/srv/x has 1.0 MiB left: events are refused when it is full")
        );
        assert!(judge("tmpfs", 2 << 30, 0)[0].1.contains("in memory"));
        assert!(judge("nfs4", 2 << 30, 0)[0].1.contains("on nfs4"));
        assert!(judge("fuse.sshfs", 2 << 30, 0)[0].1.contains("fuse.sshfs"));
    }

    #[test]
    fn memory_and_files_are_judged() {
        assert!(judge_memory(16 << 30, 4 << 30, Some(1 << 30)).is_empty());
        assert_eq!(
            levels(&judge_memory(16 << 30, 100 << 20, Some(15 << 30))),
            [Level::Warning, Level::Warning]
        );
        assert!(judge_files(Some((100, 65_536)), Some(1024)).is_empty(), "the node's own limit counts");
        assert_eq!(levels(&judge_files(Some((900, 1024)), None)), [Level::Problem]);
        assert_eq!(levels(&judge_files(Some((10, 1024)), None)), [Level::Warning]);
        assert_eq!(levels(&judge_files(None, Some(256))), [Level::Warning]);
    }
}
