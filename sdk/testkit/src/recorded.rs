//! Recorded events, as a scene plays them: one in a line, as JSON, which is how `tidegate record` writes them.

use crate::table::Moment;
use tidegate_engine::codec::json;
use tidegate_event::BatchBuilder;

/// Reads a recording. Events are played in the order of their lines, each at its own time; one that is older than the one
/// before came late, and arrives together with it. A mistake is a mistake of the test and panics with the line.
pub fn read(text: &str) -> Vec<Moment> {
    let mut moments: Vec<Moment> = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |what: &str| -> ! { panic!("line {} of the recording: {what}", number + 1) };
        let mut events = BatchBuilder::new();
        if let Err(error) = json::decode_event(&mut events, line) {
            wrong(&format!("an event as JSON was expected: {error}"));
        }
        let event = events.event(0);
        if event.row().untimed {
            wrong(
                "its event has no `time`, like \"2026-03-02T09:00:00Z\"; without one nobody knows when to play it",
            );
        }
        let at = event.time();
        match moments.last_mut() {
            // It has just been read, so it can be read again.
            Some(last) if at <= last.at => drop(json::decode_event(&mut last.events, line)),
            _ => moments.push(Moment { at, events }),
        }
    }
    if moments.is_empty() {
        panic!("the recording is empty: events as JSON, one in a line, were expected");
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::Timestamp;

    #[test]
    fn events_keep_their_order_and_late_ones_arrive_with_the_one_before() {
        let moments = read(
            r#"
            {"time": "1970-01-01T00:00:05.000Z", "host": "a", "metric": 1, "rack": "7"}

            {"time": 5, "host": "b"}
            {"time": 3, "host": "c"}
            {"time": 6, "host": "d"}
            "#,
        );
        let told: Vec<(i64, Vec<_>)> = moments
            .iter()
            .map(|moment| {
                let rows = (0..moment.events.len()).map(|row| moment.events.event(row));
                (moment.at.0, rows.map(|event| (event.host(), event.time().0)).collect())
            })
            .collect();
        let s = 1_000_000;
        assert_eq!(
            told,
            [
                (5 * s, vec![(Some("a"), 5 * s), (Some("b"), 5 * s), (Some("c"), 3 * s)]),
                (6 * s, vec![(Some("d"), 6 * s)]),
            ]
        );
        assert_eq!(moments[0].events.event(0).attribute("rack"), Some("7"));
        assert_eq!(moments[0].at, Timestamp(5 * s));
    }

    #[test]
    #[should_panic(expected = "line 2 of the recording: its event has no `time`")]
    fn an_event_without_a_time_is_pointed_at() {
        read("{\"time\": 1}\n{\"host\": \"a\"}");
    }

    #[test]
    #[should_panic(expected = "line 1 of the recording: an event as JSON was expected")]
    fn what_is_no_event_is_pointed_at() {
        read("time,host\n");
    }

    #[test]
    #[should_panic(expected = "the recording is empty")]
    fn an_empty_recording_is_a_mistake() {
        read(" \n");
    }
}
