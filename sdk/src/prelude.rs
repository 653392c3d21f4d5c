//! The names that a rule begins with: `use tidegate_sdk::prelude::*;`.

pub use crate::changed::Changed;
pub use crate::fold::{Count, Ewma, Max, Mean, Min, Rate, Sum};
pub use crate::pace::Throttle;
pub use crate::quantiles::Quantiles;
pub use crate::rounded::rounded;
pub use crate::top::Top;
pub use crate::window::Tumbling;
pub use crate::{Event, Level, Out, Output, Params, Rule, Run, Saved, Span, State, Timestamp, log, rule};
pub use serde::{Deserialize, Serialize};
