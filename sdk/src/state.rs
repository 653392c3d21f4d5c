//! What a key remembers as bytes: MessagePack, structs as maps with the names of their fields.
//!
//! Saving cannot fail for data; what calls itself data and refuses to be saved is a panic of the rule. Reading can, since
//! what was saved may be of another version, and then says which field it was and what was expected and found.

use crate::rule::Remembered;
use rmp_serde::{Deserializer, encode};
use serde::de::DeserializeOwned;

/// What a key remembered when another version of the rule saved it, for [`Rule::migrate`](crate::Rule::migrate).
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    schema: u32,
    state: &'a [u8],
}

impl<'a> Saved<'a> {
    pub(crate) fn new(schema: u32, state: &'a [u8]) -> Self {
        Self { schema, state }
    }

    /// The `state_schema` of the version that saved it.
    pub fn schema(&self) -> u32 {
        self.schema
    }

    /// What was saved, as a struct that looks like the one of that version. Fields that it does not have are passed over;
    /// those that were not saved need `#[serde(default)]`. The error names the field.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        read(self.state)
    }
}

/// Appends a value.
pub fn write<S: Remembered>(state: &S, to: &mut Vec<u8>) {
    if let Err(error) = encode::write_named(to, state) {
        panic!("what the key remembers cannot be saved: {error}");
    }
}

/// The value in these bytes.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut rest = bytes;
    match T::deserialize(&mut Deserializer::new(&mut rest)) {
        Ok(value) => Ok(value),
        Err(error) => Err(explain(bytes, bytes.len() - rest.len(), &error.to_string())),
    }
}

/// Says at which field reading stopped.
#[cold]
fn explain(bytes: &[u8], read: usize, error: &str) -> String {
    // Which field is missing, the error says itself; it is noticed at the end of the map, which is another's place.
    if error.starts_with("missing field") {
        return error.to_owned();
    }
    match path_to(bytes, read) {
        path if path.is_empty() => error.to_owned(),
        path => format!("field `{path}`: {error}"),
    }
}

/// The fields and places that lead to the value in which reading stopped, after so many bytes.
fn path_to(bytes: &[u8], read: usize) -> String {
    let mut path = String::new();
    let mut walk = Walk { bytes, at: 0, read };
    // Bytes that are no MessagePack have no path further in.
    let _ = walk.find(&mut path, DEPTH_MAX);
    path
}

/// Values further in than that are not looked for.
const DEPTH_MAX: u32 = 64;

/// A walk over a MessagePack value.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where reading stopped.
    read: usize,
}

/// What stands at the head of a value.
enum Head {
    /// No values within.
    Leaf,
    /// So many values.
    List(usize),
    /// So many pairs of name and value.
    Map(usize),
}

impl Walk<'_> {
    /// Extends the path to the innermost value in which reading stopped, if it is in the value here; else passes it.
    fn find(&mut self, path: &mut String, depth: u32) -> Option<bool> {
        let head = self.head()?;
        let (count, named) = match head {
            Head::Leaf => return Some(self.read <= self.at),
            Head::List(count) => (count, false),
            Head::Map(count) => (count, true),
        };
        if self.read <= self.at || depth == 0 {
            return Some(true);
        }
        for index in 0..count {
            let outside = path.len();
            if named {
                let key = self.at;
                self.head()?;
                if let Some(name) = self.text(key) {
                    path.push_str(if outside == 0 { "" } else { "." });
                    path.push_str(name);
                }
                if self.read <= self.at {
                    return Some(true);
                }
            } else {
                path.push_str(&format!("[{index}]"));
            }
            if self.find(path, depth - 1)? {
                return Some(true);
            }
            path.truncate(outside);
        }
        Some(self.read <= self.at)
    }

    /// The text of a short string at a place.
    fn text(&self, at: usize) -> Option<&str> {
        let head = match *self.bytes.get(at)? {
            0xa0..=0xbf => 1,
            0xd9 => 2,
            _ => return None,
        };
        core::str::from_utf8(self.bytes.get(at + head..self.at)?).ok()
    }

    fn size(&mut self, bytes: usize) -> Option<usize> {
        let size = self.bytes.get(self.at..self.at + bytes)?;
        self.at += bytes;
        Some(size.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    /// Passes the head of a value, and all of a value that has none within.
    fn head(&mut self) -> Option<Head> {
        let mark = self.size(1)?;
        let skip = match mark {
            0x80..=0x8f => return Some(Head::Map(mark & 15)),
            0x90..=0x9f => return Some(Head::List(mark & 15)),
            0xdc | 0xdd => return Some(Head::List(self.size(2 << (mark - 0xdc))?)),
            0xde | 0xdf => return Some(Head::Map(self.size(2 << (mark - 0xde))?)),
            0xa0..=0xbf => mark & 31,
            0xc4..=0xc6 => self.size(1 << (mark - 0xc4))?,
            0xc7..=0xc9 => 1 + self.size(1 << (mark - 0xc7))?,
            0xd9..=0xdb => self.size(1 << (mark - 0xd9))?,
            0xca => 4,
            0xcb => 8,
            0xcc..=0xcf => 1 << (mark - 0xcc),
            0xd0..=0xd3 => 1 << (mark - 0xd0),
            0xd4..=0xd8 => 1 + (1 << (mark - 0xd4)),
            _ => 0,
        };
        self.at = self.at.checked_add(skip).filter(|at| *at <= self.bytes.len())?;
        Some(Head::Leaf)
    }
}
