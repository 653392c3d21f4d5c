//! A case's description of a stream becomes a pipeline of the `standard` rule. What a parameter is called is taken liberally.

use serde_json::{Map, Value, json};

/// What went wrong: the stream has no stage.
pub struct Unsupported(pub String);

type Stages = Result<Vec<Value>, Unsupported>;

/// How long a model lasts that is used again for some time of the real clock: a case is played in none of it.
const REAL_TIME: f64 = 1e9;

/// What is known while stages are made.
#[derive(Default)]
pub struct Build {
    /// The outputs of forks so far.
    forks: usize,
    /// Streams without children pass on to the next stage of the pipe that they stand in.
    ends_pass_on: bool,
}

/// The stages for a stream description. `deep` counts the branches around it.
pub fn stages(spec: &Value, deep: usize, build: &mut Build) -> Stages {
    if let Some(out) = spec["out"].as_str() {
        return Ok(vec![json!({ "to": out, "as": "json" })]);
    }
    if spec["out_fork"] == json!(true) {
        build.forks += 1;
        return Ok(vec![json!({ "to": format!("fork:{}", build.forks - 1), "as": "json" })]);
    }
    if spec["next"] == json!(true) {
        return Ok(vec![json!({ "next": deep })]);
    }
    let name = spec["stream"].as_str().ok_or_else(|| Unsupported(format!("no stream in {spec}")))?;
    let children = children(spec, deep, build)?;
    let empty = Map::new();
    let params = spec["params"].as_object().unwrap_or(&empty);
    let p = |names: &str| given(params, names).cloned().unwrap_or(Value::Null);
    let dt = || p("dt interval n every");
    let mut branch = |spec: &Value| several(spec, deep + 1, build);
    let stage = match name {
        "smap" | "smap*" | "smapcat" => json!({ name: p("f") }),
        "sdo" | "bit-bucket" => return Ok(children),
        "sflatten" | "expired" | "not-expired" | "clock-skew" | "sum-over-time" | "mean-over-time" => {
            json!({ name: true })
        }
        // For each host and service its own, and of all that is behind it.
        "changed-state" => {
            let changed = with(json!({ "changed": "state" }), params, &["init", "pairs"]);
            let mut all = vec![json!({ "by": ["host", "service"] }), changed];
            all.extend(children);
            return Ok(all);
        }
        "sreduce" => with(json!({ "sreduce": p("f") }), params, &["init"]),
        "counter" => {
            json!({ "counter": given(params, "init").unwrap_or(&json!(true)) })
        }
        "match" => json!({ "match": p("f field"), "value": p("value") }),
        "tag" | "untag" | "tagged-any" => json!({ name: p("tags tag") }),
        "tagged" | "tagged-all" => json!({ "tagged": p("tags tag") }),
        "where" | "where*" => {
            let mut stage = json!({ "where": p("pred f expr") });
            if let Some(otherwise) = given(params, "else").or(spec.get("else")) {
                stage["else"] = branch(otherwise)?.into();
            }
            stage
        }
        "split" | "split*" | "splitp" => {
            let mut clauses = Vec::new();
            for clause in p("clauses").as_array().into_iter().flatten() {
                let key = if name == "splitp" { "value" } else { "where" };
                let [test, then] = match clause.as_array().map(Vec::as_slice) {
                    Some([test, then]) => [test, then],
                    _ => [named(clause, "pred test value const"), named(clause, "stream then child")],
                };
                clauses.push(json!({ key: test, "then": branch(then)? }));
            }
            let mut stage = if name == "splitp" {
                json!({ "splitp": op(&p("op pred")), "f": p("expr f field"), "clauses": clauses })
            } else {
                json!({ "split": clauses })
            };
            if let Some(default) = given(params, "default else") {
                stage["else"] = branch(default)?.into();
            }
            stage
        }
        "dual" => json!({ "dual": p("pred f"), "then": branch(&p("true"))?, "else": branch(&p("false"))? }),
        "default" | "with" => json!({ name: set(params) }),
        "adjust" => match params.get("field") {
            Some(field) => json!({ "adjust": field, "f": p("f") }),
            None => json!({ "adjust": p("f") }),
        },
        "scale" => json!({ "scale": p("factor") }),
        "over" | "under" => json!({ name: p("x") }),
        "by" | "by-builder" => json!({ "by": p("fields field f") }),
        "moving-event-window" | "window" => json!({ "moving-event-window": p("n") }),
        "fixed-event-window" | "moving-time-window" | "fixed-time-window" => {
            json!({ name: p("n dt interval") })
        }
        "fixed-offset-time-window" => json!({ "fixed-time-window": p("n dt interval"), "align": "epoch" }),
        "batch" | "throttle" | "rollup" => json!({ name: p("n"), "every": p("dt interval") }),
        "part-time-simple" => json!({ "batch": 10_000, "every": dt(), "edges": true }),
        "coalesce" => json!({ "coalesce": given(params, "dt interval").unwrap_or(&json!(1)) }),
        "project" | "project*" => json!({ "project": p("basis predicates preds fs") }),
        "fold-interval" => json!({ "fold-interval": dt(), "field": p("field event_key"), "f": p("f") }),
        "fold-interval-metric" => json!({ "fold-interval": dt(), "f": p("f") }),
        "rate" | "interpolate-constant" => json!({ name: dt() }),
        "percentiles" => json!({ "percentiles": p("points named_points"), "every": dt() }),
        "ddt" => json!({ "ddt": given(params, "interval dt n").unwrap_or(&json!(true)) }),
        "ewma-timeless" => json!({ name: p("r") }),
        "ewma" => json!({ name: p("halflife half_life") }),
        "top" => {
            let mut stage = with(json!({ "top": p("k n") }), params, &["f", "demote"]);
            if let Some(bottom) = given(params, "bottom") {
                stage["bottom"] = branch(bottom)?.into();
            }
            stage
        }
        "apdex" | "apdex*" => {
            json!({ "apdex": dt(), "satisfied": p("satisfied"), "tolerated": p("tolerated") })
        }
        "predict-linear" => {
            let reuse = if p("r").as_f64().is_some_and(|r| r > 0.0) { REAL_TIME } else { 0.0 };
            json!({ name: p("n"), "ahead": p("s"), "reuse": reuse })
        }
        "fill-in" => json!({ name: dt(), "event": p("event default") }),
        "fill-in-last" | "fill-in-last*" => {
            let mut stage = json!({ "fill-in-last": dt() });
            match (given(params, "set map update event data"), given(params, "f")) {
                (Some(set), _) => stage["set"] = set.clone(),
                (None, Some(f)) if is_function(f) => stage["f"] = f.clone(),
                (None, f) => stage["set"] = f.and_then(|f| f.get("set")).or(f).cloned().unwrap_or(json!({})),
            }
            stage
        }
        "changed" => with(json!({ name: p("f pred field") }), params, &["init", "pairs"]),
        "stable" => json!({ name: dt(), "f": p("f field") }),
        "runs" => json!({ name: p("n"), "field": p("field f") }),
        "pipe" => {
            let mut all = Vec::new();
            for stage in p("stages").as_array().into_iter().flatten() {
                let around = std::mem::replace(&mut build.ends_pass_on, !marks(stage));
                all.push(json!({ "each": [several(stage, 1, build)?] }));
                build.ends_pass_on = around;
            }
            all.extend(children);
            return Ok(all);
        }
        other => return Err(Unsupported(format!("there is no stage for `{other}`"))),
    };
    let mut all = vec![stage];
    all.extend(children);
    Ok(all)
}

