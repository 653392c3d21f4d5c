//! The engine while a scene is played: time, events, what the rule asked for, and stops and starts in between.

use crate::linked::Linked;
use crate::table::Moment;
use crate::transcript::Transcript;
use std::sync::Arc;
use tidegate_engine::guest::Guests;
use tidegate_engine::rule::{Control, RuleSpec};
use tidegate_engine::save::Saved;
use tidegate_engine::shard::{Engine, NotSaved, Settings, Step, What};
use tidegate_event::{BatchBuilder, Timestamp};

/// Time moves in so many steps between two lines of a table at most.
const STEPS_MAX: usize = 100_000;
/// Keys in a slice of a save: few, so that a scene's save has several.
const SLICE: usize = 3;

/// The engine with one rule.
pub struct Stage {
    engine: Engine,
    guests: Arc<Linked>,
    rule: RuleSpec,
    /// Where the rule was deployed.
    deployed: u64,
    /// How far the engine has come.
    position: u64,
    now: Timestamp,
    transcript: Transcript,
}

impl Stage {
    /// An engine with a rule, to which nothing has happened before this moment. The transcript counts time from `zero`.
    pub fn new(guests: Linked, rule: RuleSpec, begins: Timestamp, zero: Timestamp) -> Self {
        let guests = Arc::new(guests);
        let mut stage = Self {
            engine: engine(&guests),
            guests,
            rule: rule.clone(),
            deployed: 0,
            position: 0,
            now: begins,
            transcript: Transcript::since(zero),
        };
        stage.deploy(rule);
        stage
    }

    /// The rules that can be deployed.
    pub fn guests(&self) -> &Linked {
        &self.guests
    }

    /// Another version of the rule takes its place, and what keys remember is carried over.
    pub fn swap(&mut self, mut rule: RuleSpec) {
        self.guests.stop_recording();
        rule.generation = self.rule.generation + 1;
        self.deploy(rule);
        self.settle();
    }

    fn deploy(&mut self, rule: RuleSpec) {
        let steps = self.engine.control(&Control::Deploy(Box::new(rule.clone())), self.now);
        steps.iter().for_each(no_trouble);
        self.rule = rule;
        if let Some(step) = steps.first() {
            (self.deployed, self.position) = (step.position, step.position);
        }
    }

    /// Plays moments; those of a table that goes on begin where time stands, or later.
    pub fn play(&mut self, moments: Vec<Moment>) {
        for moment in moments {
            let (at, now) = (moment.at, self.now);
            assert!(at >= now, "time does not run backwards: it is {now} already, the table goes on at {at}");
            self.advance(at);
            self.feed(moment.events, at);
        }
    }

    /// Saves all, and goes on with another engine that knows nothing but that.
    pub fn restart(&mut self) {
        let saved = self.save();
        self.guests.stop_recording();
        self.engine = engine(&self.guests);
        self.engine.resume(self.deployed - 1);
        let position = self.position;
        self.deploy(self.rule.clone());
        self.engine.restore(&saved, self.now);
        self.engine.resume(position);
        self.position = position;
        self.settle();
    }

    /// Lets states that are on their way to a guest arrive.
    fn settle(&mut self) {
        self.save();
    }

    fn save(&mut self) -> Saved {
        for _ in 0..STEPS_MAX {
            match self.engine.mark(true) {
                Ok(()) => return self.finish_save(),
                Err(NotSaved::Carrying) => self.feed(BatchBuilder::new(), self.now),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("what keys remember did not arrive in {STEPS_MAX} steps");
    }

    fn finish_save(&mut self) -> Saved {
        let mut slices = Vec::new();
        loop {
            match self.engine.save(SLICE) {
                Ok(more) if more.is_empty() => break,
                Ok(more) => slices.extend(more),
                Err(error) => panic!("{error}"),
            }
        }
        let mut saved = Saved::default();
        if let Err(error) = saved.apply(slices) {
            panic!("{error}");
        }
        saved
    }

    /// Moves time through everything that is due before a moment.
    fn advance(&mut self, until: Timestamp) {
        for _ in 0..STEPS_MAX {
            let due = self.engine.next_due();
            if due >= until {
                return;
            }
            self.feed(BatchBuilder::new(), due);
        }
        panic!(
            "more than {STEPS_MAX} moments were due before {until}: does on_wake ask for ever more of them?"
        );
    }

    fn feed(&mut self, events: BatchBuilder, now: Timestamp) {
        let (transcript, position) = (&mut self.transcript, &mut self.position);
        self.now = self.now.max(now);
        self.engine.feed(events, now, |batch, steps, _| {
            *position = batch.header.position;
            for step in steps {
                no_trouble(step);
                write_down(step, transcript);
            }
        });
    }

    /// What the rule did so far.
    pub fn transcript(&self) -> String {
        self.transcript.text()
    }
}

fn engine(guests: &Arc<Linked>) -> Engine {
    let guests: Arc<dyn Guests> = guests.clone();
    Engine::new(1, &Settings::default(), &guests)
}

fn no_trouble(step: &Step) {
    if let Some(trouble) = step.troubled.first() {
        let event = trouble
            .event
            .as_ref()
            .map(|event| format!("{:?}", event.event(0)))
            .as_deref()
            .map(|event| format!(" over {event}"))
            .unwrap_or_default();
        panic!("the rule failed at {}{event}: {}", trouble.at, trouble.fault);
    }
}

fn write_down(step: &Step, transcript: &mut Transcript) {
    let mut asked: Vec<_> = step.asked.iter().filter(|asked| !asked.rule.is_empty()).collect();
    asked.sort_by_key(|asked| asked.place);
    for asked in asked {
        let event = step.events.event(asked.event as usize);
        match &asked.what {
            What::Emit => transcript.sent("emit", &event),
            What::Forward { output, .. } => transcript.sent(output, &event),
            What::Log { level } => transcript.logged(*level, &event),
        }
    }
}
