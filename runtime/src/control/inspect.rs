//! What a module says about itself, for a person who is about to deploy it: its parameters as a form needs them, and how
//! it differs from the rule that it would replace.

use super::Controller;
use crate::catalogue::Entry;
use serde_json::{Value, json};
use tidegate_engine::manifest::{Manifest, Param};
use tidegate_event::Kind;
use tidegate_wasm::{Inspected, ModuleStore};

impl Controller {
    /// As JSON. It is compared with the rule of that name; with the one that it would be called like, when none is named.
    pub(super) fn inspected(&self, inspected: &Inspected, rule: Option<&str>) -> Value {
        let manifest = &inspected.manifest;
        let own = manifest.name.replace('_', "-").to_lowercase();
        let name = rule.unwrap_or(&own);
        let running = self.catalogue.get(name).map(|entry| self.running(inspected, &entry));
        let is_output = |param: &&Param| is_output(param);
        let parameter = |param: &Param| {
            json!({
                "name": param.name, "type": param.kind, "doc": param.doc, "default": param.default,
                "required": param.default.is_none() && !param.optional,
            })
        };
        json!({
            "module": inspected.digest, "name": manifest.name, "rule": name, "version": manifest.version, "doc": manifest.doc,
            "query": manifest.query, "per": manifest.per.to_string(), "bytes": inspected.size, "reads": manifest.reads,
            "parameters": manifest.params.iter().filter(|param| !is_output(param)).map(parameter).collect::<Vec<_>>(),
            "outputs": manifest.params.iter().filter(is_output)
                .map(|param| json!({
                    "name": param.name, "doc": param.doc, "default": param.default,
                    "many": param.kind == Kind::Outputs.name(),
                }))
                .collect::<Vec<_>>(),
            "schema": manifest.state_schema, "limits": manifest.limits(), "sdk": manifest.sdk, "abi": manifest.abi,
            // A module that imports anything is refused before it comes here.
            "imports": [], "running": running,
        })
    }

    fn running(&self, new: &Inspected, entry: &Entry) -> Value {
        let spec = &entry.spec;
        let mut changes = Vec::new();
        let mut change = |what: String, from: Value, to: Value| {
            if from != to {
                changes.push(json!({ "what": what, "from": from, "to": to }));
            }
        };
        let manifest = &new.manifest;
        change("module".into(), json!(spec.module), json!(new.digest));
        change("version".into(), json!(spec.version), json!(manifest.version));
        change("query".into(), json!(spec.query), json!(manifest.query));
        change("per".into(), json!(spec.per.to_string()), json!(manifest.per.to_string()));
        change("state schema".into(), json!(spec.schema), json!(manifest.state_schema));
        // What the running module says of itself is known as long as it is kept.
        let old = self.modules.load(&spec.module).and_then(|wasm| tidegate_wasm::inspect(&wasm).ok());
        if let Some(old) = old.map(|old| old.manifest) {
            change("sdk".into(), json!(old.sdk), json!(manifest.sdk));
            for name in names(&old, manifest) {
                let of = |manifest: &Manifest| {
                    manifest.params.iter().find(|param| param.name == name).map_or(Value::Null, |param| {
                        let default = param.default.as_ref().map(|value| format!(" = {value}"));
                        json!(format!("{}{}", param.kind, default.unwrap_or_default()))
                    })
                };
                change(format!("parameter {name}"), of(&old), of(manifest));
            }
        }
        let set: serde_json::Map<String, Value> =
            spec.set.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let outputs: serde_json::Map<String, Value> =
            spec.outputs.iter().map(|(name, to)| (name.clone(), json!(to))).collect();
        json!({
            "generation": spec.generation, "version": spec.version, "changes": changes, "set": set, "outputs": outputs,
        })
    }
}

fn is_output(param: &Param) -> bool {
    [Kind::Output.name(), Kind::Outputs.name()].contains(&param.kind.as_str())
}

/// The parameters that either has, in the order of the new one.
fn names(old: &Manifest, new: &Manifest) -> Vec<String> {
    let mut names: Vec<String> = new.params.iter().map(|param| param.name.clone()).collect();
    let gone = old.params.iter().filter(|param| !names.contains(&param.name)).map(|param| param.name.clone());
    let gone: Vec<String> = gone.collect();
    names.extend(gone);
    names
}
