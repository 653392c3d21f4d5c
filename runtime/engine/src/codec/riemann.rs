//! Riemann's protobuf messages: what its clients send, and what they expect back.
//!
//! ```text
//! Msg        ok 2 bool · error 3 string · states 4 (obsolete) · query 5 Query · events 6 repeated Event
//! Event      time 1 int64 · state 2 · service 3 · host 4 · description 5 · tags 7 repeated · ttl 8 float
//!            attributes 9 repeated Attribute · time_micros 10 int64
//!            metric_sint64 13 sint64 · metric_d 14 double · metric_f 15 float
//! Query      string 1
//! Attribute  key 1, required · value 2
//! ```
//!
//! A batch's string is a LEB128 length followed by the bytes, which is what a protobuf string is too. So the frame itself
//! serves as the batch's string bytes, and decoding writes rows; only the lists of tags and attributes are appended.
//!
//! Stricter than Riemann in three points, each of which its clients never touch: a string must be UTF-8, a length takes
//! at most five bytes, and a known field must have its own wire type. Of two values for one field the last counts.

mod decode;
mod encode;
mod usual;
mod wire;

pub use decode::{Request, decode, decode_copy};
pub use encode::{encode_error, encode_events, encode_message, encode_ok};
pub use wire::{DecodeError, Place, Wrong};