/// Streams without children: what they pass on goes to `main`. Within a pipe it goes to the next stage instead, unless the
/// stage says where that stands.
fn children(spec: &Value, deep: usize, build: &mut Build) -> Stages {
    match &spec["children"] {
        Value::Null
            if matches!(
                spec["stream"].as_str(),
                Some("bit-bucket" | "split" | "split*" | "splitp" | "dual")
            ) =>
        {
            Ok(Vec::new())
        }
        Value::Null if build.ends_pass_on => Ok(vec![json!({ "next": deep })]),
        Value::Null => Ok(vec![json!({ "to": "main", "as": "json" })]),
        children => several(children, deep, build),
    }
}

/// A stream, or a list of them.
fn several(specs: &Value, deep: usize, build: &mut Build) -> Stages {
    match specs {
        Value::Array(list) => match &list[..] {
            [] => Ok(Vec::new()),
            [one] => stages(one, deep, build),
            more => {
                let branches =
                    more.iter().map(|spec| stages(spec, deep + 1, build)).collect::<Result<Vec<_>, _>>()?;
                Ok(vec![json!({ "each": branches })])
            }
        },
        Value::Null => Ok(Vec::new()),
        one => stages(one, deep, build),
    }
}

/// Whether a stage of a pipe says where it passes on, or where else it sends.
fn marks(spec: &Value) -> bool {
    match spec {
        Value::Array(list) => list.iter().any(marks),
        Value::Object(map) => {
            map.get("next") == Some(&json!(true))
                || (map.get("out").is_some_and(Value::is_string) && !map.contains_key("stream"))
                || map.get("out_fork") == Some(&json!(true))
                || map.values().any(marks)
        }
        _ => false,
    }
}

/// A parameter by the first of these names that is there.
fn given<'p>(params: &'p Map<String, Value>, names: &str) -> Option<&'p Value> {
    names.split(' ').find_map(|name| params.get(name).filter(|value| !value.is_null()))
}

fn named<'v>(value: &'v Value, names: &str) -> &'v Value {
    names.split(' ').find_map(|name| value.get(name)).unwrap_or(&Value::Null)
}

/// The fields to set: a table of them, or a field and its value.
fn set(params: &Map<String, Value>) -> Value {
    match (given(params, "set map"), given(params, "field").and_then(Value::as_str)) {
        (None, Some(field)) => json!({ field: params.get("value") }),
        (set, _) => set.cloned().unwrap_or(json!({})),
    }
}

fn is_function(f: &Value) -> bool {
    let functions =
        ["field", "identity", "const", "add", "multiply", "duplicate", "append", "count_into", "fold"];
    f.as_object().is_some_and(|map| functions.iter().any(|name| map.contains_key(*name)))
}

/// An operator under our name.
fn op(op: &Value) -> Value {
    match op.as_str() {
        Some("==") => json!("="),
        Some("not=") => json!("!="),
        _ => op.clone(),
    }
}

/// Adds the parameters that are given.
fn with(mut stage: Value, params: &Map<String, Value>, names: &[&str]) -> Value {
    for name in names {
        // For the beginning, null is a value.
        if let Some(value) = params.get(*name).filter(|value| *name == "init" || !value.is_null()) {
            stage[*name] = value.clone();
        }
    }
    stage
}
