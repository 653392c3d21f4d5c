//! Leaves out of a module what no node reads: every custom section but the names of functions (faults tell them) and the
//! manifest.

use tidegate_event::abi::MANIFEST_SECTION;

/// The magic and the version.
const HEADER: usize = 8;

/// The number of custom sections.
const CUSTOM: u8 = 0;

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
        let length = leb128(&mut rest)?;
        let (payload, after) = rest.split_at_checked(length)?;
        rest = after;
        if *id != CUSTOM || is_kept(payload)? {
            out.extend_from_slice(&whole[..whole.len() - rest.len()]);
        }
    }
    Some(out)
}

/// Whether a custom section stays.
fn is_kept(mut payload: &[u8]) -> Option<bool> {
    let length = leb128(&mut payload)?;
    let name = payload.get(..length)?;
    Some(name == b"name" || name == MANIFEST_SECTION.as_bytes())
}

/// A number of at most 32 bits.
fn leb128(from: &mut &[u8]) -> Option<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn section(id: u8, payload: &[u8]) -> Vec<u8> {
        let mut section = vec![id, payload.len() as u8];
        section.extend_from_slice(payload);
        section
    }

    fn custom(name: &str) -> Vec<u8> {
        section(CUSTOM, &[&[name.len() as u8], name.as_bytes(), b"content"].concat())
    }

    #[test]
    fn names_and_manifest_stay_and_all_else_that_is_custom_goes() {
        let header = b"\0asm\x01\0\0\0".to_vec();
        let code = section(10, &[1, 2, 3]);
        let module = [
            &header[..],
            &custom("producers"),
            &code,
            &custom("name"),
            &custom(".debug_info"),
            &custom(MANIFEST_SECTION),
        ]
        .concat();
        assert_eq!(strip(&module), [&header[..], &code, &custom("name"), &custom(MANIFEST_SECTION)].concat());
    }

    #[test]
    fn what_is_no_module_is_left_alone() {
        for bytes in [
            &b""[..],
            b"\0asm",
            b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff\xff",
            b"\0asm\x01\0\0\0\0\x05\x0ax",
        ] {
            assert_eq!(strip(bytes), bytes);
        }
    }
}
