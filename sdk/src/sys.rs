//! The fence: the guest's end of the wasm line, and the only file here in which unsafe code is allowed.
//!
//! The host calls the exports below and writes into the region between calls. It reads the descriptor, the reply and the
//! message at any time when no call is under way, also after a trap; so whatever it may read then lies in statics.
//! Atomics are how a static is written without unsafe code; in a module, which has one thread, they are plain stores.
//!
//! What is left for the fence are three attributes that give symbols and a section their names. Natively nothing of this
//! is there but `mark`, which does nothing, and `mark_row`.

#![allow(unsafe_code)] // `#[unsafe(no_mangle)]` and `#[unsafe(link_section)]`, in `__export!` below

use tidegate_event::Reply;
use tidegate_event::abi::Moment;

/// Says what is being done for which row, or for the wake of which slot, in case it is the last thing.
#[inline]
pub(crate) fn mark(row: u32, moment: Moment) {
    #[cfg(target_arch = "wasm32")]
    guest::mark(row, moment);
    let _ = (row, moment);
}

/// Says which row is being handled, in case it is the last one: natively in the reply, since there is no descriptor.
#[inline]
pub(crate) fn mark_row(reply: &mut Reply, row: u32) {
    #[cfg(target_arch = "wasm32")]
    guest::mark_row(row);
    #[cfg(target_arch = "wasm32")]
    let _ = reply;
    #[cfg(not(target_arch = "wasm32"))]
    {
        reply.row = row;
    }
}

/// The exports of a module and its manifest section. For the footer of `#[rule]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($rule:ty, $manifest:expr, $len:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static GUEST: $crate::sys::guest::Cell<$rule> =
                    const { $crate::sys::guest::empty() };
            }

            // SAFETY: the section's name is the ABI's, and what stands in it are bytes without addresses.
            #[unsafe(link_section = "tidegate.manifest")]
            #[used]
            static MANIFEST: [u8; $len] = $manifest;

            // SAFETY, for each of these names: they are the ABI's, and nothing else in a module has them, since the linker
            // refuses a second `#[rule]` beside the first.
            #[unsafe(no_mangle)]
            extern "C" fn tg_abi_1() {}
            #[unsafe(no_mangle)]
            extern "C" fn tg_region(bytes: u32) -> u32 {
                $crate::sys::guest::region(bytes)
            }
            #[unsafe(no_mangle)]
            extern "C" fn tg_reply() -> u32 {
                $crate::sys::guest::reply()
            }
            #[unsafe(no_mangle)]
            extern "C" fn tg_bind(binding: u32, len: u32) -> u32 {
                $crate::sys::guest::bind(&GUEST, binding, len)
            }
            #[unsafe(no_mangle)]
            extern "C" fn tg_unbind(binding: u32) {
                $crate::sys::guest::unbind(&GUEST, binding)
            }
            #[unsafe(no_mangle)]
            extern "C" fn tg_batch(len: u32) -> u32 {
                $crate::sys::guest::batch(&GUEST, len)
            }
            #[unsafe(no_mangle)]
            extern "C" fn tg_mark(all: u32) -> u32 {
                $crate::sys::guest::mark_keys(&GUEST, all)
            }
            #[unsafe(no_mangle)]
            extern "C" fn tg_save(most: u32) -> u32 {
                $crate::sys::guest::save(&GUEST, most)
            }
            #[unsafe(no_mangle)]
            extern "C" fn tg_pick(len: u32) -> u32 {
                $crate::sys::guest::pick(&GUEST, len)
            }
            #[unsafe(no_mangle)]
            extern "C" fn tg_restore(schema: u32, len: u32) -> u32 {
                $crate::sys::guest::restore(&GUEST, schema, len)
            }
        };
    };
}

