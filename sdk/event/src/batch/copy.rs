//! Events copied from one batch into another: those that concern a rule, all of them, or one to be kept.

use super::{Batch, BatchBuilder, push_list, push_text, string};
use super::{DESCRIPTION, HOST, LEAVING, METRIC, ROW, Row, SERVICE, STATE, STATE_CODE, long, word};
use crate::event::{Event, List};
use crate::field::{Field, FieldSet};
use crate::state::State;

/// The flags of the fields that are texts; in a [`FieldSet`] they stand two bits lower.
const TEXTS: u32 = HOST | SERVICE | STATE | DESCRIPTION;
const _: () = assert!(
    HOST == 4 << Field::Host as u32
        && SERVICE == 4 << Field::Service as u32
        && STATE == 4 << Field::State as u32
        && DESCRIPTION == 4 << Field::Description as u32
);

/// What a copy of an event keeps.
struct Wanted {
    /// Its flags, if all its texts lie within.
    flags: u32,
    /// The flags of the texts to copy.
    texts: u32,
    /// Whether there are lists to copy.
    lists: bool,
}

impl Wanted {
    #[inline]
    fn of(event: &Event<'_>, fields: FieldSet) -> Self {
        let from = event.raw();
        let flags = word(from, 56);
        let mut texts = flags & fields.0 << 2 & TEXTS;
        let mut kept = texts;
        if State::from_code((flags >> STATE_CODE) as u8) != State::Other {
            // The usual words are in the code: they need no text to be read back.
            texts &= !STATE;
            kept |= flags & STATE;
        }
        let lists = fields.has(Field::Tags) || fields.has(Field::Attributes);
        Self { flags: flags & !TEXTS | kept, texts, lists: lists && long(from, 48) != 0 }
    }

    #[inline]
    fn any(&self) -> bool {
        self.texts != 0 || self.lists
    }
}

/// Where the strings of a copy stand.
#[derive(Default)]
struct Refs {
    host: u32,
    service: u32,
    state: u32,
    description: u32,
    tags: u32,
    attributes: u32,
    /// The flags of texts that do not lie within.
    broken: u32,
}

impl Refs {
    /// Copies the wanted strings of an event to the end of `bytes`.
    #[inline]
    fn copy(
        bytes: &mut Vec<u8>,
        list: &mut Vec<u32>,
        event: &Event<'_>,
        fields: FieldSet,
        wanted: &Wanted,
    ) -> Self {
        let (from, strings) = event.parts();
        let mut copied = Self::default();
        if wanted.texts & HOST != 0 {
            copied.host = copied.place(HOST, copy_text(bytes, strings, word(from, 32)));
        }
        if wanted.texts & SERVICE != 0 {
            copied.service = copied.place(SERVICE, copy_text(bytes, strings, word(from, 36)));
        }
        if wanted.texts & STATE != 0 {
            copied.state = copied.place(STATE, copy_text(bytes, strings, word(from, 40)));
        }
        if wanted.texts & DESCRIPTION != 0 {
            copied.description = copied.place(DESCRIPTION, copy_text(bytes, strings, word(from, 44)));
        }
        if wanted.lists && fields.has(Field::Tags) {
            copied.tags = copy_list(bytes, list, strings, word(from, 48), 1);
        }
        if wanted.lists && fields.has(Field::Attributes) {
            copied.attributes = copy_list(bytes, list, strings, word(from, 52), 2);
        }
        copied
    }

    #[inline]
    fn place(&mut self, flag: u32, copied: Option<u32>) -> u32 {
        if copied.is_none() {
            self.broken |= flag;
        }
        copied.unwrap_or(0)
    }

    #[inline]
    fn put(&self, row: &mut [u8; ROW]) {
        let all = [self.host, self.service, self.state, self.description, self.tags, self.attributes];
        for (to, at) in row[32..56].as_chunks_mut::<4>().0.iter_mut().zip(all) {
            *to = at.to_le_bytes();
        }
    }
}

