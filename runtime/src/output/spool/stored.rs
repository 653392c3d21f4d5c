//! An event in a segment file: its place, who forwarded it, and its block.
//!
//! ```text
//! u64 position | u32 order, 2^32-1 for none | u32 n | u16 length of rule | u16 length of output | rule | output | block
//! ```

use super::{Numbered, Place};
use crate::framed::{self, Frame, Frames};
use crate::output::Delivery;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tidegate_event::BatchRef;

/// Bytes before the names.
const FIXED: usize = 20;

/// Marks what has no place.
const NO_ORDER: u32 = u32::MAX;

/// What an event costs beside its block.
pub const OVERHEAD: usize = 64;

/// Appends an event's record.
pub fn write(to: &mut Vec<u8>, salt: u64, event: &Numbered) {
    let delivery = &event.delivery;
    let (rule, declared) = (delivery.rule.as_bytes(), delivery.declared.as_bytes());
    let mut fixed = [0; FIXED];
    fixed[0..8].copy_from_slice(&delivery.position.to_le_bytes());
    let order = event.place.map_or(NO_ORDER, |place| place.order.min(NO_ORDER - 1));
    fixed[8..12].copy_from_slice(&order.to_le_bytes());
    fixed[12..16].copy_from_slice(&delivery.n.to_le_bytes());
    fixed[16..18].copy_from_slice(&(rule.len() as u16).to_le_bytes());
    fixed[18..20].copy_from_slice(&(declared.len() as u16).to_le_bytes());
    let batch = &delivery.batch;
    let parts = [&fixed[..], rule, declared, &batch.header_bytes(), batch.row_bytes(), batch.string_bytes()];
    framed::push(to, salt, event.number, &parts);
}

/// The parts of a payload.
struct Parts<'a> {
    position: u64,
    order: u32,
    n: u32,
    rule: &'a str,
    declared: &'a str,
    block: &'a [u8],
}

impl Parts<'_> {
    fn place(&self) -> Option<Place> {
        (self.order != NO_ORDER).then_some(Place { position: self.position, order: self.order })
    }
}

fn parts(payload: &[u8]) -> Option<Parts<'_>> {
    let (fixed, rest) = payload.split_first_chunk::<FIXED>()?;
    let half = |at: usize| usize::from(u16::from_le_bytes([fixed[at], fixed[at + 1]]));
    let word = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let position = u64::from(word(0)) | u64::from(word(4)) << 32;
    let (rule, rest) = rest.split_at_checked(half(16))?;
    let (declared, block) = rest.split_at_checked(half(18))?;
    let (rule, declared) = (str::from_utf8(rule).ok()?, str::from_utf8(declared).ok()?);
    Some(Parts { position, order: word(8), n: word(12), rule, declared, block })
}

/// The place of a stored event, and what it costs, without reading all of it.
pub fn glance(payload: &[u8]) -> Option<(Option<Place>, u32)> {
    let parts = parts(payload)?;
    Some((parts.place(), u32::try_from(parts.block.len() + OVERHEAD).unwrap_or(u32::MAX)))
}

fn read(payload: &[u8]) -> Option<(Delivery, Option<Place>)> {
    let parts = parts(payload)?;
    let Parts { position, n, rule, declared, block, .. } = parts;
    let batch = BatchRef::check(block).ok()?.to_batch();
    let event = Delivery { rule: rule.into(), declared: declared.into(), position, n, batch };
    // Whoever reads a delivery looks at its one event.
    (event.batch.len() == 1).then_some((event, parts.place()))
}

/// A run of numbers in a segment.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The first number.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// What became of them.
    pub kept: Kept,
}

/// What is left of a number.
#[derive(Clone, Debug)]
pub enum Kept {
    /// The event, and its place.
    Event(Arc<Delivery>, Option<Place>),
    /// Its record cannot be read.
    Damaged,
    /// It was dropped before it was written.
    Dropped,
}

/// Reads a segment: every number from `from` to `last`, whatever became of it.
pub fn read_segment(path: &Path, from: u64, last: u64) -> io::Result<Vec<Stored>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        // Whatever was there, nobody will find it again.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut all: Vec<Stored> = Vec::new();
    let mut next = from;
    let mut damaged = bytes.is_empty();
    let gap = |damaged: bool| if damaged { Kept::Damaged } else { Kept::Dropped };
    let frames = Frames::of(&bytes);
    damaged |= frames.is_none();
    for frame in frames.into_iter().flatten() {
        match frame {
            Frame::Record { number, .. } if number > last => break,
            Frame::Record { number, payload, .. } if number >= next => {
                if number > next {
                    all.push(Stored { first: next, last: number - 1, kept: gap(damaged) });
                }
                let kept =
                    read(payload).map_or(Kept::Damaged, |(event, place)| Kept::Event(Arc::new(event), place));
                all.push(Stored { first: number, last: number, kept });
                (next, damaged) = (number + 1, false);
            }
            // Settled before.
            Frame::Record { .. } => damaged = false,
            Frame::Damaged(_) => damaged = true,
        }
    }
    if next <= last {
        all.push(Stored { first: next, last, kept: gap(damaged) });
    }
    Ok(all)
}
