//! One desk: it takes what rules forward to its output, keeps an alert for each key, and decides what people hear.
//!
//! Nothing here reads a clock or sends anything: each call is given the moment, and what is to be done comes back as
//! [`Doings`]. What people hear is not a list of what happened but the difference between what they were told and what is
//! so: an alert that came and went while it was silenced, or within a group's wait, is told to nobody, and however much
//! happened, there is one thing to say of each alert.

use super::alert::{About, Acknowledged, Alert, At, Kept, Kind, Told};
use super::doings::Doings;
use super::settings::{Saying, Settings};
use super::silence::Standing;
use crate::output::Delivery;
use crate::output::notice::{self, TOGETHER};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use tidegate_event::{BatchBuilder, Event, FieldSet};

/// Deliveries that are remembered, so that one that comes twice counts once: more than a batch, and what comes twice after
/// a crash is a batch at most.
const SEEN: usize = 16_384;

/// Alerts by their ids, and what is said of each.
type Listed = Vec<(String, Kind)>;

/// The service of the events that tell what happens to alerts.
pub const SERVICE: &str = "tidegate alert";

/// Silences by id.
pub type Silences = BTreeMap<String, Standing>;

/// Alerts that are told of together.
#[derive(Debug, Default)]
struct Group {
    members: BTreeSet<String>,
    /// Those of which there is something to tell, and since when.
    pending: BTreeSet<(At, String)>,
    /// When it was last told of.
    last: Option<At>,
    /// Whether it was due and there was no room.
    held: bool,
}

/// The desk of one output.
#[derive(Debug)]
pub struct Desk {
    name: String,
    settings: Settings,
    base: Option<String>,
    alerts: BTreeMap<String, Alert>,
    groups: BTreeMap<Vec<String>, Group>,
    /// When the latest notices went out.
    window: VecDeque<At>,
    /// Groups that were due while there was no room.
    held: u64,
    seen: HashSet<u64>,
    order: VecDeque<u64>,
}

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full(pub usize);

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// There is no alert of that id.
    Unknown,
    /// It is not in the state for that.
    Conflict(String),
}

