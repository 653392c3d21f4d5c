//! Plays one stream case: the `standard` rule as wasm, with the case's events and its clock. The rule linked in plays beside
//! it, and must give the same bytes.

use crate::Verdict;
use crate::compare::{Compare, normal};
use crate::stage::{Build, Unsupported, stages};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use standard::Standard;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_engine::guest::{Guest, Native};
use tidegate_engine::manifest::Manifest;
use tidegate_engine::rule::Limits;
use tidegate_event::{Action, Batch, BatchBuilder, NewEvent, Override, Reply, Timestamp};
use tidegate_sdk::rt::Runner;
use tidegate_wasm::{Host, HostOptions, ModuleStore};

/// The rule, ready to be started with a pipeline.
pub struct Player {
    host: Host,
    digest: String,
    manifest: Manifest,
}

/// What a pipeline did.
pub struct Played {
    /// Each output with what reached it, in order.
    pub outputs: Vec<(String, Value)>,
    /// What it could not use.
    pub errors: Vec<String>,
    /// Why the pipeline was not taken, if it was not.
    pub refused: Option<String>,
}

impl Played {
    /// Whether it went wrong, as the case wants it: the pipeline was refused, or could not use what came.
    pub fn expects_error(&self, case: &Value) -> Verdict {
        match self.refused.is_some() || !self.errors.is_empty() {
            true => Verdict::Passed,
            false => Verdict::Failed(format!("  expected {}, no error came", case["expected_error"])),
        }
    }
}

/// The event that brings the pipeline to life; no stage sees it.
const FIRST: &str = "cases.first";
/// Time moves in so many calls at most.
const CALLS_MAX: usize = 1_000;

impl Player {
    pub fn new(wasm: &[u8]) -> Result<Self> {
        let none: Arc<dyn ModuleStore> = Arc::new(|_: &str| None);
        let host = Host::new(&HostOptions { instances: 4, ..HostOptions::default() }, none)?;
        let compiled = host.compile(wasm).map_err(|refusal| anyhow!("{refusal}"))?;
        let manifest = compiled.inspected.manifest.clone();
        Ok(Self { host, digest: compiled.inspected.digest.clone(), manifest })
    }

    /// Plays a case and compares.
    pub fn check(&self, case: &Value) -> Verdict {
        let stages = match stages(case, 0, &mut Build::default()) {
            Ok(stages) => stages,
            Err(Unsupported(why)) => return Verdict::Unsupported(why),
        };
        let started = case["construct_at"].as_f64().unwrap_or(0.0);
        let inputs: Vec<Value> = case["inputs"].as_array().into_iter().flatten().map(normal).collect();
        let played = match self.play(stages, started, &inputs) {
            Ok(played) => played,
            Err(error) => return Verdict::Failed(format!("  {error:#}")),
        };
        if case.get("expected_error").is_some() {
            return played.expects_error(case);
        }
        if let Some(refused) = &played.refused {
            return Verdict::Failed(format!("  the pipeline is refused: {refused}"));
        }
        match Compare::of(case).check(case, &played) {
            Ok(()) => Verdict::Passed,
            Err(how) => Verdict::Failed(how),
        }
    }

    /// Runs a pipeline over inputs: `{"advance_to": t}` moves the clock, everything else is an event or another value.
    pub fn play(&self, stages: Vec<Value>, started: f64, inputs: &[Value]) -> Result<Played> {
        // Events that the wire can carry go as rows. For what it cannot carry, all of them go as JSON.
        let plain = inputs.iter().filter(|input| !is_move(input)).all(is_plain);
        let mut all = vec![json!({ "where": { "not": { "tagged": [FIRST] } } })];
        if !plain {
            all.push(json!({ "parse": "value" }));
        }
        all.extend(stages);
        let pipeline = json!({ "semantics": "riemann", "stage": all }).to_string();
        let names = names(&pipeline);
        let to: BTreeMap<String, String> = names.iter().map(|name| (name.clone(), name.clone())).collect();
        let set = BTreeMap::from([("pipeline".to_owned(), pipeline)]);
        let resolved = self.manifest.resolve(&set, &to).map_err(|error| anyhow!(error))?;
        let outputs = resolved.outputs.clone();
        let mut rule = self.manifest.rule(&self.digest, resolved);
        rule.limits = Limits { deadline_ms: 10_000, ..rule.limits };
        let mut runner = Runner::<Standard>::new();
        let mut played = Played { outputs: Vec::new(), errors: Vec::new(), refused: None };
        if let Err(refused) = runner.bind(0, &rule.settings) {
            played.refused = Some(refused);
            return Ok(played);
        }
        let wasm = self.host.guest(&rule).map_err(|fault| anyhow!("{fault}"))?;
        let mut guest = Both { wasm, native: Native::linked(runner) };
        let mut now = started;
        let first = NewEvent {
            service: Some("cases"),
            tags: &[FIRST],
            time: Some(moment(now)),
            ..NewEvent::default()
        };
        let mut rows = BatchBuilder::new();
        rows.push(&first);
        for input in inputs {
            match input.get("advance_to").and_then(Value::as_f64).filter(|_| is_move(input)) {
                Some(to) if to > now => {
                    hand_over(&mut guest, std::mem::take(&mut rows), now, &outputs, &mut played)?;
                    now = to;
                    move_on(&mut guest, now, &outputs, &mut played)?;
                }
                Some(_) => {}
                None if plain => push_plain(&mut rows, input),
                None => {
                    let json = input.to_string();
                    let more = [("value", json.as_str())];
                    rows.push(&NewEvent {
                        attributes: &more,
                        time: Some(moment(now)),
                        ..NewEvent::default()
                    });
                }
            }
        }
        hand_over(&mut guest, rows, now, &outputs, &mut played)?;
        Ok(played)
    }
}

