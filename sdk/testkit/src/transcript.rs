//! What a rule did, as text that is worth reading in a diff: one effect in a line, in columns.

use tidegate_event::{Event, Timestamp};

/// The names of the levels of a line.
const LEVELS: [&str; 5] = ["log:error", "log:warning", "log", "log:debug", "log:trace"];

/// The effects of a scene, in order.
#[derive(Debug, Default)]
pub struct Transcript {
    /// Times are told from here on.
    begin: Timestamp,
    lines: Vec<[String; COLUMNS]>,
}

/// When, where to, host, service, state, metric, the rest.
const COLUMNS: usize = 7;
const METRIC: usize = 5;

impl Transcript {
    /// No effects yet; their times will be told from a moment on.
    pub fn since(begin: Timestamp) -> Self {
        Self { begin, lines: Vec::new() }
    }

    fn time(&self, event: &Event<'_>) -> String {
        Timestamp(event.time().0.saturating_sub(self.begin.0)).to_string()
    }

    /// An event that was emitted or sent to an output.
    pub fn sent(&mut self, target: &str, event: &Event<'_>) {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let mut rest = Vec::new();
        rest.extend(event.description().map(str::to_owned));
        rest.extend(event.ttl().map(|ttl| format!("ttl={ttl}")));
        rest.extend(event.tags().map(|tag| format!("#{tag}")));
        rest.extend(event.attributes().map(|(name, value)| format!("{name}={value}")));
        let time = self.time(event);
        self.lines.push([
            time,
            target.to_owned(),
            text(event.host()),
            text(event.service()),
            text(event.state()),
            event.number().map(|metric| metric.to_string()).unwrap_or_default(),
            rest.join("  "),
        ]);
    }

    /// A line of the rule's log.
    pub fn logged(&mut self, level: u8, event: &Event<'_>) {
        let mut line: [String; COLUMNS] = Default::default();
        line[0] = self.time(event);
        line[1] = LEVELS[usize::from(level).min(LEVELS.len() - 1)].to_owned();
        line[2] = event.host().unwrap_or_default().to_owned();
        line[3] = event.service().unwrap_or_default().to_owned();
        line[COLUMNS - 1] = event.description().unwrap_or_default().to_owned();
        self.lines.push(line);
    }

    /// The text: columns as wide as they have to be, those that are empty throughout left out.
    pub fn text(&self) -> String {
        let width = |column: usize| {
            self.lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
        let mut text = String::new();
        for line in &self.lines {
            let mut written = String::new();
            for (column, cell) in line.iter().enumerate().filter(|(column, _)| widths[*column] > 0) {
                // Host and service belong together: the stream.
                let gap = match column {
                    0 => "",
                    3 if widths[2] > 0 => " ",
                    _ => "  ",
                };
                written.push_str(gap);
                let width = widths[column];
                written.push_str(&if column == METRIC {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                });
            }
            text.push_str(written.trim_end());
            text.push('\n');
        }
        text
    }
}
