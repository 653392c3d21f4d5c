//! What came, kept as it came: the last few, so many at a time, those of a stretch of time.
//!
//! Every list is bounded by [`LIST_MAX`]; what would be one more is left out and counted.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tidegate_event::{Span, Timestamp};

/// A list holds at most so many.
pub const LIST_MAX: usize = 10_000;

/// The last `n`: Riemann's `moving-event-window`.
///
/// At most [`LIST_MAX`], and so many values large.
///
/// ```
/// # use tidegate_sdk::LastN;
/// let mut last = LastN::new(2);
/// last.push('a');
/// last.push('b');
/// assert_eq!(last.push('c').iter().collect::<String>(), "bc");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastN<T> {
    limit: u32,
    kept: VecDeque<T>,
}

impl<T> LastN<T> {
    /// The last so many.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.min(LIST_MAX) as u32, kept: VecDeque::new() }
    }

    /// One more. Returns those that are kept, oldest first.
    pub fn push(&mut self, value: T) -> &VecDeque<T> {
        self.kept.push_back(value);
        while self.kept.len() > self.limit as usize {
            self.kept.pop_front();
        }
        &self.kept
    }

    /// Those that are kept, oldest first.
    pub fn get(&self) -> &VecDeque<T> {
        &self.kept
    }
}

/// Always `n` together: Riemann's `fixed-event-window`. What is left over waits for more, however long.
///
/// At most [`LIST_MAX`]: of more, that many come together.
///
/// ```
/// # use tidegate_sdk::EveryN;
/// let mut pairs = EveryN::new(2);
/// assert_eq!(pairs.push('a'), None);
/// assert_eq!(pairs.push('b'), Some(vec!['a', 'b']));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EveryN<T> {
    limit: u32,
    kept: Vec<T>,
}

impl<T> EveryN<T> {
    /// So many together; of none, nothing ever comes.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.min(LIST_MAX) as u32, kept: Vec::new() }
    }

    /// One more. Returns them when there are enough.
    pub fn push(&mut self, value: T) -> Option<Vec<T>> {
        if self.limit == 0 {
            return None;
        }
        self.kept.push(value);
        (self.kept.len() >= self.limit as usize).then(|| std::mem::take(&mut self.kept))
    }
}

/// Those of the last stretch of time, by the time at which they happened: Riemann's `moving-time-window`.
///
/// A stretch ends with the newest value and does not move with the clock: without a new value nothing leaves. A value that is
/// as old as the stretch is long has left. One that has no time stays until [`LIST_MAX`] is reached; then the first that came
/// gives way and is counted.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::MovingTime;
/// let at = |secs| Some(Timestamp::from_secs(secs));
/// let mut last = MovingTime::new(Span::secs(10));
/// assert!(last.push(at(100), 'a'));
/// assert!(last.push(at(105), 'b'));
/// assert!(!last.push(at(90), 'c')); // too old
/// assert!(last.push(at(112), 'd'));
/// assert_eq!(last.values().collect::<String>(), "bd");
/// assert_eq!(last.left_out(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MovingTime<T> {
    span: Span,
    newest: Timestamp,
    kept: VecDeque<(Option<Timestamp>, T)>,
    left_out: u64,
}

impl<T> MovingTime<T> {
    /// Those younger than the newest less `span`.
    pub fn new(span: Span) -> Self {
        Self { span, newest: Timestamp(i64::MIN), kept: VecDeque::new(), left_out: 0 }
    }

    /// The same, as if one had come at `newest` before.
    #[must_use]
    pub fn after(mut self, newest: Timestamp) -> Self {
        self.newest = newest;
        self
    }