fn moment(secs: f64) -> Timestamp {
    Timestamp::from_secs_f64(secs)
}

fn is_move(input: &Value) -> bool {
    input.as_object().is_some_and(|map| map.len() == 1 && map.contains_key("advance_to"))
}

/// Whether an event survives the wire unchanged.
fn is_plain(input: &Value) -> bool {
    let Some(map) = input.as_object() else { return false };
    map.contains_key("time")
        && map.iter().all(|(name, value)| match (name.as_str(), value) {
            ("host" | "service" | "state" | "description", value) => value.is_string(),
            ("metric", value) => value.is_number(),
            ("time", value) => value.as_f64().is_some_and(|secs| secs >= 0.0),
            ("ttl", value) => value.as_f64().is_some_and(|ttl| f64::from(ttl as f32) == ttl),
            ("tags", value) => {
                value.as_array().is_some_and(|tags| !tags.is_empty() && tags.iter().all(Value::is_string))
            }
            (_, value) => value.is_string(),
        })
}

fn push_plain(rows: &mut BatchBuilder, input: &Value) {
    let text = |name: &str| input[name].as_str();
    let tags: Vec<&str> = input["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let standard = ["host", "service", "state", "description", "metric", "time", "ttl", "tags"];
    let more: Vec<(&str, &str)> = input
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !standard.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .collect();
    let metric = &input["metric"];
    rows.push(&NewEvent {
        host: text("host"),
        service: text("service"),
        state: text("state"),
        description: text("description"),
        metric: metric.as_i64().map(Into::into).or(metric.as_f64().map(Into::into)),
        time: input["time"].as_f64().map(moment),
        ttl: input["ttl"].as_f64().map(|ttl| ttl as f32),
        tags: &tags,
        attributes: &more,
        ..NewEvent::default()
    });
}

/// The outputs that a pipeline mentions.
fn names(pipeline: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut waiting: Vec<Value> = serde_json::from_str(pipeline).into_iter().collect();
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(list) => waiting.extend(list),
            Value::Object(map) => {
                if let (Some(Value::String(name)), true) = (map.get("to"), map.contains_key("as")) {
                    names.push(name.clone());
                }
                waiting.extend(map.into_iter().map(|(_, value)| value));
            }
            _ => {}
        }
    }
    names.sort();
    names.dedup();
    names
}

/// The rule as wasm and linked in.
struct Both<W, N> {
    wasm: W,
    native: N,
}

impl<W: Guest, N: Guest> Both<W, N> {
    fn call(&mut self, batch: &Batch) -> Result<Reply> {
        let (mut reply, mut other) = (Reply::default(), Reply::default());
        self.wasm.call(batch, &mut reply).map_err(|fault| anyhow!("{fault}"))?;
        self.native.call(batch, &mut other).map_err(|fault| anyhow!("linked in: {fault}"))?;
        let same = reply.record_bytes() == other.record_bytes()
            && reply.string_bytes() == other.string_bytes()
            && (reply.next_wake, reply.keys) == (other.next_wake, other.keys);
        if !same {
            bail!("linked in, the rule gives other bytes than as wasm");
        }
        Ok(reply)
    }
}

/// Hands over what came at a moment. What is due at this very moment waits until time moves.
fn hand_over<W: Guest, N: Guest>(
    guest: &mut Both<W, N>,
    rows: BatchBuilder,
    now: f64,
    outputs: &[(String, String)],
    played: &mut Played,
) -> Result<()> {
    let mut batch = rows.finish();
    batch.header.now = moment(now);
    take(&guest.call(&batch)?, outputs, played)
}

/// Moves time to a moment, through all that is due until then.
fn move_on<W: Guest, N: Guest>(
    guest: &mut Both<W, N>,
    now: f64,
    outputs: &[(String, String)],
    played: &mut Played,
) -> Result<()> {
    let mut batch = Batch::default();
    batch.header.now = moment(now);
    for _ in 0..CALLS_MAX {
        let reply = guest.call(&batch)?;
        take(&reply, outputs, played)?;
        if reply.next_wake > batch.header.now {
            return Ok(());
        }
    }
    bail!("after {CALLS_MAX} calls there is still something due before {now} s")
}

fn take(reply: &Reply, outputs: &[(String, String)], played: &mut Played) -> Result<()> {
    for effect in reply.read().effects() {
        let effect = effect.map_err(|error| anyhow!("the reply: {error}"))?;
        let mut value = None;
        for part in effect.overrides() {
            match part {
                Override::Attribute("value", json) => value = Some(json.to_owned()),
                Override::Text(tidegate_event::Field::Description, text)
                    if effect.record.action == Action::Log =>
                {
                    played.errors.push(text.to_owned());
                }
                _ => {}
            }
        }
        if effect.record.action == Action::Forward {
            let (name, _) = outputs.get(effect.record.target as usize).context("an output that is there")?;
            let json = value.context("the JSON of what reached the output")?;
            played.outputs.push((name.clone(), serde_json::from_str(&json)?));
        }
    }
    Ok(())
}
