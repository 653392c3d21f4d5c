//! Events and answers to a message's bytes. The caller frames them.

use crate::codec::Reserved;
use tidegate_event::{Event, Metric};

/// The answer yes: `ok` alone.
pub fn encode_ok(to: &mut Vec<u8>) {
    to.extend_from_slice(&[2 << 3, 1]);
}

/// The answer no, with the reason.
pub fn encode_error(to: &mut Vec<u8>, reason: &str) {
    to.extend_from_slice(&[2 << 3, 0]);
    text(to, 3, reason.as_bytes());
}

/// The answer to a query: `ok` and the events.
pub fn encode_events<'a>(to: &mut Vec<u8>, events: impl Iterator<Item = Event<'a>>) {
    encode_ok(to);
    encode_message(to, events);
}

/// A message of events, as a client sends it.
pub fn encode_message<'a>(to: &mut Vec<u8>, events: impl Iterator<Item = Event<'a>>) {
    for event in events {
        nested(to, 6, |to| write(to, &event));
    }
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn key(to: &mut Vec<u8>, number: u32, wire: u32) {
    varint(to, u64::from(number << 3 | wire));
}

fn text(to: &mut Vec<u8>, number: u32, text: &[u8]) {
    key(to, number, 2);
    varint(to, text.len() as u64);
    to.extend_from_slice(text);
}

/// A field whose length is known only when it is written: it is written behind and moved.
fn nested(to: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    key(to, number, 2);
    let start = to.len();
    write(to);
    let end = to.len();
    varint(to, (end - start) as u64);
    let width = to.len() - end;
    to[start..].rotate_right(width);
}

/// Riemann's own choice of fields: the metric as a float wherever one can hold it and in full besides, the time in both
/// units. Attributes whose name is that of a field would be taken for it by the receiver, so they are left out.
fn write(to: &mut Vec<u8>, event: &Event<'_>) {
    key(to, 1, 0);
    varint(to, event.time().secs() as u64);
    for (number, field) in [
        (2, event.state_bytes()),
        (3, event.service_bytes()),
        (4, event.host_bytes()),
        (5, event.description_bytes()),
    ] {
        if let Some(field) = field {
            text(to, number, field);
        }
    }
    for tag in event.tag_bytes() {
        text(to, 7, tag);
    }
    if let Some(ttl) = event.ttl() {
        key(to, 8, 5);
        to.extend_from_slice(&ttl.to_le_bytes());
    }
    for (name, value) in event.attribute_bytes() {
        if Reserved::of(name).is_none() {
            nested(to, 9, |to| {
                text(to, 1, name);
                text(to, 2, value);
            });
        }
    }
    key(to, 10, 0);
    varint(to, event.time().0 as u64);
    match event.number() {
        None => {}
        Some(Metric::Int(value)) => {
            key(to, 13, 0);
            varint(to, (value << 1 ^ value >> 63) as u64);
            single(to, value as f32);
        }
        Some(Metric::Float(value)) => {
            key(to, 14, 1);
            to.extend_from_slice(&value.to_le_bytes());
            let narrow = value as f32;
            if narrow.is_finite() || !value.is_finite() {
                single(to, narrow);
            }
        }
    }
}

fn single(to: &mut Vec<u8>, value: f32) {
    key(to, 15, 5);
    to.extend_from_slice(&value.to_le_bytes());
}