/// What the exports do.
#[cfg(target_arch = "wasm32")]
pub mod guest {
    use crate::rt::{RuleManifest, Runner};
    use crate::rule::Rule;
    use core::fmt::{self, Write};
    use std::cell::RefCell;
    use std::sync::Once;
    use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, Ordering::Relaxed};
    use std::thread::LocalKey;
    use tidegate_event::abi::{DESCRIPTOR, MESSAGE_MAX, Moment, NO_ROW, REGION_ALIGN, UNFIT};
    use tidegate_event::{KeyStates, NotRestored, Reply, Timestamp};

    /// The descriptor as `tidegate_event::abi` draws it.
    #[repr(C, align(64))]
    struct Descriptor {
        records: AtomicU32,
        record_count: AtomicU32,
        bytes: AtomicU32,
        byte_count: AtomicU32,
        next_wake: AtomicI64,
        row: AtomicU32,
        moment: AtomicU32,
        message: AtomicU32,
        message_len: AtomicU32,
        keys: AtomicU32,
        woken: AtomicU32,
        reserved: [AtomicU32; 4],
    }

    const _: () = assert!(size_of::<Descriptor>() == DESCRIPTOR);

    static AT: Descriptor = Descriptor {
        records: AtomicU32::new(0),
        record_count: AtomicU32::new(0),
        bytes: AtomicU32::new(0),
        byte_count: AtomicU32::new(0),
        next_wake: AtomicI64::new(i64::MAX),
        row: AtomicU32::new(NO_ROW),
        moment: AtomicU32::new(Moment::Idle as u32),
        message: AtomicU32::new(0),
        message_len: AtomicU32::new(0),
        keys: AtomicU32::new(0),
        woken: AtomicU32::new(0),
        reserved: [const { AtomicU32::new(0) }; 4],
    };

    static MESSAGE: [AtomicU8; MESSAGE_MAX] = [const { AtomicU8::new(0) }; MESSAGE_MAX];

    static HOOK: Once = Once::new();

    std::thread_local! {
        /// Where the host writes. The host keeps the address, so it is replaced only when the host asks for more.
        static REGION: RefCell<Region> = const { RefCell::new(Region { bytes: Vec::new(), start: 0, len: 0 }) };
    }

    struct Region {
        bytes: Vec<u8>,
        start: usize,
        len: usize,
    }

    /// A guest, and what the host reads: the reply to a batch, and a list of saved keys.
    pub struct Guest<R: Rule> {
        runner: Runner<R>,
        reply: Option<Reply>,
        list: Vec<u8>,
    }

    /// Where a module keeps its guest.
    pub type Cell<R> = RefCell<Guest<R>>;

    /// A guest before its first call.
    pub const fn empty<R: Rule>() -> Cell<R> {
        RefCell::new(Guest { runner: Runner::new(), reply: None, list: Vec::new() })
    }

    #[inline]
    pub(super) fn mark(row: u32, moment: Moment) {
        AT.row.store(row, Relaxed);
        AT.moment.store(moment as u32, Relaxed);
    }

    #[inline]
    pub(super) fn mark_row(row: u32) {
        AT.row.store(row, Relaxed);
    }

    /// Writes last words where the host finds them, as many as there is room for.
    struct Message(usize);

    impl Write for Message {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for c in text.chars() {
                let mut utf8 = [0; 4];
                let encoded = c.encode_utf8(&mut utf8).as_bytes();
                if self.0 + encoded.len() > MESSAGE_MAX {
                    return Err(fmt::Error);
                }
                for byte in encoded {
                    MESSAGE[self.0].store(*byte, Relaxed);
                    self.0 += 1;
                }
            }
            AT.message_len.store(self.0 as u32, Relaxed);
            Ok(())
        }
    }

    fn say(text: fmt::Arguments<'_>) {
        AT.message.store((&raw const MESSAGE).expose_provenance() as u32, Relaxed);
        AT.message_len.store(0, Relaxed);
        let mut message = Message(0);
        // An error means that the message is full: what fitted counts.
        let _ = message.write_fmt(text);
        AT.message_len.store(message.0 as u32, Relaxed);
    }

    fn begin() {
        HOOK.call_once(|| {
            std::panic::set_hook(Box::new(|panic| {
                let text = panic.payload_as_str().unwrap_or("a panic without a message");
                match panic.location() {
                    Some(place) => say(format_args!("panicked at {place}: {text}")),
                    None => say(format_args!("panicked: {text}")),
                }
            }));
        });
    }

    /// `tg_region`
    pub fn region(bytes: u32) -> u32 {
        begin();
        REGION.with_borrow_mut(|region| {
            let len = bytes as usize;
            if region.len < len || region.bytes.is_empty() {
                let mut fresh = Vec::new();
                let Some(room) = len.checked_add(REGION_ALIGN) else { return 0 };
                // The old one goes first: a guest has little memory, and nothing of it is needed.
                *region = Region { bytes: Vec::new(), start: 0, len: 0 };
                if fresh.try_reserve_exact(room).is_err() {
                    return 0;
                }
                fresh.resize(room, 0);
                let start = fresh.as_ptr().align_offset(REGION_ALIGN);
                *region = Region { bytes: fresh, start, len };
            }
            region.bytes[region.start..].as_mut_ptr().expose_provenance() as u32
        })
    }

    /// Lends `read` the first bytes of the region; `None` when there are not so many.
    fn with_region<T>(len: u32, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        REGION.with_borrow(|region| {
            let len = len as usize;
            if len > region.len {
                say(format_args!("the region has {} bytes, the host speaks of {len}", region.len));
                return None;
            }
            region.bytes.get(region.start..region.start + len).map(read)
        })
    }

    /// `tg_reply`
    pub fn reply() -> u32 {
        begin();
        (&raw const AT).expose_provenance() as u32
    }

    /// `tg_bind`
    pub fn bind<R: Rule>(guest: &'static LocalKey<Cell<R>>, binding: u32, len: u32) -> u32 {
        begin();
        mark(NO_ROW, Moment::Bind);
        let bound =
            with_region(len, |settings| guest.with_borrow_mut(|guest| guest.runner.bind(binding, settings)));
        mark(NO_ROW, Moment::Idle);
        match bound {
            Some(Ok(())) => 0,
            Some(Err(reason)) => {
                say(format_args!("{reason}"));
                1
            }
            None => 1,
        }
    }

    /// `tg_unbind`
    pub fn unbind<R: Rule>(guest: &'static LocalKey<Cell<R>>, binding: u32) {
        guest.with_borrow_mut(|guest| guest.runner.unbind(binding));
    }

    /// `tg_batch`
    pub fn batch<R: Rule>(guest: &'static LocalKey<Cell<R>>, len: u32) -> u32 {
        let called = with_region(len, |block| {
            guest.with_borrow_mut(|guest| {
                let reply = guest.reply.get_or_insert_with(Reply::default);
                let outcome = guest.runner.try_call(block, reply);
                describe(reply);
                outcome
            })
        });
        match called {
            Some(Ok(())) => 0,
            Some(Err(refused)) => {
                say(format_args!("{refused}"));
                1
            }
            None => 1,
        }
    }

    /// `tg_mark`
    pub fn mark_keys<R: Rule>(guest: &'static LocalKey<Cell<R>>, all: u32) -> u32 {
        AT.keys.store(guest.with_borrow_mut(|guest| guest.runner.mark(all != 0)), Relaxed);
        0
    }

    /// `tg_save`
    pub fn save<R: Rule>(guest: &'static LocalKey<Cell<R>>, most: u32) -> u32 {
        guest.with_borrow_mut(|guest| {
            guest.list.clear();
            let left = guest.runner.save(most, &mut guest.list);
            answer(&guest.list, left);
        });
        0
    }

    /// `tg_pick`
    pub fn pick<R: Rule>(guest: &'static LocalKey<Cell<R>>, len: u32) -> u32 {
        let picked = with_region(len, |slots| {
            guest.with_borrow_mut(|guest| {
                guest.list.clear();
                let slots = slots.as_chunks().0.iter().map(|slot| u32::from_le_bytes(*slot));
                guest.runner.pick(slots, &mut guest.list);
                answer(&guest.list, guest.runner.live());
            });
        });
        u32::from(picked.is_none())
    }

    /// `tg_restore`
    pub fn restore<R: Rule + RuleManifest>(guest: &'static LocalKey<Cell<R>>, schema: u32, len: u32) -> u32 {
        let restored = with_region(len, |list| {
            guest.with_borrow_mut(|guest| {
                let restored = guest.runner.restore(schema, list);
                mark(NO_ROW, Moment::Idle);
                restored.map(|next_wake| (next_wake, guest.runner.live()))
            })
        });
        match restored {
            Some(Ok((Timestamp(next_wake), live))) => {
                AT.next_wake.store(next_wake, Relaxed);
                AT.keys.store(live, Relaxed);
                0
            }
            Some(Err(NotRestored::Unfit { index, reason })) => {
                AT.keys.store(index, Relaxed);
                say(format_args!("{reason}"));
                UNFIT
            }
            Some(Err(NotRestored::Refused(reason))) => {
                say(format_args!("{reason}"));
                1
            }
            None => 1,
        }
    }

    /// Describes a list of saved keys.
    fn answer(list: &[u8], keys: u32) {
        AT.record_count.store(KeyStates::new(list).count() as u32, Relaxed);
        AT.bytes.store(list.as_ptr().expose_provenance() as u32, Relaxed);
        AT.byte_count.store(list.len() as u32, Relaxed);
        AT.keys.store(keys, Relaxed);
    }

    fn describe(reply: &Reply) {
        let (records, bytes) = (reply.record_bytes(), reply.string_bytes());
        AT.records.store(records.as_ptr().expose_provenance() as u32, Relaxed);
        AT.record_count.store(reply.len() as u32, Relaxed);
        AT.bytes.store(bytes.as_ptr().expose_provenance() as u32, Relaxed);
        AT.byte_count.store(bytes.len() as u32, Relaxed);
        let Timestamp(next_wake) = reply.next_wake;
        AT.next_wake.store(next_wake, Relaxed);
        AT.keys.store(reply.keys, Relaxed);
        AT.woken.store(reply.woken, Relaxed);
    }
}
