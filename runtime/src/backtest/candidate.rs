//! What is tried: a module with settings, a query and a key; from a file, or a rule that is deployed.

use super::past::Past;
use crate::log::Standing;
use crate::modules::Modules;
use crate::rules;
use anyhow::{Context, anyhow, bail};
use std::collections::BTreeMap;
use std::path::Path;
use tidegate_engine::manifest::Manifest;
use tidegate_engine::query::Matcher;
use tidegate_engine::rule::{Limits, RuleSpec, Width};
use tidegate_wasm::ModuleStore;

/// A call is stopped after so long. In a node it is much sooner, but how long a call takes is the machine's business, and
/// must not decide what comes out here: only a rule that never ends is stopped.
const DEADLINE_MS: u32 = 10_000;

/// A rule to try.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// As it would be deployed.
    pub spec: RuleSpec,
    /// Its module.
    pub wasm: Vec<u8>,
}

/// What may be said of a rule beside its module.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Which events it gets.
    pub query: Option<String>,
    /// What gets its own copy of its state.
    pub per: Option<String>,
    /// Its parameters.
    pub set: BTreeMap<String, String>,
}

impl Wishes {
    /// What was wished for, and where nothing was, as the rule is deployed that it replaces.
    pub fn over(mut self, deployed: &Candidate) -> anyhow::Result<Self> {
        let manifest = manifest(&deployed.wasm)?;
        let spec = &deployed.spec;
        // What was deployed with the module's own query gets that of the new module.
        if self.query.is_none() && spec.query != manifest.query {
            self.query = Some(spec.query.clone());
        }
        if self.per.is_none() && spec.per != manifest.per {
            self.per = Some(spec.per.to_string());
        }
        for (name, value) in &spec.set {
            self.set.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Ok(self)
    }
}

fn manifest(wasm: &[u8]) -> anyhow::Result<Manifest> {
    Ok(tidegate_wasm::inspect(wasm).map_err(|refusal| anyhow!("{refusal}"))?.manifest)
}

impl Candidate {
    /// A module with what is wished for. Parameters that it does not have are an error if `strict`, else they are left
    /// out: another version need not have the same.
    pub fn of_module(wasm: Vec<u8>, wishes: &Wishes, strict: bool) -> anyhow::Result<Self> {
        let inspected = tidegate_wasm::inspect(&wasm).map_err(|refusal| anyhow!("{refusal}"))?;
        let manifest = &inspected.manifest;
        let mut set = wishes.set.clone();
        if !strict {
            set.retain(|name, _| manifest.params.iter().any(|param| param.name == *name));
        }
        let resolved = manifest.resolve(&set, &BTreeMap::new()).map_err(|error| anyhow!(error))?;
        let mut spec = manifest.rule(&inspected.digest, resolved);
        // As a deployment would name it.
        spec.name = manifest.name.replace('_', "-").to_lowercase();
        if let Some(query) = &wishes.query {
            spec.query.clone_from(query);
        }
        if let Some(per) = &wishes.per {
            spec.per = per.parse::<Width>().map_err(|error| anyhow!(error))?;
        }
        Matcher::parse(&spec.query).map_err(|error| anyhow!("the query: {error}"))?;
        Ok(Self { spec, wasm }.patient())
    }

    /// A rule as it stands in the log of a data directory, or deployed there at the end.
    pub fn deployed(name: &str, data: &Path) -> anyhow::Result<Self> {
        let mut rules = standing(data)?;
        let Some(Standing { spec, .. }) = rules.remove(name) else {
            let names: Vec<&str> = rules.keys().map(String::as_str).collect();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            bail!("no rule {name:?} is deployed in {}; there are {there}", data.display());
        };
        let stored = Modules::Folder(data.join("modules")).load(&spec.module);
        let wasm = stored.or_else(|| rules::by_digest(&spec.module).map(<[u8]>::to_vec));
        let wasm = wasm.with_context(|| format!("the module of rule {name} is not in {}", data.display()))?;
        Ok(Self { spec: RuleSpec { paused: false, ..spec }, wasm }.patient())
    }

    /// Whether a rule of that name is deployed in a data directory.
    pub fn is_deployed(name: &str, data: &Path) -> bool {
        standing(data).is_ok_and(|rules| rules.contains_key(name))
    }

    fn patient(mut self) -> Self {
        self.spec.limits = Limits { deadline_ms: DEADLINE_MS, ..self.spec.limits };
        self
    }
}

/// The rules that are deployed in a data directory, by its log.
fn standing(data: &Path) -> anyhow::Result<BTreeMap<String, Standing>> {
    Past { folder: data.join("log"), seed: None, without: Vec::new() }.deployed()
}
