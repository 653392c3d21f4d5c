//! The picture: head, table, foot; and over them, if asked for, one stream or the keys.
//!
//! A terminal may be of any size. Columns that do not fit are left out, the least important first; with less than six lines
//! there is only the table.

use super::board::{Board, Stream, severity};
use super::keys::HELP;
use crate::cli::query::{number, span};
use crate::cli::screen::plain;
use crate::clock;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table, TableState, Wrap};
use serde_json::Value;
use tidegate_event::Timestamp;

/// Heights of the bars of a sparkline.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A column: its name, its width, and from which width of the screen on it is shown. Those without a width share the rest.
struct Column {
    name: &'static str,
    width: Option<u16>,
    from: u16,
    cell: fn(&Stream, Timestamp) -> String,
}

const COLUMNS: [Column; 8] = [
    Column { name: "", width: Some(1), from: 0, cell: |row, _| glyph(&row.text("state")).to_string() },
    Column { name: "host", width: None, from: 24, cell: |row, _| row.host.clone() },
    Column { name: "service", width: None, from: 0, cell: |row, _| row.service.clone() },
    Column { name: "state", width: Some(9), from: 40, cell: |row, _| row.text("state") },
    Column {
        name: "metric",
        width: Some(10),
        from: 32,
        cell: |row, _| format!("{:>10}", number(&row.event["metric"])),
    },
    Column { name: "trend", width: Some(20), from: 76, cell: |row, _| bars(row, 20) },
    Column { name: "age", width: Some(5), from: 50, cell: |row, now| format!("{:>5}", row.age(now)) },
    Column { name: "description", width: None, from: 110, cell: |row, _| row.text("description") },
];

/// Draws all of it.
pub fn board(frame: &mut Frame<'_>, board: &mut Board) {
    let now = clock::now();
    picture(frame, board, now);
}

fn picture(frame: &mut Frame<'_>, board: &mut Board, now: Timestamp) {
    let area = frame.area();
    let framed = area.height >= 6;
    let lines = u16::from(framed);
    let [head, query, body, foot] = Layout::vertical([
        Constraint::Length(lines),
        Constraint::Length(lines.max(u16::from(board.typing.is_some()))),
        Constraint::Min(0),
        Constraint::Length(lines),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(title(board, area.width)), head);
    ask(frame, board, query);
    if board.detail && board.selected().is_some() {
        detail(frame, board, body, now);
    } else {
        table(frame, board, body, now);
    }
    frame.render_widget(Paragraph::new(bottom(board)), foot);
    if board.help {
        help(frame, area);
    }
}

/// A state as one letter that can be told without colours.
fn glyph(state: &str) -> char {
    match severity(state) {
        4 => '✖',
        3 => '▲',
        2 => '?',
        1 => '·',
        _ => '●',
    }
}

fn style(board: &Board, state: &str) -> Style {
    let color = match severity(state) {
        4 => Color::Red,
        3 => Color::Yellow,
        2 => Color::Magenta,
        1 => Color::DarkGray,
        _ => Color::Green,
    };
    if board.color { Style::new().fg(color) } else { Style::new() }
}

fn dim(board: &Board) -> Style {
    if board.color { Style::new().fg(Color::DarkGray) } else { Style::new() }
}

/// The node at a glance.
fn title(board: &Board, width: u16) -> Line<'static> {
    let overview = &board.overview;
    let [critical, warning, other, fine] = board.states();
    let mut parts =
        vec![Span::styled("tidegate", Style::new().add_modifier(Modifier::BOLD)), Span::raw("  ")];
    for (count, state, name) in [
        (critical, "critical", "critical"),
        (warning, "warning", "warning"),
        (other, "?", "other"),
        (fine, "ok", "ok"),
    ] {
        if count > 0 {
            parts.push(Span::styled(format!("{} {count} {name}  ", glyph(state)), style(board, state)));
        }
    }
    if let Some(rate) = overview["events_per_second"].as_f64() {
        parts.push(Span::raw(format!("{} events/s  ", thousands(rate))));
    }
    if let Some(firing) = overview["alerts"]["firing"].as_u64() {
        let state = if firing > 0 { "critical" } else { "ok" };
        let alerts = if firing == 1 { "alert" } else { "alerts" };
        parts.push(Span::styled(format!("{firing} {alerts}  "), style(board, state)));
    }
    if width >= 76
        && let Some(size) = overview["index_size"].as_u64()
    {
        parts.push(Span::styled(format!("of {} streams  ", thousands(size as f64)), dim(board)));
    }
    if width >= 100 {
        let version = overview["version"].as_str().map(plain).unwrap_or_default();
        parts.push(Span::styled(format!("{version}  {}", board.address), dim(board)));
    }
    Line::from(parts)
}

