//! The two forms of `/metrics`: Prometheus's text format 0.0.4, and OpenMetrics 1.0 for those who ask for it.
//!
//! They differ little: OpenMetrics names a counter without its `_total`, states units, and says where the text ends.

use crate::telemetry::Times;
use std::borrow::Cow;
use std::fmt::{Display, Write};
use std::ops::RangeInclusive;

/// Which form is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Prometheus's own.
    Plain,
    /// OpenMetrics.
    OpenMetrics,
}

impl Form {
    /// The form for somebody who accepts this.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Plain }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Names and values that tell the series of a family apart.
pub type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// A page being written.
#[derive(Debug)]
pub struct Page {
    text: String,
    form: Form,
}

impl Page {
    /// An empty page.
    pub fn new(form: Form) -> Self {
        Self { text: String::with_capacity(64 << 10), form }
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let family = match (self.form, kind) {
            (Form::Plain, "counter") => format!("{name}_total"),
            _ => name.to_owned(),
        };
        self.put(format_args!("# HELP {family} {help}\n# TYPE {family} {kind}\n"));
        if self.form == Form::OpenMetrics {
            for unit in ["seconds", "bytes"] {
                if name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')) {
                    self.put(format_args!("# UNIT {family} {unit}\n"));
                }
            }
        }
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
    }

    fn series(&mut self, name: &str, labels: &[(&'static str, Cow<'_, str>)], value: impl Display) {
        self.text.push_str(name);
        for (n, (label, value)) in labels.iter().enumerate() {
            self.put(format_args!("{}{label}=\"", if n == 0 { '{' } else { ',' }));
            for letter in value.chars() {
                match letter {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    letter => self.text.push(letter),
                }
            }
            self.text.push('"');
        }
        self.put(format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }

    /// A family of numbers that only rise; its name is given without `_total`. A family without series is left out.
    pub fn counters<'a, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) {
        self.family(name, "_total", "counter", help, series);
    }

    /// A family of numbers that rise and fall.
    pub fn gauges<'a, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) {
        self.family(name, "", "gauge", help, series);
    }

    fn family<'a, V: Display>(
        &mut self,
        name: &str,
        suffix: &str,
        kind: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) {
        let mut series = series.into_iter().peekable();
        if series.peek().is_none() {
            return;
        }
        self.head(name, kind, help);
        let name = format!("{name}{suffix}");
        for (labels, value) in series {
            self.series(&name, &labels, value);
        }
    }

    /// A family of lengths of time, with a bucket below each power of two nanoseconds within `doublings`.
    pub fn times<'a>(
        &mut self,
        name: &str,
        help: &str,
        doublings: RangeInclusive<u32>,
        series: impl IntoIterator<Item = (Labels<'a>, Times)>,
    ) {
        let mut series = series.into_iter().peekable();
        if series.peek().is_none() {
            return;
        }
        self.head(name, "histogram", help);
        let parts = ["bucket", "sum", "count"].map(|part| format!("{name}_{part}"));
        for (mut labels, times) in series {
            for doubling in doublings.clone() {
                let bound = (1_u64 << doubling) as f64 / 1e9;
                labels.push(("le", bound.to_string().into()));
                self.series(&parts[0], &labels, times.below(doubling));
                labels.pop();
            }
            labels.push(("le", "+Inf".into()));
            self.series(&parts[0], &labels, times.count());
            labels.pop();
            self.series(&parts[1], &labels, times.total().as_secs_f64());
            self.series(&parts[2], &labels, times.count());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Histogram;

    fn page(form: Form) -> String {
        let mut page = Page::new(form);
        let labels = || vec![("name", Cow::from("a \"b\"\n\\"))];
        page.counters("x_seconds", "Seconds of x.", [(labels(), 1.5)]);
        page.gauges("y", "What y is.", [(Labels::new(), -3)]);
        page.gauges("z", "Nobody has one.", Vec::<(Labels<'_>, i64)>::new());
        let histogram = Histogram::default();
        histogram.note_nanos(3, 2);
        histogram.note_nanos(1_000, 1);
        page.times("t_seconds", "Times of t.", 2..=3, [(labels(), histogram.read())]);
        page.finish()
    }

    #[test]
    fn both_forms_say_the_same_in_their_own_words() {
        let plain = r#"# HELP x_seconds_total Seconds of x.
# TYPE x_seconds_total counter
x_seconds_total{name="a \"b\"\n\\"} 1.5
# HELP y What y is.
# TYPE y gauge
y -3
# HELP t_seconds Times of t.
# TYPE t_seconds histogram
t_seconds_bucket{name="a \"b\"\n\\",le="0.000000004"} 2
t_seconds_bucket{name="a \"b\"\n\\",le="0.000000008"} 2
t_seconds_bucket{name="a \"b\"\n\\",le="+Inf"} 3
t_seconds_sum{name="a \"b\"\n\\"} 0.000001006
t_seconds_count{name="a \"b\"\n\\"} 3
"#;
        assert_eq!(page(Form::Plain), plain);
        let open = plain
            .replace("# HELP x_seconds_total", "# HELP x_seconds")
            .replace("# TYPE x_seconds_total counter", "# TYPE x_seconds counter\n# UNIT x_seconds seconds")
            .replace("# TYPE t_seconds histogram", "# TYPE t_seconds histogram\n# UNIT t_seconds seconds");
        assert_eq!(page(Form::OpenMetrics), open + "# EOF\n");
    }

    #[test]
    fn open_metrics_is_for_those_who_ask() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
        assert_eq!(Form::accepted(prometheus), Form::OpenMetrics);
        assert_eq!(Form::accepted("*/*"), Form::Plain);
    }
}
