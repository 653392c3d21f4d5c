//! What the desks of the alerts have done, as metrics.

use super::text::{Labels, Page};
use crate::telemetry::AlertStats;
use std::borrow::Cow;

impl Page {
    /// All counters of the alerts.
    pub fn alerts(&mut self, stats: &AlertStats) {
        for (name, help, counter) in [
            ("tidegate_alert_events", "Events that rules forwarded to alerts.", &stats.events),
            ("tidegate_alert_events_ignored", "Events that said nothing about an alert.", &stats.ignored),
            ("tidegate_alert_events_doubled", "Events that came twice and counted once.", &stats.doubled),
            ("tidegate_alert_events_refused", "Events of alerts beyond `max_alerts`.", &stats.refused),
            ("tidegate_alert_notices", "Notices handed to outputs.", &stats.notices),
            ("tidegate_alert_notices_held", "Notices that a limit held back.", &stats.held),
            ("tidegate_alert_transitions", "Events that told of alerts.", &stats.transitions),
            ("tidegate_alert_transitions_lost", "Such events that were dropped.", &stats.lost),
            ("tidegate_alert_journal_errors", "Times that the journal failed.", &stats.journal_errors),
        ] {
            self.counters(name, help, [(Labels::new(), counter.get())]);
        }
        let states = [
            ("firing", &stats.firing),
            ("acknowledged", &stats.acknowledged),
            ("silenced", &stats.silenced),
            ("resolved", &stats.resolved),
        ];
        let states = states.map(|(status, gauge)| (vec![("status", Cow::from(status))], gauge.get()));
        self.gauges("tidegate_alerts", "Alerts by status.", states);
        for (name, help, gauge) in [
            ("tidegate_alert_silences", "Silences, ended ones included.", &stats.silences),
            ("tidegate_alert_outbox", "Notices and events on their way out.", &stats.outbox),
            ("tidegate_alert_journal_bytes", "Bytes of the journal.", &stats.journal_bytes),
        ] {
            self.gauges(name, help, [(Labels::new(), gauge.get())]);
        }
    }
}
