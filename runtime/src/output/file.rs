//! A file with a JSON object per line, for other programs to read.
//!
//! The file is opened for each batch: it may be moved away, be on a disk that was full, or not exist yet, and the next
//! batch finds its way without being told. A line is whole or not there: half a batch is taken back.

use super::{Delivery, SendError, Sink, json};
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Appends to a file.
#[derive(Debug)]
pub struct File {
    path: Arc<Path>,
}

impl File {
    /// At this path; it need not exist.
    pub fn new(path: PathBuf) -> Self {
        Self { path: path.into() }
    }
}

impl Sink for File {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let mut lines = Vec::new();
        for delivery in batch {
            json::write(&mut lines, delivery);
            lines.push(b'\n');
        }
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || append(&path, &lines)).await;
        let written = written.map_err(|error| SendError::later(error.to_string()))?;
        written.map_err(|error| SendError::later(format!("{}: {error}", self.path.display())))
    }
}

/// Appends all or nothing. Where taking back fails, or somebody died in the middle of a line, the next begins a new one.
fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let before = file.metadata()?;
    let torn = before.is_file() && before.len() > 0 && last_byte(path)? != b'\n';
    let start: &[u8] = if torn { b"\n" } else { b"" };
    let written = file.write_all(start).and_then(|()| file.write_all(lines));
    if written.is_err() && before.is_file() {
        let _ = file.set_len(before.len());
    }
    written
}

fn last_byte(path: &Path) -> io::Result<u8> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}
