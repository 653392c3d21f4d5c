//! `tidegate query --watch`: the index as a table that moves, in a terminal; as lines of changes where there is none.
//!
//! The node is asked again every interval, and its answer replaces what is shown: a stream that does not match any more is
//! gone with the next answer, and a node that was restarted is simply asked again. What is kept here is what no answer
//! has: the last metrics of each stream, for as long as they fit into a line.

mod board;
mod draw;
mod keys;
mod lines;

use super::failure::{Exit, Failure};
use super::query::wrong;
use super::screen::{Screen, may_color};
use super::server::{Objection, Server};
use board::{Board, Wish};
use lines::Changes;
use ratatui::crossterm::event;
use reqwest::Method;
use serde_json::Value;
use std::io::IsTerminal;
use std::pin::Pin;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long an answer may take before the node counts as gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keys that may wait while a picture is drawn.
const KEYS: usize = 64;

/// What is watched.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The query.
    pub query: String,
    /// Streams at most.
    pub limit: u32,
    /// The time from one look to the next.
    pub every: Duration,
    /// How many looks are enough.
    pub times: Option<u64>,
}

/// What one look at the node has found.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The events of the index that match.
    pub events: Vec<Value>,
    /// Whether there are more than were asked for.
    pub truncated: bool,
    /// The node at a glance.
    pub overview: Value,
}

/// Why there is nothing to see.
#[derive(Debug)]
pub enum Trouble {
    /// The query is wrong.
    Query(Objection),
    /// The node does not answer, or not as it should.
    Away(Failure),
}

/// Watches until somebody has seen enough. The first look must succeed: a wrong query or address is told at once.
pub async fn go(watched: Watched, server: &Server, screen: &Screen) -> Result<(), Failure> {
    let first = match look(server, &watched.query, watched.limit).await {
        Ok(first) => first,
        Err(Trouble::Query(objection)) => return Err(wrong(&watched.query, objection)),
        Err(Trouble::Away(failure)) => return Err(failure),
    };
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    if screen.json || dumb || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return print(watched, server, screen, first).await;
    }
    // From here on the terminal is ours, and given back whatever happens: also in a panic.
    let mut terminal = ratatui::try_init()?;
    let outcome = show(watched, server, &mut terminal, first).await;
    ratatui::restore();
    outcome
}

async fn look(server: &Server, query: &str, limit: u32) -> Result<Look, Trouble> {
    let limit = limit.to_string();
    let events = server.ask(Method::GET, server.url(&["query"], &[("q", query), ("limit", &limit)]), None);
    let overview = server.ask(Method::GET, server.url(&["overview"], &[]), None);
    let asked = timeout(PATIENCE, async { tokio::try_join!(events, overview) }).await;
    let asked = asked.unwrap_or_else(|_| {
        Err(Failure::say(Exit::Unreachable, format!("no answer within {} s", PATIENCE.as_secs())))
    });
    let (events, overview) = asked.map_err(Trouble::Away)?;
    let mut events = events.map_err(|objection| match objection.status.as_u16() {
        400 => Trouble::Query(objection),
        _ => Trouble::Away(objection.into()),
    })?;
    let overview = overview.map_err(|objection| Trouble::Away(objection.into()))?;
    let truncated = events["truncated"] == true;
    let events = match events["events"].take() {
        Value::Array(events) => events,
        _ => Vec::new(),
    };
    Ok(Look { events, truncated, overview })
}

/// A look that is under way.
type Asking<'a> = Pin<Box<dyn Future<Output = Result<Look, Trouble>> + 'a>>;

async fn show(
    watched: Watched,
    server: &Server,
    terminal: &mut ratatui::DefaultTerminal,
    first: Look,
) -> Result<(), Failure> {
    let (mut terminate, mut hangup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let mut board = Board::new(watched.query, server.address(), may_color());
    board.see(first);
    let mut typed = keyboard();
    let mut tick = interval(watched.every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.reset();
    let mut asking: Option<(Asking<'_>, String)> = None;
    let mut looks = 1;
    loop {
        terminal.draw(|frame| draw::board(frame, &mut board))?;
        let wish = tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            typed = typed.recv() => match typed {
                Some(event) => keys::act(&mut board, &event),
                None => return Err(Failure::say(Exit::Failed, "the terminal is gone")),
            },
            seen = async { asking.as_mut().map(|(asking, _)| asking).expect("there is one").await }, if asking.is_some() => {
                let asked = asking.take().map(|(_, query)| query).unwrap_or_default();
                board.take(&asked, seen);
                looks += 1;
                if watched.times.is_some_and(|times| looks > times) { Wish::Leave } else { Wish::Nothing }
            }
            _ = tick.tick() => match board.wants_news() {
                true => Wish::Look,
                false => Wish::Nothing,
            },
        };
        match wish {
            Wish::Nothing => {}
            Wish::Leave => return Ok(()),
            // One look at a time; a new query does not wait for the answer to the old one.
            Wish::Look if asking.as_ref().is_some_and(|(_, query)| *query == board.wanted()) => {}
            Wish::Look => {
                let query = board.wanted();
                let asked = query.clone();
                let limit = watched.limit;
                asking = Some((Box::pin(async move { look(server, &asked, limit).await }), query));
            }
        }
    }
}

/// Keys and changes of size, read by a thread of its own, since reading them blocks; it ends with the process.
fn keyboard() -> mpsc::Receiver<event::Event> {
    let (sender, receiver) = mpsc::channel(KEYS);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Without a terminal: a line for each stream that appears, changes its state, or goes.
async fn print(watched: Watched, server: &Server, screen: &Screen, first: Look) -> Result<(), Failure> {
    let mut changes = Changes::default();
    let (mut away, mut looks) = (false, 1);
    let mut seen = Ok(first);
    let mut tick = interval(watched.every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.reset();
    loop {
        match seen {
            Ok(look) => {
                if std::mem::take(&mut away) {
                    eprintln!("the node answers again");
                }
                if look.truncated {
                    changes.warn_once(watched.limit);
                }
                for change in changes.between(look.events) {
                    match screen.json {
                        true => screen.line(change.json())?,
                        false => screen.line(screen.tint(&change.text()))?,
                    }
                }
            }
            Err(Trouble::Query(objection)) => return Err(wrong(&watched.query, objection)),
            Err(Trouble::Away(failure)) => {
                if !std::mem::replace(&mut away, true) {
                    eprint!("{failure}");
                }
            }
        }
        looks += 1;
        if watched.times.is_some_and(|times| looks > times) {
            return Ok(());
        }
        tick.tick().await;
        seen = look(server, &watched.query, watched.limit).await;
    }
}
