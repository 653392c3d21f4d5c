//! Machine code on disk, so that a restart need not compile again. **The fence**: the only unsafe block of this crate.
//!
//! Wasmtime loads machine code without looking at it, so whoever can write these files could run anything in this
//! process. Therefore each file is bound by a keyed BLAKE3 to the module it was made from, to the engine's exact version
//! and settings, and to a secret key in the data directory:
//!
//! ```text
//! artefact.key        32 random bytes, mode 0600; others cannot read it, or it is replaced
//! artefacts/NAME      32 bytes MAC over (NAME, code) | code
//! NAME                digest of the module - hash of the engine's version and settings
//! ```
//!
//! A file whose MAC is wrong is counted, deleted and made anew. The folder is bounded; the oldest files go first. What a
//! process of its own has compiled (`apart.rs`) comes in the same form, under a key that was drawn for that one answer.
//!
//! What this does not guard against: somebody who can read the key has this process's rights already.

use crate::engine::Engine;
use blake3::Hasher;
use std::fs::{self, File, OpenOptions};
use std::hash::Hash;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Name of the file that holds the key.
const KEY_FILE: &str = "artefact.key";
/// Name of the folder of artefacts.
const FOLDER: &str = "artefacts";
/// Length of the key and of a MAC.
pub(crate) const KEY: usize = 32;
/// The most files in the folder.
const FILES_MAX: usize = 512;
/// The largest file: a module of the largest size compiles to less.
pub(crate) const FILE_MAX: u64 = 128 << 20;

/// Tells machine code of ours from any other.
pub(crate) struct Seal {
    pub(crate) key: [u8; KEY],
    suffix: String,
}

impl Seal {
    /// The seal of one engine under a key.
    pub(crate) fn new(key: [u8; KEY], engine: &Engine) -> Self {
        let mut hasher = Settings(Hasher::new());
        engine.wasmtime.precompile_compatibility_hash().hash(&mut hasher);
        let suffix = hasher.0.finalize().to_hex()[..16].to_owned();
        Self { key, suffix }
    }

    /// The same under a key that nobody has seen.
    pub(crate) fn fresh(engine: &Engine) -> io::Result<Self> {
        Ok(Self::new(draw_key()?, engine))
    }

    fn name(&self, digest: &str) -> String {
        format!("{digest}-{}", self.suffix)
    }

    /// The MAC of the machine code of the module with that digest.
    pub(crate) fn mac(&self, digest: &str, code: &[u8]) -> blake3::Hash {
        let name = self.name(digest);
        let mut hasher = Hasher::new_keyed(&self.key);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(code);
        hasher.finalize()
    }

    /// The module in sealed bytes, and its machine code; or why they are not ours.
    pub(crate) fn open<'b>(
        &self,
        engine: &Engine,
        digest: &str,
        sealed: &'b [u8],
    ) -> Result<(wasmtime::Module, &'b [u8]), String> {
        let (mac, code) = sealed.split_first_chunk::<KEY>().ok_or("it is cut short")?;
        // The comparison of hashes takes the same time wherever they differ.
        if self.mac(digest, code) != blake3::Hash::from_bytes(*mac) {
            return Err("its MAC is not ours".to_owned());
        }
        let module = deserialize(engine, code).map_err(|error| format!("{error:#}"))?;
        Ok((module, code))
    }
}

/// The artefacts of one data directory and one engine.
pub(crate) struct Artefacts {
    folder: PathBuf,
    seal: Seal,
    serial: AtomicU64,
}

/// What was found under a digest.
pub(crate) enum Found {
    /// Machine code of ours.
    Module(wasmtime::Module),
    /// Nothing.
    Nothing,
    /// Something that is not ours, or is damaged; it has been deleted.
    Rejected,
}

impl Artefacts {
    /// Opens the folder in a data directory, and makes the key if there is none that can be trusted.
    pub(crate) fn open(data: &Path, engine: &Engine) -> io::Result<Self> {
        let folder = data.join(FOLDER);
        fs::create_dir_all(&folder)?;
        restrict(&folder, 0o700)?;
        let seal = Seal::new(open_key(&data.join(KEY_FILE))?, engine);
        Ok(Self { folder, seal, serial: AtomicU64::new(0) })
    }

