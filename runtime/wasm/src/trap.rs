//! A trap, in words an author can use.
//!
//! What is known comes from three places: wasmtime says what the machine ran into and in which function, the limiter says
//! whether memory had been refused, and the dead guest's own descriptor says what it was doing, for which row, and the
//! last words of a panic. The last is a claim like all that a guest says; it is bounded and cleaned, and decides nothing.

use crate::memory::GuestSlice;
use tidegate_engine::guest::{Fault, FaultKind};
use tidegate_event::abi::{self, Descriptor, MESSAGE_MAX, Moment, NO_ROW};
use wasmtime::{Trap, WasmBacktrace};

/// How many functions a message names.
const NAMED: usize = 4;
/// How many characters of a function's name.
const NAME_MAX: usize = 120;

/// What a dead guest's memory says of its last moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastWords {
    pub(crate) moment: Moment,
    /// The row, or while a key is woken, saved or restored its slot.
    pub(crate) row: Option<u32>,
    pub(crate) message: String,
}

impl LastWords {
    /// Reads the descriptor of a guest. Where it claims nonsense, less is known.
    pub(crate) fn read(memory: &[u8], descriptor: GuestSlice) -> Self {
        let Some(raw) =
            descriptor.read(memory).ok().and_then(|bytes| bytes.first_chunk::<{ abi::DESCRIPTOR }>())
        else {
            return Self::default();
        };
        let descriptor = Descriptor::read(raw);
        Self {
            moment: Moment::from_code(descriptor.moment),
            row: (descriptor.row != NO_ROW).then_some(descriptor.row),
            message: read_message(memory, &descriptor),
        }
    }
}

/// The message that a descriptor points at, as one clean line.
fn read_message(memory: &[u8], descriptor: &Descriptor) -> String {
    let len = descriptor.message_len.min(MESSAGE_MAX as u32);
    let bytes = GuestSlice::claimed(descriptor.message, len).read(memory).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    // A message ends up in logs, terminals and pages.
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.trim().to_owned()
}

/// What the host was asking of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Reply,
    Region,
    Bind,
    Unbind,
    Batch,
    Mark,
    Save,
    Pick,
    Restore,
}

impl Entry {
    /// What a guest does there, when it does not say more itself.
    pub(crate) const fn doing(self) -> &'static str {
        match self {
            Self::Reply => "telling where its replies are",
            Self::Region => "making room",
            Self::Bind => "taking its settings",
            Self::Unbind => "forgetting a rule",
            Self::Batch => "handling a batch",
            Self::Mark => "marking what is to be saved",
            Self::Save | Self::Pick => "saving what its keys remember",
            Self::Restore => "restoring what its keys remember",
        }
    }
}

/// The circumstances of a call that failed.
pub(crate) struct Scene<'a> {
    pub(crate) entry: Entry,
    pub(crate) deadline_ms: u32,
    /// Memory that it may have, and the size that it was refused during the call.
    pub(crate) memory: u64,
    pub(crate) refused: Option<u64>,
    /// Rows of the batch.
    pub(crate) rows: u32,
    pub(crate) words: &'a LastWords,
}

