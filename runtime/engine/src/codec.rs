//! Bytes of the wire to batches and back: pure functions, without a clock and without a socket.
//!
//! - [`riemann`]: the protobuf messages of Riemann's clients. Strings stay where they lie in the frame.
//! - [`json`] and [`msgpack`]: an event as a map of names to values.
//! - [`graphite`]: an event as a line.
//!
//! Every decoder is all or nothing: on an error no row is left behind in the builder. Bytes that were already appended
//! stay; nothing refers to them.

pub mod graphite;
pub mod json;
mod map;
pub mod msgpack;
pub mod riemann;

use tidegate_event::BatchBuilder;

/// How much a sender may put into one message. What goes beyond is refused, never cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events in a message.
    pub events: usize,
    /// Attributes of an event.
    pub attributes: usize,
    /// Tags of an event.
    pub tags: usize,
    /// Bytes of an attribute's name.
    pub name: usize,
    /// Bytes of a host, service, state, tag or attribute's value.
    pub value: usize,
    /// Bytes of a description.
    pub description: usize,
}

impl Limits {
    /// Enough for every client we know of.
    pub const DEFAULT: Self = Self {
        events: 100_000,
        attributes: 256,
        tags: 128,
        name: 256,
        value: 64 << 10,
        description: 1 << 20,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why JSON or MessagePack is not the events it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EventError {
    /// Which event is wrong: counted from 0 in a list, from 1 in lines.
    pub at: usize,
    /// What was expected and what was found, and in which field.
    pub message: String,
}

/// What an attribute's name means, when it is not a name of the sender's own. Riemann's rule, on every wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reserved {
    /// Its value takes the place of the field's.
    Overrides(Text),
    /// It is dropped.
    Ignored,
}

/// A field that holds one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Host,
    Service,
    State,
    Description,
}

impl Reserved {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"host" => Self::Overrides(Text::Host),
            b"service" => Self::Overrides(Text::Service),
            b"state" => Self::Overrides(Text::State),
            b"description" => Self::Overrides(Text::Description),
            b"tags" | b"time" | b"ttl" | b"metric" => Self::Ignored,
            _ => return None,
        })
    }
}

/// Whether the builder still has room for what a message of so many bytes can become. Refs have 32 bits; the worst
/// message is one of empty attributes, which grow to less than four times their size.
fn has_room(builder: &BatchBuilder, message: usize) -> bool {
    builder.bytes().len() as u64 + 4 * message as u64 + 64 < u64::from(u32::MAX)
}
