//! How fast, on this machine: the same stages that `benches/` measures, for a user's terminal.
//!
//! Every figure is a median over many short runs, so that a busy moment of the machine does not show; the spread between
//! the quartiles is given beside it. Compare figures of one run with each other, not with those of another day.

mod backtest;
mod frames;
mod limits;
mod load;
mod many;
mod process;
pub mod rules;
mod scaling;
mod stages;
pub mod workload;

pub use backtest::{BacktestArgs, backtest};
pub use frames::Frames;
pub use load::{LoadArgs, load};
pub use many::many;
pub use rules::built_in;
pub use stages::{StageArgs, decode, gathered, guest, matching, shard, stages};

use serde_json::{Value, json};
use std::time::Duration;

/// Times of one repeated piece of work.
#[derive(Clone, Debug, Default)]
pub struct Timing {
    /// Nanoseconds per event of each run, sorted.
    runs: Vec<f64>,
}

impl Timing {
    /// Repeats `work`, which handles `events` events, for about `span` after a warm-up of a tenth of that.
    pub fn of(span: Duration, events: usize, mut work: impl FnMut()) -> Self {
        let started = crate::clock::start();
        while started.elapsed() < span / 10 {
            work();
        }
        let started = crate::clock::start();
        let mut runs = Vec::new();
        while runs.len() < 5 || started.elapsed() < span {
            let run = crate::clock::start();
            work();
            runs.push(run.elapsed().as_nanos() as f64 / events as f64);
        }
        runs.sort_by(f64::total_cmp);
        Self { runs }
    }

    /// The runs of both.
    fn join(&mut self, other: Self) {
        self.runs.extend(other.runs);
        self.runs.sort_by(f64::total_cmp);
    }

    /// The nanoseconds per event below which this share of the runs lies.
    pub fn quantile(&self, share: f64) -> f64 {
        let at = (self.runs.len() as f64 * share) as usize;
        self.runs.get(at.min(self.runs.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }

    /// The figures as JSON.
    pub fn json(&self) -> Value {
        let median = self.quantile(0.5);
        json!({
            "ns_per_event": round(median),
            "events_per_second": (1e9 / median).round(),
            "quartiles_ns": [round(self.quantile(0.25)), round(self.quantile(0.75))],
            "runs": self.runs.len(),
        })
    }
}

fn round(nanos: f64) -> f64 {
    (nanos * 100.0).round() / 100.0
}
