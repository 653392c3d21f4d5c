//! Whatever a segment file holds, the reader goes through it to its end: every byte is part of one record or of one gap, no
//! record is invented, and none that is whole is missed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io;
use std::sync::Arc;

/// The program's own files.
#[allow(dead_code)]
#[path = "../../src/log"]
mod log {
    pub mod disk;
    pub mod scan;
    pub mod segment;
}

use log::disk::DiskFile;
use log::scan::{Found, Scan};
use log::segment::{Head, KINDS, RECORD_HEAD, push};

/// A file in memory that hands out little at a time.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl DiskFile for Bytes {
    fn append(&self, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<usize> {
        let rest = self.0.get(at as usize..).unwrap_or_default();
        let len = rest.len().min(to.len()).min(777);
        to[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// Goes through a file; returns where each record begins, with its position and payload.
fn records(file: &[u8], salt: u32) -> Vec<(usize, u64, Vec<u8>)> {
    let mut scan = Scan::new(Arc::new(Bytes(file.to_vec())), salt, 0).expect("memory can be read");
    let (mut found, mut at) = (Vec::new(), 0);
    loop {
        match scan.next().expect("memory can be read") {
            Found::Record(mark) => {
                assert_eq!(scan.payload(), &file[at + RECORD_HEAD..at + RECORD_HEAD + mark.len]);
                found.push((at, mark.position, scan.payload().to_vec()));
                at += RECORD_HEAD + mark.len;
            }
            Found::Damaged { from, to } => {
                assert_eq!(from as usize, at);
                assert!(to > from);
                at = to as usize;
            }
            Found::Tail { from } => {
                assert_eq!(from as usize, at);
                assert!(at <= file.len());
                return found;
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _ = Head::read(bytes);
    records(bytes, 0);

    // The same bytes as a recipe: records of these lengths, then bytes of them changed.
    let Some((&[count, salt], recipe)) = bytes.split_first_chunk::<2>() else { return };
    let (count, salt) = (usize::from(count % 16), u32::from(salt));
    let (lengths, changes) = recipe.split_at(count.min(recipe.len()));
    let (mut file, mut written) = (Vec::new(), Vec::new());
    for (n, len) in lengths.iter().enumerate() {
        let from = file.len();
        // Payloads that look like records themselves.
        let payload: Vec<u8> = b"TGR1".iter().copied().cycle().take(usize::from(*len)).collect();
        push(&mut file, salt, KINDS[n % KINDS.len()], n as u64 + 1, &[&payload]);
        written.push((from..file.len(), n as u64 + 1, payload));
    }
    let mut changed = vec![false; file.len()];
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if let Some(byte) = file.get_mut(at).filter(|_| change[2] != 0) {
            *byte ^= change[2];
            changed[at] = true;
        }
    }
    let found = records(&file, salt);
    let changes_in =
        |range: std::ops::Range<usize>| changed[range].iter().filter(|changed| **changed).count();
    // The check of a head has 24 bits: a fuzzer that changes much of one may come upon a length that passes.
    let mut heads = true;
    for (range, position, payload) in &written {
        let there = found
            .iter()
            .any(|(at, found, bytes)| *at == range.start && found == position && bytes == payload);
        let is_whole = changes_in(range.clone()) == 0;
        assert!(there || !is_whole || !heads, "record {position} is whole and was not found");
        heads &= changes_in(range.start..range.start + RECORD_HEAD) <= 1;
    }
    // Changes may cancel out, so a record that was changed may be found; but nothing that was never written.
    for (at, position, payload) in &found {
        let known = written
            .iter()
            .any(|(range, known, bytes)| range.start == *at && known == position && bytes == payload);
        assert!(known, "a record at {at} was never written");
    }
});
