//! The report as one page that needs nothing else: no script, no font, no request. Everything that came from outside is
//! escaped.

mod chart;

use super::{Interval, Only, Outcome, Report, Series, moment};
use chart::Chart;
use std::fmt::Write;

const STYLE: &str = include_str!("page/style.css");

/// Rows of a table at most.
const ROWS: usize = 500;

/// Text that means nothing but itself in HTML.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// The page. Writing into a string cannot fail.
pub fn page(report: &Report, series: Option<&Series>) -> String {
    let mut to = String::new();
    let rule = &report.rule;
    let title = escape(&format!("Backtest of {} {}", rule.name, rule.version));
    let _ = write!(
        to,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <style>{STYLE}</style></head><body><h1>{title}</h1>"
    );
    let between = match (&report.read.from, &report.read.to) {
        (Some(from), Some(until)) => format!("{} events, {from} to {until}", report.read.events),
        _ => "no events in that time".to_owned(),
    };
    let _ = write!(to, "<p class=\"muted\">{}</p>", escape(&between));
    about(&mut to, rule);
    if let Some(against) = &report.against {
        let name = format!("Compared with {} {}", against.name, against.version);
        let _ = write!(to, "<p class=\"muted\">{}</p>", escape(&name));
        about(&mut to, against);
    }
    figures(&mut to, report);
    if let Some(series) = series {
        charts(&mut to, report, series);
    }
    differences(&mut to, report);
    let _ = write!(to, "<h2>When it fired</h2>");
    let rows: Vec<_> = rule.fired.intervals.iter().map(|interval| ("", interval)).collect();
    intervals(&mut to, &rows);
    faults(&mut to, rule);
    to.push_str("</body></html>\n");
    to
}

fn about(to: &mut String, rule: &Outcome) {
    let set: Vec<String> = rule.set.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let _ = write!(
        to,
        "<p><code>{}</code> <span class=\"muted\">per</span> <code>{}</code> <span class=\"muted\">{}</span></p>",
        escape(&rule.query),
        escape(&rule.per),
        escape(&set.join(", "))
    );
}

