//! One chart: the metric's mean as a line within the band from its smallest to its greatest value, the intervals in which
//! the rule fired shaded over it, and a strip below for each rule.

use super::escape;
use crate::backtest::{Interval, Stretch};
use std::fmt::Write;
use tidegate_event::{Span, Timestamp};

/// Size of the drawing, and where in it the plot lies.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 990.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 150.0;
/// Height of a strip, with the room below it.
const STRIP: f64 = 16.0;
/// Moments and values that are written at the sides.
const TICKS: usize = 5;
/// A shorter interval is drawn as wide as this.
const NARROW: f64 = 1.5;

/// What is drawn.
pub struct Chart<'a> {
    /// The time that it covers.
    pub range: (Timestamp, Timestamp),
    /// The metric.
    pub line: &'a [Stretch],
    /// For each rule, its name and when it fired; the first shades the plot.
    pub strips: Vec<(&'a str, Vec<&'a Interval>)>,
}

impl Chart<'_> {
    /// Draws it.
    pub fn draw(&self, to: &mut String) {
        let height = BOTTOM + 24.0 + STRIP * self.strips.len() as f64;
        let _ = write!(to, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
        if let Some((_, intervals)) = self.strips.first() {
            intervals.iter().for_each(|interval| self.bar(to, interval, TOP, BOTTOM - TOP, "shade "));
        }
        self.axes(to);
        self.metric(to);
        for (number, (name, intervals)) in self.strips.iter().enumerate() {
            let top = BOTTOM + 22.0 + STRIP * number as f64;
            let _ = write!(to, "<text x=\"4\" y=\"{:.1}\">{}</text>", top + 9.0, escape(name));
            let _ = write!(
                to,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>",
                top + 5.0
            );
            intervals.iter().for_each(|interval| self.bar(to, interval, top, 10.0, ""));
        }
        to.push_str("</svg>");
    }

    /// Where a moment lies.
    fn x(&self, at: Timestamp) -> f64 {
        let (from, until) = self.range;
        let whole = (until - from).0.max(1) as f64;
        LEFT + ((at - from).0 as f64 / whole).clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn bar(&self, to: &mut String, interval: &Interval, top: f64, height: f64, class: &str) {
        let left = self.x(interval.from);
        let width = (self.x(interval.until.unwrap_or(self.range.1)) - left).max(NARROW);
        let state = match interval.state.as_str() {
            known @ ("critical" | "warning") => known,
            _ => "other",
        };
        let _ = write!(
            to,
            "<rect class=\"{class}{state}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">\
             <title>{}</title></rect>",
            escape(&format!(
                "{} from {} until {}",
                interval.state,
                crate::backtest::moment(interval.from),
                interval.until.map_or_else(|| "the end".to_owned(), crate::backtest::moment)
            ))
        );
    }

    /// The smallest and the greatest value there are.
    fn values(&self) -> Option<(f64, f64)> {
        let there = self.line.iter().filter(|stretch| stretch.events > 0);
        let (least, most) = there.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), stretch| {
            (least.min(stretch.least), most.max(stretch.most))
        });
        let room = if most > least { (most - least) * 0.05 } else { 1.0 };
        (least <= most && (most - least).is_finite()).then_some((least - room, most + room))
    }

    fn axes(&self, to: &mut String) {
        let (from, until) = self.range;
        for tick in 0..TICKS {
            let part = tick as f64 / (TICKS - 1) as f64;
            let at = from + Span(((until - from).0 as f64 * part) as i64);
            let moment = crate::backtest::moment(at);
            // The day only once: the others are close by.
            let text = if tick == 0 { &moment[..] } else { moment.get(11..19).unwrap_or(&moment) };
            let anchor = ["start", "middle", "end"][(tick > 0) as usize + (tick == TICKS - 1) as usize];
            let _ = write!(
                to,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                LEFT + part * (RIGHT - LEFT),
                BOTTOM + 15.0,
                escape(text)
            );
        }
        let Some((least, most)) = self.values() else {
            let _ = write!(to, "<text x=\"{LEFT}\" y=\"{:.1}\">no event had a metric</text>", TOP + 20.0);
            return;
        };
        for tick in 0..3 {
            let part = tick as f64 / 2.0;
            let y = BOTTOM - part * (BOTTOM - TOP);
            let _ = write!(
                to,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                short(least + part * (most - least))
            );
        }
    }

    fn metric(&self, to: &mut String) {
        let Some((least, most)) = self.values() else { return };
        let y = |value: f64| BOTTOM - (value - least) / (most - least) * (BOTTOM - TOP);
        let x = |at: usize| LEFT + (at as f64 + 0.5) / self.line.len() as f64 * (RIGHT - LEFT);
        let there: Vec<usize> = (0..self.line.len()).filter(|at| self.line[*at].events > 0).collect();
        let mut band = String::new();
        for at in &there {
            let _ = write!(band, "{:.1},{:.1} ", x(*at), y(self.line[*at].most));
        }
        for at in there.iter().rev() {
            let _ = write!(band, "{:.1},{:.1} ", x(*at), y(self.line[*at].least));
        }
        let _ = write!(to, "<polygon class=\"band\" points=\"{}\"/>", band.trim_end());
        let mut mean = String::new();
        for at in &there {
            let _ = write!(mean, "{:.1},{:.1} ", x(*at), y(self.line[*at].mean()));
        }
        let _ = write!(to, "<polyline class=\"mean\" points=\"{}\"/>", mean.trim_end());
    }
}

/// A number for the side of a chart.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e6).contains(&size) => format!("{value:.2e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}
