//! Cases of what Riemann does: streams are played through the `standard` rule as wasm, queries through the matcher.
//!
//! `cargo xtask cases FILE…` builds the rule and starts this with it. Each case that fails is printed with what was expected
//! and what came; then one line counts them. Where we differ by design, `deviations.toml` says why.

mod compare;
mod deviations;
mod fold;
mod play;
mod query;
mod stage;

use anyhow::{Context, Result, bail};
use deviations::Deviations;
use serde_json::Value;
use std::path::Path;
use std::process::ExitCode;

/// What became of a case.
enum Verdict {
    Passed,
    /// What was expected and what came.
    Failed(String),
    /// Why it cannot be played.
    Unsupported(String),
}

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[String]) -> Result<bool> {
    let [module, files @ ..] = words else { bail!("the rule's module and files of cases were expected") };
    if files.is_empty() {
        bail!("at least one file of cases was expected");
    }
    let wasm = std::fs::read(module).with_context(|| format!("the module {module} cannot be read"))?;
    let player = play::Player::new(&wasm)?;
    let deviations = Deviations::read()?;
    let (mut passed, mut failed, mut unsupported, mut by_design) = (0, 0, 0, 0);
    for file in files {
        let text = std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?;
        let cases: Value = serde_json::from_str(&text).with_context(|| format!("{file} is not JSON"))?;
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (id, case, verdict) in all(&player, &cases) {
            match verdict {
                Verdict::Passed => passed += 1,
                Verdict::Failed(how) => match deviations.reason(case, &how) {
                    Some(reason) => {
                        by_design += 1;
                        println!("differs by design  {name} {id}: {reason}");
                    }
                    None => {
                        failed += 1;
                        println!("FAILED  {name} {id}\n  {case}\n{how}\n");
                    }
                },
                Verdict::Unsupported(why) => {
                    unsupported += 1;
                    println!("unsupported  {name} {id}: {why}");
                }
            }
        }
    }
    if by_design > 0 {
        println!("{by_design} differ by design");
        for entry in deviations.unused() {
            println!("deviations.toml: no case needs this entry any more: {entry}");
        }
    }
    println!("{passed} passed, {failed} failed, {unsupported} unsupported");
    Ok(failed == 0)
}

/// Every case of a file, with its name and what became of it.
fn all<'c>(player: &play::Player, cases: &'c Value) -> Vec<(String, &'c Value, Verdict)> {
    let list = |name: &str| cases[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = |case: &Value, number: usize| {
        let id = case["id"].as_str().or(case["query"].as_str()).map(str::to_owned);
        id.unwrap_or_else(|| format!("number {}", number + 1))
    };
    let mut all = Vec::new();
    for (number, case) in list("cases").iter().enumerate() {
        let verdict = if case.get("query").is_some() { query::check(case) } else { player.check(case) };
        all.push((named(case, number), case, verdict));
    }
    for (number, case) in list("fold_cases").iter().enumerate() {
        all.push((named(case, number), case, fold::check(player, case)));
    }
    for (number, case) in list("syntax_trees").iter().chain(list("ast_cases")).enumerate() {
        all.push((named(case, number), case, query::tree(case)));
    }
    all
}
