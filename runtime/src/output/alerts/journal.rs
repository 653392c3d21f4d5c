//! The file in which alerts, silences and what is still to be sent survive the process.
//!
//! ```text
//! data/alerts/alerts.journal     records of framed.rs; the payload of each is one change, whole or not at all
//!
//! payload = entry …
//! entry   = u8 kind | u32 length | MessagePack
//! ```
//!
//! An entry says how something is now, not what happened to it: reading all of them in order gives the present. When most
//! of the file is out of date, it is written anew beside the old one and takes its name.

use super::alert::Alert;
use super::doings::Act;
use super::silence::Silence;
use crate::framed::{self, Frame, Frames};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file is written anew when it is longer than this, and several times as long as when it was last.
const LONG: u64 = 8 << 20;
const TIMES: u64 = 4;

/// What is kept.
#[derive(Debug)]
pub enum Entry {
    /// An alert.
    Alert(Box<Alert>),
    /// An alert of this output and id is not kept any more.
    Gone(String, String),
    /// A silence.
    Silence(Silence),
    /// A silence is not kept any more.
    SilenceGone(String),
    /// Deliveries that an output has taken.
    Seen(String, Vec<u64>),
    /// Something is to be sent.
    Act(u64, Act),
    /// It was.
    Sent(Vec<u64>),
    /// The number that was given last.
    Last(u64),
}

const ALERT: u8 = 1;
const GONE: u8 = 2;
const SILENCE: u8 = 3;
const SILENCE_GONE: u8 = 4;
const SEEN: u8 = 5;
const ACT: u8 = 6;
const SENT: u8 = 7;
const LAST: u8 = 8;

fn put(to: &mut Vec<u8>, kind: u8, value: &impl Serialize) {
    let bytes = rmp_serde::to_vec_named(value).expect("what is kept can be written to memory");
    to.push(kind);
    to.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    to.extend_from_slice(&bytes);
}

fn get<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    rmp_serde::from_slice(bytes).ok()
}

impl Entry {
    /// Appends it.
    pub fn push(&self, to: &mut Vec<u8>) {
        match self {
            Self::Alert(alert) => Self::push_alert(to, alert),
            Self::Gone(output, id) => put(to, GONE, &(output, id)),
            Self::Silence(silence) => put(to, SILENCE, silence),
            Self::SilenceGone(id) => put(to, SILENCE_GONE, id),
            Self::Seen(output, marks) => put(to, SEEN, &(output, marks)),
            Self::Act(number, act) => Self::push_act(to, *number, act),
            Self::Sent(numbers) => put(to, SENT, numbers),
            Self::Last(number) => put(to, LAST, number),
        }
    }

    /// Appends an alert.
    pub fn push_alert(to: &mut Vec<u8>, alert: &Alert) {
        put(to, ALERT, alert);
    }

    /// Appends something to be sent.
    pub fn push_act(to: &mut Vec<u8>, number: u64, act: &Act) {
        put(to, ACT, &(number, act));
    }

    fn read(kind: u8, bytes: &[u8]) -> Option<Self> {
        Some(match kind {
            ALERT => {
                let alert: Alert = get(bytes)?;
                // Whoever reads an alert looks at its latest event.
                (!alert.recent.is_empty()).then(|| Self::Alert(Box::new(alert)))?
            }
            GONE => get(bytes).map(|(output, id)| Self::Gone(output, id))?,
            SILENCE => Self::Silence(get(bytes)?),
            SILENCE_GONE => Self::SilenceGone(get(bytes)?),
            SEEN => get(bytes).map(|(output, marks)| Self::Seen(output, marks))?,
            ACT => get(bytes).map(|(number, act)| Self::Act(number, act))?,
            SENT => Self::Sent(get(bytes)?),
            LAST => Self::Last(get(bytes)?),
            _ => return None,
        })
    }

    /// The entries of a payload; `None` for each that cannot be read.
    fn all(mut payload: &[u8]) -> Vec<Option<Self>> {
        let mut entries = Vec::new();
        while let Some((kind, rest)) = payload.split_first() {
            let parts = rest
                .split_first_chunk::<4>()
                .and_then(|(len, rest)| rest.split_at_checked(u32::from_le_bytes(*len) as usize));
            let Some((bytes, rest)) = parts else {
                entries.push(None);
                break;
            };
            entries.push(Self::read(*kind, bytes));
            payload = rest;
        }
        entries
    }
}

