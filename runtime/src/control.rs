//! Deploying, trying, going back, pausing, removing: every check happens before the one record that makes it so.
//!
//! What takes long (compiling, a first call) happens before a change takes its turn, so that a pause never waits for it.
//! Changes then take turns: what one has checked, no other undoes before its record is in the log.

mod inspect;
mod status;
mod watch;

use crate::catalogue::{Catalogue, Entry};
use crate::clock;
use crate::ingest::{Ingest, Refused};
use crate::modules::Modules;
use crate::output::Outputs;
use crate::telemetry::Telemetry;
use crate::web::control::{
    Collected, Control as Wishes, ControlError, Deployed, Deployment, History, How, ModuleStatus, RollBack,
    RuleLog, RuleState, RuleStatus, Terms,
};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::{Control, Origin, RuleSpec, Width};
use tidegate_engine::save::SavedState;
use tidegate_event::{KeyState, Span};
use tidegate_wasm::{Compiled, Host, ModuleStore};
use tokio::sync::Mutex;
use tracing::Instrument;

pub use watch::look_after;

/// A compilation is given up after this long.
const COMPILE: Duration = Duration::from_secs(10);
/// A rule that takes over is watched for this long, and a canary is promoted after this long, unless told otherwise.
pub const WATCH: Span = Span::minutes(10);
/// Keys of each shard whose state a new version must take in before it is deployed.
const STATES: usize = 1_000;
/// Answers that are remembered for those who ask again with the same key.
const ANSWERS: usize = 256;
/// Modules that are kept although nothing uses them yet, at most.
const UNUSED: usize = 100;
/// Who changes rules when it is the node itself.
const OURSELVES: &str = "tidegate";

/// Whoever changes the set of rules.
pub struct Controller {
    ingest: Ingest,
    host: Arc<Host>,
    modules: Arc<Modules>,
    catalogue: Arc<Catalogue>,
    outputs: Arc<Outputs>,
    telemetry: Arc<Telemetry>,
    shards: usize,
    /// Whether there is a log.
    logs: bool,
    /// Modules that nothing has used for so long are let go.
    grace: Span,
    marks: watch::Marks,
    turn: Mutex<Turn>,
}

/// What only whoever has the turn may see.
#[derive(Default)]
struct Turn {
    /// The latest answers to deployments by their keys.
    answers: VecDeque<(String, Deployed)>,
}

/// What a controller reaches.
pub struct Parts {
    /// The way to the log.
    pub ingest: Ingest,
    /// Compiles and starts modules.
    pub host: Arc<Host>,
    /// Where modules are kept.
    pub modules: Arc<Modules>,
    /// What is deployed.
    pub catalogue: Arc<Catalogue>,
    /// What rules can send to.
    pub outputs: Arc<Outputs>,
    /// How rules are doing.
    pub telemetry: Arc<Telemetry>,
    /// How many shards there are.
    pub shards: usize,
    /// Whether there is a log.
    pub logs: bool,
    /// Modules that nothing has used for so long are let go.
    pub grace: Span,
}

impl Controller {
    /// A controller of a node.
    pub fn new(parts: Parts) -> Self {
        let Parts { ingest, host, modules, catalogue, outputs, telemetry, shards, logs, grace } = parts;
        let (marks, turn) = Default::default();
        Self { ingest, host, modules, catalogue, outputs, telemetry, shards, logs, grace, marks, turn }
    }

    /// Compiles on a thread of its own, so that nothing else waits for it.
    async fn compile(&self, wasm: Bytes) -> Result<Arc<Compiled>, ControlError> {
        let host = self.host.clone();
        tokio::task::spawn_blocking(move || host.compile_within(&wasm, COMPILE))
            .await
            .map_err(|error| ControlError::Busy(error.to_string()))?
            .map_err(|refusal| match refusal.is_ours() {
                true => ControlError::Busy(refusal.to_string()),
                false => ControlError::Invalid(refusal.to_string()),
            })
    }

    fn module(&self, digest: &str) -> Result<Bytes, ControlError> {
        self.modules.load(digest).map(Bytes::from).ok_or_else(|| {
            ControlError::NotFound(format!("no module with digest {digest} is here: send the module itself"))
        })
    }

