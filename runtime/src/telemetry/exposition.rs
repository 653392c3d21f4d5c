//! The latest value of chosen streams, for `/metrics/streams`: what outputs of type `prometheus` put in, and Prometheus reads.
//!
//! The table is bounded by each output's `max_series`; what comes beyond that is refused and counted by the output. A series
//! goes when it has not been set for its time.

use super::Gauge;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The series of all outputs: by output, then by name and labels.
#[derive(Debug, Default)]
pub struct Exposition {
    outputs: Mutex<BTreeMap<String, BTreeMap<Series, Sample>>>,
    /// How many there are.
    pub series: Gauge,
}

/// A name and labels, both as Prometheus allows them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// The metric's name.
    pub name: String,
    /// Its labels, by name.
    pub labels: Vec<(String, String)>,
}

#[derive(Debug)]
struct Sample {
    value: f64,
    until: Instant,
}

/// There are as many series as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Exposition {
    /// Sets a series for so long; of one output there are at most so many.
    pub fn set(
        &self,
        output: &str,
        series: Series,
        value: f64,
        lasts: Duration,
        most: usize,
        now: Instant,
    ) -> Result<(), Full> {
        let mut outputs = self.lock();
        let table = outputs.entry(output.to_owned()).or_default();
        if table.len() >= most && !table.contains_key(&series) {
            table.retain(|_, sample| sample.until > now);
            if table.len() >= most {
                return Err(Full);
            }
        }
        // No clock reaches the end of a very long time.
        let until = now.checked_add(lasts).unwrap_or(now + Duration::from_secs(86_400 * 365));
        table.insert(series, Sample { value, until });
        self.count(&outputs);
        Ok(())
    }

    /// Takes a series away.
    pub fn remove(&self, output: &str, series: &Series) {
        let mut outputs = self.lock();
        if let Some(table) = outputs.get_mut(output) {
            table.remove(series);
        }
        self.count(&outputs);
    }

    /// The page, in Prometheus's text format. Where two outputs have the same series, one of them is shown.
    pub fn text(&self, now: Instant) -> String {
        let mut outputs = self.lock();
        for table in outputs.values_mut() {
            table.retain(|_, sample| sample.until > now);
        }
        self.count(&outputs);
        let all: BTreeMap<&Series, f64> =
            outputs.values().flatten().map(|(series, sample)| (series, sample.value)).collect();
        let mut text = String::new();
        let mut last = "";
        for (series, value) in all {
            if series.name != last {
                last = &series.name;
                let _ = write!(text, "# HELP {last} The latest metric of a stream.\n# TYPE {last} untyped\n");
            }
            text += &series.name;
            for (n, (name, value)) in series.labels.iter().enumerate() {
                text.push(if n == 0 { '{' } else { ',' });
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let _ = write!(text, "{name}=\"{value}\"");
            }
            if !series.labels.is_empty() {
                text.push('}');
            }
            let _ = match value {
                f64::INFINITY => writeln!(text, " +Inf"),
                f64::NEG_INFINITY => writeln!(text, " -Inf"),
                value => writeln!(text, " {value}"),
            };
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<Series, Sample>>> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, outputs: &BTreeMap<String, BTreeMap<Series, Sample>>) {
        self.series.set(outputs.values().map(BTreeMap::len).sum::<usize>() as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, host: &str) -> Series {
        Series { name: name.into(), labels: vec![("host".into(), host.into())] }
    }

    #[test]
    fn a_page_has_each_name_once_and_forgets_what_is_old() {
        let (table, start, second) = (Exposition::default(), Instant::now(), Duration::from_secs(1));
        table.set("a", series("cpu", "web1"), 0.5, 5 * second, 10, start).unwrap();
        table.set("a", series("cpu", "we\"b\\2"), f64::INFINITY, 9 * second, 10, start).unwrap();
        table.set("b", series("cpu", "web3"), f64::NAN, 9 * second, 10, start).unwrap();
        let text = "# HELP cpu The latest metric of a stream.\n# TYPE cpu untyped\ncpu{host=\"we\\\"b\\\\2\"} +Inf\n\
                    cpu{host=\"web1\"} 0.5\ncpu{host=\"web3\"} NaN\n";
        assert_eq!(table.text(start), text);
        assert_eq!(table.series.get(), 3);
        assert_eq!(table.text(start + 6 * second), text.replace("cpu{host=\"web1\"} 0.5\n", ""));
        table.remove("a", &series("cpu", "we\"b\\2"));
        assert_eq!((table.series.get(), table.text(start + 10 * second).as_str()), (1, ""));
    }

    #[test]
    fn a_full_table_takes_what_it_knows_and_what_finds_the_room_of_the_old() {
        let (table, start, second) = (Exposition::default(), Instant::now(), Duration::from_secs(1));
        let set = |name: &str, at| table.set("a", series(name, "h"), 1.0, 5 * second, 2, at);
        assert_eq!(
            [set("x", start), set("y", start), set("z", start), set("x", start + second)],
            [Ok(()), Ok(()), Err(Full), Ok(())]
        );
        assert_eq!(set("z", start + 5 * second), Ok(()), "y has gone");
        assert_eq!(table.series.get(), 2);
    }
}
