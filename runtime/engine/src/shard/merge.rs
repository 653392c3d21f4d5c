//! The steps of all shards at one position become one outcome, in an order that does not depend on how many there are.

use super::trial::compare;
use super::{Asked, Step, What};
use crate::rule::Compared;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_event::{Batch, BatchBuilder, Field, FieldSet, Timestamp};

/// What came of a position, over all shards.
#[derive(Debug, Default)]
pub struct Merged {
    /// The position.
    pub position: u64,
    /// Its time.
    pub now: Timestamp,
    /// Events that go back into the stream, stamped with their time; key ids are given when they are logged.
    pub emitted: Option<BatchBuilder>,
    /// Events that go to outputs.
    pub forwarded: Vec<Forwarded>,
    /// Lines of rules.
    pub logged: Vec<Logged>,
    /// What candidates and the rules that they are to replace asked for, compared.
    pub compared: Vec<(Arc<str>, Compared)>,
}

/// An event that goes to an output.
#[derive(Debug)]
pub struct Forwarded {
    /// The rule.
    pub rule: Arc<str>,
    /// The name under which the rule declares the output.
    pub declared: Arc<str>,
    /// The configured output.
    pub output: Arc<str>,
    /// Counts the rule's effects at this position.
    pub n: u32,
    /// The event: a batch of one.
    pub batch: Batch,
}

/// A line of a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Logged {
    /// The rule.
    pub rule: Arc<str>,
    /// 0 error, 1 warning, 2 info, 3 debug, 4 trace.
    pub level: u8,
    /// The line.
    pub text: String,
    /// What it was said about, without a description, where it was about an event or a key.
    pub about: Option<Batch>,
}

/// Merges the steps of all shards at one position.
pub fn merge(steps: &[Step]) -> Merged {
    let mut merged = Merged::default();
    if let Some(first) = steps.first() {
        (merged.position, merged.now) = (first.position, first.now);
    }
    if steps.iter().any(|step| !step.tried.is_empty()) {
        merged.compared = compare(steps);
    }
    let mut asked: Vec<(&Asked, &Step)> =
        steps.iter().flat_map(|step| step.asked.iter().map(move |asked| (asked, step))).collect();
    if asked.is_empty() {
        return merged;
    }
    asked.sort_by_key(|(asked, _)| asked.place);
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    for (asked, step) in asked {
        let event = step.events.event(asked.event as usize);
        let number = numbers.entry(&asked.rule).or_default();
        match &asked.what {
            What::Emit => {
                merged.emitted.get_or_insert_with(BatchBuilder::new).copy(&event, FieldSet::ALL, |_| ());
            }
            What::Forward { declared, output } => {
                let mut one = BatchBuilder::new();
                one.copy(&event, FieldSet::ALL, |_| ());
                merged.forwarded.push(Forwarded {
                    rule: asked.rule.clone(),
                    declared: declared.clone(),
                    output: output.clone(),
                    n: *number,
                    batch: one.finish(),
                });
            }
            What::Log { level } => merged.logged.push(Logged {
                rule: asked.rule.clone(),
                level: *level,
                text: event.description().unwrap_or_default().to_owned(),
                about: (event.host_bytes().is_some() || event.service_bytes().is_some()).then(|| {
                    // The line stands where the description stood.
                    let fields = Field::ALL.into_iter().filter(|field| *field != Field::Description);
                    let mut one = BatchBuilder::new();
                    one.copy(&event, fields.collect(), |_| ());
                    one.finish()
                }),
            }),
        }
        *number += 1;
    }
    merged
}
