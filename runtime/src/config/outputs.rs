//! The sections of outputs: what all have in common is read here, the rest by each type in its own file.

use super::problem::{Problem, Spot};
use super::resolved::{Common, LIVE, OnFull, Output};
use super::section::Section;
use tidegate_engine::query::Matcher;

pub use crate::output::OutputKind;

/// Reads one section.
pub(super) fn output((name, mut at): (String, Section<'_>)) -> Option<Output> {
    if name == LIVE {
        let problem = Problem::new(at.spot(), "the output `live` always exists: it is the page".into());
        at.error(problem.hint("choose another name"));
        return None;
    }
    let words: Vec<_> = OutputKind::WORDS.iter().map(|word| (*word, Some(*word))).collect();
    at.required_word("type", &words);
    let word = at.word("type", &words, None)?;
    let common = common(&mut at);
    let kind = OutputKind::read(word, &mut at);
    let shown = at.finish();
    Some(Output { name, common, kind: kind?, shown })
}

/// Whoever tells others of alerts names outputs that there are.
pub(super) fn targets(outputs: &[Output], spots: &[(String, Spot)], wrong: &mut dyn FnMut(Problem)) {
    let desk = |output: &Output| matches!(output.kind, OutputKind::Alerts(_));
    let known: Vec<&str> =
        outputs.iter().filter(|output| !desk(output)).map(|output| output.name.as_str()).collect();
    for output in outputs {
        let OutputKind::Alerts(settings) = &output.kind else { continue };
        let spot = spots.iter().find(|(name, _)| *name == output.name).map(|(_, spot)| spot.clone());
        let mut missing: Vec<&str> = settings.targets().filter(|target| !known.contains(target)).collect();
        missing.dedup();
        for target in missing {
            let message = format!("`{target}` is no output that alerts can be told to");
            let hint = match known.is_empty() {
                true => "there is none: add one".to_owned(),
                false => format!("there are {}", known.join(", ")),
            };
            wrong(Problem::new(spot.clone().unwrap_or(Spot::BuiltIn), message).hint(hint));
        }
    }
}

fn common(at: &mut Section<'_>) -> Common {
    Common {
        queue: at.size("queue", ("1KiB", "64GiB"), "16MiB") as usize,
        spool: at.size("spool", ("64KiB", "1TiB"), "256MiB"),
        queue_events: at.count("queue_events", 1..=100_000_000, 1_000_000) as usize,
        on_full: at.word(
            "on_full",
            &[("drop_oldest", OnFull::DropOldest), ("drop_newest", OnFull::DropNewest)],
            OnFull::DropOldest,
        ),
        batch: at.count("batch", 1..=10_000, 500) as usize,
        give_up_after: at.time("give_up_after", ("1s", "365d"), "1h"),
        filter: query(at),
    }
}

fn query(at: &mut Section<'_>) -> Option<String> {
    let text = at.text("where", "\"state = \\\"critical\\\"\"")?;
    if let Err(error) = Matcher::parse(&text) {
        let problem = Problem::new(at.spot_of("where"), format!("`where` is no query: {}", error.message));
        let near =
            text.get(error.span.clone()).filter(|near| !near.is_empty()).map(|near| format!("at `{near}`"));
        at.error(problem.hint(error.help.or(near).unwrap_or_else(|| "at its end".into())));
    }
    Some(text)
}
