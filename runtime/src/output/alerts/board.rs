//! All desks of a node, the silences that hold for them, and what is still to be sent: everything that is kept. Pure, like
//! the desks; [`super::Alerts`] gives it a clock and a journal.

use super::alert::{About, Alert, At};
use super::desk::{Desk, Full, Objection, Silences};
use super::doings::{Act, Doings};
use super::journal::Entry;
use super::settings::Settings;
use super::silence::{self, Silence, Standing};
use crate::output::{Delivery, notice};
use std::collections::BTreeMap;
use tidegate_engine::query::QueryError;

/// Events about alerts that wait for the stream at most; beyond it the oldest go.
const WAITING: usize = 10_000;

/// Deliveries that are remembered in one entry.
const SEEN_TOGETHER: usize = 4_096;

/// Everything there is to know of alerts.
#[derive(Debug)]
pub struct Board {
    desks: BTreeMap<String, Desk>,
    silences: Silences,
    last: u64,
    outbox: BTreeMap<u64, Act>,
    /// When silences were last looked at.
    looked: At,
}

/// Why a silence was not made.
#[derive(Debug)]
pub enum NoSilence {
    /// Its query is none.
    Query(QueryError),
    /// There are too many.
    Full,
}

/// What a change left to be written, and counted.
#[derive(Debug, Default)]
pub struct Left {
    /// For the journal.
    pub payload: Vec<u8>,
    /// Whether it is worth waiting for the disk.
    pub weighty: bool,
    /// Events that had no room.
    pub lost: u64,
}