    /// Starts the rule once, and calls it.
    async fn try_out(&self, module: &Arc<Compiled>, spec: &RuleSpec) -> Result<(), ControlError> {
        let (host, module, spec) = (self.host.clone(), module.clone(), spec.clone());
        tokio::task::spawn_blocking(move || host.dry_run(&module, &spec))
            .await
            .map_err(|error| ControlError::Busy(error.to_string()))?
            .map_err(|fault| ControlError::Invalid(format!("the rule does not start: {fault}")))
    }

    /// Whether the rule takes in what the keys of the one that it is to replace remember.
    async fn try_states(&self, module: &Arc<Compiled>, spec: &RuleSpec) -> Result<(), ControlError> {
        let before = self.catalogue.get(&spec.name);
        if spec.reset_state
            || spec.backfill.is_some()
            || before.is_none_or(|before| before.spec.per != spec.per)
        {
            return Ok(());
        }
        // A rule that does not tell, since it has just failed, has nothing to hand over.
        let states = self.ingest.states(&spec.name, None, STATES).await;
        let Ok(states) = states.map_err(|refused| ControlError::Busy(refused.to_string()))? else {
            return Ok(());
        };
        let mut schemas: BTreeMap<u32, Vec<KeyState>> = BTreeMap::new();
        for SavedState { schema, key, wakes, state, .. } in states.into_iter().map(|key| key.state) {
            let keys = schemas.entry(schema).or_default();
            keys.push(KeyState { slot: keys.len() as u32, binding: 0, key, wakes, state });
        }
        let (host, module, rule) = (self.host.clone(), module.clone(), spec.clone());
        let tried = tokio::task::spawn_blocking(move || {
            let mut schemas = schemas.iter();
            schemas.try_for_each(|(schema, keys)| host.try_state(&module, &rule, *schema, keys))
        });
        tried.await.map_err(|error| ControlError::Busy(error.to_string()))?.map_err(|fault| {
            ControlError::Invalid(format!(
                "the new version does not take in what the keys of {} remember: {fault}; nothing was changed. Count its `state_schema` up and \
                 give it `migrate`, or deploy it with --reset-state",
                spec.name
            ))
        })
    }

    async fn deploy(&self, wish: Deployment) -> Result<Deployed, ControlError> {
        let started = clock::start();
        if wish.backfill.is_some() && (wish.how != How::Replace || !self.logs) {
            return Err(ControlError::Invalid(
                "--backfill: only a rule that takes its place at once can hear the log first, and on a node that keeps one; run \
                 `tidegate backtest` to see what it would have done"
                    .into(),
            ));
        }
        let wasm = match (&wish.wasm, &wish.digest) {
            (Some(wasm), _) => wasm.clone(),
            (None, Some(digest)) => self.module(digest)?,
            (None, None) => {
                return Err(ControlError::Invalid(
                    "a module was expected: its bytes in the body, or its digest as `module`".into(),
                ));
            }
        };
        let compiled = self.compile(wasm.clone()).await?;
        let spec = self.spec(&wish, &compiled)?;
        // Whoever is late learns it before the work is done, too.
        self.expect(&spec.name, &wish.terms)?;
        self.try_out(&compiled, &spec).await?;
        self.try_states(&compiled, &spec).await?;
        let mut turn = self.turn.lock().await;
        let key = wish.idempotency_key.as_ref().filter(|_| !wish.dry_run);
        if let Some((_, answer)) = turn.answers.iter().find(|(known, _)| Some(known) == key) {
            return Ok(answer.clone());
        }
        self.expect(&spec.name, &wish.terms)?;
        let before = self.catalogue.get(&spec.name);
        may_begin(&spec, wish.how, before.as_ref())?;
        let deployed = self.activate(spec, &wasm, wish.how, wish.dry_run, started).await?;
        if let Some(key) = key {
            if turn.answers.len() == ANSWERS {
                turn.answers.pop_front();
            }
            turn.answers.push_back((key.clone(), deployed.clone()));
        }
        Ok(deployed)
    }

    /// Writes the record. Everything has been checked, and it is our turn.
    async fn activate(
        &self,
        mut spec: RuleSpec,
        wasm: &Bytes,
        how: How,
        dry_run: bool,
        started: std::time::Instant,
    ) -> Result<Deployed, ControlError> {
        spec.generation = self.catalogue.next_generation(&spec.name);
        let mut deployed = Deployed {
            name: spec.name.clone(),
            generation: spec.generation,
            position: 0,
            module: spec.module.clone(),
            version: spec.version.clone(),
            bytes: wasm.len(),
            millis: 0,
            shards: self.shards,
        };
        if !dry_run {
            self.modules
                .keep(&spec.module, wasm)
                .map_err(|error| ControlError::Busy(format!("the module cannot be kept: {error}")))?;
            self.mark(&spec, how);
            let control = match how {
                How::Replace => Control::Deploy(Box::new(spec)),
                How::Shadow => Control::Try { spec: Box::new(spec), share: 0 },
                How::Canary(share) => Control::Try { spec: Box::new(spec), share },
            };
            deployed.position = self.change(control).await?;
            tracing::info!(rule = %deployed.name, generation = deployed.generation, position = deployed.position, ?how, "deployed");
        }
        deployed.millis = started.elapsed().as_millis() as u64;
        Ok(deployed)
    }