    /// The module of that digest, if this host has compiled it before.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Found {
        let path = self.folder.join(self.seal.name(digest));
        let bytes = match read_at_most(&path, FILE_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return self.reject(&path, "it is larger than any artefact"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => return self.reject(&path, &error.to_string()),
        };
        match self.seal.open(engine, digest, &bytes) {
            Ok((module, _)) => Found::Module(module),
            Err(reason) => self.reject(&path, &reason),
        }
    }

    fn reject(&self, path: &Path, reason: &str) -> Found {
        tracing::warn!(path = %path.display(), reason, "compiled module rejected, compiling it again");
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "the rejected file cannot be deleted");
        }
        Found::Rejected
    }

    /// Keeps the machine code of a module, as wasmtime's `serialize` gave it: whole or not at all.
    pub(crate) fn store(&self, digest: &str, code: &[u8]) -> io::Result<()> {
        let name = self.seal.name(digest);
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!(".new-{}-{serial}", std::process::id()));
        let write = || {
            let mut file = private_file(&temporary)?;
            file.write_all(self.seal.mac(digest, code).as_bytes())?;
            file.write_all(code)?;
            fs::rename(&temporary, self.folder.join(&name))
        };
        write().inspect_err(|_| {
            // Whatever was written is of no use.
            let _ = fs::remove_file(&temporary);
        })?;
        self.prune()
    }

    /// Deletes what was compiled from a module, by whichever version.
    pub(crate) fn remove(&self, digest: &str) {
        let begins = format!("{digest}-");
        let all = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in all.filter(|entry| entry.file_name().to_string_lossy().starts_with(&begins)) {
            if let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "a compiled module is not deleted");
            }
        }
    }

    /// Deletes the oldest files beyond the bound. A module that is still wanted is compiled again when it is next started.
    fn prune(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.folder)?
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
            })
            .collect();
        if files.len() > FILES_MAX {
            files.sort();
            for (_, path) in &files[..files.len() - FILES_MAX] {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Loads machine code that [`Seal::open`] has found to be ours.
#[allow(unsafe_code)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<wasmtime::Module> {
    // SAFETY: `deserialize` demands that the bytes are what wasmtime itself wrote by `Module::serialize`, unmodified.
    // The one caller is `Seal::open` above, which has just verified a keyed MAC over these very bytes, in memory, where
    // no other process can change them. Such MACs are made in two places, both over the output of `serialize`:
    // `Artefacts::store`, whose key was drawn at random, is readable by this user alone, and is never sent or logged; and
    // `apart::serve`, in a process that this one has started from its own program, with a key that was drawn for it alone
    // and sent through a pipe that nobody else holds. The MAC covers the engine's version and settings, so code of
    // another wasmtime does not get here either.
    unsafe { wasmtime::Module::deserialize(&engine.wasmtime, code) }
}

/// Lets std's hashing write into BLAKE3: the same on every run, unlike the standard hasher.
struct Settings(Hasher);

impl std::hash::Hasher for Settings {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(head)
    }
}

/// The bytes of a file, or `None` when there are more than so many.
fn read_at_most(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let expected = file.metadata()?.len().min(max);
    let mut bytes = Vec::with_capacity(expected as usize);
    file.take(max + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max).then_some(bytes))
}

fn open_key(path: &Path) -> io::Result<[u8; KEY]> {
    match read_at_most(path, KEY as u64) {
        Ok(Some(bytes)) if is_private(path)? => match bytes.try_into() {
            Ok(key) => return Ok(key),
            Err(_) => {
                tracing::warn!(path = %path.display(), "the key of compiled modules has a wrong length, replaced")
            }
        },
        Ok(_) => {
            tracing::warn!(path = %path.display(), "others could read the key of compiled modules, or it is none: replaced");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let key = draw_key()?;
    let temporary = path.with_extension("key.new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private_file(&temporary)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok(key)
}

fn draw_key() -> io::Result<[u8; KEY]> {
    let mut key = [0; KEY];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

/// A new file that only this user can read.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn is_private(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 == 0)
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Elsewhere the data directory's own permissions are what there is.
#[cfg(not(unix))]
fn is_private(_: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(not(unix))]
fn restrict(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