impl Board {
    /// Desks without alerts.
    pub fn new<'a>(outputs: impl Iterator<Item = (&'a str, &'a Settings)>) -> Self {
        let desks = outputs.map(|(name, settings)| (name.to_owned(), Desk::new(name, settings.clone())));
        let (silences, outbox) = (BTreeMap::new(), BTreeMap::new());
        Self { desks: desks.collect(), silences, last: 0, outbox, looked: At(0) }
    }

    /// Where people find the page.
    pub fn found_at(&mut self, base: Option<&str>) {
        self.desks.values_mut().for_each(|desk| desk.found_at(base));
    }

    /// Puts back what was kept; `false` when there is no desk for it any more.
    pub fn restore(&mut self, entry: Entry) -> bool {
        match entry {
            Entry::Alert(alert) => match self.desks.get_mut(&alert.output) {
                Some(desk) => desk.restore(*alert),
                None => return false,
            },
            Entry::Silence(silence) => match Standing::new(silence) {
                Ok(standing) => _ = self.silences.insert(standing.silence.id.clone(), standing),
                Err(_) => return false,
            },
            Entry::Seen(output, marks) => match self.desks.get_mut(&output) {
                Some(desk) => marks.into_iter().for_each(|mark| desk.remember(mark)),
                None => return false,
            },
            Entry::Act(number, act) => _ = self.outbox.insert(number, act),
            Entry::Last(number) => self.last = self.last.max(number),
            // The journal folds these into the others.
            Entry::Gone(..) | Entry::SilenceGone(_) | Entry::Sent(_) => {}
        }
        true
    }

    /// All desks.
    pub fn desks(&self) -> &BTreeMap<String, Desk> {
        &self.desks
    }

    /// All silences.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.values().map(|standing| &standing.silence)
    }

    /// All alerts.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.desks.values().flat_map(|desk| desk.alerts().values())
    }

    /// An alert.
    pub fn alert(&self, id: &str) -> Option<&Alert> {
        self.desks.values().find_map(|desk| desk.alerts().get(id))
    }

    /// What is to be sent and has a higher number, in order.
    pub fn outbox(&self, after: u64) -> impl Iterator<Item = (u64, &Act)> {
        self.outbox.range(after.saturating_add(1)..).map(|(number, act)| (*number, act))
    }

    /// Begins a change.
    pub fn begin(&self) -> Doings {
        Doings::after(self.last)
    }

    /// What a rule forwarded to an output.
    pub fn fold(
        &mut self,
        now: At,
        output: &str,
        delivery: &Delivery,
        about: &About,
        out: &mut Doings,
    ) -> Result<(), Full> {
        let Some(desk) = self.desks.get_mut(output) else { return Ok(()) };
        desk.fold(now, delivery, about, &self.silences, out)
    }

    /// What time alone brings about.
    pub fn tick(&mut self, now: At, out: &mut Doings) {
        let before = std::mem::replace(&mut self.looked, now);
        let turned = |standing: &Standing| {
            let Silence { from, until, .. } = standing.silence;
            [from, until].into_iter().any(|at| before < at && at <= now)
        };
        // What ended while nobody looked was said then, or it ended while there was no node to say it.
        let first = before == At(0);
        let ended: Vec<Silence> = self
            .silences()
            .filter(|silence| !first && before < silence.until && silence.until <= now)
            .cloned()
            .collect();
        if first || self.silences.values().any(turned) {
            ended.iter().for_each(|silence| say(now, silence, "silence-ended", None, out));
            self.look(now, out);
        }
        let forgotten: Vec<String> = self
            .silences()
            .filter(|silence| silence.is_forgotten(now))
            .map(|silence| silence.id.clone())
            .collect();
        for id in forgotten {
            self.silences.remove(&id);
            out.forgotten.push(id);
        }
        self.desks.values_mut().for_each(|desk| desk.tick(now, out));
    }

    /// Looks which silences hold for every alert.
    fn look(&mut self, now: At, out: &mut Doings) {
        for desk in self.desks.values_mut() {
            let open: Vec<String> = desk
                .alerts()
                .values()
                .filter(|alert| alert.is_open())
                .map(|alert| alert.id.clone())
                .collect();
            for id in open {
                desk.silence(now, &id, &self.silences, out);
                desk.settle(now, &id, out);
                desk.flush(now, &id, out);
            }
        }
    }

    /// Makes a silence.
    pub fn add_silence(
        &mut self,
        now: At,
        query: &str,
        reason: &str,
        by: &str,
        until: At,
        out: &mut Doings,
    ) -> Result<Silence, NoSilence> {
        if self.silences.len() >= silence::MOST {
            let over = self.silences().filter(|silence| silence.has_ended(now));
            let oldest = over.min_by_key(|silence| silence.until).map(|silence| silence.id.clone());
            let oldest = oldest.ok_or(NoSilence::Full)?;
            self.silences.remove(&oldest);
            out.forgotten.push(oldest);
        }
        let number = out.number().to_string();
        let silence = Silence {
            id: format!("s{}", &notice::name(&[&number, query])[..8]),
            query: query.to_owned(),
            reason: reason.to_owned(),
            by: by.to_owned(),
            from: now,
            until,
            matched: 0,
        };
        let standing = Standing::new(silence.clone()).map_err(NoSilence::Query)?;
        self.silences.insert(silence.id.clone(), standing);
        out.changed_silences.push(silence.id.clone());
        say(now, &silence, "silence-added", Some(by), out);
        self.look(now, out);
        let kept = out.silenced.iter().filter(|id| **id == silence.id).count() as u64;
        Ok(Silence { matched: kept, ..silence })
    }

    /// Ends a silence before its time; `None` when there is none that holds or will.
    pub fn end_silence(&mut self, now: At, id: &str, by: &str, out: &mut Doings) -> Option<Silence> {
        let standing = self.silences.get_mut(id).filter(|standing| !standing.silence.has_ended(now))?;
        standing.silence.until = now;
        let ended = standing.silence.clone();
        out.changed_silences.push(id.to_owned());
        say(now, &ended, "silence-removed", Some(by), out);
        self.look(now, out);
        Some(ended)
    }

    /// Changes an alert.
    pub fn change(
        &mut self,
        id: &str,
        how: impl FnOnce(&mut Desk) -> Result<(), Objection>,
    ) -> Result<(), Objection> {
        let desk = self.desks.values_mut().find(|desk| desk.alerts().contains_key(id));
        how(desk.ok_or(Objection::Unknown)?)
    }

    /// Ends a change: what is to be sent is noted, and what is to be kept comes back.
    pub fn commit(&mut self, doings: Doings) -> Left {
        let mut left = Left { weighty: !doings.acts.is_empty(), ..Left::default() };
        let to = &mut left.payload;
        for (output, id) in &doings.touched {
            if let Some(alert) = self.desks.get(output).and_then(|desk| desk.alerts().get(id)) {
                Entry::push_alert(to, alert);
            }
        }
        for (output, id) in doings.removed {
            Entry::Gone(output, id).push(to);
        }
        for id in &doings.silenced {
            if let Some(standing) = self.silences.get_mut(id) {
                standing.silence.matched += 1;
            }
        }
        for id in doings.silenced.iter().chain(&doings.changed_silences) {
            if let Some(standing) = self.silences.get(id) {
                Entry::Silence(standing.silence.clone()).push(to);
            }
        }
        doings.forgotten.into_iter().for_each(|id| Entry::SilenceGone(id).push(to));
        let mut marks: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (output, mark) in doings.seen {
            marks.entry(output).or_default().push(mark);
        }
        marks.into_iter().for_each(|(output, marks)| Entry::Seen(output, marks).push(to));
        if doings.last > self.last {
            self.last = doings.last;
            Entry::Last(self.last).push(to);
        }
        for (number, act) in doings.acts {
            Entry::push_act(to, number, &act);
            self.outbox.insert(number, act);
        }
        while self.outbox.len() > WAITING {
            let oldest = self.outbox.iter().find(|(_, act)| matches!(act, Act::Event(_)));
            let Some(oldest) = oldest.map(|(number, _)| *number) else { break };
            self.outbox.remove(&oldest);
            Entry::Sent(vec![oldest]).push(to);
            left.lost += 1;
        }
        left
    }

    /// These have been sent.
    pub fn sent(&mut self, numbers: &[u64]) -> Vec<u8> {
        let mut payload = Vec::new();
        if !numbers.is_empty() {
            numbers.iter().for_each(|number| _ = self.outbox.remove(number));
            Entry::Sent(numbers.to_vec()).push(&mut payload);
        }
        payload
    }

    /// Everything, as the journal begins with it: entries of a handy size.
    pub fn snapshot(&self, mut each: impl FnMut(Vec<u8>)) {
        let mut payload = Vec::new();
        let mut cut = |payload: &mut Vec<u8>, at_least: usize| {
            if payload.len() > at_least {
                each(std::mem::take(payload));
            }
        };
        Entry::Last(self.last).push(&mut payload);
        for silence in self.silences() {
            Entry::Silence(silence.clone()).push(&mut payload);
        }
        for (name, desk) in &self.desks {
            let seen: Vec<u64> = desk.seen().collect();
            for marks in seen.chunks(SEEN_TOGETHER) {
                Entry::Seen(name.clone(), marks.to_vec()).push(&mut payload);
            }
            for alert in desk.alerts().values() {
                Entry::push_alert(&mut payload, alert);
                cut(&mut payload, 1 << 20);
            }
        }
        for (number, act) in &self.outbox {
            Entry::push_act(&mut payload, *number, act);
            cut(&mut payload, 1 << 20);
        }
        cut(&mut payload, 0);
    }
}

/// What happens to a silence is an event.
fn say(now: At, silence: &Silence, what: &str, by: Option<&str>, out: &mut Doings) {
    let by = by.unwrap_or_default();
    let mut description = format!("{what} for alerts where {}", silence.query);
    if !by.is_empty() {
        description += &format!(", by {by}");
    }
    if !silence.reason.is_empty() {
        description += &format!(": {}", silence.reason);
    }
    let until = silence.until.iso();
    let attributes = [
        ("alert.what", what),
        ("alert.silence", silence.id.as_str()),
        ("alert.query", silence.query.as_str()),
        ("alert.by", by),
        ("alert.note", silence.reason.as_str()),
        ("alert.until", until.as_str()),
    ];
    out.event(now, None, &description, &attributes);
}
