//! The wire's bytes to batches and back: pure functions, one file for each format.

pub mod graphite;
pub mod json;
pub mod msgpack;
pub mod riemann;
mod value;

/// What a message may hold. What is beyond is refused whole, with the number that was exceeded.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events of a message.
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

impl Default for Limits {
    fn default() -> Self {
        Self { events: 100_000, attributes: 256, tags: 128, name: 256, value: 64 << 10, description: 1 << 20 }
    }
}
