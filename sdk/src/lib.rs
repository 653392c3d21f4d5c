//! Write stream rules in Rust, run them as wasm in Tidegate.
//!
#![doc = include_str!("../README.md")]

mod changed;
mod fold;
mod out;
pub mod params;
mod pace;
pub mod prelude;
mod quantiles;
pub mod rt;
mod rule;
mod streams;
#[doc(hidden)]
pub mod sys;
mod top;
mod window;

pub use changed::{Changed, Steady};
pub use fold::{Count, Decaying, Ewma, Max, Mean, Min, Rate, Sum};
pub use out::{Level, Out, Output, Sending, StateText};
pub use pace::Throttle;
pub use params::Params;
pub use quantiles::Quantiles;
pub use rule::{Rule, Run};
pub use tidegate_event::{Event, Metric, Span, State, Timestamp};
pub use tidegate_sdk_macros::{Params, rule};
pub use top::{Entry, Top};
pub use window::{Collect, OPEN_MAX, Tumbling};

/// The version of this crate, as it stands in every manifest.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