    /// What the wish comes to, everything checked that can be checked without running it.
    fn spec(&self, wish: &Deployment, compiled: &Compiled) -> Result<RuleSpec, ControlError> {
        let manifest = &compiled.inspected.manifest;
        let invalid = ControlError::Invalid;
        let name = wish.name.clone().unwrap_or_else(|| manifest.name.replace('_', "-").to_lowercase());
        RuleSpec::check_name(&name).map_err(invalid)?;
        let query = wish.query.clone().unwrap_or_else(|| manifest.query.clone());
        Matcher::parse(&query).map_err(|error| invalid(format!("the query: {error}")))?;
        let per = match &wish.per {
            Some(per) => per.parse::<Width>().map_err(invalid)?,
            None => manifest.per.clone(),
        };
        let resolved = manifest.resolve(&wish.set, &wish.to).map_err(invalid)?;
        self.known_outputs(&resolved.outputs)?;
        let watch = wish.watch.unwrap_or(match wish.how {
            How::Replace | How::Canary(_) => WATCH,
            // Whether differences are wanted, only a person can say.
            How::Shadow => Span::ZERO,
        });
        let watch_ms = u64::try_from(watch.0 / 1000).unwrap_or(0);
        let origin = Origin { by: wish.terms.by.clone(), watch_ms, ..Origin::default() };
        let reset_state = wish.reset_state;
        let backfill = wish.backfill.map(|span| clock::now() - span);
        let rule = manifest.rule(&compiled.inspected.digest, resolved);
        Ok(RuleSpec { name, query, per, reset_state, backfill, origin, ..rule })
    }

    fn known_outputs(&self, outputs: &[(String, String)]) -> Result<(), ControlError> {
        let known = self.outputs.names();
        match outputs.iter().find(|(_, output)| !known.iter().any(|name| name == output)) {
            None => Ok(()),
            Some((declared, output)) => Err(ControlError::Invalid(format!(
                "--to {declared}={output}: there is no output {output:?}; there are {}",
                known.join(", ")
            ))),
        }
    }

    async fn roll_back(&self, wish: RollBack) -> Result<Deployed, ControlError> {
        let started = clock::start();
        let entry = self.known(&wish.name)?;
        let kept = || {
            let kept: Vec<String> = entry.past.iter().map(|past| past.spec.generation.to_string()).collect();
            if kept.is_empty() { "none".to_owned() } else { kept.join(", ") }
        };
        let past = match wish.to {
            Some(to) => entry.earlier(to).ok_or_else(|| {
                ControlError::NotFound(format!(
                    "rule {} has no earlier generation {to}; kept are {}",
                    wish.name,
                    kept()
                ))
            }),
            None => entry.previous().ok_or_else(|| {
                ControlError::NotFound(format!(
                    "rule {} has no earlier generation that was in force and not found bad; kept are {}, to be named with `to`",
                    wish.name,
                    kept()
                ))
            }),
        }?;
        let wasm = self.module(&past.spec.module)?;
        let compiled = self.compile(wasm.clone()).await?;
        self.known_outputs(&past.spec.outputs)?;
        let RollBack { reason, terms, .. } = wish;
        let origin =
            Origin { by: terms.by.clone(), back_to: Some(past.spec.generation), reason, watch_ms: 0 };
        let spec =
            RuleSpec { origin, reset_state: false, backfill: None, paused: false, ..past.spec.clone() };
        self.try_out(&compiled, &spec).await?;
        let _turn = self.turn.lock().await;
        self.expect(&spec.name, &terms)?;
        self.known(&spec.name)?;
        self.activate(spec, &wasm, How::Replace, false, started).await
    }

