//! A trial: a candidate runs beside the rule that it is to replace, its incumbent. Both see every event. For each key one
//! of them speaks, and what the other asks for is held back; all that both ask for is compared.
//!
//! A shadow speaks for no key, a canary for a share of them. While a canary is quarantined its incumbent speaks for all.
//! What is compared is what the two ask for at a position, over all shards, so that the outcome does not depend on how
//! many there are, nor on how either is keyed.

use super::crew::{Crew, Rule};
use super::deployed::Deployed;
use super::effects::{self, Asked, Notice, Place, What};
use super::group::Scene;
use super::keys::OVERFLOW;
use super::{Shard, Step};
use crate::codec::json::encode_event;
use crate::query::Matcher;
use crate::rule::{Compared, Control, RuleSpec, Sample};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_event::{Batch, BatchBuilder, Event, Field, Metric, State, Timestamp};

/// A share of all keys.
pub const ALL_KEYS: u32 = 1000;
/// Differences of a position that are kept as samples.
const SAMPLES: usize = 4;

/// A rule's part in a trial.
#[derive(Clone, Debug)]
pub struct Part {
    /// Whether it is the candidate, or else the incumbent.
    pub candidate: bool,
    /// The number of the other one.
    pub other: u32,
    /// Of a thousand keys, those for which the candidate speaks.
    pub share: u32,
    /// The name in which both speak.
    pub name: Arc<str>,
}

/// What a rule in a trial asked for, whether it was held back or not.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The name of the rule, or of the one that the candidate is for.
    pub rule: Arc<str>,
    /// Whether the candidate asked.
    pub candidate: bool,
    /// Its place among all effects of the position.
    pub place: Place,
    /// What is to be done.
    pub what: What,
    /// The number of the event among the step's.
    pub event: u32,
}

/// The name under which a candidate is counted and logs, so that it is not mixed up with its incumbent.
pub fn candidate_name(name: &str, generation: u64) -> String {
    format!("{name}@{generation}")
}

/// Whether a candidate with that share speaks for a key. The same keys at any time and on any number of shards.
pub fn in_share(key: u64, share: u32) -> bool {
    // Which shard owns a key is decided by its high bits; this must not be the same question.
    let mixed = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (key >> 29);
    share >= ALL_KEYS || key != OVERFLOW && ((mixed >> 32) * u64::from(ALL_KEYS)) >> 32 < u64::from(share)
}

/// Where a rule's effects go: out, unless it is in a trial and the other one speaks for the key.
#[inline]
pub fn pass(crew: &mut Crew, number: u32, key: u64, asked: Asked, now: Timestamp, step: &mut Step) -> bool {
    match &crew.get(number).trial {
        None => {
            step.asked.push(asked);
            true
        }
        Some(part) => {
            let part = part.clone();
            pass_gate(crew, number, &part, key, asked, now, step)
        }
    }
}

#[cold]
fn pass_gate(
    crew: &mut Crew,
    number: u32,
    part: &Part,
    key: u64,
    mut asked: Asked,
    now: Timestamp,
    step: &mut Step,
) -> bool {
    // Lines are for the author: each logs in its own name.
    if let What::Log { .. } = asked.what {
        step.asked.push(asked);
        return true;
    }
    let place = asked.place;
    let Part { candidate, ref name, .. } = *part;
    step.tried.push(Tried {
        rule: name.clone(),
        candidate,
        place,
        what: asked.what.clone(),
        event: asked.event,
    });
    let spare = if candidate { number } else { part.other };
    let speaks = in_share(key, part.share) && crew.get(spare).health.quarantined(now).is_none();
    if speaks == candidate {
        asked.rule = name.clone();
        step.asked.push(asked);
        return true;
    }
    *crew.count(number).cut.entry("trial").or_default() += 1;
    false
}