/// The present, as the entries of a file give it.
#[derive(Debug, Default)]
pub struct Present {
    alerts: BTreeMap<(String, String), Box<Alert>>,
    silences: BTreeMap<String, Silence>,
    seen: Vec<(String, Vec<u64>)>,
    acts: BTreeMap<u64, Act>,
    last: u64,
    /// Records and entries that cannot be read.
    pub damaged: u64,
}

impl Present {
    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Alert(alert) => _ = self.alerts.insert((alert.output.clone(), alert.id.clone()), alert),
            Entry::Gone(output, id) => _ = self.alerts.remove(&(output, id)),
            Entry::Silence(silence) => _ = self.silences.insert(silence.id.clone(), silence),
            Entry::SilenceGone(id) => _ = self.silences.remove(&id),
            Entry::Seen(output, marks) => self.seen.push((output, marks)),
            Entry::Act(number, act) => _ = self.acts.insert(number, act),
            Entry::Sent(numbers) => numbers.iter().for_each(|number| _ = self.acts.remove(number)),
            Entry::Last(number) => self.last = self.last.max(number),
        }
    }

    fn of(bytes: &[u8]) -> Self {
        let mut present = Self::default();
        let Some(frames) = Frames::of(bytes) else { return Self { damaged: 1, ..present } };
        for frame in frames {
            match frame {
                Frame::Damaged(_) => present.damaged += 1,
                Frame::Record { payload, .. } => {
                    for entry in Entry::all(payload) {
                        match entry {
                            Some(entry) => present.take(entry),
                            None => present.damaged += 1,
                        }
                    }
                }
            }
        }
        present
    }

    /// Everything, each as one entry.
    pub fn entries(self) -> impl Iterator<Item = Entry> {
        let alerts = self.alerts.into_values().map(Entry::Alert);
        let silences = self.silences.into_values().map(Entry::Silence);
        let seen = self.seen.into_iter().map(|(output, marks)| Entry::Seen(output, marks));
        let acts = self.acts.into_iter().map(|(number, act)| Entry::Act(number, act));
        let last = std::iter::once(Entry::Last(self.last));
        alerts.chain(silences).chain(seen).chain(acts).chain(last)
    }
}

/// The file.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    open: Option<(File, u64)>,
    number: u64,
    bytes: u64,
    /// How long it was when it was last written anew.
    fresh: u64,
}

impl Journal {
    /// Reads the file in this folder, which is made if need be. Nothing can be appended before it is written anew.
    pub fn open(folder: &Path) -> io::Result<(Self, Present)> {
        fs::create_dir_all(folder).map_err(said(folder))?;
        let path = folder.join("alerts.journal");
        let present = match fs::read(&path) {
            Ok(bytes) => Present::of(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Present::default(),
            Err(error) => return Err(said(&path)(error)),
        };
        Ok((Self { path, open: None, number: 0, bytes: 0, fresh: 0 }, present))
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is time to write it anew: it is long for what it holds, or the last attempt to write failed.
    pub fn is_stale(&self) -> bool {
        self.open.is_none() || self.bytes > LONG.max(self.fresh * TIMES)
    }

    /// Appends a change; `sync` waits until it survives a power cut.
    pub fn append(&mut self, payload: &[u8], sync: bool) -> io::Result<()> {
        let Some((file, salt)) = &mut self.open else {
            return Err(io::Error::other("the journal of the alerts could not be written before"));
        };
        let mut record = Vec::with_capacity(payload.len() + framed::RECORD_HEAD);
        self.number += 1;
        framed::push(&mut record, *salt, self.number, &[payload]);
        let written = file.write_all(&record).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        self.bytes += record.len() as u64;
        if written.is_err() {
            // What is there of it may be half a record: the next one begins in a new file.
            self.open = None;
        }
        written.map_err(said(&self.path))
    }

    /// Writes the file anew.
    pub fn renew(&mut self, payloads: &[Vec<u8>]) -> io::Result<()> {
        self.open = None;
        let new = self.path.with_extension("new");
        let (head, salt) = framed::head();
        let mut bytes = head.to_vec();
        for payload in payloads {
            self.number += 1;
            framed::push(&mut bytes, salt, self.number, &[payload]);
        }
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).open(&new).map_err(said(&new))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(said(&new))?;
        fs::rename(&new, &self.path).map_err(said(&self.path))?;
        if let Some(folder) = self.path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(said(folder))?;
        }
        (self.bytes, self.fresh) = (bytes.len() as u64, bytes.len() as u64);
        self.open = Some((file, salt));
        Ok(())
    }
}

fn said(path: &Path) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
