//! The log against a small model of what was promised, on a disk that is treated badly: whatever happens, everything that
//! was acked at a level that covers it is read back, nothing is invented, and what is missing is named.

use super::sim::SimDisk;
use crate::log::segment::HEAD;
use crate::log::sync::Syncing;
use crate::log::{Log, Reader, Record, Retention};
use crate::telemetry::Telemetry;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_event::Timestamp;

/// What can happen.
#[derive(Clone, Debug)]
enum Action {
    /// So many records are written in one go.
    Write(u8),
    /// The syncer looks what there is to do.
    Sync,
    /// The sequencer looks how far the syncer has got.
    Tend,
    /// The process is killed and started again.
    Kill,
    /// The power goes and comes back.
    CutPower(u64),
    /// A call of the disk fails, once.
    Fail(u8),
    /// Syncs fail so many times.
    FailSyncs(u8),
    /// There is room for so many bytes.
    Fill(u16),
    /// The disk is fine again, and its pauses are over.
    Repair,
    /// A bit flips.
    Flip(u64),
    /// Everything from so far back is needed.
    Keep(u8),
    /// Somebody reads beside the writer.
    Follow,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        10 => (1u8..6).prop_map(Action::Write),
        5 => Just(Action::Sync),
        4 => Just(Action::Tend),
        1 => Just(Action::Kill),
        2 => any::<u64>().prop_map(Action::CutPower),
        1 => (1u8..6).prop_map(Action::Fail),
        1 => (1u8..4).prop_map(Action::FailSyncs),
        1 => (0u16..800).prop_map(Action::Fill),
        2 => Just(Action::Repair),
        1 => any::<u64>().prop_map(Action::Flip),
        1 => any::<u8>().prop_map(Action::Keep),
        1 => Just(Action::Follow),
    ];
    prop::collection::vec(action, 1..60)
}

struct World {
    disk: SimDisk,
    log: Log,
    syncing: Arc<Syncing>,
    follower: Reader,
    /// What was acked, by position, since the last start; before it, what that start found.
    acked: BTreeMap<u64, i64>,
    /// Every record that anybody tried to write.
    issued: BTreeSet<(u64, i64)>,
    /// The last position that was acked.
    position: u64,
    /// Acks that wait for their position to be synced.
    waiting: Vec<u64>,
    /// The positions that were acked as synced, or were found after a power cut.
    synced: BTreeSet<u64>,
    failures: u64,
    next_id: i64,
    keep: u64,
    /// Records that flipped bits may have cost.
    flips: usize,
    /// Whether the power has been cut: it may have torn one copy of a segment's head.
    cut: bool,
    /// Whether a bit flipped in the other.
    beheaded: bool,
}

fn open(disk: &SimDisk) -> (Log, Reader) {
    let retention = Retention { segment: 700, keep_bytes: 2_500, ..Retention::default() };
    let (mut log, reader) =
        Log::on(Arc::new(disk.clone()), retention, Arc::new(Telemetry::default())).unwrap();
    log.by_hand();
    (log, reader)
}

impl World {
    fn new() -> Self {
        let disk = SimDisk::default();
        let (mut log, _) = open(&disk);
        let syncing = log.sync_by_hand().unwrap();
        let follower = Reader::new(Arc::new(disk.clone()), false).unwrap();
        Self {
            disk,
            log,
            syncing,
            follower,
            acked: BTreeMap::new(),
            issued: BTreeSet::new(),
            position: 0,
            waiting: Vec::new(),
            synced: BTreeSet::new(),
            failures: 0,
            next_id: 1,
            keep: u64::MAX,
            flips: 0,
            cut: false,
            beheaded: false,
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Write(records) => self.write(*records),
            Action::Sync => drop(self.syncing.step()),
            Action::Tend => self.tend(),
            Action::Kill => self.start(None),
            Action::CutPower(seed) => self.start(Some(*seed)),
            Action::Fail(after) => self.disk.sim().fails_in = Some(u32::from(*after)),
            Action::FailSyncs(times) => self.disk.sim().sync_fails = u32::from(*times),
            Action::Fill(room) => self.disk.sim().room = Some(usize::from(*room)),
            Action::Repair => {
                self.disk.repair();
                self.log.forget_pauses();
            }
            Action::Flip(seed) if self.flips == 0 => {
                let files = self.disk.files();
                let mut random = fastrand::Rng::with_seed(*seed);
                if let Some((name, size)) = random.choice(&files).filter(|(_, size)| *size > 0) {
                    let at = random.usize(..*size);
                    self.disk.flip(name, at, random.u32(..8));
                    self.flips += 1;
                    self.beheaded |= self.cut && at < HEAD;
                }
            }
            Action::Flip(_) => {}
            Action::Keep(back) => {
                let keep = self.position.saturating_sub(u64::from(*back)).max(1);
                // What is gone already cannot be kept any more.
                let oldest = Reader::new(Arc::new(self.disk.clone()), false).unwrap().oldest().unwrap_or(1);
                self.keep = keep.max(oldest);
                self.log.keep_from(self.keep);
            }
            Action::Follow => {
                let found = Self::read(&mut self.follower);
                self.check_truth(&found);
            }
        }
    }

