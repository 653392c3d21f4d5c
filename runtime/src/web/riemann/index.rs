//! `/index`: what the index holds, and then, for those who stay, everything that happens in it.

use super::channel::Channel;
use super::{MESSAGE, Question, close, turn_away};
use crate::telemetry::InputStats;
use crate::web::App;
use crate::web::answer::Failure;
use crate::web::reader::{Heard, Reader};
use crate::web::sse::{Frames, Gone, Wire};
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures_util::SinkExt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::codec::json::encode_event;
use tidegate_engine::query::Matcher;
use tidegate_event::Batch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// Bytes after which events go out, although more are to come.
const CHUNK: usize = 64 << 10;

/// What a board listens to.
pub enum Ear {
    /// The index.
    Index(Reader),
    /// What rules say.
    Channel(Channel),
}

impl Ear {
    async fn hear(&mut self) -> Heard {
        match self {
            Self::Index(reader) => reader.hear().await,
            Self::Channel(channel) => channel.hear().await,
        }
    }

    fn is_behind(&mut self, patience: Duration) -> bool {
        match self {
            Self::Index(reader) => reader.is_behind(patience),
            Self::Channel(channel) => channel.is_behind(patience),
        }
    }
}

/// Answers on a WebSocket. With `snapshot`, what the index holds comes first.
pub fn socket(
    app: App,
    upgrade: WebSocketUpgrade,
    question: Result<Question, Failure>,
    snapshot: bool,
) -> Response {
    let asked = question.and_then(|question| {
        let reader = Reader::ask(&app, &question.matcher, snapshot)?;
        Ok((Ear::Index(reader), question.subscribe))
    });
    listen(app, upgrade, asked)
}

/// Passes on what is heard; once the index has been told, whoever does not stay is let go.
pub fn listen(app: App, upgrade: WebSocketUpgrade, asked: Result<(Ear, bool), Failure>) -> Response {
    let upgrade = upgrade.max_message_size(MESSAGE).max_frame_size(MESSAGE);
    match asked {
        Ok((reader, stay)) => upgrade.on_upgrade(async move |mut socket| {
            if let ControlFlow::Break(Some((code, reason))) = pour(&app, &mut socket, reader, stay).await {
                close(&mut socket, code, reason).await;
            }
        }),
        Err(failure) => turn_away(upgrade, &failure),
    }
}

/// Why to stop: with a code and a reason, or without a word since nobody listens.
type Stop = ControlFlow<Option<(u16, &'static str)>>;

const GONE: Stop = ControlFlow::Break(None);
const BEHIND: Stop =
    ControlFlow::Break(Some((close_code::AGAIN, "reads too slowly: events were missed; ask for less")));
const STOPPING: Stop = ControlFlow::Break(Some((close_code::AWAY, "the node is stopping")));
const DONE: Stop = ControlFlow::Break(Some((close_code::NORMAL, "")));

async fn pour(app: &App, socket: &mut WebSocket, mut reader: Ear, stay: bool) -> Stop {
    let mut ping = interval_at(Instant::now() + app.limits.ping, app.limits.ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return STOPPING,
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return GONE,
                // What a board says here means nothing.
                Some(Ok(_)) => {}
            },
            _ = ping.tick() => {
                if !matches!(timeout(app.limits.stall, socket.send(Message::Ping("".into()))).await, Ok(Ok(()))) {
                    return GONE;
                }
            }
            heard = reader.hear() => match heard {
                Heard::Held(batch, last) => {
                    write(app, socket, &batch).await?;
                    if last && !stay {
                        return DONE;
                    }
                }
                Heard::New(batch) if stay => write(app, socket, &batch).await?,
                Heard::New(_) | Heard::Missed(_) => {}
                Heard::End => return STOPPING,
            },
        }
        if reader.is_behind(app.limits.stall) {
            return BEHIND;
        }
    }
}

async fn write(app: &App, socket: &mut WebSocket, batch: &Batch) -> Stop {
    let all = async {
        let mut waiting = 0;
        for event in batch.events() {
            let mut text = Vec::with_capacity(256);
            encode_event(&mut text, &event);
            waiting += text.len();
            // Text that came in was checked for UTF-8; the encoder writes nothing else.
            let Ok(text) = Utf8Bytes::try_from(text) else { continue };
            socket.feed(Message::Text(text)).await?;
            if waiting >= CHUNK {
                socket.flush().await?;
                waiting = 0;
            }
        }
        socket.flush().await
    };
    match timeout(app.limits.stall, all).await {
        Ok(Ok(())) => {
            app.riemann.sent.add(batch.len() as u64);
            ControlFlow::Continue(())
        }
        Ok(Err(_)) => GONE,
        Err(_) => BEHIND,
    }
}

/// Answers with server-sent events, which always go on.
pub fn sse(app: &App, stats: &Arc<InputStats>, matcher: &Matcher) -> Result<Response, Failure> {
    let reader = Reader::ask(app, matcher, true)?;
    let (wire, response) = Wire::open();
    let (app, stats) = (app.clone(), stats.clone());
    tokio::spawn(async move {
        // The other way to end is that the reader is gone.
        let _ = drip(&app, &stats, reader, wire).await;
    });
    Ok(response)
}

async fn drip(app: &App, stats: &InputStats, mut reader: Reader, wire: Wire) -> Result<(), Gone> {
    let mut frames = Frames::default();
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return Ok(()),
            () = wire.gone() => return Err(Gone),
            heard = reader.hear() => match heard {
                Heard::Held(batch, _) | Heard::New(batch) => {
                    for event in batch.events() {
                        frames.bare(|text| encode_event(text, &event));
                        if frames.len() >= CHUNK {
                            wire.send(&mut frames, app.limits.stall).await?;
                        }
                    }
                    wire.send(&mut frames, app.limits.stall).await?;
                    stats.sent.add(batch.len() as u64);
                }
                Heard::Missed(_) => {}
                Heard::End => return Ok(()),
            },
        }
        if reader.is_behind(app.limits.stall) {
            return Err(Gone);
        }
    }
}