impl Scene<'_> {
    /// Places a fault: what the guest was doing, for which row or which slot, where its claims make sense. Which slots there are is the shard's to know.
    pub(crate) fn place(&self, fault: Fault) -> Fault {
        let slot = self.words.moment.is_of_a_key();
        let row = self.words.row.filter(|row| slot || *row < self.rows).unwrap_or(NO_ROW);
        let mut fault = fault.at(self.words.moment, row);
        if self.words.moment == Moment::Idle {
            fault.during = self.entry.doing().to_owned();
        }
        fault
    }

    /// The fault that a call's error amounts to.
    pub(crate) fn explain(&self, error: &wasmtime::Error) -> Fault {
        let at = error.downcast_ref::<WasmBacktrace>().map_or_else(String::new, place_in_code);
        let (kind, message) = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => {
                (FaultKind::Deadline, format!("did not answer within {} ms{at}", self.deadline_ms))
            }
            Some(Trap::UnreachableCodeReached) => self.explain_panic(&at),
            Some(Trap::StackOverflow) => {
                (FaultKind::Trap, format!("used up its stack{at}: does it call itself without end?"))
            }
            Some(Trap::MemoryOutOfBounds) => (
                FaultKind::Trap,
                format!("accessed memory that it does not have{at}: unsafe code, or a stack that ran over"),
            ),
            Some(trap) => {
                let text = trap.to_string();
                (FaultKind::Trap, format!("{}{at}", text.strip_prefix("wasm trap: ").unwrap_or(&text)))
            }
            None => (FaultKind::Trap, format!("{error:#}{at}")),
        };
        self.place(Fault::new(kind, message))
    }

    /// A Rust panic, a failed allocation and an `abort` all end in `unreachable`.
    fn explain_panic(&self, at: &str) -> (FaultKind, String) {
        let words = &self.words.message;
        match self.refused {
            // Rust's allocator dies without a panic, so there are no last words or only its own.
            Some(wish) if words.is_empty() || words.starts_with("memory allocation") => (
                FaultKind::Memory,
                format!("asked for {} of memory, it may have {}{at}", size(wish), size(self.memory)),
            ),
            Some(wish) => (
                FaultKind::Trap,
                format!(
                    "{words} (it had been refused {} of memory, it may have {})",
                    size(wish),
                    size(self.memory)
                ),
            ),
            None if words.is_empty() => (FaultKind::Trap, format!("stopped itself without a message{at}")),
            None => (FaultKind::Trap, words.clone()),
        }
    }
}

/// A number of bytes for people: mebibytes to the next tenth, or kibibytes where that is less than one.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1 << 20 {
        return format!("{} KiB", bytes.div_ceil(1 << 10));
    }
    let (whole, part) = (bytes >> 20, bytes & ((1 << 20) - 1));
    match (part * 10).div_ceil(1 << 20) {
        0 => format!("{whole} MiB"),
        10 => format!("{} MiB", whole + 1),
        tenths => format!("{whole}.{tenths} MiB"),
    }
}

/// Where in the code it was, as far as functions have names.
fn place_in_code(trace: &WasmBacktrace) -> String {
    let names: Vec<String> =
        trace.frames().iter().filter_map(|frame| frame.func_name()).map(plain_name).collect();
    tell_names(&names)
}

/// The names, innermost first; those of Rust's own libraries only when there are no others.
fn tell_names(names: &[String]) -> String {
    let own = names.iter().filter(|name| !is_library(name));
    let mut told: Vec<String> = own.take(NAMED).map(|name| format!("`{name}`")).collect();
    if told.is_empty() {
        told.extend(names.first().map(|name| format!("`{name}`")));
    }
    match told.split_first() {
        None => String::new(),
        Some((inner, [])) => format!(", in {inner}"),
        Some((inner, outer)) => format!(", in {inner}, called by {}", outer.join(", ")),
    }
}

/// A function's name as its author wrote it, without line breaks or endless length.
fn plain_name(name: &str) -> String {
    // The alternate form leaves out the compiler's hash.
    let plain = format!("{:#}", rustc_demangle::demangle(name));
    plain.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect()
}