impl Shard {
    /// A candidate begins beside the rule of its name, with a copy of what its keys remember; without one, nothing happens.
    pub(super) fn begin_trial(&mut self, spec: &RuleSpec, share: u32, position: u64, step: &mut Step) {
        // Checked before the record was written.
        let Ok(matcher) = Matcher::parse(&spec.query) else { return };
        let none = Batch::default();
        let scene = Scene {
            batch: &none,
            gone: &none,
            ended: &none,
            now: self.now,
            guests: &*self.guests,
            settings: &self.settings,
        };
        let began = self.deployed.begin_trial(spec.clone(), matcher, share, position);
        let Some((incumbent, number)) = began else { return };
        if !spec.reset_state && self.deployed.crew.get(incumbent).spec.per == spec.per {
            match self.deployed.pick(incumbent, usize::MAX) {
                Ok(carried) => self.deployed.carry(number, carried, &mut self.index),
                // The incumbent does not give its states: the candidate begins anew.
                Err(fault) => self.deployed.trouble(number, fault, None, &scene, step),
            }
        }
        self.deployed.crew.count(number);
        self.deployed.try_start(number, &scene, step);
        step.counts = self.deployed.crew.take_counts();
    }

    /// What becomes of trials and roll-backs is an event of the stream, as a rule's quarantine is. One shard tells it.
    pub(super) fn tell(&self, control: &Control, position: u64, step: &mut Step) {
        if self.settings.number != 0 {
            return;
        }
        let (name, state, description) = match control {
            Control::Deploy(spec) => match spec.origin.back_to {
                Some(to) => {
                    let reason = because(&spec.origin.reason);
                    (
                        &spec.name,
                        State::Warning,
                        format!("rule {} is back at generation {to}{reason}", spec.name),
                    )
                }
                None => return,
            },
            Control::Try { spec, share } => {
                let (name, generation, percent) = (&spec.name, spec.generation, f64::from(*share) / 10.0);
                let how =
                    if *share == 0 { "a shadow".to_owned() } else { format!("a canary of {percent} %") };
                (name, State::Ok, format!("generation {generation} of rule {name} is tried as {how}"))
            }
            Control::Promote { name } => (name, State::Ok, format!("rule {name} is what was tried")),
            Control::Abandon { name, reason } => {
                (name, State::Warning, format!("rule {name} is no longer tried{}", because(reason)))
            }
            Control::Remove { .. } | Control::Pause { .. } | Control::Rejoin { .. } => return,
        };
        let service = format!("tidegate rule {name}");
        let (host, time) = (&*self.settings.node, self.now);
        let notice = Notice { host, service: &service, state, description: &description, metric: None, time };
        let place = Place { phase: 0, at: effects::moment(time), rule: position, key: 0, n: u32::MAX };
        let event = step.events.len() as u32;
        step.asked.push(Asked { place, rule: name.as_str().into(), what: What::Emit, event });
        notice.build(&mut step.events);
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

impl Deployed {
    /// Takes a candidate in, in place of the one that there may be: the numbers of its incumbent and its own.
    fn begin_trial(
        &mut self,
        spec: RuleSpec,
        matcher: Matcher,
        share: u32,
        position: u64,
    ) -> Option<(u32, u32)> {
        self.abandon(&spec.name);
        let incumbent = self.crew.named(&spec.name)?;
        let name = self.crew.get(incumbent).name.clone();
        let mut rule = Rule::new(spec, matcher, position);
        rule.name = candidate_name(&name, rule.spec.generation).into();
        rule.trial = Some(Part { candidate: true, other: incumbent, share, name: name.clone() });
        let number = self.enlist(rule, true);
        self.crew.get_mut(incumbent).trial = Some(Part { candidate: false, other: number, share, name });
        Some((incumbent, number))
    }

    /// The candidate becomes the rule.
    pub fn promote(&mut self, name: &str) {
        let Some((incumbent, Part { other: candidate, name, .. })) = self.tried(name) else { return };
        self.dismiss(incumbent);
        let rule = self.crew.get_mut(candidate);
        (rule.name, rule.trial) = (name, None);
    }

    /// The candidate goes, and the rule is alone again.
    pub fn abandon(&mut self, name: &str) {
        let Some((incumbent, part)) = self.tried(name) else { return };
        self.dismiss(part.other);
        self.crew.get_mut(incumbent).trial = None;
    }

    /// Leaves a rule and its candidate alone, or no longer.
    pub fn pause(&mut self, name: &str, paused: bool) {
        let candidate = self.tried(name).map(|(_, part)| part.other);
        for number in self.crew.named(name).into_iter().chain(candidate) {
            self.crew.get_mut(number).spec.paused = paused;
        }
    }

    /// The rule of that name, and its part in a trial if there is one.
    fn tried(&self, name: &str) -> Option<(u32, Part)> {
        let number = self.crew.named(name)?;
        Some((number, self.crew.get(number).trial.clone()?))
    }
}

/// Compares what the candidates and incumbents of all shards asked for at a position, by the name of the rule.
pub fn compare(steps: &[Step]) -> Vec<(Arc<str>, Compared)> {
    let mut tried: Vec<(&Tried, &Step)> =
        steps.iter().flat_map(|step| step.tried.iter().map(move |tried| (tried, step))).collect();
    tried.sort_by_key(|(tried, _)| tried.place);
    // What the incumbent asked for more often than the candidate is above zero.
    let mut balance: BTreeMap<(&str, Vec<u8>), i64> = BTreeMap::new();
    let mut meanings = Vec::with_capacity(tried.len());
    for (tried, step) in &tried {
        let meaning = meaning(&tried.what, &step.events.event(tried.event as usize));
        *balance.entry((&tried.rule, meaning.clone())).or_default() += if tried.candidate { -1 } else { 1 };
        meanings.push(meaning);
    }
    let mut found: Vec<(Arc<str>, Compared)> = Vec::new();
    for ((tried, step), meaning) in tried.iter().zip(meanings) {
        let at = match found.iter().position(|(name, _)| *name == tried.rule) {
            Some(at) => at,
            None => {
                found.push((tried.rule.clone(), Compared::default()));
                found.len() - 1
            }
        };
        let compared = &mut found[at].1;
        let left = balance.entry((&tried.rule, meaning)).or_default();
        // Of several that are alike, the first are the ones that the other did not ask for.
        let alone = if tried.candidate { *left < 0 } else { *left > 0 };
        match (alone, tried.candidate) {
            (true, true) => (compared.only_new, *left) = (compared.only_new + 1, *left + 1),
            (true, false) => (compared.only_old, *left) = (compared.only_old + 1, *left - 1),
            // Both asked for it: counted once.
            (false, candidate) => compared.same += u64::from(candidate),
        }
        if alone && compared.samples.len() < SAMPLES {
            compared.samples.push(sample(tried, step));
        }
    }
    found
}

fn sample(tried: &Tried, step: &Step) -> Sample {
    let mut event = Vec::new();
    encode_event(&mut event, &step.events.event(tried.event as usize));
    let action = match &tried.what {
        What::Emit => "emit".to_owned(),
        What::Forward { declared, .. } => format!("forward {declared}"),
        What::Log { .. } => "log".to_owned(),
    };
    Sample {
        position: step.position,
        candidate: tried.candidate,
        action,
        event: String::from_utf8_lossy(&event).into_owned(),
    }
}

/// What an effect comes to, as bytes that are equal when two are alike: all but the time and the description, which is
/// there for people and likely to be worded anew. 1 and 1.0 are alike.
fn meaning(what: &What, event: &Event<'_>) -> Vec<u8> {
    let mut one = BatchBuilder::new();
    let action = match what {
        What::Emit => "",
        What::Forward { output, .. } => output,
        What::Log { .. } => return Vec::new(),
    };
    let fields = Field::ALL.into_iter().filter(|field| *field != Field::Description).collect();
    one.copy(event, fields, |row| {
        row.time = Timestamp::EPOCH;
        row.metric = row.metric.map(|metric| Metric::Float(metric.as_f64()));
    });
    let one = one.finish();
    let mut meaning = action.as_bytes().to_vec();
    meaning.push(0);
    encode_event(&mut meaning, &one.event(0));
    meaning
}
