//! A scene: a rule with its settings, a table of events, and what the rule did about them.

use crate::linked::{Linked, Tape};
use crate::recorded;
use crate::recording::{FOLDER_VARIABLE, Recording};
use crate::stage::Stage;
use crate::table::{self, Moment};
use expect_test::Expect;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_engine::manifest::{Manifest, Resolved};
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::RuleSpec;
use tidegate_event::Timestamp;
use tidegate_sdk::Rule;
use tidegate_sdk::rt::RuleManifest;

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
    set: BTreeMap<String, String>,
    to: BTreeMap<String, String>,
    rule: PhantomData<fn() -> R>,
}

/// What came of a scene so far. It can go on: with more events, after a restart, with another version of the rule.
#[must_use = "say what it should have been: .leaves(expect![[…]])"]
pub struct Played {
    stage: Stage,
    tape: Tape,
    /// The number of the scene in its test.
    number: u32,
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
    /// the transcript has for it. Settings that a deployment would not accept panic with the same words when the scene is
    /// played.
    pub fn with(settings: &str) -> Self {
        let manifest = match Manifest::from_json(R::MANIFEST.as_bytes()) {
            Ok(manifest) => manifest,
            Err(error) => panic!("{error}\n{}", R::MANIFEST),
        };
        Self { manifest, set: given(settings), to: BTreeMap::new(), rule: PhantomData }
    }

    /// The same with one more setting, whatever characters are in it: the pipeline of the `standard` rule, say.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.set.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same with an output sent to the one of that name, as `--to` does. Rules that name outputs in their settings take
    /// any name here.
    #[must_use]
    pub fn to(mut self, output: &str, name: &str) -> Self {
        self.to.insert(output.to_owned(), name.to_owned());
        self
    }

    /// The rule with another query, as a deployment may give it one.
    #[must_use]
    pub fn asking(mut self, query: &str) -> Self {
        query.clone_into(&mut self.manifest.query);
        self
    }

    /// The rule with another key, as `--per` gives it one: `stream`, `host`, `service`, `whole` or `attribute:NAME`.
    #[must_use]
    pub fn per(mut self, key: &str) -> Self {
        match key.parse() {
            Ok(width) => self.manifest.per = width,
            Err(error) => panic!("{error}"),
        }
        self
    }

    /// Plays a table of events. Panics when the table is not one, when the query does not parse, and when the rule does.
    pub fn play(self, table: &str) -> Played {
        self.begin(table::read(table), Timestamp::EPOCH)
    }

    /// Plays recorded events: JSON, one event in a line, as `tidegate record` and `tidegate log export` write them. Each is
    /// played at its own time, and one that is older than the one before together with that. The transcript counts time
    /// from the first event.
    ///
    /// A recording is kept beside the tests, and read with `.replay(include_str!("../fixtures/queue.ndjson"))`.
    pub fn replay(self, recorded: &str) -> Played {
        let moments = recorded::read(recorded);
        let zero = moments.first().map_or(Timestamp::EPOCH, |moment| moment.at);
        self.begin(moments, zero)
    }

    fn resolved(&self) -> Resolved {
        match self.manifest.resolve(&self.set, &self.to) {
            Ok(resolved) => resolved,
            Err(error) => panic!("{error}"),
        }
    }

    fn begin(self, moments: Vec<Moment>, zero: Timestamp) -> Played {
        let tape = Arc::new(Mutex::new(Recording {
            package: self.manifest.name.clone(),
            test: std::thread::current().name().unwrap_or("scene").to_owned(),
            settings: self.resolved().settings,
            exchanges: Vec::new(),
        }));
        let guests = Linked::new(tape.clone());
        let rule = self.spec(&guests);
        let begins = moments.first().map_or(Timestamp::EPOCH, |moment| moment.at);
        let number = SCENES.get() + 1;
        SCENES.set(number);
        let stage = Stage::new(guests, rule, begins, zero);
        Played { stage, tape, number, transcript: String::new() }.go_on(moments)
    }

    fn spec(&self, guests: &Linked) -> RuleSpec {
        if let Err(error) = Matcher::parse(&self.manifest.query) {
            panic!("the query of {} does not parse: {error}", self.manifest.name);
        }
        let mut spec = self.manifest.rule("", self.resolved());
        // Versions of a rule share their name, whatever their packages are called.
        "rule".clone_into(&mut spec.name);
        guests.take_in::<R>().clone_into(&mut spec.module);
        spec
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
fn keep(recording: &Recording, number: u32) {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
    let path = Path::new(&folder).join(recording.file_name(number));
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::File::create(&path))
        .and_then(|file| recording.write(std::io::BufWriter::new(file)));
    if let Err(error) = written {
        panic!("the recording of this scene could not be written to {}: {error}", path.display());
    }
}

impl Played {
    /// Plays another table, whose times go on where the last one ended.
    pub fn play(self, table: &str) -> Self {
        self.go_on(table::read(table))
    }

    /// Stops the engine and starts another with what was saved of the first: what the rule remembers has to survive that.
    pub fn restart(mut self) -> Self {
        self.stage.restart();
        self.told()
    }

    /// Deploys another version of the rule in place of the one that runs: it begins with what that one remembers. Panics
    /// when what a key remembers does not fit, as a deployment is refused then.
    pub fn swap<R: Rule + RuleManifest>(self) -> Self {
        self.swap_for(Scene::<R>::new())
    }

    /// The same with settings, or with another query.
    pub fn swap_for<R: Rule + RuleManifest>(mut self, version: Scene<R>) -> Self {
        let rule = version.spec(self.stage.guests());
        self.stage.swap(rule);
        self.told()
    }

    fn go_on(mut self, moments: Vec<Moment>) -> Self {
        self.stage.play(moments);
        keep(&self.tape.lock().unwrap_or_else(PoisonError::into_inner), self.number);
        self.told()
    }

    fn told(mut self) -> Self {
        self.transcript = self.stage.transcript();
        self
    }

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
