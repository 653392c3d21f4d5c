//! Compares the log with the ledger: nothing acked is missing, nothing is invented, altered, doubled or out of order, and
//! what was there before is still there.

use super::ledger::{Fate, Found, Lane};
use crate::chaos::event::{LANE, SERVICE, check, digest, host, is_poison};
use crate::chaos::log::Row;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Of each kind of finding so many are shown.
const SHOWN: usize = 5;

/// What one stream has said, as the rule that keeps it must remember it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// All metrics in order, as one number.
    pub digest: u64,
    /// How many there were.
    pub count: u64,
}

impl Kept {
    fn add(&mut self, id: u64) {
        self.digest = digest(self.digest, id as i64);
        self.count += 1;
    }
}

/// What is known of the log.
#[derive(Default)]
pub struct Book {
    /// The last position that was read.
    position: u64,
    /// Positions with events of ours, and how many of them there were up to and with each.
    seen: Vec<(u64, u64)>,
    streams: BTreeMap<String, Stream>,
}

/// What rules must remember of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stream {
    /// One that sees every event.
    pub all: Kept,
    /// One for which poison never happened.
    pub wholesome: Kept,
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Events of ours that are new in the log.
    pub new: u64,
    /// Of these, how many nobody had an answer for.
    pub unknown: u64,
    /// Of these, how many were refused.
    pub refused: u64,
    /// Acked and not there.
    pub lost: Vec<u64>,
    /// All that is wrong, in words.
    pub wrong: Vec<String>,
}

impl Verdict {
    /// For the driver.
    pub fn json(&self) -> Value {
        let (lost, wrong) = (self.lost.len(), self.wrong.len());
        let mut said: Vec<String> = self.wrong.iter().take(SHOWN).cloned().collect();
        said.extend(
            self.lost.iter().take(SHOWN).map(|id| format!("event {id} was acked and is not in the log")),
        );
        json!({
            "new": self.new, "unknown": self.unknown, "refused": self.refused, "lost": lost, "wrong": wrong, "said": said,
        })
    }
}

impl Book {
    /// What each stream has said.
    pub fn streams(&self) -> &BTreeMap<String, Stream> {
        &self.streams
    }

    /// Reads the log on from where it was read to.
    pub fn read(
        &mut self,
        rows: impl Iterator<Item = Row>,
        lanes: &[Arc<Mutex<Lane>>],
        epoch: i64,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let mut old = BTreeMap::<u64, u64>::new();
        let (before, mut first) = (self.position, None);
        for row in rows {
            first.get_or_insert(row.position);
            if row.event["service"] != SERVICE {
                self.position = self.position.max(row.position);
                continue;
            }
            let id = match check(&row.event, epoch) {
                Ok(id) => id,
                Err(what) => {
                    verdict.wrong.push(format!("at position {}: {what}", row.position));
                    continue;
                }
            };
            if row.position <= before {
                *old.entry(row.position).or_default() += 1;
                continue;
            }
            self.position = row.position;
            self.enter(&row, id, lanes, &mut verdict);
        }
        if let Some(first) = first {
            self.compare_old(first, before, &old, &mut verdict);
        }
        for lane in lanes {
            verdict.lost.extend(lane.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).lost());
        }
        verdict
    }

    fn enter(&mut self, row: &Row, id: u64, lanes: &[Arc<Mutex<Lane>>], verdict: &mut Verdict) {
        let found = lanes.get((id / LANE) as usize).map_or(Found::Invented, |lane| {
            lane.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).find(id)
        });
        match found {
            Found::Fine(fate) => {
                verdict.new += 1;
                verdict.unknown += u64::from(fate == Fate::Unknown);
                verdict.refused += u64::from(fate == Fate::Refused);
            }
            other => verdict.wrong.push(format!("at position {}: event {id}: {other:?}", row.position)),
        }
        let stream = self.streams.entry(host(id)).or_default();
        stream.all.add(id);
        if !is_poison(id) {
            stream.wholesome.add(id);
        }
        let so_far = self.seen.last().map_or(0, |(_, count)| *count);
        match self.seen.last_mut() {
            Some((position, count)) if *position == row.position => *count += 1,
            _ => self.seen.push((row.position, so_far + 1)),
        }
    }

    /// Every position that was seen earlier is still there with as many events, from the first that is kept.
    fn compare_old(&self, first: u64, before: u64, old: &BTreeMap<u64, u64>, verdict: &mut Verdict) {
        let mut so_far = 0;
        for (position, count) in &self.seen {
            let events = count - so_far;
            so_far = *count;
            if (first..=before).contains(position) {
                let now = old.get(position).copied().unwrap_or_default();
                if now != events {
                    verdict.wrong.push(format!("position {position} had {events} events and has {now} now"));
                }
            }
        }
        if first > before + 1 && before > 0 {
            verdict.wrong.push(format!(
                "the log begins at {first} and was read to {before}: it keeps too little for what is sent between two looks"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::event::said;

    fn lanes() -> Vec<Arc<Mutex<Lane>>> {
        vec![Arc::new(Mutex::new(Lane::new(0)))]
    }

    fn row(position: u64, id: u64) -> Row {
        Row { position, event: said(id, 0).json() }
    }

    #[test]
    fn what_is_missing_altered_or_gone_again_is_said() {
        let lanes = lanes();
        let ids = lanes[0].lock().unwrap().issue(3, 0);
        lanes[0].lock().unwrap().settle(&ids, Fate::Acked);
        let mut book = Book::default();
        let verdict = book.read([row(1, 0), row(3, 1)].into_iter(), &lanes, 0);
        assert_eq!((verdict.new, verdict.lost, verdict.wrong), (2, vec![2], vec![]));
        assert_eq!(book.streams()["lane-0-0"].all, Kept { digest: 0, count: 1 });

        let mut altered = row(4, 2);
        altered.event["description"] = json!("other");
        let verdict = book.read([row(1, 0), altered].into_iter(), &lanes, 0);
        assert_eq!(verdict.wrong.len(), 2, "{verdict:?}");
        assert!(verdict.wrong[1].contains("position 3 had 1 events and has 0"), "{verdict:?}");
    }
}