    fn write(&mut self, records: u8) {
        let start = self.position;
        for n in 1..=u64::from(records) {
            self.log.time(start + n, Timestamp(self.next_id));
            self.issued.insert((start + n, self.next_id));
            self.next_id += 1;
        }
        if self.log.write(Vec::new).is_err() {
            return;
        }
        for n in 1..=i64::from(records) {
            self.position += 1;
            self.acked.insert(self.position, self.next_id - 1 - i64::from(records) + n);
            self.waiting.push(self.position);
        }
    }

    fn tend(&mut self) {
        let tended = self.log.tend(Vec::new).unwrap();
        let synced = self.waiting.iter().filter(|position| **position <= tended.synced);
        self.synced.extend(synced);
        self.waiting.retain(|position| *position > tended.synced);
        if tended.failures > self.failures {
            self.failures = tended.failures;
            self.waiting.clear();
        }
    }

    fn read(reader: &mut Reader) -> BTreeMap<u64, i64> {
        let mut found = BTreeMap::new();
        while let Some(record) = reader.read().unwrap() {
            if let Record::Time(position, id) = record {
                assert_eq!(found.insert(position, id.0), None, "position {position} was read twice");
            }
        }
        found
    }

    /// Nothing is invented, and what was acked is what was written.
    fn check_truth(&self, found: &BTreeMap<u64, i64>) {
        for (position, id) in found {
            assert!(self.issued.contains(&(*position, *id)), "{position} was never written as {id}");
            if let Some(acked) = self.acked.get(position) {
                assert_eq!(id, acked, "position {position}");
            }
        }
    }

    /// The process ends, by itself or with the power, and another one reads the log.
    fn start(&mut self, cut: Option<u64>) {
        match cut {
            Some(seed) => self.disk.cut_power(seed),
            None => self.disk.repair(),
        }
        let (log, mut reader) = open(&self.disk);
        let found = Self::read(&mut reader);
        let report = reader.report().clone();
        let oldest = reader.oldest().unwrap_or(1);
        assert!(oldest <= self.keep || self.keep > self.position, "{oldest} {}", self.keep);
        self.check_truth(&found);
        // A power cut costs what was not acked as synced; the death of the process nothing that was acked.
        let safe = |position: &u64| cut.is_none() || self.synced.contains(position);
        let needed = self.acked.keys().filter(|position| **position >= oldest && safe(position));
        let lost: Vec<u64> = needed.filter(|position| !found.contains_key(position)).copied().collect();
        // Both copies of a head gone cost its segment, and that is named as well.
        assert!(lost.len() <= self.flips || self.beheaded, "lost {lost:?}, found {found:?}");
        let named = |position: u64| {
            let within = |(first, last): (u64, u64)| (first..=last).contains(&position);
            position > report.last || report.shown.iter().any(|gap| gap.missing.is_some_and(within))
        };
        assert!(lost.iter().all(|position| named(*position)), "{lost:?} {report:?}");
        self.follower = Reader::new(Arc::new(self.disk.clone()), false).unwrap();
        assert_eq!(Self::read(&mut self.follower), found, "a reader beside the node sees what it sees");

        self.log = log;
        self.log.keep_from(self.keep);
        self.syncing = self.log.sync_by_hand().unwrap();
        self.position = report.last;
        self.log.resume(report.last);
        self.failures = 0;
        self.synced.retain(|position| found.contains_key(position));
        if cut.is_some() {
            self.synced.extend(found.keys());
        }
        self.waiting.clear();
        self.cut |= cut.is_some();
        self.beheaded &= lost.is_empty();
        // A flipped bit is either found and past, or still to be found.
        self.flips = usize::from(self.flips > 0 && lost.is_empty());
        self.acked = found;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acked_is_read_back_whatever_the_disk_does(actions in actions()) {
        let mut world = World::new();
        for action in &actions {
            world.act(action);
        }
        world.start(Some(1));
        world.write(1);
        world.start(None);
    }
}