    /// One more. False when it is too old and was left out.
    ///
    /// A time far ahead makes everything else too old. Where senders' clocks may be wrong, give it none that is later than
    /// [`out.now()`](crate::Out::now).
    pub fn push(&mut self, time: Option<Timestamp>, value: T) -> bool {
        self.newest = self.newest.max(time.unwrap_or(self.newest));
        let oldest = self.oldest();
        if time.is_some_and(|time| time <= oldest) {
            self.left_out += 1;
            return false;
        }
        // What is too old and not the first stays until those before it have left, but is not shown.
        while self.kept.front().is_some_and(|(time, _)| !is_young(*time, oldest)) {
            self.kept.pop_front();
        }
        if self.kept.len() >= LIST_MAX {
            self.kept.retain(|(time, _)| is_young(*time, oldest));
        }
        if self.kept.len() >= LIST_MAX {
            self.kept.pop_front();
            self.left_out += 1;
        }
        self.kept.push_back((time, value));
        true
    }

    /// Those that are kept, as they came.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        let oldest = self.oldest();
        self.kept.iter().filter(move |(time, _)| is_young(*time, oldest)).map(|(_, value)| value)
    }

    fn oldest(&self) -> Timestamp {
        Timestamp(self.newest.0.saturating_sub(self.span.0))
    }

    /// How many were too old, or one too many.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// Whether it is inside the stretch that this is too old for; what has no time always is.
fn is_young(time: Option<Timestamp>, oldest: Timestamp) -> bool {
    time.is_none_or(|time| time > oldest)
}

/// Where windows begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Align {
    /// At whole multiples of their length since 1970: the same in every process, whenever it was started.
    Epoch,
    /// With the first that comes, and with the next after a window without any.
    First,
    /// At whole multiples of their length since this moment.
    At(Timestamp),
}

impl Align {
    /// Where the window begins that this moment is in, if no window is open.
    pub fn start(self, time: Timestamp, every: Span) -> Timestamp {
        match self {
            Self::Epoch => time.floor(every),
            Self::First => time,
            Self::At(origin) => {
                let since = Timestamp(time.0.saturating_sub(origin.0)).floor(every);
                Timestamp(origin.0.saturating_add(since.0))
            }
        }
    }
}

/// Windows of equal length, by the time at which things happened: Riemann's `fixed-time-window` and
/// `fixed-offset-time-window`.
///
/// A window holds its first moment and not its end. It closes when something later happens and, unless
/// [`open_end`](Self::open_end) is said, when the clock passes its end. What is older than the open window is left out and
/// counted, and so is what is more than [`LIST_MAX`] in one window. One window is open at a time; where events come out of
/// order take [`Watermarked`](crate::Watermarked).
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::{Align, FixedTime};
/// let at = |secs| Some(Timestamp::from_secs(secs));
/// let mut windows = FixedTime::new(Span::secs(10), Align::Epoch);
/// assert!(windows.push(at(11), 'a').is_empty());
/// assert!(windows.push(at(19), 'b').is_empty());
/// assert_eq!(windows.push(at(21), 'c'), [vec!['a', 'b']]);
/// assert_eq!(windows.wake(Timestamp::from_secs(30)), [vec!['c']]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixedTime<T> {
    every: Span,
    align: Align,
    by_clock: bool,
    /// Windows without anything are told as well.
    empty: bool,
    start: Option<Timestamp>,
    kept: Vec<T>,
    left_out: u64,
}

impl<T> FixedTime<T> {
    /// Windows of that length; at least a microsecond.
    pub fn new(every: Span, align: Align) -> Self {
        Self {
            every: every.max(Span(1)),
            align,
            by_clock: true,
            empty: false,
            start: None,
            kept: Vec::new(),
            left_out: 0,
        }
    }

    /// The same, closed by something later alone, with a list for windows without anything: as Riemann has it. At most
    /// [`LIST_MAX`] empty lists follow each other.
    #[must_use]
    pub fn open_end(mut self) -> Self {
        (self.by_clock, self.empty) = (false, true);
        self
    }