/// The query, as it is or as it is being typed.
fn ask(frame: &mut Frame<'_>, board: &Board, area: Rect) {
    let Some(typing) = &board.typing else {
        let mut line = vec![Span::styled("query ", dim(board)), Span::raw(plain(&board.query))];
        if let Some(asked) = &board.asked {
            line.push(Span::styled(format!("  asking for {}", plain(asked)), dim(board)));
        }
        return frame.render_widget(Paragraph::new(Line::from(line)), area);
    };
    // What is left of the cursor is always seen.
    let room = usize::from(area.width.saturating_sub(8)).max(1);
    let shown = typing.at.saturating_sub(room);
    let text: String = typing.text.chars().skip(shown).take(room).collect();
    frame.render_widget(Paragraph::new(format!("query> {text}")), area);
    let column = u16::try_from(7 + typing.at - shown).unwrap_or(u16::MAX);
    frame.set_cursor_position((area.x + column.min(area.width.saturating_sub(1)), area.y));
}

fn table(frame: &mut Frame<'_>, board: &mut Board, area: Rect, now: Timestamp) {
    board.page = usize::from(area.height.saturating_sub(1)).max(1);
    if board.rows.is_empty() {
        let nothing = if board.away.is_some() { "" } else { "nothing in the index matches" };
        return frame.render_widget(Paragraph::new(nothing), area);
    }
    let columns: Vec<&Column> = COLUMNS.iter().filter(|column| area.width >= column.from).collect();
    let widths = columns.iter().map(|column| match (column.width, column.name) {
        (Some(width), _) => Constraint::Length(width),
        (None, "description") => Constraint::Fill(2),
        (None, _) => Constraint::Fill(1),
    });
    // Only what can be seen is drawn, however many rows there are.
    let first = match board.selected {
        selected if selected < board.page => 0,
        selected => selected + 1 - board.page,
    };
    let rows = board.rows.iter().skip(first).take(board.page).map(|row| {
        let state = style(board, &row.text("state"));
        Row::new(columns.iter().map(|column| {
            let style = match column.name {
                "" | "state" => state,
                "age" | "description" => dim(board),
                _ => Style::new(),
            };
            Cell::new((column.cell)(row, now)).style(style)
        }))
    });
    let names = columns.iter().map(|column| {
        let turn = if board.reversed { "▴" } else { "▾" };
        let mark = if column.name == board.sort.name() { turn } else { "" };
        match column.name {
            "metric" => format!("{:>10}", format!("metric{mark}")),
            "age" => format!("{:>5}", format!("age{mark}")),
            name => format!("{name}{mark}"),
        }
    });
    let header = Row::new(names).style(Style::new().add_modifier(Modifier::BOLD));
    let selected = Style::new().add_modifier(Modifier::REVERSED);
    let table = Table::new(rows, widths).header(header).row_highlight_style(selected);
    let mut state = TableState::new().with_selected(board.selected - first);
    frame.render_stateful_widget(table, area, &mut state);
}

/// Everything about one stream.
fn detail(frame: &mut Frame<'_>, board: &Board, area: Rect, now: Timestamp) {
    let Some(row) = board.selected() else { return };
    let mut lines = Vec::new();
    let state = style(board, &row.text("state"));
    for (name, value) in row.event.as_object().into_iter().flatten() {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => plain(text),
            Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), plain))
                .collect::<Vec<_>>()
                .join(" "),
            other => other.to_string(),
        };
        let style = if name == "state" { state } else { Style::new() };
        lines.push(Line::from(vec![
            Span::styled(format!("{:<13}", plain(name)), dim(board)),
            Span::styled(text, style),
        ]));
    }
    lines.push(Line::from(vec![Span::styled(format!("{:<13}", "age"), dim(board)), Span::raw(row.age(now))]));
    if let (Some(least), Some(most)) =
        (row.history.iter().copied().reduce(f64::min), row.history.iter().copied().reduce(f64::max))
    {
        let room = usize::from(area.width.saturating_sub(13));
        lines.push(Line::from(vec![
            Span::styled(format!("{:<13}", "trend"), dim(board)),
            Span::raw(bars(row, room)),
        ]));
        let range = format!("{} to {}", number(&least.into()), number(&most.into()));
        lines.push(Line::from(vec![Span::styled(format!("{:<13}", "range"), dim(board)), Span::raw(range)]));
    }
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
}

