//! The data directory: one owner at a time, and the seed that was drawn when it was made.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The version of what is kept in a data directory.
const FORMAT: u32 = 1;

/// A data directory that this process owns until the value is dropped.
#[derive(Debug)]
pub struct Data {
    /// Where it is.
    pub folder: PathBuf,
    /// The seed of key ids.
    pub seed: u64,
    _lock: File,
}

/// `node.json`
#[derive(Serialize, Deserialize)]
struct Identity {
    format: u32,
    seed: String,
}

impl Data {
    /// Opens a data directory, and makes it if it is not there. Refuses one that another process owns, or that a newer
    /// version made; neither is touched.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let at = folder.display();
        fs::create_dir_all(folder).with_context(|| format!("the data directory {at} cannot be made"))?;
        let lock = File::create(folder.join("lock"))
            .with_context(|| format!("the data directory {at} cannot be written to"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("the data directory {at} belongs to another running tidegate: stop it, or use --data")
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("the data directory {at} cannot be locked"));
            }
        }
        let seed = identity(&folder.join("node.json"))?;
        Ok(Self { folder: folder.to_owned(), seed, _lock: lock })
    }
}

/// The seed of a data directory, looked at without owning it; none where there is no data directory.
pub fn seed_of(folder: &Path) -> Option<u64> {
    let identity: Identity = serde_json::from_slice(&fs::read(folder.join("node.json")).ok()?).ok()?;
    u64::from_str_radix(&identity.seed, 16).ok()
}

fn identity(path: &Path) -> anyhow::Result<u64> {
    let at = path.display();
    match fs::read(path) {
        Ok(bytes) => {
            let identity: Identity =
                serde_json::from_slice(&bytes).with_context(|| format!("{at} cannot be read"))?;
            if identity.format != FORMAT {
                bail!(
                    "{at} has format {}, this version knows {FORMAT}: run the version that made it",
                    identity.format
                );
            }
            u64::from_str_radix(&identity.seed, 16)
                .with_context(|| format!("the seed in {at} is not a number"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let seed = draw_seed();
            let identity = Identity { format: FORMAT, seed: format!("{seed:016x}") };
            let folder = path.parent().unwrap_or(Path::new("."));
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&serde_json::to_vec_pretty(&identity)?)?;
            file.as_file().sync_all()?;
            file.persist(path).with_context(|| format!("{at} cannot be written"))?;
            Ok(seed)
        }
        Err(error) => Err(error).with_context(|| format!("{at} cannot be read")),
    }
}

/// A seed that nobody outside can guess.
pub fn draw_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // Two differently keyed hashes of nothing: the keys come from the system's random numbers.
    RandomState::new().hash_one(0u8) ^ RandomState::new().hash_one(1u8).rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_and_keeps_its_seed() {
        let folder = tempfile::tempdir().unwrap();
        let first = Data::open(folder.path()).unwrap();
        let error = Data::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("belongs to another running tidegate"), "{error}");
        let seed = first.seed;
        drop(first);
        assert_eq!(Data::open(folder.path()).unwrap().seed, seed);
    }

    #[test]
    fn a_directory_of_a_newer_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let newer = r#"{"format": 2, "seed": "00"}"#;
        fs::write(folder.path().join("node.json"), newer).unwrap();
        assert!(Data::open(folder.path()).unwrap_err().to_string().contains("format 2"));
        assert_eq!(fs::read_to_string(folder.path().join("node.json")).unwrap(), newer);
    }
}