/// Copies a string with its length; `None` when it does not lie within.
#[inline]
fn copy_text(to: &mut Vec<u8>, from: &[u8], at: u32) -> Option<u32> {
    let copied = to.len();
    match from.get(at as usize..)?.first_chunk::<32>() {
        // Too much of a known length and cut again is faster than the right length, which takes a call.
        Some(head) if head[0] < 32 => {
            if head[0] == 0 {
                return Some(0);
            }
            to.extend_from_slice(head);
            to.truncate(copied + 1 + usize::from(head[0]));
            Some(copied as u32)
        }
        _ => copy_any_text(to, from, at),
    }
}

/// The same for a long one, or one at the very end.
#[cold]
fn copy_any_text(to: &mut Vec<u8>, from: &[u8], at: u32) -> Option<u32> {
    string(from, at).map(|text| push_text(to, text))
}

/// Copies a list and its strings.
#[cold]
fn copy_list(to: &mut Vec<u8>, list: &mut Vec<u32>, from: &[u8], at: u32, width: usize) -> u32 {
    list.clear();
    let mut strings = List::at(from, at, width);
    while let Some(text) = strings.next() {
        list.push(push_text(to, text));
    }
    // A pair that is cut short is none.
    list.truncate(list.len() / width * width);
    push_list(to, list.len() / width, list)
}

impl BatchBuilder {
    /// Copies the strings of the given fields of an event, and returns the row that refers to them; the row itself is
    /// for the caller to change and push.
    #[inline]
    pub fn copy_strings(&mut self, event: &Event<'_>, fields: FieldSet) -> Row {
        let wanted = Wanted::of(event, fields);
        let refs = match wanted.any() {
            true => Refs::copy(&mut self.bytes, &mut self.list, event, fields, &wanted),
            false => Refs::default(),
        };
        let present = |flag, at| (wanted.flags & !refs.broken & flag != 0).then_some(at);
        Row {
            host: present(HOST, refs.host),
            service: present(SERVICE, refs.service),
            state: present(STATE, refs.state),
            description: present(DESCRIPTION, refs.description),
            tags: refs.tags,
            attributes: refs.attributes,
            ..event.row()
        }
    }

    /// Appends a copy of an event with the given fields; the others become absent. Numbers of the row (time, metric,
    /// ttl, key, flags) are always kept, and so is the state's code. `adjust` has the last word on the new row.
    #[inline]
    pub fn copy(&mut self, event: &Event<'_>, fields: FieldSet, adjust: impl FnOnce(&mut Row)) {
        let mut row = self.copy_strings(event, fields);
        adjust(&mut row);
        self.push_row(&row);
    }

    /// Appends an event for a guest: a copy with the given fields, the metric among them, under the guest's own numbers.
    /// A rule that reads no text costs one copy of 64 bytes.
    #[inline]
    pub fn gather(
        &mut self,
        event: &Event<'_>,
        fields: FieldSet,
        key: u64,
        slot: u32,
        binding: u32,
        leaving: bool,
    ) {
        let wanted = Wanted::of(event, fields);
        let mut flags = wanted.flags & !LEAVING | if leaving { LEAVING } else { 0 };
        // Copied first and changed in place: a row put together elsewhere would be read back before it is there.
        self.rows.extend_from_slice(core::slice::from_ref(event.raw()));
        let Some(row) = self.rows.last_mut() else { return };
        if !fields.has(Field::Metric) {
            flags &= !METRIC;
            row[8..16].fill(0);
        }
        row[16..24].copy_from_slice(&key.to_le_bytes());
        row[24..28].copy_from_slice(&slot.to_le_bytes());
        row[60..64].copy_from_slice(&binding.to_le_bytes());
        if wanted.any() {
            let refs = Refs::copy(&mut self.bytes, &mut self.list, event, fields, &wanted);
            refs.put(row);
            flags &= !refs.broken;
        } else {
            row[32..56].fill(0);
        }
        row[56..60].copy_from_slice(&flags.to_le_bytes());
    }

