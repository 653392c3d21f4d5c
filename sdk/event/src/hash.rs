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
fn eight(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let n = bytes.len().min(8);
    word[..n].copy_from_slice(&bytes[..n]);
    u64::from_le_bytes(word)
}

/// Hash of a string under a seed.
#[inline]
pub fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let mut h = seed ^ fold(seed ^ A, B);
    let (chunks, rest) = bytes.as_chunks::<16>();
    for chunk in chunks {
        let (low, high) = chunk.split_at(8);
        h = fold(eight(low) ^ B, eight(high) ^ h);
    }
    let (low, high) = if rest.len() > 8 { rest.split_at(8) } else { (rest, &rest[..0]) };
    h = fold(eight(low) ^ B, eight(high) ^ h);
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