    /// One more. Returns the windows that it closes.
    ///
    /// A time far ahead closes the window for all others. Where senders' clocks may be wrong, give it none that is later
    /// than [`out.now()`](crate::Out::now).
    pub fn push(&mut self, time: Option<Timestamp>, value: T) -> Vec<Vec<T>> {
        let Some(time) = time else {
            self.keep(value);
            return Vec::new();
        };
        let Some(start) = self.start else {
            if !self.by_clock {
                // As Riemann has it: what came before the first with a time is gone.
                self.kept.clear();
            }
            self.start = Some(self.align.start(time, self.every));
            self.keep(value);
            return Vec::new();
        };
        if time < start {
            self.left_out += 1;
            return Vec::new();
        }
        let windows = (time - start).0 / self.every.0;
        if windows == 0 {
            self.keep(value);
            return Vec::new();
        }
        let mut closed = Vec::new();
        if self.empty || !self.kept.is_empty() {
            closed.push(std::mem::take(&mut self.kept));
        }
        if self.empty {
            closed.resize_with(windows.min(LIST_MAX as i64) as usize, Vec::new);
        }
        self.start = Some(match self.align {
            Align::First if !self.empty => time,
            _ => start + Span(windows * self.every.0),
        });
        self.keep(value);
        closed
    }

    /// When the open window closes by the clock.
    pub fn due(&self) -> Timestamp {
        match self.start {
            Some(start) if self.by_clock && !self.kept.is_empty() => start + self.every,
            _ => Timestamp::NEVER,
        }
    }

    /// Closes the open window if its end has come.
    pub fn wake(&mut self, now: Timestamp) -> Vec<Vec<T>> {
        if self.kept.is_empty() || self.due() > now {
            return Vec::new();
        }
        self.start = match self.align {
            Align::First => None,
            _ => self.start.map(|start| start + self.every),
        };
        vec![std::mem::take(&mut self.kept)]
    }

    fn keep(&mut self, value: T) {
        if self.kept.len() < LIST_MAX {
            self.kept.push(value);
        } else {
            self.left_out += 1;
        }
    }

    /// How many were too old, or one too many.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// So many together, or those of so long: Riemann's `batch`.
///
/// At most [`LIST_MAX`]: of more, that many come together. A batch that is full leaves the edges where they are; the next one
/// is open until the same edge with [`Align::Epoch`] and [`Align::At`], and for its full length with [`Align::First`].
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::{Align, Batches};
/// let at = Timestamp::from_secs;
/// let mut batches = Batches::new(2, Span::secs(10), Align::First);
/// assert_eq!(batches.push(at(0), 'a'), None);
/// assert_eq!(batches.push(at(1), 'b'), Some(vec!['a', 'b']));
/// assert_eq!(batches.push(at(5), 'c'), None);
/// assert_eq!(batches.due(), at(15));
/// assert_eq!(batches.wake(at(15)), Some(vec!['c']));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batches<T> {
    limit: u32,
    every: Span,
    align: Align,
    start: Timestamp,
    kept: Vec<T>,
}

impl<T> Batches<T> {
    /// At most so many, at least one; at most so long, at least a microsecond.
    pub fn new(limit: usize, every: Span, align: Align) -> Self {
        let limit = limit.clamp(1, LIST_MAX) as u32;
        Self { limit, every: every.max(Span(1)), align, start: Timestamp::EPOCH, kept: Vec::new() }
    }

    /// One more. Returns them when there are enough.
    pub fn push(&mut self, now: Timestamp, value: T) -> Option<Vec<T>> {
        if self.kept.is_empty() {
            self.start = self.align.start(now, self.every);
        }
        self.kept.push(value);
        (self.kept.len() >= self.limit as usize).then(|| std::mem::take(&mut self.kept))
    }

    /// When those that wait have waited for long enough.
    pub fn due(&self) -> Timestamp {
        if self.kept.is_empty() { Timestamp::NEVER } else { self.start + self.every }
    }

    /// Takes those that wait, if their time has come.
    pub fn wake(&mut self, now: Timestamp) -> Option<Vec<T>> {
        (!self.kept.is_empty() && self.due() <= now).then(|| std::mem::take(&mut self.kept))
    }

    /// Where the open window begins and ends.
    pub fn edges(&self) -> (Timestamp, Timestamp) {
        (self.start, self.start + self.every)
    }
}