impl Desk {
    /// A desk without alerts.
    pub fn new(name: &str, settings: Settings) -> Self {
        Self {
            name: name.to_owned(),
            settings,
            base: None,
            alerts: BTreeMap::new(),
            groups: BTreeMap::new(),
            window: VecDeque::new(),
            held: 0,
            seen: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// Where people find the page.
    pub fn found_at(&mut self, base: Option<&str>) {
        self.base = base.map(str::to_owned);
    }

    /// Every output that may get notices.
    pub fn tells(&self) -> impl Iterator<Item = &str> {
        self.settings.targets()
    }

    /// Its alerts by id.
    pub fn alerts(&self) -> &BTreeMap<String, Alert> {
        &self.alerts
    }

    /// The deliveries that it remembers, the oldest first.
    pub fn seen(&self) -> impl Iterator<Item = u64> + '_ {
        self.order.iter().copied()
    }

    /// Puts an alert back that was kept.
    pub fn restore(&mut self, mut alert: Alert) {
        let known: BTreeSet<&str> = self.settings.targets().collect();
        alert.informed.retain(|output| known.contains(output.as_str()));
        alert.escalated = alert.escalated.min(self.settings.escalate.len());
        alert.group = if self.settings.group_by.is_empty() {
            alert.key.clone()
        } else {
            values(&self.settings.group_by, &alert.rule, &alert.latest().event())
        };
        let group = self.groups.entry(alert.group.clone()).or_default();
        group.members.insert(alert.id.clone());
        group.pending.extend(alert.pending.map(|since| (since, alert.id.clone())));
        group.last = group.last.max(alert.told.as_ref().map(|told| told.at));
        self.alerts.insert(alert.id.clone(), alert);
    }

    /// Remembers a delivery.
    pub fn remember(&mut self, mark: u64) {
        if self.seen.insert(mark) {
            self.order.push_back(mark);
        }
        if self.order.len() > SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
    }

    /// What a rule forwarded.
    pub fn fold(
        &mut self,
        now: At,
        delivery: &Delivery,
        about: &About,
        silences: &Silences,
        out: &mut Doings,
    ) -> Result<(), Full> {
        let event = delivery.event();
        let mark = mark(delivery);
        if self.seen.contains(&mark) {
            out.doubled += 1;
            return Ok(());
        }
        let saying = match is_ours(&event) {
            true => Saying::Nothing,
            false => self.settings.saying(event.state()),
        };
        let key = values(&self.settings.key, &delivery.rule, &event);
        let id = self.id_of(&key);
        let known = self.alerts.get(&id).map(Alert::is_open);
        match (saying, known) {
            (Saying::Firing, None) => self.open(now, &id, key, delivery, about, out)?,
            (Saying::Firing, Some(false)) => self.reopen(now, &id, delivery, about, out),
            (Saying::Firing, Some(true)) => self.go_on(now, &id, delivery, about, out),
            (Saying::Resolved, Some(true)) => {
                self.hear(now, &id, delivery, about);
                let until = At::from(event.time()).min(now);
                self.end(now, until, &id, "resolved", None, "", out);
            }
            (Saying::Nothing, _) | (Saying::Resolved, _) => out.ignored += 1,
        }
        out.folded += 1;
        self.remember(mark);
        out.seen.push((self.name.clone(), mark));
        if saying != Saying::Nothing && self.alerts.contains_key(&id) {
            self.silence(now, &id, silences, out);
            self.settle(now, &id, out);
            self.flush(now, &id, out);
        }
        Ok(())
    }

    /// The id of a key: the same one on every day.
    fn id_of(&self, key: &[String]) -> String {
        let mut parts: Vec<&str> = vec![&self.name];
        parts.extend(key.iter().map(String::as_str));
        notice::name(&parts)
    }

    fn open(
        &mut self,
        now: At,
        id: &str,
        key: Vec<String>,
        delivery: &Delivery,
        about: &About,
        out: &mut Doings,
    ) -> Result<(), Full> {
        if self.alerts.len() >= self.settings.max_alerts && !self.let_go(out) {
            return Err(Full(self.settings.max_alerts));
        }
        let event = delivery.event();
        let group = match self.settings.group_by.is_empty() {
            true => key.clone(),
            false => values(&self.settings.group_by, &delivery.rule, &event),
        };
        self.groups.entry(group.clone()).or_default().members.insert(id.to_owned());
        let alert = Alert {
            id: id.to_owned(),
            output: self.name.clone(),
            key,
            group,
            rule: String::new(),
            version: None,
            generation: None,
            position: 0,
            recent: VecDeque::new(),
            events: 0,
            state: None,
            before: None,
            since: now,
            opened: now,
            last: now,
            until: None,
            changes: VecDeque::new(),
            flapping: false,
            acknowledged: None,
            silence: None,
            escalated: 0,
            told: None,
            pending: None,
            states: BTreeSet::new(),
            informed: BTreeSet::new(),
            notified: VecDeque::new(),
            history: VecDeque::new(),
        };
        self.alerts.insert(id.to_owned(), alert);
        self.begin(now, id, delivery, about, out);
        Ok(())
    }

    /// Makes room for one more: the alert that has been over for longest goes. `false` when all are open.
    fn let_go(&mut self, out: &mut Doings) -> bool {
        let over = self.alerts.values().filter(|alert| !alert.is_open());
        let Some(id) = over.min_by_key(|alert| alert.until).map(|alert| alert.id.clone()) else {
            return false;
        };
        self.remove(&id, out);
        true
    }

    fn remove(&mut self, id: &str, out: &mut Doings) {
        let Some(alert) = self.alerts.remove(id) else { return };
        if let Some(group) = self.groups.get_mut(&alert.group) {
            group.members.remove(id);
            group.pending.retain(|(_, member)| member != id);
            if group.members.is_empty() {
                self.groups.remove(&alert.group);
            }
        }
        out.gone(&self.name, id);
    }

    fn reopen(&mut self, now: At, id: &str, delivery: &Delivery, about: &About, out: &mut Doings) {
        if let Some(alert) = self.alerts.get_mut(id) {
            (alert.until, alert.acknowledged, alert.escalated, alert.events) = (None, None, 0, 0);
            alert.before = alert.state.take();
        }
        self.begin(now, id, delivery, about, out);
    }

    fn begin(&mut self, now: At, id: &str, delivery: &Delivery, about: &About, out: &mut Doings) {
        let before = self.alerts.get(id).and_then(|alert| alert.before.clone());
        self.hear(now, id, delivery, about);
        if let Some(alert) = self.alerts.get_mut(id) {
            alert.before = before;
            alert.opened = now;
            alert.since = At::from(delivery.event().time()).min(now);
        }
        self.change(now, id, "firing", None, "", out);
    }

    fn go_on(&mut self, now: At, id: &str, delivery: &Delivery, about: &About, out: &mut Doings) {
        let before = self.alerts.get(id).and_then(|alert| alert.state.clone());
        self.hear(now, id, delivery, about);
        out.touch(&self.name, id);
        if delivery.event().state() != before.as_deref() {
            self.change(now, id, "changed", None, "", out);
        }
    }

    /// Takes the event in.
    fn hear(&mut self, now: At, id: &str, delivery: &Delivery, about: &About) {
        let Some(alert) = self.alerts.get_mut(id) else { return };
        let event = delivery.event();
        alert.keep(kept(&event));
        alert.events += 1;
        alert.last = now;
        alert.position = delivery.position;
        alert.rule = delivery.rule.to_string();
        (alert.version, alert.generation) = (about.version.clone(), about.generation);
        if alert.state.as_deref() != event.state() {
            alert.before = std::mem::replace(&mut alert.state, event.state().map(str::to_owned));
        }
    }

    #[allow(clippy::too_many_arguments, reason = "who, when, what and why are different things")]
    fn end(
        &mut self,
        now: At,
        until: At,
        id: &str,
        what: &str,
        by: Option<&str>,
        note: &str,
        out: &mut Doings,
    ) {
        if let Some(alert) = self.alerts.get_mut(id) {
            alert.until = Some(until.max(alert.since));
            alert.silence = None;
        }
        self.change(now, id, what, by, note, out);
    }

    /// Something about it has changed: said, and counted for flapping.
    fn change(&mut self, now: At, id: &str, what: &str, by: Option<&str>, note: &str, out: &mut Doings) {
        let Some(alert) = self.alerts.get_mut(id) else { return };
        alert.note(now, what, by, note);
        out.say(now, alert, what, by, note);
        alert.changes.push_back(now);
        while alert.changes.len() > self.settings.changes {
            alert.changes.pop_front();
        }
        let often = alert.changes.len() == self.settings.changes
            && alert.changes.front().is_some_and(|first| now.since(*first) <= self.settings.within);
        if often && !alert.flapping {
            alert.flapping = true;
            alert.note(now, "flapping", None, "");
            out.say(now, alert, "flapping", None, "");
        }
    }

    /// Looks which silence holds for it.
    pub fn silence(&mut self, now: At, id: &str, silences: &Silences, out: &mut Doings) {
        let Some(alert) = self.alerts.get_mut(id).filter(|alert| alert.is_open()) else { return };
        let mut holding = silences.values().filter(|standing| standing.silence.holds(now)).peekable();
        let found = match holding.peek() {
            None => None,
            Some(_) => {
                let event = notice::event_of(alert, &[]);
                holding.find(|standing| standing.matches(&event.event(0)))
            }
        };
        let found = found.map(|standing| &standing.silence);
        if found.map(|silence| &silence.id) == alert.silence.as_ref() {
            return;
        }
        alert.silence = found.map(|silence| silence.id.clone());
        let (what, by, note) = match found {
            Some(silence) => ("silenced", Some(silence.by.as_str()), silence.reason.as_str()),
            None => ("unsilenced", None, ""),
        };
        alert.note(now, what, by, note);
        out.say(now, alert, what, by, note);
        if let Some(silence) = found {
            out.silenced.push(silence.id.clone());
        }
    }

    /// Notes whether there is something to tell.
    pub fn settle(&mut self, now: At, id: &str, out: &mut Doings) {
        let Some(alert) = self.alerts.get_mut(id) else { return };
        let needs = alert.need(&self.settings).is_some();
        if !alert.is_open() && !needs && !alert.flapping {
            // It is over, and nobody is to hear of that.
            alert.told = None;
            alert.informed.clear();
        }
        if needs == alert.pending.is_some() {
            return;
        }
        let Some(group) = self.groups.get_mut(&alert.group) else { return };
        if let Some(since) = alert.pending.take() {
            group.pending.remove(&(since, alert.id.clone()));
        }
        if needs {
            alert.pending = Some(now);
            group.pending.insert((now, alert.id.clone()));
        }
        out.touch(&self.name, id);
    }

    /// When a group is to be told of.
    fn due(&self, group: &Group) -> Option<At> {
        let (since, _) = group.pending.first()?;
        let told =
            group.members.iter().any(|id| self.alerts.get(id).is_some_and(|alert| alert.told.is_some()));
        Some(match group.last.filter(|_| told) {
            Some(last) => last.plus(self.settings.group_interval).max(*since),
            None => since.plus(self.settings.group_wait),
        })
    }

    /// How many notices may go out now.
    fn room(&mut self, now: At) -> usize {
        while self.window.front().is_some_and(|first| now.since(*first) >= self.settings.per) {
            self.window.pop_front();
        }
        self.settings.notices.saturating_sub(self.window.len())
    }

    /// Tells of an alert's group if it is due.
    pub fn flush(&mut self, now: At, id: &str, out: &mut Doings) {
        let Some(name) = self.alerts.get(id).map(|alert| alert.group.clone()) else { return };
        let due = self.groups.get(&name).and_then(|group| self.due(group));
        if due.is_none_or(|due| due > now) {
            return;
        }
        if self.held > 0 || self.room(now) == 0 {
            return self.hold(&name, out);
        }
        let pending = self.pending_of(&name);
        self.emit(now, pending, None, out);
    }

    fn hold(&mut self, group: &[String], out: &mut Doings) {
        if let Some(group) = self.groups.get_mut(group).filter(|group| !group.held) {
            group.held = true;
            self.held += 1;
            out.held += 1;
        }
    }

    fn pending_of(&self, group: &[String]) -> Vec<(String, Kind)> {
        let pending = self.groups.get(group).into_iter().flat_map(|group| &group.pending);
        pending.filter_map(|(_, id)| Some((id.clone(), self.alerts.get(id)?.need(&self.settings)?))).collect()
    }

    /// What time alone brings about.
    pub fn tick(&mut self, now: At, out: &mut Doings) {
        self.grow_old(now, out);
        self.escalate(now, out);
        let due = |desk: &Self, group: &Group| desk.due(group).is_some_and(|due| due <= now);
        let names: Vec<Vec<String>> =
            self.groups.iter().filter(|(_, group)| due(self, group)).map(|(name, _)| name.clone()).collect();
        let lists = names.iter().map(|name| self.pending_of(name)).collect();
        self.send(now, &names, lists, None, out);
        self.remind(now, out);
    }

    /// Calm after flapping, silence of the source, and what was over long ago.
    fn grow_old(&mut self, now: At, out: &mut Doings) {
        let ids: Vec<String> = self.alerts.keys().cloned().collect();
        for id in ids {
            let Some(alert) = self.alerts.get_mut(&id) else { continue };
            if alert.flapping {
                let recent =
                    alert.changes.iter().filter(|at| now.since(**at) <= self.settings.within).count();
                if recent <= self.settings.changes / 2 {
                    alert.flapping = false;
                    alert.note(now, "steady", None, "");
                    out.say(now, alert, "steady", None, "");
                    self.settle(now, &id, out);
                }
            }
            let Some(alert) = self.alerts.get(&id) else { continue };
            let quiet = self.settings.resolve_after.is_some_and(|after| now.since(alert.last) >= after);
            if alert.is_open() && quiet {
                self.end(now, now, &id, "resolved", None, "nothing was heard of it for long", out);
                self.settle(now, &id, out);
            } else if alert.until.is_some_and(|until| now.since(until) >= self.settings.keep)
                && alert.pending.is_none()
            {
                self.remove(&id, out);
            }
        }
    }

    fn escalate(&mut self, now: At, out: &mut Doings) {
        for number in 0..self.settings.escalate.len() {
            let after = self.settings.escalate[number].after;
            // Nobody fails to answer before somebody has been asked.
            let due = self.alerts.values().filter(|alert| {
                let asked = alert.told.as_ref().map(|told| told.first.max(alert.opened));
                let long = asked.is_some_and(|asked| now.since(asked) >= after);
                alert.is_unattended() && alert.escalated == number && long
            });
            let by_group = grouped(due, Kind::Escalated);
            if by_group.is_empty() || self.room(now) == 0 {
                continue;
            }
            let to = self.settings.escalate[number].to.clone();
            for (id, _) in by_group.iter().flatten() {
                if let Some(alert) = self.alerts.get_mut(id) {
                    alert.escalated = number + 1;
                    let note = format!("nobody acknowledged it: {} hears of it", to.join(", "));
                    alert.note(now, "escalated", None, note.as_str());
                    out.say(now, alert, "escalated", None, &note);
                }
            }
            self.send(now, &[], by_group, Some(&to), out);
        }
    }

    fn remind(&mut self, now: At, out: &mut Doings) {
        let Some(repeat) = self.settings.repeat else { return };
        let due = self.alerts.values().filter(|alert| {
            let told = alert.told.as_ref().is_some_and(|told| now.since(told.at) >= repeat);
            told && alert.is_unattended() && alert.pending.is_none()
        });
        let by_group = grouped(due, Kind::Repeated);
        if !by_group.is_empty() && self.room(now) > 0 {
            self.send(now, &[], by_group, None, out);
        }
    }

    /// Sends each list in a notice of its own, or all in one where there is no room for that.
    fn send(
        &mut self,
        now: At,
        groups: &[Vec<String>],
        lists: Vec<Vec<(String, Kind)>>,
        to: Option<&[String]>,
        out: &mut Doings,
    ) {
        if lists.is_empty() {
            return;
        }
        let room = self.room(now);
        if room == 0 {
            groups.iter().for_each(|group| self.hold(group, out));
        } else if room >= lists.len() && self.held == 0 {
            lists.into_iter().for_each(|list| self.emit(now, list, to, out));
        } else {
            if self.held == 0 {
                groups.iter().for_each(|group| self.hold(group, out));
            }
            self.emit(now, lists.into_iter().flatten().collect(), to, out);
        }
    }

    /// Makes the notices of these alerts and remembers that they were told.
    fn emit(&mut self, now: At, mut list: Vec<(String, Kind)>, to: Option<&[String]>, out: &mut Doings) {
        list.sort_by_key(|(id, kind)| (*kind, self.alerts.get(id).map(|alert| alert.since)));
        if list.is_empty() {
            return;
        }
        let held = if to.is_none() { std::mem::take(&mut self.held) } else { 0 };
        let mut sent = false;
        for together in list.chunks(TOGETHER) {
            for (outputs, ids) in self.targets(together, to) {
                let number = out.number();
                let alerts: Vec<(&Alert, Kind)> =
                    ids.iter().filter_map(|(id, kind)| Some((self.alerts.get(id)?, *kind))).collect();
                let base = self.base.as_deref();
                let making = notice::Making { output: &self.name, number, held, base };
                let Some(delivery) = notice::write(&alerts, &making) else { continue };
                for (id, kind) in &ids {
                    if let Some(alert) = self.alerts.get_mut(id) {
                        outputs.iter().for_each(|output| alert.notify(now, output, *kind, number));
                    }
                }
                out.tell(number, outputs, delivery);
                sent = true;
            }
            for (id, kind) in together {
                self.has_told(now, id, *kind, out);
            }
        }
        if sent {
            self.window.push_back(now);
        }
    }

    fn has_told(&mut self, now: At, id: &str, kind: Kind, out: &mut Doings) {
        let Some(alert) = self.alerts.get_mut(id) else { return };
        out.touch(&self.name, id);
        if matches!(kind, Kind::Escalated | Kind::Acknowledged) {
            return;
        }
        if let Some(group) = self.groups.get_mut(&alert.group) {
            if let Some(since) = alert.pending.take() {
                group.pending.remove(&(since, alert.id.clone()));
            }
            group.held = false;
            // A reminder is no news: else those of many alerts, each at its own time, would put off for ever what else there
            // is to tell of their group.
            if kind != Kind::Repeated {
                group.last = Some(now);
            }
        }
        if kind == Kind::Resolved {
            alert.told = None;
            alert.informed.clear();
            alert.states.clear();
        } else {
            let first = alert.told.as_ref().map_or(now, |told| told.first);
            alert.told = Some(Told { state: alert.state.clone(), flapping: alert.flapping, at: now, first });
        }
    }

    /// Who hears of which of these alerts: outputs that hear of the same ones share a notice.
    fn targets(&self, list: &[(String, Kind)], to: Option<&[String]>) -> Vec<(Vec<String>, Listed)> {
        if let Some(to) = to {
            return vec![(to.to_vec(), list.to_vec())];
        }
        let mut hearing: BTreeMap<&str, Listed> = BTreeMap::new();
        for (id, kind) in list {
            let Some(alert) = self.alerts.get(id) else { continue };
            let others = alert.informed.iter().filter(|output| !self.settings.to.contains(output));
            for output in self.settings.to.iter().chain(others) {
                hearing.entry(output).or_default().push((id.clone(), *kind));
            }
        }
        let mut shared: Vec<(Vec<String>, Listed)> = Vec::new();
        for (output, ids) in hearing {
            match shared.iter_mut().find(|(_, known)| *known == ids) {
                Some((outputs, _)) => outputs.push(output.to_owned()),
                None => shared.push((vec![output.to_owned()], ids)),
            }
        }
        shared
    }

    /// Somebody cares for an alert.
    pub fn acknowledge(
        &mut self,
        now: At,
        id: &str,
        by: &str,
        note: &str,
        out: &mut Doings,
    ) -> Result<(), Objection> {
        let send = self.settings.send_acknowledged;
        let alert = self.open_alert(id)?;
        alert.acknowledged = Some(Acknowledged { by: by.to_owned(), at: now, note: note.to_owned() });
        alert.note(now, "acknowledged", Some(by), note);
        out.say(now, alert, "acknowledged", Some(by), note);
        let tell = send && alert.told.is_some() && alert.silence.is_none();
        if tell {
            self.emit(now, vec![(id.to_owned(), Kind::Acknowledged)], None, out);
        }
        Ok(())
    }

    /// Nobody cares for it any more.
    pub fn unacknowledge(&mut self, now: At, id: &str, by: &str, out: &mut Doings) -> Result<(), Objection> {
        let alert = self.open_alert(id)?;
        if alert.acknowledged.take().is_none() {
            return Err(Objection::Conflict("nobody has acknowledged it".into()));
        }
        alert.note(now, "unacknowledged", Some(by), "");
        out.say(now, alert, "unacknowledged", Some(by), "");
        Ok(())
    }

    /// Somebody says that it is over. The next event that says otherwise opens it again.
    pub fn resolve(
        &mut self,
        now: At,
        id: &str,
        by: &str,
        note: &str,
        out: &mut Doings,
    ) -> Result<(), Objection> {
        self.open_alert(id)?;
        self.end(now, now, id, "resolved", Some(by), note, out);
        self.settle(now, id, out);
        self.flush(now, id, out);
        Ok(())
    }

    fn open_alert(&mut self, id: &str) -> Result<&mut Alert, Objection> {
        let alert = self.alerts.get_mut(id).ok_or(Objection::Unknown)?;
        match alert.is_open() {
            true => Ok(alert),
            false => Err(Objection::Conflict("it is resolved already".into())),
        }
    }
}

/// Alerts by their groups.
fn grouped<'a>(alerts: impl Iterator<Item = &'a Alert>, kind: Kind) -> Vec<Vec<(String, Kind)>> {
    let mut groups: BTreeMap<&[String], Vec<(String, Kind)>> = BTreeMap::new();
    for alert in alerts {
        groups.entry(&alert.group).or_default().push((alert.id.clone(), kind));
    }
    groups.into_values().collect()
}

