//! A file with a line per event, for other programs to read: JSON, or what a template says.
//!
//! The file is opened for each batch: it may be moved away, be on a disk that was full, or not exist yet, and the next
//! batch finds its way without being told. A line is whole or not there: half a batch is taken back. When it is large or old
//! enough it becomes `PATH.1`, what was that becomes `PATH.2`, and so on; the oldest goes.

use super::encode::{Encoded, encode};
use super::kinds::{Kind, Place};
use super::template::{self, Template};
use super::{Delivery, SendError, Sink, json};
use crate::clock;
use crate::config::Section;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// `type = "file"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where.
    pub path: PathBuf,
    /// What a line says, if not JSON.
    pub template: Option<Template>,
    /// When a new file is begun.
    pub rotation: Rotation,
}

/// When a new file is begun, and how many old ones stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Before it has more bytes than this.
    pub size: Option<u64>,
    /// When it is as old as this.
    pub age: Option<Duration>,
    /// Old files that stay.
    pub keep: usize,
}

impl Settings {
    /// At this path, all else as it is by default.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), template: None, rotation: Rotation::default() }
    }
}

impl Kind for Settings {
    type Sink = File;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let template = template::read(at, "template", "\"{{ time }} {{ host }} {{ service }} {{ state }}\"");
        let rotation = Rotation {
            size: at.size_if_given("rotate_size", ("1KiB", "1TiB")),
            age: at.time_if("rotate_every", ("1s", "36500d"), "1d"),
            keep: at.count("keep", 0..=1000, 5) as usize,
        };
        let path = at.required("path", "\"/var/log/tidegate-alerts.ndjson\"")?.into();
        Some(Self { path, template, rotation })
    }

    fn sink(&self, _: &Place) -> Result<File, String> {
        Ok(File(Arc::new(self.clone())))
    }
}

/// Appends to a file.
#[derive(Debug)]
pub struct File(Arc<Settings>);

impl File {
    fn encode(&self, batch: &[Arc<Delivery>]) -> Encoded {
        encode(batch, |to, delivery| {
            match &self.0.template {
                None => json::write(to, delivery),
                Some(template) => {
                    let text = template.render(delivery)?;
                    to.extend_from_slice(text.strip_suffix('\n').unwrap_or(&text).as_bytes());
                }
            }
            to.push(b'\n');
            Ok(())
        })
    }
}

impl Sink for File {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let mut encoded = self.encode(batch);
        let lines = std::mem::take(&mut encoded.body);
        if !lines.is_empty() {
            let settings = self.0.clone();
            let written = tokio::task::spawn_blocking(move || {
                settings.rotation.rotate(&settings.path, lines.len() as u64)?;
                append(&settings.path, &lines)
            });
            let written = written.await.map_err(|error| SendError::later(error.to_string()))?;
            written.map_err(|error| SendError::later(format!("{}: {error}", self.0.path.display())))?;
        }
        encoded.sent()
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        self.encode(batch).preview()
    }
}

impl Rotation {
    /// Moves files on if this much more would be too much, or time has come.
    fn rotate(&self, path: &Path, more: u64) -> io::Result<()> {
        let Ok(known) = fs::metadata(path) else { return Ok(()) };
        if !known.is_file() || known.len() == 0 {
            return Ok(());
        }
        let large = self.size.is_some_and(|most| known.len() + more > most);
        // Not every file system knows when a file was made.
        let born = known.created().or_else(|_| known.modified());
        let now = UNIX_EPOCH + Duration::from_micros(clock::now().0.unsigned_abs());
        let age = born.ok().and_then(|born| now.duration_since(born).ok()).unwrap_or_default();
        if !large && self.age.is_none_or(|most| age < most) {
            return Ok(());
        }
        let old = |n: usize| match n {
            0 => path.to_owned(),
            n => PathBuf::from(format!("{}.{n}", path.display())),
        };
        if self.keep == 0 {
            return fs::remove_file(path);
        }
        for n in (0..self.keep).rev() {
            match fs::rename(old(n), old(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
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
    let mut file = fs::File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}
