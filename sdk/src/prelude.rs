//! The names that a rule begins with: `use tidegate_sdk::prelude::*;`.

pub use crate::burn::Burn;
pub use crate::changed::Changed;
pub use crate::distinct::Distinct;
pub use crate::fold::{Count, Ewma, Max, Mean, Min, Rate, Sum};
pub use crate::late::{Refused, Watermarked};
pub use crate::pace::Throttle;
pub use crate::quantiles::Quantiles;
pub use crate::quiet::{Flapping, Hysteresis, Quiet};
pub use crate::rounded::rounded;
pub use crate::session::Session;
pub use crate::top::Top;
pub use crate::watchdog::{Heartbeat, Suppress};
pub use crate::window::Tumbling;
pub use crate::{
    Event, Level, Metric, Out, Output, Outputs, Params, Rule, Run, Saved, Span, State, Timestamp, log, rule,
};
pub use serde::{Deserialize, Serialize};
