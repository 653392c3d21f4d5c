//! Write stream rules in Rust, run them as wasm in Tidegate.
//!
//! A rule is a struct that holds **what one key remembers**, and the moments in which it is asked: [`Rule`]. `#[rule]` says
//! which events it wants and what a key is; [`Out`] takes what it wants done.
//!
//! ```
//! use tidegate_sdk::prelude::*;
//!
//! #[derive(Params)]
//! struct Limits {
//!     /// A metric above this is critical.
//!     limit: f64,
//!     /// Receives the crossings.
//!     pager: Output,
//! }
//!
//! /// What we remember about one host and service.
//! #[derive(Serialize, Deserialize)]
//! struct Crossing {
//!     state: Changed<State>,
//! }
//!
//! #[rule(query = "metric != nil", per = Stream, reads(metric))]
//! impl Rule for Crossing {
//!     type Params = Limits;
//!
//!     fn first_seen(_: &Event, _: &Limits) -> Self {
//!         Self { state: Changed::starting(State::Ok) }
//!     }
//!
//!     fn on_event(&mut self, event: &Event, limits: &Limits, out: &mut Out) {
//!         let Some(metric) = event.metric() else { return };
//!         let state = State::critical_if(metric > limits.limit);
//!         if let Some(was) = self.state.set(state) {
//!             out.to(limits.pager).state(state).describe(format_args!("was {was}")).send();
//!         }
//!     }
//! }
//! ```
//!
//! The parts that rules are made of, one family in a file:
//!
//! - windows: [`Tumbling`], and [`Watermarked`] where events come late; [`Session`]; filled with anything that can [`Collect`];
//! - windows that hold whole values: [`LastN`], [`EveryN`], [`MovingTime`], [`FixedTime`], [`Batches`], [`Rollup`]; where they
//!   begin: [`Align`];
//! - numbers: [`Count`], [`Sum`], [`Mean`], [`Min`], [`Max`], [`Rate`], [`Ewma`], [`Decaying`];
//! - percentiles: [`Quantiles`]; the most frequent of many: [`Top`]; how many different ones: [`Distinct`]; all can be merged;
//! - numbers in the order of time: [`Counter`], [`Slope`], [`Forecast`], [`Apdex`], [`Runs`]; of lists with gaps: [`folds`];
//! - the latest of each kind: [`Latest`]; the few that lead: [`Leaders`];
//! - floats as text in little code: [`rounded`];
//! - how fast an error budget burns: [`Burn`];
//! - saying a thing once: [`Changed`], [`Steady`], [`Hysteresis`]; not too often: [`Throttle`], [`Quiet`], [`Flapping`],
//!   [`Suppress`]; only when it lasts: [`Stable`];
//! - hearing that something is missing: [`Heartbeat`], [`Silence`]; a clock that ticks while something lives: [`Ticker`].
//!
//! All are plain values with a bounded size that can be saved. There is no clock, no randomness and no input or output: a
//! rule that wants the same answer natively and in wasm keeps away from `HashMap`, whose order differs between the two,
//! and from `f64::ln` and its like, whose last bits do; `libm` has them for every machine.

mod burn;
mod changed;
mod distinct;
mod fill;
mod fold;
pub mod folds;
mod late;
mod latest;
mod lists;
mod out;
mod pace;
pub mod params;
pub mod prelude;
mod quantiles;
mod quiet;
mod rollup;
mod rounded;
pub mod rt;
mod rule;
mod series;
mod session;
mod state;
mod streams;
#[doc(hidden)]
pub mod sys;
mod top;
mod watchdog;
mod window;

pub use burn::Burn;
pub use changed::{Changed, Steady};
pub use distinct::Distinct;
pub use fill::{Silence, Stable};
pub use fold::{Count, Decaying, Ewma, Max, Mean, Min, Rate, Sum};
pub use late::{KEPT_MAX, Refused, Watermarked, Window};
pub use latest::{KINDS_MAX, Latest, Leaders, Standing};
pub use lists::{Align, Batches, EveryN, FixedTime, LIST_MAX, LastN, MovingTime};
pub use out::{Level, Out, Output, Sending, StateText};
pub use pace::Throttle;
pub use params::{Outputs, Params};
pub use quantiles::Quantiles;
pub use quiet::{Flapping, Hysteresis, Quiet};
pub use rollup::Rollup;
pub use rounded::{Rounded, rounded};
pub use rule::{Remembered, Rule, Run};
pub use series::{Apdex, Counter, Forecast, Line, Runs, Slope, Ticker};
pub use session::{ENDED_MAX, Ended, Session};
pub use state::Saved;
pub use tidegate_event::{Event, Field, Metric, Span, State, Timestamp, hash_bytes};
pub use tidegate_sdk_macros::{Params, rule};
pub use top::{Entry, Top};
pub use watchdog::{Heartbeat, Suppress};
pub use window::{Collect, OPEN_MAX, Tumbling};

/// The version of this crate, as it stands in every manifest.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
