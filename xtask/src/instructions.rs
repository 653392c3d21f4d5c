//! `cargo xtask instructions`: how many instructions each stage takes, against what was accepted.
//!
//! Times differ from run to run and from machine to machine; under callgrind a count repeats to the last digit, as long as
//! the compiler and the dependencies are the same. So more than a twentieth above what was accepted is a failure, in CI
//! as well, and not a matter of luck. A change that is worth its price is accepted with `--accept`, which writes
//! `benches/instructions.json` anew; the diff then shows the price to whoever reviews it.

use crate::program::{Workspace, cargo, output, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Programs without which nothing can be counted.
pub const NEEDS: &[&str] = &["valgrind", "gungraun-runner"];

/// How far a count may be off what was accepted, in parts of a hundred.
const PERCENT: u64 = 5;

/// Instructions by stage.
type Counts = BTreeMap<String, u64>;

fn accepted() -> PathBuf {
    root().join("benches/instructions.json")
}

/// Counts, and compares with what was accepted.
pub fn check(workspace: &Workspace) -> Result<()> {
    let text = std::fs::read_to_string(accepted())
        .with_context(|| format!("{} cannot be read", accepted().display()))?;
    let before: Counts = serde_json::from_str(&text).context("benches/instructions.json")?;
    let verdict = compare(&before, &count(workspace)?);
    println!("{}", verdict.table);
    for warning in &verdict.warnings {
        println!("warning: {warning}");
    }
    if !verdict.failures.is_empty() {
        bail!(
            "{}; if it is worth that, `cargo xtask instructions --accept` and commit benches/instructions.json",
            verdict.failures.join("; ")
        );
    }
    Ok(())
}

/// Counts, and accepts what comes out.
pub fn accept(workspace: &Workspace) -> Result<()> {
    let counts = count(workspace)?;
    let before = std::fs::read_to_string(accepted()).unwrap_or_default();
    println!("{}", compare(&serde_json::from_str(&before).unwrap_or_default(), &counts).table);
    let text = serde_json::to_string_pretty(&counts)? + "\n";
    std::fs::write(accepted(), text).with_context(|| format!("{} cannot be written", accepted().display()))
}

fn count(workspace: &Workspace) -> Result<Counts> {
    let missing: Vec<_> = NEEDS.iter().filter(|name| crate::program::find(name).is_none()).copied().collect();
    if !missing.is_empty() {
        bail!("not installed: {}; .ci/run shows how they are installed", missing.join(", "));
    }
    // What was counted before is not looked at: the accepted counts are those of benches/instructions.json.
    let home = workspace.target.join("instructions");
    if home.exists() {
        std::fs::remove_dir_all(&home).with_context(|| format!("{} cannot be removed", home.display()))?;
    }
    let mut bench = cargo(&["bench", "--locked", "--bench", "stages", "--", "--output-format=json"]);
    bench.current_dir(root().join("benches/instructions"));
    // A folder of its own: these crates are built here with other features, and a rule's library has the same file name
    // whatever it was built with.
    let folder = workspace.target.join("instructions-build");
    bench.env("CARGO_TARGET_DIR", folder).env("GUNGRAUN_HOME", home);
    let counts = read(&output(bench)?)?;
    if counts.is_empty() {
        bail!("gungraun counted nothing");
    }
    Ok(counts)
}

/// The counts in gungraun's output, a line of JSON for each.
fn read(lines: &str) -> Result<Counts> {
    let mut counts = Counts::new();
    for line in lines.lines().filter(|line| line.starts_with('{')) {
        let summary: Value = serde_json::from_str(line).context("a line of gungraun's is not JSON")?;
        let name = |field: &str| summary[field].as_str().unwrap_or_default();
        let stage = format!("{}/{}", name("function_name"), name("id"));
        let values = &summary["profiles"][0]["data"]["total"]["metrics"]["Ir"]["values"];
        let count = values["new"].as_u64().with_context(|| format!("{stage}: no count in {summary}"))?;
        counts.insert(stage, count);
    }
    Ok(counts)
}

#[derive(Debug, Default)]
struct Verdict {
    table: String,
    warnings: Vec<String>,
    failures: Vec<String>,
}

fn compare(before: &Counts, now: &Counts) -> Verdict {
    let mut verdict = Verdict::default();
    let width = now.keys().map(String::len).max().unwrap_or_default();
    for (stage, &count) in now {
        let Some(&was) = before.get(stage) else {
            verdict.table += &format!("{stage:width$}  {count:>12}  new\n");
            verdict.failures.push(format!("{stage} has no accepted count"));
            continue;
        };
        let percent = (count as f64 / was as f64 - 1.0) * 100.0;
        verdict.table += &format!("{stage:width$}  {count:>12}  {percent:+.2} %\n");
        let change = format!("{stage} takes {count} instructions, {was} were accepted ({percent:+.1} %)");
        if count * 100 > was * (100 + PERCENT) {
            verdict.failures.push(change);
        } else if count * 100 < was * (100 - PERCENT) {
            verdict.warnings.push(format!("{change}: accept it, so that it stays so"));
        }
    }
    for stage in before.keys().filter(|stage| !now.contains_key(*stage)) {
        verdict.failures.push(format!("{stage} was accepted and is not counted any more"));
    }
    verdict.table.truncate(verdict.table.trim_end().len());
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> Counts {
        of.iter().map(|(stage, count)| ((*stage).to_owned(), *count)).collect()
    }

    #[test]
    fn a_twentieth_more_fails_and_names_the_stage() {
        let before = counts(&[("decode/frames", 1000), ("stamp/events", 1000), ("step/index", 1000)]);
        let now = counts(&[("decode/frames", 1051), ("stamp/events", 1050), ("step/index", 949)]);
        let verdict = compare(&before, &now);
        assert_eq!(verdict.failures, ["decode/frames takes 1051 instructions, 1000 were accepted (+5.1 %)"]);
        assert_eq!(
            verdict.warnings,
            [
                "step/index takes 949 instructions, 1000 were accepted (-5.1 %): accept it, so that it stays so"
            ]
        );
        assert_eq!(
            verdict.table,
            "decode/frames          1051  +5.10 %\nstamp/events           1050  +5.00 %\nstep/index              949  -5.10 %"
        );
    }

    #[test]
    fn a_stage_that_is_new_or_gone_is_not_passed_over() {
        let verdict = compare(&counts(&[("gone/x", 5)]), &counts(&[("new/x", 5)]));
        assert_eq!(
            verdict.failures,
            ["new/x has no accepted count", "gone/x was accepted and is not counted any more"]
        );
    }

    #[test]
    fn counts_are_read_from_what_gungraun_says() {
        let line = r#"{"function_name":"decode","id":"frames","profiles":[{"data":{"total":{"metrics":{"Ir":{"values":{"new":1069940}}}}}}]}"#;
        assert_eq!(
            read(&format!("stages: running\n{line}\n")).unwrap(),
            counts(&[("decode/frames", 1_069_940)])
        );
        assert!(read(r#"{"function_name":"decode","id":"frames","profiles":[]}"#).is_err());
    }

    #[test]
    fn the_accepted_counts_can_be_read() {
        let text = std::fs::read_to_string(accepted()).unwrap();
        assert!(serde_json::from_str::<Counts>(&text).unwrap().contains_key("decode/frames"));
    }
}
