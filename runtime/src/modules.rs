//! Modules by digest: in a folder of the data directory, or in memory when there is none.

use dashmap::DashMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use tidegate_wasm::ModuleStore;

/// Where modules are kept.
#[derive(Debug)]
pub enum Modules {
    /// In files named by digest.
    Folder(PathBuf),
    /// For as long as the process lives.
    Memory(DashMap<String, Vec<u8>>),
}

impl Modules {
    /// Keeps modules in a folder, which is made if need be.
    pub fn folder(folder: PathBuf) -> std::io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self::Folder(folder))
    }

    /// Keeps modules in memory.
    pub fn memory() -> Self {
        Self::Memory(DashMap::new())
    }

    /// Keeps a module. Its file appears whole or not at all.
    pub fn keep(&self, digest: &str, wasm: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Memory(modules) => {
                modules.insert(digest.to_owned(), wasm.to_vec());
            }
            Self::Folder(folder) => {
                let path = folder.join(format!("{digest}.wasm"));
                if path.exists() {
                    return Ok(());
                }
                let mut file = tempfile::NamedTempFile::new_in(folder)?;
                file.write_all(wasm)?;
                file.as_file().sync_all()?;
                file.persist(&path).map_err(|failed| failed.error)?;
            }
        }
        Ok(())
    }
}

impl ModuleStore for Modules {
    fn load(&self, digest: &str) -> Option<Vec<u8>> {
        match self {
            Self::Memory(modules) => modules.get(digest).map(|wasm| wasm.clone()),
            // The digest may come from outside: only hex becomes a file's name.
            Self::Folder(folder) if digest.chars().all(|c| c.is_ascii_hexdigit()) => {
                fs::read(folder.join(format!("{digest}.wasm"))).ok()
            }
            Self::Folder(_) => None,
        }
    }
}
