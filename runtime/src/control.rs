//! Deploying, pausing, removing: every check happens before the one record that makes it so.

use crate::catalogue::{Catalogue, Entry};
use crate::clock::{self, iso8601};
use crate::ingest::{Ingest, Refused};
use crate::modules::Modules;
use crate::output::Outputs;
use crate::telemetry::Telemetry;
use crate::web::control::{
    Control as Wishes, ControlError, Deployed, Deployment, LastFault, RuleState, RuleStatus,
};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::{Control, RuleSpec, Width};
use tidegate_event::Timestamp;
use tidegate_wasm::{Compiled, Host, ModuleStore};
use tokio::sync::Mutex;

/// A compilation is given up after this long.
const COMPILE: Duration = Duration::from_secs(10);

/// Whoever changes the set of rules.
pub struct Controller {
    ingest: Ingest,
    host: Arc<Host>,
    modules: Arc<Modules>,
    catalogue: Arc<Catalogue>,
    outputs: Arc<Outputs>,
    telemetry: Arc<Telemetry>,
    shards: usize,
    /// One change at a time: the checks of one must not be undone by another.
    turn: Mutex<()>,
}

impl Controller {
    /// A controller of a node.
    pub fn new(
        ingest: Ingest,
        host: Arc<Host>,
        modules: Arc<Modules>,
        catalogue: Arc<Catalogue>,
        outputs: Arc<Outputs>,
        telemetry: Arc<Telemetry>,
        shards: usize,
    ) -> Self {
        Self { ingest, host, modules, catalogue, outputs, telemetry, shards, turn: Mutex::new(()) }
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

    async fn deploy(&self, wish: Deployment) -> Result<Deployed, ControlError> {
        let started = clock::start();
        let _turn = self.turn.lock().await;
        let wasm = match (&wish.wasm, &wish.digest) {
            (Some(wasm), _) => wasm.clone(),
            (None, Some(digest)) => self.modules.load(digest).map(Bytes::from).ok_or_else(|| {
                ControlError::NotFound(format!(
                    "no module with digest {digest} is here: send the module itself"
                ))
            })?,
            (None, None) => {
                return Err(ControlError::Invalid(
                    "a module was expected: its bytes in the body, or its digest as `module`".into(),
                ));
            }
        };
        let compiled = self.compile(wasm.clone()).await?;
        let spec = self.spec(&wish, &compiled)?;
        let (host, module, dry) = (self.host.clone(), compiled.clone(), spec.clone());
        tokio::task::spawn_blocking(move || host.dry_run(&module, &dry))
            .await
            .map_err(|error| ControlError::Busy(error.to_string()))?
            .map_err(|fault| ControlError::Invalid(format!("the rule does not start: {fault}")))?;
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
        if !wish.dry_run {
            self.modules
                .keep(&spec.module, &wasm)
                .map_err(|error| ControlError::Busy(format!("the module cannot be kept: {error}")))?;
            deployed.position = self.change(Control::Deploy(Box::new(spec))).await?;
            tracing::info!(rule = %deployed.name, generation = deployed.generation, position = deployed.position, "deployed");
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
        let known = self.outputs.names();
        for (declared, output) in &resolved.outputs {
            if !known.iter().any(|name| name == output) {
                return Err(invalid(format!(
                    "--to {declared}={output}: there is no output {output:?}; there are {}",
                    known.join(", ")
                )));
            }
        }
        let generation = self.catalogue.next_generation(&name);
        Ok(RuleSpec { name, generation, query, per, ..manifest.rule(&compiled.inspected.digest, resolved) })
    }

    async fn change(&self, control: Control) -> Result<u64, ControlError> {
        self.ingest.change(control).await.map_err(|refused| match refused {
            Refused::Log(_) | Refused::Stopping | Refused::Overloaded { .. } => {
                ControlError::Busy(refused.to_string())
            }
            Refused::TooLarge { .. } => ControlError::Invalid(refused.to_string()),
        })
    }

    fn known(&self, name: &str) -> Result<(), ControlError> {
        match self.catalogue.get(name) {
            Some(_) => Ok(()),
            None => Err(ControlError::NotFound(format!("there is no rule {name:?}"))),
        }
    }

    fn status(&self, entry: &Entry) -> RuleStatus {
        let stats = self.telemetry.rule(&entry.spec.name);
        let now = clock::now();
        RuleStatus {
            name: entry.spec.name.clone(),
            generation: entry.spec.generation,
            module: entry.spec.module.clone(),
            version: entry.spec.version.clone(),
            query: entry.spec.query.clone(),
            per: entry.spec.per.to_string(),
            set: entry.spec.set.iter().cloned().collect(),
            outputs: entry.spec.outputs.iter().cloned().collect(),
            status: state(entry, now),
            events: stats.events.get(),
            memory: stats.memory.get().max(0) as u64,
            keys: stats.keys.get().max(0) as u64,
            emitted: stats.emitted.get(),
            forwarded: stats.forwarded.get(),
            faults: stats.faults.get(),
            last_fault: entry.last_fault.as_ref().map(|trouble| LastFault {
                kind: trouble.fault.kind.name().to_owned(),
                message: trouble.fault.message.clone(),
                during: trouble.fault.during.clone(),
                event: trouble.event.as_ref().and_then(|event| {
                    let mut json = Vec::new();
                    tidegate_engine::codec::json::encode_event(&mut json, &event.event(0));
                    serde_json::from_slice(&json).ok()
                }),
                at: iso8601(trouble.at),
            }),
            quarantined_until: entry.quarantined_until.filter(|until| *until > now).map(iso8601),
            ..RuleStatus::default()
        }
    }
}

/// Whether a rule runs at this moment.
fn state(entry: &Entry, now: Timestamp) -> RuleState {
    match entry.quarantined_until {
        _ if entry.spec.paused => RuleState::Paused,
        Some(until) if until > now => RuleState::Quarantined,
        _ => RuleState::Running,
    }
}

impl Wishes for Controller {
    fn deploy(&self, wish: Deployment) -> BoxFuture<'_, Result<Deployed, ControlError>> {
        self.deploy(wish).boxed()
    }

    fn remove(&self, name: String) -> BoxFuture<'_, Result<u64, ControlError>> {
        async move {
            let _turn = self.turn.lock().await;
            self.known(&name)?;
            self.change(Control::Remove { name }).await
        }
        .boxed()
    }

    fn pause(&self, name: String, paused: bool) -> BoxFuture<'_, Result<u64, ControlError>> {
        async move {
            let _turn = self.turn.lock().await;
            self.known(&name)?;
            self.change(Control::Pause { name, paused }).await
        }
        .boxed()
    }

    fn names(&self) -> Vec<(String, RuleState)> {
        let now = clock::now();
        self.catalogue.look(|entry| (entry.spec.name.clone(), state(entry, now)))
    }

    fn rule(&self, name: &str) -> Option<RuleStatus> {
        self.catalogue.get(name).map(|entry| self.status(&entry))
    }

    fn inspect(&self, wasm: Bytes) -> BoxFuture<'_, Result<serde_json::Value, ControlError>> {
        async move {
            let compiled = self.compile(wasm).await?;
            serde_json::to_value(&compiled.inspected.manifest)
                .map_err(|error| ControlError::Invalid(error.to_string()))
        }
        .boxed()
    }
}
