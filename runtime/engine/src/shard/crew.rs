//! The deployed rules of a shard by number, with what each has done in this step.

use super::RuleCount;
use super::effects::mark_of;
use super::health::Health;
use super::keys::Keys;
use super::routes::Wish;
use super::trial::Part;
use crate::index::NOWHERE;
use crate::query::Matcher;
use crate::rule::{RuleSpec, Width};
use std::sync::Arc;
use tidegate_event::FieldSet;

/// One deployed rule in one shard.
pub struct Rule {
    /// As deployed.
    pub spec: RuleSpec,
    /// Its name, cheap to copy.
    pub name: Arc<str>,
    /// What the events that it emits bear.
    pub mark: u32,
    /// Where in the log it was deployed.
    pub deployed: u64,
    /// What it wants.
    pub matcher: Matcher,
    /// The fields that it reads.
    pub fields: FieldSet,
    /// Its outputs: the declared name and the configured one.
    pub outputs: Vec<(Arc<str>, Arc<str>)>,
    /// The number of its guest in the shard.
    pub guest: u32,
    /// Its number within the guest.
    pub binding: u32,
    /// Whether the guest knows it.
    pub bound: bool,
    /// Names the time from one start of its guest to the next: slots of another life mean nothing.
    pub life: u32,
    /// Streams that have a slot, if it is keyed by stream.
    pub held: u32,
    /// Its keys, if it is keyed wider.
    pub keys: Keys,
    /// The slot of its overflow key, if it has needed one.
    pub overflow: Option<u32>,
    /// How it has been doing.
    pub health: Health,
    /// Whether somebody else makes up for the state that it lost: until then it hears nothing.
    pub away: bool,
    /// Its part in a trial, if it is in one.
    pub trial: Option<Part>,
    /// What it has done in this step.
    count: RuleCount,
    counted: bool,
    live: bool,
}

impl Rule {
    /// A rule as of a position.
    pub fn new(spec: RuleSpec, matcher: Matcher, deployed: u64) -> Self {
        let outputs =
            spec.outputs.iter().map(|(declared, to)| (declared.as_str().into(), to.as_str().into()));
        Self {
            name: spec.name.as_str().into(),
            mark: mark_of(&spec.name),
            deployed,
            matcher,
            fields: spec.field_set(),
            outputs: outputs.collect(),
            guest: NOWHERE,
            binding: 0,
            bound: false,
            life: 0,
            held: 0,
            keys: Keys::default(),
            overflow: None,
            health: Health::default(),
            away: false,
            trial: None,
            count: RuleCount::default(),
            counted: false,
            live: true,
            spec,
        }
    }

    /// Becomes another version, as of a position, with a guest that is still to be started. Its keys stay as they are.
    pub fn renew(&mut self, spec: RuleSpec, matcher: Matcher, deployed: u64) {
        let before = std::mem::replace(self, Self::new(spec, matcher, deployed));
        (self.guest, self.binding, self.life) = (before.guest, before.binding, before.life);
        (self.held, self.keys, self.overflow) = (before.held, before.keys, before.overflow);
        (self.count, self.counted, self.away) = (before.count, before.counted, before.away);
    }

    /// Whether its keys are streams, so that the index says when they end.
    #[inline]
    pub fn is_narrow(&self) -> bool {
        self.spec.per == Width::Stream
    }

    /// Whether it is to hear nothing for now.
    #[inline]
    pub fn rests(&self) -> bool {
        self.spec.paused | self.away
    }

    /// How many keys have state.
    pub fn key_count(&self) -> u64 {
        u64::from(self.held) + self.keys.len() as u64 + u64::from(self.overflow.is_some())
    }

    /// Forgets its keys, since its guest has.
    pub fn begin_life(&mut self, life: u32) {
        self.life = life;
        self.held = 0;
        self.keys = Keys::default();
        self.overflow = None;
        self.bound = false;
    }
}

/// All deployed rules of a shard.
#[derive(Default)]
pub struct Crew {
    rules: Vec<Rule>,
    free: Vec<u32>,
    counted: Vec<u32>,
    lives: u32,
}

impl Crew {
    /// Takes in a rule; its number is given.
    pub fn add(&mut self, rule: Rule) -> u32 {
        match self.free.pop() {
            Some(number) => {
                self.rules[number as usize] = rule;
                number
            }
            None => {
                self.rules.push(rule);
                (self.rules.len() - 1) as u32
            }
        }
    }

    /// Lets a rule go. Its number may be given to another.
    pub fn remove(&mut self, number: u32) {
        let rule = &mut self.rules[number as usize];
        rule.live = false;
        rule.life = 0;
        rule.keys = Keys::default();
        self.free.push(number);
    }

    /// The number of the rule with that name.
    pub fn named(&self, name: &str) -> Option<u32> {
        self.rules.iter().position(|rule| rule.live && *rule.name == *name).map(|at| at as u32)
    }

    /// The rule with a number.
    #[inline]
    pub fn get(&self, number: u32) -> &Rule {
        &self.rules[number as usize]
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, number: u32) -> &mut Rule {
        &mut self.rules[number as usize]
    }

    /// What routes need to know of a rule.
    #[inline]
    pub fn wish(&self, number: u32) -> Wish<'_> {
        let rule = self.get(number);
        Wish { matcher: &rule.matcher, per: &rule.spec.per, life: rule.life }
    }

    /// All rules, in the order in which they were deployed.
    pub fn in_order(&self) -> Vec<&Rule> {
        let mut live: Vec<&Rule> = self.rules.iter().filter(|rule| rule.live).collect();
        live.sort_by_key(|rule| rule.deployed);
        live
    }

    /// The numbers of all rules, each with the position at which it was deployed.
    pub fn numbers(&self) -> Vec<(u32, u64)> {
        let live = self.rules.iter().enumerate().filter(|(_, rule)| rule.live);
        live.map(|(number, rule)| (number as u32, rule.deployed)).collect()
    }

    /// A life that no guest has had.
    pub fn next_life(&mut self) -> u32 {
        self.lives += 1;
        self.lives
    }

    /// What a rule has done in this step, to be added to.
    #[inline]
    pub fn count(&mut self, number: u32) -> &mut RuleCount {
        let rule = &mut self.rules[number as usize];
        if !rule.counted {
            rule.counted = true;
            self.counted.push(number);
        }
        &mut rule.count
    }

    /// Takes what the rules have done in this step.
    pub fn take_counts(&mut self) -> Vec<(Arc<str>, RuleCount)> {
        let mut counts = Vec::with_capacity(self.counted.len());
        for number in self.counted.drain(..) {
            let rule = &mut self.rules[number as usize];
            rule.counted = false;
            counts.push((rule.name.clone(), std::mem::take(&mut rule.count)));
        }
        counts
    }
}
