//! A forwarded event as a JSON object, with what names it.

use super::Delivery;
use tidegate_engine::codec;

/// Appends `{"id": …, "rule": …, "output": …, "event": {…}}`.
pub fn write(to: &mut Vec<u8>, delivery: &Delivery) {
    to.extend_from_slice(b"{\"id\":");
    text(to, &delivery.id());
    to.extend_from_slice(b",\"rule\":");
    text(to, &delivery.rule);
    to.extend_from_slice(b",\"output\":");
    text(to, &delivery.declared);
    to.extend_from_slice(b",\"event\":");
    codec::json::encode_event(to, &delivery.event());
    to.push(b'}');
}

fn text(to: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(to, text).expect("text can be written to memory");
}
