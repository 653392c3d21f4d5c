//! A connection's answers: bytes read without waiting, cut into messages, each a yes or a no.

use anyhow::{Context, bail};
use std::io::{ErrorKind, Read};
use std::time::Instant;

/// Bytes that are read at once.
const READ: usize = 64 << 10;
/// Bytes of an answer at most.
const ANSWER: usize = 1 << 20;

/// The part of an answer that has come, and room to read into.
#[derive(Debug)]
pub struct Answers {
    buffer: Vec<u8>,
    filled: usize,
}

/// What one look brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    pub yes: u64,
    pub no: u64,
}

impl Answers {
    pub fn new() -> Self {
        Self { buffer: vec![0; READ], filled: 0 }
    }

    /// Reads until nothing more is there, and tells after each read which answers it completed and when it was.
    pub fn take(
        &mut self,
        from: &mut impl Read,
        mut each: impl FnMut(Verdicts, Instant) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        loop {
            let read = match from.read(&mut self.buffer[self.filled..]) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("an answer cannot be read"),
            };
            let now = crate::clock::start();
            let room = self.buffer.len() - self.filled;
            self.filled += read;
            each(self.complete()?, now)?;
            // What was read did not fill the room, so there was no more: what comes later wakes us again.
            if read < room {
                return Ok(());
            }
        }
    }

    /// The answers that are there in full; what is left of another moves to the front.
    fn complete(&mut self) -> anyhow::Result<Verdicts> {
        let (mut at, mut verdicts) = (0, Verdicts::default());
        while let Some(length) = self.buffer[at..self.filled].first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if length > ANSWER {
                bail!("an answer of {length} bytes was not expected");
            }
            let Some(answer) = self.buffer[at + 4..self.filled].get(..length) else {
                // Room for the whole of it.
                self.buffer.resize(self.buffer.len().max(length + 4 + READ), 0);
                break;
            };
            // Msg.ok is field 2, a bool: the bytes 0x10 0x01, and they come first.
            let count = if answer.starts_with(&[0x10, 1]) { &mut verdicts.yes } else { &mut verdicts.no };
            *count += 1;
            at += 4 + length;
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(verdicts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of that size, then has none for now.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(to.len());
            if count == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            to[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn frame(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u32).to_be_bytes(), message].concat()
    }

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let no = [&[0x10, 0, 0x1a, 100][..], &[b'x'; 100]].concat();
        let bytes = [frame(&[0x10, 1]), frame(&no), frame(&[0x10, 1])].concat();
        for size in [1, 2, 3, 5, 7, 64, 1000] {
            let (mut answers, mut from, mut sum) =
                (Answers::new(), Pieces(&bytes, size), Verdicts::default());
            while !from.0.is_empty() {
                let each = |seen: Verdicts, _| {
                    sum.yes += seen.yes;
                    sum.no += seen.no;
                    Ok(())
                };
                answers.take(&mut from, each).unwrap();
            }
            assert_eq!(sum, Verdicts { yes: 2, no: 1 }, "in pieces of {size}");
        }
    }

    #[test]
    fn an_answer_larger_than_the_room_is_read_in_full() {
        let no = [&[0x10, 0][..], &vec![b'x'; 500_000]].concat();
        let bytes = frame(&no);
        let (mut answers, mut from, mut refused) = (Answers::new(), Pieces(&bytes, 1 << 20), 0);
        while !from.0.is_empty() {
            answers
                .take(&mut from, |seen, _| {
                    refused += seen.no;
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(refused, 1);
    }

    #[test]
    fn an_answer_too_large_for_anything_is_an_error() {
        let bytes = (ANSWER as u32 + 1).to_be_bytes();
        let error = Answers::new().take(&mut Pieces(&bytes, 9), |_, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("1048577 bytes"), "{error}");
    }
}
