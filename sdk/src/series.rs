//! Numbers in the order of time: running sums, slopes, forecasts, rates, and the clock that tells them.

use crate::lists::Align;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tidegate_event::{Metric, Span, Timestamp};

/// Adds two numbers; whole ones stay whole as long as they fit.
pub fn plus(a: Metric, b: Metric) -> Metric {
    match (a, b) {
        (Metric::Int(a), Metric::Int(b)) => {
            a.checked_add(b).map_or(Metric::Float(a as f64 + b as f64), Metric::Int)
        }
        (a, b) => Metric::Float(a.as_f64() + b.as_f64()),
    }
}

/// A running sum: Riemann's `counter`. 16 bytes.
///
/// Whole numbers stay whole as long as the sum fits into 64 bits; from there on, and with the first float, it is a float.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::Counter;
/// let mut counter = Counter::starting(Metric::Int(100));
/// assert_eq!(counter.add(Metric::Int(2)), Metric::Int(102));
/// counter.set(Metric::Int(0));
/// assert_eq!(counter.add(Metric::Float(0.5)), Metric::Float(0.5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counter(Metric);

impl Counter {
    /// From this number on.
    pub fn starting(at: Metric) -> Self {
        Self(at)
    }

    /// So much more; returns the sum.
    pub fn add(&mut self, amount: Metric) -> Metric {
        self.0 = plus(self.0, amount);
        self.0
    }

    /// Goes on from this number.
    pub fn set(&mut self, to: Metric) {
        self.0 = to;
    }

    /// The sum.
    pub fn get(&self) -> Metric {
        self.0
    }
}

/// How fast a number grows, from one value to the next, per second: Riemann's `ddt`. It remembers one value. Times in any
/// order are fine, equal ones have no slope.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::Slope;
/// let at = Timestamp::from_secs;
/// let mut slope = Slope::default();
/// assert_eq!(slope.add(at(0), 1.0), None);
/// assert_eq!(slope.add(at(2), 5.0), Some(2.0));
/// assert_eq!(slope.add(at(2), 9.0), None); // no time has passed
/// assert_eq!(slope.add(at(3), 8.0), Some(-1.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slope(Option<(Timestamp, f64)>);

impl Slope {
    /// One more value. Returns by how much it has grown in a second since the one before.
    pub fn add(&mut self, time: Timestamp, value: f64) -> Option<f64> {
        let (before, from) = self.0.replace((time, value))?;
        (time != before).then(|| (value - from) / (time - before).secs_f64())
    }
}

/// A straight line through the last few points: Riemann's `predict-linear`.
///
/// Ordinary least squares, over seconds from the first of the points, so that the date costs no digits. At most 1,000 points of
/// 16 bytes; a line takes time linear in them.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::Forecast;
/// let at = Timestamp::from_secs;
/// let mut disk = Forecast::over(10);
/// disk.add(at(0), 70.0);
/// assert_eq!(disk.at(at(60)), None); // one point is no line
/// disk.add(at(60), 71.0);
/// assert_eq!(disk.at(at(660)), Some(81.0));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    limit: u32,
    points: VecDeque<(Timestamp, f64)>,
}

impl Forecast {
    /// Through the last so many points.
    pub fn over(points: usize) -> Self {
        Self { limit: points.clamp(1, 1_000) as u32, points: VecDeque::new() }
    }

    /// One more point.
    pub fn add(&mut self, time: Timestamp, value: f64) {
        self.points.push_back((time, value));
        if self.points.len() > self.limit as usize {
            self.points.pop_front();
        }
    }

    /// How many points there are.
    pub fn points(&self) -> usize {
        self.points.len()
    }

    /// The line, if there are two points at different times.
    pub fn line(&self) -> Option<Line> {
        let (origin, _) = *self.points.front()?;
        let n = self.points.len() as f64;
        let points = || self.points.iter().map(|(time, value)| ((*time - origin).secs_f64(), *value));
        let (x, y) = points().fold((0.0, 0.0), |(x, y), (px, py)| (x + px / n, y + py / n));
        let (over, under) = points().fold((0.0, 0.0), |(over, under), (px, py)| {
            (over + (px - x) * (py - y), under + (px - x) * (px - x))
        });
        (under > 0.0).then(|| Line { origin, slope: over / under, level: y - over / under * x })
    }

    /// What the line says of that moment.
    pub fn at(&self, time: Timestamp) -> Option<f64> {
        self.line().map(|line| line.at(time))
    }
}

/// A straight line over time: 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    origin: Timestamp,
    level: f64,
    slope: f64,
}

impl Line {
    /// What it says of that moment.
    pub fn at(&self, time: Timestamp) -> f64 {
        self.level + self.slope * (time - self.origin).secs_f64()
    }
}

