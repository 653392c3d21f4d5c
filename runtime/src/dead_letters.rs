//! Events that found no way: a rule choked on them, or an output refused them or gave them up. Each is kept whole, with the
//! reason, until somebody sends it again or removes it, or until there is no room for it.
//!
//! ```text
//! data/dead-letters/00000000000000000001.letters    named by the first number in it
//!
//! payload = 1 | u32 length | MessagePack of `Letter` | block, or nothing     a letter
//!         | 2 | u64 number                                                   a letter that was removed
//!         | 3 | u64 position                                                 the watermark: begins each file
//! ```
//!
//! All letters are in memory too. Both are bounded: whole files are removed, the oldest first, and what they held with
//! them. Ids are stable, so that a replay of the log and a second attempt of an output make no second letter. What a rule
//! choked on up to the **watermark** has been written, and may have been removed since: a replay does not bring it back.

mod journal;
mod letter;

pub use letter::{Letter, Sender};

use crate::clock;
use crate::telemetry::LetterStats;
use journal::{Entry, Journal};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidegate_event::{Span, Timestamp};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Bytes.
    pub bytes: u64,
    /// How long.
    pub age: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self { bytes: 16 << 20, age: Duration::from_secs(30 * 86_400) }
    }
}

/// The letters of a node.
#[derive(Debug)]
pub struct DeadLetters {
    store: Mutex<Store>,
    stats: Arc<LetterStats>,
    keep: Keep,
}

#[derive(Debug)]
struct Store {
    letters: BTreeMap<u64, Arc<Letter>>,
    numbers: BTreeMap<String, u64>,
    journal: Journal,
    watermark: u64,
    /// Until then no letter is too old.
    young_until: Timestamp,
}

/// Which letters are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only those of this rule.
    pub rule: Option<String>,
    /// Only those of this output.
    pub output: Option<String>,
    /// Only those behind this number.
    pub after: u64,
    /// So many at most.
    pub limit: usize,
}

/// Letters that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The letters with their numbers, the oldest first.
    pub letters: Vec<(u64, Arc<Letter>)>,
    /// How many there are in all.
    pub total: usize,
    /// Whether there are more that are wanted.
    pub more: bool,
}

impl DeadLetters {
    /// Letters that live as long as the process.
    pub fn memory(keep: Keep, stats: Arc<LetterStats>) -> Self {
        Self::of(Journal::memory(keep.bytes), keep, stats)
    }

    /// Letters in a folder, which is made if need be.
    pub fn open(folder: &Path, keep: Keep, stats: Arc<LetterStats>) -> io::Result<Self> {
        let mut entries = Vec::new();
        let (journal, damaged) =
            Journal::open(folder, keep.bytes, |number, entry| entries.push((number, entry)))?;
        if damaged > 0 {
            tracing::error!(bytes = damaged, "some dead letters cannot be read");
            stats.errors.add(1);
        }
        let letters = Self::of(journal, keep, stats);
        {
            let mut store = letters.lock();
            for (number, entry) in entries {
                store.replay(number, entry);
            }
            letters.stats.written.add(store.letters.len() as u64);
            letters.look_after(&mut store);
        }
        Ok(letters)
    }

    fn of(journal: Journal, keep: Keep, stats: Arc<LetterStats>) -> Self {
        let (letters, numbers) = (BTreeMap::new(), BTreeMap::new());
        let store = Store { letters, numbers, journal, watermark: 0, young_until: Timestamp(0) };
        Self { store: Mutex::new(store), stats, keep }
    }

    // Every change under the lock leaves the store whole, so a thread that died holding it broke nothing.
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what rules choked on at a position. While the log is replayed, only what has not been kept before.
    pub fn note(&self, position: u64, letters: Vec<Letter>, replayed: bool) {
        let mut store = self.lock();
        if letters.is_empty() || (replayed && position <= store.watermark) {
            return;
        }
        store.watermark = store.watermark.max(position);
        let fresh = letters.into_iter().filter(|letter| !store.numbers.contains_key(&letter.id)).collect();
        self.add(&mut store, fresh);
    }

    /// Keeps what an output could not deliver. One that was kept before is replaced. Off the async threads: it is on disk
    /// when this returns.
    pub async fn store(self: &Arc<Self>, letters: Vec<Letter>) {
        let this = self.clone();
        let stored = tokio::task::spawn_blocking(move || this.keep(letters)).await;
        if stored.is_err() {
            tracing::error!("dead letters were lost in a panic");
        }
    }

    /// The same for threads that may wait for the disk.
    pub fn keep(&self, letters: Vec<Letter>) {
        self.add(&mut self.lock(), letters);
    }

