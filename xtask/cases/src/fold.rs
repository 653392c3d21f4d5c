//! Plays one fold case: a pipeline of one stage, which folds the one list that comes.

use crate::Verdict;
use crate::compare::{Compare, normal};
use crate::play::Player;
use serde_json::{Value, json};

pub fn check(player: &Player, case: &Value) -> Verdict {
    let mut f = case["params"].as_object().cloned().unwrap_or_default();
    f.insert("fold".to_owned(), case["fold"].clone());
    let stages = vec![json!({ "smap*": f }), json!({ "to": "main", "as": "json" })];
    let mut inputs = vec![json!({ "advance_to": case["clock"].as_f64().unwrap_or(0.0) })];
    inputs.push(normal(&case["input"]));
    let played = match player.play(stages, 0.0, &inputs) {
        Ok(played) => played,
        Err(error) => return Verdict::Failed(format!("  {error:#}")),
    };
    if case.get("expected_error").is_some() {
        return played.expects_error(case);
    }
    if let Some(refused) = &played.refused {
        return Verdict::Failed(format!("  the pipeline is refused: {refused}"));
    }
    let [(_, got)] = &played.outputs[..] else {
        return Verdict::Failed(format!(
            "  one result was expected, got {:?}, {:?}",
            played.outputs, played.errors
        ));
    };
    let compare = Compare::of(case);
    let fits = match case.get("one_of").and_then(Value::as_array) {
        Some(any) => any.iter().any(|wanted| compare.same(&normal(wanted), got)),
        None => {
            let wanted = normal(&case["expected"]);
            match (&wanted, got, case["compare"].as_str()) {
                (Value::Array(wanted), Value::Array(got), Some("set")) => compare.as_sets(wanted, got),
                _ => compare.same(&wanted, got),
            }
        }
    };
    match fits {
        true => Verdict::Passed,
        false => Verdict::Failed(format!(
            "  expected  {}\n  got       {got}",
            case.get("expected").unwrap_or(&case["one_of"])
        )),
    }
}
