//! As many events as the server acks: each connection keeps its messages in flight, and one thread serves them all.

use super::connection::Answers;
use super::{LoadArgs, PATIENCE, Seen, Tally, histogram, nanos_since};
use crate::bench::frames::Frames;
use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

/// Small messages are put together until they have so many bytes: a client that floods does not make a call for each.
const TOGETHER: usize = 16 << 10;

struct Connection {
    stream: TcpStream,
    answers: Answers,
    /// When each message in flight was sent.
    sent: VecDeque<Instant>,
    /// What the socket has not taken yet, and from where.
    rest: Vec<u8>,
    written: usize,
}

impl Connection {
    /// Writes what is left from last time. Says whether nothing is left.
    fn flush(&mut self) -> anyhow::Result<bool> {
        while self.written < self.rest.len() {
            match write(&mut self.stream, &self.rest[self.written..])? {
                0 => return Ok(false),
                count => self.written += count,
            }
        }
        self.rest.clear();
        self.written = 0;
        Ok(true)
    }

    /// Sends until so many messages are in flight, or the socket takes no more, or the time is over.
    fn fill(&mut self, frames: &mut Frames, in_flight: usize, until: Instant) -> anyhow::Result<()> {
        while self.flush()? && self.sent.len() < in_flight {
            let sent = crate::clock::start();
            if sent >= until {
                return Ok(());
            }
            let now = crate::clock::now();
            let frame = frames.next(now);
            self.sent.push_back(sent);
            if frame.len() >= TOGETHER {
                // A large one goes as it is. What does not fit is copied, since the frame is used again.
                let count = write(&mut self.stream, frame)?;
                self.rest.extend_from_slice(&frame[count..]);
                continue;
            }
            self.rest.extend_from_slice(frame);
            while self.rest.len() < TOGETHER && self.sent.len() < in_flight {
                self.rest.extend_from_slice(frames.next(now));
                self.sent.push_back(sent);
            }
        }
        Ok(())
    }
}

/// Writes what the socket takes now.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> anyhow::Result<usize> {
    loop {
        match stream.write(bytes) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("the server closed the connection"),
        }
    }
}

pub fn run(
    args: &LoadArgs,
    frames: &mut Frames,
    streams: Vec<std::net::TcpStream>,
    tally: &Tally,
) -> anyhow::Result<Seen> {
    let mut poll = Poll::new()?;
    let mut connections = Vec::new();
    for (number, stream) in streams.into_iter().enumerate() {
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        let sent = VecDeque::with_capacity(args.in_flight);
        connections.push(Connection { stream, answers: Answers::new(), sent, rest: Vec::new(), written: 0 });
    }
    let mut latency = histogram()?;
    let batch = args.batch as u64;
    let started = crate::clock::start();
    let until = started + Duration::from_secs_f64(args.seconds);
    let mut last = started;
    for connection in &mut connections {
        connection.fill(frames, args.in_flight, until)?;
    }
    let mut ready = Events::with_capacity(1024);
    while connections.iter().any(|connection| !connection.sent.is_empty()) {
        match poll.poll(&mut ready, Some(PATIENCE)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        if ready.is_empty() {
            bail!("no ack within {} s", PATIENCE.as_secs());
        }
        for event in &ready {
            let Some(connection) = connections.get_mut(event.token().0) else { continue };
            let Connection { stream, answers, sent, .. } = connection;
            answers.take(stream, |verdicts, now| {
                for _ in 0..verdicts.yes + verdicts.no {
                    let was = sent.pop_front().context("an answer to nothing that was sent")?;
                    latency.saturating_record(nanos_since(was, now));
                }
                tally.add(verdicts.yes * batch, verdicts.no * batch);
                last = now;
                Ok(())
            })?;
            connection.fill(frames, args.in_flight, until)?;
        }
    }
    Ok(Seen { latency, late: None, took: last - started })
}
