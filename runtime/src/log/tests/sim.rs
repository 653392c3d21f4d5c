//! A disk that exists only in memory and can be treated badly: a power cut drops, reorders and tears what was not synced,
//! files and their names each for themselves; calls fail; there is no room left.

use crate::log::disk::{Disk, DiskFile, Entry};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What a disk writes as a whole.
const SECTOR: usize = 64;

/// The disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<Sim>>);

/// What is on it.
#[derive(Debug, Default)]
pub struct Sim {
    files: Vec<Inode>,
    /// Names as programs see them.
    names: BTreeMap<String, usize>,
    /// Names as they are found after a power cut.
    safe_names: BTreeMap<String, usize>,
    /// Bytes for which there is room.
    pub room: Option<usize>,
    /// The calls that fail, counted down: a call that comes to 0 fails, and all after it while this is `Some(0)`.
    pub fails_in: Option<u32>,
    /// How many syncs of files fail from now on.
    pub sync_fails: u32,
    /// Every call that changes something.
    pub calls: u32,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    safe: Vec<u8>,
    /// What a failed sync has forgotten: never written, whatever later syncs say.
    forgotten: Vec<std::ops::Range<usize>>,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
}

fn broken(what: &str) -> io::Error {
    io::Error::other(format!("simulated: {what}"))
}

impl SimDisk {
    /// To look inside, or to make trouble.
    pub fn sim(&self) -> MutexGuard<'_, Sim> {
        self.0.lock().unwrap()
    }

    /// The names of all files with their lengths.
    pub fn files(&self) -> Vec<(String, usize)> {
        let sim = self.sim();
        sim.names.iter().map(|(name, inode)| (name.clone(), sim.files[*inode].bytes.len())).collect()
    }

    /// Flips a bit, in memory and on the medium.
    pub fn flip(&self, name: &str, at: usize, bit: u32) {
        let mut sim = self.sim();
        let inode = sim.names[name];
        let file = &mut sim.files[inode];
        for bytes in [&mut file.bytes, &mut file.safe] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// Ends all trouble; what is on the disk stays.
    pub fn repair(&self) {
        let mut sim = self.sim();
        (sim.room, sim.fails_in, sim.sync_fails) = (None, None, 0);
    }

    /// The power goes and comes back.
    pub fn cut_power(&self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut sim = self.sim();
        let Sim { files, names, safe_names, .. } = &mut *sim;
        for (name, inode) in names.iter() {
            if !safe_names.contains_key(name) && random.bool() {
                safe_names.insert(name.clone(), *inode);
            }
        }
        safe_names.retain(|name, _| names.contains_key(name) || random.bool());
        *names = safe_names.clone();
        for file in files {
            let mut found = file.safe.clone();
            let cut_back = file.bytes.len() < found.len() && random.bool();
            if cut_back {
                found.truncate(file.bytes.len());
            }
            if file.bytes.len() > found.len() {
                let from = found.len();
                let to = random.usize(from..=file.bytes.len());
                // Sectors arrive in any order; one may be written in part.
                found.resize(to, 0);
                for start in (from..to).step_by(SECTOR) {
                    let end = (start + SECTOR).min(to);
                    let end = if random.u8(..8) == 0 { random.usize(start..=end) } else { end };
                    if random.u8(..4) > 0 {
                        found[start..end].copy_from_slice(&file.bytes[start..end]);
                    }
                }
                for forgotten in &file.forgotten {
                    let end = forgotten.end.min(found.len());
                    if forgotten.start < end {
                        found[forgotten.start..end].fill(0);
                    }
                }
            }
            *file = Inode { bytes: found.clone(), safe: found, forgotten: Vec::new() };
        }
        (sim.room, sim.fails_in, sim.sync_fails) = (None, None, 0);
    }

    fn call(&self, what: &str) -> io::Result<MutexGuard<'_, Sim>> {
        let mut sim = self.sim();
        sim.calls += 1;
        match &mut sim.fails_in {
            Some(0) => Err(broken(what)),
            Some(left) => {
                *left -= 1;
                if *left == 0 {
                    // This one and no other: whoever tries again finds it working.
                    sim.fails_in = None;
                    return Err(broken(what));
                }
                Ok(sim)
            }
            None => Ok(sim),
        }
    }
}

impl Disk for SimDisk {
    fn place(&self, name: &str) -> String {
        format!("simulated/{name}")
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        let entry = |(name, size)| Entry { name, size: size as u64, age: Some(Duration::ZERO) };
        Ok(self.files().into_iter().map(entry).collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut sim = self.call("create")?;
        if sim.room == Some(0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if sim.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = sim.files.len();
        sim.files.push(Inode::default());
        sim.names.insert(name.to_owned(), inode);
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = *self.sim().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let mut sim = self.call("truncate")?;
        let inode = *sim.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let freed = sim.files[inode].bytes.len().saturating_sub(len as usize);
        sim.files[inode].bytes.truncate(len as usize);
        sim.room = sim.room.map(|room| room + freed);
        Ok(())
    }

    fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        let mut sim = self.call("rename")?;
        let inode = sim.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        sim.names.insert(new.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut sim = self.call("remove")?;
        let inode = sim.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        let freed = sim.files[inode].bytes.len();
        sim.room = sim.room.map(|room| room + freed);
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut sim = self.call("sync of the folder")?;
        sim.safe_names = sim.names.clone();
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let called = self.disk.call("append");
        let failed = called.is_err();
        drop(called);
        let mut sim = self.disk.sim();
        let room = sim.room.unwrap_or(usize::MAX);
        // A call that fails has written some of it.
        let fits = bytes.len().min(room).min(if failed { bytes.len() / 2 } else { usize::MAX });
        sim.files[self.inode].bytes.extend_from_slice(&bytes[..fits]);
        sim.room = sim.room.map(|room| room - fits);
        match fits == bytes.len() && !failed {
            true => Ok(()),
            false if failed => Err(broken("append")),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut sim = self.disk.call("sync")?;
        let fails = sim.sync_fails > 0;
        sim.sync_fails = sim.sync_fails.saturating_sub(1);
        let file = &mut sim.files[self.inode];
        if fails {
            // The system forgets what it could not write: it takes it for written from now on.
            file.forgotten.push(file.safe.len()..file.bytes.len());
            return Err(broken("sync"));
        }
        file.safe = file.bytes.clone();
        for forgotten in &file.forgotten {
            let end = forgotten.end.min(file.safe.len());
            if forgotten.start < end {
                file.safe[forgotten.start..end].fill(0);
            }
        }
        Ok(())
    }

    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<usize> {
        let sim = self.disk.sim();
        let bytes = sim.files[self.inode].bytes.get(at as usize..).unwrap_or_default();
        // Not all at once, as a disk may.
        let len = bytes.len().min(to.len()).min(1000);
        to[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.sim().files[self.inode].bytes.len() as u64)
    }
}
