//! `--planted`: bugs that we know, turned on one after the other. A check that does not find its bug proves nothing, so each
//! must be found, by the check that is meant to, in a run that passes without it.

use super::{KINDS, Kind, Tools, start};
use crate::program::{cargo, find};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;

/// A bug, and who must find it.
struct Plant {
    bug: &'static str,
    finds: Finds,
    /// What is said when it is found, in part.
    says: &'static [&'static str],
}

enum Finds {
    /// A short run of this kind.
    Kind(&'static str),
    /// A unit test of the program.
    Test(&'static str),
}

const PLANTS: &[Plant] = &[
    Plant {
        bug: "ack-before-write",
        finds: Finds::Kind("disk-full"), // Acks while nothing can be written look like room: what comes next is refused.
        says: &["acked events are lost", "a fresh event was refused"],
    },
    Plant {
        bug: "ack-before-sync",
        finds: Finds::Kind("eio"),
        says: &["acked as synced although no sync succeeded"],
    },
    Plant {
        bug: "checkpoint-too-high",
        finds: Finds::Kind("kill"),
        says: &["should be", "are wrong", "are lost"],
    },
    Plant { bug: "kept-after-trap", finds: Finds::Kind("kill"), says: &["the rule that panics at poison"] },
    Plant { bug: "expiry-lost", finds: Finds::Kind("kill"), says: &["is still in the index"] },
    Plant {
        bug: "cursor-before-answer",
        finds: Finds::Kind("sink"),
        says: &["were never received", "out of order", "taken, but"],
    },
    Plant {
        bug: "spool-drops-at-roll",
        finds: Finds::Test("segments_go_when_the_cursor_has_passed_them_and_not_before"),
        says: &["panicked at"],
    },
    Plant {
        bug: "crc-without-length",
        finds: Finds::Test("a_record_whose_length_was_changed_is_none"),
        says: &["panicked at"],
    },
];

/// Runs in which a bug must be found.
const SEEDS: u64 = 4;

/// Cycles of a run at most: a bug that needs more would be found by luck.
const CYCLES: u64 = 12;

pub fn run(tools: &Tools) -> Result<()> {
    let (mut survived, mut controls) = (Vec::new(), BTreeSet::new());
    for plant in PLANTS {
        let by = match plant.finds {
            Finds::Kind(name) => name,
            Finds::Test(name) => name,
        };
        // A run that fails by itself finds nothing.
        if controls.insert(by) {
            plant
                .attempt(tools, None, 1)
                .with_context(|| format!("{by} does not pass without a planted bug"))?;
        }
        // Chance may miss it in one run.
        let mut tries = (1..=SEEDS).map(|seed| plant.attempt(tools, Some(plant.bug), seed));
        match tries.find(Result::is_err).unwrap_or(Ok(())) {
            Err(error) if plant.says.iter().any(|says| format!("{error:#}").contains(says)) => {
                println!("{:28} found by {by}: {}", plant.bug, short(&format!("{error:#}")));
            }
            Err(error) => survived.push(format!("{}: {by} failed for another reason: {error:#}", plant.bug)),
            Ok(()) => survived.push(format!("{}: {by} passed", plant.bug)),
        }
    }
    match survived.is_empty() {
        true => Ok(()),
        false => bail!("planted bugs that were not found:\n{}", survived.join("\n")),
    }
}

/// The part of an error that says what was found.
fn short(error: &str) -> String {
    error.split(": ").skip(1).collect::<Vec<_>>().join(": ").chars().take(160).collect()
}

impl Plant {
    fn attempt(&self, tools: &Tools, bug: Option<&str>, seed: u64) -> Result<()> {
        match self.finds {
            Finds::Kind(name) => {
                let kind: &Kind =
                    KINDS.iter().find(|kind| kind.name == name).context("a kind was expected")?;
                start(kind, tools, kind.short.min(CYCLES), seed, bug).map(drop)
            }
            Finds::Test(name) => {
                let nextest = ["nextest", "run", "--workspace", "--lib", name];
                let test = ["test", "--workspace", "--lib", "--", name];
                let mut run = cargo(if find("cargo-nextest").is_some() { &nextest } else { &test });
                if let Some(bug) = bug {
                    run.env("TIDEGATE_PLANT", bug);
                }
                let done = run.output().with_context(|| format!("the test {name}"))?;
                let said = format!(
                    "{}{}",
                    String::from_utf8_lossy(&done.stdout),
                    String::from_utf8_lossy(&done.stderr)
                );
                match done.status.success() {
                    true => Ok(()),
                    false => bail!("the test {name} failed: {said}"),
                }
            }
        }
    }
}
