//! `docs/cli.md`, `docs/rules/backtesting.md` and `docs/alerting.md`: what they say is typed, and what comes out is what they show.

use crate::scratch::Scratch;

/// The page.
const PAGE: &str = include_str!("../../../docs/cli.md");

/// The page on backtests. Its module is one that is there.
const BACKTESTING: &str = include_str!("../../../docs/rules/backtesting.md");

/// The page on alerts.
const ALERTING: &str = include_str!("../../../docs/alerting.md");

/// Something that the reader types, and what the page shows below it.
struct Typed<'a> {
    line: usize,
    command: String,
    shown: Vec<&'a str>,
}

/// The sessions of the page: listings of the kind `console`, except those after `<!-- not run: … -->`.
fn sessions(page: &'static str) -> Vec<Typed<'static>> {
    let mut typed: Vec<Typed<'_>> = Vec::new();
    let (mut inside, mut left_out) = (false, false);
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("<!-- not run: ") {
            left_out = true;
        } else if line.starts_with("```") {
            inside = !inside && line == "```console" && !left_out;
            left_out &= line != "```";
        } else if inside {
            match line.strip_prefix("$ ") {
                Some(command) => {
                    typed.push(Typed { line: number + 1, command: command.into(), shown: Vec::new() })
                }
                None => match typed.last_mut() {
                    Some(last) if last.command.ends_with('\\') => {
                        last.command.pop();
                        last.command.push_str(line.trim_start());
                    }
                    Some(last) => last.shown.push(line),
                    None => panic!("line {}: nothing was typed yet", number + 1),
                },
            }
        }
    }
    typed
}

/// Whether a line is what is shown; `[..]` stands for anything.
fn is_like(shown: &str, said: &str) -> bool {
    let mut parts = shown.split("[..]");
    let Some(mut rest) = said.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether lines are what is shown; `...` stands for any lines.
fn are_like(shown: &[&str], said: &[&str]) -> bool {
    match shown.split_first() {
        None => said.is_empty(),
        Some((&"...", after)) => (0..=said.len()).any(|skip| are_like(after, &said[skip..])),
        Some((first, after)) => {
            said.split_first().is_some_and(|(line, rest)| is_like(first, line) && are_like(after, rest))
        }
    }
}

#[test]
fn every_command_of_the_page_does_what_the_page_shows() {
    let mut scratch = Scratch::that_builds();
    let data = scratch.path("tidegate-data").display().to_string();
    scratch.set("TIDEGATE__DATA", data);
    let _node = scratch.node(&[]);
    let typed = sessions(PAGE);
    assert!(typed.len() > 20, "only {} commands were found", typed.len());
    play("docs/cli.md", typed, &scratch);
}

#[test]
fn every_command_of_the_page_on_backtests_does_what_the_page_shows() {
    let scratch = Scratch::new();
    scratch.write("moving_average.wasm", crate::module());
    let typed = sessions(BACKTESTING);
    assert!(typed.len() > 5, "only {} commands were found", typed.len());
    play("docs/rules/backtesting.md", typed, &scratch);
}

#[test]
fn the_configuration_of_the_page_on_alerts_is_one_and_does_what_the_page_shows() {
    let scratch = Scratch::new();
    let config =
        ALERTING.split("```toml file=tidegate.toml\n").nth(1).and_then(|rest| rest.split("```").next());
    scratch.write("tidegate.toml", config.expect("the page has a configuration"));
    let typed = sessions(ALERTING);
    assert!(typed.len() >= 2, "only {} commands were found", typed.len());
    play("docs/alerting.md", typed, &scratch);
}

fn play(page: &str, typed: Vec<Typed<'_>>, scratch: &Scratch) {
    let mut folder = String::from(".");
    for Typed { line, command, shown } in typed {
        if let Some(into) = command.strip_prefix("cd ") {
            folder = format!("{folder}/{into}");
            continue;
        }
        let outcome = scratch.shell(&format!("cd {folder} || exit; {command}"));
        let said: Vec<&str> = outcome.out.lines().collect();
        assert!(
            are_like(&shown, &said),
            "{page}:{line}: `{command}` says\n{}\nbut the page shows\n{}",
            outcome.out,
            shown.join("\n")
        );
    }
}

#[test]
fn lines_are_compared_with_care() {
    assert!(is_like("a [..] c", "a b c") && is_like("[..]", "") && is_like("a[..]b[..]c", "a1b2c"));
    assert!(!is_like("a [..] c", "a b d") && !is_like("a", "ab") && !is_like("a[..]b[..]c", "a1c"));
    assert!(are_like(&["a", "...", "d"], &["a", "b", "c", "d"]) && are_like(&["..."], &[]));
    assert!(!are_like(&["a", "...", "d"], &["a", "b"]) && !are_like(&[], &["a"]));
}
