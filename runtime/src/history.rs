//! How every stream went: a little of each, in memory, finer the newer it is.
//!
//! ```text
//! shard ── every few seconds, what each stream did ──► thread ──► ring of each stream ──► whoever draws a chart
//! ```
//!
//! A stream has a few levels of points. New ones enter the first; when a level is full its two oldest points become one of
//! the next, so each level reaches twice as far back with the same number of points. All streams together take no more
//! memory than is configured: the more there are, the fewer points each has, and when that is not enough, those are
//! forgotten first that were heard of last the longest ago.
//!
//! Not here: what is older, which the log knows (`web/history.rs`).

mod chart;
mod track;

pub use chart::Chart;
pub use track::{STATELESS, Sample, Swept, Tracks};

use crate::clock;
use crate::telemetry::HistoryStats;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidegate_event::{Span, State, Timestamp};

/// Sweeps of shards that may wait.
const WAITING: usize = 64;
/// Samples that are taken in before whoever reads gets a turn.
const TURN: usize = 1024;
/// Levels of a stream.
const LEVELS: usize = 8;
/// Points of a level, at least and at most.
const POINTS: (usize, usize) = (4, 64);
/// Changes of state that are kept of a stream.
const STATES: usize = 64;
/// A stream itself takes about so much, beside its points.
const STREAM: usize = 160;
/// Of all streams, one in so many goes when there is no room.
const SHARE: usize = 16;

/// `[history]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes that all of it may take.
    pub memory: u64,
    /// The stretch of time that the finest point stands for.
    pub step: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self { memory: 64 << 20, step: Span::secs(5) }
    }
}

/// What a stream did in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When it began, in microseconds.
    pub from: Timestamp,
    /// The smallest metric.
    pub least: f64,
    /// The greatest.
    pub most: f64,
    /// The last.
    pub last: f64,
    /// Events with a metric.
    pub n: u64,
}

impl Point {
    /// Takes in what came later.
    pub fn add(&mut self, later: &Self) {
        self.least = self.least.min(later.least);
        self.most = self.most.max(later.most);
        (self.last, self.n) = (later.last, self.n + later.n);
    }
}

/// The state of a stream from a moment on; none where it had none.
pub type Turn = (Timestamp, Option<State>);

#[derive(Debug, Default)]
struct Stream {
    /// The finest first; in each the oldest first.
    levels: Vec<VecDeque<Point>>,
    states: VecDeque<(Timestamp, u8)>,
    touched: Timestamp,
    /// Something older was known and is not any more.
    cut: bool,
}

impl Stream {
    fn bytes(&self) -> usize {
        let points: usize = self.levels.iter().map(VecDeque::capacity).sum();
        STREAM
            + points * size_of::<Point>()
            + self.levels.capacity() * size_of::<VecDeque<Point>>()
            + self.states.capacity() * size_of::<(Timestamp, u8)>()
    }

    fn take(&mut self, from: Timestamp, at: Timestamp, sample: &Sample, most: usize) {
        self.touched = at;
        if self.states.back().is_none_or(|(_, state)| *state != sample.state) {
            if self.states.len() == STATES {
                self.states.pop_front();
            }
            self.states.push_back((at, sample.state));
        }
        if sample.n == 0 {
            return;
        }
        let Sample { least, most: greatest, last, n, .. } = *sample;
        let mut point = Some(Point { from, least, most: greatest, last, n: n.into() });
        for number in 0..LEVELS {
            let Some(new) = point.take() else { return };
            if number == self.levels.len() {
                self.levels.push(VecDeque::new());
            }
            let level = &mut self.levels[number];
            level.push_back(new);
            while level.len() > most {
                let Some(mut merged) = level.pop_front() else { break };
                if let Some(second) = level.pop_front() {
                    merged.add(&second);
                }
                // One goes to the next level at a time; of what else has to go, the older is lost in the newer.
                match &mut point {
                    Some(point) => point.add(&merged),
                    None => point = Some(merged),
                }
            }
            if level.capacity() > 2 * most + 8 {
                level.shrink_to(most + 1);
            }
        }
        self.cut |= point.is_some();
    }
}

#[derive(Debug)]
struct Store {
    streams: HashMap<u64, Stream>,
    bytes: usize,
    limit: usize,
    /// From here on everything was noted.
    since: Timestamp,
    /// Whether streams were forgotten.
    forgot: bool,
}

