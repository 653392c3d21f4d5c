//! The table of a scene: one event in a line, its fields under their names.

use tidegate_event::{BatchBuilder, Metric, NewEvent, Span, Timestamp};

/// Events that arrive together.
#[derive(Debug)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// The events; none when only time moves.
    pub events: BatchBuilder,
}

/// Reads a table. A mistake in it is a mistake of the test and panics with the line.
pub fn read(text: &str) -> Vec<Moment> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let Some((_, head)) = lines.next() else {
        panic!("the table is empty: begin with a line like `at host service metric`")
    };
    let columns: Vec<String> = cells(head);
    assert_eq!(columns[0], "at", "the first column of a scene is `at`: when the event arrives");
    let mut moments: Vec<Moment> = Vec::new();
    for (number, line) in lines {
        let wrong =
            |what: &str| -> ! { panic!("line {} of the scene, `{}`: {what}", number + 1, line.trim()) };
        let cells = cells(line);
        if cells.len() > columns.len() {
            wrong(&format!(
                "{} columns were expected; put text with spaces into single quotes",
                columns.len()
            ));
        }
        let Some(at) = Span::parse(&cells[0]) else { wrong("a time like 0s, 1.5s or 2m was expected first") };
        let at = Timestamp(at.0);
        match moments.last() {
            Some(last) if at < last.at => {
                wrong("time does not run backwards; an old event has a `time` column")
            }
            Some(last) if at == last.at => {}
            _ => moments.push(Moment { at, events: BatchBuilder::new() }),
        }
        let named = columns.iter().zip(&cells).skip(1).filter(|(_, cell)| *cell != "-");
        let named: Vec<(&str, &str)> = named.map(|(column, cell)| (column.as_str(), cell.as_str())).collect();
        if !named.is_empty()
            && let Some(moment) = moments.last_mut()
            && let Err(what) = push(&mut moment.events, at, &named)
        {
            wrong(&what);
        }
    }
    moments
}

fn push(events: &mut BatchBuilder, at: Timestamp, named: &[(&str, &str)]) -> Result<(), String> {
    let mut event = NewEvent { time: Some(at), ..NewEvent::default() };
    let (mut tags, mut attributes) = (Vec::new(), Vec::new());
    for &(column, cell) in named {
        match column {
            "host" => event.host = Some(cell),
            "service" => event.service = Some(cell),
            "state" => event.state = Some(cell),
            "description" => event.description = Some(cell),
            "metric" => event.metric = Some(metric(cell).ok_or("the metric is a number")?),
            "ttl" => {
                let ttl = Span::parse(cell).ok_or("the ttl is a length of time like 10s")?;
                event.ttl = Some(ttl.secs_f64() as f32);
            }
            "time" => {
                let time = Span::parse(cell).ok_or("the time of an event is written like 3s")?;
                event.time = Some(Timestamp(time.0));
            }
            "tags" => tags.extend(cell.split(',')),
            name => attributes.push((name, cell)),
        }
    }
    (event.tags, event.attributes) = (&tags, &attributes);
    events.push(&event);
    Ok(())
}

fn metric(cell: &str) -> Option<Metric> {
    cell.parse::<i64>().map(Metric::Int).or_else(|_| cell.parse::<f64>().map(Metric::Float)).ok()
}

/// The words of a line; what stands in single quotes is one word.
fn cells(line: &str) -> Vec<String> {
    let mut cells = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (cell, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        cells.push(cell.to_owned());
        rest = after.trim_start();
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_moment_are_one_batch() {
        let moments = read(
            "
            at    host  metric  description  dc   tags
            0s    web1       1  'two words'  ams  a,b
            0s    web2     1.5
            2.5s  -
            ",
        );
        assert_eq!(moments.len(), 2);
        let batch = &moments[0].events;
        assert_eq!(batch.len(), 2);
        let event = batch.event(0);
        assert_eq!((event.host(), event.description()), (Some("web1"), Some("two words")));
        assert_eq!((event.number(), event.attribute("dc")), (Some(Metric::Int(1)), Some("ams")));
        assert!(event.tagged("a") && event.tagged("b"));
        assert_eq!(batch.event(1).number(), Some(Metric::Float(1.5)));
        assert_eq!(batch.event(1).description(), None);
        assert_eq!(moments[1].at, Timestamp(2_500_000));
        assert!(moments[1].events.is_empty());
    }

    #[test]
    #[should_panic(expected = "line 3 of the scene, `5s`: time does not run backwards")]
    fn time_does_not_run_backwards() {
        read("at\n9s\n5s");
    }

    #[test]
    #[should_panic(expected = "`0s a b c`: 2 columns were expected")]
    fn a_cell_too_many_is_pointed_at() {
        read("at host\n0s a b c");
    }
}
