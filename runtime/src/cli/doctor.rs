//! `tidegate doctor`: what is wrong here, the most important first, each with the command that mends it or tells more.
//!
//! The checks look at this machine ([`here`]) and ask the node ([`node`]). Looking and judging are apart: what was seen is a
//! value, and a check is a function from it to findings, so that each can be tested by what it must find. Nothing is changed;
//! a port is bound and let go, and a file written into the data directory and removed.

mod here;
mod node;
mod udp;

use super::failure::{Exit, Failure};
use super::screen::{Screen, count, plain};
use super::server::{Server, Where};
use crate::config;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What is looked at.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; else the one that `tidegate run` would take.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

/// How bad a finding is. The order is that of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work, or is being lost.
    Problem,
    /// It works, and should be looked at.
    Warning,
    /// Good to know.
    Note,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }

    fn sign(self) -> char {
        match self {
            Self::Problem => '!',
            Self::Warning => '~',
            Self::Note => '-',
        }
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What is wrong.
    pub text: String,
    /// The command that mends it, or tells more.
    pub fix: String,
    /// How the program ends if this is the worst.
    pub exit: Exit,
}

impl Finding {
    fn new(level: Level, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level, text: plain(&text.into()), fix: plain(&fix.into()), exit: Exit::Failed }
    }

    /// Something does not work.
    pub fn problem(text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Level::Problem, text, fix)
    }

    /// Something should be looked at.
    pub fn warning(text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Level::Warning, text, fix)
    }

    /// Something is good to know.
    pub fn note(text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Level::Note, text, fix)
    }

    fn ends_with(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }
}

/// A check, and what it found; the most important check comes first.
#[derive(Debug)]
struct Check {
    name: &'static str,
    findings: Vec<Finding>,
}

/// Looks, and tells.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let environment = config::environment();
    let loaded = config::load(args.config.as_deref(), &environment);
    let mut checks = vec![Check { name: "configuration", findings: here::configuration(&loaded) }];
    let mut config = loaded.unwrap_or_else(|_| {
        // What is built in is what a node would do without the file: the best guess there is.
        config::parse(config::Source::default(), &config::Environment::new())
            .expect("what is built in is right")
    });
    if let Some(data) = args.data {
        config.data = data;
    }
    let server = Server::at(&args.place)?;
    let seen = node::Seen::ask(&server).await;
    let add = |checks: &mut Vec<Check>, name, findings| checks.push(Check { name, findings });
    add(&mut checks, "server", node::reachable(&seen, &args.place.server));
    // Ports that our own node has are taken as they should be.
    let running = seen.as_ref().ok();
    add(&mut checks, "ports", here::ports(&config, running));
    add(&mut checks, "data directory", here::data(&config));
    if let Some(seen) = running {
        checks.extend(node::CHECKS.iter().map(|(name, check)| Check { name, findings: check(seen) }));
        add(&mut checks, "udp", udp::drops(seen));
    }
    add(&mut checks, "memory", here::memory(running));
    add(&mut checks, "open files", here::open_files(running));
    add(&mut checks, "toolchain", here::toolchain());
    tell(&checks, screen)
}

/// The worst first, and of these the one whose check comes first; then how many checks found nothing.
fn tell(checks: &[Check], screen: &Screen) -> Result<(), Failure> {
    let mut found: Vec<(&str, &Finding)> =
        checks.iter().flat_map(|check| check.findings.iter().map(|finding| (check.name, finding))).collect();
    found.sort_by_key(|(_, finding)| finding.level);
    if screen.json {
        screen.value(&report(checks, &found))?;
    } else {
        for (name, finding) in &found {
            let state = if finding.level == Level::Problem { "critical" } else { "warning" };
            let line = format!("{} {name}: {}", finding.level.sign(), finding.text);
            screen.line(if finding.level == Level::Note { line } else { screen.paint(state, &line) })?;
            if !finding.fix.is_empty() {
                screen.line(format_args!("    {}", finding.fix))?;
            }
        }
        let fine = checks.iter().filter(|check| check.findings.is_empty()).count();
        screen.line(format_args!("ok {}", count(fine, "check")))?;
    }
    let worst = found.first().filter(|(_, finding)| finding.level == Level::Problem);
    match worst {
        None => Ok(()),
        Some((_, finding)) => {
            let problems = found.iter().filter(|(_, finding)| finding.level == Level::Problem).count();
            Err(Failure::say(finding.exit, format!("{} found", count(problems, "problem"))))
        }
    }
}

fn report(checks: &[Check], found: &[(&str, &Finding)]) -> Value {
    let findings: Vec<Value> = found
        .iter()
        .map(|(check, finding)| {
            json!({ "check": check, "level": finding.level.name(), "text": finding.text, "fix": finding.fix })
        })
        .collect();
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| {
            let worst = check.findings.iter().map(|finding| finding.level).min();
            json!({ "check": check.name, "result": worst.map_or("ok", Level::name) })
        })
        .collect();
    json!({ "findings": findings, "checks": checks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_first_and_the_most_important_of_them_decides_how_it_ends() {
        let checks = [
            Check { name: "a", findings: vec![Finding::note("n", "")] },
            Check { name: "b", findings: vec![Finding::warning("w", "mend w")] },
            Check { name: "c", findings: vec![] },
            Check { name: "d", findings: vec![Finding::problem("p", "mend p").ends_with(Exit::Unreachable)] },
            Check { name: "e", findings: vec![Finding::problem("q", "mend q"), Finding::note("m", "")] },
        ];
        let mut found: Vec<(&str, &Finding)> =
            checks.iter().flat_map(|check| check.findings.iter().map(|f| (check.name, f))).collect();
        found.sort_by_key(|(_, finding)| finding.level);
        let report = report(&checks, &found);
        let order: Vec<&str> =
            report["findings"].as_array().unwrap().iter().map(|f| f["text"].as_str().unwrap()).collect();
        assert_eq!(order, ["p", "q", "w", "n", "m"]);
        assert_eq!(report["checks"][2], json!({ "check": "c", "result": "ok" }));
        assert_eq!(report["checks"][4]["result"], "problem");
        let screen = Screen::new(false);
        let failure = tell(&checks, &screen).unwrap_err();
        assert_eq!(
            (failure.exit(), failure.to_string().as_str()),
            (Exit::Unreachable, "error: 2 problems found\n")
        );
        assert!(tell(&checks[..3], &screen).is_ok(), "warnings are no failure");
    }
}