impl Store {
    /// Points that a level of a stream may have.
    fn points(&self) -> usize {
        let each = self.limit / self.streams.len().max(1);
        let points = each.saturating_sub(STREAM + 512) / size_of::<Point>() / LEVELS;
        // What a ring holds and what it has room for may differ by a factor of two.
        (points / 2).clamp(POINTS.0, POINTS.1)
    }

    fn take(&mut self, from: Timestamp, at: Timestamp, samples: &[Sample]) {
        let most = self.points();
        let cut = self.forgot;
        for sample in samples {
            let stream = self.streams.entry(sample.key).or_insert_with(|| {
                self.bytes += STREAM;
                Stream { cut, ..Stream::default() }
            });
            let before = stream.bytes();
            stream.take(from, at, sample, most);
            self.bytes = self.bytes + stream.bytes() - before;
        }
    }

    /// Makes room; says how many streams had to go.
    fn tidy(&mut self) -> usize {
        if self.bytes <= self.limit {
            return 0;
        }
        let mut order: Vec<(Timestamp, u64)> =
            self.streams.iter().map(|(key, stream)| (stream.touched, *key)).collect();
        order.sort_unstable();
        let mut gone = 0;
        for (_, key) in order {
            if self.bytes <= self.limit - self.limit / SHARE {
                break;
            }
            if let Some(stream) = self.streams.remove(&key) {
                self.bytes -= stream.bytes();
                gone += 1;
            }
        }
        self.streams.shrink_to_fit();
        self.forgot = true;
        gone
    }
}

/// The history of all streams of a node.
#[derive(Debug)]
pub struct History {
    store: Mutex<Store>,
    settings: Settings,
    to: Sender<Swept>,
    stats: Arc<HistoryStats>,
}

/// What is known of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Points, the oldest first.
    pub points: Vec<Point>,
    /// Changes of state, the oldest first; the first is the one in which it stood at the beginning, where that is known.
    pub turns: Vec<Turn>,
    /// From here on nothing is missing; not known at all if there is none.
    pub whole_from: Option<Timestamp>,
}

impl History {
    /// Begins, with a thread of its own that ends when the history does.
    pub fn start(settings: Settings, stats: Arc<HistoryStats>) -> std::io::Result<Arc<Self>> {
        let (to, swept) = bounded(WAITING);
        let history = Arc::new(Self::new(settings, to, stats));
        let weak = Arc::downgrade(&history);
        std::thread::Builder::new().name("history".into()).spawn(move || {
            follow(&swept, |swept| weak.upgrade().map(|history| history.take(&swept)).is_some());
        })?;
        Ok(history)
    }

    fn new(settings: Settings, to: Sender<Swept>, stats: Arc<HistoryStats>) -> Self {
        // A quarter is for the notes of the shards.
        let limit = usize::try_from(settings.memory / 4 * 3).unwrap_or(usize::MAX);
        let store = Store { streams: HashMap::new(), bytes: 0, limit, since: clock::now(), forgot: false };
        Self { store: Mutex::new(store), settings, to, stats }
    }