/// Whether it is an event by which a desk tells of its alerts: an alert about these would never end.
fn is_ours(event: &Event<'_>) -> bool {
    event.service() == Some(SERVICE) && event.attributes().any(|(name, _)| name == "alert.what")
}

/// The values of these fields.
fn values(fields: &[String], rule: &str, event: &Event<'_>) -> Vec<String> {
    let value = |field: &String| -> String {
        let found = match field.as_str() {
            "rule" => Some(rule),
            "host" => event.host(),
            "service" => event.service(),
            "state" => event.state(),
            "description" => event.description(),
            other => event.attributes().find(|(name, _)| *name == other).map(|(_, value)| value),
        };
        notice::cut(found.unwrap_or_default(), 512).to_owned()
    };
    fields.iter().map(value).collect()
}

/// A delivery in a number: its id and its content, since positions behind a power cut are used again.
fn mark(delivery: &Delivery) -> u64 {
    let own = kept(&delivery.event());
    let mut hash = blake3::Hasher::new();
    hash.update(delivery.id().as_bytes()).update(own.0.row_bytes()).update(own.0.string_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// A copy of an event without what a shard noted in it.
fn kept(event: &Event<'_>) -> Kept {
    let mut builder = BatchBuilder::new();
    builder.copy(event, FieldSet::ALL, |row| (row.key, row.slot, row.binding) = (0, 0, 0));
    Kept(Arc::new(builder.finish()))
}
