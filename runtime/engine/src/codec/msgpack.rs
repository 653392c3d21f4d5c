//! The same events as MessagePack: a map, an array of maps, or maps one after the other.

use super::json::{JsonError, all_or_none};
use super::value::Value;
use serde::Deserialize;
use std::io::Cursor;
use tidegate_event::BatchBuilder;

/// How deep maps and arrays may nest.
const DEPTH: usize = 32;

/// Reads events: all of them or, after an error, none. Tells how many there were.
pub fn decode_events(builder: &mut BatchBuilder, bytes: &[u8]) -> Result<usize, JsonError> {
    let mut from = rmp_serde::Deserializer::new(Cursor::new(bytes));
    from.set_max_depth(DEPTH);
    let mut values = Vec::new();
    while (from.get_ref().position() as usize) < bytes.len() {
        let value = Value::deserialize(&mut from).map_err(|error| JsonError::new(values.len(), error))?;
        values.push(value);
    }
    all_or_none(builder, &values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::Metric;

    fn packed(json: &str) -> Vec<u8> {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        rmp_serde::to_vec_named(&value).unwrap()
    }

    #[test]
    fn a_map_an_array_and_a_row_of_maps_are_read() {
        let one = packed(r#"{"host": "a", "metric": -3, "tags": ["x"], "rack": 7}"#);
        let many = packed(r#"[{"host": "b"}, {"host": "c", "metric": 0.5}]"#);
        let mut builder = BatchBuilder::new();
        assert_eq!(decode_events(&mut builder, &[one, many].concat()), Ok(3));
        let batch = builder.finish();
        assert_eq!(batch.event(0).number(), Some(Metric::Int(-3)));
        assert_eq!((batch.event(0).attribute("rack"), batch.event(2).host()), (Some("7"), Some("c")));
    }

    #[test]
    fn hostile_bytes_are_refused_quickly() {
        let mut builder = BatchBuilder::new();
        for bytes in [
            &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
            &[0xdf, 0xff, 0xff, 0xff, 0xff],
            &[0x91; 100_000],
            &[0xc7, 1, 2, 3],
            &[0xdb, 0xff, 0xff, 0xff, 0xff, b'a'],
            &[0xc1],
        ] {
            assert!(decode_events(&mut builder, bytes).is_err(), "{:?}", &bytes[..4.min(bytes.len())]);
            assert!(builder.is_empty());
        }
    }
}
