//! Which field it is that could not be read: `window.open[2][1].count`.

use super::DEPTH_MAX;
use super::read::{Head, Reader};

/// The fields and places that lead to the value that a reader has looked at last; empty for the whole.
pub fn to(reader: &Reader<'_>) -> String {
    let mut path = String::new();
    let mut walk = Reader::new(reader.bytes);
    // Where bytes are damaged, the path ends.
    let _ = find(&mut walk, reader.last, &mut path, DEPTH_MAX);
    path
}

/// Extends the path to the value that begins at a place, if that is the next one or within it; else passes it.
fn find(walk: &mut Reader<'_>, place: usize, path: &mut String, depth: u32) -> Option<bool> {
    if walk.at() >= place || depth == 0 {
        return Some(true);
    }
    let (count, named) = match walk.head().ok()? {
        Head::List(count) => (count, false),
        Head::Map(count) => (count, true),
        _ => return Some(false),
    };
    for index in 0..count {
        let outside = path.len();
        if named {
            if walk.at() >= place {
                return Some(true);
            }
            match walk.head().ok()? {
                Head::Text(name) if outside > 0 => path.extend([".", name]),
                Head::Text(name) => path.push_str(name),
                _ => path.push_str("[?]"),
            }
        } else {
            path.push_str(&format!("[{index}]"));
        }
        if find(walk, place, path, depth - 1)? {
            return Some(true);
        }
        path.truncate(outside);
    }
    Some(false)
}
