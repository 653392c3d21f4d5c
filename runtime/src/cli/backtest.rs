//! `tidegate backtest`: a rule over recorded events, and what it would have said.

use super::failure::{Exit, Failure, OrExit};
use super::screen::{Screen, count, plain};
use crate::backtest::{
    Candidate, Format, Interval, Outcome, Past, Plan, Progress, Range, Report, Source, Wishes,
};
use crate::{backtest, clock, config, rules};
use anyhow::Context;
use clap::ValueEnum;
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tidegate_event::{Span, Timestamp};

/// Rows of a table that people are shown; the report as JSON has more.
const ROWS: usize = 20;

/// How often the progress is drawn.
const DRAWN: Duration = Duration::from_millis(100);

/// What is tried, and on what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A module, or the name of a rule: one that is deployed in the data directory, or one inside the program.
    #[arg(value_name = "RULE")]
    rule: String,
    /// Begin so long before the end of the log (-2h), or at a time (2026-01-31T08:00:00Z).
    #[arg(long, value_name = "WHEN", value_parser = when, allow_hyphen_values = true)]
    from: Option<When>,
    /// End so long before the end of the log, or at a time.
    #[arg(long, value_name = "WHEN", value_parser = when, allow_hyphen_values = true)]
    to: Option<When>,
    /// Let the rule learn from so much before that; what it says meanwhile does not count.
    #[arg(long, value_name = "SPAN", value_parser = span, requires = "from")]
    warm_up: Option<Span>,
    /// Read the log in this folder, instead of the data directory's.
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    log: Option<PathBuf>,
    /// Read events from a file: .ndjson, .csv or .msgpack.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Compare with another module, or with a rule that is deployed in the data directory.
    #[arg(long, value_name = "RULE")]
    against: Option<String>,
    /// Which events it gets, instead of the module's own query.
    #[arg(long = "where", value_name = "QUERY")]
    query: Option<String>,
    /// What gets its own copy of the rule's state: stream, host, service, whole or attribute:NAME.
    #[arg(long, value_name = "KEY")]
    per: Option<String>,
    /// Set a parameter; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::deploy::pair)]
    set: Vec<(String, String)>,
    /// Set a parameter to what a file holds; without a name, the parameter that is called like the file.
    #[arg(long, value_name = "[NAME=]FILE", value_parser = super::deploy::from_file)]
    set_file: Vec<(String, String)>,
    /// Set a parameter of the other module otherwise; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::deploy::pair, requires = "against")]
    against_set: Vec<(String, String)>,
    /// Shards, each on a thread of its own. What comes out is the same for every number of them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Count instructions over so many of the first events that the rule wants; 0 for not at all.
    #[arg(long, value_name = "EVENTS", default_value_t = 100_000)]
    instructions: u64,
    /// Write the report as a page, with charts.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// End with exit code 1 if there are any of these.
    #[arg(long, value_enum, value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    /// The data directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration, as for `run`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What may end a backtest badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Failed calls.
    Faults,
    /// Intervals in which something was not well.
    Fired,
    /// Events that came late.
    Late,
    /// Differences from the other version.
    Differences,
}

/// A moment on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// So long before the end.
    Before(Span),
    At(Timestamp),
}

fn when(text: &str) -> Result<When, String> {
    if let Some(before) = text.strip_prefix('-').and_then(Span::parse) {
        return Ok(When::Before(before));
    }
    let at = text.parse::<jiff::Timestamp>().map(|at| Timestamp(at.as_microsecond())).ok();
    let at = at.or_else(|| text.parse::<f64>().ok().filter(|at| *at >= 0.0).map(Timestamp::from_secs_f64));
    at.map(When::At).ok_or_else(|| {
        "-2h (before the end of the log), 2026-01-31T08:00:00Z or seconds since 1970 was expected".to_owned()
    })
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text)
        .filter(|span| *span > Span::ZERO)
        .ok_or_else(|| "a span like 90s, 5m or 2h was expected".into())
}

