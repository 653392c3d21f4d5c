//! Streams are indexed, and so are rules: the stream's index entry remembers which rules want it.
//!
//! What a query asks of the host and the service is answered once for each stream, when it is first seen and again after
//! the set of rules has changed. For each event only what is left of the few remaining queries is asked. So an event costs
//! nothing for the rules that do not want its stream, however many there are. What a query means is defined by the plain
//! [`Matcher`]; a property test holds both together.

use super::keys::{key_of, owner};
use crate::index::NOWHERE;
use crate::query::{Known, Matcher};
use crate::rule::Width;
use hashbrown::HashTable;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use tidegate_event::Event;

/// Streams of other shards whose wider rules are remembered. Beyond, all are forgotten and found again.
const ELSEWHERE: usize = 1 << 18;

/// The rules that want a stream, as of a generation of the set of rules.
///
/// Small, because there is one beside each stream: most streams go to one rule or none that is keyed by stream.
#[derive(Debug, Default)]
pub struct Routes {
    generation: u32,
    /// Rules keyed by stream, by number.
    pub narrow: SmallVec<[Route; 1]>,
    /// Rules keyed wider.
    pub wide: Option<Box<[WideRoute]>>,
}

/// The way from a stream to a rule that is keyed by stream.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The rule's number.
    pub rule: u32,
    /// The stream's slot in the rule's guest, if `life` is the rule's.
    pub slot: u32,
    /// The life of the guest in which it had that slot.
    pub life: u32,
    /// Whether every event of the stream matches.
    pub all: bool,
    /// Whether the rule does not want the stream any more: its key is there to say goodbye, and for nothing else.
    pub idle: bool,
}

/// The way from a stream to a rule that is keyed wider.
#[derive(Clone, Copy, Debug)]
pub struct WideRoute {
    /// The rule's number.
    pub rule: u32,
    /// The key, where the stream decides it.
    pub key: Option<u64>,
    /// Whether every event of the stream matches.
    pub all: bool,
}

/// What routes need to know of a rule.
pub struct Wish<'a> {
    /// What it asks for.
    pub matcher: &'a Matcher,
    /// How it is keyed.
    pub per: &'a Width,
    /// The life of its guest.
    pub life: u32,
}

/// Which shard this is, for rules whose keys other shards may own.
#[derive(Clone, Copy, Debug)]
pub struct Here {
    /// Its number.
    pub number: usize,
    /// How many there are.
    pub shards: usize,
    /// The seed of key ids.
    pub seed: u64,
}

/// The set of rules by what they ask of host and service, so that finding those that want a stream does not mean asking
/// all.
#[derive(Debug, Default)]
pub struct Lookup {
    /// Changes whenever the set of rules does, and is never 0. Routes of another generation are found anew.
    generation: u32,
    services: BTreeMap<Box<str>, Vec<u32>>,
    hosts: BTreeMap<Box<str>, Vec<u32>>,
    rest: Vec<u32>,
    elsewhere: HashTable<(u64, Routes)>,
    found: Vec<u32>,
}

impl Lookup {
    fn list(&mut self, matcher: &Matcher) -> &mut Vec<u32> {
        match (matcher.plan().service(), matcher.plan().host()) {
            (Known::Exactly(Some(service)), _) => self.services.entry(service.into()).or_default(),
            (_, Known::Exactly(Some(host))) => self.hosts.entry(host.into()).or_default(),
            _ => &mut self.rest,
        }
    }

    /// Takes in a rule.
    pub fn add(&mut self, rule: u32, matcher: &Matcher) {
        self.list(matcher).push(rule);
        self.generation = self.generation.wrapping_add(1).max(1);
    }

    /// Forgets a rule.
    pub fn remove(&mut self, rule: u32, matcher: &Matcher) {
        self.list(matcher).retain(|other| *other != rule);
        self.services.retain(|_, rules| !rules.is_empty());
        self.hosts.retain(|_, rules| !rules.is_empty());
        self.generation = self.generation.wrapping_add(1).max(1);
    }

