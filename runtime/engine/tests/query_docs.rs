//! Runs the examples of `docs/query-language.md`.

use tidegate_engine::codec::json;
use tidegate_engine::query::{Matcher, Query};
use tidegate_event::{Batch, BatchBuilder};

const PAGE: &str = include_str!("../../../docs/query-language.md");

fn event(text: &str) -> Batch {
    let mut builder = BatchBuilder::new();
    json::decode_event(&mut builder, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    builder.finish()
}

/// Checks one line of an example; says what is wrong with it.
fn check(word: &str, rest: &str, asked: &mut Batch, last: &mut String) -> Result<(), String> {
    let answer = |asked: &Batch| {
        let matcher = Matcher::parse(rest).map_err(|error| error.to_string())?;
        Ok::<_, String>(matcher.matches(&asked.event(0)))
    };
    match word {
        "event" => *asked = event(rest),
        "yes" | "no" => {
            if answer(asked)? != (word == "yes") {
                return Err(format!("the answer is the opposite; the plan is {}", plan(rest)));
            }
            *last = rest.to_owned();
        }
        "error" => {
            if let Ok(matcher) = Matcher::parse(rest) {
                return Err(format!("this is a query: {}", matcher.plan()));
            }
        }
        "warns" => {
            if Query::parse(rest).map_err(|error| error.to_string())?.warnings().is_empty() {
                return Err("there is no warning".into());
            }
            answer(asked)?;
        }
        "tree" => {
            let tree = Query::parse(last).map_err(|error| error.to_string())?.root().to_string();
            if tree != rest {
                return Err(format!("it was read as {tree}"));
            }
        }
        other => return Err(format!("event, yes, no, error, warns or tree was expected, found {other}")),
    }
    Ok(())
}

fn plan(text: &str) -> String {
    Matcher::parse(text).map_or_else(|error| error.to_string(), |matcher| matcher.plan().to_string())
}

#[test]
fn every_example_of_the_page_holds() {
    let (mut asked, mut last) = (event("{}"), String::new());
    let (mut inside, mut examples) = (false, 0);
    let mut wrong = Vec::new();
    for (number, line) in PAGE.lines().enumerate() {
        match (inside, line) {
            (_, "```query") => {
                inside = true;
                (asked, last) = (event("{}"), String::new());
            }
            (true, "```") => inside = false,
            (true, line) => {
                let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
                examples += 1;
                if let Err(what) = check(word, rest.trim_start(), &mut asked, &mut last) {
                    wrong.push(format!("docs/query-language.md:{}: {line}\n{what}", number + 1));
                }
            }
            (false, _) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(examples > 110, "the page's examples were found: {examples}");
}
