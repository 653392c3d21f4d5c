//! A case's description of a stream becomes a pipeline of the `standard` rule.

use serde_json::{Map, Value, json};

/// What went wrong: the stream has no stage.
pub struct Unsupported(pub String);

type Stages = Result<Vec<Value>, Unsupported>;

/// The stages for a stream description. `deep` counts the branches around it, `forks` the outputs of forks so far.
pub fn stages(spec: &Value, deep: usize, forks: &mut usize) -> Stages {
    if let Some(out) = spec["out"].as_str() {
        return Ok(vec![json!({ "to": out, "as": "json" })]);
    }
    if spec["out_fork"] == json!(true) {
        *forks += 1;
        return Ok(vec![json!({ "to": format!("fork:{}", *forks - 1), "as": "json" })]);
    }
    if spec["next"] == json!(true) {
        return Ok(vec![json!({ "next": deep })]);
    }
    let name = spec["stream"].as_str().ok_or_else(|| Unsupported(format!("no stream in {spec}")))?;
    let children = children(spec, deep, forks)?;
    let empty = Map::new();
    let params = spec["params"].as_object().unwrap_or(&empty);
    let p = |name: &str| params.get(name).cloned().unwrap_or(Value::Null);
    let mut branch = |spec: &Value| stages(spec, deep + 1, forks);
    let stage = match name {
        "smap" | "smap*" | "smapcat" => json!({ name: p("f") }),
        "sdo" | "bit-bucket" => return Ok(children),
        "sflatten" | "expired" | "not-expired" | "clock-skew" | "changed-state" | "sum-over-time" | "mean-over-time" => {
            json!({ name: true })
        }
        "sreduce" => with(json!({ "sreduce": p("f") }), params, &[("init", "init")]),
        "counter" => json!({ "counter": params.get("init").cloned().unwrap_or(json!(true)) }),
        "match" => json!({ "match": p("f"), "value": p("value") }),
        "tag" | "untag" => json!({ name: p("tags") }),
        "tagged" | "tagged-all" => json!({ "tagged": p("tags") }),
        "tagged-any" => json!({ "tagged-any": p("tags") }),
        "where" | "where*" => {
            let mut stage = json!({ "where": p("pred") });
            if let Some(otherwise) = params.get("else").and_then(Value::as_array) {
                stage["else"] = json!([{ "each": otherwise.iter().map(|spec| stages(spec, deep + 2, forks)).collect::<Result<Vec<_>, _>>()? }]);
            }
            stage
        }
        "split" | "split*" | "splitp" => {
            let mut clauses = Vec::new();
            for clause in p("clauses").as_array().into_iter().flatten() {
                let key = if name == "splitp" { "value" } else { "where" };
                clauses.push(json!({ key: clause[0], "then": branch(&clause[1])? }));
            }
            let mut stage = if name == "splitp" {
                json!({ "splitp": p("op"), "f": p("expr"), "clauses": clauses })
            } else {
                json!({ "split": clauses })
            };
            if let Some(default) = params.get("default") {
                stage["else"] = branch(default)?.into();
            }
            stage
        }
        "dual" => json!({ "dual": p("pred"), "then": branch(&p("true"))?, "else": branch(&p("false"))? }),
        "default" | "with" => json!({ name: p("set") }),
        "adjust" => match params.get("field") {
            Some(field) => json!({ "adjust": field, "f": p("f") }),
            None => json!({ "adjust": p("f") }),
        },
        "scale" => json!({ "scale": p("factor") }),
        "over" | "under" => json!({ name: p("x") }),
        "by" | "by-builder" => json!({ "by": p("fields") }),
        "moving-event-window" | "window" => json!({ "moving-event-window": p("n") }),
        "fixed-event-window" | "moving-time-window" | "fixed-time-window" => json!({ name: p("n") }),
        "fixed-offset-time-window" => json!({ "fixed-time-window": p("n"), "align": "epoch" }),
        "batch" | "throttle" | "rollup" => json!({ name: p("n"), "every": p("dt") }),
        "part-time-simple" => json!({ "batch": 10_000, "every": p("dt"), "edges": true }),
        "coalesce" => json!({ "coalesce": params.get("dt").cloned().unwrap_or(json!(1)) }),
        "project" | "project*" => json!({ "project": params.get("basis").cloned().unwrap_or_default() }),
        "fold-interval" => json!({ "fold-interval": p("interval"), "field": p("field"), "f": p("f") }),
        "fold-interval-metric" => json!({ "fold-interval": p("interval"), "f": p("f") }),
        "rate" | "interpolate-constant" => json!({ name: p("interval") }),
        "percentiles" => {
            let points = params.get("points").or(params.get("named_points")).cloned().unwrap_or_default();
            json!({ "percentiles": points, "every": p("interval") })
        }
        "ddt" => json!({ "ddt": params.get("interval").cloned().unwrap_or(json!(true)) }),
        "ewma-timeless" => json!({ name: p("r") }),
        "ewma" => json!({ name: p("halflife") }),
        "top" => {
            let mut stage = with(json!({ "top": p("k"), "f": p("f") }), params, &[("demote", "demote")]);
            if let Some(bottom) = params.get("bottom") {
                stage["bottom"] = branch(bottom)?.into();
            }
            stage
        }
        "apdex" | "apdex*" => {
            json!({ "apdex": p("dt"), "satisfied": p("satisfied"), "tolerated": p("tolerated") })
        }
        "predict-linear" => with(json!({ name: p("n"), "ahead": p("s") }), params, &[("r", "reuse")]),
        "fill-in" => json!({ name: p("interval"), "event": p("event") }),
        "fill-in-last" => {
            let set = params.get("set").or(params.get("map")).or(params.get("update")).or(params.get("event"));
            json!({ name: p("interval"), "set": set.cloned().unwrap_or(json!({})) })
        }
        "changed" => with(json!({ name: p("f") }), params, &[("init", "init"), ("pairs", "pairs")]),
        "stable" => json!({ name: p("dt"), "f": p("f") }),
        "runs" => json!({ name: p("n"), "field": p("field") }),
        "pipe" => {
            let mut all = Vec::new();
            for stage in p("stages").as_array().into_iter().flatten() {
                all.push(json!({ "each": [branch_of_pipe(stage, forks)?] }));
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

/// A stage of a pipe: `next` in it is what comes behind it.
fn branch_of_pipe(spec: &Value, forks: &mut usize) -> Stages {
    stages(spec, 1, forks)
}

fn children(spec: &Value, deep: usize, forks: &mut usize) -> Stages {
    match spec["children"].as_array().map(Vec::as_slice) {
        // Within a pipe a stream without children passes on where its marker stands, and to nobody if it has none.
        None if deep > 0 => Ok(Vec::new()),
        None => Ok(vec![json!({ "to": "main", "as": "json" })]),
        Some([]) => Ok(Vec::new()),
        Some([one]) => stages(one, deep, forks),
        Some(more) => {
            let branches = more.iter().map(|spec| stages(spec, deep + 1, forks)).collect::<Result<Vec<_>, _>>()?;
            Ok(vec![json!({ "each": branches })])
        }
    }
}

/// Adds the parameters that are given, under our names.
fn with(mut stage: Value, params: &Map<String, Value>, names: &[(&str, &str)]) -> Value {
    for (theirs, ours) in names {
        if let Some(value) = params.get(*theirs) {
            stage[*ours] = value.clone();
        }
    }
    stage
}