/// Tries the rule and tells what came of it.
pub fn go(args: &Args, screen: &Screen) -> Result<(), Failure> {
    let plan = plan(args)?;
    let progress = Progress::default();
    let started = clock::start();
    let report = watched(&progress, screen, || plan.run(&progress))?;
    let took = started.elapsed().as_secs_f64();
    // How fast it was is not part of the result, which is the same each time.
    let (events, read) = (report.read.events, HumanCount(report.read.events));
    eprintln!("{read} events in {took:.2} s, {:.2} M/s", events as f64 / took / 1e6);
    if let Some(path) = &args.html {
        let series = plan.series(&report, &Progress::default())?;
        std::fs::write(path, backtest::page::page(&report, series.as_ref()))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if screen.json {
        let json = serde_json::to_string(&report).map_err(|error| Failure::new(Exit::Bug, error))?;
        screen.line(json)?;
    } else {
        print(&report, screen)?;
    }
    verdict(&args.fail_on, &report)
}

fn plan(args: &Args) -> Result<Plan, Failure> {
    let config = config::load(args.config.as_deref(), &config::environment()).or_exit(Exit::Invalid)?;
    let data = args.data.clone().unwrap_or_else(|| config.data.clone());
    // Rules are looked up where the log lies, if that is a data directory.
    let log = args.log.clone().unwrap_or_else(|| data.join("log"));
    let home = match (&args.log, log.parent()) {
        (Some(_), Some(parent)) if parent.join("node.json").exists() => parent.to_owned(),
        _ => data,
    };
    let mut wishes =
        Wishes { query: args.query.clone(), per: args.per.clone(), set: args.given().cloned().collect() };
    let against = match &args.against {
        Some(name) if is_module(name, &home) => {
            let mut other = wishes.clone();
            other.set.extend(args.against_set.iter().cloned());
            Some(module(name, &other, false)?)
        }
        Some(name) if !args.against_set.is_empty() => {
            return Err(Failure::say(
                Exit::Usage,
                format!(
                    "--against-set is for another module, and {name} is a rule that is deployed with its settings"
                ),
            ));
        }
        Some(name) => {
            let deployed = Candidate::deployed(name, &home).or_exit(Exit::Invalid)?;
            wishes = wishes.over(&deployed)?;
            Some(deployed)
        }
        None => None,
    };
    let strict = args.against.as_deref().is_none_or(|name| is_module(name, &home));
    let rule = if is_module(&args.rule, &home) {
        check_parameters(args)?;
        module(&args.rule, &wishes, strict)?
    } else {
        let deployed = Candidate::deployed(&args.rule, &home).or_exit(Exit::Invalid)?;
        let wishes = Wishes {
            query: args.query.clone().or(Some(deployed.spec.query.clone())),
            per: args.per.clone().or(Some(deployed.spec.per.to_string())),
            set: args.given().cloned().collect(),
        };
        let name = deployed.spec.name.clone();
        let wishes = wishes.over(&deployed)?;
        let mut again = Candidate::of_module(deployed.wasm, &wishes, true).or_exit(Exit::Usage)?;
        again.spec.name = name;
        again
    };
    let source = match &args.file {
        Some(path) => {
            let format = Format::of(path).or_exit(Exit::Usage)?;
            Source::File { path: path.clone(), format, seed: 0 }
        }
        None => {
            let seed = Past::seed_beside(&log);
            Source::Log(Past { folder: log, seed, without: Vec::new() })
        }
    };
    let range = Range {
        from: resolve(args.from, &source, Timestamp(i64::MIN))?,
        to: resolve(args.to, &source, Timestamp::NEVER)?,
    };
    if range.from > range.to {
        return Err(Failure::say(Exit::Usage, "--from lies behind --to: nothing lies between"));
    }
    let mut plan = Plan {
        rule,
        against,
        source,
        range,
        warm_up: args.warm_up.unwrap_or(Span::ZERO),
        shards: args.shards.into(),
        instructions: args.instructions,
        default_ttl: config.engine.default_ttl,
        max_streams: config.engine.max_streams,
    };
    let own = plan.own_marks();
    if let Source::Log(past) = &mut plan.source {
        past.without = own;
    }
    Ok(plan)
}

/// Whether a module is meant, in a file or inside the program, and not the name of a rule that is deployed. What is deployed
/// under the name of a rule inside the program comes first.
fn is_module(name: &str, home: &Path) -> bool {
    let file = Path::new(name).extension().is_some_and(|end| end == "wasm") || name.contains('/');
    file || rules::find(name).is_ok() && !Candidate::is_deployed(name, home)
}

impl Args {
    /// What is set by hand.
    fn given(&self) -> impl Iterator<Item = &(String, String)> {
        self.set.iter().chain(&self.set_file)
    }
}

fn module(path: &str, wishes: &Wishes, strict: bool) -> Result<Candidate, Failure> {
    let wasm = super::check::read_module(Path::new(path))?;
    tidegate_wasm::inspect(&wasm).with_context(|| format!("{path} is refused")).or_exit(Exit::Invalid)?;
    Candidate::of_module(wasm, wishes, strict).with_context(|| path.to_owned()).or_exit(Exit::Usage)
}

/// What is set by hand must be there, whatever a deployed rule has besides.
fn check_parameters(args: &Args) -> Result<(), Failure> {
    let path = &args.rule;
    let wasm = super::check::read_module(Path::new(path))?;
    let found =
        tidegate_wasm::inspect(&wasm).with_context(|| format!("{path} is refused")).or_exit(Exit::Invalid)?;
    let params: Vec<&str> = found.manifest.params.iter().map(|param| param.name.as_str()).collect();
    match args.given().find(|(name, _)| !params.contains(&name.as_str())) {
        None => Ok(()),
        Some((name, _)) => Err(Failure::say(
            Exit::Usage,
            format!(
                "--set {name}: rule {} has no such parameter; it has {}",
                found.manifest.name,
                if params.is_empty() { "none".to_owned() } else { params.join(", ") }
            ),
        )),
    }
}

fn resolve(when: Option<When>, source: &Source, otherwise: Timestamp) -> Result<Timestamp, Failure> {
    match (when, source) {
        (None, _) => Ok(otherwise),
        (Some(When::At(at)), _) => Ok(at),
        (Some(When::Before(span)), Source::Log(past)) => {
            Ok(past.last_moment()?.map_or(otherwise, |last| last - span))
        }
        (Some(When::Before(_)), Source::File { .. }) => Err(Failure::say(
            Exit::Usage,
            "--from and --to of a file are times like 2026-01-31T08:00:00Z: where it ends is not known before it is read",
        )),
    }
}

/// Runs with a bar on standard error, if that is a terminal.
fn watched<T: Send>(
    progress: &Progress,
    screen: &Screen,
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> Result<T, Failure> {
    let target = if screen.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    if bar.is_hidden() {
        return Ok(work()?);
    }
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}") {
        bar.set_style(style);
    }
    let (done, started) = (AtomicBool::new(false), clock::start());
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                std::thread::park_timeout(DRAWN);
                let (total, read) = (progress.total.load(Relaxed), progress.done.load(Relaxed));
                let seconds = started.elapsed().as_secs_f64();
                let rate = progress.events.load(Relaxed) as f64 / seconds / 1e6;
                let left = seconds * total.saturating_sub(read) as f64 / read.max(1) as f64;
                bar.set_length(total.max(1));
                bar.set_position(read.min(total));
                let left = HumanDuration(Duration::try_from_secs_f64(left).unwrap_or_default());
                bar.set_message(format!("{rate:.1} M events/s, {left} left"));
            }
        });
        let outcome = work();
        done.store(true, Relaxed);
        outcome
    });
    bar.finish_and_clear();
    Ok(outcome?)
}