    /// Makes a change in its turn, if the rule is there and what the terms expect.
    async fn change_known(&self, terms: &Terms, control: Control) -> Result<u64, ControlError> {
        let _turn = self.turn.lock().await;
        let name = control.name();
        let entry = self.known(name)?;
        self.expect(name, terms)?;
        if matches!(control, Control::Promote { .. } | Control::Abandon { .. }) && entry.trial.is_none() {
            return Err(ControlError::Conflict(format!("nothing is tried beside rule {name}")));
        }
        if matches!(control, Control::Promote { .. }) {
            self.mark_promoted(&entry);
        }
        self.change(control).await
    }

    async fn change(&self, control: Control) -> Result<u64, ControlError> {
        self.ingest.change(control).await.map_err(|refused| match refused {
            Refused::Log(_) | Refused::Stopping | Refused::Overloaded { .. } => {
                ControlError::Busy(refused.to_string())
            }
            Refused::TooLarge { .. } => ControlError::Invalid(refused.to_string()),
        })
    }

    fn known(&self, name: &str) -> Result<Entry, ControlError> {
        self.catalogue.get(name).ok_or_else(|| ControlError::NotFound(format!("there is no rule {name:?}")))
    }

    /// Refuses a change of another generation than the one that is in force.
    fn expect(&self, name: &str, terms: &Terms) -> Result<(), ControlError> {
        let Some(expected) = terms.generation else { return Ok(()) };
        let entry = self.catalogue.get(name);
        let generation = entry.as_ref().map_or(0, |entry| entry.spec.generation);
        if generation == expected {
            return Ok(());
        }
        let (by, at) = entry
            .map_or_else(Default::default, |entry| (entry.spec.origin.by.clone(), clock::iso8601(entry.at)));
        let message = match generation {
            0 => format!("generation {expected} of rule {name} was expected, and there is no such rule"),
            _ => format!(
                "generation {expected} of rule {name} was expected, and {generation} is in force, deployed by {} at {at}: look at it, and say its generation if you want to change it",
                if by.is_empty() { "somebody" } else { &by }
            ),
        };
        Err(ControlError::Stale { message, generation, by, at })
    }

    /// The digests of all modules in use, with the names of their rules.
    fn modules_in_use(&self) -> Vec<(String, String)> {
        let uses = |entry: &Entry| -> Vec<(String, String)> {
            entry.modules().map(|module| (module.to_owned(), entry.spec.name.clone())).collect()
        };
        self.catalogue.look(uses).into_iter().flatten().collect()
    }

    /// Keeps a module that nothing uses yet.
    async fn keep(&self, wasm: Bytes) -> Result<serde_json::Value, ControlError> {
        let compiled = self.compile(wasm.clone()).await?;
        let digest = compiled.inspected.digest.clone();
        let _turn = self.turn.lock().await;
        let used: BTreeSet<String> = self.modules_in_use().into_iter().map(|(module, _)| module).collect();
        let modules = self.modules.clone();
        let kept = tokio::task::spawn_blocking(move || {
            let waiting = modules.list()?.into_iter().filter(|kept| !used.contains(&kept.digest));
            if waiting.filter(|kept| kept.digest != digest).count() >= UNUSED {
                return Ok(false);
            }
            modules.keep(&digest, &wasm).map(|()| true)
        });
        match kept.await.map_err(|error| ControlError::Busy(error.to_string()))? {
            Ok(true) => Ok(self.inspected(&compiled.inspected, None)),
            Ok(false) => Err(ControlError::Conflict(format!(
                "{UNUSED} modules are kept already that nothing uses: let some go with `tidegate modules gc --all`"
            ))),
            Err(error) => Err(ControlError::Busy(format!("the module cannot be kept: {error}"))),
        }
    }

    async fn collect(&self, grace: Span) -> Result<Collected, ControlError> {
        // Whoever deploys keeps a module before the log says that it is deployed.
        let _turn = self.turn.lock().await;
        let used: BTreeSet<String> = self.modules_in_use().into_iter().map(|(module, _)| module).collect();
        let (modules, host) = (self.modules.clone(), self.host.clone());
        let gone = tokio::task::spawn_blocking(move || {
            let gone = modules.collect(&used, grace)?;
            gone.iter().for_each(|kept| host.modules().forget(&kept.digest));
            Ok::<_, std::io::Error>(gone)
        });
        let gone = match gone.await {
            Ok(Ok(gone)) => gone,
            Ok(Err(error)) => return Err(ControlError::Busy(format!("modules cannot be let go: {error}"))),
            Err(error) => return Err(ControlError::Busy(error.to_string())),
        };
        let collected = Collected {
            bytes: gone.iter().map(|kept| kept.bytes).sum(),
            modules: gone.into_iter().map(|kept| kept.digest).collect(),
        };
        if !collected.modules.is_empty() {
            tracing::info!(modules = collected.modules.len(), bytes = collected.bytes, "modules were let go");
        }
        let counted = &self.telemetry.control;
        counted.modules_removed.add(collected.modules.len() as u64);
        if let Ok(kept) = self.modules.list() {
            counted.modules.set(kept.len() as i64);
            counted.module_bytes.set(kept.iter().map(|kept| kept.bytes as i64).sum());
        }
        Ok(collected)
    }
}

