//! A chart as it is told: points for stretches of time of one length, and when the state changed.

use super::{Point, Turn};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tidegate_event::{Event, Span, State as Code, Timestamp};

/// Changes of state at most.
const TURNS: usize = 1_000;

/// Points and changes of state on their way into an answer.
#[derive(Debug)]
pub struct Chart {
    from: Timestamp,
    to: Timestamp,
    step: Span,
    points: BTreeMap<i64, Point>,
    turns: Vec<(Timestamp, Value)>,
    /// Changes of state that found no room.
    cut: bool,
}

impl Chart {
    /// An empty one with so many points at most.
    pub fn new(from: Timestamp, to: Timestamp, points: usize) -> Self {
        // Whole milliseconds, since that is how it is told.
        let whole = u64::try_from((to - from).0).unwrap_or(1);
        let step = whole.div_ceil(points as u64).div_ceil(1000).max(1) * 1000;
        let step = Span(i64::try_from(step).unwrap_or(i64::MAX));
        Self { from, to, step, points: BTreeMap::new(), turns: Vec::new(), cut: false }
    }

    /// Takes in a point. They come in order.
    pub fn add(&mut self, point: &Point) {
        let number = (point.from - self.from).0.div_euclid(self.step.0);
        self.points.entry(number).and_modify(|known| known.add(point)).or_insert(*point);
    }

    /// Takes in an event.
    pub fn event(&mut self, now: Timestamp, event: &Event<'_>) {
        if let Some(metric) = event.metric().filter(|metric| metric.is_finite()) {
            self.add(&Point { from: now, least: metric, most: metric, last: metric, n: 1 });
        }
        let state = event.state_bytes().map(|_| event.state_code());
        let word = event.state().filter(|_| state == Some(Code::Other));
        self.turn((now, state), word);
    }

    /// Takes in the state from a moment on, if it is another. Of states that have no code the word is told.
    pub fn turn(&mut self, (at, state): Turn, word: Option<&str>) {
        let state = match (state, word) {
            (None, _) => Value::Null,
            (Some(_), Some(word)) => word.into(),
            (Some(Code::Other), None) => "other".into(),
            (Some(state), None) => state.as_str().into(),
        };
        if self.turns.last().is_some_and(|(_, last)| *last == state) {
            return;
        }
        match self.turns.len() < TURNS {
            true => self.turns.push((at, state)),
            false => self.cut = true,
        }
    }

    /// The points as they are told: when, smallest, greatest, last, how many.
    pub fn points(&self) -> Vec<Value> {
        let told = |(number, point): (&i64, &Point)| {
            let at = (self.from.0 + number * self.step.0).div_euclid(1000);
            json!([at, point.least, point.most, point.last, point.n])
        };
        self.points.iter().map(told).collect()
    }

    /// The changes of state as they are told: when, and to which.
    pub fn states(&self) -> Vec<Value> {
        self.turns.iter().map(|(at, state)| json!([at.0.div_euclid(1000), state])).collect()
    }

    /// When it begins.
    pub fn from(&self) -> Timestamp {
        self.from
    }

    /// When it ends.
    pub fn to(&self) -> Timestamp {
        self.to
    }

    /// Whether changes of state found no room.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The stretch of time that a point stands for.
    pub fn step_ms(&self) -> i64 {
        self.step.0 / 1000
    }
}
