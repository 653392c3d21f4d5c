//! `GET /api/v1/tap`: every event as it happens, for a terminal; at most so many a second, and told what was left out.

use crate::clock;
use crate::ingest::NO_ROW;
use crate::web::App;
use crate::web::answer::Failure;
use crate::web::params::Params;
use crate::web::reader::{Heard, Reader};
use crate::web::sse::{Frames, Gone, PULSE, Wire};
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use std::time::{Duration, Instant};
use tidegate_engine::codec::json::encode_event;
use tidegate_event::{Batch, Event};
use tokio::time::MissedTickBehavior;

/// Events a second, unless the reader wants fewer or more.
const RATE: usize = 1_000;

/// Events a second at most.
const RATE_MAX: usize = 100_000;

/// Bytes after which frames are sent on, although more are to come.
const CHUNK: usize = 64 << 10;

/// `GET /api/v1/tap`
pub async fn open(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let matcher = params.matcher()?;
    let left = params.number("limit", usize::MAX, usize::MAX)?;
    let rate = params.number("rate", RATE, RATE_MAX)?;
    let positions = params.flag("positions")?;
    params.finish("`q`, `limit`, `rate` and `positions`")?;
    let reader = Reader::ask(&app, &matcher, false)?;
    let (wire, response) = Wire::open();
    tokio::spawn(async move {
        let tap = Tap {
            wire,
            frames: Frames::default(),
            left,
            positions,
            skipped: 0,
            bucket: Bucket::new(rate as f64),
        };
        // The other way to end is that the reader is gone.
        let _ = tap.run(&app, reader).await;
    });
    Ok(response)
}

struct Tap {
    wire: Wire,
    frames: Frames,
    left: usize,
    /// Whether each event comes with its place in the log.
    positions: bool,
    skipped: u64,
    bucket: Bucket,
}

impl Tap {
    async fn run(mut self, app: &App, mut reader: Reader) -> Result<(), Gone> {
        let patience = app.limits.stall;
        let mut notice = tokio::time::interval(Duration::from_secs(1));
        let mut heartbeat = tokio::time::interval(PULSE);
        for timer in [&mut notice, &mut heartbeat] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        while self.left > 0 {
            tokio::select! {
                () = app.stop.cancelled() => break,
                () = self.wire.gone() => return Err(Gone),
                heard = reader.hear() => match heard {
                    Heard::New(batch) => self.pass(app, &batch).await?,
                    Heard::Missed(events) => self.skipped += events,
                    Heard::Held(..) => {}
                    Heard::End => break,
                },
                _ = notice.tick() => self.admit_skips(),
                _ = heartbeat.tick() => self.frames.heartbeat(),
            }
            self.wire.send(&mut self.frames, patience).await?;
        }
        self.admit_skips();
        self.wire.send(&mut self.frames, patience).await
    }

    async fn pass(&mut self, app: &App, batch: &Batch) -> Result<(), Gone> {
        for row in 0..batch.len() {
            if self.left == 0 {
                break;
            }
            if !self.bucket.take() {
                self.skipped += 1;
                continue;
            }
            self.left -= 1;
            let event = batch.event(row);
            if self.positions {
                app.seen.note(batch.header.position, &event);
            }
            self.frames.plain(|text| match self.positions {
                true => placed(text, batch.header.position, &event),
                false => encode_event(text, &event),
            });
            if self.frames.len() >= CHUNK {
                self.wire.send(&mut self.frames, app.limits.stall).await?;
            }
        }
        Ok(())
    }

    fn admit_skips(&mut self) {
        let skipped = std::mem::take(&mut self.skipped);
        if skipped > 0 {
            let text = format!("{{\"skipped\":{skipped}}}");
            self.frames.named("skipped", |frame| frame.extend_from_slice(text.as_bytes()));
        }
    }
}

/// An event with its place in the log: the row is null for one that the index made.
fn placed(text: &mut Vec<u8>, position: u64, event: &Event<'_>) {
    let row = Some(event.slot()).filter(|row| *row != NO_ROW);
    let row = row.map_or_else(|| "null".to_owned(), |row| row.to_string());
    text.extend_from_slice(format!("{{\"position\":{position},\"row\":{row},\"event\":").as_bytes());
    encode_event(text, event);
    text.push(b'}');
}

/// Lets so many through a second, and a second's worth at once.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    level: f64,
    filled: Instant,
}

impl Bucket {
    fn new(rate: f64) -> Self {
        Self { rate, level: rate, filled: clock::start() }
    }

    fn take(&mut self) -> bool {
        if self.level < 1.0 {
            let gone = self.filled.elapsed().as_secs_f64();
            self.filled = clock::start();
            self.level = (self.level + gone * self.rate).min(self.rate.max(1.0));
        }
        let enough = self.level >= 1.0;
        if enough {
            self.level -= 1.0;
        }
        enough
    }
}