/// What is going on, or which keys there are.
fn bottom(board: &Board) -> Line<'static> {
    if let Some(note) = &board.note {
        return Line::styled(plain(note), style(board, "warning"));
    }
    if let Some(away) = &board.away {
        let since = clock::now().0.saturating_sub(board.seen.0).max(0);
        return Line::styled(
            format!("as it was {} ago, asking again: {}", span(since / 1_000_000 * 1_000_000), plain(away)),
            style(board, "critical"),
        );
    }
    let mut parts = Vec::new();
    if board.paused {
        parts.push(Span::styled("paused, space goes on  ", style(board, "warning")));
    }
    if board.truncated {
        let more = format!("the first {} only, narrow the query  ", board.rows.len());
        parts.push(Span::styled(more, style(board, "warning")));
    }
    let place = if board.rows.is_empty() { 0 } else { board.selected + 1 };
    parts.push(Span::raw(format!("{place}/{}  ", board.rows.len())));
    parts.push(Span::styled("/ query  s order  enter detail  space pause  ? keys  q leave", dim(board)));
    Line::from(parts)
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let width = 66.min(area.width);
    let height = u16::try_from(HELP.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let (x, y) = ((area.width - width) / 2, (area.height - height) / 2);
    let place = Rect { x: area.x + x, y: area.y + y, width, height };
    let lines = HELP.iter().map(|(keys, what)| Line::raw(format!("{keys:<20}{what}")));
    frame.render_widget(Clear, place);
    frame.render_widget(
        Paragraph::new(lines.collect::<Vec<_>>()).block(Block::bordered().title(" keys ")),
        place,
    );
}

/// The latest metrics as bars, from the least to the most of them.
fn bars(row: &Stream, room: usize) -> String {
    let (least, most) = row
        .history
        .iter()
        .filter(|metric| metric.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), metric| {
            (least.min(*metric), most.max(*metric))
        });
    let shown = row.history.iter().skip(row.history.len().saturating_sub(room));
    shown
        .map(|metric| {
            let share = (metric - least) / (most - least);
            // A metric that does not move is neither high nor low.
            let share = if share.is_finite() { share } else { 0.5 };
            BARS[((share * 7.0).round() as usize).min(7)]
        })
        .collect()
}

