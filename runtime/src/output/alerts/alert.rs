//! One alert: what is known of it, what people were told, and what was done about it.

use super::settings::Settings;
use crate::clock;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tidegate_event::{Batch, BatchRef, Event, Timestamp};

/// Events kept with an alert at most, in number and in bytes; the latest always is.
const RECENT: usize = 10;
const RECENT_BYTES: usize = 16 << 10;

/// States that are remembered as told.
const STATES: usize = 16;

/// Lines of its history, and notices that are remembered.
const HISTORY: usize = 100;
const NOTIFIED: usize = 20;

/// A moment, as it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct At(pub i64);

impl From<Timestamp> for At {
    fn from(at: Timestamp) -> Self {
        Self(at.0)
    }
}

impl At {
    /// How long after another moment this is; nothing if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// As people write it.
    pub fn iso(self) -> String {
        clock::iso8601(Timestamp(self.0))
    }
}

/// An event that is kept: a batch of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept(pub Arc<Batch>);

impl Kept {
    /// The event.
    pub fn event(&self) -> Event<'_> {
        self.0.event(0)
    }
}

impl Serialize for Kept {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0.to_block())
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Block;
        impl serde::de::Visitor<'_> for Block {
            type Value = Kept;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the block of one event")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Kept, E> {
                let batch = BatchRef::check(bytes).map_err(E::custom)?.to_batch();
                if batch.len() == 1 { Ok(Kept(Arc::new(batch))) } else { Err(E::custom("not one event")) }
            }
        }
        from.deserialize_bytes(Block)
    }
}

/// How an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Something is wrong and nobody has said that they care for it.
    Firing,
    /// Somebody cares for it.
    Acknowledged,
    /// Nobody wants to hear of it for a while.
    Silenced,
    /// It is over.
    Resolved,
}

impl Status {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Acknowledged => "acknowledged",
            Self::Silenced => "silenced",
            Self::Resolved => "resolved",
        }
    }
}

/// What a notice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An alert opened.
    Firing,
    /// An open alert's state changed, or it began or ceased to flap.
    Changed,
    /// Nobody has acknowledged it: others hear of it.
    Escalated,
    /// It is still open.
    Repeated,
    /// Somebody cares for it.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl Kind {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Changed => "changed",
            Self::Escalated => "escalated",
            Self::Repeated => "repeated",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// The kind of this word.
    pub fn of(word: &str) -> Option<Self> {
        let all = [
            Self::Firing,
            Self::Changed,
            Self::Escalated,
            Self::Repeated,
            Self::Acknowledged,
            Self::Resolved,
        ];
        all.into_iter().find(|kind| kind.word() == word)
    }
}

/// Somebody cares for an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Who.
    pub by: String,
    /// Since when.
    pub at: At,
    /// What they said.
    pub note: String,
}

/// A notice that went out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// When.
    pub at: At,
    /// To which output.
    pub to: String,
    /// What it said.
    pub kind: Kind,
    /// Its number.
    pub number: u64,
}

/// What people were told last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The state.
    pub state: Option<String>,
    /// That it flaps.
    pub flapping: bool,
    /// When.
    pub at: At,
    /// When they first heard of it.
    #[serde(default)]
    pub first: At,
}

/// A line of an alert's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: At,
    /// What happened, in a word.
    pub what: String,
    /// Who did it; none where the node did.
    pub by: Option<String>,
    /// What they said, or what there is to know.
    pub note: String,
    /// The state then.
    pub state: Option<String>,
}

