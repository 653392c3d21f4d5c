//! Events at a rate: message i is due at i times the interval, on connection i modulo their number.
//!
//! One thread sends and one reads. Since the k-th answer of a connection is to a message whose number follows from k,
//! and its due time from that number, the two share nothing but how many were answered.

use super::connection::Answers;
use super::{Late, LoadArgs, PATIENCE, Seen, Tally, histogram, nanos_since};
use crate::bench::frames::Frames;
use crate::bench::process::sleep_exactly;
use anyhow::{Context, bail};
use mio::{Events, Interest, Poll, Token, Waker};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// A socket that takes nothing is asked again so often.
const AGAIN: Duration = Duration::from_micros(100);

/// When which message is due.
#[derive(Clone, Copy, Debug)]
struct Plan {
    started: Instant,
    /// Seconds between two messages.
    every: f64,
    messages: u64,
    conns: u64,
}

impl Plan {
    fn new(args: &LoadArgs, started: Instant) -> Self {
        let every = args.batch as f64 / args.rate;
        let messages = ((args.seconds / every).round() as u64).max(1);
        Self { started, every, messages, conns: args.conns as u64 }
    }

    fn due(&self, message: u64) -> Instant {
        self.started + Duration::from_secs_f64(message as f64 * self.every)
    }

    /// The number of a connection's message.
    fn message(&self, connection: usize, nth: u64) -> u64 {
        nth * self.conns + connection as u64
    }
}

/// What the two threads tell each other.
struct Shared {
    /// Messages answered on each connection.
    answered: Vec<AtomicU64>,
    /// The sender waits for an answer.
    waits: AtomicBool,
    /// Messages sent in all, once there will be no more.
    sent: AtomicU64,
    /// One of the two cannot go on.
    failed: AtomicBool,
}

const MORE: u64 = u64::MAX;

pub fn run(
    args: &LoadArgs,
    frames: &mut Frames,
    streams: Vec<TcpStream>,
    tally: &Tally,
) -> anyhow::Result<Seen> {
    let poll = Poll::new()?;
    let done = Waker::new(poll.registry(), Token(streams.len()))?;
    let mut readers = Vec::new();
    for (number, stream) in streams.iter().enumerate() {
        let mut stream = mio::net::TcpStream::from_std(stream.try_clone()?);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        readers.push((stream, Answers::new()));
    }
    let shared = Shared {
        answered: streams.iter().map(|_| AtomicU64::new(0)).collect(),
        waits: AtomicBool::new(false),
        sent: AtomicU64::new(MORE),
        failed: AtomicBool::new(false),
    };
    let plan = Plan::new(args, crate::clock::start());
    thread::scope(|scope| {
        // The waker outlives the sender: closing it would take back the wake.
        let (shared, plan, done) = (&shared, &plan, &done);
        let sender = scope.spawn(move || {
            let outcome = send(args, frames, streams, plan, shared);
            match &outcome {
                Ok((_, sent)) => shared.sent.store(*sent, Ordering::Release),
                Err(_) => shared.failed.store(true, Ordering::Release),
            }
            // The reader wakes once more to see it; should that fail it sees it when its patience ends.
            done.wake().ok();
            outcome
        });
        let read = read(args, poll, readers, plan, shared, tally, sender.thread());
        if read.is_err() {
            shared.failed.store(true, Ordering::Release);
            sender.thread().unpark();
        }
        let sent = match sender.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        // Where both failed, the reader's reason is the one that says more.
        let ((latency, took), (late, _)) = (read?, sent?);
        Ok(Seen { latency, late: Some(late), took })
    })
}

