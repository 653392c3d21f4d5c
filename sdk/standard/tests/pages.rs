//! The pages for people who write no Rust: every pipeline that they show is read, and played where they say what it does.
//!
//! A `toml` listing (`file=NAME` may stand behind, for `cargo xtask book`) is a pipeline. When the next listing is a `text` listing,
//!
//! - that begins with `at`, it holds a scene, as `docs/rules/testing.md` describes it: the table of events, a line `leaves`, and
//!   what the pipeline does, each output under the name that the pipeline has for it. `leaves nothing` stands for none.
//! - that begins with `error: `, the pipeline is refused with these words, behind the name of the file.
//!
//! `UPDATE_EXPECT=1` writes into the page what pipelines do.

use standard::Standard;
use standard::plan::Plan;
use standard::words::WORDS;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tidegate_testkit::Scene;

/// A listing: its kind, and the lines of the page that it has.
struct Listing {
    kind: String,
    first: usize,
    lines: Vec<String>,
}

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(page(name)).unwrap()
}

fn listings(text: &str) -> Vec<Listing> {
    let mut found: Vec<Listing> = Vec::new();
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), inside) {
            (Some(kind), false) => {
                inside = true;
                found.push(Listing { kind: kind.to_owned(), first: number + 1, lines: Vec::new() });
            }
            (Some(_), true) => inside = false,
            (None, true) => found.last_mut().unwrap().lines.push(line.to_owned()),
            (None, false) => {}
        }
    }
    found
}

/// What a pipeline does about a table of events.
fn play(pipeline: &str, table: &str) -> String {
    let plan = Plan::read(pipeline).unwrap();
    let scene = Scene::<Standard>::new().set("pipeline", pipeline).to("main", "main");
    let scene = plan.outputs.iter().fold(scene, |scene, output| scene.to(output, output));
    let played = scene.play(table);
    if played.transcript().is_empty() {
        "leaves nothing\n".to_owned()
    } else {
        format!("leaves\n{}", played.transcript())
    }
}

/// Plays all of a page; returns how many scenes there are.
fn check(name: &str) -> usize {
    let text = read(name);
    let all = listings(&text);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut scenes = 0;
    // From the end, so that what is written anew moves nothing that is still to be looked at.
    for (number, listing) in
        all.iter().enumerate().rev().filter(|(_, listing)| listing.kind.starts_with("toml"))
    {
        let place = format!("docs/{name}:{}", listing.first);
        let pipeline = listing.lines.join("\n");
        let next = all.get(number + 1).filter(|next| next.kind == "text");
        let said = next.map(|next| next.lines.join("\n")).unwrap_or_default();
        let refused = Plan::read(&pipeline).err();
        if let Some(shown) = said.strip_prefix("error: ") {
            let shown = shown.split_once(": ").map_or(shown, |(_, shown)| shown);
            assert_eq!(refused.as_deref(), Some(shown), "{place}");
            continue;
        }
        assert_eq!(refused, None, "{place}");
        let Some(next) = next.filter(|_| said.starts_with("at")) else { continue };
        let leaves = next.lines.iter().position(|line| line.starts_with("leaves"));
        let leaves =
            leaves.unwrap_or_else(|| panic!("docs/{name}:{}: the scene has no line `leaves`", next.first));
        let found = play(&pipeline, &next.lines[..leaves].join("\n"));
        let shown: String = next.lines[leaves..].iter().fold(String::new(), |all, line| all + line + "\n");
        scenes += 1;
        if found == shown {
            continue;
        }
        assert!(
            std::env::var_os("UPDATE_EXPECT").is_some(),
            "{place}:\n{pipeline}\n\n{found}\nwas found, the page says\n{shown}"
        );
        lines.splice(next.first + leaves..next.first + next.lines.len(), found.lines().map(str::to_owned));
    }
    let written = lines.join("\n") + "\n";
    if written != text {
        std::fs::write(page(name), written).unwrap();
    }
    scenes
}

#[test]
fn pipelines_of_the_page_without_rust_do_what_it_says() {
    assert!(check("rules/without-rust.md") >= 12);
}

#[test]
fn pipelines_of_the_page_for_people_from_riemann_do_what_it_says() {
    assert!(check("coming-from-riemann.md") > 15);
}

#[test]
fn the_pipeline_of_the_start_does_what_it_says() {
    assert_eq!(check("start.md"), 1);
}

/// The reference of all stages, as the page shows it.
fn reference() -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut table = String::from(
        "| stage | written | what it does | remembers, of each key or fork |\n|---|---|---|---|\n",
    );
    for word in WORDS {
        let keeps = if word.keeps.is_empty() { "" } else { word.keeps };
        writeln!(
            table,
            "| `{}` | `{}` | {} | {} |",
            word.name,
            cell(word.written),
            cell(word.does),
            cell(keeps)
        )
        .unwrap();
    }
    table.push_str("| `next` | `next = true` | goes on behind the stage that this is a branch of; `next = 2` leaves two branches | |\n");
    table
}

#[test]
fn the_page_lists_every_stage_as_the_rule_describes_it() {
    let text = read("rules/without-rust.md");
    let (begins, ends) =
        ("<!-- every stage: written by sdk/standard/tests/pages.rs -->\n", "<!-- end of every stage -->");
    let (before, rest) = text.split_once(begins).unwrap();
    let (found, after) = rest.split_once(ends).unwrap();
    if std::env::var_os("UPDATE_EXPECT").is_some() && found != reference() {
        std::fs::write(
            page("rules/without-rust.md"),
            format!("{before}{begins}{}{ends}{after}", reference()),
        )
        .unwrap();
        return;
    }
    assert_eq!(found, reference(), "UPDATE_EXPECT=1 writes it anew");
}

