//! The spool against a plain model, with crashes and damage in between.

use super::Delivery;
use super::queue::{Queue, Taken};
use crate::config::{Common, OnFull};
use crate::telemetry::OutputStats;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use tidegate_event::{BatchBuilder, NewEvent};

/// The n-th thing forwarded at a position.
fn delivery(position: u64, n: u32) -> Delivery {
    let mut builder = BatchBuilder::new();
    let service = format!("s{position}-{n}");
    builder.push(&NewEvent { service: Some(&service), ..NewEvent::default() });
    Delivery { rule: "r".into(), declared: "out".into(), position, n, batch: builder.finish() }
}

/// No event of these costs more.
const COST: usize = 230;

fn balances(stats: &OutputStats) {
    let parts = stats.delivered.get() + stats.dropped.get() + stats.failed.get();
    assert_eq!(stats.taken.get() as i64, parts as i64 + stats.queued.get(), "{stats:?}");
}

#[derive(Clone, Debug)]
enum Step {
    /// The log goes on: so many forwards at its next position.
    Forward(u32),
    /// The keeper writes once.
    Save,
    /// The sender takes a batch.
    Take(usize),
    /// The other side has so many of it, or refuses so many.
    Settle { delivered: usize, failed: usize },
    /// The process dies; the log is read again from its beginning.
    Crash,
    /// The process dies, and so many bytes of what was written last never reached the disk.
    Tear(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u32..5).prop_map(Step::Forward),
        6 => Just(Step::Save),
        6 => (1usize..9).prop_map(Step::Take),
        6 => (0usize..9, 0usize..3).prop_map(|(delivered, failed)| Step::Settle { delivered, failed }),
        2 => Just(Step::Crash),
        1 => (1usize..400).prop_map(Step::Tear),
    ]
}

/// A spool on disk, and what should be true of it.
struct Rig {
    folder: tempfile::TempDir,
    common: Common,
    queue: Queue,
    stats: Arc<OutputStats>,
    runtime: tokio::runtime::Runtime,
    /// How much each position of the log forwards; positions count from 1.
    log: Vec<u32>,
    hand: Vec<Arc<Delivery>>,
    delivered: BTreeMap<String, u32>,
    failed: BTreeSet<String>,
    /// Settled, and the spool has recorded that.
    recorded: BTreeSet<String>,
    settled_since: Vec<String>,
    /// Numbers of which nothing is left.
    lost: usize,
    gone: u64,
    unsaved: usize,
}

impl Rig {
    fn new(common: Common) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (queue, stats) = Self::open(folder.path(), &common);
        queue.begin(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut rig = Self {
            folder,
            common,
            queue,
            stats,
            runtime,
            log: Vec::new(),
            hand: Vec::new(),
            delivered: BTreeMap::new(),
            failed: BTreeSet::new(),
            recorded: BTreeSet::new(),
            settled_since: Vec::new(),
            lost: 0,
            gone: 0,
            unsaved: 0,
        };
        // A spool that was never written is new again after a crash.
        rig.save();
        rig
    }

    fn open(folder: &Path, common: &Common) -> (Queue, Arc<OutputStats>) {
        let stats = Arc::new(OutputStats::default());
        let queue = Queue::on_disk(common, stats.clone(), folder.to_owned()).unwrap();
        (queue, stats)
    }

    fn forward(&mut self, count: u32) {
        self.log.push(count);
        let position = self.log.len() as u64;
        for n in 0..count {
            // A keeper that falls behind is another test's matter.
            if (self.unsaved + 1) * COST > self.common.queue {
                self.save();
            }
            self.unsaved += 1;
            self.queue.push(delivery(position, n));
        }
    }

    fn save(&mut self) {
        while self.queue.save().unwrap() {}
        self.unsaved = 0;
        self.recorded.extend(self.settled_since.drain(..));
    }

    fn take(&mut self, most: usize) {
        // What the sender would wait for is the keeper.
        self.save();
        if self.hand.is_empty() && self.stats.queued.get() > 0 {
            loop {
                let taken = self.runtime.block_on(async {
                    tokio::time::timeout(std::time::Duration::from_secs(20), self.queue.take(most)).await
                });
                match taken.expect("something waits").unwrap() {
                    Taken::Events(events) => self.hand = events,
                    Taken::Lost { events, .. } => {
                        self.lost += events;
                        self.queue.failed(events);
                        self.save();
                        if self.stats.queued.get() > 0 {
                            continue;
                        }
                    }
                }
                return;
            }
        }
    }

