//! A node without shards or log: behind the true door stands a thread that notes what it is told and answers as told.

// Each test file uses its share of this.
#![allow(dead_code, missing_docs)]

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tidegate::ingest::{Accepted, Desk, Found, Ingest, Refused, Request, Update};
use tidegate::telemetry::{InputStats, OutputStats, Telemetry};
use tidegate_event::Batch;
use tokio::sync::mpsc;

/// What happens to appended batches.
#[derive(Clone, Debug)]
pub enum Mood {
    Accept,
    Refuse(Refused),
    /// Accept, but only after so long.
    Slow(Duration),
}

/// What the thread has seen and how it behaves.
#[derive(Debug)]
pub struct Seen {
    pub batches: Vec<Batch>,
    pub mood: Mood,
    pub subscribers: Vec<mpsc::Sender<Update>>,
}

/// The fake node.
pub struct Node {
    pub ingest: Ingest,
    pub telemetry: Arc<Telemetry>,
    pub seen: Arc<Mutex<Seen>>,
    _thread: JoinHandle<()>,
}

impl Node {
    /// A node that accepts everything, with room for so many bytes.
    pub fn new(room: usize) -> Self {
        // Nobody opens the desk: what is queued there is taken by the thread below.
        let desk = Arc::new(Desk::default());
        let receiver = desk.queued().clone();
        let seen = Seen { batches: Vec::new(), mood: Mood::Accept, subscribers: Vec::new() };
        let seen = Arc::new(Mutex::new(seen));
        let state = seen.clone();
        let thread = std::thread::spawn(move || {
            for request in receiver {
                answer(request, &state);
            }
        });
        let ingest = Ingest::new(desk, room, 7, 1);
        Self { ingest, telemetry: Arc::default(), seen, _thread: thread }
    }

    pub fn set(&self, mood: Mood) {
        self.seen.lock().unwrap().mood = mood;
    }

    /// The services of all events, in order.
    pub fn services(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let events = seen.batches.iter().flat_map(Batch::events);
        events.map(|event| event.service().unwrap_or("-").to_owned()).collect()
    }

    /// How many batches were appended.
    pub fn batches(&self) -> usize {
        self.seen.lock().unwrap().batches.len()
    }

    pub fn input(&self, name: &str) -> Arc<InputStats> {
        self.telemetry.inputs()[name].clone()
    }

    pub fn output(&self, name: &str) -> Arc<OutputStats> {
        self.telemetry.outputs()[name].clone()
    }
}

fn answer(request: Request, state: &Mutex<Seen>) {
    match request {
        Request::Append(append) => {
            let mood = state.lock().unwrap().mood.clone();
            let count = append.batch.len() as u64;
            if let Mood::Slow(wait) = mood {
                std::thread::sleep(wait);
            }
            let outcome = match mood {
                Mood::Refuse(refused) => {
                    append.input.shed.add(refused.reason(), count);
                    Err(refused)
                }
                _ => {
                    append.input.accepted.add(count);
                    let mut seen = state.lock().unwrap();
                    seen.batches.push(append.batch);
                    Ok(Accepted { position: Some(seen.batches.len() as u64) })
                }
            };
            if let Some(ack) = append.ack {
                let _ = ack.send(outcome);
            }
        }
        // Everything that was appended before matches.
        Request::Search { limit, reply, .. } => {
            let batches = state.lock().unwrap().batches.clone();
            let truncated = batches.iter().map(Batch::len).sum::<usize>() > limit;
            let _ = reply.blocking_send(Found { batches, truncated });
        }
        Request::Subscribe { updates, .. } => state.lock().unwrap().subscribers.push(updates),
        _ => {}
    }
}

/// Waits until it is so; panics with what was waited for when it never is.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `received = accepted + rejected + shed`.
pub fn assert_input_balances(stats: &InputStats) {
    let (rejected, shed) = (stats.rejected.all(), stats.shed.all());
    let parts = stats.accepted.get() + stats.rejected.total() + stats.shed.total();
    let received = stats.received.get();
    let accepted = stats.accepted.get();
    assert_eq!(
        received, parts,
        "received {received}, accepted {accepted}, rejected {rejected:?}, shed {shed:?}"
    );
}

/// `taken = delivered + dropped + failed + queued`.
pub fn assert_output_balances(stats: &OutputStats) {
    let parts = stats.delivered.get() + stats.dropped.get() + stats.failed.get();
    assert_eq!(stats.taken.get() as i64, parts as i64 + stats.queued.get(), "{stats:?}");
}

/// Riemann's messages, written and read by hand: the other side of the wire knows nothing of our codec.
pub mod wire {
    use tokio::io::{AsyncRead, AsyncReadExt};

    fn varint(to: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            to.push(value as u8 | 0x80);
            value >>= 7;
        }
        to.push(value as u8);
    }

    fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
        let mut to = Vec::new();
        varint(&mut to, number << 3 | 2);
        varint(&mut to, bytes.len() as u64);
        to.extend_from_slice(bytes);
        to
    }

    /// A message with an event for each service, metric 1.
    pub fn events(services: &[&str]) -> Vec<u8> {
        let event = |service: &&str| {
            let mut event = [field(4, b"web1"), field(3, service.as_bytes())].concat();
            // metric_sint64 = 1, zigzag.
            event.extend_from_slice(&[13 << 3, 2]);
            field(6, &event)
        };
        services.iter().flat_map(event).collect()
    }

    /// A message that asks.
    pub fn query(text: &str) -> Vec<u8> {
        field(5, &field(1, text.as_bytes()))
    }

    pub fn frame(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u32).to_be_bytes(), message].concat()
    }

    /// What came back.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Answer {
        pub ok: bool,
        pub error: Option<String>,
        pub services: Vec<String>,
    }

    pub fn yes() -> Answer {
        Answer { ok: true, ..Answer::default() }
    }

    fn number(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    fn fields(mut bytes: &[u8], mut each: impl FnMut(u64, u64, &[u8])) {
        while !bytes.is_empty() {
            let key = number(&mut bytes);
            match key & 7 {
                0 => each(key >> 3, number(&mut bytes), &[]),
                1 => bytes = &bytes[8..],
                5 => bytes = &bytes[4..],
                2 => {
                    let length = number(&mut bytes) as usize;
                    each(key >> 3, 0, &bytes[..length]);
                    bytes = &bytes[length..];
                }
                other => panic!("wire type {other}"),
            }
        }
    }

    pub fn answer(bytes: &[u8]) -> Answer {
        let mut answer = Answer::default();
        fields(bytes, |field, value, text| match field {
            2 => answer.ok = value == 1,
            3 => answer.error = Some(String::from_utf8(text.to_vec()).unwrap()),
            6 => fields(text, |field, _, text| {
                if field == 3 {
                    answer.services.push(String::from_utf8(text.to_vec()).unwrap());
                }
            }),
            _ => {}
        });
        answer
    }

    /// The next answer; `None` when the connection has ended.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Option<Answer> {
        let length = from.read_u32().await.ok()?;
        let mut bytes = vec![0; length as usize];
        from.read_exact(&mut bytes).await.ok()?;
        Some(answer(&bytes))
    }
}
