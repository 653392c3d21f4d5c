//! What a rule would have asked for while it had lost what its keys remember, found by a shard that reads the log again.

use super::{Asked, Place, Step, Troubled};
use tidegate_event::{BatchBuilder, FieldSet};

/// Effects that are made up for at most; what is beyond is counted.
const MOST: usize = 65_536;

/// Effects of one rule, in order, over many steps.
#[derive(Debug, Default)]
pub struct Late {
    asked: Vec<Asked>,
    events: BatchBuilder,
    troubled: Vec<Troubled>,
    cut: u64,
}

impl Late {
    /// Takes what the rule asked for in a step. Of the step in which it was lost, only what it asked for over this row and
    /// later ones: all before that was carried out then.
    pub fn take(&mut self, rule: &str, mut step: Step, from: Option<u32>) {
        step.asked.sort_by_key(|asked| asked.place);
        let missed =
            |asked: &Asked| from.is_none_or(|row| asked.place.phase > 0 && asked.place.at >= row.into());
        for asked in step.asked.into_iter().filter(|asked| *asked.rule == *rule && missed(asked)) {
            if self.asked.len() == MOST {
                self.cut += 1;
                continue;
            }
            let event = self.events.len() as u32;
            self.events.copy(&step.events.event(asked.event as usize), FieldSet::ALL, |_| ());
            let place = Place { phase: 1, at: event.into(), key: 0, n: 0, ..asked.place };
            self.asked.push(Asked { place, event, ..asked });
        }
        self.trouble(rule, step.troubled);
    }

    /// Without its effects: they are found once more.
    #[must_use]
    pub fn only_troubles(self) -> Self {
        Self { troubled: self.troubled, ..Self::default() }
    }

    /// Adds faults of the rule.
    pub fn trouble(&mut self, rule: &str, troubled: Vec<Troubled>) {
        self.troubled.extend(troubled.into_iter().filter(|troubled| *troubled.rule == *rule));
    }
}

impl Step {
    /// Carries out what is late here.
    pub fn make_up_for(&mut self, rule: &str, late: Late) {
        let Late { asked, events, troubled, cut } = late;
        let before = self.events.len() as u32;
        for event in 0..events.len() {
            self.events.copy(&events.event(event), FieldSet::ALL, |_| ());
        }
        self.asked.extend(asked.into_iter().map(|asked| Asked { event: before + asked.event, ..asked }));
        self.troubled.extend(troubled);
        if cut > 0 {
            let mut count = super::RuleCount::default();
            count.cut.insert("late", cut);
            self.counts.push((rule.into(), count));
        }
    }
}