fn figures(to: &mut String, report: &Report) {
    let (rule, read) = (&report.rule, &report.read);
    let effects = rule.effects.stream + rule.effects.outputs.values().sum::<u64>();
    let mut figures = vec![
        ("events wanted", rule.wanted.to_string()),
        ("keys at most", rule.keys.most.to_string()),
        ("effects", effects.to_string()),
        ("fired", rule.fired.count.to_string()),
        ("failed calls", rule.faults.count.to_string()),
        ("late events", read.late.events.to_string()),
    ];
    if let Some(instructions) = &rule.instructions {
        figures.push(("instructions an event", instructions.per_event.to_string()));
    }
    if let (Some(differences), Some(against)) = (&report.differences, &report.against) {
        let fired = &differences.fired;
        figures.push(("fired before", against.fired.count.to_string()));
        figures
            .push(("new, gone, same", format!("{}, {}, {}", fired.new.len(), fired.gone.len(), fired.same)));
    }
    to.push_str("<dl>");
    for (name, value) in figures {
        let _ = write!(to, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    to.push_str("</dl>");
}

fn charts(to: &mut String, report: &Report, series: &Series) {
    let sides: Vec<(&str, &Outcome)> =
        [Some(("fired", &report.rule)), report.against.as_ref().map(|against| ("before", against))]
            .into_iter()
            .flatten()
            .collect();
    let range = (series.from, series.to);
    let _ = write!(to, "<h2>The metric of all wanted events</h2>");
    let all = |side: &Outcome| side.fired.intervals.len();
    // Everything that fired anywhere shades little but the whole: only the strips show it.
    let total: usize = sides.iter().map(|(_, side)| all(side)).sum();
    let mut strips: Vec<(&str, Vec<&Interval>)> = vec![("", Vec::new())];
    if total <= ROWS {
        strips.extend(sides.iter().map(|(name, side)| (*name, side.fired.intervals.iter().collect())));
    }
    Chart { range, line: &series.all, strips }.draw(to);
    if series.keys.is_empty() {
        return;
    }
    let _ = write!(to, "<h2>What fired, over its metric</h2>");
    for (key, line) in &series.keys {
        let of = |side: &'_ Outcome| -> Vec<usize> {
            let numbered = side.fired.intervals.iter().enumerate();
            numbered.filter(|(_, interval)| interval.key == *key).map(|(number, _)| number).collect()
        };
        let strips: Vec<(&str, Vec<&Interval>)> = sides
            .iter()
            .map(|(name, side)| (*name, of(side).into_iter().map(|at| &side.fired.intervals[at]).collect()))
            .collect();
        let Some(first) = strips.iter().find_map(|(_, intervals)| intervals.first()) else { continue };
        let name = [first.host.as_deref(), first.service.as_deref()].into_iter().flatten();
        let name: Vec<&str> = name.collect();
        let _ = write!(to, "<h3>{}</h3>", escape(&name.join(" ")));
        Chart { range, line, strips }.draw(to);
    }
}

fn differences(to: &mut String, report: &Report) {
    let Some(differences) = &report.differences else { return };
    let _ = write!(to, "<h2>Differences</h2>");
    let new = differences.fired.new.iter().map(|interval| ("new", interval));
    let gone = differences.fired.gone.iter().map(|interval| ("gone", interval));
    let rows: Vec<_> = new.chain(gone).collect();
    intervals(to, &rows);
    let effects = &differences.effects;
    let _ = write!(
        to,
        "<h3>Effects</h3><p>{} the same, {} only now, {} only before</p>",
        effects.same, effects.only_rule, effects.only_against
    );
    if effects.first.is_empty() {
        return;
    }
    to.push_str("<div class=\"scroll\"><table><tr><th></th><th class=\"when\">when</th><th>to</th><th>event</th></tr>");
    for difference in effects.first.iter().take(ROWS) {
        let (class, text) = match difference.only {
            Only::Rule => ("new", "only now"),
            Only::Against => ("gone", "only before"),
        };
        let _ = write!(
            to,
            "<tr><td class=\"{class}\">{text}</td><td class=\"when\">{}</td><td>{}</td><td><code>{}</code></td></tr>",
            escape(&difference.at),
            escape(&difference.to),
            escape(&difference.event.to_string())
        );
    }
    to.push_str("</table></div>");
    more(to, effects.first.len());
}

fn intervals(to: &mut String, rows: &[(&str, &Interval)]) {
    if rows.is_empty() {
        to.push_str("<p class=\"muted\">None.</p>");
        return;
    }
    to.push_str(
        "<div class=\"scroll\"><table><tr><th></th><th class=\"when\">from</th><th class=\"when\">until</th><th>state</th>\
         <th>host</th><th>service</th><th>to</th></tr>",
    );
    for (how, interval) in rows.iter().take(ROWS) {
        let class =
            if matches!(&*interval.state, "critical" | "warning") { &interval.state } else { "other" };
        let text = |text: &Option<String>| escape(text.as_deref().unwrap_or_default());
        let _ = write!(
            to,
            "<tr><td class=\"{how}\">{how}</td><td class=\"when\">{}</td><td class=\"when\">{}</td>\
             <td class=\"{class}\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            moment(interval.from),
            interval.until.map_or_else(|| "the end".to_owned(), moment),
            escape(&interval.state),
            text(&interval.host),
            text(&interval.service),
            escape(&interval.to)
        );
    }
    to.push_str("</table></div>");
    more(to, rows.len());
}

fn more(to: &mut String, rows: usize) {
    if rows > ROWS {
        let _ = write!(to, "<p class=\"muted\">and {} more: see --json</p>", rows - ROWS);
    }
}

fn faults(to: &mut String, rule: &Outcome) {
    if rule.faults.count == 0 {
        return;
    }
    let _ = write!(
        to,
        "<h2>Failed calls</h2><p>{} calls failed, {} events were not handled.</p><div class=\"scroll\"><table>\
         <tr><th class=\"when\">when</th><th>kind</th><th>message</th><th>event</th></tr>",
        rule.faults.count, rule.faults.skipped
    );
    for fault in &rule.faults.first {
        let event = fault.event.as_ref().map(ToString::to_string).unwrap_or_default();
        let _ = write!(
            to,
            "<tr><td class=\"when\">{}</td><td>{}</td><td>{}</td><td><code>{}</code></td></tr>",
            escape(&fault.at),
            escape(fault.kind),
            escape(&fault.message),
            escape(&event)
        );
    }
    to.push_str("</table></div>");
}