/// What is known of a rule at the moment at which it forwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its version.
    pub version: Option<String>,
    /// Which deployment of it.
    pub generation: Option<u64>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Names it as long as it is kept, and the next one of the same key as well.
    pub id: String,
    /// The output of type `alerts` that it belongs to.
    pub output: String,
    /// The values of its key.
    pub key: Vec<String>,
    /// The values of its group; its key where alerts are told of alone.
    pub group: Vec<String>,
    /// The rule that forwarded its latest event.
    pub rule: String,
    /// The rule's version.
    pub version: Option<String>,
    /// The rule's deployment.
    pub generation: Option<u64>,
    /// The log position of what caused its latest event.
    pub position: u64,
    /// Its latest events, the newest last; never empty.
    pub recent: VecDeque<Kept>,
    /// How many events there were since it opened.
    pub events: u64,
    /// Its state, and the one before.
    pub state: Option<String>,
    /// See [`Alert::state`].
    pub before: Option<String>,
    /// Since when, by the events' own time.
    pub since: At,
    /// When it opened here, and when it was last heard of.
    pub opened: At,
    /// See [`Alert::opened`].
    pub last: At,
    /// When it was resolved.
    pub until: Option<At>,
    /// Its latest changes, as many as make it flap.
    pub changes: VecDeque<At>,
    /// Whether it changes too often to be told of each time.
    pub flapping: bool,
    /// Who cares for it.
    pub acknowledged: Option<Acknowledged>,
    /// The silence that holds for it.
    pub silence: Option<String>,
    /// Steps of escalation behind it.
    pub escalated: usize,
    /// What people know: nothing, or what they were told.
    pub told: Option<Told>,
    /// Since when there is something to tell.
    pub pending: Option<At>,
    /// States that were told since it opened, not too many.
    #[serde(default)]
    pub states: BTreeSet<String>,
    /// Outputs that were told that it is open.
    pub informed: BTreeSet<String>,
    /// The latest notices.
    pub notified: VecDeque<Notified>,
    /// What happened to it.
    pub history: VecDeque<Line>,
}

impl Alert {
    /// Whether it is not over.
    pub fn is_open(&self) -> bool {
        self.until.is_none()
    }

    /// How it is.
    pub fn status(&self) -> Status {
        if !self.is_open() {
            Status::Resolved
        } else if self.silence.is_some() {
            Status::Silenced
        } else if self.acknowledged.is_some() {
            Status::Acknowledged
        } else {
            Status::Firing
        }
    }

    /// Its latest event.
    pub fn latest(&self) -> &Kept {
        self.recent.back().expect("an alert is made of an event")
    }

    /// Its key as one text.
    pub fn key_text(&self) -> String {
        self.key.join("|")
    }

    /// Its group as one text.
    pub fn group_text(&self) -> String {
        self.group.join("|")
    }

    /// For how long it has been open, or was.
    pub fn duration(&self, now: At) -> Duration {
        self.until.unwrap_or(now).since(self.since)
    }

    /// What there is to tell, if anything.
    pub fn need(&self, settings: &Settings) -> Option<Kind> {
        match (&self.told, self.is_open()) {
            // One that flaps was said to do so: there will be a notice when it has come to rest.
            (Some(told), _) if told.flapping && self.flapping => None,
            (None, true) => self.silence.is_none().then_some(Kind::Firing),
            (None, false) => None,
            (Some(_), false) => settings.send_resolved.then_some(Kind::Resolved),
            (Some(told), true) => {
                let news = told.state != self.state || told.flapping != self.flapping;
                (news && self.silence.is_none()).then_some(Kind::Changed)
            }
        }
    }

    /// Whether somebody should still do something about it.
    pub fn is_unattended(&self) -> bool {
        self.status() == Status::Firing
    }

    /// Keeps an event; older ones go where there are too many.
    pub fn keep(&mut self, event: Kept) {
        self.recent.push_back(event);
        let mut bytes: usize = self.recent.iter().map(|kept| kept.0.block_len()).sum();
        while self.recent.len() > 1 && (self.recent.len() > RECENT || bytes > RECENT_BYTES) {
            bytes -= self.recent.pop_front().map_or(0, |kept| kept.0.block_len());
        }
    }

    /// Adds a line to the history.
    pub fn note(&mut self, at: At, what: &str, by: Option<&str>, note: impl Into<String>) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let (what, by, state) = (what.to_owned(), by.map(str::to_owned), self.state.clone());
        self.history.push_back(Line { at, what, by, note: note.into(), state });
    }

    /// Remembers that a notice went out.
    pub fn notify(&mut self, at: At, to: &str, kind: Kind, number: u64) {
        if self.notified.len() == NOTIFIED {
            self.notified.pop_front();
        }
        self.notified.push_back(Notified { at, to: to.to_owned(), kind, number });
        if kind != Kind::Resolved && self.states.len() < STATES {
            self.states.extend(self.state.clone());
        }
        match kind {
            Kind::Resolved => _ = self.informed.remove(to),
            _ => _ = self.informed.insert(to.to_owned()),
        }
    }
}
