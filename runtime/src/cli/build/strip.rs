//! Leaves out of a module what no node reads: every custom section but the manifest and the names of functions, and of those
//! all but the ones that faults tell, as their author wrote them.
//!
//! A fault names the functions of the rule and of the SDK, and passes over those of Rust's own libraries. Names are a fifth of
//! a module as the linker leaves it; the whole of them stays in a file beside it.

use tidegate_event::abi::MANIFEST_SECTION;

/// The magic and the version.
const HEADER: usize = 8;

/// The number of custom sections.
const CUSTOM: u8 = 0;

/// The number of the functions among the names.
const FUNCTIONS: u8 = 1;

/// How a name begins that no fault tells, once it is demangled.
const LIBRARIES: [&str; 8] =
    ["std::", "core::", "alloc::", "__rustc", "rust_", "__rust", "dlmalloc::", "compiler_builtins::"];

/// The longest name that is kept; generics can be very long.
const NAME_MAX: usize = 120;

/// The module without them. What cannot be read as sections is returned as it is: inspecting it tells what is wrong.
pub fn strip(wasm: &[u8]) -> Vec<u8> {
    stripped(wasm).unwrap_or_else(|| wasm.to_vec())
}

fn stripped(wasm: &[u8]) -> Option<Vec<u8>> {
    let (header, mut rest) = wasm.split_at_checked(HEADER)?;
    let mut out = Vec::with_capacity(wasm.len());
    out.extend_from_slice(header);
    while !rest.is_empty() {
        let whole = rest;
        let (id, after) = rest.split_first()?;
        rest = after;
        let payload = take_sized(&mut rest)?;
        let section = &whole[..whole.len() - rest.len()];
        if *id != CUSTOM {
            out.extend_from_slice(section);
            continue;
        }
        let mut content = payload;
        match take_sized(&mut content)? {
            name if name == MANIFEST_SECTION.as_bytes() => out.extend_from_slice(section),
            b"name" => out.extend_from_slice(&names(content)?),
            _ => {}
        }
    }
    Some(out)
}

/// The section of names with nothing in it but the functions that faults tell; nothing if there are none.
fn names(mut parts: &[u8]) -> Option<Vec<u8>> {
    let mut told = Vec::new();
    while let Some((kind, rest)) = parts.split_first() {
        parts = rest;
        let mut part = take_sized(&mut parts)?;
        if *kind != FUNCTIONS {
            continue;
        }
        for _ in 0..take_number(&mut part)? {
            let index = take_number(&mut part)?;
            let name = std::str::from_utf8(take_sized(&mut part)?).ok()?;
            told.extend(as_written(name).map(|name| (index, name)));
        }
    }
    if told.is_empty() {
        return Some(Vec::new());
    }
    let mut map = Vec::new();
    put_number(&mut map, told.len());
    for (index, name) in told {
        put_number(&mut map, index);
        put_sized(&mut map, name.as_bytes());
    }
    let mut payload = Vec::new();
    put_sized(&mut payload, b"name");
    payload.push(FUNCTIONS);
    put_sized(&mut payload, &map);
    let mut section = vec![CUSTOM];
    put_sized(&mut section, &payload);
    Some(section)
}

/// A function's name as its author wrote it, without the compiler's hash; none for those of Rust's own libraries.
fn as_written(name: &str) -> Option<String> {
    let plain = format!("{:#}", rustc_demangle::demangle(name));
    let start = plain.trim_start_matches('<');
    let library = LIBRARIES.iter().any(|library| start.starts_with(library));
    (!library).then(|| plain.chars().take(NAME_MAX).collect())
}

/// Bytes with their length before them.
fn take_sized<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_number(from)?;
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

/// A number of at most 32 bits.
fn take_number(from: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= usize::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put_sized(to: &mut Vec<u8>, bytes: &[u8]) {
    put_number(to, bytes.len());
    to.extend_from_slice(bytes);
}

fn put_number(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(id: u8, payload: &[u8]) -> Vec<u8> {
        let mut section = vec![id];
        put_sized(&mut section, payload);
        section
    }

    fn custom(name: &str, content: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        put_sized(&mut payload, name.as_bytes());
        payload.extend_from_slice(content);
        section(CUSTOM, &payload)
    }

    /// A section with the name of the module and those of functions.
    fn named(functions: &[(usize, &str)]) -> Vec<u8> {
        let mut map = Vec::new();
        put_number(&mut map, functions.len());
        for (index, name) in functions {
            put_number(&mut map, *index);
            put_sized(&mut map, name.as_bytes());
        }
        custom("name", &[section(0, b"\x01m"), section(FUNCTIONS, &map)].concat())
    }

    #[test]
    fn the_manifest_stays_with_the_names_that_faults_tell_and_all_else_that_is_custom_goes() {
        let header = b"\0asm\x01\0\0\0".to_vec();
        let code = section(10, &[1, 2, 3]);
        let manifest = custom(MANIFEST_SECTION, b"{}");
        let names = named(&[
            (0, "_ZN4core9panicking5panic17h0123456789abcdefE"),
            (1, "_ZN55_$LT$slow..Slow$u20$as$u20$tidegate_sdk..rule..Rule$GT$8on_event17h0123456789abcdefE"),
            (200, "tg_batch"),
            (201, "_RNvNtCs1234_4core9panicking9panic_fmt"),
        ]);
        let module =
            [&header[..], &custom("producers", b"x"), &code, &names, &custom(".debug_info", b"x"), &manifest];
        let kept = strip(&module.concat());
        assert!(kept.starts_with(&[&header[..], &code].concat()) && kept.ends_with(&manifest));
        let names = &kept[header.len() + code.len()..kept.len() - manifest.len()];
        let text = String::from_utf8_lossy(names);
        assert!(text.contains("<slow::Slow as tidegate_sdk::rule::Rule>::on_event"), "{text:?}");
        assert!(text.contains("\u{8}tg_batch") && !text.contains("panic"), "{text:?}");
        assert_eq!(strip(&kept), kept, "what was stripped once has nothing more to lose");
    }

    #[test]
    fn without_names_that_are_told_there_is_no_section_of_them() {
        let header = b"\0asm\x01\0\0\0".to_vec();
        let names = named(&[(0, "__rust_alloc"), (7, "_ZN3std5alloc8rust_oom17h0123456789abcdefE")]);
        assert_eq!(strip(&[&header[..], &names].concat()), header);
    }

    #[test]
    fn what_is_no_module_is_left_alone() {
        for bytes in [
            &b""[..],
            b"\0asm",
            b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff\xff",
            b"\0asm\x01\0\0\0\0\x05\x0ax",
            b"\0asm\x01\0\0\0\0\x08\x04name\x01\x05x",
        ] {
            assert_eq!(strip(bytes), bytes);
        }
    }
}
