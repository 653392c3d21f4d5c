//! What the log asks of a disk, and the real one. Tests put a simulated one in its place, which loses what was not synced,
//! tears what was being written, and fails when it is told to.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A folder of files that are only ever appended to, cut and removed.
pub trait Disk: Debug + Send + Sync {
    /// Where a file is, for people; the folder itself if it has no name.
    fn place(&self, name: &str) -> String;
    /// All files.
    fn list(&self) -> io::Result<Vec<Entry>>;
    /// A new file; an error if there is one of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// A file to read from.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Cuts a file down to so many bytes.
    fn truncate(&self, name: &str, len: u64) -> io::Result<()>;
    /// Gives a file another name, all at once.
    fn rename(&self, name: &str, new: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Returns when what was created and removed survives a power cut.
    fn sync_folder(&self) -> io::Result<()>;
}

/// A file of a [`Disk`].
pub trait DiskFile: Debug + Send + Sync {
    /// Appends all of these bytes. After an error nobody knows how many of them are there.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything appended before survives a power cut. After an error nobody knows what does, and asking
    /// again would not tell: the system forgets what it could not write.
    fn sync_data(&self) -> io::Result<()>;
    /// Reads at most so many bytes from a place; 0 at the end.
    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<usize>;
    /// Bytes in it.
    fn size(&self) -> io::Result<u64>;
}

/// A file in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is called.
    pub name: String,
    /// Bytes in it.
    pub size: u64,
    /// How long ago it was written to, if the system knows.
    pub age: Option<Duration>,
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Disk for Folder {
    fn place(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            // Whoever prunes may have removed it since.
            let (Ok(name), Ok(meta)) = (entry.file_name().into_string(), entry.metadata()) else { continue };
            let age = meta.modified().ok().and_then(|at| at.elapsed().ok());
            entries.push(Entry { name, size: meta.len(), age });
        }
        Ok(entries)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().create_new(true).append(true).read(true).open(self.0.join(name))?;
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File::open(self.0.join(name))?))
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.0.join(name))?.set_len(len)
    }

    fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        fs::rename(self.0.join(name), self.0.join(new))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

impl DiskFile for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, to, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