/// A number with its thousands apart.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::board::Typing;
    use super::super::board::tests::{event, look};
    use super::*;
    use expect_test::{Expect, expect};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn drawn(board: &mut Board, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let now = Timestamp(board.rows.first().and_then(Stream::time).map_or(0, |at| at.0) + 12_000_000);
        terminal.draw(|frame| picture(frame, board, now)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let line =
            |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect::<Vec<_>>().join("\n") + "\n"
    }

    fn sample() -> Board {
        let mut board = Board::new("tagged \"prod\"".into(), "http://127.0.0.1:5559".into(), false);
        for n in 0..12_u32 {
            board.see(look(vec![
                event("web1", "http latency", "ok", 120.0),
                event("web2", "http latency", "critical", f64::from(n * n)),
                event("db1", "disk /", "warning", 0.9),
                event("db2", "disk \u{1b}[2J", "maintenance", 0.25),
            ]));
        }
        board.overview = serde_json::json!({ "version": "0.1.0", "index_size": 12345, "events_per_second": 98765.4,
                                             "alerts": { "firing": 2 } });
        board
    }

    fn check(board: &mut Board, width: u16, height: u16, expected: &Expect) {
        expected.assert_eq(&drawn(board, width, height));
    }

    #[test]
    fn a_wide_screen_shows_all_columns() {
        check(
            &mut sample(),
            120,
            9,
            &expect![[r#"
            tidegate  ✖ 1 critical  ▲ 1 warning  ? 1 other  ● 1 ok  98,765 events/s  2 alerts  of 12,345 streams  0.1.0  http://127.
            query tagged "prod"
              host              service           state▾        metric trend                  age description
            ✖ web2              http latency      critical         121 ▁▁▁▂▂▂▃▄▅▆▇█           12s http latency of web2
            ▲ db1               disk /            warning          0.9 ▅▅▅▅▅▅▅▅▅▅▅▅           12s disk / of db1
            ? db2               disk �[2J         maintenan       0.25 ▅▅▅▅▅▅▅▅▅▅▅▅           12s disk �[2J of db2
            ● web1              http latency      ok               120 ▅▅▅▅▅▅▅▅▅▅▅▅           12s http latency of web1

            1/4  / query  s order  enter detail  space pause  ? keys  q leave
        "#]],
        );
    }

    #[test]
    fn a_usual_screen_leaves_descriptions_out() {
        check(
            &mut sample(),
            80,
            8,
            &expect![[r#"
            tidegate  ✖ 1 critical  ▲ 1 warning  ? 1 other  ● 1 ok  98,765 events/s  2 alert
            query tagged "prod"
              host            service        state▾        metric trend                  age
            ✖ web2            http latency   critical         121 ▁▁▁▂▂▂▃▄▅▆▇█           12s
            ▲ db1             disk /         warning          0.9 ▅▅▅▅▅▅▅▅▅▅▅▅           12s
            ? db2             disk �[2J      maintenan       0.25 ▅▅▅▅▅▅▅▅▅▅▅▅           12s
            ● web1            http latency   ok               120 ▅▅▅▅▅▅▅▅▅▅▅▅           12s
            1/4  / query  s order  enter detail  space pause  ? keys  q leave
        "#]],
        );
    }

    #[test]
    fn a_small_screen_keeps_what_matters() {
        check(
            &mut sample(),
            36,
            7,
            &expect![[r#"
            tidegate  ✖ 1 critical  ▲ 1 warning
            query tagged "prod"
              host        service         metric
            ✖ web2        http latenc        121
            ▲ db1         disk /             0.9
            ? db2         disk �[2J         0.25
            1/4  / query  s order  enter detail
        "#]],
        );
        check(
            &mut sample(),
            20,
            4,
            &expect![[r#"
              service
            ✖ http latency
            ▲ disk /
            ? disk �[2J
        "#]],
        );
        for (width, height) in [(1, 1), (3, 2), (10, 1), (200, 1), (1, 50), (0, 0)] {
            drawn(&mut sample(), width, height);
            let mut busy = sample();
            (busy.help, busy.detail, busy.typing) = (true, true, Some(Typing::new("metric > 1")));
            drawn(&mut busy, width, height);
        }
    }

    #[test]
    fn the_selected_row_is_always_seen() {
        let mut board = Board::new("true".into(), "x".into(), false);
        board.see(look((0..1000).map(|n| event(&format!("h{n:04}"), "x", "ok", 1.0)).collect()));
        board.selected = 777;
        assert!(drawn(&mut board, 60, 10).contains("h0777"));
    }

    #[test]
    fn all_of_a_stream_is_shown() {
        let mut board = sample();
        board.detail = true;
        let text = drawn(&mut board, 60, 16);
        for line in [
            "host         web2",
            "state        critical",
            "metric       121.0",
            "tags         prod",
            "zone         eu",
            "age          12s",
            "trend        ▁▁▁▂▂▂▃▄▅▆▇█",
            "range        0 to 121",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line:?} is not in:\n{text}");
        }
        assert!(!text.contains("db1"), "the others are not");
    }

    #[test]
    fn a_query_is_typed_below_the_head_and_the_cursor_stays_in_sight() {
        let mut board = sample();
        board.typing = Some(Typing::new(&format!("service = \"{}end", "x".repeat(100))));
        let text = drawn(&mut board, 40, 8);
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with("query> xxx") && line.ends_with("end"), "{text}");
    }

    #[test]
    fn the_foot_says_what_is_wrong() {
        let mut board = sample();
        board.truncated = true;
        board.paused = true;
        assert!(
            drawn(&mut board, 120, 8).contains("paused, space goes on  the first 4 only, narrow the query")
        );
        board.away = Some("server unreachable: http://127.0.0.1:5559".into());
        let text = drawn(&mut board, 120, 8);
        assert!(
            text.contains("as it was 0s ago, asking again: server unreachable: http://127.0.0.1:5559"),
            "{text}"
        );
        board.note = Some("a number was expected".into());
        assert!(drawn(&mut board, 120, 8).trim_end().ends_with("a number was expected"));
    }

    #[test]
    fn the_keys_are_explained() {
        let mut board = sample();
        board.help = true;
        let text = drawn(&mut board, 80, 16);
        for (keys, what) in HELP {
            assert!(text.contains(keys) && text.contains(what), "{text}");
        }
    }

    #[test]
    fn states_have_their_colours_where_colours_are_welcome() {
        let mut board = sample();
        board.color = true;
        let mut terminal = Terminal::new(TestBackend::new(80, 8)).unwrap();
        terminal.draw(|frame| picture(frame, &mut board, Timestamp(0))).unwrap();
        let buffer = terminal.backend().buffer();
        let colors = (3..7).map(|y| buffer[(0, y)].fg).collect::<Vec<_>>();
        assert_eq!(colors, [Color::Red, Color::Yellow, Color::Magenta, Color::Green]);
        assert_eq!(style(&sample(), "critical"), Style::new());
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0.0, 999.4, 1000.0, 1_234_567.0].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
