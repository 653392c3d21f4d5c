//! How rules, trials, earlier deployments and modules are told to a person.

use super::Controller;
use crate::catalogue::{Entry, Line, Tried};
use crate::clock::{self, iso8601};
use crate::web::control::{
    Difference, History, LastFault, ModuleStatus, PastStatus, RuleLine, RuleLog, RuleState, RuleStatus,
    TrialStatus,
};
use tidegate_engine::rule::{How, Past, RuleSpec, Sample};
use tidegate_event::{Batch, Span, Timestamp};

impl Controller {
    pub(super) fn state_of_all(&self) -> Vec<(String, RuleState)> {
        let now = clock::now();
        let state = |entry: &Entry| state(entry.spec.paused, entry.quarantined_until, now);
        self.catalogue.look(|entry| (entry.spec.name.clone(), state(entry)))
    }

    pub(super) fn status(&self, entry: &Entry) -> RuleStatus {
        let stats = self.telemetry.rule(&entry.spec.name);
        let now = clock::now();
        RuleStatus {
            name: entry.spec.name.clone(),
            generation: entry.spec.generation,
            module: entry.spec.module.clone(),
            version: entry.spec.version.clone(),
            query: entry.spec.query.clone(),
            per: entry.spec.per.to_string(),
            set: entry.spec.set.iter().cloned().collect(),
            outputs: entry.spec.outputs.iter().cloned().collect(),
            status: state(entry.spec.paused, entry.quarantined_until, now),
            events: stats.events.get(),
            memory: stats.memory.get().max(0) as u64,
            keys: stats.keys.get().max(0) as u64,
            emitted: stats.emitted.get(),
            forwarded: stats.forwarded.get(),
            faults: stats.faults.get(),
            last_fault: entry.last_fault.as_ref().map(|trouble| LastFault {
                kind: trouble.fault.kind.name().to_owned(),
                message: trouble.fault.message.clone(),
                during: trouble.fault.during.clone(),
                event: trouble.event.as_ref().and_then(json_of),
                at: iso8601(trouble.at),
            }),
            quarantined_until: entry.quarantined_until.filter(|until| *until > now).map(iso8601),
            by: by(&entry.spec),
            since: iso8601(entry.at),
            trial: entry.trial.as_ref().map(|tried| self.trial_status(tried, now)),
            ..RuleStatus::default()
        }
    }

    fn trial_status(&self, tried: &Tried, now: Timestamp) -> TrialStatus {
        let stats = self.telemetry.rule(&tried.name());
        let trial = &tried.trial;
        TrialStatus {
            generation: trial.spec.generation,
            module: trial.spec.module.clone(),
            version: trial.spec.version.clone(),
            percent: f64::from(trial.share) / 10.0,
            status: state(trial.spec.paused, tried.quarantined_until, now),
            by: by(&trial.spec),
            since: iso8601(Timestamp(trial.at)),
            promoted_at: watched_until(&trial.spec, Timestamp(trial.at)).map(iso8601),
            events: stats.events.get(),
            faults: stats.faults.get(),
            same: trial.compared.same,
            only_new: trial.compared.only_new,
            only_old: trial.compared.only_old,
        }
    }

    pub(super) fn module_status(&self) -> Vec<ModuleStatus> {
        let used = self.modules_in_use();
        let kept = self.modules.list().unwrap_or_else(|error| {
            tracing::warn!(%error, "modules cannot be listed");
            Vec::new()
        });
        let status = |kept: crate::modules::Kept| {
            let mut used_by: Vec<String> = used
                .iter()
                .filter(|(module, _)| *module == kept.digest)
                .map(|(_, rule)| rule.clone())
                .collect();
            used_by.sort();
            used_by.dedup();
            ModuleStatus {
                module: kept.digest,
                bytes: kept.bytes,
                used_by,
                last_used: iso8601(kept.last_used),
            }
        };
        kept.into_iter().map(status).collect()
    }
}

/// Whether a rule runs at this moment.
fn state(paused: bool, quarantined_until: Option<Timestamp>, now: Timestamp) -> RuleState {
    match quarantined_until {
        _ if paused => RuleState::Paused,
        Some(until) if until > now => RuleState::Quarantined,
        _ => RuleState::Running,
    }
}

fn by(spec: &RuleSpec) -> Option<String> {
    Some(spec.origin.by.clone()).filter(|by| !by.is_empty())
}

/// Until when a deployment is watched that began then, if it is.
pub(super) fn watched_until(spec: &RuleSpec, since: Timestamp) -> Option<Timestamp> {
    let watch = i64::try_from(spec.origin.watch_ms).unwrap_or(i64::MAX / 2000);
    (watch > 0).then(|| since + Span::millis(watch.min(i64::MAX / 2000)))
}

/// The lines of a rule.
pub(super) fn lines(name: &str, (lines, missed): (Vec<Line>, u64)) -> RuleLog {
    let told = |line: Line| RuleLine {
        at: iso8601(line.at),
        level: ["error", "warning", "info", "debug", "trace"][usize::from(line.level.min(4))],
        candidate: Some(line.rule.to_string()).filter(|rule| rule != name),
        message: line.text,
        position: line.position,
        event: line.event.as_ref().and_then(json_of),
    };
    RuleLog { rule: name.to_owned(), lines: lines.into_iter().map(told).collect(), missed }
}

/// The event of a batch of one.
fn json_of(event: &Batch) -> Option<serde_json::Value> {
    let mut json = Vec::new();
    tidegate_engine::codec::json::encode_event(&mut json, &event.event(0));
    serde_json::from_slice(&json).ok()
}

pub(super) fn history(entry: &Entry) -> History {
    let samples = entry.trial.iter().flat_map(|tried| &tried.trial.compared.samples);
    History {
        name: entry.spec.name.clone(),
        history: entry.past.iter().map(past).collect(),
        differences: samples.map(difference).collect(),
    }
}

fn past(past: &Past) -> PastStatus {
    let Past { spec, deployed, at, ended, ended_at, how } = past;
    let (how, reason) = match how {
        How::Replaced => ("replaced", ""),
        How::RolledBack { reason } => ("rolled back", reason.as_str()),
        How::Abandoned { reason } => ("abandoned", reason.as_str()),
    };
    PastStatus {
        generation: spec.generation,
        module: spec.module.clone(),
        version: spec.version.clone(),
        query: spec.query.clone(),
        by: by(spec),
        position: *deployed,
        since: iso8601(Timestamp(*at)),
        ended_position: *ended,
        ended: iso8601(Timestamp(*ended_at)),
        how,
        reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
    }
}

fn difference(sample: &Sample) -> Difference {
    Difference {
        position: sample.position,
        candidate: sample.candidate,
        action: sample.action.clone(),
        event: serde_json::from_str(&sample.event).unwrap_or_default(),
    }
}
