//! Modules by digest: in a folder of the data directory, or in memory when there is none.
//!
//! ```text
//! modules/DIGEST.wasm         the module; its time of change is when it was last seen in use
//! modules/DIGEST.damaged      what was found under that name and is not that module
//! ```
//!
//! A module is written whole or not at all, and is on disk before the log says that it is deployed. What is read is
//! checked against its digest. What nothing has used for long is let go.

use crate::clock;
use dashmap::DashMap;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tidegate_event::{Span, Timestamp};
use tidegate_wasm::{ModuleStore, digest};

/// Where modules are kept.
#[derive(Debug)]
pub enum Modules {
    /// In files named by digest.
    Folder(PathBuf),
    /// For as long as the process lives.
    Memory(DashMap<String, (Timestamp, Vec<u8>)>),
}

/// A module that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its digest.
    pub digest: String,
    /// Its size.
    pub bytes: u64,
    /// When it was last seen in use.
    pub last_used: Timestamp,
}

impl Modules {
    /// Keeps modules in a folder, which is made if need be.
    pub fn folder(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self::Folder(folder))
    }

    /// Keeps modules in memory.
    pub fn memory() -> Self {
        Self::Memory(DashMap::new())
    }

    /// Keeps a module: when this returns it survives power loss. Its file appears whole or not at all.
    pub fn keep(&self, digest: &str, wasm: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory(modules) => {
                modules.insert(digest.to_owned(), (clock::now(), wasm.to_vec()));
            }
            Self::Folder(folder) => {
                // One that is damaged is moved away by looking at it.
                if self.load(digest).is_some() {
                    return self.touch(digest);
                }
                let mut file = tempfile::NamedTempFile::new_in(folder)?;
                file.write_all(wasm)?;
                file.as_file().sync_all()?;
                file.persist(path(folder, digest)).map_err(|failed| failed.error)?;
                File::open(folder)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// What is kept, by digest.
    pub fn list(&self) -> io::Result<Vec<Kept>> {
        let mut all = Vec::new();
        match self {
            Self::Memory(modules) => all.extend(modules.iter().map(|entry| {
                let (digest, (last_used, wasm)) = entry.pair();
                Kept { digest: digest.clone(), bytes: wasm.len() as u64, last_used: *last_used }
            })),
            Self::Folder(folder) => {
                for entry in fs::read_dir(folder)? {
                    let (entry, name) = entry.map(|entry| (entry.metadata(), entry.file_name()))?;
                    let name = name.to_string_lossy();
                    let digest = name.strip_suffix(".wasm").filter(|digest| is_digest(digest));
                    if let (Ok(found), Some(digest)) = (entry, digest) {
                        let last_used = timestamp(found.modified()?);
                        all.push(Kept { digest: digest.to_owned(), bytes: found.len(), last_used });
                    }
                }
            }
        }
        all.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(all)
    }

    /// Notes which are in use, and lets the others go that have not been for so long. Says which.
    pub fn collect(&self, used: &BTreeSet<String>, grace: Span) -> io::Result<Vec<Kept>> {
        let now = clock::now();
        let mut gone = Vec::new();
        for kept in self.list()? {
            if used.contains(&kept.digest) {
                self.touch(&kept.digest)?;
            } else if now - kept.last_used >= grace {
                match self {
                    Self::Memory(modules) => drop(modules.remove(&kept.digest)),
                    Self::Folder(folder) => fs::remove_file(path(folder, &kept.digest))?,
                }
                gone.push(kept);
            }
        }
        Ok(gone)
    }

    /// Notes that a module is in use.
    fn touch(&self, digest: &str) -> io::Result<()> {
        match self {
            Self::Memory(modules) => {
                if let Some(mut module) = modules.get_mut(digest) {
                    module.0 = clock::now();
                }
                Ok(())
            }
            Self::Folder(folder) => {
                let now = SystemTime::UNIX_EPOCH + Duration::from_micros(clock::now().0.unsigned_abs());
                File::options().append(true).open(path(folder, digest))?.set_modified(now)
            }
        }
    }
}

impl ModuleStore for Modules {
    fn load(&self, wanted: &str) -> Option<Vec<u8>> {
        match self {
            Self::Memory(modules) => modules.get(wanted).map(|module| module.1.clone()),
            // The digest may come from outside: only hex becomes a file's name.
            Self::Folder(folder) if is_digest(wanted) => {
                let path = path(folder, wanted);
                let wasm = fs::read(&path).ok()?;
                if digest(&wasm) == wanted {
                    return Some(wasm);
                }
                let aside = path.with_extension("damaged");
                let moved = fs::rename(&path, &aside);
                tracing::error!(
                    path = %path.display(),
                    moved = moved.is_ok(),
                    "a module is not what its name says and was moved away: deploy it again"
                );
                None
            }
            Self::Folder(_) => None,
        }
    }
}

fn is_digest(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit())
}

fn path(folder: &Path, digest: &str) -> PathBuf {
    folder.join(format!("{digest}.wasm"))
}

fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stores() -> (tempfile::TempDir, [Modules; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let modules = [Modules::folder(folder.path().join("modules")).unwrap(), Modules::memory()];
        (folder, modules)
    }

    #[test]
    fn what_is_kept_is_found_and_what_nobody_uses_is_let_go_after_its_time() {
        let (_folder, stores) = stores();
        for modules in stores {
            let (one, other) = (digest(b"one"), digest(b"other"));
            modules.keep(&one, b"one").unwrap();
            modules.keep(&one, b"one").unwrap();
            modules.keep(&other, b"other").unwrap();
            assert_eq!(modules.load(&one).as_deref(), Some(b"one".as_slice()));
            assert_eq!(modules.list().unwrap().len(), 2);
            let used = BTreeSet::from([one.clone()]);
            assert_eq!(modules.collect(&used, Span::minutes(1)).unwrap(), []);
            let gone = modules.collect(&used, Span::ZERO).unwrap();
            assert_eq!(gone.iter().map(|kept| (&kept.digest, kept.bytes)).collect::<Vec<_>>(), [(&other, 5)]);
            assert!(modules.load(&other).is_none() && modules.load(&one).is_some());
        }
    }

    #[test]
    fn a_module_that_was_seen_in_use_begins_its_time_anew() {
        let folder = tempfile::tempdir().unwrap();
        let modules = Modules::folder(folder.path().to_owned()).unwrap();
        let one = digest(b"one");
        modules.keep(&one, b"one").unwrap();
        let file = File::options().append(true).open(path(folder.path(), &one)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
        assert_eq!(modules.collect(&BTreeSet::from([one]), Span::minutes(1)).unwrap(), []);
        assert_eq!(modules.collect(&BTreeSet::new(), Span::minutes(1)).unwrap(), [], "it was just used");
    }

    #[test]
    fn a_damaged_module_is_none_until_it_is_sent_again() {
        let folder = tempfile::tempdir().unwrap();
        let modules = Modules::folder(folder.path().to_owned()).unwrap();
        let one = digest(b"one");
        fs::write(path(folder.path(), &one), b"on?").unwrap();
        assert_eq!(modules.load(&one), None);
        assert_eq!(fs::read(folder.path().join(format!("{one}.damaged"))).unwrap(), b"on?");
        modules.keep(&one, b"one").unwrap();
        assert_eq!(modules.load(&one).as_deref(), Some(b"one".as_slice()));
    }

    #[test]
    fn only_digests_become_names_of_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret.wasm"), b"x").unwrap();
        let modules = Modules::folder(folder.path().join("modules")).unwrap();
        assert_eq!(modules.load("../secret"), None);
        assert_eq!(modules.load(""), None);
    }
}
