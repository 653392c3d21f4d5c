//! Events as MessagePack: one map, a list of maps, or several of either one after another. Fields and their values are
//! those of [`json`](super::json); a time is a number or text, MessagePack's own timestamp is refused.

use super::map::{Events, Writer};
use super::{EventError, has_room};
use serde::de::DeserializeSeed;
use tidegate_event::BatchBuilder;

/// Maps in a list are two deep, an event's own map of attributes three.
const DEPTH: usize = 8;

/// Appends the events, all or none. Returns how many there were.
pub fn decode_events(builder: &mut BatchBuilder, bytes: &[u8]) -> Result<usize, EventError> {
    if !has_room(builder, bytes.len()) {
        let message = "a batch has room for 4 GiB, these events do not fit: send fewer".to_owned();
        return Err(EventError { at: 0, message });
    }
    let rows = builder.len();
    let mut from = rmp_serde::Deserializer::new(bytes);
    from.set_max_depth(DEPTH);
    let mut writer = Writer::new(builder);
    while !from.get_ref().is_empty() {
        if let Err(error) = Events(&mut writer).deserialize(&mut from) {
            let at = writer.events();
            builder.truncate(rows);
            return Err(EventError { at, message: format!("event {at}: {error}") });
        }
    }
    Ok(builder.len() - rows)
}
