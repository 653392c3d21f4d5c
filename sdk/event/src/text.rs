//! Whether two texts are the same, eight bytes at a time.
//!
//! In a module the comparison that the compiler brings goes byte by byte, and names of hosts and services are twenty or
//! thirty of them. Natively it is faster than anything written here.

/// Whether both are the same bytes.
#[inline]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    if cfg!(target_arch = "wasm32") { by_words(one, other) } else { one == other }
}

/// The same by words; the last one may overlap the one before.
#[inline]
fn by_words(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    if let (Some(last), Some(other_last)) = (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        // Names often differ at their ends: `web-17`, `web-18`.
        return eight(last) == eight(other_last)
            && one.as_chunks().0.iter().zip(other.as_chunks().0).all(|(a, b)| eight(a) == eight(b));
    }
    if let (Some(first), Some(last), Some(other_first), Some(other_last)) =
        (one.first_chunk(), one.last_chunk(), other.first_chunk(), other.last_chunk())
    {
        return four(first) == four(other_first) && four(last) == four(other_last);
    }
    one.iter().zip(other).all(|(a, b)| a == b)
}

#[inline]
fn eight(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

#[inline]
fn four(bytes: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_are_the_same_only_as_themselves() {
        let text: Vec<u8> = (0..70u8).map(|i| i.wrapping_mul(167)).collect();
        for len in 0..text.len() {
            let one = &text[..len];
            let copy = one.to_vec();
            assert!(by_words(one, &copy), "{len}");
            assert!(!by_words(one, &text[..len + 1]), "{len}");
            for at in 0..len {
                let mut other = one.to_vec();
                other[at] ^= 1 << (at % 8);
                assert!(!by_words(one, &other), "{len}: {at}");
                assert_eq!(same(one, &other), by_words(one, &other));
            }
        }
    }
}
