//! The checks of a record cover its length. A flipped bit in a length is found by luck otherwise, since other bytes are then
//! checked; here the bytes behind are chosen so that luck does not help.

use super::*;
use segment::Mark;

const SALT: u32 = 77;

/// Four bytes that leave the CRC as it is when they are appended to what it stands for. A CRC is linear: whatever one bit of
/// the four changes, it always changes, so the right combination is found as in a system of equations.
fn neutral(crc: u32) -> [u8; 4] {
    let after = |bytes: u32| crc32c::crc32c_append(crc, &bytes.to_le_bytes());
    let start = after(0);
    let mut rows: Vec<(u32, u32)> = (0..32).map(|bit| (after(1 << bit) ^ start, 1 << bit)).collect();
    let (mut wanted, mut chosen) = (crc ^ start, 0);
    for bit in (0..32).rev() {
        let Some(at) = rows.iter().position(|(change, _)| change >> bit == 1) else { continue };
        let (change, bits) = rows.swap_remove(at);
        for row in rows.iter_mut().filter(|(other, _)| other >> bit == 1) {
            *row = (row.0 ^ change, row.1 ^ bits);
        }
        if wanted >> bit == 1 {
            (wanted, chosen) = (wanted ^ change, chosen ^ bits);
        }
    }
    assert_eq!(wanted, 0);
    chosen.to_le_bytes()
}

#[test]
fn a_record_whose_length_was_changed_is_none_even_if_the_bytes_behind_it_conspire() {
    let payload = *b"8 bytes!";
    let mut bytes = Vec::new();
    segment::push(&mut bytes, SALT, Kind::Batch, 5, &[&payload]);
    let crc = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
    let more = neutral(crc);
    assert_eq!(crc32c::crc32c_append(crc, &more), crc);
    bytes.extend_from_slice(&more);

    let whole = Mark::read(&bytes, SALT).unwrap();
    assert!(whole.len == 8 && whole.fits(&bytes[RECORD_HEAD..RECORD_HEAD + 8], SALT));
    // 8 and 12 differ in one bit.
    bytes[4] ^= 4;
    let believed = Mark::read(&bytes, SALT).filter(|mark| mark.fits(&bytes[RECORD_HEAD..], SALT));
    assert_eq!(believed, None);
}
