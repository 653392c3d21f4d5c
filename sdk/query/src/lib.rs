//! The query language: Riemann's, and the one way in which anything here asks for events.
//!
//! Three types, each of which settles more than the one before:
//!
//! - [`Query`]: what was written (`text.rs` reads it into [`ast`]),
//! - [`Planned`]: what has to be looked at, with everything decided that does not depend on an event,
//! - [`Matching`]: one plan, one event, yes or no. It defines what a query means; whatever is faster has to agree with it.
//!
//! It is a crate of its own because both sides of the wasm line ask queries: the engine of every event, with the fast
//! regular expressions ([`Matcher`]), and the `standard` rule within its pipelines, with small ones ([`SmallMatcher`]).
//!
//! `docs/query-language.md` is the specification; its examples are run by the engine's `tests/query_docs.rs`.

mod advice;
pub mod ast;
mod error;
mod matcher;
mod number;
mod pattern;
mod plan;
mod search;
mod subject;
mod text;
mod token;

pub use ast::Query;
pub use error::{QueryError, Warning};
pub use matcher::Matching;
pub use number::{Big, Number};
pub use plan::{Known, Planned};
pub use search::{Refused, Search};
pub use subject::Subject;

/// A plan with the fast regular expressions.
#[cfg(feature = "full")]
pub type Plan = Planned<regex::bytes::Regex>;

/// A matcher with the fast regular expressions.
#[cfg(feature = "full")]
pub type Matcher = Matching<regex::bytes::Regex>;

/// A matcher with the small regular expressions.
#[cfg(feature = "lite")]
pub type SmallMatcher = Matching<regex_lite::Regex>;

/// The longest query, in bytes.
pub const TEXT: usize = 16 << 10;

/// How deep parentheses and `not` may be nested.
pub const DEPTH: usize = 128;

/// The longest pattern of `=~` and `~=`, in bytes.
pub const PATTERN: usize = 1 << 10;

/// How many regular expressions a query may have.
pub const PATTERNS: usize = 32;
