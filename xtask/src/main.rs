//! The chores of this repository: `cargo xtask demo`, `cargo xtask test`, `cargo xtask tidy`.
//!
//! What a person runs here and what CI runs are the same commands. Few dependencies, so that the first answer comes in
//! seconds: the heavy building happens in the commands that are started from here.

mod book;
mod book_links;
mod chaos;
mod chores;
mod demo;
mod figures;
mod instructions;
mod program;
mod receivers;
mod server;
// What `tidegate build` does to a module is done to those inside the program too. The program itself is too much to build
// first for that, so the file is taken in.
#[path = "../../runtime/src/cli/build/strip.rs"]
mod strip;
mod tidy;

use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "\
cargo xtask demo [--seconds N] [--port P]   build everything, run it on this machine's metrics and a simulated fleet
cargo xtask test [--clients] [--page] [--chaos] [--receivers] [--all] [--only NAME]
                                            everything that can be tested with Rust alone; with more, what needs packages:
                                            --clients  Riemann clients, collectd, deployments under load
                                            --page     the dashboard's bundle, and the page in Chromium
                                            --chaos    a node that is broken on purpose, a short run of each kind
                                            --receivers  outputs against the software they are for, a few seconds each
                                            --all      all of them
                                            --only     chores whose name contains NAME
cargo xtask rules                           put the example rules into the program: builds them, writes runtime/rules
cargo xtask cases FILE…                     play cases recorded from Riemann: streams through the `standard` rule as wasm, queries
                                            through the matcher; prints what fails and counts
cargo xtask instructions [--accept]         count the instructions of each stage under callgrind and compare them with
                                            benches/instructions.json; --accept writes it anew
cargo xtask figures [--soak SECONDS]        measure everything on this machine, as Markdown: about five minutes, and with
                                            --soak twice so many seconds more. The machine should do nothing else.
cargo xtask chaos --kind KIND [--cycles N] [--seed S] [--json] [--program FILE]
                                            break a real node on purpose and check every promise: docs/testing.md has the kinds
cargo xtask chaos --planted                 plant known bugs, one after the other: each must be found
cargo xtask receivers [--only NAME] [--seconds N] [--seed S] [--program FILE]
                                            outputs against the software they are for, killed under load: docs/outputs.md
cargo xtask tidy                            layers, headers, links, the book's pages, dependencies with their reasons";

enum Wish {
    Demo(demo::Wish),
    Test(chores::Wish),
    Rules,
    Cases(Vec<String>),
    Instructions { accept: bool },
    Figures(figures::Wish),
    Chaos(chaos::Wish),
    Receivers(receivers::Wish),
    Oracle,
    Tidy,
    BookLinks(Vec<String>),
    Help,
}