fn verdict(fail_on: &[FailOn], report: &Report) -> Result<(), Failure> {
    for reason in fail_on {
        let (n, what) = match reason {
            FailOn::Faults => (report.rule.faults.count, "failed call"),
            FailOn::Fired => (report.rule.fired.count, "fired interval"),
            FailOn::Late => (report.read.late.events, "late event"),
            FailOn::Differences => {
                let effects = report.differences.as_ref().map(|differences| &differences.effects);
                (effects.map_or(0, |effects| effects.only_rule + effects.only_against), "difference")
            }
        };
        if n > 0 {
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            return Err(Failure::say(Exit::Failed, format!("{}, none was allowed", count(n, what))));
        }
    }
    Ok(())
}

/// The report for people.
fn print(report: &Report, screen: &Screen) -> Result<(), Failure> {
    let read = &report.read;
    let number = |n: u64| HumanCount(n).to_string();
    let events = number(read.events);
    match (&read.from, &read.to) {
        (Some(from), Some(to)) => screen.line(format_args!("read     {events} events, {from} to {to}"))?,
        _ => screen.line("read     nothing: there are no events in that time")?,
    }
    for (n, what) in [
        (
            read.own_left_out,
            "events left out: the rule, or the one that it is compared with, emitted them then",
        ),
        (read.untimed, "events without a time: they were given that of the one before"),
        (read.missing, "positions of the log are missing"),
        (read.damaged, "bytes of the log cannot be read"),
        (read.torn, "bytes at the end of the log are half a record"),
    ] {
        if n > 0 {
            screen.line(format_args!("         {} {what}", number(n)))?;
        }
    }
    if read.late.events > 0 {
        let share = read.late.events as f64 / read.events as f64 * 100.0;
        let most = Span(read.late.most);
        screen.line(format_args!("late     {} ({share:.2} %), {most} at most", number(read.late.events)))?;
    }
    outcome("rule", &report.rule, screen)?;
    if let Some(against) = &report.against {
        outcome("against", against, screen)?;
    }
    match (&report.differences, &report.against) {
        (Some(differences), Some(against)) => {
            let fired = &differences.fired;
            screen.line(format_args!(
                "fired    {} (was {}): {} new, {} gone, {} the same",
                report.rule.fired.count,
                against.fired.count,
                fired.new.len(),
                fired.gone.len(),
                fired.same
            ))?;
            let effects = &differences.effects;
            screen.line(format_args!(
                "effects  {} the same, {} only now, {} only before",
                number(effects.same),
                number(effects.only_rule),
                number(effects.only_against)
            ))?;
            let rows = |how: &str, intervals: &[Interval]| {
                intervals.iter().map(|interval| row(how, interval)).collect::<Vec<_>>()
            };
            let mut all = rows("new", &fired.new);
            all.extend(rows("gone", &fired.gone));
            table(&all, screen)
        }
        _ => {
            let rows: Vec<_> = report.rule.fired.intervals.iter().map(|interval| row("", interval)).collect();
            table(&rows, screen)
        }
    }
}

