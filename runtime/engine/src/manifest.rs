//! What a module says of itself, in its `tidegate.manifest` section: readable without running any of it.

use crate::rule::{Limits, Origin, RuleSpec, Width};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_event::{Field, FieldSet, Kind, Setting, SettingsWriter, Span};

/// The manifest, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// ABI version.
    pub abi: u32,
    /// The rule's name, from its package.
    pub name: String,
    /// Its version, from its package.
    pub version: String,
    /// What it does: the first lines of its documentation.
    #[serde(default)]
    pub doc: String,
    /// Which events it wants, unless the deployment says otherwise.
    pub query: String,
    /// What gets its own copy of its state.
    pub per: Width,
    /// The fields that it reads.
    pub reads: Vec<String>,
    /// Its parameters, in the order in which their values are handed over.
    pub params: Vec<Param>,
    /// Counts the incompatible changes of its state.
    pub state_schema: u32,
    /// The version of the SDK that built it.
    pub sdk: String,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// `number`, `integer`, `flag`, `text`, `span`, `output` or `outputs`.
    pub kind: String,
    /// What it means, and its unit.
    #[serde(default)]
    pub doc: String,
    /// The value it has when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether it may be left out altogether.
    #[serde(default)]
    pub optional: bool,
}

/// The output that a declared output is sent to when a deployment names none: the live page.
pub const DEFAULT_OUTPUT: &str = "live";

/// Values for all parameters, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// As the guest reads them.
    pub settings: Vec<u8>,
    /// As a person reads them.
    pub set: Vec<(String, String)>,
    /// Each declared output and where it is sent.
    pub outputs: Vec<(String, String)>,
}

impl Manifest {
    /// Reads the section's JSON, and checks what it says: version, fields and kinds.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let manifest: Self =
            serde_json::from_slice(json).map_err(|error| format!("the manifest: {error}"))?;
        if manifest.abi != tidegate_event::abi::VERSION {
            return Err(format!(
                "the module speaks ABI {}, this host speaks {}: build it with the matching SDK",
                manifest.abi,
                tidegate_event::abi::VERSION
            ));
        }
        for name in &manifest.reads {
            Field::named(name)
                .ok_or_else(|| format!("the manifest reads a field {name:?}, which events do not have"))?;
        }
        for param in &manifest.params {
            Kind::named(&param.kind)
                .ok_or_else(|| format!("parameter {} is of an unknown kind {:?}", param.name, param.kind))?;
        }
        Ok(manifest)
    }

    /// The fields that it reads.
    pub fn fields(&self) -> FieldSet {
        self.reads.iter().filter_map(|name| Field::named(name)).collect()
    }

    /// The names of its outputs: its parameters of that kind, in order.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.params.iter().filter(|param| param.is_output()).map(|param| param.name.as_str())
    }

    /// Checks the values given for a deployment, fills in defaults, and encodes them for the guest. `set` gives values
    /// by name, `to` says where each declared output goes; an output that is given nowhere goes to the live page.
    pub fn resolve(
        &self,
        set: &BTreeMap<String, String>,
        to: &BTreeMap<String, String>,
    ) -> Result<Resolved, String> {
        for (name, hint) in set.keys().map(|name| (name, "--set")).chain(to.keys().map(|name| (name, "--to")))
        {
            let known: Vec<&str> = self.params.iter().map(|param| param.name.as_str()).collect();
            let free = hint == "--to" && self.params.iter().any(|param| param.kind == Kind::Outputs.name());
            if !known.contains(&name.as_str()) && !free {
                return Err(format!(
                    "{hint} {name}: rule {} has no such parameter; it has {}",
                    self.name,
                    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                ));
            }
        }
        // The guest gets them as lines.
        if let Some(name) = to.keys().find(|name| name.is_empty() || name.contains('\n')) {
            return Err(format!("--to {name:?}: the name of an output, in one line, was expected"));
        }
        let mut resolved = Resolved::default();
        let mut settings = SettingsWriter::default();
        for param in &self.params {
            let given = set.get(&param.name);
            if param.is_output() {
                let target = to.get(&param.name).or(given).or(param.default.as_ref());
                let target = target.map_or(DEFAULT_OUTPUT, String::as_str);
                settings.push(Setting::Output(resolved.outputs.len() as u32));
                resolved.outputs.push((param.name.clone(), target.to_owned()));
                if param.kind == Kind::Outputs.name() {
                    let own = |name: &String| self.params.iter().all(|param| param.name != *name);
                    let free: Vec<_> = to.iter().filter(|(name, _)| own(name)).collect();
                    let names: Vec<&str> = free.iter().map(|(name, _)| name.as_str()).collect();
                    settings.push(Setting::Text(&names.join("\n")));
                    resolved.outputs.extend(free.iter().map(|(name, to)| ((*name).clone(), (*to).clone())));
                }
                continue;
            }
            if to.contains_key(&param.name) {
                return Err(format!(
                    "--to {}: that is a {}, not an output; use --set",
                    param.name, param.kind
                ));
            }
            let Some(text) = given.or(param.default.as_ref()) else {
                if !param.optional {
                    return Err(format!(
                        "parameter {} ({}) is missing: {}",
                        param.name, param.kind, param.doc
                    ));
                }
                settings.push(Setting::Absent);
                continue;
            };
            settings.push(param.parse(text)?);
            resolved.set.push((param.name.clone(), text.clone()));
        }
        resolved.settings = settings.finish();
        Ok(resolved)
    }

    /// The rule that a module with this manifest is when it is first deployed, with these values and nothing else said.
    pub fn rule(&self, module: &str, resolved: Resolved) -> RuleSpec {
        RuleSpec {
            name: self.name.clone(),
            generation: 1,
            module: module.to_owned(),
            version: self.version.clone(),
            query: self.query.clone(),
            per: self.per.clone(),
            fields: self.fields().0,
            settings: resolved.settings,
            set: resolved.set,
            outputs: resolved.outputs,
            limits: self.limits(),
            paused: false,
            schema: self.state_schema,
            reset_state: false,
            backfill: None,
            origin: Origin::default(),
        }
    }

    /// Limits that a deployment starts from.
    pub fn limits(&self) -> Limits {
        Limits::default()
    }
}

