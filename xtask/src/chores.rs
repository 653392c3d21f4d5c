//! `cargo xtask test`: everything that CI runs, as a list with the reason beside each line.
//!
//! A chore whose program is missing is skipped and named here; where `CI` is set it fails, since `.ci/run` has installed
//! everything. Chores that need more than Rust are asked for by name.

use crate::program::{self, Workspace, cargo, command, find, run as start};
use crate::{book, chaos, demo, instructions, receivers, tidy};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Which chores are wanted.
#[derive(Default)]
pub struct Wish {
    /// Those that need Riemann clients and collectd.
    pub clients: bool,
    /// Those that need Node.js and Chromium.
    pub page: bool,
    /// Those that break a node on purpose.
    pub chaos: bool,
    /// Those that write to other people's software.
    pub receivers: bool,
    /// Only those whose name contains this.
    pub only: Option<String>,
}

/// Why a chore is not there for everyone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Rust is enough.
    Always,
    /// `--clients`
    Clients,
    /// `--page`
    Page,
    /// `--chaos`
    Chaos,
    /// `--receivers`
    Receivers,
}

struct Chore {
    name: &'static str,
    kind: Kind,
    /// Programs without which it cannot be done.
    needs: &'static [&'static str],
    work: fn(&Workspace) -> Result<()>,
}

const fn chore(name: &'static str, work: fn(&Workspace) -> Result<()>) -> Chore {
    Chore { name, kind: Kind::Always, needs: &[], work }
}

/// Quick ones first: a slip is told in seconds.
const CHORES: &[Chore] = &[
    chore("format", |_| start(cargo(&["fmt", "--all", "--check"]))),
    chore("tidy", |_| tidy::run()),
    // Before anything is built that has the page inside: what is written anew is built in anew.
    Chore { name: "page bundle", kind: Kind::Page, needs: &["npm", "git"], work: bundle },
    chore("clippy", |_| {
        start(cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    }),
    chore("tests", tests),
    chore("doc tests", |_| start(cargo(&["test", "--workspace", "--doc"]))),
    chore("rules as wasm", rules),
    chore("cases", |_| crate::cases(&[program::root().join("xtask/cases/own.json")])),
    chore("program", |workspace| workspace.build_program().map(drop)),
    Chore { name: "instructions", kind: Kind::Always, needs: instructions::NEEDS, work: instructions::check },
    chore("rules in the sandbox", sandbox),
    chore("documents", documents),
    chore("demo", demo::rehearse),
    chore("api pages", api_pages),
    Chore { name: "book", kind: Kind::Page, needs: &["mdbook"], work: book_pages },
    Chore { name: "page in chromium", kind: Kind::Page, needs: &["node", "npm", "chromium"], work: page },
    Chore {
        name: "rules by page",
        kind: Kind::Page,
        needs: &["node", "npm", "chromium"],
        work: rules_by_page,
    },
    Chore {
        name: "page under load",
        kind: Kind::Page,
        needs: &["node", "npm", "chromium"],
        work: page_under_load,
    },
    Chore { name: "clients", kind: Kind::Clients, needs: &["python3"], work: clients },
    Chore {
        name: "Riemann's boards",
        kind: Kind::Clients,
        needs: &["python3", "curl", "node", "npm", "chromium"],
        work: boards,
    },
    Chore {
        name: "Prometheus",
        kind: Kind::Clients,
        needs: &["python3", "promtool", "prometheus"],
        work: |w| client(w, "watching.py", &[]),
    },
    Chore {
        name: "query in a terminal",
        kind: Kind::Clients,
        needs: &["python3"],
        work: |w| client(w, "terminal.py", &[]),
    },
    Chore {
        name: "deploys under load",
        kind: Kind::Clients,
        needs: &["python3"],
        work: |w| client(w, "deploys.py", &["--times", "3"]),
    },
    Chore { name: "chaos kill", kind: Kind::Chaos, needs: &[], work: |w| chaos::short(w, "kill") },
    Chore { name: "chaos torn", kind: Kind::Chaos, needs: &[], work: |w| chaos::short(w, "torn") },
    Chore {
        name: "chaos disk-full",
        kind: Kind::Chaos,
        needs: &["mount"],
        work: |w| chaos::short(w, "disk-full"),
    },
    Chore { name: "chaos eio", kind: Kind::Chaos, needs: &["strace"], work: |w| chaos::short(w, "eio") },
    Chore { name: "chaos reload", kind: Kind::Chaos, needs: &[], work: |w| chaos::short(w, "reload") },
    Chore { name: "chaos sink", kind: Kind::Chaos, needs: &[], work: |w| chaos::short(w, "sink") },
    Chore { name: "chaos rules", kind: Kind::Chaos, needs: &[], work: |w| chaos::short(w, "rules") },
    // What is missing is named by the chore itself: the others are tried all the same.
    Chore { name: "receivers", kind: Kind::Receivers, needs: &[], work: receivers::short },
    Chore { name: "chaos planted", kind: Kind::Chaos, needs: &["strace"], work: chaos::planted },
];

/// The documentation as a book, made outside the repository.
fn book_pages(workspace: &Workspace) -> Result<()> {
    let to = workspace.target.join("book-pages");
    start(command("mdbook", &["build", "docs", "--dest-dir", &to.to_string_lossy()]))
}

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

pub fn run(wish: &Wish) -> Result<()> {
    let workspace = Workspace::ask()?;
    demo::check(&workspace)?;
    let mut report = Vec::new();
    for chore in CHORES {
        if wish.only.as_ref().is_some_and(|only| !chore.name.contains(only.as_str())) {
            continue;
        }
        let started = Instant::now();
        let outcome = wish.attempt(chore, &workspace);
        if let Outcome::Failed(why) = &outcome {
            eprintln!("── {} failed: {why}", chore.name);
        }
        report.push((chore.name, outcome, started.elapsed()));
    }
    if report.is_empty() {
        bail!(
            "no chore has that name; there are {}",
            CHORES.iter().map(|chore| chore.name).collect::<Vec<_>>().join(", ")
        );
    }
    println!("\n{}", table(&report));
    let failed = report.iter().filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_))).count();
    if failed > 0 {
        bail!("{failed} of {} chores failed", report.len());
    }
    Ok(())
}

