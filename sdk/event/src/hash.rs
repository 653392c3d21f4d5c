//! The seeded hash that names a stream: one 64-bit number for a (host, service), the same on every shard and in the log.
//!
//! Multiply-and-fold over 16-byte steps, after wyhash (Wang Yi, public domain). The seed is drawn once per data directory
//! and never shown, so that a stranger who chooses host names cannot choose collisions. The values are stored in the log:
//! changing this function needs a new log format.

const A: u64 = 0xa076_1d64_78bd_642f;
const B: u64 = 0xe703_7ed1_a0b4_28db;
const C: u64 = 0x8ebc_6af0_9c88_c6e3;

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    wide as u64 ^ (wide >> 64) as u64
}

#[inline]
fn eight(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// The last `rest` bytes of a string, 15 at most, as two words: the first eight of them, then what is left. Zeros fill
/// up.
///
/// A string is read by words that may overlap what came before, and what is too much is shifted out: copying a few
/// bytes would cost more than all the rest.
#[inline]
fn tail(bytes: &[u8], rest: usize) -> (u64, u64) {
    if let (Some(last), Some(first)) = (bytes.last_chunk(), bytes[bytes.len() - rest..].first_chunk()) {
        // Between 8 and 15.
        return (eight(first), eight(last).checked_shr(128 - 8 * rest as u32).unwrap_or(0));
    }
    if let Some(last) = bytes.last_chunk() {
        return (eight(last).checked_shr(64 - 8 * rest as u32).unwrap_or(0), 0);
    }
    // The whole string, shorter than eight.
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return (u64::from(first) | u64::from(last) << (8 * (rest - 4)), 0);
    }
    let byte = |at: usize| bytes.get(at).map_or(0, |byte| u64::from(*byte) << (8 * at));
    (byte(0) | byte(1) | byte(2), 0)
}

/// Hash of a string under a seed.
#[inline]
pub fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let mut h = seed ^ fold(seed ^ A, B);
    let (chunks, rest) = bytes.as_chunks::<16>();
    for chunk in chunks {
        let both = u128::from_le_bytes(*chunk);
        h = fold(both as u64 ^ B, (both >> 64) as u64 ^ h);
    }
    let (low, high) = tail(bytes, rest.len());
    h = fold(low ^ B, high ^ h);
    fold(h ^ C, A ^ bytes.len() as u64)
}

/// The key id of a stream: never 0, absent and empty differ.
///
/// The id is the identity: two streams that share one are one. The chance of that is 2⁻⁶⁴ for a pair, about 1 in 37
/// million for a whole million of streams, and nobody who does not know the seed can raise it.
#[inline]
pub fn stream_key(seed: u64, host: Option<&[u8]>, service: Option<&[u8]>) -> u64 {
    let host = host.map_or(C, |host| hash_bytes(seed, host));
    let service = service.map_or(A, |service| hash_bytes(seed ^ B, service));
    fold(host ^ A, service ^ C).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: the bytes in steps of sixteen, zeros in place of those that lack.
    fn by_copying(seed: u64, bytes: &[u8]) -> u64 {
        let mut h = seed ^ fold(seed ^ A, B);
        for at in (0..=bytes.len()).step_by(16) {
            let mut both = [0; 16];
            let chunk = &bytes[at..bytes.len().min(at + 16)];
            both[..chunk.len()].copy_from_slice(chunk);
            let both = u128::from_le_bytes(both);
            h = fold(both as u64 ^ B, (both >> 64) as u64 ^ h);
        }
        fold(h ^ C, A ^ bytes.len() as u64)
    }

    #[test]
    fn overlapping_reads_give_the_same_values_as_copies() {
        let bytes: Vec<u8> = (0..200u32).map(|i| (i * 167 + 89) as u8).collect();
        for start in 0..16 {
            for end in start..bytes.len() {
                let text = &bytes[start..end];
                assert_eq!(hash_bytes(7, text), by_copying(7, text), "{start}..{end}");
            }
        }
    }

    #[test]
    fn absent_empty_and_swapped_parts_differ() {
        let keys = [
            stream_key(1, None, None),
            stream_key(1, Some(b""), None),
            stream_key(1, None, Some(b"")),
            stream_key(1, Some(b"a"), Some(b"b")),
            stream_key(1, Some(b"b"), Some(b"a")),
            stream_key(1, Some(b"ab"), Some(b"")),
            stream_key(2, Some(b"a"), Some(b"b")),
        ];
        for (i, a) in keys.iter().enumerate() {
            for b in &keys[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }

    #[test]
    fn a_million_streams_spread_evenly_without_a_collision() {
        let mut seen: Vec<u64> = (0..1_000_000u32)
            .map(|i| {
                let host = format!("host{}.example", i / 100);
                let service = format!("service {}", i % 100);
                stream_key(42, Some(host.as_bytes()), Some(service.as_bytes()))
            })
            .collect();
        for shift in [0, 16, 32, 48, 60] {
            let mut buckets = [0u32; 16];
            for key in &seen {
                buckets[(key >> shift) as usize & 15] += 1;
            }
            assert!(buckets.iter().all(|n| (61_000..64_000).contains(n)), "{shift}: {buckets:?}");
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1_000_000);
    }

    #[test]
    fn the_values_in_old_logs_stay_what_they_were() {
        assert_eq!(hash_bytes(7, b""), 14_017_447_926_048_327_531);
        assert_eq!(stream_key(7, Some(b"web1"), Some(b"http.get")), 18_013_124_873_747_467_059);
    }
}
