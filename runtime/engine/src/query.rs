//! The query language: Riemann's, and the one way in which anything here asks for events.
//!
//! Three types, each of which settles more than the one before:
//!
//! - [`Query`]: what was written (`text.rs` reads it into [`ast`]),
//! - [`Plan`]: what has to be looked at, with everything decided that does not depend on an event,
//! - [`Matcher`]: one plan, one event, yes or no. It defines what a query means; whatever is faster has to agree with it.
//!
//! `docs/query-language.md` is the specification; its examples are run by `tests/query_docs.rs`.

mod advice;
pub mod ast;
mod error;
mod matcher;
mod number;
mod pattern;
mod plan;
mod text;
mod token;

pub use ast::Query;
pub use error::{QueryError, Warning};
pub use matcher::Matcher;
pub use number::{Big, Number};
pub use plan::{Known, Plan};

/// The longest query, in bytes.
pub const TEXT: usize = 16 << 10;

/// How deep parentheses and `not` may be nested.
pub const DEPTH: usize = 128;

/// The longest pattern of `=~` and `~=`, in bytes.
pub const PATTERN: usize = 1 << 10;

/// How many regular expressions a query may have.
pub const PATTERNS: usize = 32;