    /// Appends all events of a batch as they are: its strings in one piece, its rows with refs that follow them.
    pub fn append(&mut self, batch: &Batch) {
        // Both begin with the empty string, which stays where it is.
        let shift = self.bytes.len() as u32 - 1;
        let moved = |at: u32| if at == 0 { 0 } else { at.saturating_add(shift) };
        self.bytes.extend_from_slice(batch.bytes.get(1..).unwrap_or_default());
        self.rows.reserve(batch.rows.len());
        for from in &batch.rows {
            let mut row = *from;
            for at in [32, 36, 40, 44] {
                row[at..at + 4].copy_from_slice(&moved(word(from, at)).to_le_bytes());
            }
            for (at, width) in [(48, 1), (52, 2)] {
                if word(from, at) != 0 {
                    // Two rows may share a list, so it is written anew rather than changed.
                    self.list.clear();
                    self.list.extend(List::at(&batch.bytes, word(from, at), width).refs().map(moved));
                    let list = push_list(&mut self.bytes, self.list.len() / width, &self.list);
                    row[at..at + 4].copy_from_slice(&list.to_le_bytes());
                }
            }
            self.rows.push(row);
        }
    }
}

/// A copy of an event's row whose refs point into `bytes`, where the wanted strings have been copied to.
fn copied(bytes: &mut Vec<u8>, event: &Event<'_>, fields: FieldSet) -> [u8; ROW] {
    let wanted = Wanted::of(event, fields);
    let refs = Refs::copy(bytes, &mut Vec::new(), event, fields, &wanted);
    let mut row = *event.raw();
    refs.put(&mut row);
    row[56..60].copy_from_slice(&(wanted.flags & !refs.broken).to_le_bytes());
    row
}

/// The latest event of one stream. Taking in another of the same stream uses the memory it has, and copies the host and
/// service no more: a stream's are always the same.
#[derive(Clone, Debug)]
pub struct Kept {
    row: [u8; ROW],
    bytes: Vec<u8>,
    /// Length of the bytes that hold the host and the service.
    names: usize,
}

impl Kept {
    /// A copy of the event.
    pub fn new(event: &Event<'_>) -> Self {
        let mut bytes = vec![0];
        let names = FieldSet::NONE.with(Field::Host).with(Field::Service);
        let row = copied(&mut bytes, event, names);
        let mut kept = Self { row, names: bytes.len(), bytes };
        kept.set(event);
        kept
    }

    /// Keeps this event instead, which is of the same stream.
    #[inline]
    pub fn set(&mut self, event: &Event<'_>) {
        let mut names = [0; 8];
        names.copy_from_slice(&self.row[32..40]);
        if event.has_no_other_text() {
            self.row = *event.raw();
            self.row[40..44].fill(0);
        } else {
            self.set_text(event);
        }
        self.row[32..40].copy_from_slice(&names);
    }

    fn set_text(&mut self, event: &Event<'_>) {
        self.bytes.truncate(self.names);
        let others = FieldSet(FieldSet::ALL.0 & !FieldSet::NONE.with(Field::Host).with(Field::Service).0);
        self.row = copied(&mut self.bytes, event, others);
        // The flags say that host and service are there; where they stand is put back by the caller.
        let flags = word(&self.row, 56) | word(event.raw(), 56) & (HOST | SERVICE);
        self.row[56..60].copy_from_slice(&flags.to_le_bytes());
    }

    /// The event.
    #[inline]
    pub fn event(&self) -> Event<'_> {
        Event::new(&self.row, &self.bytes)
    }

    /// Bytes of memory it takes.
    pub fn memory(&self) -> usize {
        ROW + self.bytes.capacity()
    }
}