/// Whether a function is of Rust's own libraries: how a panic or an allocation fails, rather than where.
fn is_library(name: &str) -> bool {
    let name = name.trim_start_matches('<');
    ["std::", "core::", "alloc::", "__rustc", "rust_", "__rust", "dlmalloc::", "compiler_builtins::"]
        .iter()
        .any(|library| name.starts_with(library))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory_with(descriptor: Descriptor, message: &[u8]) -> Vec<u8> {
        let mut memory = vec![0; 4096];
        memory[64..128].copy_from_slice(&descriptor.write());
        memory[512..512 + message.len()].copy_from_slice(message);
        memory
    }

    fn words(descriptor: Descriptor, message: &[u8]) -> LastWords {
        LastWords::read(&memory_with(descriptor, message), GuestSlice::claimed(64, 64))
    }

    #[test]
    fn last_words_are_cleaned_and_bounded() {
        let descriptor =
            Descriptor { message: 512, message_len: 19, row: 3, moment: 3, ..Descriptor::default() };
        let read = words(descriptor, b"\x1b[2Jno\nluck \xff\xffhere!");
        assert_eq!(read.message, "[2Jno luck \u{fffd}\u{fffd}here!");
        assert_eq!((read.moment, read.row), (Moment::Event, Some(3)));

        let long = Descriptor { message: 512, message_len: u32::MAX, ..Descriptor::default() };
        assert_eq!(words(long, &[b'x'; 3000]).message.len(), MESSAGE_MAX);
        let outside = Descriptor { message: u32::MAX, message_len: 8, ..Descriptor::default() };
        assert_eq!(words(outside, b"").message, "");
        assert_eq!(LastWords::read(&[0; 16], GuestSlice::claimed(8, 64)), LastWords::default());
    }

    #[test]
    fn a_row_that_the_batch_does_not_have_is_not_believed() {
        let words = LastWords { moment: Moment::Event, row: Some(5), message: String::new() };
        let place = |rows| {
            let scene =
                Scene { entry: Entry::Batch, deadline_ms: 1, memory: 0, refused: None, rows, words: &words };
            scene.place(Fault::new(FaultKind::Trap, "x")).row
        };
        assert_eq!(place(6), Some(5));
        assert_eq!(place(5), None);
    }

    #[test]
    fn in_a_wake_it_is_the_slot_that_is_told() {
        let words = LastWords { moment: Moment::Wake, row: Some(5), message: String::new() };
        let scene =
            Scene { entry: Entry::Batch, deadline_ms: 1, memory: 0, refused: None, rows: 9, words: &words };
        let fault = scene.place(Fault::new(FaultKind::Trap, "x"));
        assert_eq!((fault.row, fault.slot, fault.during.as_str()), (None, Some(5), "in on_wake"));
    }

    #[test]
    fn names_are_as_their_authors_wrote_them() {
        assert_eq!(
            plain_name("_ZN14tidegate_event4time9Timestamp5floor17hc1173377e2db9703E"),
            "tidegate_event::time::Timestamp::floor"
        );
        assert_eq!(plain_name("_RNvNtCsebHcaeoSrxy_3std5alloc8rust_oom"), "std::alloc::rust_oom");
        assert_eq!(plain_name("plain"), "plain");
        assert_eq!(plain_name(&"x".repeat(500)).len(), NAME_MAX);
    }

    #[test]
    fn rusts_own_functions_are_left_out_where_there_are_others() {
        let tell =
            |names: &[&str]| tell_names(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            tell(&["std::alloc::rust_oom", "<alloc::vec::Vec<T>>::push", "slow::grow"]),
            ", in `slow::grow`"
        );
        assert_eq!(tell(&["slow::a", "core::iter::fold", "slow::b"]), ", in `slow::a`, called by `slow::b`");
        assert_eq!(tell(&["core::iter::fold"]), ", in `core::iter::fold`");
        assert_eq!(tell(&["a", "b", "c", "d", "e"]), ", in `a`, called by `b`, `c`, `d`");
        assert_eq!(tell(&[]), "");
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [
            (0, "0 KiB"),
            (1, "1 KiB"),
            (64 << 10, "64 KiB"),
            (16 << 20, "16 MiB"),
            ((16 << 20) + (64 << 10), "16.1 MiB"),
            ((1 << 20) + 1, "1.1 MiB"),
            ((2 << 20) - 1, "2 MiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
