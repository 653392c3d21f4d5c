//! A file with a JSON object per line, for other programs to read.
//!
//! The file is opened for each batch: it may be moved away, be on a disk that was full, or not exist yet, and the next
//! batch finds its way without being told. A line is whole or not there: half a batch is taken back.

use super::kinds::{Kind, Place};
use super::{Delivery, SendError, Sink, json};
use crate::config::Section;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `type = "file"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where.
    pub path: PathBuf,
}

impl Settings {
    /// At this path, all else as it is by default.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Kind for Settings {
    type Sink = File;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        at.required("path", "\"/var/log/tidegate-alerts.ndjson\"").map(Self::at)
    }

    fn sink(&self, _: &Place) -> Result<File, String> {
        Ok(File::new(self.path.clone()))
    }
}

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
        let lines = lines(batch);
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || append(&path, &lines)).await;
        let written = written.map_err(|error| SendError::later(error.to_string()))?;
        written.map_err(|error| SendError::later(format!("{}: {error}", self.path.display())))
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        Ok(String::from_utf8_lossy(&lines(batch)).into_owned())
    }
}

fn lines(batch: &[Arc<Delivery>]) -> Vec<u8> {
    let mut lines = Vec::new();
    for delivery in batch {
        json::write(&mut lines, delivery);
        lines.push(b'\n');
    }
    lines
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