/// Sends each message when it is due. Returns how late, and how many.
fn send(
    args: &LoadArgs,
    frames: &mut Frames,
    mut streams: Vec<TcpStream>,
    plan: &Plan,
    shared: &Shared,
) -> anyhow::Result<(Late, u64)> {
    let mut late = Late { by: histogram()?, held: 0, unsent: 0, exact: sleep_exactly() };
    let until = plan.started + Duration::from_secs_f64(args.seconds);
    // Until here the server held us up: that is not our own lateness.
    let mut excused = plan.started;
    for message in 0..plan.messages {
        let due = plan.due(message);
        let mut now = crate::clock::start();
        if due > now {
            thread::sleep(due - now);
            now = crate::clock::start();
        }
        let connection = (message % plan.conns) as usize;
        let room = |shared: &Shared| {
            let answered = shared.answered[connection].load(Ordering::Acquire);
            (message / plan.conns).saturating_sub(answered) < args.in_flight as u64
        };
        late.by.saturating_record(nanos_since(due.max(excused), now));
        let mut held = false;
        while !room(shared) {
            held = true;
            shared.waits.store(true, Ordering::SeqCst);
            // Asked again after having said so: the answer may have come in between.
            if !room(shared) {
                thread::park_timeout(PATIENCE);
            }
            if shared.failed.load(Ordering::Acquire) {
                return Ok((late, message));
            }
            if !room(shared) && crate::clock::start() > until {
                late.unsent = (plan.messages - message) * args.batch as u64;
                return Ok((late, message));
            }
        }
        let frame = frames.next(crate::clock::now());
        held |= write(&mut streams[connection], frame, shared)?;
        if held {
            late.held += 1;
            excused = crate::clock::start();
        }
    }
    Ok((late, plan.messages))
}

/// Writes all of it. Says whether the socket made it wait.
fn write(stream: &mut TcpStream, mut bytes: &[u8], shared: &Shared) -> anyhow::Result<bool> {
    let mut waited = false;
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                waited = true;
                if shared.failed.load(Ordering::Acquire) {
                    bail!("the connection is of no use any more");
                }
                thread::sleep(AGAIN);
            }
            Err(error) => return Err(error).context("the server closed the connection"),
        }
    }
    Ok(waited)
}

type Latency = (hdrhistogram::Histogram<u64>, Duration);

/// Reads answers until there is one to each message.
fn read(
    args: &LoadArgs,
    mut poll: Poll,
    mut readers: Vec<(mio::net::TcpStream, Answers)>,
    plan: &Plan,
    shared: &Shared,
    tally: &Tally,
    sender: &Thread,
) -> anyhow::Result<Latency> {
    let mut latency = histogram()?;
    let (batch, mut answered, mut last) = (args.batch as u64, 0, plan.started);
    let mut ready = Events::with_capacity(1024);
    // Between two messages of a slow rate nothing comes, and that is as it should be.
    let patience = PATIENCE + Duration::from_secs_f64(plan.every);
    while answered < shared.sent.load(Ordering::Acquire) {
        match poll.poll(&mut ready, Some(patience)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        if shared.failed.load(Ordering::Acquire) {
            bail!("the sender ended");
        }
        if ready.is_empty() {
            bail!("no ack within {} s", patience.as_secs());
        }
        for event in &ready {
            let number = event.token().0;
            let Some((stream, answers)) = readers.get_mut(number) else { continue };
            let count = &shared.answered[number];
            answers.take(stream, |verdicts, now| {
                let (all, before) = (verdicts.yes + verdicts.no, count.load(Ordering::Relaxed));
                for nth in before..before + all {
                    latency.saturating_record(nanos_since(plan.due(plan.message(number, nth)), now));
                }
                // Published before anybody is woken for it.
                count.store(before + all, Ordering::SeqCst);
                if all > 0 && shared.waits.swap(false, Ordering::SeqCst) {
                    sender.unpark();
                }
                answered += all;
                tally.add(verdicts.yes * batch, verdicts.no * batch);
                last = now;
                Ok(())
            })?;
        }
    }
    Ok((latency, last - plan.started))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::workload::Kind;

    #[test]
    fn answers_lead_back_to_the_messages_they_are_to() {
        let args = LoadArgs {
            addr: "127.0.0.1:1".parse().unwrap(),
            conns: 3,
            batch: 10,
            in_flight: 1,
            rate: 1000.0,
            seconds: 2.0,
            streams: 1,
            workload: Kind::Steady,
            server: None,
        };
        let plan = Plan::new(&args, crate::clock::start());
        assert_eq!(plan.messages, 200);
        let mut seen: Vec<u64> =
            (0..3).flat_map(|conn| (0..3).map(move |nth| plan.message(conn, nth))).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..9).collect::<Vec<_>>());
        assert_eq!(plan.due(150) - plan.started, Duration::from_millis(1500));
    }
}