/// How content people are, between 0 and 1: `(satisfied + tolerated / 2) ÷ all`. Riemann's `apdex`; the Application
/// Performance Index is an open standard of 2007. 16 bytes, exact.
///
/// ```
/// # use tidegate_sdk::Apdex;
/// let mut apdex = Apdex::default();
/// apdex.satisfied();
/// apdex.tolerated();
/// apdex.frustrated();
/// assert_eq!(apdex.get(), Some(0.5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apdex {
    halves: u64,
    all: u64,
}

impl Apdex {
    /// One was satisfied.
    pub fn satisfied(&mut self) {
        self.halves += 2;
        self.all += 1;
    }

    /// One could bear it.
    pub fn tolerated(&mut self) {
        self.halves += 1;
        self.all += 1;
    }

    /// One could not.
    pub fn frustrated(&mut self) {
        self.all += 1;
    }

    /// The index, if there was anybody.
    pub fn get(&self) -> Option<f64> {
        (self.all > 0).then(|| self.halves as f64 / 2.0 / self.all as f64)
    }
}

/// The same value so many times running: Riemann's `runs`. It remembers one value and a count.
///
/// ```
/// # use tidegate_sdk::Runs;
/// let mut down = Runs::of(3);
/// assert!(!down.add("critical"));
/// assert!(!down.add("critical"));
/// assert!(down.add("critical"));
/// assert!(down.add("critical"));
/// assert!(!down.add("ok"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs<T> {
    wanted: u32,
    found: u32,
    last: Option<T>,
}

impl<T: PartialEq> Runs<T> {
    /// So many running; of none, there never is one.
    pub fn of(wanted: u32) -> Self {
        Self { wanted, found: 0, last: None }
    }

    /// One more value. Whether the last so many are the same.
    pub fn add(&mut self, value: T) -> bool {
        let same = self.last.as_ref() == Some(&value);
        self.found = if same { self.found.saturating_add(1) } else { 1 };
        self.last = Some(value);
        self.wanted > 0 && self.found >= self.wanted
    }
}

/// A clock that ticks as long as there is life: from the first event on, until one says `expired` or the latest has outlived
/// its time-to-live. What Riemann calls `periodically-until-expired`. Ticks do not drift: each is one length after the one
/// before, however late [`tick`](Self::tick) is called.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// # use tidegate_sdk::{Align, Ticker};
/// let at = Timestamp::from_secs;
/// let mut clock = Ticker::new(Span::secs(10), Align::First);
/// clock.alive(at(3), at(20));
/// assert_eq!(clock.due(), at(13));
/// assert!(clock.tick(at(13)));
/// assert!(!clock.tick(at(23))); // nothing came for too long
/// assert_eq!(clock.due(), Timestamp::NEVER);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticker {
    every: Span,
    align: Align,
    /// It ticks as soon as it starts.
    at_once: bool,
    next: Timestamp,
    until: Timestamp,
}

impl Ticker {
    /// A clock with ticks so far apart, at least a millisecond. It stands still.
    pub fn new(every: Span, align: Align) -> Self {
        let never = Timestamp::NEVER;
        Self { every: every.max(Span::millis(1)), align, at_once: false, next: never, until: never }
    }

    /// The same, with a tick when it starts.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }

    /// Starts it if it stands still, and lets it run until this moment; [`Timestamp::NEVER`] for ever. Says whether it
    /// started.
    pub fn alive(&mut self, now: Timestamp, until: Timestamp) -> bool {
        self.until = until;
        let starts = self.next == Timestamp::NEVER;
        if starts {
            let start = self.align.start(now, self.every);
            self.next = if self.at_once { start } else { start + self.every };
        }
        starts
    }

    /// Stops it.
    pub fn stop(&mut self) {
        self.next = Timestamp::NEVER;
    }

    /// When it ticks next.
    pub fn due(&self) -> Timestamp {
        self.next
    }

    /// Moves on if a tick is due. Says whether it ticks; when it has run for long enough it stops instead. Ticks are told one
    /// by one, however late: ask for the next with [`due`](Self::due).
    pub fn tick(&mut self, now: Timestamp) -> bool {
        if self.next > now {
            return false;
        }
        if self.next > self.until {
            self.stop();
            return false;
        }
        self.next = self.next + self.every;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_that_is_told_late_counts_by_its_own_moment() {
        let at = Timestamp::from_secs;
        let mut clock = Ticker::new(Span::secs(10), Align::First);
        clock.alive(at(0), at(25));
        // 10 s and 20 s were within its life, 30 s is not.
        assert_eq!([clock.tick(at(100)), clock.tick(at(100)), clock.tick(at(100))], [true, true, false]);
        assert_eq!(clock.due(), Timestamp::NEVER);
    }
}
