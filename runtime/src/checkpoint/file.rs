//! One checkpoint as a file, and finding the newest one that is sound.

use super::CHAIN;
use crate::log::Standing;
use anyhow::{Context, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use tidegate_engine::save::{Saved, Slice};

const MAGIC: &[u8; 8] = b"TGSAVE\0\x01";
/// No record is longer: a length beyond it is damage.
const RECORD_MAX: usize = 256 << 20;

/// What a checkpoint is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Everything up to and including this position is in it.
    pub position: u64,
    /// The time of that position, in microseconds.
    pub now: i64,
    /// The checkpoint that it names things of; none when it is whole.
    pub base: Option<u64>,
    /// How many shards there were.
    pub shards: usize,
    /// Every deployed rule.
    pub rules: Vec<Standing>,
}

/// The end of a file: without it the file is not whole.
#[derive(Debug, Serialize, Deserialize)]
struct Tail {
    slices: u64,
}

/// A checkpoint that was read.
#[derive(Debug)]
pub struct Loaded {
    /// What it is of.
    pub head: Head,
    /// What was known.
    pub saved: Saved,
    /// Newer ones that could not be read, each with the reason.
    pub damaged: Vec<(PathBuf, String)>,
}

/// A checkpoint that is being written.
#[derive(Debug)]
pub struct Writing {
    path: PathBuf,
    file: BufWriter<File>,
    slices: u64,
    /// Bytes so far.
    pub bytes: u64,
}

fn path_of(folder: &Path, position: u64) -> PathBuf {
    folder.join(format!("{position:020}.save"))
}

/// The checkpoints in a folder by position, the oldest first.
pub fn list(folder: &Path) -> std::io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(position), Some("save")) = (stem, path.extension().and_then(|ext| ext.to_str())) {
            found.push(position);
        }
    }
    found.sort_unstable();
    Ok(found)
}

impl Writing {
    /// Begins a file; it does not have its name before it is whole.
    pub fn begin(folder: &Path, head: &Head) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = path_of(folder, head.position);
        let file = File::create(path.with_extension("part"))?;
        let mut writing = Self { path, file: BufWriter::new(file), slices: 0, bytes: 0 };
        writing.file.write_all(MAGIC)?;
        writing.record(head)?;
        Ok(writing)
    }

    fn record(&mut self, what: &impl Serialize) -> anyhow::Result<()> {
        let payload = rmp_serde::to_vec_named(what)?;
        let length = (payload.len() as u32).to_le_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&length), &payload);
        self.file.write_all(&length)?;
        self.file.write_all(&crc.to_le_bytes())?;
        self.file.write_all(&payload)?;
        self.bytes += payload.len() as u64 + 8;
        Ok(())
    }

    /// Adds a slice.
    pub fn slice(&mut self, slice: &Slice) -> anyhow::Result<()> {
        self.slices += 1;
        self.record(slice)
    }

    /// Ends the file, on the disk, under its name.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.record(&Tail { slices: self.slices })?;
        let file = self.file.into_inner()?;
        file.sync_all()?;
        fs::rename(self.path.with_extension("part"), &self.path)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        Ok(())
    }

    /// Gives it up.
    pub fn discard(self) {
        // What stays is overwritten or removed by the next one.
        let _ = fs::remove_file(self.path.with_extension("part"));
    }
}

struct Reading(BufReader<File>);