    fn add(&self, store: &mut Store, letters: Vec<Letter>) {
        let watermark = store.watermark;
        let first = store.journal.next();
        let letters: Vec<_> = letters.into_iter().map(|letter| letter.within(self.keep.bytes / 4)).collect();
        let written = store.journal.append(watermark, letters.iter().map(Letter::encode));
        self.report(written);
        self.stats.written.add(letters.len() as u64);
        for (number, letter) in (first..).zip(letters) {
            if let Some(before) = store.insert(number, letter) {
                store.letters.remove(&before);
                self.stats.removed.add(1);
            }
        }
        self.look_after(store);
    }

    fn report(&self, written: io::Result<()>) {
        if let Err(error) = written {
            tracing::error!(%error, "dead letters cannot be written: they are in memory alone");
            self.stats.errors.add(1);
        }
    }

    /// Lets go what is too much or too old.
    fn look_after(&self, store: &mut Store) {
        let age = Span(i64::try_from(self.keep.age.as_micros()).unwrap_or(i64::MAX));
        let oldest = Timestamp(clock::now().0.saturating_sub(age.0));
        while store.journal.bytes() > self.keep.bytes || store.is_too_old(oldest) {
            let Some(next) = store.journal.drop_oldest(store.watermark).unwrap_or_else(|error| {
                self.report(Err(error));
                None
            }) else {
                break;
            };
            let rest = store.letters.split_off(&next);
            let gone = std::mem::replace(&mut store.letters, rest);
            for (number, letter) in &gone {
                if store.numbers.get(&letter.id) == Some(number) {
                    store.numbers.remove(&letter.id);
                }
            }
            self.stats.evicted.add(gone.len() as u64);
        }
        self.stats.kept.set(store.letters.len() as i64);
        self.stats.bytes.set(store.journal.bytes() as i64);
    }

    /// A page of letters.
    pub fn list(&self, wanted: &Wanted) -> Page {
        let mut store = self.lock();
        self.look_after(&mut store);
        let behind = store.letters.range(wanted.after.saturating_add(1)..);
        let mut matching = behind.filter(|(_, letter)| letter.is(&wanted.rule, &wanted.output));
        let letters = matching.by_ref().take(wanted.limit).map(|(number, letter)| (*number, letter.clone()));
        let letters = letters.collect();
        Page { letters, more: matching.next().is_some(), total: store.letters.len() }
    }

    /// A letter and its number.
    pub fn get(&self, id: &str) -> Option<(u64, Arc<Letter>)> {
        let store = self.lock();
        let number = *store.numbers.get(id)?;
        Some((number, store.letters.get(&number)?.clone()))
    }

    /// Removes a letter; `false` when it is not there any more. Blocks until that is on disk.
    pub fn remove(&self, number: u64) -> bool {
        let mut store = self.lock();
        let Some(letter) = store.letters.remove(&number) else { return false };
        if store.numbers.get(&letter.id) == Some(&number) {
            store.numbers.remove(&letter.id);
        }
        let watermark = store.watermark;
        let written = store.journal.append(watermark, [journal::removed(number)]);
        self.report(written);
        self.stats.removed.add(1);
        self.look_after(&mut store);
        true
    }

    /// The log has been read up to this position: what comes now is new. Positions behind it were used before a power cut
    /// took the end of the log, and are used again.
    pub fn begin(&self, position: u64) {
        let mut store = self.lock();
        store.watermark = store.watermark.min(position);
    }
}

impl Store {
    fn replay(&mut self, number: u64, entry: Entry) {
        match entry {
            Entry::Letter(letter) => {
                if matches!(letter.from, Sender::Rule { .. }) {
                    self.watermark = self.watermark.max(letter.position);
                }
                if let Some(before) = self.insert(number, *letter) {
                    self.letters.remove(&before);
                }
            }
            Entry::Removed(number) => {
                if let Some(letter) = self.letters.remove(&number) {
                    self.numbers.remove(&letter.id);
                }
            }
            Entry::Watermark(position) => self.watermark = self.watermark.max(position),
        }
    }

    /// Adds a letter; tells the number of the one with the same id that it replaces.
    fn insert(&mut self, number: u64, letter: Letter) -> Option<u64> {
        let before = self.numbers.insert(letter.id.clone(), number);
        self.letters.insert(number, Arc::new(letter));
        before
    }

    /// Whether all letters of the oldest file are older than that.
    fn is_too_old(&mut self, oldest: Timestamp) -> bool {
        if oldest < self.young_until {
            return false;
        }
        let Some(end) = self.journal.end_of_oldest() else { return false };
        let newest = self.letters.range(..end).map(|(_, letter)| letter.at).max();
        match newest {
            Some(newest) if newest >= oldest => {
                self.young_until = newest;
                false
            }
            // A file of which nothing is left goes once there is a younger one.
            None => self.journal.files() > 1,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests;