impl Wish {
    fn attempt(&self, chore: &Chore, workspace: &Workspace) -> Outcome {
        let asked = match chore.kind {
            Kind::Always => None,
            Kind::Clients => Some(("--clients", self.clients)),
            Kind::Page => Some(("--page", self.page)),
            Kind::Chaos => Some(("--chaos", self.chaos)),
            Kind::Receivers => Some(("--receivers", self.receivers)),
        };
        if let Some((option, false)) = asked
            && self.only.is_none()
        {
            return Outcome::Skipped(format!("not asked for: {option} or --all"));
        }
        let missing: Vec<_> = chore.needs.iter().filter(|name| find(name).is_none()).copied().collect();
        if !missing.is_empty() {
            let why = format!("not installed: {}", missing.join(", "));
            return if program::in_ci() { Outcome::Failed(why) } else { Outcome::Skipped(why) };
        }
        println!("── {}", chore.name);
        match (chore.work)(workspace) {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        }
    }
}

fn table(report: &[(&str, Outcome, Duration)]) -> String {
    let width = report.iter().map(|(name, ..)| name.len()).max().unwrap_or_default();
    let lines = report.iter().map(|(name, outcome, took)| {
        let took = format!("{:.1} s", took.as_secs_f64());
        match outcome {
            Outcome::Passed => format!("{name:width$}  {took:>8}  passed"),
            Outcome::Failed(why) => format!("{name:width$}  {took:>8}  FAILED   {why}"),
            Outcome::Skipped(why) => format!("{name:width$}  {:>8}  skipped  {why}", "-"),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Unit and integration tests; with nextest where it is there, since it is faster and tells more.
fn tests(_: &Workspace) -> Result<()> {
    if find("cargo-nextest").is_some() {
        start(cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]))
    } else {
        start(cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]))
    }
}

/// The modules, and that those inside the program are the same.
fn rules(workspace: &Workspace) -> Result<()> {
    workspace.build_rules()?;
    let stale = workspace.stale()?;
    if !stale.is_empty() {
        bail!(
            "the modules inside the program are not what examples-wasm and benches/rules build to: {}; run `cargo xtask rules` and commit runtime/rules",
            stale.join(", ")
        );
    }
    Ok(())
}

/// Each example's scenes natively and as wasm, byte for byte the same.
fn sandbox(workspace: &Workspace) -> Result<()> {
    let tidegate = workspace.build_program()?;
    for rule in &workspace.rules {
        let mut test = command(&tidegate, &["test"]);
        test.current_dir(&rule.folder);
        println!("in {}", rule.folder.strip_prefix(program::root()).unwrap_or(&rule.folder).display());
        start(test)?;
    }
    Ok(())
}

/// The commands and listings of the pages, run as written.
fn documents(workspace: &Workspace) -> Result<()> {
    book::run(&workspace.build_program()?, workspace)
}

/// The API's own documentation, without a warning. A page may name a private item by a link: whoever reads the source follows it.
fn api_pages(_: &Workspace) -> Result<()> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links");
    start(doc)
}

fn dashboard() -> PathBuf {
    program::root().join("runtime/dashboard")
}

fn npm(arguments: &[&str]) -> Result<()> {
    let mut npm = command("npm", arguments);
    npm.current_dir(dashboard());
    start(npm)
}

