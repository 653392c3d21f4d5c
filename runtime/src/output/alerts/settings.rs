//! What an output of `type = "alerts"` is told by the configuration: what makes an alert one and the same, whom it goes to,
//! and how much of it people hear.

use super::DeskSink;
use crate::config::{Problem, Section};
use crate::output::{Kind, Place};
use std::time::Duration;

/// Fields that a key or a group may be made of at most.
const FIELDS: usize = 8;

/// Outputs, states and steps in one list at most.
const LIST: usize = 16;

/// `type = "alerts"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Fields and attributes whose values together are the alert's key; `rule` is the rule that forwarded it.
    pub key: Vec<String>,
    /// Outputs that get its notices.
    pub to: Vec<String>,
    /// States that open it; empty: every state that does not resolve it.
    pub firing: Vec<String>,
    /// States that resolve it.
    pub resolve: Vec<String>,
    /// An alert that has not been heard of for so long is resolved.
    pub resolve_after: Option<Duration>,
    /// Fields whose values together make a group that is told of in one notice; empty: each alert is told of alone.
    pub group_by: Vec<String>,
    /// How long a group's first notice waits for more alerts.
    pub group_wait: Duration,
    /// The time between two notices of a group.
    pub group_interval: Duration,
    /// After so long without a notice, an alert that nobody has acknowledged is told of again.
    pub repeat: Option<Duration>,
    /// Notices within [`Settings::per`] at most; what is over it is told of in one.
    pub notices: usize,
    /// See [`Settings::notices`].
    pub per: Duration,
    /// From so many changes within [`Settings::within`] on, an alert flaps.
    pub changes: usize,
    /// See [`Settings::changes`].
    pub within: Duration,
    /// Whether the end of an alert is told.
    pub send_resolved: bool,
    /// Whether it is told that somebody has acknowledged an alert.
    pub send_acknowledged: bool,
    /// Who else hears of an alert that nobody acknowledges, in the order of time.
    pub escalate: Vec<Step>,
    /// Alerts kept at most, open and resolved.
    pub max_alerts: usize,
    /// How long a resolved alert is kept.
    pub keep: Duration,
}

/// `[[outputs.NAME.escalate]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How long after people were first told.
    pub after: Duration,
    /// Outputs that hear of it.
    pub to: Vec<String>,
}

/// What an event's state says about its alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saying {
    /// Something is wrong.
    Firing,
    /// It is over.
    Resolved,
    /// Neither.
    Nothing,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key: ["rule", "host", "service"].map(String::from).into(),
            to: Vec::new(),
            firing: Vec::new(),
            resolve: vec!["ok".into()],
            resolve_after: None,
            group_by: Vec::new(),
            group_wait: Duration::ZERO,
            group_interval: Duration::ZERO,
            repeat: None,
            notices: 60,
            per: Duration::from_secs(60),
            changes: 6,
            within: Duration::from_secs(600),
            send_resolved: true,
            send_acknowledged: true,
            escalate: Vec::new(),
            max_alerts: 10_000,
            keep: Duration::from_secs(7 * 86_400),
        }
    }
}

impl Kind for Settings {
    type Sink = DeskSink;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let default = Self::default();
        let key = at.texts_or("key", FIELDS, &["rule", "host", "service"], "[\"rule\", \"host\"]");
        let group_by = at.texts_or("group_by", FIELDS, &[], "[\"rule\"]");
        // A group that is not waited for is no group.
        let (wait, interval) = if group_by.is_empty() { ("0s", "0s") } else { ("30s", "5m") };
        let settings = Self {
            key,
            to: at.texts_or("to", LIST, &[], "[\"slack\"]"),
            firing: at.texts_or("firing", LIST, &[], "[\"critical\", \"warning\"]"),
            resolve: at.texts_or("resolve", LIST, &["ok"], "[\"ok\"]"),
            resolve_after: at.time_if("resolve_after", ("1s", "365d"), "1h"),
            group_by,
            group_wait: at.time("group_wait", ("0s", "1d"), wait),
            group_interval: at.time("group_interval", ("0s", "1d"), interval),
            repeat: at.time_if("repeat", ("1s", "365d"), "4h"),
            escalate: steps(at),
            send_resolved: at.switch("send_resolved", true),
            send_acknowledged: at.switch("send_acknowledged", true),
            max_alerts: at.count("max_alerts", 1..=100_000, default.max_alerts as u64) as usize,
            keep: at.time("keep", ("1s", "365d"), "7d"),
            ..Self::default()
        };
        let mut limit = at.section("limit");
        let notices = limit.count("notices", 1..=10_000, default.notices as u64) as usize;
        let per = limit.time("per", ("1s", "1d"), "1m");
        let limit = limit.finish();
        at.show("limit", limit);
        let mut flap = at.section("flap");
        let changes = flap.count("changes", 2..=1_000, default.changes as u64) as usize;
        let within = flap.time("within", ("1s", "1d"), "10m");
        let flap = flap.finish();
        at.show("flap", flap);
        let settings = Self { notices, per, changes, within, ..settings };
        settings.check(at);
        Some(settings)
    }

    fn sink(&self, place: &Place) -> Result<DeskSink, String> {
        Ok(DeskSink::alone(&place.stats.name, self.clone()))
    }
}

impl Settings {
    fn check(&self, at: &Section<'_>) {
        if self.key.is_empty() {
            let problem = Problem::new(at.spot_of("key"), "`key` names no field".into());
            at.error(problem.hint("such as key = [\"rule\", \"host\", \"service\"]"));
        }
        if let Some(both) = self.firing.iter().find(|state| self.resolve.contains(state)) {
            let message = format!("the state \"{both}\" both opens an alert and resolves it");
            at.error(Problem::new(at.spot_of("firing"), message).hint("remove it from one of the two"));
        }
        if self.escalate.windows(2).any(|pair| pair[0].after >= pair[1].after) {
            let message = "the steps of `escalate` are not in the order of time".to_owned();
            at.error(
                Problem::new(at.spot_of("escalate"), message)
                    .hint("each `after` is longer than the one before"),
            );
        }
    }

    /// What a state says.
    pub fn saying(&self, state: Option<&str>) -> Saying {
        let is_one_of =
            |states: &[String]| state.is_some_and(|state| states.iter().any(|known| known == state));
        if is_one_of(&self.resolve) {
            Saying::Resolved
        } else if self.firing.is_empty() || is_one_of(&self.firing) {
            Saying::Firing
        } else {
            Saying::Nothing
        }
    }

    /// Every output that may get notices.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.to.iter().chain(self.escalate.iter().flat_map(|step| &step.to)).map(String::as_str)
    }
}

fn steps(at: &mut Section<'_>) -> Vec<Step> {
    let (mut steps, mut shown) = (Vec::new(), Vec::new());
    for mut at in at.list("escalate", LIST) {
        let step = Step {
            after: at.time("after", ("1s", "365d"), "15m"),
            to: at.texts_or("to", LIST, &[], "[\"oncall\"]"),
        };
        if step.to.is_empty() {
            let problem = Problem::new(at.spot(), "a step of `escalate` has no output in `to`".into());
            at.error(problem.hint("such as to = [\"oncall\"]"));
        }
        steps.push(step);
        shown.push(at.finish());
    }
    if !shown.is_empty() {
        at.show("escalate", shown);
    }
    steps
}