    fn settle(&mut self, delivered: usize, failed: usize) {
        let delivered = delivered.min(self.hand.len());
        let failed = failed.min(self.hand.len() - delivered);
        self.queue.delivered(delivered);
        self.queue.failed(failed);
        for (n, event) in self.hand.drain(..delivered + failed).enumerate() {
            let id = event.id();
            assert!(!self.recorded.contains(&id), "{id} was recorded as settled, and comes again");
            let was = delivery(event.position, event.n);
            assert_eq!((&event.batch, &event.rule), (&was.batch, &was.rule), "as it was forwarded");
            if n < delivered {
                *self.delivered.entry(id.clone()).or_default() += 1;
            } else {
                self.failed.insert(id.clone());
            }
            self.settled_since.push(id);
        }
    }

    /// The process dies and starts again; the log is replayed while the keeper works.
    fn crash(&mut self) {
        self.hand.clear();
        self.unsaved = 0;
        self.settled_since.clear();
        (self.queue, self.stats) = Self::open(self.folder.path(), &self.common);
        balances(&self.stats);
        let (queue, log, done) = (&self.queue, &self.log, AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    queue.save().unwrap();
                    std::thread::yield_now();
                }
            });
            for (at, count) in log.iter().enumerate() {
                (0..*count).for_each(|n| queue.push_replayed(delivery(at as u64 + 1, n)));
            }
            self.gone += queue.begin(log.len() as u64);
            done.store(true, SeqCst);
        });
        self.unsaved = self.common.queue;
        balances(&self.stats);
    }

    /// The segments, in order.
    fn segments(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|ext| ext == "events")).collect();
        files.sort();
        files
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            if self.stats.queued.get() == 0 {
                return;
            }
            self.take(7);
            self.settle(usize::MAX, 0);
        }
        panic!("it never ends: {:?}", self.stats);
    }

    fn ids(&self) -> impl Iterator<Item = String> {
        self.log
            .iter()
            .enumerate()
            .flat_map(|(at, count)| (0..*count).map(move |n| delivery(at as u64 + 1, n).id()))
    }
}

/// Small memory: most is read back.
fn small(on_full: OnFull, spool: u64, queue: usize) -> Common {
    Common { queue, spool, on_full, ..Common::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]
    #[test]
    fn whatever_was_forwarded_arrives_and_nothing_recorded_comes_again(
        steps in prop::collection::vec(step(), 1..120),
        queue in COST..6000,
    ) {
        let mut rig = Rig::new(small(OnFull::DropNewest, 64 << 20, queue));
        for step in steps {
            match step {
                Step::Forward(count) => rig.forward(count),
                Step::Save => rig.save(),
                Step::Take(most) => rig.take(most),
                Step::Settle { delivered, failed } => rig.settle(delivered, failed),
                Step::Crash => rig.crash(),
                Step::Tear(bytes) => {
                    if let Some(path) = rig.segments().last() {
                        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
                        let len = file.metadata().unwrap().len();
                        file.set_len(len.saturating_sub(bytes as u64)).unwrap();
                    }
                    rig.crash();
                }
            }
            balances(&rig.stats);
        }
        rig.drain();
        balances(&rig.stats);
        prop_assert_eq!((rig.stats.dropped.get(), rig.lost, rig.gone), (0, 0, 0));
        for id in rig.ids() {
            prop_assert!(rig.delivered.contains_key(&id) || rig.failed.contains(&id), "{} was lost", id);
        }
    }

    #[test]
    fn a_flipped_bit_costs_one_event_and_that_is_told(
        counts in prop::collection::vec(0u32..6, 1..60),
        taken in 0usize..40,
        at in any::<prop::sample::Index>(),
        which in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut rig = Rig::new(small(OnFull::DropNewest, 64 << 20, 2000));
        counts.iter().for_each(|count| rig.forward(*count));
        rig.take(taken.max(1));
        rig.settle(taken, 0);
        rig.save();
        let segments = rig.segments();
        if !segments.is_empty() {
            let path = which.get(&segments);
            let mut bytes = std::fs::read(path).unwrap();
            let at = crate::framed::FILE_HEAD + at.index(bytes.len() - crate::framed::FILE_HEAD);
            bytes[at] ^= 1 << bit;
            std::fs::write(path, bytes).unwrap();
        }
        rig.crash();
        rig.drain();
        balances(&rig.stats);
        let missing = rig.ids().filter(|id| !rig.delivered.contains_key(id)).count();
        prop_assert_eq!(missing, rig.lost + rig.gone as usize);
        prop_assert!(missing <= 1);
    }

    #[test]
    fn at_its_bound_the_policy_decides_and_all_is_counted(
        counts in prop::collection::vec(0u32..40, 1..60),
        oldest in any::<bool>(),
        crashes in prop::collection::vec(any::<bool>(), 60),
    ) {
        let on_full = if oldest { OnFull::DropOldest } else { OnFull::DropNewest };
        let mut rig = Rig::new(small(on_full, 64 << 10, 4000));
        rig.forward(1);
        rig.take(1);
        let mut crashed = false;
        for (count, crash) in counts.iter().zip(crashes) {
            rig.forward(*count);
            if crash && !crashed {
                rig.crash();
                crashed = true;
            }
            rig.save();
            balances(&rig.stats);
            prop_assert!(rig.stats.queued_bytes.get() <= 64 << 10);
        }
        let before = rig.stats.dropped.get();
        rig.settle(1, 0);
        rig.drain();
        prop_assert_eq!(rig.stats.dropped.get(), before);
        let delivered: Vec<bool> = rig.ids().map(|id| rig.delivered.contains_key(&id)).collect();
        let all: u32 = 1 + counts.iter().sum::<u32>();
        if all > 400 && !crashed {
            prop_assert!(before > 0);
            // The first one was being sent all the time.
            prop_assert!(delivered[0]);
            prop_assert_eq!(delivered[delivered.len() - 1], oldest);
            prop_assert_eq!(delivered[1], !oldest);
        }
        if !oldest || !crashed {
            prop_assert_eq!(delivered.iter().filter(|delivered| !**delivered).count() as u64, before);
        }
    }
}

