//! What each stage cannot go below on this machine: its memory traffic alone, or the same work without what surrounds it.
//!
//! A yardstick, not a plan: a decoder that only copied would not know one field from another.

use super::Timing;
use super::stages::{SEED, StageArgs};
use anyhow::Context;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use tidegate_event::{Batch, stream_key};

/// Bytes that are sent through the socket before they are read again; less than any socket holds.
const PIECE: usize = 32 << 10;

/// Nanoseconds an event.
pub struct Limits {
    /// Copying the message.
    pub decode: f64,
    /// Hashing host and service that are already found.
    pub stamp: f64,
    /// Writing to one cache line for each stream, in the order in which they speak.
    pub index: f64,
    /// Copying the rows.
    pub gather: f64,
    /// Checksum and copy of rows and strings.
    pub append: f64,
    /// Writing the message into a socket and reading it from the other end, on one thread.
    pub loopback: f64,
}

/// Measures all of them, each for the whole span.
pub fn limits(args: &StageArgs) -> anyhow::Result<Limits> {
    let (messages, batches) = (args.messages(), args.batches());
    let mut to = Vec::new();
    let decode = round_robin(args, &messages, |message| {
        to.clear();
        to.extend_from_slice(black_box(message));
        black_box(&to);
    });
    let names: Vec<Vec<(Vec<u8>, Vec<u8>)>> = batches.iter().map(names).collect();
    let stamp = round_robin(args, &names, |names| {
        for (host, service) in names {
            black_box(stream_key(SEED, Some(host), Some(service)));
        }
    });
    let order: Vec<Vec<usize>> = batches.iter().map(|batch| places(batch, args.streams)).collect();
    let mut entries = vec![[0u64; 8]; args.streams];
    let index = round_robin(args, &order, |order| order.iter().for_each(|&place| entries[place][0] += 1));
    let gather = round_robin(args, &batches, |batch| {
        to.clear();
        to.extend_from_slice(black_box(batch.row_bytes()));
        black_box(&to);
    });
    let append = round_robin(args, &batches, |batch| {
        to.clear();
        let mut crc = 0;
        for part in [batch.row_bytes(), batch.string_bytes()] {
            crc = crc32c::crc32c_append(crc, part);
            to.extend_from_slice(part);
        }
        black_box((crc, &to));
    });
    Ok(Limits { decode, stamp, index, gather, append, loopback: loopback(args, &messages)? })
}

fn round_robin<T>(args: &StageArgs, pieces: &[T], mut work: impl FnMut(&T)) -> f64 {
    let mut next = 0;
    let timing = Timing::of(args.span(), args.batch, || {
        work(&pieces[next % pieces.len()]);
        next += 1;
    });
    timing.quantile(0.5)
}

fn names(batch: &Batch) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = |text: Option<&[u8]>| text.unwrap_or_default().to_vec();
    batch.events().map(|event| (bytes(event.host_bytes()), bytes(event.service_bytes()))).collect()
}

fn places(batch: &Batch, streams: usize) -> Vec<usize> {
    batch.events().map(|event| (event.key() % streams as u64) as usize).collect()
}

fn loopback(args: &StageArgs, messages: &[Vec<u8>]) -> anyhow::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on loopback")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    sender.set_nodelay(true)?;
    let (mut to, mut failed) = (vec![0; PIECE], None);
    let nanos = round_robin(args, messages, |message| {
        for piece in message.chunks(PIECE) {
            let sent = sender.write_all(piece).and_then(|()| receiver.read_exact(&mut to[..piece.len()]));
            failed = sent.err().or(failed.take());
        }
    });
    failed.map_or(Ok(nanos), |error| Err(error).context("a socket on loopback failed"))
}