fn main() -> ExitCode {
    let outcome = match wish(std::env::args().skip(1)) {
        Err(wrong) => {
            eprintln!("{wrong}\n\n{USAGE}");
            return ExitCode::from(2);
        }
        Ok(Wish::Help) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Ok(Wish::Demo(wish)) => demo::run(&wish),
        Ok(Wish::Test(wish)) => chores::run(&wish),
        Ok(Wish::Rules) => program::Workspace::ask().and_then(|workspace| workspace.put_inside()),
        Ok(Wish::Cases(files)) => cases(&files.iter().map(Into::into).collect::<Vec<_>>()),
        Ok(Wish::Instructions { accept }) => program::Workspace::ask().and_then(|workspace| {
            if accept { instructions::accept(&workspace) } else { instructions::check(&workspace) }
        }),
        Ok(Wish::Figures(wish)) => figures::run(&wish),
        Ok(Wish::Chaos(wish)) => chaos::run(&wish),
        Ok(Wish::Receivers(wish)) => receivers::run(&wish),
        Ok(Wish::Oracle) => chaos::oracle::run(),
        Ok(Wish::Tidy) => tidy::run(),
        Ok(Wish::BookLinks(words)) => book_links::run(&words),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn wish(mut words: impl Iterator<Item = String>) -> Result<Wish, String> {
    let mut wish = match words.next().as_deref() {
        Some("demo") => Wish::Demo(demo::Wish::default()),
        Some("test") => Wish::Test(chores::Wish::default()),
        Some("rules") => Wish::Rules,
        Some("cases") => Wish::Cases(Vec::new()),
        Some("instructions") => Wish::Instructions { accept: false },
        Some("figures") => Wish::Figures(figures::Wish::default()),
        Some("chaos") => Wish::Chaos(chaos::Wish::default()),
        Some("receivers") => Wish::Receivers(receivers::Wish::default()),
        Some(chaos::oracle::WORD) => Wish::Oracle,
        Some("tidy") => Wish::Tidy,
        // For mdbook, not for people.
        Some("book-links") => return Ok(Wish::BookLinks(words.collect())),
        None | Some("help" | "--help" | "-h") => return Ok(Wish::Help),
        Some(other) => return Err(format!("there is no chore `{other}`")),
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} takes a value"));
        match (&mut wish, word.as_str()) {
            (_, "--help" | "-h") => return Ok(Wish::Help),
            (Wish::Demo(demo), "--seconds") => {
                let seconds = value()?;
                let seconds =
                    seconds.parse().map_err(|_| format!("--seconds {seconds}: a number was expected"))?;
                demo.ends_after = Some(Duration::from_secs(seconds));
            }
            (Wish::Demo(demo), "--port") => {
                let port = value()?;
                demo.port = port.parse().map_err(|_| format!("--port {port}: a port was expected"))?;
            }
            (Wish::Cases(files), file) if !file.starts_with('-') => files.push(file.to_owned()),
            (Wish::Instructions { accept }, "--accept") => *accept = true,
            (Wish::Figures(figures), "--soak") => {
                let seconds = value()?;
                figures.soak =
                    seconds.parse().map_err(|_| format!("--soak {seconds}: seconds were expected"))?;
            }
            (Wish::Chaos(chaos), "--kind") => chaos.kind = value()?,
            (Wish::Chaos(chaos), "--cycles") => chaos.cycles = Some(number(&word, &value()?)?),
            (Wish::Chaos(chaos), "--seed") => chaos.seed = Some(number(&word, &value()?)?),
            (Wish::Chaos(chaos), "--program") => chaos.program = Some(value()?.into()),
            (Wish::Chaos(chaos), "--json") => chaos.json = true,
            (Wish::Chaos(chaos), "--planted") => chaos.planted = true,
            (Wish::Receivers(receivers), "--only") => receivers.only = Some(value()?),
            (Wish::Receivers(receivers), "--seconds") => receivers.seconds = Some(number(&word, &value()?)?),
            (Wish::Receivers(receivers), "--seed") => receivers.seed = Some(number(&word, &value()?)?),
            (Wish::Receivers(receivers), "--program") => receivers.program = Some(value()?.into()),
            (Wish::Test(test), "--receivers") => test.receivers = true,
            (Wish::Test(test), "--clients") => test.clients = true,
            (Wish::Test(test), "--page") => test.page = true,
            (Wish::Test(test), "--chaos") => test.chaos = true,
            (Wish::Test(test), "--all") => {
                (test.clients, test.page, test.chaos, test.receivers) = (true, true, true, true);
            }
            (Wish::Test(test), "--only") => test.only = Some(value()?),
            (_, other) => return Err(format!("`{other}` is not understood here")),
        }
    }
    Ok(wish)
}

/// Builds the `standard` rule and plays files of cases through it.
fn cases(files: &[std::path::PathBuf]) -> anyhow::Result<()> {
    let workspace = program::Workspace::ask()?;
    program::build_wasm("small", &workspace.standard)?;
    let here = std::env::current_dir()?;
    let module = workspace.module("standard").to_string_lossy().into_owned();
    let files: Vec<String> =
        files.iter().map(|file| here.join(file).to_string_lossy().into_owned()).collect();
    program::run(program::as_tested("cases"))?;
    let mut play = program::command(workspace.program("dev").with_file_name("cases"), &[module.as_str()]);
    play.args(files);
    program::run(play)
}

fn number(option: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("{option} {value}: a number was expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Result<Wish, String> {
        wish(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn wishes_are_understood() {
        let Ok(Wish::Demo(demo)) = said("demo --seconds 5 --port 8080") else { panic!() };
        assert_eq!((demo.ends_after, demo.port), (Some(Duration::from_secs(5)), 8080));
        let Ok(Wish::Test(test)) = said("test --all --only clippy") else { panic!() };
        assert_eq!((test.clients, test.page, test.only.as_deref()), (true, true, Some("clippy")));
        let Ok(Wish::Chaos(chaos)) = said("chaos --kind kill --cycles 3 --seed 7 --json") else { panic!() };
        assert_eq!(
            (chaos.kind.as_str(), chaos.cycles, chaos.seed, chaos.json),
            ("kill", Some(3), Some(7), true)
        );
        let Ok(Wish::Figures(figures)) = said("figures --soak 600") else { panic!() };
        assert_eq!(figures.soak, 600);
        assert!(matches!(said("instructions --accept"), Ok(Wish::Instructions { accept: true })));
        assert!(matches!(said(""), Ok(Wish::Help)));
        assert!(matches!(said("test --help"), Ok(Wish::Help)));
    }

    #[test]
    fn what_is_not_understood_is_not_ignored() {
        for line in [
            "dance",
            "chaos --cycles many",
            "demo --seconds",
            "demo --seconds soon",
            "demo --all",
            "test --port 1",
            "tidy --all",
        ] {
            assert!(said(line).is_err(), "{line}");
        }
    }
}