/// The committed bundle is what the sources build to.
fn bundle(_: &Workspace) -> Result<()> {
    npm(&["ci", "--no-audit", "--no-fund"])?;
    npm(&["run", "check"])?;
    npm(&["test"])?;
    npm(&["run", "build"])?;
    start(command("git", &["diff", "--exit-code", "--stat", "--", "runtime/dashboard/dist"]))
        .context("the committed bundle is not what the sources build to: commit runtime/dashboard/dist")
}

/// The page in a real browser, against a real server.
fn page(workspace: &Workspace) -> Result<()> {
    let tidegate = with_browser(workspace)?;
    workspace.build_rules()?;
    let demo = demo::Demo::start(workspace, tidegate, 0, &demo::fresh(workspace, "page-data")?)?;
    let mut test = command("node", &["e2e/page.mjs", "--url", &demo.page, "--expect-said", "--expect-rules"]);
    test.arg(demo::RULES.to_string()).arg("--out").arg(workspace.target.join("page"));
    test.arg("--browser").arg(find("chromium").unwrap_or_default()).current_dir(dashboard());
    start(test).and(demo.stop())
}

/// The way of a rule through the page of a real server: dropped onto it, deployed, tried on the past, rolled back, and its
/// alerts acknowledged and silenced.
fn rules_by_page(workspace: &Workspace) -> Result<()> {
    let tidegate = with_browser(workspace)?;
    let mut test = command("node", &["e2e/live.mjs", "--tidegate"]);
    test.arg(tidegate).arg("--out").arg(workspace.target.join("page"));
    test.arg("--browser").arg(find("chromium").unwrap_or_default()).current_dir(dashboard());
    start(test)
}

/// A short run of what measures a page and what pages cost: that a page is sent what changes, and does not complain.
fn page_under_load(workspace: &Workspace) -> Result<()> {
    let tidegate = with_browser(workspace)?;
    let mut test = command("node", &["e2e/soak.mjs", "--minutes", "0", "--seconds", "1", "--tidegate"]);
    test.arg(tidegate).arg("--browser").arg(find("chromium").unwrap_or_default()).current_dir(dashboard());
    start(test)
}

/// The program, and what drives a browser.
fn with_browser(workspace: &Workspace) -> Result<PathBuf> {
    if !dashboard().join("node_modules").is_dir() {
        npm(&["ci", "--no-audit", "--no-fund"])?;
    }
    workspace.build_program()
}

/// Riemann clients and collectd; in CI those of PyPI and npm are fetched first.
fn clients(workspace: &Workspace) -> Result<()> {
    let install: &[&str] = if program::in_ci() { &["--install"] } else { &[] };
    client(workspace, "run.py", install)
}

/// What riemann-dash does, in a real browser.
fn boards(workspace: &Workspace) -> Result<()> {
    if !dashboard().join("node_modules").is_dir() {
        npm(&["ci", "--no-audit", "--no-fund"])?;
    }
    client(workspace, "boards.py", &[])
}

/// A driver of `clients/` against a real server.
fn client(workspace: &Workspace, script: &str, arguments: &[&str]) -> Result<()> {
    let tidegate = workspace.build_program()?;
    let mut driver = command("python3", &[&format!("clients/{script}")]);
    driver.arg("--binary").arg(&tidegate).args(arguments);
    start(driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_ran_what_did_not_and_why() {
        let report = [
            ("format", Outcome::Passed, Duration::from_millis(1234)),
            ("page in chromium", Outcome::Skipped("not installed: chromium".into()), Duration::ZERO),
            ("tests", Outcome::Failed("`cargo test` failed".into()), Duration::from_secs(61)),
        ];
        assert_eq!(
            table(&report),
            "format               1.2 s  passed\n\
             page in chromium         -  skipped  not installed: chromium\n\
             tests               61.0 s  FAILED   `cargo test` failed"
        );
    }

    #[test]
    fn what_was_not_asked_for_is_skipped_by_name() {
        let workspace = Workspace { target: "x".into(), ..Workspace::default() };
        let chore = CHORES.iter().find(|chore| chore.kind == Kind::Clients).unwrap();
        let Outcome::Skipped(why) = Wish::default().attempt(chore, &workspace) else { panic!() };
        assert_eq!(why, "not asked for: --clients or --all");
    }

    #[test]
    fn a_missing_program_is_named() {
        let workspace = Workspace { target: "x".into(), ..Workspace::default() };
        let chore = Chore { needs: &["sh", "no-such-program"], ..chore("x", |_| Ok(())) };
        let said = match Wish::default().attempt(&chore, &workspace) {
            Outcome::Skipped(why) if !program::in_ci() => why,
            Outcome::Failed(why) if program::in_ci() => why,
            _ => panic!("a missing program is a skip, and a failure in CI"),
        };
        assert_eq!(said, "not installed: no-such-program");
    }
}
