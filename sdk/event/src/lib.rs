//! The bytes that both sides of the wasm line agree on.
//!
//! - An **event** is what happened: [`Event`] is a borrowed view of one, [`NewEvent`] describes one to be written.
//! - A **batch** is many events as one block of bytes: [`Batch`] owns one, [`BatchRef`] reads one that came from elsewhere.
//! - An **effect** is what a rule asked for: [`Reply`] carries the effects of one call, [`ReplyRef`] reads them back.
//! - A **key state** is what one key remembers, saved: [`KeyState`], and [`KeyStates`] reads a list of them.
//! - The **ABI** is the handful of names and numbers in [`abi`] by which a host and a module find each other.
//!
//! Not here: clocks, input and output, allocation policy. The crate has no dependencies (serde only where it is asked for)
//! and builds for wasm and native alike; golden files in `tests/golden` hold every version of the layout to its word.

pub mod abi;
mod batch;
mod effect;
mod event;
mod exports;
mod field;
mod hash;
mod key_state;
#[cfg(feature = "serde")]
mod saved;
mod setting;
mod state;
mod text;
mod time;

pub use batch::{Batch, BatchBuilder, BatchError, BatchRef, Header, Kept, ROW, Row, RowWriter};
pub use effect::{
    Action, Base, Effect, Override, Overrides, RECORD, Record, Reply, ReplyError, ReplyRef, Spot,
};
pub use event::{Attributes, Event, Metric, NewEvent, Tags};
pub use exports::{Exports, NotRestored};
pub use field::{Field, FieldSet};
pub use hash::{hash_bytes, stream_key};
pub use key_state::{KeyState, KeyStateError, KeyStateRef, KeyStates};
pub use setting::{Kind, Setting, Settings, SettingsWriter};
pub use state::State;
pub use time::{Span, Timestamp};