    /// The notes of one of so many shards.
    pub fn tracks(&self, shards: usize) -> Tracks {
        let most = self.settings.memory as usize / 4 / 64 / shards.max(1);
        Tracks::new(most, self.settings.step, self.to.clone(), self.stats.clone())
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a shard has noted.
    pub fn take(&self, swept: &Swept) {
        let from = swept.at - self.settings.step;
        for samples in swept.samples.chunks(TURN) {
            self.store().take(from, swept.at, samples);
        }
        self.stats.samples.add(swept.samples.len() as u64);
        let mut store = self.store();
        self.stats.forgotten.add(store.tidy() as u64);
        self.stats.streams.set(store.streams.len() as i64);
        self.stats.bytes.set(store.bytes as i64);
    }

    /// What is known of a stream between two moments.
    pub fn look(&self, key: u64, from: Timestamp, to: Timestamp) -> Known {
        let store = self.store();
        let Some(stream) = store.streams.get(&key) else {
            // It may be among those that were never noted, or were forgotten.
            let noted = !store.forgot && self.stats.untracked.get() == 0 && self.stats.lost.get() == 0;
            return Known { whole_from: noted.then_some(store.since), ..Known::default() };
        };
        let points = stream.levels.iter().rev().flatten().copied();
        let oldest = stream.levels.iter().rev().flatten().next().map(|point| point.from);
        let state = |code: u8| (code != STATELESS).then(|| State::from_code(code));
        let before =
            stream.states.iter().rev().find(|(at, _)| *at < from).map(|(_, code)| (from, state(*code)));
        let within = stream.states.iter().filter(|(at, _)| (from..=to).contains(at));
        Known {
            points: points.filter(|point| (from..=to).contains(&point.from)).collect(),
            turns: before.into_iter().chain(within.map(|(at, code)| (*at, state(*code)))).collect(),
            whole_from: Some(if stream.cut { oldest.unwrap_or(stream.touched) } else { store.since }),
        }
    }
}

fn follow(swept: &Receiver<Swept>, mut take: impl FnMut(Swept) -> bool) {
    while let Ok(swept) = swept.recv() {
        if !take(swept) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(memory: u64) -> History {
        let (to, _) = bounded(1);
        History::new(Settings { memory, step: Span::secs(5) }, to, Arc::default())
    }

    fn sample(key: u64, metric: f64, state: State) -> Sample {
        Sample { key, least: metric - 1.0, most: metric + 1.0, last: metric, n: 2, state: state as u8 }
    }

    fn at(step: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000_000 + 5 * step)
    }

    #[test]
    fn older_points_are_coarser_and_nothing_within_reach_is_lost() {
        let history = history(64 << 20);
        for n in 0..2_000 {
            let metric = if n == 300 { 1e6 } else { n as f64 };
            history.take(&Swept { at: at(n + 1), samples: vec![sample(1, metric, State::Ok)] });
        }
        let known = history.look(1, Timestamp(0), Timestamp::NEVER);
        assert!(known.points.is_sorted_by_key(|point| point.from));
        assert_eq!(known.points.iter().map(|point| point.n).sum::<u64>(), 4_000);
        assert!(known.points.len() < 400, "{}", known.points.len());
        let last = known.points.last().unwrap();
        assert_eq!((last.from, last.last, last.n), (at(1_999), 1_999.0, 2));
        // A spike stays, however coarse the points have become.
        let peak = known.points.iter().find(|point| point.most > 1e5).unwrap();
        assert_eq!(peak.most, 1e6 + 1.0);
        assert_eq!(known.points[0].from, at(0));
    }

    #[test]
    fn changes_of_state_are_kept_and_begin_with_the_one_in_force() {
        let history = history(64 << 20);
        for (n, state) in [(1, State::Ok), (2, State::Ok), (3, State::Critical), (9, State::Expired)] {
            history.take(&Swept { at: at(n), samples: vec![sample(1, 0.0, state)] });
        }
        let turns = |from, to| history.look(1, at(from), at(to)).turns;
        let all = [(at(1), Some(State::Ok)), (at(3), Some(State::Critical)), (at(9), Some(State::Expired))];
        assert_eq!(turns(0, 10), all);
        assert_eq!(turns(4, 10), [(at(4), Some(State::Critical)), all[2]]);
        assert_eq!(turns(4, 5), [(at(4), Some(State::Critical))]);
    }

    #[test]
    fn memory_is_bounded_and_those_heard_of_last_stay() {
        let history = history(8 << 20);
        for round in 0..40 {
            let samples = (0..1_000).map(|key| sample(key, 1.0, State::Ok)).collect();
            history.take(&Swept { at: at(round), samples });
            let some = round as u64 * 1000..round as u64 * 1000 + 1000;
            let passing = some.map(|key| sample(1_000_000 + key, 1.0, State::Ok)).collect();
            history.take(&Swept { at: at(round), samples: passing });
            let store = history.store();
            assert!(store.bytes <= store.limit, "{} of {}", store.bytes, store.limit);
            let counted: usize = store.streams.values().map(Stream::bytes).sum();
            assert_eq!(store.bytes, counted, "the books balance");
        }
        assert!(history.stats.forgotten.get() > 0);
        assert!(!history.look(7, Timestamp(0), Timestamp::NEVER).points.is_empty());
        let first = history.look(1_000_000, Timestamp(0), Timestamp::NEVER);
        assert_eq!((first.points.len(), first.whole_from), (0, None));
    }

    #[test]
    fn what_was_never_heard_of_is_known_to_be_nothing() {
        let history = history(64 << 20);
        let since = history.store().since;
        assert_eq!(history.look(5, Timestamp(0), Timestamp::NEVER).whole_from, Some(since));
    }
}