/// Whether a rule may begin in that way, beside or instead of what there is.
fn may_begin(spec: &RuleSpec, how: How, before: Option<&Entry>) -> Result<(), ControlError> {
    let name = &spec.name;
    if let Some(tried) = before.and_then(|before| before.trial.as_ref()) {
        return Err(ControlError::Conflict(format!(
            "generation {} of rule {name} is being tried: promote or abandon it first",
            tried.trial.spec.generation
        )));
    }
    if how == How::Replace {
        return Ok(());
    }
    let Some(before) = before else {
        return Err(ControlError::Conflict(format!(
            "there is no rule {name} beside which it could be tried: deploy it without --shadow or --canary"
        )));
    };
    if matches!(how, How::Canary(_)) && before.spec.per != spec.per {
        return Err(ControlError::Invalid(format!(
            "a canary speaks for some keys instead of the rule, so both have to be keyed alike: rule {name} is keyed by {}, this one by {}; use --shadow",
            before.spec.per, spec.per
        )));
    }
    Ok(())
}

impl Wishes for Controller {
    fn deploy(&self, wish: Deployment) -> BoxFuture<'_, Result<Deployed, ControlError>> {
        let rule = wish.name.clone().unwrap_or_default();
        let span = tracing::info_span!("deploy", rule, mode = ?wish.how, dry_run = wish.dry_run);
        self.deploy(wish).instrument(span).boxed()
    }

    fn roll_back(&self, wish: RollBack) -> BoxFuture<'_, Result<Deployed, ControlError>> {
        let span = tracing::info_span!("roll back", rule = wish.name, to = wish.to);
        self.roll_back(wish).instrument(span).boxed()
    }

    fn remove(&self, name: String, terms: Terms) -> BoxFuture<'_, Result<u64, ControlError>> {
        async move { self.change_known(&terms, Control::Remove { name }).await }.boxed()
    }

    fn pause(&self, name: String, paused: bool, terms: Terms) -> BoxFuture<'_, Result<u64, ControlError>> {
        async move { self.change_known(&terms, Control::Pause { name, paused }).await }.boxed()
    }

    fn end_trial(
        &self,
        name: String,
        reason: Option<String>,
        terms: Terms,
    ) -> BoxFuture<'_, Result<u64, ControlError>> {
        let control = match reason {
            None => Control::Promote { name },
            Some(reason) => Control::Abandon { name, reason },
        };
        async move { self.change_known(&terms, control).await }.boxed()
    }

    fn names(&self) -> Vec<(String, RuleState)> {
        self.state_of_all()
    }

    fn rule(&self, name: &str) -> Option<RuleStatus> {
        self.catalogue.get(name).map(|entry| self.status(&entry))
    }

    fn history(&self, name: &str) -> Option<History> {
        self.catalogue.get(name).map(|entry| status::history(&entry))
    }

    fn modules(&self) -> Vec<ModuleStatus> {
        self.module_status()
    }

    fn collect(&self, all: bool) -> BoxFuture<'_, Result<Collected, ControlError>> {
        self.collect(if all { Span::ZERO } else { self.grace }).boxed()
    }

    fn lines(&self, name: &str, limit: usize) -> Option<RuleLog> {
        self.catalogue.get(name).map(|_| status::lines(name, self.catalogue.journal(name, limit)))
    }

    fn inspect(
        &self,
        wasm: Bytes,
        rule: Option<String>,
    ) -> BoxFuture<'_, Result<serde_json::Value, ControlError>> {
        async move {
            let compiled = self.compile(wasm).await?;
            Ok(self.inspected(&compiled.inspected, rule.as_deref()))
        }
        .boxed()
    }

    fn keep(&self, wasm: Bytes) -> BoxFuture<'_, Result<serde_json::Value, ControlError>> {
        self.keep(wasm).boxed()
    }
}
