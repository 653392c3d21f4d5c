//! A scene: a rule with its settings, a table of events, and what the rule did about them.

use crate::linked::Linked;
use crate::recording::{FOLDER_VARIABLE, Recording};
use crate::table;
use crate::transcript::Transcript;
use expect_test::Expect;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_engine::manifest::{Manifest, Resolved};
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::{Control, RuleSpec};
use tidegate_engine::shard::{Engine, Settings, Step, What};
use tidegate_event::{BatchBuilder, Timestamp};
use tidegate_sdk::Rule;
use tidegate_sdk::rt::RuleManifest;

/// Time moves in so many steps between two lines of a table at most.
const STEPS_MAX: usize = 100_000;

/// A rule, ready to be shown a table of events.
///
/// The table's first column, `at`, says when an event arrives. The others are fields of the event by their names: `host`,
/// `service`, `state`, `metric`, `ttl` (like `10s`), `description`, `tags` (with commas), and `time` where an event happened at another time
/// than it arrived. Any other column is an attribute. `-` means that a field is absent, as is what a short line leaves out;
/// text with spaces stands in single quotes. A line with nothing but a time moves time. Lines with the same `at` arrive
/// together, as one batch.
///
/// Between two lines time moves as it does in production: to each moment at which a wake is due or a key runs out.
pub struct Scene<R> {
    manifest: Manifest,
    resolved: Resolved,
    rule: PhantomData<fn() -> R>,
}

/// What came of a scene.
#[must_use = "say what it should have been: .leaves(expect![[…]])"]
pub struct Played {
    transcript: String,
}

impl<R: Rule + RuleManifest> Default for Scene<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Rule + RuleManifest> Scene<R> {
    /// The rule with its defaults.
    pub fn new() -> Self {
        Self::with("")
    }

    /// The rule with these settings, such as `limit_ms = 250, board = 'board'`. What is said of an output is the name that
    /// the transcript has for it. Settings that a deployment would not accept panic with the same words.
    pub fn with(settings: &str) -> Self {
        let manifest = match Manifest::from_json(R::MANIFEST.as_bytes()) {
            Ok(manifest) => manifest,
            Err(error) => panic!("{error}\n{}", R::MANIFEST),
        };
        let set = given(settings);
        let resolved = match manifest.resolve(&set, &BTreeMap::new()) {
            Ok(resolved) => resolved,
            Err(error) => panic!("{error}"),
        };
        Self { manifest, resolved, rule: PhantomData }
    }

    /// The rule with another query, as a deployment may give it one.
    #[must_use]
    pub fn asking(mut self, query: &str) -> Self {
        query.clone_into(&mut self.manifest.query);
        self
    }

    /// Plays a table of events. Panics when the table is not one, when the query does not parse, and when the rule does.
    pub fn play(self, table: &str) -> Played {
        let moments = table::read(table);
        if let Err(error) = Matcher::parse(&self.manifest.query) {
            panic!("the query of {} does not parse: {error}", self.manifest.name);
        }
        let tape = Arc::new(Mutex::new(Recording {
            package: self.manifest.name.clone(),
            test: std::thread::current().name().unwrap_or("scene").to_owned(),
            settings: self.resolved.settings.clone(),
            exchanges: Vec::new(),
        }));
        let guests: Arc<dyn tidegate_engine::guest::Guests> = Arc::new(Linked::<R>::new(tape.clone()));
        let mut stage = Stage {
            engine: Engine::new(1, &Settings::default(), &guests),
            transcript: Transcript::default(),
        };
        let begins = moments.first().map_or(Timestamp::EPOCH, |moment| moment.at);
        for step in stage.engine.control(&Control::Deploy(Box::new(self.spec())), begins) {
            no_trouble(&step);
        }
        for moment in moments {
            stage.advance(moment.at);
            stage.feed(moment.events, moment.at);
        }
        keep(&tape.lock().unwrap_or_else(PoisonError::into_inner));
        Played { transcript: stage.transcript.text() }
    }

    fn spec(&self) -> RuleSpec {
        self.manifest.rule("", self.resolved.clone())
    }
}

/// The engine while a scene is played.
struct Stage {
    engine: Engine,
    transcript: Transcript,
}

impl Stage {
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
        let transcript = &mut self.transcript;
        self.engine.feed(events, now, |_, steps, _| {
            for step in steps {
                no_trouble(step);
                write_down(step, transcript);
            }
        });
    }
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

/// Settings as text: `name = value`, with commas between them.
fn given(text: &str) -> BTreeMap<String, String> {
    let mut set = BTreeMap::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let Some((name, value)) = rest.split_once('=') else {
            panic!("settings are written like `limit_ms = 250, board = 'board'`, found `{rest}`");
        };
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('\'') {
            Some(quoted) => {
                let Some((value, after)) = quoted.split_once('\'') else {
                    panic!("a closing quote is missing after `{quoted}`");
                };
                (value, after.trim_start().strip_prefix(',').unwrap_or(after))
            }
            None => value.split_once(',').map_or((value, ""), |(value, after)| (value, after)),
        };
        set.insert(name.trim().to_owned(), value.trim().to_owned());
        rest = after.trim();
    }
    set
}

thread_local! {
    /// How many scenes this test has played.
    static SCENES: Cell<u32> = const { Cell::new(0) };
}

/// Writes the recording where `tidegate test` asks for it.
fn keep(recording: &Recording) {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
    let number = SCENES.get() + 1;
    SCENES.set(number);
    let path = Path::new(&folder).join(recording.file_name(number));
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::File::create(&path))
        .and_then(|file| recording.write(std::io::BufWriter::new(file)));
    if let Err(error) = written {
        panic!("the recording of this scene could not be written to {}: {error}", path.display());
    }
}

impl Played {
    /// Holds what the rule did against what it should have done. `UPDATE_EXPECT=1` writes what it did into the test.
    pub fn leaves(self, expected: Expect) {
        expected.assert_eq(&self.transcript);
    }

    /// What the rule did: one effect in a line, with its time, where it went, host, service, state, metric, description,
    /// ttl, tags and attributes.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_names_and_values() {
        let set = given("limit_ms = 250, board = 'a, b',every=5s");
        let pairs: Vec<_> = set.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("board", "a, b"), ("every", "5s"), ("limit_ms", "250")]);
        assert!(given("  ").is_empty());
    }

    #[test]
    #[should_panic(expected = "settings are written like")]
    fn settings_without_a_value_are_pointed_at() {
        given("limit_ms");
    }
}