#[test]
fn a_new_output_does_not_get_what_was_forwarded_before_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let common = Common::default();
    let (queue, stats) = Rig::open(folder.path(), &common);
    queue.push_replayed(delivery(7, 0));
    queue.begin(9);
    queue.push(delivery(10, 0));
    while queue.save().unwrap() {}
    assert_eq!((stats.taken.get(), stats.skipped.get()), (1, 1));
    drop(queue);
    let (queue, stats) = Rig::open(folder.path(), &common);
    for position in [7, 10, 11] {
        queue.push_replayed(delivery(position, 0));
    }
    assert_eq!((stats.queued.get(), stats.skipped.get()), (2, 2), "the one on disk and the one that is new");
}

#[test]
fn positions_that_a_power_cut_gave_back_are_new_when_they_are_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let common = Common::default();
    let (queue, _) = Rig::open(folder.path(), &common);
    queue.begin(0);
    (1..=9).for_each(|position| queue.push(delivery(position, 0)));
    while queue.save().unwrap() {}
    for _ in 0..2 {
        // The log has lost what stands behind 5.
        let (queue, stats) = Rig::open(folder.path(), &common);
        (1..=5).for_each(|position| queue.push_replayed(delivery(position, 0)));
        queue.begin(5);
        let before = stats.queued.get();
        queue.push(delivery(6, 1));
        assert_eq!(stats.queued.get(), before + 1);
        while queue.save().unwrap() {}
    }
    let (queue, stats) = Rig::open(folder.path(), &common);
    (1..=6).for_each(|position| queue.push_replayed(delivery(position, 0)));
    assert_eq!(stats.skipped.get(), 6);
    queue.push_replayed(delivery(7, 0));
    assert_eq!(stats.skipped.get(), 6, "7 was given back, and is new");
}

#[test]
fn what_is_not_saved_holds_checkpoints_back() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _) = Rig::open(folder.path(), &Common::default());
    queue.begin(0);
    assert_eq!(queue.settled(), u64::MAX);
    queue.push(delivery(4, 0));
    queue.push_loose(delivery(2, 0));
    queue.push(delivery(6, 0));
    assert_eq!(queue.settled(), 3);
    while queue.save().unwrap() {}
    assert_eq!(queue.settled(), u64::MAX);
}

#[test]
fn segments_go_when_the_cursor_has_passed_them_and_not_before() {
    let mut rig = Rig::new(small(OnFull::DropNewest, 512 << 10, 4000));
    (0..2000).for_each(|_| {
        rig.forward(1);
        rig.save();
    });
    let all = rig.segments();
    assert!(all.len() > 3, "{all:?}");
    let mut left = 2000;
    while rig.stats.queued.get() > 0 {
        rig.take(100);
        assert_eq!(rig.segments().len(), rig.segments().iter().filter(|path| path.exists()).count());
        let sent = rig.hand.len();
        rig.settle(sent, 0);
        rig.save();
        left -= sent;
        let oldest = rig.segments()[0].clone();
        let next = rig.segments().get(1).map_or(u64::MAX, |path| number(path));
        assert!(number(&oldest) <= 2001 - left as u64 && next > 2000 - left as u64, "{oldest:?} {left}");
    }
    assert_eq!(rig.segments().len(), 1);
}

fn number(path: &Path) -> u64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}