impl Reading {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic)?;
        ensure!(magic == *MAGIC, "not a checkpoint of this version");
        Ok(Self(file))
    }

    fn payload(&mut self) -> anyhow::Result<Vec<u8>> {
        let (mut length, mut crc) = ([0; 4], [0; 4]);
        self.0.read_exact(&mut length)?;
        self.0.read_exact(&mut crc)?;
        let len = u32::from_le_bytes(length) as usize;
        ensure!(len <= RECORD_MAX, "a record of {len} bytes is longer than any");
        let mut payload = Vec::new();
        // It grows with what is there, not with what is claimed.
        (&mut self.0).take(len as u64).read_to_end(&mut payload)?;
        ensure!(payload.len() == len, "it ends in the middle of a record");
        let found = crc32c::crc32c_append(crc32c::crc32c(&length), &payload);
        ensure!(found == u32::from_le_bytes(crc), "a record does not have the checksum that it says");
        Ok(payload)
    }

    fn record<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        rmp_serde::from_slice(&self.payload()?).context("a record is not what was expected there")
    }

    /// The slices that follow the head.
    fn slices(&mut self) -> anyhow::Result<Vec<Slice>> {
        let mut slices = Vec::new();
        loop {
            let payload = self.payload()?;
            if let Ok(slice) = rmp_serde::from_slice(&payload) {
                slices.push(slice);
                continue;
            }
            let tail: Tail = rmp_serde::from_slice(&payload).context("a record is neither slice nor end")?;
            ensure!(tail.slices == slices.len() as u64, "{} slices, {} expected", slices.len(), tail.slices);
            return Ok(slices);
        }
    }
}

/// Reads the checkpoint at a position, with those that it builds on.
fn read(folder: &Path, position: u64) -> anyhow::Result<(Head, Saved)> {
    let mut chain = Vec::new();
    let mut next = Some(position);
    while let Some(position) = next {
        if chain.len() as u32 > CHAIN {
            bail!("it builds on more than {CHAIN} others");
        }
        let path = path_of(folder, position);
        let mut file = Reading::open(&path).with_context(|| format!("{}", path.display()))?;
        let head: Head = file.record().with_context(|| format!("{}", path.display()))?;
        ensure!(head.position == position, "{} says it is of position {}", path.display(), head.position);
        next = head.base;
        chain.push((path, file, head));
    }
    let mut saved = Saved::default();
    let mut last = None;
    for (path, mut file, head) in chain.into_iter().rev() {
        let at = || format!("{}", path.display());
        saved
            .apply(file.slices().with_context(at)?)
            .map_err(|wrong| anyhow::anyhow!(wrong))
            .with_context(at)?;
        last = Some(head);
    }
    Ok((last.context("no checkpoint was read")?, saved))
}

/// The newest checkpoint of a folder that is sound; none if there is none.
pub fn load(folder: &Path) -> anyhow::Result<Option<Loaded>> {
    load_before(folder, u64::MAX)
}

/// The newest one of a position before this one.
pub fn load_before(folder: &Path, before: u64) -> anyhow::Result<Option<Loaded>> {
    let positions = match list(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        positions => positions.with_context(|| format!("{} cannot be read", folder.display()))?,
    };
    let mut damaged = Vec::new();
    for position in positions.into_iter().rev().filter(|position| *position < before) {
        match read(folder, position) {
            Ok((head, saved)) => return Ok(Some(Loaded { head, saved, damaged })),
            Err(error) => damaged.push((path_of(folder, position), format!("{error:#}"))),
        }
    }
    match damaged.is_empty() {
        true => Ok(None),
        // The log is read from its beginning, if it goes back so far.
        false => {
            for (path, why) in &damaged {
                tracing::error!(checkpoint = %path.display(), why, "cannot be read");
            }
            Ok(None)
        }
    }
}

/// Removes what the newest checkpoint and the one to fall back on do not need. Returns the position from which the log is
/// still needed: behind the one to fall back on, which shares no file with the newest, if there is one.
pub fn prune(folder: &Path) -> std::io::Result<Option<u64>> {
    let bases = |position: u64| -> Option<u64> {
        let mut file = Reading::open(&path_of(folder, position)).ok()?;
        file.record::<Head>().ok()?.base
    };
    let positions = list(folder)?;
    let chain = |from: u64| std::iter::successors(Some(from), |position| bases(*position));
    let Some(newest) = positions.last() else { return Ok(None) };
    let mut keep: Vec<u64> = chain(*newest).collect();
    let fall_back = positions.iter().rev().find(|position| !keep.contains(position)).copied();
    keep.extend(fall_back.into_iter().flat_map(chain));
    for position in positions.iter().filter(|position| !keep.contains(position)) {
        fs::remove_file(path_of(folder, *position))?;
    }
    Ok(Some(fall_back.unwrap_or(*newest) + 1))
}