/// Riemann's streams, folds and helpers.
const RIEMANN: &[&str] = &[
    "where",
    "where*",
    "match",
    "tagged",
    "tagged-all",
    "tagged-any",
    "expired",
    "not-expired",
    "over",
    "under",
    "smap",
    "smap*",
    "smapcat",
    "sflatten",
    "sreduce",
    "with",
    "default",
    "adjust",
    "scale",
    "tag",
    "untag",
    "sdo",
    "bit-bucket",
    "split",
    "split*",
    "splitp",
    "by",
    "by-builder",
    "dual",
    "pipe",
    "moving-event-window",
    "window",
    "fixed-event-window",
    "moving-time-window",
    "fixed-time-window",
    "fixed-offset-time-window",
    "batch",
    "coalesce",
    "coalesce-with-event",
    "project",
    "project*",
    "fold-interval",
    "fold-interval-metric",
    "rate",
    "percentiles",
    "counter",
    "ddt",
    "ewma-timeless",
    "ewma",
    "top",
    "apdex",
    "apdex*",
    "predict-linear",
    "clock-skew",
    "sum-over-time",
    "mean-over-time",
    "fill-in",
    "fill-in-last",
    "fill-in-last*",
    "interpolate-constant",
    "changed",
    "changed-state",
    "stable",
    "runs",
    "throttle",
    "rollup",
    "exception-stream",
    "execute-on",
    "async-queue!",
    "reinject",
    "index",
    "publish",
    "subscribe",
    "periodically-until-expired",
    "part-time-fast",
    "part-time-simple",
    "append",
    "register",
    "tap",
    "io",
    "prn",
    "info",
    "forward",
    "deps-tag",
    "sum",
    "product",
    "difference",
    "quotient",
    "quotient-sloppy",
    "sum*",
    "product*",
    "difference*",
    "quotient*",
    "mean",
    "median",
    "mode",
    "modes",
    "minimum",
    "maximum",
    "std-dev",
    "count",
    "extremum",
    "sorted-sample",
    "sorted-sample-extract",
    "fold",
    "fold*",
    "fold-all",
    "non-nil-metrics",
    "event",
    "expire",
    "pkey",
    "localhost",
    "time-at",
    "unix-to-iso8601",
    "iso8601->unix",
    "event-to-json",
    "approx-equal",
    "member?",
    "subset?",
    "overlap?",
    "disjoint?",
    "middle",
    "human-uniq",
    "subject",
    "body",
    "custom-attributes",
    "truncate",
    "truncate-bytes",
    "unix-time",
    "linear-time",
    "once!",
    "after!",
    "every!",
    "defer",
    "cancel",
    "next-tick",
    "reset-time!",
    "set-time!",
    "advance!",
    "thread-service",
    "scheduled-task-service",
    "executor-service",
    "literal-executor-service",
    "threadpool-service",
    "fixed-pool",
    "with-pool",
];

#[test]
fn every_function_of_riemann_has_a_line_on_its_page() {
    let text = read("coming-from-riemann.md");
    let first = |line: &str| {
        line.strip_prefix("| `").and_then(|line| line.split(" |").next()).map(|cell| format!("`{cell}"))
    };
    let cells: Vec<String> = text.lines().filter_map(first).collect();
    let missing: Vec<&&str> =
        RIEMANN.iter().filter(|name| !cells.iter().any(|cell| cell.contains(&format!("`{name}`")))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // All stages but our own have Riemann's names.
    let own = ["each", "parse", "to", "emit", "log"];
    let foreign: Vec<&str> = WORDS
        .iter()
        .map(|word| word.name)
        .filter(|name| !RIEMANN.contains(name) && !own.contains(name))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

/// What stands between backticks in the paragraph that begins like this.
fn words_of(paragraph: &str) -> Vec<String> {
    let text = read("rules/without-rust.md");
    let from = text.find(paragraph).unwrap_or_else(|| panic!("the page has no paragraph {paragraph}"));
    let paragraph = text[from..].split("\n\n").next().unwrap_or_default().replace('\n', " ");
    paragraph.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn predicates_functions_and_folds_of_the_page_are_understood() {
    let reads = |stage: String| {
        let pipeline = format!("[[stage]]\n{stage}\n");
        Plan::read(&pipeline).unwrap_or_else(|error| panic!("{pipeline}{error}"));
    };
    let (tables, tests): (Vec<_>, Vec<_>) = words_of("**Predicates**")
        .into_iter()
        .filter(|word| word != "field")
        .partition(|word| word.starts_with('{'));
    assert!(tables.len() > 5 && tests.len() > 5);
    for table in tables {
        reads(format!("where = {}", table.replace("PREDICATE", "true").replace("[…]", "['x']")));
    }
    for test in tests {
        let value = match test.as_str() {
            "in" => "['a']",
            "regex" => "'^a'",
            "present" | "even" => "true",
            _ => "1",
        };
        reads(format!("where = {{ field = 'metric', {test} = {value} }}"));
    }
    let (tables, words): (Vec<_>, Vec<_>) =
        words_of("**Functions**").into_iter().partition(|word| word.starts_with('{'));
    for table in tables {
        reads(format!("smap = {table}"));
    }
    let folds = words.iter().filter(|word| !["f", "f = \"metric\"", "points"].contains(&word.as_str()));
    for fold in folds {
        let points = if fold.starts_with("sorted") { ", points = [0.5]" } else { "" };
        reads(format!("smap = {{ fold = '{fold}'{points} }}"));
    }
}