impl Param {
    fn is_output(&self) -> bool {
        [Kind::Output.name(), Kind::Outputs.name()].contains(&self.kind.as_str())
    }

    fn parse<'a>(&self, text: &'a str) -> Result<Setting<'a>, String> {
        let wrong =
            || format!("parameter {}: a {} was expected, found {text:?}. {}", self.name, self.kind, self.doc);
        Ok(match Kind::named(&self.kind).ok_or_else(wrong)? {
            Kind::Number => Setting::Number(text.trim().parse().map_err(|_| wrong())?),
            Kind::Integer => Setting::Integer(text.trim().parse().map_err(|_| wrong())?),
            Kind::Flag => Setting::Flag(text.trim().parse().map_err(|_| wrong())?),
            Kind::Text => Setting::Text(text),
            Kind::Span => {
                Setting::Span(Span::parse(text).ok_or_else(|| wrong() + " (like 90s, 5m or 250ms)")?)
            }
            Kind::Output | Kind::Outputs => return Err(wrong()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::Settings;

    fn manifest() -> Manifest {
        let param = |name: &str, kind: &str, default: Option<&str>| Param {
            name: name.into(),
            kind: kind.into(),
            doc: format!("What {name} means."),
            default: default.map(str::to_owned),
            optional: false,
        };
        Manifest {
            abi: 1,
            name: "slow".into(),
            version: "0.1.0".into(),
            doc: String::new(),
            query: "true".into(),
            per: Width::Stream,
            reads: vec!["metric".into()],
            params: vec![
                param("limit_ms", "number", None),
                param("board", "output", None),
                param("every", "span", Some("5s")),
                param("pager", "output", None),
            ],
            state_schema: 1,
            sdk: "0.1.0".into(),
        }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn values_are_checked_and_defaults_filled_in() {
        let resolved = manifest().resolve(&map(&[("limit_ms", "250")]), &map(&[("pager", "hook")])).unwrap();
        assert_eq!(
            Settings::new(&resolved.settings).collect::<Vec<_>>(),
            [Setting::Number(250.0), Setting::Output(0), Setting::Span(Span::secs(5)), Setting::Output(1)]
        );
        assert_eq!(resolved.outputs, [("board".into(), "live".into()), ("pager".into(), "hook".into())]);
        assert_eq!(resolved.set, [("limit_ms".into(), "250".into()), ("every".into(), "5s".into())]);
    }

    #[test]
    fn mistakes_are_named() {
        let manifest = manifest();
        let error =
            |set: &[(&str, &str)], to: &[(&str, &str)]| manifest.resolve(&map(set), &map(to)).unwrap_err();
        assert_eq!(error(&[], &[]), "parameter limit_ms (number) is missing: What limit_ms means.");
        assert_eq!(
            error(&[("limit_ms", "much")], &[]),
            "parameter limit_ms: a number was expected, found \"much\". What limit_ms means."
        );
        assert_eq!(
            error(&[("limit", "1")], &[]),
            "--set limit: rule slow has no such parameter; it has limit_ms, board, every, pager"
        );
        assert_eq!(
            error(&[], &[("limit_ms", "x")]),
            "--to limit_ms: that is a number, not an output; use --set"
        );
    }

    #[test]
    fn names_of_the_rules_own_are_numbered_on_from_the_rest() {
        let mut manifest = manifest();
        manifest.params =
            vec![Param { name: "main".into(), kind: "outputs".into(), ..manifest.params[1].clone() }];
        let to = map(&[("pager", "hook"), ("main", "console"), ("board", "file")]);
        let resolved = manifest.resolve(&map(&[]), &to).unwrap();
        assert_eq!(
            Settings::new(&resolved.settings).collect::<Vec<_>>(),
            [Setting::Output(0), Setting::Text("board\npager")]
        );
        let outputs: Vec<_> =
            resolved.outputs.iter().map(|(name, to)| (name.as_str(), to.as_str())).collect();
        assert_eq!(outputs, [("main", "console"), ("board", "file"), ("pager", "hook")]);
        for wrong in ["", "board\npager"] {
            let error = manifest.resolve(&map(&[]), &map(&[(wrong, "hook")])).unwrap_err();
            assert_eq!(error, format!("--to {wrong:?}: the name of an output, in one line, was expected"));
        }
    }

    #[test]
    fn the_manifest_reads_back() {
        let json = serde_json::to_vec(&manifest()).unwrap();
        assert_eq!(Manifest::from_json(&json).unwrap(), manifest());
        let newer = String::from_utf8(json).unwrap().replace("\"abi\":1", "\"abi\":2");
        assert!(Manifest::from_json(newer.as_bytes()).unwrap_err().contains("speaks ABI 2"));
    }
}
