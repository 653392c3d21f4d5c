//! What a query can be asked of: an event in a batch, or whatever else has an event's fields.

use tidegate_event::{Event, Metric, Timestamp};

/// Something with an event's fields.
pub trait Subject {
    /// Its host, if it has one.
    fn host(&self) -> Option<&[u8]>;
    /// Its service, if it has one.
    fn service(&self) -> Option<&[u8]>;
    /// Its state, if it has one.
    fn state(&self) -> Option<&[u8]>;
    /// Its description, if it has one.
    fn description(&self) -> Option<&[u8]>;
    /// Its attribute of that name, if it has one.
    fn attribute(&self, name: &[u8]) -> Option<&[u8]>;
    /// Its metric, if it has one.
    fn metric(&self) -> Option<Metric>;
    /// Its time.
    fn time(&self) -> Timestamp;
    /// Its time-to-live in seconds, if it has one.
    fn ttl(&self) -> Option<f32>;
    /// Whether it has tags.
    fn has_tags(&self) -> bool;
    /// Whether it has this tag.
    fn tagged(&self, tag: &[u8]) -> bool;
}

impl Subject for Event<'_> {
    #[inline]
    fn host(&self) -> Option<&[u8]> {
        self.host_bytes()
    }

    #[inline]
    fn service(&self) -> Option<&[u8]> {
        self.service_bytes()
    }

    #[inline]
    fn state(&self) -> Option<&[u8]> {
        self.state_bytes()
    }

    #[inline]
    fn description(&self) -> Option<&[u8]> {
        self.description_bytes()
    }

    #[inline]
    fn attribute(&self, name: &[u8]) -> Option<&[u8]> {
        self.attribute_value(name)
    }

    #[inline]
    fn metric(&self) -> Option<Metric> {
        self.number()
    }

    #[inline]
    fn time(&self) -> Timestamp {
        Event::time(self)
    }

    #[inline]
    fn ttl(&self) -> Option<f32> {
        Event::ttl(self)
    }

    #[inline]
    fn has_tags(&self) -> bool {
        self.tag_bytes().next().is_some()
    }

    #[inline]
    fn tagged(&self, tag: &[u8]) -> bool {
        self.tag_bytes().any(|found| found == tag)
    }
}
