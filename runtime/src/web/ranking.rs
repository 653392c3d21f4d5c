//! Which rules are shown, and in which order. A node may have thousands: nobody is handed all of them at once, and what a
//! page or an answer costs follows what it shows.

use crate::web::Shared;
use crate::web::control::{RuleState, RuleStatus};
use serde::Serialize;
use std::cmp::Reverse;

/// How rules are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By name.
    Name,
    /// Those in trouble first, then those that take most time; where that is alike, within a factor of two, by name, so that
    /// a list that is read does not jump about.
    Activity,
}

/// Which rules are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// In which order.
    pub order: Order,
    /// How many at most.
    pub limit: usize,
    /// Only names behind this one.
    pub after: Option<String>,
    /// Only names that hold this, in either case.
    pub find: Option<String>,
}

/// Rules, and how many more there are.
#[derive(Debug, Serialize)]
pub struct Ranked {
    /// Those that are wanted.
    pub rules: Vec<RuleStatus>,
    /// How many are deployed.
    pub total: usize,
    /// How many of them match.
    pub found: usize,
    /// How many of all are left alone after faults.
    pub quarantined: usize,
    /// How many of all are paused.
    pub paused: usize,
    /// In the order of names: the last one here if there are more, to be asked for as `after`.
    pub next: Option<String>,
}

/// Finds those that are wanted.
pub fn rank(app: &Shared, wanted: &Wanted) -> Ranked {
    let mut names = app.control.names();
    let total = names.len();
    let count = |state: RuleState| names.iter().filter(|(_, found)| *found == state).count();
    let (quarantined, paused) = (count(RuleState::Quarantined), count(RuleState::Paused));
    if let Some(find) = wanted.find.as_ref().map(|find| find.to_lowercase()) {
        names.retain(|(name, _)| name.to_lowercase().contains(&find));
    }
    let found = names.len();
    if let Some(after) = &wanted.after {
        names.retain(|(name, _)| name > after);
    }
    match wanted.order {
        Order::Name => first(&mut names, wanted.limit, |(name, _)| name.clone()),
        Order::Activity => app.pulse.rates(|rates| {
            let busy = |name: &str| {
                let nanos = rates.rules.get(name).map_or(0.0, |rate| rate.nanos.per_second());
                (nanos as u64).checked_ilog2()
            };
            let mut ranked: Vec<_> = names
                .drain(..)
                .map(|(name, state)| ((Reverse(trouble(state)), Reverse(busy(&name)), name), state))
                .collect();
            first(&mut ranked, wanted.limit, |(key, _)| key.clone());
            names.extend(ranked.into_iter().map(|((_, _, name), state)| (name, state)));
        }),
    }
    let more = names.len() > wanted.limit;
    names.truncate(wanted.limit);
    let next = match wanted.order {
        Order::Name if more => names.last().map(|(name, _)| name.clone()),
        _ => None,
    };
    let rules = names.iter().filter_map(|(name, _)| one(app, name)).collect();
    Ranked { rules, total, found, quarantined, paused, next }
}

/// One rule, with how fast it works.
pub fn one(app: &Shared, name: &str) -> Option<RuleStatus> {
    let mut rule = app.control.rule(name)?;
    app.pulse.rates(|rates| {
        if let Some(rate) = rates.rules.get(name) {
            rule.events_per_second = super::overview::rounded(rate.events.per_second());
            rule.ns_per_event = super::overview::rounded(rate.ns_per_event().unwrap_or(rule.ns_per_event));
            rule.cpu = (rate.nanos.per_second() / 1e5).round() / 1e4;
        }
    });
    Some(rule)
}

/// How much a rule wants to be looked at.
const fn trouble(state: RuleState) -> u8 {
    match state {
        RuleState::Quarantined => 2,
        RuleState::Restarting => 1,
        RuleState::Running | RuleState::Paused => 0,
    }
}

/// Puts the first so many in order, and what is behind them anywhere behind them.
fn first<T, K: Ord>(all: &mut [T], limit: usize, key: impl Fn(&T) -> K) {
    if limit < all.len() {
        all.select_nth_unstable_by_key(limit, &key);
    }
    let limit = limit.min(all.len());
    all[..limit].sort_by_cached_key(key);
}
