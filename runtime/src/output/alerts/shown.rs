//! Alerts as the API and the page show them, and finding those that are asked for.

use super::alert::{Alert, At, Kept, Line, Status};
use super::{Alerts, Silence};
use crate::clock;
use crate::output::notice;
use serde_json::{Value, json};
use std::cmp::Reverse;
use tidegate_engine::codec::json::encode_event;
use tidegate_engine::query::Matcher;

/// Which alerts are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// All that are not over.
    #[default]
    Open,
    /// Those of one status.
    Only(Status),
    /// All that are kept.
    All,
}

impl Show {
    /// The words for it.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("open", Self::Open),
        ("firing", Self::Only(Status::Firing)),
        ("acknowledged", Self::Only(Status::Acknowledged)),
        ("silenced", Self::Only(Status::Silenced)),
        ("resolved", Self::Only(Status::Resolved)),
        ("all", Self::All),
    ];

    fn wants(self, status: Status) -> bool {
        match self {
            Self::Open => status != Status::Resolved,
            Self::Only(only) => status == only,
            Self::All => true,
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of which status.
    pub show: Show,
    /// Whose latest event this finds.
    pub query: Option<Matcher>,
    /// Only behind the alert of this id.
    pub after: Option<String>,
    /// So many at most.
    pub limit: usize,
}

/// How many alerts there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// That nobody cares for.
    pub firing: usize,
    /// That somebody cares for.
    pub acknowledged: usize,
    /// That are silenced.
    pub silenced: usize,
    /// That are over.
    pub resolved: usize,
    /// The one that has been firing for longest.
    pub oldest: Option<Value>,
}

/// Alerts that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The alerts: those that nobody cares for first, then the newest first.
    pub alerts: Vec<Value>,
    /// How many there are of what was asked for.
    pub total: usize,
    /// How many there are at all.
    pub counts: Counts,
    /// Behind which to go on, if there are more.
    pub next: Option<String>,
}

impl Page {
    /// As the API says it.
    pub fn json(&self) -> Value {
        json!({
            "alerts": self.alerts, "total": self.total, "firing": self.counts.firing,
            "acknowledged": self.counts.acknowledged, "silenced": self.counts.silenced, "next": self.next,
        })
    }
}

impl Alerts {
    /// The alerts that are wanted.
    pub fn list(&self, wanted: &Wanted) -> Page {
        let now = At::from(clock::now());
        let board = self.board();
        let mut found: Vec<&Alert> = board
            .alerts()
            .filter(|alert| wanted.show.wants(alert.status()))
            .filter(|alert| {
                let finds = |query: &Matcher| query.matches(&notice::event_of(alert, &[]).event(0));
                wanted.query.as_ref().is_none_or(finds)
            })
            .collect();
        found.sort_by_key(|alert| (alert.status(), Reverse(alert.until.unwrap_or(alert.since)), &alert.id));
        let total = found.len();
        let after = wanted.after.as_ref().and_then(|after| found.iter().position(|alert| alert.id == *after));
        let from = after.map_or(0, |at| at + 1);
        let some = &found[from..total.min(from + wanted.limit)];
        let more = from + some.len() < total;
        Page {
            alerts: some.iter().map(|alert| shown(alert, now)).collect(),
            total,
            next: some.last().filter(|_| more).map(|alert| alert.id.clone()),
            counts: counts(board.alerts(), now),
        }
    }

    /// How many there are.
    pub fn counts(&self) -> Counts {
        counts(self.board().alerts(), At::from(clock::now()))
    }

    /// All that is known of an alert.
    pub fn get(&self, id: &str) -> Option<Value> {
        let now = At::from(clock::now());
        let board = self.board();
        let alert = board.alert(id)?;
        let mut all = shown(alert, now);
        all["history"] = alert.history.iter().map(line).collect();
        all["why"] = json!({
            "rule": alert.rule, "version": alert.version, "generation": alert.generation,
            "before": alert.before, "after": alert.state, "position": alert.position,
            "events": alert.recent.iter().map(event).collect::<Vec<_>>(),
        });
        Some(all)
    }

    /// All silences, those that hold first.
    pub fn silences(&self) -> Vec<Value> {
        let now = At::from(clock::now());
        let board = self.board();
        let mut all: Vec<&Silence> = board.silences().collect();
        all.sort_by_key(|silence| (silence.has_ended(now), Reverse(silence.until)));
        all.into_iter().map(|silence| silence.json(now)).collect()
    }
}

fn counts<'a>(alerts: impl Iterator<Item = &'a Alert>, now: At) -> Counts {
    let mut counts = Counts::default();
    let mut oldest: Option<&Alert> = None;
    for alert in alerts {
        match alert.status() {
            Status::Firing => {
                counts.firing += 1;
                if oldest.is_none_or(|oldest| alert.since < oldest.since) {
                    oldest = Some(alert);
                }
            }
            Status::Acknowledged => counts.acknowledged += 1,
            Status::Silenced => counts.silenced += 1,
            Status::Resolved => counts.resolved += 1,
        }
    }
    counts.oldest = oldest.map(|alert| shown(alert, now));
    counts
}

fn shown(alert: &Alert, now: At) -> Value {
    let event = alert.latest().event();
    let acknowledged = alert.acknowledged.as_ref();
    let notified: Vec<Value> = alert
        .notified
        .iter()
        .map(|one| json!({ "at": one.at.iso(), "to": one.to, "notice": one.kind.word() }))
        .collect();
    json!({
        "id": alert.id, "key": alert.key_text(), "output": alert.output, "rule": alert.rule,
        "generation": alert.generation, "version": alert.version,
        "host": event.host(), "service": event.service(), "state": alert.state,
        "metric": event.metric(), "description": event.description(),
        "tags": event.tags().collect::<Vec<_>>(),
        "status": alert.status().word(), "since": alert.since.iso(), "until": alert.until.map(At::iso),
        "duration_s": alert.duration(now).as_secs(), "last": alert.last.iso(), "events": alert.events,
        "flapping": alert.flapping,
        "acknowledged": acknowledged.map(|who| json!({ "by": who.by, "at": who.at.iso(), "note": who.note })),
        "silence": alert.silence, "escalated": alert.escalated, "notified": notified,
        "group": alert.group_text(), "before": alert.before, "after": alert.state,
    })
}

fn line(line: &Line) -> Value {
    json!({
        "at": line.at.iso(), "what": line.what, "by": line.by, "note": line.note, "state": line.state,
        "event": null,
    })
}

fn event(kept: &Kept) -> Value {
    let mut text = Vec::new();
    encode_event(&mut text, &kept.event());
    serde_json::from_slice(&text).unwrap_or_default()
}

impl Silence {
    /// As the API shows it.
    pub fn json(&self, now: At) -> Value {
        json!({
            "id": self.id, "query": self.query, "reason": self.reason, "by": self.by,
            "from": self.from.iso(), "until": self.until.iso(), "matched": self.matched,
            "expired": self.has_ended(now),
        })
    }
}