fn outcome(title: &str, outcome: &Outcome, screen: &Screen) -> Result<(), Failure> {
    let number = |n: u64| HumanCount(n).to_string();
    let keys = count(usize::try_from(outcome.keys.most).unwrap_or(usize::MAX), "key");
    screen.line(format_args!(
        "{title:8} {} {}: {} events wanted, {keys} at most",
        outcome.name,
        outcome.version,
        number(outcome.wanted)
    ))?;
    let mut said: Vec<String> = Vec::new();
    let effects = &outcome.effects;
    let outputs = effects.outputs.iter().map(|(name, n)| (format!("to {name}"), *n));
    for (to, n) in [("into the stream".to_owned(), effects.stream)]
        .into_iter()
        .chain(outputs)
        .chain([("into its log".to_owned(), effects.log)])
    {
        if n > 0 {
            said.push(format!("{} {to}", number(n)));
        }
    }
    said.extend(effects.cut.iter().map(|(reason, n)| format!("{} cut off ({reason})", number(*n))));
    let said = if said.is_empty() { "nothing".to_owned() } else { said.join(", ") };
    let standing = match outcome.fired.standing {
        0 => String::new(),
        n => format!(", {n} of them until the end"),
    };
    let fired = count(usize::try_from(outcome.fired.count).unwrap_or(usize::MAX), "time");
    screen.line(format_args!("         said {said}; fired {fired}{standing}"))?;
    if let Some(instructions) = outcome.instructions.filter(|counted| counted.events > 0) {
        screen.line(format_args!("         {} instructions an event", number(instructions.per_event)))?;
    }
    let faults = &outcome.faults;
    if faults.count > 0 {
        let failed = count(usize::try_from(faults.count).unwrap_or(usize::MAX), "call");
        screen
            .line(format_args!("         {failed} failed, {} events not handled", number(faults.skipped)))?;
        for fault in faults.first.iter().take(3) {
            let quarantined = fault.quarantined_until.as_ref();
            let left = quarantined.map_or_else(String::new, |until| format!("; left alone until {until}"));
            screen.line(plain(&format!("         {} {}: {}{left}", fault.at, fault.kind, fault.message)))?;
        }
    }
    Ok(())
}

fn row(how: &str, interval: &Interval) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    vec![
        how.to_owned(),
        clock::iso8601(interval.from),
        interval.until.map_or_else(|| "the end".to_owned(), clock::iso8601),
        interval.state.clone(),
        text(&interval.host),
        text(&interval.service),
        interval.to.clone(),
    ]
}

fn table(rows: &[Vec<String>], screen: &Screen) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    screen.table(&["", "from", "until", "state", "host", "service", "to"], &rows[..rows.len().min(ROWS)])?;
    match rows.len() - rows.len().min(ROWS) {
        0 => Ok(()),
        more => screen.line(format_args!("and {more} more: see --html or --json")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_three_ways() {
        assert_eq!(when("-2h"), Ok(When::Before(Span::minutes(120))));
        assert_eq!(when("-90s"), Ok(When::Before(Span::secs(90))));
        assert_eq!(when("1970-01-01T00:01:00Z"), Ok(When::At(Timestamp::from_secs(60))));
        assert_eq!(when("1.5"), Ok(When::At(Timestamp(1_500_000))));
        for wrong in ["yesterday", "", "-", "-x", "2026-01-31", "-1"] {
            let parsed = when(wrong);
            assert!(parsed.is_err() || wrong == "-1", "{wrong}: {parsed:?}");
        }
    }
}