    /// The rules that may want a stream, by number: all that do are among them.
    pub fn candidates<'a>(&'a self, event: &Event<'_>) -> impl Iterator<Item = u32> + use<'a> {
        let none = [].as_slice();
        let of = |by: &'a BTreeMap<Box<str>, Vec<u32>>, text: Option<&str>| {
            text.and_then(|text| by.get(text)).map_or(none, Vec::as_slice)
        };
        let exact = of(&self.services, event.service()).iter().chain(of(&self.hosts, event.host()));
        exact.chain(&self.rest).copied()
    }

    /// Whether routes hold for the set of rules as it is.
    #[inline]
    pub fn holds(&self, routes: &Routes) -> bool {
        routes.generation == self.generation
    }

    /// Finds the routes of a stream, of which an event is given. Slots that it has are kept.
    pub fn find<'a>(
        &mut self,
        routes: &mut Routes,
        event: &Event<'_>,
        here: Here,
        wish: impl Fn(u32) -> Wish<'a>,
    ) {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        found.extend(self.candidates(event).filter(|rule| wish(*rule).matcher.wants_stream(event)));
        found.sort_unstable();
        let before = std::mem::take(&mut routes.narrow);
        let mut wide = Vec::new();
        routes.generation = self.generation;
        for &rule in &found {
            let Wish { matcher, per, .. } = wish(rule);
            let all = matcher.wants_all_within();
            match per {
                Width::Stream => {
                    let (slot, life) = match before.binary_search_by_key(&rule, |route| route.rule) {
                        Ok(at) => (before[at].slot, before[at].life),
                        Err(_) => (NOWHERE, 0),
                    };
                    routes.narrow.push(Route { rule, slot, life, all, idle: false });
                }
                // The attribute may differ from one event to the next.
                Width::Attribute(_) => wide.push(WideRoute { rule, key: None, all }),
                Width::Host | Width::Service | Width::Whole => {
                    let key = key_of(per, event, here.seed);
                    if owner(key, here.shards) == here.number {
                        wide.push(WideRoute { rule, key: Some(key), all });
                    }
                }
            }
        }
        // Keys of rules whose query has changed stay until their stream ends.
        let held = |route: &&Route| route.slot != NOWHERE && wish(route.rule).life == route.life;
        let unwanted = before.iter().filter(|route| found.binary_search(&route.rule).is_err()).filter(held);
        for route in unwanted {
            let at = routes.narrow.partition_point(|other| other.rule < route.rule);
            routes.narrow.insert(at, Route { all: false, idle: true, ..*route });
        }
        routes.wide = (!wide.is_empty()).then(|| wide.into());
        self.found = found;
    }

    /// The ways to wider rules of a stream that is not in this shard's index.
    pub fn elsewhere<'a>(
        &mut self,
        event: &Event<'_>,
        here: Here,
        wish: impl Fn(u32) -> Wish<'a>,
    ) -> &[WideRoute] {
        let key = event.key();
        let generation = self.generation;
        let known = self.elsewhere.find(key, |(other, _)| *other == key);
        if known.is_none_or(|(_, routes)| routes.generation != generation) {
            let mut routes = Routes::default();
            self.find(&mut routes, event, here, wish);
            if self.elsewhere.len() >= ELSEWHERE {
                self.elsewhere.clear();
            }
            match self.elsewhere.find_mut(key, |(other, _)| *other == key) {
                Some((_, stale)) => *stale = routes,
                None => drop(self.elsewhere.insert_unique(key, (key, routes), |(key, _)| *key)),
            }
        }
        let known = self.elsewhere.find(key, |(other, _)| *other == key);
        known.and_then(|(_, routes)| routes.wide.as_deref()).unwrap_or_default()
    }
}
